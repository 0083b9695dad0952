//! Trades that exist and cannot be held: what is known of them, and why.

use std::fmt;

use crate::{RangeKind, TradeRange};

/// Why a trade that the exchange tells of cannot be held exactly, whoever sends it and however often.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RefusalReason {
    /// Its price or quantity has more than 8 decimals.
    TooManyDecimals,
    /// Its price, its quantity or their product has more digits before the point than the columns hold.
    TooLarge,
    /// Its price is not above zero.
    PriceNotPositive,
    /// Its quantity is not above zero.
    QuantityNotPositive,
    /// A sum of a candle would not fit with it.
    Overflow,
}

impl RefusalReason {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::TooManyDecimals,
        Self::TooLarge,
        Self::PriceNotPositive,
        Self::QuantityNotPositive,
        Self::Overflow,
    ];

    /// The word that tables, metrics and messages use.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TooManyDecimals => "too_many_decimals",
            Self::TooLarge => "too_large",
            Self::PriceNotPositive => "price_not_positive",
            Self::QuantityNotPositive => "quantity_not_positive",
            Self::Overflow => "overflow",
        }
    }
}

impl fmt::Display for RefusalReason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// A trade that exists and cannot be held. Which market it belongs to is known by whoever has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RefusedTrade {
    /// The exchange's id.
    pub trade_id: i64,
    /// When the exchange matched it: microseconds since 1970, UTC.
    pub trade_time_us: i64,
    /// Why it cannot be held.
    pub reason: RefusalReason,
}

impl From<RefusedTrade> for TradeRange {
    fn from(trade: RefusedTrade) -> Self {
        let RefusedTrade { trade_id, trade_time_us, reason } = trade;
        Self {
            first_id: trade_id,
            last_id: trade_id,
            kind: RangeKind::Refused(reason),
            first_time_us: trade_time_us,
            last_time_us: trade_time_us,
        }
    }
}
