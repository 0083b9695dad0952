//! Fields that the consumers of other systems read: they stand in a record besides ours, under names that we do not use, so that one
//! topic serves both.

use std::io::Write as _;

use jiff::Timestamp;
use market::{Ticker, Trade};

const US_PER_MS: i64 = 1_000;
const US_PER_S: i64 = 1_000_000;

/// `s`, `p`, `q`, `T` and `m`, as Binance's trade streams have them. `symbol` is JSON text.
pub(super) fn append_trade(symbol: &str, trade: &Trade, value: &mut Vec<u8>) {
    let Trade { price, quantity, trade_time_us, buyer_is_maker, .. } = trade;
    let trade_time_ms = trade_time_us / US_PER_MS;
    // Writing to a vector cannot fail, here and below.
    let _ = write!(
        value,
        r#","s":{symbol},"p":"{price}","q":"{quantity}","T":{trade_time_ms},"m":{buyer_is_maker}"#
    );
}

/// `timestamp` in seconds; `symbol` and `price` are there already.
pub(super) fn append_price_tick(ticker: &Ticker, value: &mut Vec<u8>) {
    let (seconds, micros) = (ticker.sample_time_us / US_PER_S, ticker.sample_time_us % US_PER_S);
    let _ = write!(value, r#","timestamp":{seconds}.{micros:06}"#);
}

/// `timestamp` in milliseconds, `event_time`, and what the exchange says of the 24 hours before; `symbol` and `price` are there
/// already.
pub(super) fn append_ticker(ticker: &Ticker, value: &mut Vec<u8>) {
    let timestamp_ms = ticker.sample_time_us / US_PER_MS;
    // Every sample's time was checked to lie in a year of four digits.
    let event_time = Timestamp::from_microsecond(ticker.sample_time_us).unwrap_or_default();
    let event_time = event_time.strftime("%Y-%m-%dT%H:%M:%S%.6f+00:00");
    let _ = write!(value, r#","timestamp":{timestamp_ms},"event_time":"{event_time}""#);
    if let Some(day) = &ticker.day {
        let _ = write!(
            value,
            r#","volume":{},"high":{},"low":{},"open":{},"trades":{}"#,
            day.volume, day.high, day.low, day.open, day.trade_count
        );
    }
}

#[cfg(test)]
mod tests {
    use crds::worker_settings::RecordEncoding;
    use market::{Market, RollingDay, Ticker, Trade};

    use crate::record::{Content, RecordEncoder, decode_value};

    fn ticker() -> Ticker {
        let day = RollingDay {
            open: "93800".parse().unwrap(),
            high: "95010".parse().unwrap(),
            low: "93550".parse().unwrap(),
            volume: "18000.5".parse().unwrap(),
            quote_volume: "1695600000.25".parse().unwrap(),
            trade_count: 1_300_041,
        };
        Ticker {
            sample_time_us: 1_767_225_603_000_500,
            price: "94260.00000001".parse().unwrap(),
            day: Some(day),
            received_time_us: 1_767_225_603_012_345,
        }
    }

    fn trade() -> Trade {
        Trade {
            trade_id: 5_412_300_001,
            price: "94250.15".parse().unwrap(),
            quantity: "0.013".parse().unwrap(),
            trade_time_us: 1_767_225_600_124_999,
            event_time_us: 1_767_225_600_125_000,
            received_time_us: 1_767_225_600_130_123,
            buyer_is_maker: false,
        }
    }

    /// The value, which is read again as what it was.
    fn encoded(content: &Content, encoding: RecordEncoding) -> String {
        let mut value = Vec::new();
        RecordEncoder::new(&Market::new("binance", "BTC\"USDT")).with(encoding).encode(content, &mut value);
        let decoded = decode_value(&value).unwrap();
        assert_eq!((&*decoded.symbol, &decoded.content), ("BTC\"USDT", content));
        String::from_utf8(value).unwrap()
    }

    #[test]
    fn a_price_tick_is_a_price_in_text_and_a_time_in_seconds() {
        let value = encoded(&Content::Ticker(Box::new(ticker())), RecordEncoding::PriceTick);
        assert!(value.starts_with(r#"{"venue":"binance","symbol":"BTC\"USDT","sample_time_us":1767225603000500,"price":"94260.00000001","#));
        assert!(value.ends_with(r#","timestamp":1767225603.000500}"#), "{value}");
    }

    #[test]
    fn a_ticker_has_numbers_with_all_their_digits() {
        let value = encoded(&Content::Ticker(Box::new(ticker())), RecordEncoding::Ticker);
        assert!(value.contains(r#""price":94260.00000001,"#), "{value}");
        let end = r#","timestamp":1767225603000,"event_time":"2026-01-01T00:00:03.000500+00:00","volume":18000.5,"high":95010,"low":93550,"open":93800,"trades":1300041}"#;
        assert!(value.ends_with(end), "{value}");
    }

    #[test]
    fn a_trade_has_the_exchanges_letters() {
        let value = encoded(&Content::Trade(trade()), RecordEncoding::Trade);
        let end = r#","s":"BTC\"USDT","p":"94250.15","q":"0.013","T":1767225600124,"m":false}"#;
        assert!(value.ends_with(end), "{value}");
    }
}
