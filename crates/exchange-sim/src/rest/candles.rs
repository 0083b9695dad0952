//! `klines`: the exchange's own candles.

use serde::Serialize;
use serde::ser::SerializeTuple;

use super::error::ApiError;
use super::parameters::Parameters;
use super::to_json;
use crate::exchange::Exchange;
use crate::klines::{Interval, KlineQuery, WindowKline};
use crate::time_unit::TimeUnit;

const LEGAL_TIME_ZONE: &str = "^[+-]?[0-9]{1,2}(:[0-9]{2})?$";
/// The zones that the exchange takes: minutes ahead of UTC.
const TIME_ZONES: std::ops::RangeInclusive<i64> = -12 * 60..=14 * 60;

/// A row of twelve items.
struct Row {
    window: WindowKline,
    time_unit: TimeUnit,
}

impl Serialize for Row {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let kline = &self.window.kline;
        let mut row = serializer.serialize_tuple(12)?;
        row.serialize_element(&self.time_unit.of(self.window.open_us))?;
        for number in [kline.open, kline.high, kline.low, kline.close, kline.volume] {
            row.serialize_element(&format_args!("{number:.8}"))?;
        }
        row.serialize_element(&self.time_unit.last_before(self.window.end_us))?;
        row.serialize_element(&format_args!("{:.8}", kline.printed_quote_volume()))?;
        row.serialize_element(&kline.trade_count)?;
        row.serialize_element(&format_args!("{:.8}", kline.taker_buy_volume))?;
        row.serialize_element(&format_args!("{:.8}", kline.printed_taker_buy_quote_volume()))?;
        row.serialize_element("0")?;
        row.end()
    }
}

/// `/api/v3/klines`, and `uiKlines`, which are not altered here.
pub(super) fn answer(exchange: &Exchange, parameters: &Parameters) -> Result<String, ApiError> {
    let market = parameters.market(exchange)?;
    let name = parameters.mandatory_text("interval")?;
    let interval = Interval::named(name).ok_or_else(ApiError::invalid_interval)?;
    let zone_minutes = parameters.text("timeZone")?.map_or(Ok(0), parse_time_zone)?;
    let query = KlineQuery {
        interval: interval.in_zone(zone_minutes),
        start_us: parameters.time_us("startTime")?,
        end_us: parameters.time_us("endTime")?,
        limit: parameters.limit()?,
    };
    let time_unit = parameters.time_unit();
    let as_of_us = exchange.played_until_us(market) - market.faults.kline_lag_us();
    let rows: Vec<Row> = market
        .klines(&query, as_of_us)
        .into_iter()
        .map(|mut window| {
            market.faults.falsify(name, &mut window);
            Row { window, time_unit }
        })
        .collect();
    to_json(&rows)
}

/// `8`, `-1:00` or `05:45` as minutes ahead of UTC.
fn parse_time_zone(text: &str) -> Result<i64, ApiError> {
    let (sign, unsigned) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    let (hours, minutes) = unsigned.split_once(':').unwrap_or((unsigned, "00"));
    let number = |digits: &str, lengths: &[usize]| {
        let is_number = lengths.contains(&digits.len()) && digits.bytes().all(|digit| digit.is_ascii_digit());
        is_number.then(|| digits.parse::<i64>().ok()).flatten()
    };
    let (hours, minutes) = number(hours, &[1, 2])
        .zip(number(minutes, &[2]))
        .ok_or_else(|| ApiError::illegal_characters("timeZone", LEGAL_TIME_ZONE))?;
    let ahead = sign * (hours * 60 + minutes);
    if minutes < 60 && TIME_ZONES.contains(&ahead) {
        Ok(ahead)
    } else {
        Err(ApiError::invalid_value("timeZone"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_time_zones() {
        let zone = |text| parse_time_zone(text).map_err(|error| error.code());
        assert_eq!([zone("0"), zone("8"), zone("-1:00"), zone("05:45")], [Ok(0), Ok(480), Ok(-60), Ok(345)]);
        assert_eq!([zone("-12:00"), zone("+14:00")], [Ok(-720), Ok(840)]);
        assert_eq!([zone("-12:01"), zone("15"), zone("1:75")], [Err(-1130); 3]);
        assert_eq!([zone("x"), zone("1:5"), zone("100")], [Err(-1100); 3]);
    }
}
