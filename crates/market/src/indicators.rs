//! What is said of single trades: their moving average, and which of them, or of the orders behind them, are whales'.
//!
//! All of it is a function of the trades that are stored, by id. So a trade that comes late changes what was said of the
//! trades after it, and of the order that it is a part of.

use std::collections::{BTreeMap, VecDeque};

use smol_str::SmolStr;

use crate::{Fixed8, Fixed16, Trade};

/// What is to be said of the trades of one market.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Indicators {
    /// A moving average is the mean price of so many trades: the trade itself and those before it by id.
    pub moving_average_trades: Option<usize>,
    /// From this value in quote currency on, a trade or a taker's order is a whale's.
    pub whale_value: Option<Fixed16>,
}

impl Indicators {
    /// Whether nothing is to be said.
    #[must_use]
    pub const fn are_none(&self) -> bool {
        self.moving_average_trades.is_none() && self.whale_value.is_none()
    }

    /// How many trades before one, or after it, a moving average reaches.
    #[must_use]
    pub fn reach(&self) -> usize {
        self.moving_average_trades.map_or(0, |trades| trades.saturating_sub(1))
    }

    fn is_whale(&self, value: Option<Fixed16>) -> bool {
        self.whale_value.zip(value).is_some_and(|(whale_value, value)| value >= whale_value)
    }
}

/// From which value on something is a whale's, by quote asset.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WhaleValues {
    /// Of the quote assets that have no value of their own.
    pub of_others: Option<Fixed16>,
    /// By quote asset.
    pub by_quote_asset: BTreeMap<SmolStr, Fixed16>,
}

impl WhaleValues {
    /// The value for a symbol: that of the longest quote asset that it ends with, as exchanges write symbols.
    #[must_use]
    pub fn of(&self, symbol: &str) -> Option<Fixed16> {
        let quoted_in = self.by_quote_asset.iter().filter(|(asset, _)| symbol.ends_with(asset.as_str()));
        quoted_in.max_by_key(|(asset, _)| asset.len()).map(|(_, value)| *value).or(self.of_others)
    }
}

/// What is said of a trade.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TradeIndicators {
    /// The mean price of it and the trades before it, half-even to 8 decimals; `None` where there are too few.
    pub moving_average: Option<Fixed8>,
    /// Whether it alone is worth a whale's while.
    pub is_whale: bool,
}

/// A stored trade whose moving average a new one may have changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CorrectedAverage {
    /// Its id.
    pub trade_id: i64,
    /// Its time, microseconds since 1970, UTC.
    pub trade_time_us: i64,
    /// What the average is now.
    pub moving_average: Option<Fixed8>,
}

/// What one order of a taker bought or sold at once, as far as its trades are stored: a maximal run of consecutive ids with
/// the same millisecond and the same side. An exchange does not say which trades one order filled, but it fills an order in
/// one go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TakerOrder {
    /// Lowest id.
    pub first_trade_id: i64,
    /// Highest id.
    pub last_trade_id: i64,
    /// The time of the first trade, microseconds since 1970, UTC.
    pub trade_time_us: i64,
    /// True where the taker sold.
    pub buyer_is_maker: bool,
    /// Sum of the quantities, in base currency.
    pub quantity: Fixed8,
    /// Sum of price times quantity.
    pub quote_quantity: Fixed16,
}

/// What is written beside the trades themselves.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IndicatorPlan {
    /// What is said of the new trades, in their order; empty where nothing is to be said.
    pub of_trades: Vec<TradeIndicators>,
    /// Stored trades of which something else may be said: rows that say the same already stay as they are.
    pub corrected: Vec<CorrectedAverage>,
    /// Ids of the stored trades of orders that a new one is a part of: what is stored of orders that begin with them goes.
    pub regrouped: Vec<i64>,
    /// The orders of whales as they are then.
    pub whale_orders: Vec<TakerOrder>,
}

impl IndicatorPlan {
    /// Adds what is said of new trades and of those around them. Returns the newest of all, by ascending id: what the next
    /// new trades need of the stored ones, where none is stored above them.
    ///
    /// `new` and `stored` are by ascending id, and of different ids. Below the first new trade, and above each, stand as many
    /// stored ones as a moving average reaches, or all; and all of the orders that the new ones are a part of.
    pub fn add(&mut self, new: &[Trade], stored: &[Trade], indicators: &Indicators) -> Vec<Trade> {
        let trades = Sequence::of(new, stored);
        self.add_averages(&trades, indicators);
        if indicators.whale_value.is_some() {
            self.add_orders(&trades, indicators);
        }
        trades.newest(indicators)
    }

    fn add_averages(&mut self, trades: &Sequence, indicators: &Indicators) {
        let count = indicators.moving_average_trades;
        let mut window = PriceWindow::of(count.unwrap_or_default());
        // How many stored trades after the last new one are still within its reach.
        let mut reached = 0_usize;
        for (trade, is_new) in &trades.0 {
            let moving_average = count.and_then(|_| window.next(trade.price));
            if *is_new {
                let is_whale = indicators.is_whale(value_of(trade));
                self.of_trades.push(TradeIndicators { moving_average, is_whale });
                reached = indicators.reach();
            } else if reached > 0 {
                reached -= 1;
                let Trade { trade_id, trade_time_us, .. } = *trade;
                self.corrected.push(CorrectedAverage { trade_id, trade_time_us, moving_average });
            }
        }
    }

    fn add_orders(&mut self, trades: &Sequence, indicators: &Indicators) {
        for fills in trades.0.chunk_by(|(left, _), (right, _)| are_of_one_order(left, right)) {
            if fills.iter().all(|(_, is_new)| !is_new) {
                continue;
            }
            let Some(order) = order_of(fills.iter().map(|(trade, _)| trade)) else { continue };
            let stored = fills.iter().filter(|(_, is_new)| !is_new);
            self.regrouped.extend(stored.map(|(fill, _)| fill.trade_id));
            if indicators.is_whale(Some(order.quote_quantity)) {
                self.whale_orders.push(order);
            }
        }
    }
}

/// The times of the millisecond of a trade: from the one to before the other.
#[must_use]
pub const fn millisecond_of(trade: &Trade) -> (i64, i64) {
    let from_us = trade.trade_time_us - trade.trade_time_us.rem_euclid(1_000);
    (from_us, from_us + 1_000)
}

/// Trades by ascending id, each with whether it is new.
struct Sequence(Vec<(Trade, bool)>);

impl Sequence {
    fn of(new: &[Trade], stored: &[Trade]) -> Self {
        let mark = |trades: &[Trade], is_new: bool| -> Vec<(Trade, bool)> {
            trades.iter().map(|trade| (*trade, is_new)).collect()
        };
        let mut trades = mark(stored, false);
        trades.extend(mark(new, true));
        // Two runs that are in order already.
        trades.sort_by_key(|(trade, _)| trade.trade_id);
        Self(trades)
    }

    /// As many as a moving average reaches, and all of the last order.
    fn newest(&self, indicators: &Indicators) -> Vec<Trade> {
        let order = self.0.chunk_by(|(left, _), (right, _)| are_of_one_order(left, right)).next_back();
        let order = order.filter(|_| indicators.whale_value.is_some()).map_or(0, <[_]>::len);
        let passed_over = self.0.len().saturating_sub(order.max(indicators.reach()));
        self.0.iter().skip(passed_over).map(|(trade, _)| *trade).collect()
    }
}

fn are_of_one_order(left: &Trade, right: &Trade) -> bool {
    left.trade_id + 1 == right.trade_id
        && left.buyer_is_maker == right.buyer_is_maker
        && millisecond_of(left) == millisecond_of(right)
}

/// None where there are no trades, or where a sum fits no column, which a candle of the same trades would not either.
fn order_of<'a>(mut fills: impl Iterator<Item = &'a Trade>) -> Option<TakerOrder> {
    let first = fills.next()?;
    let begun = TakerOrder {
        first_trade_id: first.trade_id,
        last_trade_id: first.trade_id,
        trade_time_us: first.trade_time_us,
        buyer_is_maker: first.buyer_is_maker,
        quantity: first.quantity,
        quote_quantity: value_of(first)?,
    };
    fills.try_fold(begun, |order, fill| {
        Some(TakerOrder {
            last_trade_id: fill.trade_id,
            quantity: order.quantity.checked_add(fill.quantity).ok()?,
            quote_quantity: order.quote_quantity.checked_add(value_of(fill)?).ok()?,
            ..order
        })
    })
}

fn value_of(trade: &Trade) -> Option<Fixed16> {
    trade.price.checked_mul(trade.quantity).ok()
}

/// The last prices, and their sum.
struct PriceWindow {
    count: usize,
    prices: VecDeque<Fixed8>,
    sum_units: i128,
}

impl PriceWindow {
    const fn of(count: usize) -> Self {
        Self { count, prices: VecDeque::new(), sum_units: 0 }
    }

    /// The mean of this price and those before it, once there are enough.
    fn next(&mut self, price: Fixed8) -> Option<Fixed8> {
        self.prices.push_back(price);
        // A thousand times the highest price (10^30 units) is far within an i128.
        self.sum_units += price.units();
        if self.prices.len() > self.count {
            self.sum_units -= self.prices.pop_front().map_or(0, Fixed8::units);
        }
        let count = i64::try_from(self.count).ok().filter(|_| self.prices.len() == self.count);
        count.map(|count| Fixed8::mean_of_units(self.sum_units, count))
    }
}

#[cfg(test)]
mod tests;
