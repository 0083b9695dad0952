//! The exchange's own candles: `GET /api/v3/klines`.

use market::{Fixed8, Interval};
use serde::de::IgnoredAny;

use super::{BinanceRest, RestError, read_json, time_us};

const PATH: &str = "/api/v3/klines";
const WEIGHT: u32 = 2;

/// Candles in one answer at most.
pub const MOST_KLINES: i64 = 1_000;

/// A candle as the exchange has it: everything with 8 decimals, also what is a sum of products.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kline {
    /// First microsecond of the window, since 1970, UTC.
    pub open_time_us: i64,
    /// Price of the first trade.
    pub open: Fixed8,
    /// Highest price.
    pub high: Fixed8,
    /// Lowest price.
    pub low: Fixed8,
    /// Price of the last trade.
    pub close: Fixed8,
    /// Sum of the quantities.
    pub volume: Fixed8,
    /// Sum of price times quantity.
    pub quote_volume: Fixed8,
    /// Number of trades.
    pub trade_count: i64,
    /// Volume of the trades whose taker bought.
    pub taker_buy_volume: Fixed8,
    /// Quote volume of the trades whose taker bought.
    pub taker_buy_quote_volume: Fixed8,
}

/// ```json
/// [1767225600000000,"94250.15000000","94275.50000000","94248.00000000","94260.00000000","2.50000000",1767225659999999,
///  "235640.12500000",40,"1.50000000","141386.00000000","0"]
/// ```
type Row = (i64, Fixed8, Fixed8, Fixed8, Fixed8, Fixed8, IgnoredAny, Fixed8, i64, Fixed8, Fixed8, IgnoredAny);

fn kline_of(row: Row) -> Result<Kline, RestError> {
    let (open_time, open, high, low, close, volume, _, quote_volume, trade_count, buys, quote_buys, _) = row;
    Ok(Kline {
        open_time_us: time_us(PATH, open_time)?,
        open,
        high,
        low,
        close,
        volume,
        quote_volume,
        trade_count,
        taker_buy_volume: buys,
        taker_buy_quote_volume: quote_buys,
    })
}

impl BinanceRest {
    /// The exchange's candles of `symbol` that open at or after `from_us` and before `to_us`, ascending, [`MOST_KLINES`]
    /// at most. Windows in which it did not trade at all have none.
    ///
    /// # Errors
    /// [`RestError`] where it cannot be asked, or what it answers cannot be held exactly.
    pub async fn klines(
        &mut self,
        symbol: &str,
        interval: Interval,
        from_us: i64,
        to_us: i64,
    ) -> Result<Vec<Kline>, RestError> {
        let (name, limit) = (interval.to_string(), MOST_KLINES.to_string());
        let (from, until) = (from_us.to_string(), (to_us - 1).to_string());
        let query = [
            ("symbol", symbol),
            ("interval", name.as_str()),
            ("startTime", from.as_str()),
            ("endTime", until.as_str()),
            ("limit", limit.as_str()),
        ];
        let rows: Vec<Row> = read_json(PATH, &self.get(PATH, WEIGHT, &query).await?)?;
        rows.into_iter().map(kline_of).collect()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use wiremock::matchers::{method, path, query_param};
    use wiremock::{Mock, MockServer, ResponseTemplate};

    use super::*;

    async fn answered(rows: Value) -> Result<Vec<Kline>, RestError> {
        runtime::tls::install_provider();
        let server = MockServer::start().await;
        Mock::given(method("GET"))
            .and(path(PATH))
            .and(query_param("symbol", "BTCUSDT"))
            .and(query_param("interval", "1m"))
            .and(query_param("startTime", "1767225600000000"))
            .and(query_param("endTime", "1767225719999999"))
            .and(query_param("limit", "1000"))
            .respond_with(ResponseTemplate::new(200).set_body_json(rows))
            .mount(&server)
            .await;
        let mut rest = BinanceRest::new(&server.uri()).unwrap();
        let (from_us, to_us) = (1_767_225_600_000_000, 1_767_225_720_000_000);
        rest.klines("BTCUSDT", "1m".parse().unwrap(), from_us, to_us).await
    }

    fn row(open_time: i64, volume: &str) -> Value {
        json!([
            open_time,
            "94250.15000000",
            "94275.50000000",
            "94248.00000000",
            "94260.00000000",
            volume,
            open_time + 59_999,
            "235640.12500001",
            40,
            "1.50000000",
            "141386.00000000",
            "0"
        ])
    }

    #[tokio::test]
    async fn every_field_of_a_kline_is_read_exactly() {
        let klines = answered(json!([row(1_767_225_600_000_000, "2.50000001")])).await.unwrap();
        let decimal = |text: &str| text.parse().unwrap();
        let expected = Kline {
            open_time_us: 1_767_225_600_000_000,
            open: decimal("94250.15"),
            high: decimal("94275.5"),
            low: decimal("94248"),
            close: decimal("94260"),
            volume: decimal("2.50000001"),
            quote_volume: decimal("235640.12500001"),
            trade_count: 40,
            taker_buy_volume: decimal("1.5"),
            taker_buy_quote_volume: decimal("141386"),
        };
        assert_eq!(klines, [expected]);
        // Milliseconds, from a server that does not know the header.
        let in_milliseconds = answered(json!([row(1_767_225_600_000, "1")])).await.unwrap();
        assert_eq!(in_milliseconds[0].open_time_us, 1_767_225_600_000_000);
    }

    #[tokio::test]
    async fn what_cannot_be_held_exactly_is_an_error() {
        for rows in [json!([row(1_767_225_600_000, "0.000000001")]), json!([[1_767_225_600_000_i64, "1"]])] {
            let error = answered(rows).await.unwrap_err();
            assert!(matches!(error, RestError::Unreadable { .. }), "{error}");
        }
    }
}
