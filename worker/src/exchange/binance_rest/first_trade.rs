//! Where trades begin: `GET /api/v3/aggTrades` names the first one from a moment on, `GET /api/v3/klines` the first day
//! that had any.

use serde::Deserialize;

use super::aggregates::{PATH as TRADES_PATH, WEIGHT as TRADES_WEIGHT};
use super::{BinanceRest, RestError, read_json, time_us};

const CANDLES_PATH: &str = "/api/v3/klines";
const CANDLES_WEIGHT: u32 = 2;

/// Trades of one order, time and price: the first of them is the first of that time.
#[derive(Deserialize)]
struct AggregateTrade {
    #[serde(rename = "f")]
    first_id: i64,
}

impl BinanceRest {
    /// The id of the first trade of `symbol` from `from_us` on; `None` where there is none yet.
    ///
    /// # Errors
    /// [`RestError`] where it cannot be asked.
    pub async fn first_trade_from(&mut self, symbol: &str, from_us: i64) -> Result<Option<i64>, RestError> {
        let start = from_us.to_string();
        let query = [("symbol", symbol), ("startTime", start.as_str()), ("limit", "1")];
        let rows: Vec<AggregateTrade> =
            read_json(TRADES_PATH, &self.get(TRADES_PATH, TRADES_WEIGHT, &query).await?)?;
        Ok(rows.first().map(|row| row.first_id))
    }

    /// When the first day of `symbol` from `from_us` on begins that the exchange has a candle of, in microseconds.
    ///
    /// # Errors
    /// [`RestError`] where it cannot be asked.
    pub async fn first_traded_day_us(
        &mut self,
        symbol: &str,
        from_us: i64,
    ) -> Result<Option<i64>, RestError> {
        let start = from_us.to_string();
        let query = [("symbol", symbol), ("interval", "1d"), ("startTime", start.as_str()), ("limit", "1")];
        // A candle is an array; the first item is its open time.
        let rows: Vec<Vec<serde_json::Value>> =
            read_json(CANDLES_PATH, &self.get(CANDLES_PATH, CANDLES_WEIGHT, &query).await?)?;
        let open_time = rows.first().and_then(|row| row.first()?.as_i64());
        open_time.map(|open_time| time_us(CANDLES_PATH, open_time)).transpose()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use wiremock::matchers::{method, path, query_param};
    use wiremock::{Mock, MockServer, ResponseTemplate};

    use super::*;

    async fn answering(at: &str, answer: Value) -> (MockServer, BinanceRest) {
        runtime::tls::install_provider();
        let server = MockServer::start().await;
        Mock::given(method("GET"))
            .and(path(at))
            .and(query_param("symbol", "BTCUSDT"))
            .and(query_param("startTime", "1767225600000000"))
            .and(query_param("limit", "1"))
            .respond_with(ResponseTemplate::new(200).set_body_json(answer))
            .mount(&server)
            .await;
        let rest = BinanceRest::new(&server.uri()).unwrap();
        (server, rest)
    }

    #[tokio::test]
    async fn the_first_trade_is_the_first_of_the_first_aggregate() {
        let row = json!({"a": 3_301_200_400_i64, "p": "94250.15000000", "q": "0.04100000", "f": 5_412_300_001_i64,
                         "l": 5_412_300_003_i64, "T": 1_767_225_600_124_000_i64, "m": false, "M": true});
        for (rows, first) in [(json!([row]), Some(5_412_300_001)), (json!([]), None)] {
            let (_server, mut rest) = answering(TRADES_PATH, rows).await;
            assert_eq!(rest.first_trade_from("BTCUSDT", 1_767_225_600_000_000).await.unwrap(), first);
        }
    }

    #[tokio::test]
    async fn the_first_day_is_that_of_the_first_candle_in_either_unit() {
        let row = json!([
            1_767_312_000_000_i64,
            "1",
            "1",
            "1",
            "1",
            "5",
            1_767_398_399_999_i64,
            "5",
            3,
            "1",
            "1",
            "0"
        ]);
        for (rows, first) in [(json!([row]), Some(1_767_312_000_000_000)), (json!([]), None)] {
            let (_server, mut rest) = answering(CANDLES_PATH, rows).await;
            assert_eq!(rest.first_traded_day_us("BTCUSDT", 1_767_225_600_000_000).await.unwrap(), first);
        }
    }
}
