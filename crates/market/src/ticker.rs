//! What an exchange says of a symbol's price now and then. A sample has no id: it is known by its time, and whether
//! one is missing nobody can tell.

use serde::Serialize;

use crate::{Fixed8, Fixed16, is_trade_time};

/// One sample of a market's price.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Ticker {
    /// When the exchange says it was so: microseconds since 1970, UTC. With the market it is the sample's name, and it
    /// decides the candle.
    pub sample_time_us: i64,
    /// The price of the last trade, in quote currency.
    pub price: Fixed8,
    /// What was traded in the 24 hours before, where the exchange says it.
    pub day: Option<RollingDay>,
    /// When the producer received it: microseconds since 1970, UTC, by the producer's clock.
    pub received_time_us: i64,
}

/// A market's price at a moment: what candles are made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// When it was so: microseconds since 1970, UTC.
    pub time_us: i64,
    /// The price, in quote currency.
    pub price: Fixed8,
}

/// The 24 hours before a sample. The window rolls: the difference of two of them is not what was traded in between,
/// since trades leave it at its other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct RollingDay {
    /// The price at its beginning.
    pub open: Fixed8,
    /// The highest price.
    pub high: Fixed8,
    /// The lowest price.
    pub low: Fixed8,
    /// Base currency traded.
    pub volume: Fixed8,
    /// Quote currency traded.
    pub quote_volume: Fixed16,
    /// How many trades.
    pub trade_count: i64,
}

impl Ticker {
    /// Its price at its time.
    #[must_use]
    pub const fn sample(&self) -> Sample {
        Sample { time_us: self.sample_time_us, price: self.price }
    }

    /// Whether its time and its price can be a sample's at all. Whoever decodes one has seen to that.
    #[must_use]
    pub const fn is_possible(&self) -> bool {
        is_trade_time(self.sample_time_us) && self.price.is_positive()
    }
}
