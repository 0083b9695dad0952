//! A frame of Binance's combined streams -> what it says. Pure.

use market::{Fixed, RollingDay, Ticker, Trade, is_trade_id, is_trade_time};
use serde::Deserialize;
use serde_json::error::Category;

use super::{FrameError, StreamEvent};
use crate::amount::{read_amount, read_amounts, read_price};
use crate::json_text::JsonText;

/// The events that are subscribed, by their names.
const TRADE_EVENT: &str = "trade";
const TICKER_EVENT: &str = "24hrTicker";

/// Times below are milliseconds: 10^14 microseconds were in 1973, 10^14 milliseconds are in 5138.
/// Servers that do not know `timeUnit` send milliseconds whatever is asked.
const FIRST_MICROSECOND_TIME: i64 = 100_000_000_000_000;

/// One text message. Which of the fields are there tells what it is:
/// ```text
/// {"stream":"btcusdt@trade","data":{"e":"trade",...}}                           an event, see BinanceEvent
/// {"result":null,"id":1}                                                        a request was carried out
/// {"error":{"code":2,"msg":"Invalid request: invalid stream"},"id":1}           refused, as the wire has it
/// {"code":2,"msg":"Invalid request: invalid stream","id":1}                     refused, as the documents have it
/// {"e":"serverShutdown","E":1767225600000000}                                   notice outside an envelope
/// {"stream":"!serverShutdown","data":{"e":"serverShutdown","E":1767225600000000}}  notice inside one
/// ```
#[derive(Deserialize)]
struct BinanceFrame<'a> {
    #[serde(borrow)]
    data: Option<BinanceEvent<'a>>,
    #[serde(borrow, rename = "e")]
    event: Option<JsonText<'a>>,
    id: Option<i64>,
    #[serde(borrow)]
    error: Option<BinanceRefusal<'a>>,
    code: Option<i64>,
    #[serde(borrow)]
    msg: Option<JsonText<'a>>,
}

#[derive(Deserialize)]
struct BinanceRefusal<'a> {
    code: i64,
    #[serde(borrow)]
    msg: JsonText<'a>,
}

/// An event in its envelope. That of `<symbol>@trade`, where `m` says that the buyer is the maker:
/// ```json
/// {"e":"trade","E":1767225600125123,"s":"BTCUSDT","t":5412300001,"p":"94250.15000000","q":"0.01300000",
///  "T":1767225600124456,"m":false,"M":true}
/// ```
#[derive(Deserialize)]
struct BinanceEvent<'a> {
    #[serde(borrow, rename = "e")]
    event: Option<JsonText<'a>>,
    #[serde(rename = "E")]
    event_time: Option<i64>,
    #[serde(borrow, rename = "s")]
    symbol: Option<JsonText<'a>>,
    #[serde(rename = "t")]
    trade_id: Option<i64>,
    #[serde(borrow, rename = "p")]
    price: Option<JsonText<'a>>,
    #[serde(borrow, rename = "q")]
    quantity: Option<JsonText<'a>>,
    #[serde(rename = "T")]
    trade_time: Option<i64>,
    #[serde(rename = "m")]
    buyer_is_maker: Option<bool>,
}

/// A frame whose event is a ticker.
#[derive(Deserialize)]
struct BinanceTickerFrame<'a> {
    #[serde(borrow)]
    data: BinanceTicker<'a>,
}

/// The event of `<symbol>@ticker`. `c` is the last price; `o`, `h`, `l`, `v`, `q` and `n` are of the 24 hours before:
/// ```json
/// {"e":"24hrTicker","E":1767225603000123,"s":"BTCUSDT","p":"460.00000000","c":"94260.00000000","o":"93800.00000000",
///  "h":"95010.00000000","l":"93550.00000000","v":"18000.00000000","q":"1695600000.00000000","n":1300041, ...}
/// ```
#[derive(Deserialize)]
struct BinanceTicker<'a> {
    #[serde(rename = "E")]
    event_time: Option<i64>,
    #[serde(borrow, rename = "s")]
    symbol: Option<JsonText<'a>>,
    #[serde(borrow, rename = "c")]
    last_price: Option<JsonText<'a>>,
    #[serde(borrow, rename = "o")]
    open: Option<JsonText<'a>>,
    #[serde(borrow, rename = "h")]
    high: Option<JsonText<'a>>,
    #[serde(borrow, rename = "l")]
    low: Option<JsonText<'a>>,
    #[serde(borrow, rename = "v")]
    volume: Option<JsonText<'a>>,
    #[serde(borrow, rename = "q")]
    quote_volume: Option<JsonText<'a>>,
    #[serde(rename = "n")]
    trade_count: Option<i64>,
}

/// Reads one text message that came at `received_time_us` by our own clock.
///
/// # Errors
/// [`FrameError`] where it is none that a subscriber of trades or tickers can expect.
pub fn parse_frame(text: &str, received_time_us: i64) -> Result<StreamEvent<'_>, FrameError> {
    let frame: BinanceFrame<'_> = read_json(text)?;
    if let Some(event) = frame.data {
        let JsonText(name) = present("e", event.event.as_ref())?;
        return match name.as_ref() {
            TRADE_EVENT => read_trade(event, received_time_us),
            // Letters mean something else in every event.
            TICKER_EVENT => read_ticker(read_json::<BinanceTickerFrame<'_>>(text)?.data, received_time_us),
            name => unnamed_event(name),
        };
    }
    if let Some(JsonText(event)) = frame.event {
        return unnamed_event(&event);
    }
    let refusal = frame.error.map(|refusal| (refusal.code, refusal.msg)).or(frame.code.zip(frame.msg));
    match (refusal, frame.id) {
        (Some((code, JsonText(message))), id) => {
            Ok(StreamEvent::Refused { id, message: format!("{message} (code {code})") })
        }
        (None, Some(id)) => Ok(StreamEvent::Acknowledged { id }),
        (None, None) => Err(FrameError::MissingField("data")),
    }
}

fn read_json<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, FrameError> {
    serde_json::from_str(text).map_err(|error| match error.classify() {
        Category::Data => FrameError::WrongType(error),
        _ => FrameError::NotJson(error),
    })
}

fn read_trade(event: BinanceEvent<'_>, received_time_us: i64) -> Result<StreamEvent<'_>, FrameError> {
    let JsonText(symbol) = present("s", event.symbol)?;
    let trade_id = present("t", event.trade_id)?;
    if !is_trade_id(trade_id) {
        return Err(FrameError::IdOutOfRange(trade_id));
    }
    let (price, quantity) = read_amounts(&present("p", event.price)?.0, &present("q", event.quantity)?.0)?;
    let trade = Trade {
        trade_id,
        price,
        quantity,
        trade_time_us: in_microseconds(present("T", event.trade_time)?)?,
        event_time_us: in_microseconds(present("E", event.event_time)?)?,
        received_time_us,
        buyer_is_maker: present("m", event.buyer_is_maker)?,
    };
    Ok(StreamEvent::Trade { symbol, trade })
}

fn read_ticker(event: BinanceTicker<'_>, received_time_us: i64) -> Result<StreamEvent<'_>, FrameError> {
    let JsonText(symbol) = present("s", event.symbol)?;
    let day = RollingDay {
        open: figure("o", event.open)?,
        high: figure("h", event.high)?,
        low: figure("l", event.low)?,
        volume: figure("v", event.volume)?,
        quote_volume: figure("q", event.quote_volume)?,
        trade_count: present("n", event.trade_count)?,
    };
    let ticker = Ticker {
        sample_time_us: in_microseconds(present("E", event.event_time)?)?,
        price: read_price(&present("c", event.last_price)?.0)?,
        day: Some(day),
        received_time_us,
    };
    Ok(StreamEvent::Ticker { symbol, ticker: Box::new(ticker) })
}

/// A figure of the 24 hours; zero where nothing was traded.
fn figure<const SCALE: u32>(
    field: &'static str,
    text: Option<JsonText<'_>>,
) -> Result<Fixed<SCALE>, FrameError> {
    Ok(read_amount(field, &present(field, text)?.0)?)
}

/// An event that belongs to no symbol.
fn unnamed_event<'a>(name: &str) -> Result<StreamEvent<'a>, FrameError> {
    match name {
        "serverShutdown" => Ok(StreamEvent::ShutdownNotice),
        other => Err(FrameError::UnexpectedEvent(other.to_owned())),
    }
}

fn present<T>(field: &'static str, value: Option<T>) -> Result<T, FrameError> {
    value.ok_or(FrameError::MissingField(field))
}

fn in_microseconds(time: i64) -> Result<i64, FrameError> {
    read_time_us(time).ok_or(FrameError::TimeOutOfRange(time))
}

/// A time of the exchange in microseconds, whichever unit its server uses; `None` where it can be no trade's.
pub(in crate::exchange) fn read_time_us(time: i64) -> Option<i64> {
    let time_us = if time < FIRST_MICROSECOND_TIME { time.saturating_mul(1_000) } else { time };
    is_trade_time(time_us).then_some(time_us)
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;
    use std::fs::File;
    use std::io::{BufRead as _, BufReader};
    use std::path::PathBuf;

    use flate2::read::GzDecoder;
    use proptest::prelude::*;

    use super::*;

    const TRADE: &str = r#"{"stream":"btcusdt@trade","data":{"e":"trade","E":1767225600125123,"s":"BTCUSDT","t":5412300001,"p":"94250.15000000","q":"0.01300000","T":1767225600124456,"m":false,"M":true}}"#;
    const RECEIVED_US: i64 = 1_767_225_600_130_000;

    fn reason_of(text: &str) -> &'static str {
        parse_frame(text, RECEIVED_US).unwrap_err().reason()
    }

    #[test]
    fn a_trade_frame_becomes_the_trade_it_says() {
        let event = parse_frame(TRADE, RECEIVED_US).unwrap();
        let StreamEvent::Trade { symbol, trade } = event else { panic!("{event:?}") };
        assert!(matches!(symbol, Cow::Borrowed("BTCUSDT")));
        assert_eq!(
            trade,
            Trade {
                trade_id: 5_412_300_001,
                price: "94250.15".parse().unwrap(),
                quantity: "0.013".parse().unwrap(),
                trade_time_us: 1_767_225_600_124_456,
                event_time_us: 1_767_225_600_125_123,
                received_time_us: RECEIVED_US,
                buyer_is_maker: false,
            }
        );
    }

    const TICKER: &str = r#"{"stream":"btcusdt@ticker","data":{"e":"24hrTicker","E":1767225603000123,"s":"BTCUSDT","p":"-460.00000000","P":"-0.490","w":"94200.00000000","x":"93799.99000000","c":"94260.00000000","Q":"0.02000000","b":"94259.99000000","B":"1.10000000","a":"94260.00000000","A":"0.70000000","o":"93800.00000000","h":"95010.00000000","l":"93550.00000000","v":"18000.00000000","q":"1695600000.00000000","O":1767139203000,"C":1767225603000,"F":5411000000,"L":5412300040,"n":1300041}}"#;

    #[test]
    fn a_ticker_frame_becomes_the_sample_it_says() {
        let event = parse_frame(TICKER, RECEIVED_US).unwrap();
        let StreamEvent::Ticker { symbol, ticker } = event else { panic!("{event:?}") };
        assert_eq!(symbol, "BTCUSDT");
        let day = RollingDay {
            open: "93800".parse().unwrap(),
            high: "95010".parse().unwrap(),
            low: "93550".parse().unwrap(),
            volume: "18000".parse().unwrap(),
            quote_volume: "1695600000".parse().unwrap(),
            trade_count: 1_300_041,
        };
        let price = "94260".parse().unwrap();
        let sample_time_us = 1_767_225_603_000_123;
        assert_eq!(*ticker, Ticker { sample_time_us, price, day: Some(day), received_time_us: RECEIVED_US });
        for (found, put, reason) in [
            (r#""c":"94260.00000000""#, r#""c":"0.00000000""#, "price_not_positive"),
            (r#""c":"94260.00000000","#, "", "missing_field"),
            (r#""c":"94260.00000000""#, r#""c":94260"#, "wrong_type"),
            (r#""v":"18000.00000000""#, r#""v":"-1""#, "negative"),
            (r#""E":1767225603000123"#, r#""E":0"#, "time_out_of_range"),
            (r#""n":1300041"#, r#""n":"1300041""#, "wrong_type"),
        ] {
            let damaged = TICKER.replace(found, put);
            assert_ne!(damaged, TICKER);
            assert_eq!(reason_of(&damaged), reason, "{damaged}");
        }
    }

    #[test]
    fn milliseconds_become_microseconds() {
        let text =
            TRADE.replace("1767225600124456", "1767225600124").replace("1767225600125123", "1767225600125");
        let event = parse_frame(&text, RECEIVED_US).unwrap();
        let StreamEvent::Trade { trade, .. } = event else { panic!("{event:?}") };
        assert_eq!(
            (trade.trade_time_us, trade.event_time_us),
            (1_767_225_600_124_000, 1_767_225_600_125_000)
        );
    }

    #[test]
    fn symbols_outside_ascii_are_read_plain_and_escaped() {
        for written in ["币安人生USDT", r"\u5e01\u5b89\u4eba\u751fUSDT"] {
            let text = TRADE.replace("BTCUSDT", written);
            let event = parse_frame(&text, RECEIVED_US).unwrap();
            let StreamEvent::Trade { symbol, .. } = event else { panic!("{event:?}") };
            assert_eq!(symbol, "币安人生USDT");
        }
    }

    #[test]
    fn answers_are_matched_by_id_in_both_forms() {
        let parse = |text| parse_frame(text, RECEIVED_US).unwrap();
        assert_eq!(parse(r#"{"result":null,"id":3}"#), StreamEvent::Acknowledged { id: 3 });
        let refused =
            |id| StreamEvent::Refused { id, message: "Invalid request: invalid stream (code 2)".into() };
        assert_eq!(
            parse(r#"{"error":{"code":2,"msg":"Invalid request: invalid stream"},"id":1}"#),
            refused(Some(1))
        );
        assert_eq!(parse(r#"{"code":2,"msg":"Invalid request: invalid stream","id":1}"#), refused(Some(1)));
        assert_eq!(parse(r#"{"code":2,"msg":"Invalid request: invalid stream"}"#), refused(None));
    }

    #[test]
    fn shutdown_notices_are_known_in_both_forms() {
        for text in [
            r#"{"e":"serverShutdown","E":1767225600000}"#,
            r#"{"stream":"!serverShutdown","data":{"e":"serverShutdown","E":1767225600000}}"#,
        ] {
            assert_eq!(parse_frame(text, RECEIVED_US).unwrap(), StreamEvent::ShutdownNotice);
        }
    }

    #[test]
    fn every_damage_has_its_reason() {
        for (found, put, reason) in [
            ("}}", "}", "not_json"),
            ("}}", "}}}", "not_json"),
            (r#""e":"trade""#, r#""e":"aggTrade""#, "unexpected_event"),
            (r#""e":"trade","#, "", "missing_field"),
            (r#""t":5412300001,"#, "", "missing_field"),
            (r#""t":5412300001"#, r#""t":null"#, "missing_field"),
            (r#""t":5412300001"#, r#""t":"5412300001""#, "wrong_type"),
            (r#""t":5412300001"#, r#""t":-5412300001"#, "id_out_of_range"),
            (r#""t":5412300001"#, r#""t":9223372036854775807"#, "id_out_of_range"),
            (r#""t":5412300001"#, r#""t":5412300001.5"#, "wrong_type"),
            (r#""94250.15000000""#, "94250.15", "wrong_type"),
            (r#""94250.15000000""#, r#""0.00000000""#, "price_not_positive"),
            (r#""94250.15000000""#, r#""94250.150000001""#, "too_many_decimals"),
            (r#""94250.15000000""#, r#""9425O.15""#, "not_a_number"),
            (r#""0.01300000""#, r#""0.00000000""#, "quantity_not_positive"),
            (r#""0.01300000""#, r#""100000000000000000000000""#, "too_large"),
            ("1767225600124456", "0", "time_out_of_range"),
            ("1767225600125123", "-1", "time_out_of_range"),
            ("1767225600125123", "9223372036854775807", "time_out_of_range"),
            (r#""m":false"#, r#""m":0"#, "wrong_type"),
        ] {
            let damaged = TRADE.replace(found, put);
            assert_ne!(damaged, TRADE);
            assert_eq!(reason_of(&damaged), reason, "{damaged}");
        }
    }

    #[test]
    fn what_is_no_frame_at_all_has_its_reason_too() {
        for (text, reason) in [
            ("", "not_json"),
            ("pong", "not_json"),
            ("{}", "missing_field"),
            (r#"{"data":null}"#, "missing_field"),
            (r#"{"stream":"!miniTicker@arr","data":[{"e":"24hrMiniTicker"}]}"#, "wrong_type"),
            ("7", "wrong_type"),
            (r#"{"result":null,"id":"mine"}"#, "wrong_type"),
        ] {
            assert_eq!(reason_of(text), reason, "{text}");
        }
    }

    /// The frames of a recording as the exchange sent them, or none, said openly, where it is absent.
    fn recorded_frames(name: &str) -> Vec<String> {
        let folder = std::env::var("MARKET_DATA").map_or_else(
            |_| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/market-data"),
            PathBuf::from,
        );
        if !folder.is_dir() {
            println!("SKIPPED: no recordings in {}; set MARKET_DATA", folder.display());
            return Vec::new();
        }
        let file = File::open(folder.join(name)).unwrap();
        let lines = BufReader::new(GzDecoder::new(file)).lines().map(Result::unwrap);
        lines.filter_map(|line| Some(line.split_once(": ")?.1.to_owned())).collect()
    }

    #[test]
    fn recorded_frames_of_other_streams_are_left_out_with_a_reason() {
        for name in
            ["frames-binance-ws-1.txt.gz", "frames-binance-us-ws-1.txt.gz", "frames-binance-tr-ws-1.txt.gz"]
        {
            for frame in recorded_frames(name) {
                let reason = reason_of(&frame);
                assert!(["unexpected_event", "missing_field"].contains(&reason), "{reason}: {frame}");
            }
        }
    }

    #[test]
    fn recorded_envelopes_are_read() {
        // Nobody recorded trade streams; the frame of an aggregate differs in two names.
        let frames = recorded_frames("frames-binance-futures-ws-1.txt.gz");
        let aggregates: Vec<_> = frames.iter().filter(|frame| frame.contains(r#""e":"aggTrade""#)).collect();
        assert!(frames.is_empty() || aggregates.len() == 91);
        for frame in aggregates {
            let trade = frame.replace("aggTrade", "trade").replace(r#""a":"#, r#""t":"#);
            let event = parse_frame(&trade, RECEIVED_US).unwrap();
            assert!(matches!(event, StreamEvent::Trade { .. }), "{event:?}");
        }
    }

    proptest! {
        #[test]
        fn no_damaged_character_makes_it_panic(at in 0..TRADE.len(), character in any::<char>()) {
            let text: String = TRADE.char_indices().map(|(index, old)| if index == at { character } else { old }).collect();
            let _ = parse_frame(&text, RECEIVED_US);
        }

        #[test]
        fn no_text_makes_it_panic(text in ".{0,200}") {
            let _ = parse_frame(&text, RECEIVED_US);
        }
    }
}
