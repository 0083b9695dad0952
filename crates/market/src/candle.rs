//! A candle, made by merging: order never matters, so late trades are never dropped.

use crate::{Fixed8, Fixed16, Overflow, Trade};

/// What the trades of one window add up to. Which market and interval it belongs to is known by
/// whoever holds it.
///
/// Open and close go by the lowest and the highest trade id, not by time: several trades share a
/// microsecond, and ids are the exchange's own order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candle {
    /// First microsecond of the window, since 1970, UTC.
    pub open_time_us: i64,
    /// Price of the trade with the lowest id.
    pub open: Fixed8,
    /// Highest price.
    pub high: Fixed8,
    /// Lowest price.
    pub low: Fixed8,
    /// Price of the trade with the highest id.
    pub close: Fixed8,
    /// Sum of the quantities, in base currency.
    pub volume: Fixed8,
    /// Sum of price times quantity, in quote currency.
    pub quote_volume: Fixed16,
    /// Number of trades.
    pub trade_count: i64,
    /// Volume of the trades whose taker bought.
    pub taker_buy_volume: Fixed8,
    /// Quote volume of the trades whose taker bought.
    pub taker_buy_quote_volume: Fixed16,
    /// Lowest trade id.
    pub first_trade_id: i64,
    /// Highest trade id.
    pub last_trade_id: i64,
}

impl Candle {
    /// The candle of one trade, in the window that opens at `open_time_us`.
    ///
    /// # Errors
    /// [`Overflow`] where price times quantity does not fit.
    pub fn of_trade(trade: &Trade, open_time_us: i64) -> Result<Self, Overflow> {
        let value = trade.price.checked_mul(trade.quantity)?;
        let (taker_buy_volume, taker_buy_quote_volume) =
            if trade.buyer_is_maker { (Fixed8::ZERO, Fixed16::ZERO) } else { (trade.quantity, value) };
        Ok(Self {
            open_time_us,
            open: trade.price,
            high: trade.price,
            low: trade.price,
            close: trade.price,
            volume: trade.quantity,
            quote_volume: value,
            trade_count: 1,
            taker_buy_volume,
            taker_buy_quote_volume,
            first_trade_id: trade.trade_id,
            last_trade_id: trade.trade_id,
        })
    }

    /// This candle and `other`, whose trades are different ones of the same window or of a part of it.
    /// Commutative and associative. The open time stays that of `self`.
    ///
    /// # Errors
    /// [`Overflow`] where a sum does not fit.
    pub fn merge(self, other: &Self) -> Result<Self, Overflow> {
        Ok(Self {
            open_time_us: self.open_time_us,
            open: if other.first_trade_id < self.first_trade_id { other.open } else { self.open },
            high: self.high.max(other.high),
            low: self.low.min(other.low),
            close: if other.last_trade_id > self.last_trade_id { other.close } else { self.close },
            volume: self.volume.checked_add(other.volume)?,
            quote_volume: self.quote_volume.checked_add(other.quote_volume)?,
            trade_count: self.trade_count.checked_add(other.trade_count).ok_or(Overflow)?,
            taker_buy_volume: self.taker_buy_volume.checked_add(other.taker_buy_volume)?,
            taker_buy_quote_volume: self.taker_buy_quote_volume.checked_add(other.taker_buy_quote_volume)?,
            first_trade_id: self.first_trade_id.min(other.first_trade_id),
            last_trade_id: self.last_trade_id.max(other.last_trade_id),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::trades;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn merge_is_commutative_and_associative(batch in trades(3)) {
            let [a, b, c] = [0, 1, 2].map(|index| Candle::of_trade(&batch[index], 0).unwrap());
            prop_assert_eq!(a.merge(&b).unwrap(), b.merge(&a).unwrap());
            prop_assert_eq!(a.merge(&b).unwrap().merge(&c).unwrap(), a.merge(&b.merge(&c).unwrap()).unwrap());
        }
    }

    #[test]
    fn sums_that_do_not_fit_are_an_error() {
        let largest: Fixed8 = "9999999999999999999999".parse().unwrap();
        let one: Fixed8 = "1".parse().unwrap();
        let trade = |trade_id, price, quantity| Trade {
            trade_id,
            price,
            quantity,
            trade_time_us: 0,
            event_time_us: 0,
            received_time_us: 0,
            buyer_is_maker: false,
        };
        assert_eq!(Candle::of_trade(&trade(1, largest, largest), 0), Err(Overflow));
        let full = Candle::of_trade(&trade(1, one, largest), 0).unwrap();
        assert_eq!(full.merge(&Candle::of_trade(&trade(2, one, one), 0).unwrap()), Err(Overflow));
    }
}
