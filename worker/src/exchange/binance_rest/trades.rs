//! Trades by id: `GET /api/v3/historicalTrades`.

use market::{RefusedTrade, Trade};
use serde::Deserialize;

use super::{BinanceRest, RestError, read_json, time_us, trade_id};
use crate::amount::read_amounts;

const PATH: &str = "/api/v3/historicalTrades";
const WEIGHT: u32 = 25;

/// Trades in one answer at most.
pub const MOST_TRADES: i64 = 1_000;

/// ```json
/// {"id":5412300001,"price":"94250.15000000","qty":"0.01300000","quoteQty":"1225.25195000","time":1767225600124456,
///  "isBuyerMaker":false,"isBestMatch":true}
/// ```
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct HistoricalTrade {
    id: i64,
    price: String,
    qty: String,
    time: i64,
    is_buyer_maker: bool,
}

/// What the exchange says of a trade that was asked for by its id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AskedTrade {
    /// It is the one.
    Found(Trade),
    /// It exists and cannot be held.
    Refused(RefusedTrade),
    /// Trades of one order, time and price that the host only tells together.
    Merged {
        /// The first of them.
        first_id: i64,
        /// The last of them.
        last_id: i64,
        /// When the exchange matched them: microseconds since 1970, UTC.
        trade_time_us: i64,
    },
}

impl AskedTrade {
    /// Its id, or the first one of several.
    #[must_use]
    pub const fn first_id(&self) -> i64 {
        match self {
            Self::Found(trade) => trade.trade_id,
            Self::Refused(trade) => trade.trade_id,
            Self::Merged { first_id, .. } => *first_id,
        }
    }

    /// Its id, or the last one of several.
    #[must_use]
    pub const fn last_id(&self) -> i64 {
        match self {
            Self::Merged { last_id, .. } => *last_id,
            Self::Found(_) | Self::Refused(_) => self.first_id(),
        }
    }

    /// When the exchange matched it: microseconds since 1970, UTC.
    #[must_use]
    pub const fn trade_time_us(&self) -> i64 {
        match self {
            Self::Found(trade) => trade.trade_time_us,
            Self::Refused(trade) => trade.trade_time_us,
            Self::Merged { trade_time_us, .. } => *trade_time_us,
        }
    }
}

impl BinanceRest {
    /// The trades of `symbol` with ids from `from_id` on, by ascending id, [`MOST_TRADES`] at most. The exchange does not
    /// say when it made the message: the event time is the trade's own. `received_time_us` is our own clock.
    ///
    /// # Errors
    /// [`RestError`] where it cannot be asked, or the answer cannot be read.
    pub async fn historical_trades(
        &mut self,
        symbol: &str,
        from_id: i64,
        received_time_us: i64,
    ) -> Result<Vec<AskedTrade>, RestError> {
        let (from_id, limit) = (from_id.to_string(), MOST_TRADES.to_string());
        let query = [("symbol", symbol), ("fromId", from_id.as_str()), ("limit", limit.as_str())];
        read_historical_trades(&self.get(PATH, WEIGHT, &query).await?, received_time_us)
    }
}

/// Reads an answer that came at `received_time_us`.
///
/// # Errors
/// [`RestError`] where it is none that is documented, or its ids do not ascend.
pub fn read_historical_trades(body: &[u8], received_time_us: i64) -> Result<Vec<AskedTrade>, RestError> {
    let rows: Vec<HistoricalTrade> = read_json(PATH, body)?;
    if let Some(pair) = rows.windows(2).find(|pair| pair[0].id >= pair[1].id) {
        return Err(RestError::Disorder { path: PATH, trade_id: pair[1].id });
    }
    rows.iter().map(|row| read_trade(row, received_time_us)).collect()
}

fn read_trade(row: &HistoricalTrade, received_time_us: i64) -> Result<AskedTrade, RestError> {
    let (trade_id, trade_time_us) = (trade_id(PATH, row.id)?, time_us(PATH, row.time)?);
    let amounts = AmountTexts { price: &row.price, quantity: &row.qty };
    asked_trade(PATH, trade_id, trade_time_us, &amounts, row.is_buyer_maker, received_time_us)
}

/// As an answer writes them.
pub(super) struct AmountTexts<'a> {
    pub(super) price: &'a str,
    pub(super) quantity: &'a str,
}

/// The one trade of a row that the exchange answered with on `path`.
pub(super) fn asked_trade(
    path: &'static str,
    trade_id: i64,
    trade_time_us: i64,
    amounts: &AmountTexts<'_>,
    buyer_is_maker: bool,
    received_time_us: i64,
) -> Result<AskedTrade, RestError> {
    let (price, quantity) = match read_amounts(amounts.price, amounts.quantity) {
        Ok(amounts) => amounts,
        Err(source) => {
            let Some(reason) = source.refusal() else {
                return Err(RestError::Trade { path, trade_id, source });
            };
            return Ok(AskedTrade::Refused(RefusedTrade { trade_id, trade_time_us, reason }));
        }
    };
    Ok(AskedTrade::Found(Trade {
        trade_id,
        price,
        quantity,
        trade_time_us,
        event_time_us: trade_time_us,
        received_time_us,
        buyer_is_maker,
    }))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use wiremock::matchers::{method, path, query_param};
    use wiremock::{Mock, MockServer, ResponseTemplate};

    use super::*;

    fn row(id: i64, price: &str) -> Value {
        json!({"id": id, "price": price, "qty": "0.01300000", "quoteQty": "1.0", "time": 1_767_225_600_124_i64,
               "isBuyerMaker": true, "isBestMatch": true})
    }

    async fn answered(rows: Value) -> Result<Vec<AskedTrade>, RestError> {
        runtime::tls::install_provider();
        let server = MockServer::start().await;
        Mock::given(method("GET"))
            .and(path(PATH))
            .and(query_param("symbol", "BTCUSDT"))
            .and(query_param("fromId", "7"))
            .and(query_param("limit", "1000"))
            .respond_with(ResponseTemplate::new(200).set_body_json(rows))
            .mount(&server)
            .await;
        BinanceRest::new(&server.uri()).unwrap().historical_trades("BTCUSDT", 7, 99).await
    }

    #[tokio::test]
    async fn every_field_of_a_trade_is_read_exactly() {
        let trades = answered(json!([row(7, "94250.15000000"), row(9, "0.00000001")])).await.unwrap();
        let expected = Trade {
            trade_id: 7,
            price: "94250.15".parse().unwrap(),
            quantity: "0.013".parse().unwrap(),
            // Milliseconds, from a server that does not know the header.
            trade_time_us: 1_767_225_600_124_000,
            event_time_us: 1_767_225_600_124_000,
            received_time_us: 99,
            buyer_is_maker: true,
        };
        assert_eq!(trades[0], AskedTrade::Found(expected));
        let AskedTrade::Found(second) = trades[1] else { panic!("{trades:?}") };
        assert_eq!(second.price.units(), 1);
    }

    #[tokio::test]
    async fn a_trade_that_cannot_be_held_stands_among_the_others() {
        let trades = answered(json!([row(7, "1"), row(8, "0.000000001"), row(9, "1")])).await.unwrap();
        let refused = RefusedTrade {
            trade_id: 8,
            trade_time_us: 1_767_225_600_124_000,
            reason: market::RefusalReason::TooManyDecimals,
        };
        assert_eq!(trades[1], AskedTrade::Refused(refused));
        assert_eq!(trades.iter().map(AskedTrade::first_id).collect::<Vec<_>>(), [7, 8, 9]);
        // What is no number says nothing of the trade, and may come right the next time.
        let error = answered(json!([row(7, "1"), row(8, "l.5")])).await.unwrap_err();
        assert!(matches!(error, RestError::Trade { trade_id: 8, .. }), "{error}");
    }

    #[tokio::test]
    async fn an_answer_in_disorder_is_not_used() {
        for ids in [[8, 7], [8, 8]] {
            let error = answered(json!(ids.map(|id| row(id, "1")))).await.unwrap_err();
            assert!(matches!(error, RestError::Disorder { .. }), "{error}");
        }
    }
}
