//! How far the exchange's ids go: `GET /api/v3/ticker/24hr`, which names the last trade id of each symbol and the moment
//! that the answer is as of.

use serde::Deserialize;

use super::{BinanceRest, RestError, SYMBOLS_PER_REQUEST, read_json, symbol_list, time_us, trade_id};

const PATH: &str = "/api/v3/ticker/24hr";
const NO_TRADE: i64 = -1;

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
    /// The newest trade ids of `symbols`, which must be listed; symbols without a trade in 24 hours are left out.
    ///
    /// # Errors
    /// [`RestError`] where it cannot be asked.
    pub async fn newest_trades(&mut self, symbols: &[String]) -> Result<Vec<NewestTrade>, RestError> {
        let mut newest = Vec::with_capacity(symbols.len());
        for batch in symbols.chunks(SYMBOLS_PER_REQUEST) {
            // The weights that the exchange documents for up to 20 symbols, and for up to 100.
            let weight = if batch.len() <= 20 { 2 } else { 40 };
            let list = symbol_list(batch);
            let body = self.get(PATH, weight, &[("symbols", list.as_str())]).await?;
            newest.extend(read_newest_trades(&body)?);
        }
        Ok(newest)
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
    use wiremock::{Mock, MockServer, ResponseTemplate};

    use super::*;

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
        let symbols = ["BTCUSDT", "NEWUSDT"].map(str::to_owned);
        let newest = BinanceRest::new(&server.uri()).unwrap().newest_trades(&symbols).await.unwrap();
        let expected = NewestTrade {
            symbol: "BTCUSDT".to_owned(),
            last_id: 5_412_300_040,
            time_us: 1_767_225_603_000_123,
        };
        assert_eq!(newest, [expected]);
    }
}
