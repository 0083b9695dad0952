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
