//! One trade of an exchange, and the names that say which market it belongs to.

use std::fmt;

use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use crate::Fixed8;

/// Whose trade ids these are, and of which symbol: ids are consecutive within one market.
///
/// Prints as `venue:symbol`, which is also the Kafka record key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Market {
    /// Whose ids these are, e.g. `binance`.
    pub venue: SmolStr,
    /// The symbol as the exchange writes it, e.g. `BTCUSDT`.
    pub symbol: SmolStr,
}

impl Market {
    /// The market of `symbol` at `venue`.
    pub fn new(venue: impl Into<SmolStr>, symbol: impl Into<SmolStr>) -> Self {
        Self { venue: venue.into(), symbol: symbol.into() }
    }
}

impl fmt::Display for Market {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}", self.venue, self.symbol)
    }
}

/// The highest trade id there is: the largest number that every reader of JSON holds exactly, and a million times what
/// exchanges have reached. With it, no sum over ids leaves an `i64`, here or in a database.
pub const HIGHEST_TRADE_ID: i64 = (1 << 53) - 1;

/// Times end here: the first microsecond of year 9999, which every calendar and every database still has.
const END_OF_TIME_US: i64 = 253_370_764_800_000_000;

/// Whether `id` can be a trade's: exchanges count from zero upwards.
#[must_use]
pub const fn is_trade_id(id: i64) -> bool {
    0 <= id && id <= HIGHEST_TRADE_ID
}

/// Whether `time_us` can be a trade's: after 1970 and before 9999.
#[must_use]
pub const fn is_trade_time(time_us: i64) -> bool {
    0 < time_us && time_us < END_OF_TIME_US
}

/// One trade. Which market it belongs to is known by whoever holds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Trade {
    /// The exchange's id, consecutive within the market.
    pub trade_id: i64,
    /// Price in quote currency.
    pub price: Fixed8,
    /// Quantity in base currency.
    pub quantity: Fixed8,
    /// When the exchange matched it: microseconds since 1970, UTC. Decides the candle.
    pub trade_time_us: i64,
    /// When the exchange made the message: microseconds since 1970, UTC.
    pub event_time_us: i64,
    /// When the producer received it: microseconds since 1970, UTC, by the producer's clock.
    pub received_time_us: i64,
    /// True where the buyer's order was in the book, so that the taker sold.
    pub buyer_is_maker: bool,
}

impl Trade {
    /// Whether its id, its time and its amounts can be a trade's at all. Whoever decodes one has seen to that and says
    /// which of them it is; nothing that follows can go wrong with it.
    #[must_use]
    pub const fn is_possible(&self) -> bool {
        is_trade_id(self.trade_id)
            && is_trade_time(self.trade_time_us)
            && self.price.is_positive()
            && self.quantity.is_positive()
    }
}
