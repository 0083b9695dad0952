//! Trade or price sample <-> Kafka record, both ways: the one place that knows how they look on the topic.
//!
//! The key is `venue:symbol`, so that the records of a market stay in one partition and in order. The
//! value is a JSON object; prices and quantities are decimal strings, times microseconds since 1970. A value with a
//! `trade_id` is a trade's, one with a `sample_time_us` a sample's. Fields for other systems' consumers may follow, which are not
//! read here.

use std::borrow::Cow;
use std::io::Write as _;

use crds::worker_settings::{Feed, RecordEncoding};
use market::{Market, RefusedTrade, Ticker, Trade, is_trade_id, is_trade_time};
use serde::Deserialize;

use self::ticker::{DayFields, TickerFields};

use crate::amount::{AmountError, read_amounts};
use crate::json_text::{JsonDecimal, JsonText};

mod compatibility;
mod ticker;

/// What whoever writes records in an encoding wants of librdkafka; a role's own settings go over these.
#[must_use]
pub const fn client_settings(encoding: RecordEncoding) -> [(&'static str, &'static str); 5] {
    // Quick to write and to read; consumers of others may lack the library for it, and gzip is one that all of them read.
    let compression = if matches!(encoding, RecordEncoding::Own) { "lz4" } else { "gzip" };
    [
        ("enable.idempotence", "true"),
        ("acks", "all"),
        ("compression.type", compression),
        ("linger.ms", "5"),
        // The partitioner of the Java clients: every program puts a key into the same partition.
        ("partitioner", "murmur2_random"),
    ]
}

/// Writes the records of one market. What is the same in all of them is made once.
#[derive(Clone, Debug)]
pub struct RecordEncoder {
    key: String,
    value_head: String,
    encoding: RecordEncoding,
    /// The symbol as JSON text.
    symbol: String,
}

impl RecordEncoder {
    /// The encoder for the records of `market`.
    #[must_use]
    pub fn new(market: &Market) -> Self {
        let [venue, symbol] =
            [&market.venue, &market.symbol].map(|name| serde_json::Value::from(name.as_str()));
        Self {
            key: market.to_string(),
            value_head: format!(r#"{{"venue":{venue},"symbol":{symbol},"#),
            encoding: RecordEncoding::Own,
            symbol: symbol.to_string(),
        }
    }

    /// The same, with the fields of `encoding` besides the pipeline's own.
    #[must_use]
    pub fn with(mut self, encoding: RecordEncoding) -> Self {
        self.encoding = encoding;
        self
    }

    /// The record key, which decides the partition.
    #[must_use]
    pub fn key(&self) -> &[u8] {
        self.key.as_bytes()
    }

    /// Puts the record value of `content` into `value`, in place of what it held.
    pub fn encode(&self, content: &Content, value: &mut Vec<u8>) {
        match content {
            Content::Trade(trade) => self.encode_value(trade, value),
            Content::Ticker(ticker) => self.encode_ticker(ticker, value),
        }
    }

    /// Puts the record value of `trade` into `value`, in place of what it held. It allocates only
    /// until `value` has grown to the size of a record.
    pub fn encode_value(&self, trade: &Trade, value: &mut Vec<u8>) {
        let Trade {
            trade_id,
            price,
            quantity,
            trade_time_us,
            event_time_us,
            received_time_us,
            buyer_is_maker,
        } = trade;
        value.clear();
        value.extend_from_slice(self.value_head.as_bytes());
        // Writing to a vector cannot fail.
        let _ = write!(
            value,
            r#""trade_id":{trade_id},"price":"{price}","quantity":"{quantity}","trade_time_us":{trade_time_us},"event_time_us":{event_time_us},"received_time_us":{received_time_us},"buyer_is_maker":{buyer_is_maker}"#
        );
        if self.encoding == RecordEncoding::Trade {
            compatibility::append_trade(&self.symbol, trade, value);
        }
        value.push(b'}');
    }

    /// Puts the record value of a price sample into `value`, in place of what it held.
    fn encode_ticker(&self, ticker: &Ticker, value: &mut Vec<u8>) {
        value.clear();
        value.extend_from_slice(self.value_head.as_bytes());
        ticker::encode(ticker, self.encoding == RecordEncoding::Ticker, value);
        match self.encoding {
            RecordEncoding::PriceTick => compatibility::append_price_tick(ticker, value),
            RecordEncoding::Ticker => compatibility::append_ticker(ticker, value),
            RecordEncoding::Own | RecordEncoding::Trade => {}
        }
        value.push(b'}');
    }
}

/// What a record is of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// A trade, with a positive price and quantity and an id that is not negative.
    Trade(Trade),
    /// A sample of a price, which is positive; twice as large as a trade, and far rarer.
    Ticker(Box<Ticker>),
}

impl Content {
    /// What has to be read for it.
    #[must_use]
    pub const fn feed(&self) -> Feed {
        match self {
            Self::Trade(_) => Feed::Trades,
            Self::Ticker(_) => Feed::Tickers,
        }
    }

    /// Where it stands among those of its market: the id of a trade, the time of a sample.
    #[must_use]
    pub const fn position(&self) -> i64 {
        match self {
            Self::Trade(trade) => trade.trade_id,
            Self::Ticker(ticker) => ticker.sample_time_us,
        }
    }
}

/// What a record value says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecodedRecord<'a> {
    /// Whose market it is; borrowed from the value unless escapes stand in it.
    pub venue: Cow<'a, str>,
    /// The symbol as the exchange writes it; borrowed like the venue.
    pub symbol: Cow<'a, str>,
    /// The trade or the sample.
    pub content: Content,
}

/// Why a record cannot be read. Such a record is set aside with its [`reason`](Self::reason).
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The value is not JSON text, or it is cut.
    #[error("the value is not JSON")]
    NotJson(#[source] serde_json::Error),
    /// The value is JSON, but no object.
    #[error("the value is not a JSON object")]
    NotAnObject,
    /// A field has another type than a record's, or stands there twice.
    #[error("a field of the value has the wrong type")]
    WrongType(#[source] serde_json::Error),
    /// A field is absent or null.
    #[error("field {0} is missing")]
    MissingField(&'static str),
    /// Without a name nobody knows which market the trade belongs to, and not every text can be stored as one.
    #[error("field {0} is empty, longer than {LONGEST_NAME} characters or holds control characters")]
    BadName(&'static str),
    /// Trade ids are consecutive from zero upwards.
    #[error("trade_id {0} can be no trade's")]
    IdOutOfRange(i64),
    /// A time before 1970 or after 9998.
    #[error("{field} {time_us} lies outside of the years 1970 to 9998")]
    TimeOutOfRange {
        /// The field.
        field: &'static str,
        /// What it holds.
        time_us: i64,
    },
    /// The price or the quantity is no number.
    #[error(transparent)]
    Amount(AmountError),
    /// The record is fine, its trade cannot be held.
    #[error("trade {} of {} cannot be held", .0.trade.trade_id, .0.market)]
    Refused(Box<RefusedRecord>, #[source] AmountError),
}

impl RecordError {
    /// A short stable word for counters and tables.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::NotJson(_) => "not_json",
            Self::NotAnObject => "not_an_object",
            Self::WrongType(_) => "wrong_type",
            Self::MissingField(_) => "missing_field",
            Self::BadName(_) => "bad_name",
            Self::IdOutOfRange(_) => "id_out_of_range",
            Self::TimeOutOfRange { .. } => "time_out_of_range",
            Self::Amount(error) | Self::Refused(_, error) => error.reason(),
        }
    }
}

/// What is known of a trade that cannot be held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedRecord {
    /// Whose trade it is.
    pub market: Market,
    /// Which one, and why it cannot be held.
    pub trade: RefusedTrade,
}

/// More than any venue or symbol has; every database indexes it.
const LONGEST_NAME: usize = 64;

/// The fields as they stand in the value. All are optional here, so that an absent one has a name.
#[derive(Deserialize)]
struct RecordFields<'a> {
    #[serde(borrow)]
    venue: Option<JsonText<'a>>,
    #[serde(borrow)]
    symbol: Option<JsonText<'a>>,
    trade_id: Option<i64>,
    #[serde(borrow)]
    price: Option<JsonDecimal<'a>>,
    #[serde(borrow)]
    quantity: Option<JsonText<'a>>,
    trade_time_us: Option<i64>,
    event_time_us: Option<i64>,
    received_time_us: Option<i64>,
    buyer_is_maker: Option<bool>,
    sample_time_us: Option<i64>,
    #[serde(borrow)]
    day: Option<DayFields<'a>>,
}

/// Reads a record value. Unknown fields are left alone: a newer producer may know more.
///
/// # Errors
/// [`RecordError`] where it is no trade and no sample that the pipeline can hold exactly.
pub fn decode_value(value: &[u8]) -> Result<DecodedRecord<'_>, RecordError> {
    let fields: RecordFields<'_> = serde_json::from_slice(value).map_err(|error| match error.classify() {
        serde_json::error::Category::Data => RecordError::WrongType(error),
        _ => RecordError::NotJson(error),
    })?;
    // An array of the right values would pass as the fields in their order.
    if value.trim_ascii_start().first() != Some(&b'{') {
        return Err(RecordError::NotAnObject);
    }
    let venue = name("venue", fields.venue)?;
    let symbol = name("symbol", fields.symbol)?;
    if fields.trade_id.is_none() && fields.sample_time_us.is_some() {
        let RecordFields { sample_time_us, price, received_time_us, day, .. } = fields;
        let ticker = ticker::decode(TickerFields { sample_time_us, price, received_time_us, day })?;
        return Ok(DecodedRecord { venue, symbol, content: Content::Ticker(Box::new(ticker)) });
    }
    let trade_id = present("trade_id", fields.trade_id)?;
    if !is_trade_id(trade_id) {
        return Err(RecordError::IdOutOfRange(trade_id));
    }
    let trade_time_us = time("trade_time_us", fields.trade_time_us)?;
    let event_time_us = time("event_time_us", fields.event_time_us)?;
    let received_time_us = time("received_time_us", fields.received_time_us)?;
    let buyer_is_maker = present("buyer_is_maker", fields.buyer_is_maker)?;
    let (price, quantity) = (present("price", fields.price)?, present("quantity", fields.quantity)?);
    let (price, quantity) = read_amounts(&price.0, &quantity.0).map_err(|error| match error.refusal() {
        Some(reason) => {
            let market = Market::new(venue.as_ref(), symbol.as_ref());
            let trade = RefusedTrade { trade_id, trade_time_us, reason };
            RecordError::Refused(Box::new(RefusedRecord { market, trade }), error)
        }
        None => RecordError::Amount(error),
    })?;
    let trade =
        Trade { trade_id, price, quantity, trade_time_us, event_time_us, received_time_us, buyer_is_maker };
    Ok(DecodedRecord { venue, symbol, content: Content::Trade(trade) })
}

fn present<T>(field: &'static str, value: Option<T>) -> Result<T, RecordError> {
    value.ok_or(RecordError::MissingField(field))
}

fn time(field: &'static str, value: Option<i64>) -> Result<i64, RecordError> {
    let time_us = present(field, value)?;
    if is_trade_time(time_us) { Ok(time_us) } else { Err(RecordError::TimeOutOfRange { field, time_us }) }
}

fn name<'a>(field: &'static str, value: Option<JsonText<'a>>) -> Result<Cow<'a, str>, RecordError> {
    let JsonText(name) = present(field, value)?;
    let is_short = name.chars().nth(LONGEST_NAME).is_none();
    if name.is_empty() || !is_short || name.chars().any(char::is_control) {
        return Err(RecordError::BadName(field));
    }
    Ok(name)
}

#[cfg(test)]
mod tests {
    use market::Fixed8;
    use proptest::prelude::*;

    use super::*;

    const VALUE: &str = r#"{"venue":"binance","symbol":"BTCUSDT","trade_id":5412300001,"price":"94250.15","quantity":"0.013","trade_time_us":1767225600124000,"event_time_us":1767225600125000,"received_time_us":1767225600130123,"buyer_is_maker":false}"#;

    fn trade() -> Trade {
        Trade {
            trade_id: 5_412_300_001,
            price: "94250.15000000".parse().unwrap(),
            quantity: "0.01300000".parse().unwrap(),
            trade_time_us: 1_767_225_600_124_000,
            event_time_us: 1_767_225_600_125_000,
            received_time_us: 1_767_225_600_130_123,
            buyer_is_maker: false,
        }
    }

    #[test]
    fn a_record_has_exactly_the_documented_key_and_fields() {
        let encoder = RecordEncoder::new(&Market::new("binance", "BTCUSDT"));
        let mut value = b"what the buffer held before".to_vec();
        encoder.encode_value(&trade(), &mut value);
        assert_eq!(encoder.key(), b"binance:BTCUSDT");
        assert_eq!(std::str::from_utf8(&value).unwrap(), VALUE);
    }

    #[test]
    fn names_are_borrowed_from_the_value() {
        let decoded = decode_value(VALUE.as_bytes()).unwrap();
        assert!(matches!(decoded.venue, Cow::Borrowed("binance")));
        assert!(matches!(decoded.symbol, Cow::Borrowed("BTCUSDT")));
        assert_eq!(decoded.content, Content::Trade(trade()));
    }

    #[test]
    fn spaces_other_order_and_unknown_fields_are_fine() {
        let value = VALUE.replace(':', " : ").replace(r#"{"venue""#, r#" {"later":[1],"venue""#);
        assert_eq!(decode_value(value.as_bytes()).unwrap().content, Content::Trade(trade()));
    }

    #[test]
    fn every_damage_has_its_reason() {
        for (found, put, reason) in [
            (r#""94250.15""#, "[94250.15]", "wrong_type"),
            (r#""94250.15""#, "94250.15e3", "not_a_number"),
            (r#""94250.15""#, r#""94250.123456789""#, "too_many_decimals"),
            (r#""94250.15""#, r#""0.0""#, "price_not_positive"),
            (r#""94250.15""#, r#""1e5""#, "not_a_number"),
            (r#""0.013""#, r#""-0.013""#, "quantity_not_positive"),
            (r#""0.013""#, r#""99999999999999999999999""#, "too_large"),
            (r#""0.013""#, "null", "missing_field"),
            ("5412300001", "-1", "id_out_of_range"),
            ("5412300001", "9007199254740992", "id_out_of_range"),
            ("1767225600124000", "0", "time_out_of_range"),
            ("1767225600125000", "253370764800000000", "time_out_of_range"),
            ("1767225600130123", "-1", "time_out_of_range"),
            ("5412300001", "1.5", "wrong_type"),
            ("5412300001", "9223372036854775808", "wrong_type"),
            (r#""binance""#, r#""""#, "bad_name"),
            (r#""BTCUSDT""#, r#""BTC\u0000USDT""#, "bad_name"),
            (r#""BTCUSDT""#, &format!("{:?}", "B".repeat(65)), "bad_name"),
            ("buyer_is_maker", "buyer_is_taker", "missing_field"),
            ("event_time_us", "trade_id", "wrong_type"),
            ("}", "", "not_json"),
            ("}", "}}", "not_json"),
        ] {
            let damaged = VALUE.replace(found, put);
            assert_ne!(damaged, VALUE);
            assert_eq!(decode_value(damaged.as_bytes()).unwrap_err().reason(), reason, "{damaged}");
        }
    }

    #[test]
    fn a_price_that_is_a_number_is_read_to_the_last_digit() {
        let value = VALUE.replace(r#""94250.15""#, "12345678901234567.00000001");
        let Content::Trade(trade) = decode_value(value.as_bytes()).unwrap().content else {
            panic!("{value}")
        };
        assert_eq!(trade.price.to_string(), "12345678901234567.00000001");
        let escaped = VALUE.replace("94250.15", r"94250\u002e15");
        assert_eq!(
            decode_value(escaped.as_bytes()).unwrap().content,
            decode_value(VALUE.as_bytes()).unwrap().content
        );
    }

    #[test]
    fn a_trade_that_cannot_be_held_is_known_by_its_id() {
        let value = VALUE.replace("94250.15", "94250.123456789");
        let error = decode_value(value.as_bytes()).unwrap_err();
        assert_eq!(error.to_string(), "trade 5412300001 of binance:BTCUSDT cannot be held");
        let RecordError::Refused(refused, _) = error else { panic!("{error:?}") };
        let reason = market::RefusalReason::TooManyDecimals;
        let Trade { trade_id, trade_time_us, .. } = trade();
        assert_eq!(refused.trade, RefusedTrade { trade_id, trade_time_us, reason });
        // What is no number at all says nothing of the trade.
        let damaged = VALUE.replace("94250.15", "9425O.15");
        assert!(matches!(decode_value(damaged.as_bytes()), Err(RecordError::Amount(_))));
    }

    #[test]
    fn other_values_than_objects_are_refused() {
        let array = r#"["binance","BTCUSDT",1,"1","1",1,1,1,true,null,null]"#;
        assert_eq!(decode_value(array.as_bytes()).unwrap_err().reason(), "not_an_object");
        assert_eq!(decode_value(b"7").unwrap_err().reason(), "wrong_type");
        for not_json in [&b""[..], b"\xff\xfe", b"{\"venue\":\"\xff\"}", b"trade"] {
            assert_eq!(decode_value(not_json).unwrap_err().reason(), "not_json");
        }
    }

    prop_compose! {
        fn amounts()(price in 1..10_i128.pow(18), quantity in 1..10_i128.pow(18)) -> (Fixed8, Fixed8) {
            (Fixed8::from_units(price).unwrap(), Fixed8::from_units(quantity).unwrap())
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(
            venue in "\\PC{1,12}",
            symbol in "\\PC{1,12}",
            trade_id in 0..=market::HIGHEST_TRADE_ID,
            (price, quantity) in amounts(),
            times in prop::array::uniform3(1..253_370_764_800_000_000_i64),
            buyer_is_maker in any::<bool>(),
            encoding in prop::sample::select(&[RecordEncoding::Own, RecordEncoding::Trade][..]),
        ) {
            let [trade_time_us, event_time_us, received_time_us] = times;
            let trade =
                Trade { trade_id, price, quantity, trade_time_us, event_time_us, received_time_us, buyer_is_maker };
            let mut value = Vec::new();
            let market = Market::new(venue.as_str(), symbol.as_str());
            RecordEncoder::new(&market).with(encoding).encode_value(&trade, &mut value);
            let decoded = decode_value(&value).unwrap();
            let content = Content::Trade(trade);
            prop_assert_eq!((&*decoded.venue, &*decoded.symbol, decoded.content), (&*venue, &*symbol, content));
        }

        #[test]
        fn no_bytes_make_it_panic(value in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = decode_value(&value);
        }

        #[test]
        fn no_single_damaged_byte_makes_it_panic(at in 0..VALUE.len(), byte in any::<u8>()) {
            let mut value = VALUE.as_bytes().to_vec();
            value[at] = byte;
            let _ = decode_value(&value);
        }
    }
}
