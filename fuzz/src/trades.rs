//! Decoders of trades: what they let through is a trade that every later step can take, and it survives the topic.

use std::io::Cursor;
use std::ops::Range;

use jiff::civil::date;
use market::{Market, Trade, is_trade_id, is_trade_time};
use worker::exchange::{
    AskedTrade, DumpError, StreamEvent, WantedRows, parse_frame, read_aggregate_trades, read_dump_rows,
    read_dump_steps, read_exchange_info, read_historical_trades, read_newest_trades, read_prices,
};
use worker::record::{Content, RecordEncoder, RecordError, decode_value};

use crate::allocation::within;

const RECEIVED_US: i64 = 1_767_225_600_130_000;
/// 4 March 2025, and the moment of it from which trades are wanted.
const DUMP_DAY_US: Range<i64> = 1_741_046_400_000_000..1_741_132_800_000_000;
const DUMP_FROM_US: i64 = DUMP_DAY_US.start + 2_000_000;

/// What a decoder of JSON may hold at once: some small things, and rows that are larger than their shortest text.
const fn bound(data: &[u8]) -> usize {
    16 * 1024 + 32 * data.len()
}

/// A text message of an exchange's stream.
pub fn frame(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match within(bound(data), || parse_frame(text, RECEIVED_US)) {
        Ok(StreamEvent::Trade { symbol, trade }) => {
            assert_fit(&trade);
            assert_eq!(trade.received_time_us, RECEIVED_US);
            assert_survives(&Market::new("binance", &*symbol), &Content::Trade(trade));
        }
        Ok(StreamEvent::Ticker { symbol, ticker }) => {
            assert_eq!(ticker.received_time_us, RECEIVED_US);
            assert_survives(&Market::new("binance", &*symbol), &Content::Ticker(ticker));
        }
        Ok(_) => {}
        Err(error) => assert_named(error.reason(), &error),
    }
}

/// The body of an exchange's answer, whichever question it answers.
pub fn rest_answer(data: &[u8]) {
    match within(bound(data), || read_historical_trades(data, RECEIVED_US)) {
        Ok(trades) => {
            assert!(trades.is_sorted_by(|left, right| left.first_id() < right.first_id()));
            trades.iter().for_each(assert_asked);
        }
        Err(error) => assert_named("unreadable", &error),
    }
    match within(bound(data), || read_aggregate_trades(data, RECEIVED_US)) {
        Ok(rows) => {
            assert!(rows.is_sorted_by(|left, right| left.trades.last_id() < right.trades.first_id()));
            rows.iter().for_each(|row| assert_asked(&row.trades));
        }
        Err(error) => assert_named("unreadable", &error),
    }
    match within(bound(data), || read_newest_trades(data)) {
        Ok(newest) => {
            assert!(newest.iter().all(|trade| is_trade_id(trade.last_id) && is_trade_time(trade.time_us)))
        }
        Err(error) => assert_named("unreadable", &error),
    }
    match within(bound(data), || read_prices(data)) {
        Ok(prices) => {
            for told in prices {
                match told.price() {
                    Ok(price) => assert!(price.is_positive()),
                    Err(error) => assert_named(error.reason(), &error),
                }
            }
        }
        Err(error) => assert_named("unreadable", &error),
    }
    match within(bound(data), || read_exchange_info(data)) {
        Ok(info) => {
            let asked = [String::from("BTCUSDT"), String::new()];
            let listings = info.listings(&asked);
            assert!(listings.iter().map(|listing| &listing.symbol).eq(&asked));
        }
        Err(error) => assert_named("unreadable", &error),
    }
}

fn assert_asked(asked: &AskedTrade) {
    assert!(
        is_trade_id(asked.first_id()) && is_trade_id(asked.last_id()) && asked.first_id() <= asked.last_id()
    );
    assert!(is_trade_time(asked.trade_time_us()));
    if let AskedTrade::Found(trade) = asked {
        assert_fit(trade);
        assert_survives(&Market::new("binance", "BTCUSDT"), &Content::Trade(*trade));
    }
}

/// A daily file of 4 March 2025: the zip, and what is in it.
pub fn dump(data: &[u8]) {
    let wanted = WantedRows {
        name: "BTCUSDT-trades-2025-03-04.zip".to_owned(),
        day: date(2025, 3, 4),
        from_us: DUMP_FROM_US,
        received_time_us: RECEIVED_US,
        most: 3,
    };
    let take = |step: Vec<Trade>| {
        assert!((1..=3).contains(&step.len()));
        for trade in &step {
            assert_fit(trade);
            assert!(DUMP_DAY_US.contains(&trade.trade_time_us) && trade.received_time_us == RECEIVED_US);
        }
        true
    };
    let told = |read: Result<(), DumpError>| {
        if let Err(error) = read {
            assert!(error.is_about_the_file() && error.to_string().contains(&wanted.name), "{error}");
        }
    };
    told(within(bound(data), || read_dump_rows(data, &wanted, take)));
    // A byte can stand for some thousand.
    told(within((1 << 20) + 4_096 * data.len(), || read_dump_steps(Cursor::new(data), &wanted, take)));
}

/// The value of a Kafka record.
pub fn record(data: &[u8]) {
    match within(bound(data), || decode_value(data)) {
        Ok(decoded) => {
            let market = Market::new(&*decoded.venue, &*decoded.symbol);
            assert_storable(&market);
            match &decoded.content {
                Content::Trade(trade) => {
                    assert_fit(trade);
                    assert!(is_trade_time(trade.event_time_us) && is_trade_time(trade.received_time_us));
                }
                Content::Ticker(ticker) => {
                    assert!(ticker.is_possible() && is_trade_time(ticker.received_time_us), "{ticker:?}");
                }
            }
            let again = encoded(&market, &decoded.content);
            assert_eq!(decode_value(&again).expect("what was read once is read again"), decoded);
        }
        Err(RecordError::Refused(refused, error)) => {
            assert!(is_trade_id(refused.trade.trade_id) && is_trade_time(refused.trade.trade_time_us));
            assert_storable(&refused.market);
            assert_eq!(error.reason(), refused.trade.reason.as_str());
        }
        Err(error) => assert_named(error.reason(), &error),
    }
}

/// A trade that the plan takes, with a value that every column holds.
fn assert_fit(trade: &Trade) {
    assert!(trade.is_possible(), "{trade:?}");
    assert!(trade.price.checked_mul(trade.quantity).is_ok(), "{trade:?}");
}

/// Databases hold no NUL in a text, and index no text of kilobytes.
fn assert_storable(market: &Market) {
    for name in [&market.venue, &market.symbol] {
        assert!(!name.is_empty() && name.len() <= 256 && !name.contains(char::is_control), "{name:?}");
    }
}

/// What is written to the topic is read from it, unless its symbol can be none.
fn assert_survives(market: &Market, content: &Content) {
    let value = encoded(market, content);
    match decode_value(&value) {
        Ok(decoded) => {
            assert_eq!((&*decoded.symbol, &decoded.content), (market.symbol.as_str(), content));
        }
        Err(error) => assert_eq!(error.reason(), "bad_name", "{market} {content:?}"),
    }
}

fn encoded(market: &Market, content: &Content) -> Vec<u8> {
    let mut value = Vec::new();
    RecordEncoder::new(market).encode(content, &mut value);
    value
}

/// An error has a word for counters and says something to a person.
fn assert_named(reason: &str, error: &dyn std::error::Error) {
    assert!(!reason.is_empty() && reason.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'));
    assert!(!error.to_string().is_empty());
}
