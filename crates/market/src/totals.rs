//! What all trades of a market add up to.

use crate::{Candle, Fixed8, Fixed16, Overflow, Trade};

/// How many trades there were, and what they add up to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TradeTotals {
    /// How many.
    pub trades: i64,
    /// Sum of the quantities, in base currency.
    pub volume: Fixed8,
    /// Sum of price times quantity.
    pub quote_volume: Fixed16,
}

impl TradeTotals {
    /// With one trade more.
    ///
    /// # Errors
    /// [`Overflow`] where a sum does not fit.
    pub fn with(self, trade: &Trade) -> Result<Self, Overflow> {
        Ok(Self {
            trades: self.trades + 1,
            volume: self.volume.checked_add(trade.quantity)?,
            quote_volume: self.quote_volume.checked_add(trade.price.checked_mul(trade.quantity)?)?,
        })
    }

    /// Without the trades of a candle. Where they are more than all, the totals began after them, and begin anew.
    #[must_use]
    pub fn without(self, candle: &Candle) -> Self {
        let rest = || {
            Some(Self {
                trades: self.trades.checked_sub(candle.trade_count).filter(|trades| *trades >= 0)?,
                volume: self.volume.checked_sub(candle.volume)?,
                quote_volume: self.quote_volume.checked_sub(candle.quote_volume)?,
            })
        };
        rest().unwrap_or_default()
    }
}
