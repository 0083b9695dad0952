//! The frames of the market streams: many are written into one buffer, which becomes one message each without
//! being copied again.

use std::fmt::Write;

use tokio_tungstenite::tungstenite::{Bytes, Message, Utf8Bytes};

use crate::faults::FalseFrame;
use crate::klines::{Kline, WindowKline};
use crate::log::{AggregateTrade, Trade};
use crate::ticker::Ticker;
use crate::time_unit::TimeUnit;

/// How many frames are written before they are handed to the socket.
const BATCH_FRAMES: usize = 512;

const OVERSIZED_BYTES: usize = 4 * 1024 * 1024;

/// Frames that wait to be sent.
#[derive(Debug, Default)]
pub(super) struct Frames {
    text: String,
    /// Where each frame ends in `text`.
    ends: Vec<usize>,
}

/// How a connection wants its payloads.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Format {
    /// Wrapped as `{"stream":..,"data":..}`.
    pub(super) combined: bool,
    pub(super) time_unit: TimeUnit,
}

impl Frames {
    pub(super) fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    pub(super) fn is_full(&self) -> bool {
        self.ends.len() >= BATCH_FRAMES
    }

    /// Adds a frame of `stream` with the payload that `write` writes.
    pub(super) fn add(&mut self, format: Format, stream: &str, write: impl FnOnce(&mut String)) {
        if format.combined {
            // Writing to a String cannot fail, here and below.
            let _ = write!(self.text, "{{\"stream\":\"{stream}\",\"data\":");
        }
        write(&mut self.text);
        if format.combined {
            self.text.push('}');
        }
        self.ends.push(self.text.len());
    }

    /// Cuts the last frame in the middle.
    pub(super) fn damage_last(&mut self) {
        let start = self.ends.len().checked_sub(2).map_or(0, |before| self.ends[before]);
        if let Some(end) = self.ends.last_mut() {
            *end = start + (*end - start) / 2;
            self.text.truncate(*end);
        }
    }

    /// Adds the last frame once more.
    pub(super) fn repeat_last(&mut self) {
        let start = self.ends.len().checked_sub(2).map_or(0, |before| self.ends[before]);
        self.text.extend_from_within(start..);
        self.ends.push(self.text.len());
    }

    /// Takes the last frame away.
    pub(super) fn withdraw_last(&mut self) -> String {
        self.ends.pop();
        self.text.split_off(self.ends.last().copied().unwrap_or_default())
    }

    /// Adds a frame that was withdrawn.
    pub(super) fn add_withdrawn(&mut self, frame: &str) {
        self.text.push_str(frame);
        self.ends.push(self.text.len());
    }

    /// The frames, one message each; none is left.
    pub(super) fn take_messages(&mut self) -> impl Iterator<Item = Message> + use<> {
        let bytes = Bytes::from(std::mem::take(&mut self.text));
        let ends = std::mem::take(&mut self.ends);
        let mut start = 0;
        ends.into_iter().map(move |end| {
            let frame = bytes.slice(std::mem::replace(&mut start, end)..end);
            Message::Text(Utf8Bytes::try_from(frame).unwrap_or_default())
        })
    }
}

/// `{"e":"trade",..}`.
pub(super) fn write_trade(text: &mut String, symbol: &str, trade: &Trade, event_us: i64, unit: TimeUnit) {
    let _ = write!(
        text,
        r#"{{"e":"trade","E":{},"s":"{symbol}","t":{},"p":"{:.8}","q":"{:.8}","T":{},"m":{},"M":true}}"#,
        unit.of(event_us),
        trade.id,
        trade.price,
        trade.quantity,
        unit.of(trade.time_us),
        trade.buyer_is_maker,
    );
}

/// Something in the place of a trade, made from one that there is.
pub(super) fn write_false_trade(text: &mut String, symbol: &str, trade: &Trade, frame: FalseFrame) {
    let (id, price, time) =
        (trade.id.to_string(), format!("\"{:.8}\"", trade.price), trade.time_us.to_string());
    let even = trade.id % 2 == 0;
    let (id, price, time) = match frame {
        FalseFrame::Oversized => (id, format!("\"{}\"", "9".repeat(OVERSIZED_BYTES)), time),
        FalseFrame::WrongTypes if even => (format!("\"{id}\""), price, time),
        FalseFrame::WrongTypes => (id, "{\"amount\":1.5}".to_owned(), "[true]".to_owned()),
        FalseFrame::AbsurdId if even => (format!("-{id}"), price, time),
        FalseFrame::AbsurdId => (format!("{id}{}", "0".repeat(18)), price, time),
        FalseFrame::AbsurdTime if even => (id, price, format!("-{time}")),
        FalseFrame::AbsurdTime => (id, price, i64::MAX.to_string()),
        FalseFrame::AbsurdPrice if even => (id, "\"-0.00000001\"".to_owned(), time),
        FalseFrame::AbsurdPrice => (id, format!("\"1{}\"", "0".repeat(80)), time),
    };
    let _ = write!(
        text,
        r#"{{"e":"trade","E":{time},"s":"{symbol}","t":{id},"p":{price},"q":"1.00000000","T":{time},"m":true,"M":true}}"#
    );
}

/// `{"e":"aggTrade",..}`.
pub(super) fn write_aggregate(
    text: &mut String,
    symbol: &str,
    aggregate: &AggregateTrade,
    event_us: i64,
    unit: TimeUnit,
) {
    let last = &aggregate.last;
    let _ = write!(
        text,
        r#"{{"e":"aggTrade","E":{},"s":"{symbol}","a":{},"p":"{:.8}","q":"{:.8}","f":{},"l":{},"T":{},"m":{},"M":true}}"#,
        unit.of(event_us),
        last.aggregate_id,
        last.price,
        aggregate.quantity,
        aggregate.first_trade_id,
        last.id,
        unit.of(last.time_us),
        last.buyer_is_maker,
    );
}

/// `{"e":"kline",..}`; `is_closed` in the window's last message.
pub(super) fn write_kline(
    text: &mut String,
    symbol: &str,
    interval: &str,
    window: &WindowKline,
    is_closed: bool,
    event_us: i64,
    unit: TimeUnit,
) {
    let Kline { open, high, low, close, volume, trade_count, .. } = window.kline;
    let _ = write!(
        text,
        r#"{{"e":"kline","E":{},"s":"{symbol}","k":{{"t":{},"T":{},"s":"{symbol}","i":"{interval}","f":{},"L":{},"o":"{open:.8}","c":"{close:.8}","h":"{high:.8}","l":"{low:.8}","v":"{volume:.8}","n":{trade_count},"x":{is_closed},"q":"{:.8}","V":"{:.8}","Q":"{:.8}","B":"0"}}}}"#,
        unit.of(event_us),
        unit.of(window.open_us),
        unit.last_before(window.end_us),
        window.kline.first_trade_id,
        window.kline.last_trade_id,
        window.kline.printed_quote_volume(),
        window.kline.taker_buy_volume,
        window.kline.printed_taker_buy_quote_volume(),
    );
}

/// `{"e":"24hrMiniTicker",..}`.
pub(super) fn write_mini_ticker(text: &mut String, ticker: &Ticker, event_us: i64, unit: TimeUnit) {
    let kline = &ticker.kline;
    let _ = write!(
        text,
        r#"{{"e":"24hrMiniTicker","E":{},"s":"{}","c":"{:.8}","o":"{:.8}","h":"{:.8}","l":"{:.8}","v":"{:.8}","q":"{:.8}"}}"#,
        unit.of(event_us),
        ticker.symbol,
        kline.close,
        kline.open,
        kline.high,
        kline.low,
        kline.volume,
        kline.printed_quote_volume(),
    );
}

/// `{"e":"24hrTicker",..}`.
pub(super) fn write_ticker(text: &mut String, ticker: &Ticker, event_us: i64, unit: TimeUnit) {
    let kline = &ticker.kline;
    let _ = write!(
        text,
        r#"{{"e":"24hrTicker","E":{},"s":"{}","p":"{:.8}","P":"{}","w":"{:.8}","x":"{:.8}","c":"{:.8}","Q":"{:.8}","b":"{:.8}","B":"{:.8}","a":"{:.8}","A":"{:.8}","o":"{:.8}","h":"{:.8}","l":"{:.8}","v":"{:.8}","q":"{:.8}","O":{},"C":{},"F":{},"L":{},"n":{}}}"#,
        unit.of(event_us),
        ticker.symbol,
        ticker.price_change(),
        ticker.price_change_percent(),
        ticker.weighted_average_price(),
        ticker.previous_close,
        kline.close,
        ticker.last_quantity,
        kline.close,
        ticker.last_quantity,
        ticker.ask_price,
        ticker.last_quantity,
        kline.open,
        kline.high,
        kline.low,
        kline.volume,
        kline.printed_quote_volume(),
        unit.of(ticker.open_us),
        unit.of(ticker.close_us),
        kline.first_trade_id,
        kline.last_trade_id,
        kline.trade_count,
    );
}

/// `{"e":"serverShutdown","E":..}`; the time is in the connection's unit.
pub(super) fn write_server_shutdown(text: &mut String, event_time: i64) {
    let _ = write!(text, r#"{{"e":"serverShutdown","E":{event_time}}}"#);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(frames: &mut Frames) -> Vec<String> {
        frames.take_messages().map(|message| message.into_text().unwrap().to_string()).collect()
    }

    fn trade() -> Trade {
        Trade {
            id: 5_412_300_001,
            price: "94250.15".parse().unwrap(),
            quantity: "0.013".parse().unwrap(),
            time_us: 1_767_225_600_124_567,
            aggregate_id: 3_301_200_400,
            buyer_is_maker: false,
        }
    }

    #[test]
    fn trades_are_written_as_the_exchange_does() {
        let mut frames = Frames::default();
        let raw = Format::default();
        let combined = Format { combined: true, time_unit: TimeUnit::Microseconds };
        for format in [raw, combined] {
            frames.add(format, "btcusdt@trade", |text| {
                write_trade(text, "BTCUSDT", &trade(), 1_767_225_600_125_999, format.time_unit);
            });
        }
        assert_eq!(
            texts(&mut frames),
            [
                r#"{"e":"trade","E":1767225600125,"s":"BTCUSDT","t":5412300001,"p":"94250.15000000","q":"0.01300000","T":1767225600124,"m":false,"M":true}"#,
                r#"{"stream":"btcusdt@trade","data":{"e":"trade","E":1767225600125999,"s":"BTCUSDT","t":5412300001,"p":"94250.15000000","q":"0.01300000","T":1767225600124567,"m":false,"M":true}}"#,
            ]
        );
        assert!(frames.is_empty());
    }

    #[test]
    fn aggregates_are_written_as_the_exchange_does() {
        let mut text = String::new();
        let last = Trade { id: 5_412_300_003, quantity: "0.028".parse().unwrap(), ..trade() };
        let aggregate = AggregateTrade::from(trade()).with(&last).unwrap();
        write_aggregate(&mut text, "BTCUSDT", &aggregate, 1_767_225_600_125_000, TimeUnit::Milliseconds);
        assert_eq!(
            text,
            r#"{"e":"aggTrade","E":1767225600125,"s":"BTCUSDT","a":3301200400,"p":"94250.15000000","q":"0.04100000","f":5412300001,"l":5412300003,"T":1767225600124,"m":false,"M":true}"#
        );
    }

    #[test]
    fn frames_can_be_damaged_and_repeated() {
        let mut frames = Frames::default();
        for payload in ["first", "secondly"] {
            frames.add(Format::default(), "", |text| text.push_str(payload));
        }
        frames.repeat_last();
        frames.damage_last();
        assert_eq!(texts(&mut frames), ["first", "secondly", "seco"]);
    }
}
