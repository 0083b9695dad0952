//! How far the exchange's ids go: `GET /api/v3/ticker/24hr`, which names the last trade id of each symbol and the moment
//! that the answer is as of.

use serde::Deserialize;

use super::symbol_batches::{SymbolBatches, symbol_list};
use super::{BinanceRest, RestError, read_json, time_us, trade_id};

const PATH: &str = "/api/v3/ticker/24hr";
const NO_TRADE: i64 = -1;

/// The most symbols that are asked for at [`WEIGHT`]; up to 100 cost twenty times as much.
const SYMBOLS_PER_REQUEST: usize = 20;
const WEIGHT: u32 = 2;

/// What the exchange says of a symbol's newest trade.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewestTrade {
    /// The symbol.
    pub symbol: String,
    /// The newest id.
    pub last_id: i64,
    /// As of when, by the exchange's clock: microseconds since 1970, UTC.
    pub time_us: i64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Ticker {
    symbol: String,
    /// [`NO_TRADE`] where there was none in 24 hours.
    last_id: i64,
    close_time: i64,
}

impl BinanceRest {
    /// The newest trade ids of `symbols`; those without a trade in 24 hours are left out, and those that the exchange does
    /// not list (any more).
    ///
    /// # Errors
    /// [`RestError`] where it cannot be asked.
    pub async fn newest_trades(&mut self, symbols: &[String]) -> Result<Vec<NewestTrade>, RestError> {
        let mut newest = Vec::with_capacity(symbols.len());
        let mut batches = SymbolBatches::new(symbols, SYMBOLS_PER_REQUEST);
        while let Some(batch) = batches.next() {
            match self.newest_trades_of(batch).await {
                Err(error) if error.is_about_a_symbol() => drop(batches.refused(batch)),
                answer => newest.extend(answer?),
            }
        }
        Ok(newest)
    }

    async fn newest_trades_of(&mut self, symbols: &[String]) -> Result<Vec<NewestTrade>, RestError> {
        let list = symbol_list(symbols);
        read_newest_trades(&self.get(PATH, WEIGHT, &[("symbols", list.as_str())]).await?)
    }
}

/// Reads an answer; symbols without a trade in 24 hours are left out.
///
/// # Errors
/// [`RestError`] where it is none that is documented.
pub fn read_newest_trades(body: &[u8]) -> Result<Vec<NewestTrade>, RestError> {
    let tickers: Vec<Ticker> = read_json(PATH, body)?;
    let newest = |ticker: Ticker| {
        let (last_id, time_us) = (trade_id(PATH, ticker.last_id)?, time_us(PATH, ticker.close_time)?);
        Ok(NewestTrade { symbol: ticker.symbol, last_id, time_us })
    };
    tickers.into_iter().filter(|ticker| ticker.last_id != NO_TRADE).map(newest).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use wiremock::matchers::{method, path, query_param};
    use wiremock::{Mock, MockServer, Request, ResponseTemplate};

    use super::*;

    fn named(symbols: &[&str]) -> Vec<String> {
        symbols.iter().map(|symbol| (*symbol).to_owned()).collect()
    }

    #[tokio::test]
    async fn the_last_ids_are_read_with_their_moment() {
        runtime::tls::install_provider();
        let server = MockServer::start().await;
        let answer = json!([
            {"symbol": "BTCUSDT", "lastId": 5_412_300_040_i64, "closeTime": 1_767_225_603_000_123_i64, "count": 5},
            {"symbol": "NEWUSDT", "lastId": -1, "closeTime": 1_767_225_603_000_i64, "count": 0},
        ]);
        Mock::given(method("GET"))
            .and(path(PATH))
            .and(query_param("symbols", r#"["BTCUSDT","NEWUSDT"]"#))
            .respond_with(ResponseTemplate::new(200).set_body_json(answer))
            .mount(&server)
            .await;
        let symbols = named(&["BTCUSDT", "NEWUSDT"]);
        let newest = BinanceRest::new(&server.uri()).unwrap().newest_trades(&symbols).await.unwrap();
        let expected = NewestTrade {
            symbol: "BTCUSDT".to_owned(),
            last_id: 5_412_300_040,
            time_us: 1_767_225_603_000_123,
        };
        assert_eq!(newest, [expected]);
    }

    #[tokio::test]
    async fn a_symbol_that_is_delisted_does_not_hold_up_the_others() {
        runtime::tls::install_provider();
        let server = MockServer::start().await;
        let answer = |request: &Request| {
            let (_, list) = request.url.query_pairs().next().unwrap();
            let symbols: Vec<String> = serde_json::from_str(&list).unwrap();
            if symbols.iter().any(|symbol| symbol == "GONEUSDT") {
                let refusal = json!({"code": -1121, "msg": "Invalid symbol."});
                return ResponseTemplate::new(400).set_body_json(refusal);
            }
            let ticker =
                |symbol: &String| json!({"symbol": symbol, "lastId": 7, "closeTime": 1_767_225_603_000_i64});
            ResponseTemplate::new(200).set_body_json(symbols.iter().map(ticker).collect::<Vec<_>>())
        };
        Mock::given(path(PATH)).respond_with(answer).mount(&server).await;
        let mut rest = BinanceRest::new(&server.uri()).unwrap();
        let newest = rest.newest_trades(&named(&["BTCUSDT", "GONEUSDT", "ETHUSDT"])).await.unwrap();
        assert_eq!(
            newest.iter().map(|newest| newest.symbol.as_str()).collect::<Vec<_>>(),
            ["BTCUSDT", "ETHUSDT"]
        );
    }
}
