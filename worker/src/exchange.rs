//! What the exchange adapters have in common: one adapter per exchange turns frames into trades and
//! knows how its exchange wants to be asked. The rest of the worker sees only what stands here.

use std::borrow::Cow;
use std::time::Duration;

use crds::worker_settings::Feed;
use market::{Ticker, Trade};

use crate::amount::AmountError;

pub mod binance;
mod binance_dumps;
mod binance_frame;
mod binance_rest;

pub use binance_dumps::{
    BinanceDumps, DumpError, RowError, RowProblem, WantedRows, dump_name, read_rows as read_dump_rows,
    read_steps as read_dump_steps,
};
pub use binance_frame::parse_frame;
pub use binance_rest::{
    AskedAggregate, AskedTrade, BinanceRest, ExchangeInfo, Kline, MOST_KLINES, MOST_TRADES, NewestTrade,
    RestError, ToldPrice, read_aggregate_trades, read_exchange_info, read_historical_trades,
    read_newest_trades, read_prices,
};

/// What a frame of a stream says.
#[derive(Debug, PartialEq, Eq)]
pub enum StreamEvent<'a> {
    /// A trade of `symbol`.
    Trade {
        /// The symbol as the exchange writes it.
        symbol: Cow<'a, str>,
        /// The trade.
        trade: Trade,
    },
    /// A sample of the price of `symbol`.
    Ticker {
        /// The symbol as the exchange writes it.
        symbol: Cow<'a, str>,
        /// The sample.
        ticker: Box<Ticker>,
    },
    /// The request with this id was carried out.
    Acknowledged {
        /// The id that the request had.
        id: i64,
    },
    /// The request with this id was refused; without one, what was sent could not be read at all.
    Refused {
        /// The id that the request had.
        id: Option<i64>,
        /// Code and message of the exchange.
        message: String,
    },
    /// The exchange is about to close the connection.
    ShutdownNotice,
}

/// Why a frame is left out: counted under its [`reason`](Self::reason), it never stops the stream.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// Not JSON text, or cut.
    #[error("the frame is not JSON")]
    NotJson(#[source] serde_json::Error),
    /// A field has another type than the exchange documents.
    #[error("a field of the frame has the wrong type")]
    WrongType(#[source] serde_json::Error),
    /// A field that a trade or a ticker must have is absent.
    #[error("field {0} is missing")]
    MissingField(&'static str),
    /// Another event than was subscribed.
    #[error("event {0:?} was not subscribed")]
    UnexpectedEvent(String),
    /// A trade where tickers were subscribed, or the other way about.
    #[error("an event of the feed {0:?}, which was not subscribed")]
    UnexpectedFeed(Feed),
    /// A symbol that was not subscribed.
    #[error("symbol {0:?} was not subscribed")]
    UnexpectedSymbol(String),
    /// Trade ids are consecutive from zero upwards.
    #[error("trade id {0} can be no trade's")]
    IdOutOfRange(i64),
    /// A time before 1970 or after 9998.
    #[error("time {0} lies outside of the years 1970 to 9998")]
    TimeOutOfRange(i64),
    /// The price or the quantity cannot be held.
    #[error(transparent)]
    Amount(#[from] AmountError),
    /// A frame of bytes, where the exchange documents text.
    #[error("a binary frame of {0} bytes")]
    BinaryFrame(usize),
}

impl FrameError {
    /// A short stable word for counters.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::NotJson(_) => "not_json",
            Self::WrongType(_) => "wrong_type",
            Self::MissingField(_) => "missing_field",
            Self::UnexpectedEvent(_) | Self::UnexpectedFeed(_) => "unexpected_event",
            Self::UnexpectedSymbol(_) => "unexpected_symbol",
            Self::IdOutOfRange(_) => "id_out_of_range",
            Self::TimeOutOfRange(_) => "time_out_of_range",
            Self::Amount(error) => error.reason(),
            Self::BinaryFrame(_) => "binary_frame",
        }
    }
}

/// What the exchange says of a symbol that was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SymbolListing {
    /// The symbol as it was asked for.
    pub symbol: String,
    /// Whether it is listed, and traded now.
    pub listing: Listing,
    /// How many decimals a price times a quantity has at most, where the exchange says it.
    pub quote_decimals: Option<u32>,
}

/// Whether a symbol is listed, and traded now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Listing {
    /// Not asked yet.
    #[default]
    Unchecked,
    /// Not listed: its streams would be acknowledged and stay silent.
    Unknown,
    /// Listed, but halted, in a break or about to be delisted.
    NotTrading,
    /// Listed and traded.
    Trading,
}

impl Listing {
    /// Whether its trades can be subscribed: a halted symbol's stream goes on when the halt ends.
    #[must_use]
    pub const fn can_be_subscribed(self) -> bool {
        matches!(self, Self::NotTrading | Self::Trading)
    }
}

/// How long an exchange that answered with `status` wants to be left alone, where it wants that:
/// what it says itself, and at least what its bans are known to last.
#[must_use]
pub fn pause_after_status(status: u16, retry_after: Option<&str>) -> Option<Duration> {
    let shortest = match status {
        429 => Duration::from_secs(10),
        // A ban, a firewall and a restricted region: asking again soon makes the first longer.
        418 | 403 | 451 => shortest_ban(),
        _ => return None,
    };
    let asked_s = retry_after.and_then(|seconds| seconds.trim().parse::<u64>().ok()).unwrap_or(0);
    Some(Duration::from_secs(asked_s).clamp(shortest, LONGEST_PAUSE))
}

fn shortest_ban() -> Duration {
    let shortest = Duration::from_mins(2);
    #[cfg(feature = "test-switches")]
    let shortest = crate::test_switches::shorten_ban(shortest);
    shortest
}

/// The longest ban that Binance documents: three days.
const LONGEST_PAUSE: Duration = Duration::from_hours(72);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bans_are_obeyed_as_long_as_the_exchange_says() {
        assert_eq!(pause_after_status(429, Some("33")), Some(Duration::from_secs(33)));
        assert_eq!(pause_after_status(418, Some("86400")), Some(Duration::from_secs(86_400)));
    }

    #[test]
    fn without_a_usable_header_a_ban_still_pauses() {
        for header in [None, Some("soon"), Some("0"), Some("-5")] {
            assert_eq!(pause_after_status(451, header), Some(Duration::from_secs(120)), "{header:?}");
        }
    }

    #[test]
    fn no_header_stops_the_stream_for_ever() {
        assert_eq!(pause_after_status(429, Some("99999999999")), Some(LONGEST_PAUSE));
    }

    #[test]
    fn other_answers_ask_for_no_pause() {
        for status in [200, 400, 404, 500, 503] {
            assert_eq!(pause_after_status(status, Some("60")), None, "{status}");
        }
    }
}
