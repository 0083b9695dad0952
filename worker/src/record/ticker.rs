//! Price sample <-> record value. `day` stands there where the exchange tells it.

use std::io::Write as _;

use market::{Fixed, RollingDay, Ticker};
use serde::Deserialize;

use super::{RecordError, present, time};
use crate::amount::{read_amount, read_price};
use crate::json_text::{JsonDecimal, JsonText};

/// The 24 hours before a sample, as they stand in the value.
#[derive(Deserialize)]
pub(super) struct DayFields<'a> {
    #[serde(borrow)]
    open: Option<JsonText<'a>>,
    #[serde(borrow)]
    high: Option<JsonText<'a>>,
    #[serde(borrow)]
    low: Option<JsonText<'a>>,
    #[serde(borrow)]
    volume: Option<JsonText<'a>>,
    #[serde(borrow)]
    quote_volume: Option<JsonText<'a>>,
    trade_count: Option<i64>,
}

/// What a value says that names a sample's time.
pub(super) struct TickerFields<'a> {
    pub(super) sample_time_us: Option<i64>,
    pub(super) price: Option<JsonDecimal<'a>>,
    pub(super) received_time_us: Option<i64>,
    pub(super) day: Option<DayFields<'a>>,
}

/// Appends what follows the names of the market.
pub(super) fn encode(ticker: &Ticker, price_as_number: bool, value: &mut Vec<u8>) {
    let Ticker { sample_time_us, price, day, received_time_us } = ticker;
    let quote = if price_as_number { "" } else { "\"" };
    // Writing to a vector cannot fail.
    let _ = write!(
        value,
        r#""sample_time_us":{sample_time_us},"price":{quote}{price}{quote},"received_time_us":{received_time_us}"#
    );
    if let Some(RollingDay { open, high, low, volume, quote_volume, trade_count }) = day {
        let _ = write!(
            value,
            r#","day":{{"open":"{open}","high":"{high}","low":"{low}","volume":"{volume}","quote_volume":"{quote_volume}","trade_count":{trade_count}}}"#
        );
    }
}

/// The sample of these fields.
pub(super) fn decode(fields: TickerFields<'_>) -> Result<Ticker, RecordError> {
    let sample_time_us = time("sample_time_us", fields.sample_time_us)?;
    let received_time_us = time("received_time_us", fields.received_time_us)?;
    let price = read_price(&present("price", fields.price)?.0).map_err(RecordError::Amount)?;
    let day = fields.day.map(day_of).transpose()?;
    Ok(Ticker { sample_time_us, price, day, received_time_us })
}

fn day_of(fields: DayFields<'_>) -> Result<RollingDay, RecordError> {
    Ok(RollingDay {
        open: amount("day.open", fields.open)?,
        high: amount("day.high", fields.high)?,
        low: amount("day.low", fields.low)?,
        volume: amount("day.volume", fields.volume)?,
        quote_volume: amount("day.quote_volume", fields.quote_volume)?,
        trade_count: present("day.trade_count", fields.trade_count)?,
    })
}

/// A figure of the exchange's own; zero where nothing was traded.
fn amount<const SCALE: u32>(
    field: &'static str,
    text: Option<JsonText<'_>>,
) -> Result<Fixed<SCALE>, RecordError> {
    read_amount(field, &present(field, text)?.0).map_err(RecordError::Amount)
}

#[cfg(test)]
mod tests {
    use market::{Fixed8, Fixed16, Market};
    use proptest::prelude::*;

    use super::*;
    use crate::record::{Content, RecordEncoder, decode_value};

    const VALUE: &str = r#"{"venue":"binance","symbol":"BTCUSDT","sample_time_us":1767225603000000,"price":"94260","received_time_us":1767225603012345,"day":{"open":"93800","high":"95010","low":"93550","volume":"18000","quote_volume":"1695600000.25","trade_count":1300041}}"#;

    fn ticker() -> Ticker {
        let day = RollingDay {
            open: "93800".parse().unwrap(),
            high: "95010".parse().unwrap(),
            low: "93550".parse().unwrap(),
            volume: "18000".parse().unwrap(),
            quote_volume: "1695600000.25".parse().unwrap(),
            trade_count: 1_300_041,
        };
        Ticker {
            sample_time_us: 1_767_225_603_000_000,
            price: "94260".parse().unwrap(),
            day: Some(day),
            received_time_us: 1_767_225_603_012_345,
        }
    }

    fn encoded(ticker: &Ticker) -> String {
        let mut value = Vec::new();
        RecordEncoder::new(&Market::new("binance", "BTCUSDT")).encode_ticker(ticker, &mut value);
        String::from_utf8(value).unwrap()
    }

    #[test]
    fn a_record_has_exactly_the_documented_fields() {
        assert_eq!(encoded(&ticker()), VALUE);
        let decoded = decode_value(VALUE.as_bytes()).unwrap();
        assert_eq!((&*decoded.venue, &*decoded.symbol), ("binance", "BTCUSDT"));
        assert_eq!(decoded.content, Content::Ticker(Box::new(ticker())));
    }

    #[test]
    fn the_day_may_be_absent() {
        let without = Ticker { day: None, ..ticker() };
        let value = encoded(&without);
        assert!(!value.contains("day"), "{value}");
        assert_eq!(decode_value(value.as_bytes()).unwrap().content, Content::Ticker(Box::new(without)));
    }

    #[test]
    fn every_damage_has_its_reason() {
        for (found, put, reason) in [
            (r#""94260""#, "true", "wrong_type"),
            (r#""94260""#, r#""0""#, "price_not_positive"),
            (r#""94260""#, r#""94260.123456789""#, "too_many_decimals"),
            (r#""price":"94260","#, "", "missing_field"),
            ("1767225603000000", "0", "time_out_of_range"),
            ("1767225603012345", "-1", "time_out_of_range"),
            (r#""18000""#, r#""-1""#, "negative"),
            (r#""93550""#, r#""x""#, "not_a_number"),
            (r#""low":"93550","#, "", "missing_field"),
            (r#""trade_count":1300041"#, r#""trade_count":null"#, "missing_field"),
            (r#""trade_count":1300041}"#, r#""trade_count":1300041"#, "not_json"),
            (r#""day":{"#, r#""day":7,"week":{"#, "wrong_type"),
            ("sample_time_us", "sampled_at_us", "missing_field"),
        ] {
            let damaged = VALUE.replacen(found, put, 1);
            assert_ne!(damaged, VALUE);
            assert_eq!(decode_value(damaged.as_bytes()).unwrap_err().reason(), reason, "{damaged}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(
            price in 1..10_i128.pow(18), figures in prop::array::uniform4(0..10_i128.pow(18)),
            quote_volume in 0..10_i128.pow(30), trade_count in 0..i64::MAX, has_day in any::<bool>(),
            times in prop::array::uniform2(1..253_370_764_800_000_000_i64),
        ) {
            let [open, high, low, volume] = figures.map(|units| Fixed8::from_units(units).unwrap());
            let quote_volume = Fixed16::from_units(quote_volume).unwrap();
            let day = RollingDay { open, high, low, volume, quote_volume, trade_count };
            let ticker = Ticker {
                sample_time_us: times[0],
                price: Fixed8::from_units(price).unwrap(),
                day: has_day.then_some(day),
                received_time_us: times[1],
            };
            prop_assert_eq!(decode_value(encoded(&ticker).as_bytes()).unwrap().content, Content::Ticker(Box::new(ticker)));
        }

        #[test]
        fn no_single_damaged_byte_makes_it_panic(at in 0..VALUE.len(), byte in any::<u8>()) {
            let mut value = VALUE.as_bytes().to_vec();
            value[at] = byte;
            let _ = decode_value(&value);
        }
    }
}
