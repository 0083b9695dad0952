//! Aggregate trades: making the trades of a row of an aggTrades file, and telling which trades of a trades
//! file belong together.

use market::Fixed8;

use super::Trade;

/// A row of an aggTrades file: the trades of one taker order at one price.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct AggregateRow {
    pub(super) id: i64,
    pub(super) price: Fixed8,
    pub(super) quantity: Fixed8,
    pub(super) first_trade_id: i64,
    pub(super) last_trade_id: i64,
    pub(super) time_us: i64,
    pub(super) buyer_is_maker: bool,
}

impl AggregateRow {
    /// Whether this is one of the cancelled duplicates of the exchange's audit of 2022, which hold no trade.
    pub(super) fn is_cancelled(&self) -> bool {
        self.first_trade_id == -1 && self.last_trade_id == -1
    }

    /// The trades of this row: equal parts of its quantity, cut at 8 decimals, the last takes the rest.
    ///
    /// # Errors
    /// What is wrong, where the ids go backwards or the quantity is too small for that many trades.
    pub(super) fn split(&self) -> Result<impl Iterator<Item = Trade> + use<>, String> {
        let row = *self;
        let count = i128::from(row.last_trade_id) - i128::from(row.first_trade_id) + 1;
        if count < 1 {
            return Err(format!("last trade id {} lies before the first", row.last_trade_id));
        }
        let part_units = row.quantity.units() / count;
        if part_units == 0 {
            return Err(format!("quantity {} is too small for {count} trades", row.quantity));
        }
        let rest = Fixed8::from_units(row.quantity.units() - part_units * (count - 1)).unwrap_or_default();
        let part = Fixed8::from_units(part_units).unwrap_or_default();
        Ok((row.first_trade_id..=row.last_trade_id).map(move |id| Trade {
            id,
            price: row.price,
            quantity: if id == row.last_trade_id { rest } else { part },
            time_us: row.time_us,
            aggregate_id: row.id,
            buyer_is_maker: row.buyer_is_maker,
        }))
    }
}

/// Trades of one taker order, time and price.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AggregateTrade {
    /// The last of its trades; id and quantity are those of that trade alone.
    pub(crate) last: Trade,
    pub(crate) first_trade_id: i64,
    pub(crate) quantity: Fixed8,
}

impl From<Trade> for AggregateTrade {
    fn from(trade: Trade) -> Self {
        Self { last: trade, first_trade_id: trade.id, quantity: trade.quantity }
    }
}

impl AggregateTrade {
    /// This aggregate and the trade after it, if that belongs to it.
    pub(crate) fn with(self, next: &Trade) -> Option<Self> {
        (next.aggregate_id == self.last.aggregate_id).then(|| Self {
            last: *next,
            first_trade_id: self.first_trade_id,
            quantity: self.quantity.checked_add(next.quantity).unwrap_or(self.quantity),
        })
    }
}

/// The aggregates that `trades` make up, in order.
pub(crate) fn aggregates(trades: impl Iterator<Item = Trade>) -> impl Iterator<Item = AggregateTrade> {
    let mut trades = trades.peekable();
    std::iter::from_fn(move || {
        let mut aggregate = AggregateTrade::from(trades.next()?);
        while let Some(grown) = trades.peek().and_then(|next| aggregate.with(next)) {
            aggregate = grown;
            trades.next();
        }
        Some(aggregate)
    })
}

/// Numbers the aggregates of `trades`, from 1 on: neighbours of the same time, price and side are one.
pub(super) fn number_aggregates(trades: &mut [Trade]) {
    let mut aggregate_id = 0;
    let mut previous = None;
    for trade in trades {
        let order = (trade.time_us, trade.price, trade.buyer_is_maker);
        if previous != Some(order) {
            aggregate_id += 1;
            previous = Some(order);
        }
        trade.aggregate_id = aggregate_id;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(quantity: &str, first_trade_id: i64, last_trade_id: i64) -> AggregateRow {
        AggregateRow {
            id: 7,
            price: "87648.22".parse().unwrap(),
            quantity: quantity.parse().unwrap(),
            first_trade_id,
            last_trade_id,
            time_us: 5,
            buyer_is_maker: false,
        }
    }

    #[test]
    fn the_last_part_takes_the_rest() {
        let parts: Vec<Trade> = row("0.00001", 10, 12).split().unwrap().collect();
        let quantities: Vec<String> = parts.iter().map(|trade| trade.quantity.to_string()).collect();
        assert_eq!(quantities, ["0.00000333", "0.00000333", "0.00000334"]);
        assert_eq!(parts.iter().map(|trade| trade.id).collect::<Vec<_>>(), [10, 11, 12]);
        assert!(parts.iter().all(|trade| trade.aggregate_id == 7 && trade.time_us == 5));
    }

    #[test]
    fn refuses_rows_that_cannot_be_split() {
        assert!(row("1", 12, 10).split().is_err());
        assert!(row("0.00000002", 10, 12).split().is_err());
    }

    #[test]
    fn neighbours_of_one_order_are_one_aggregate() {
        let mut trades: Vec<Trade> = row("4", 1, 4).split().unwrap().collect();
        trades[2].buyer_is_maker = true;
        trades[3].time_us = 6;
        number_aggregates(&mut trades);
        assert_eq!(trades.iter().map(|trade| trade.aggregate_id).collect::<Vec<_>>(), [1, 1, 2, 3]);
        let grouped: Vec<_> = aggregates(trades.into_iter())
            .map(|aggregate| (aggregate.first_trade_id, aggregate.last.id, aggregate.quantity.to_string()))
            .collect();
        assert_eq!(grouped, [(1, 2, "2".to_owned()), (3, 3, "1".to_owned()), (4, 4, "1".to_owned())]);
    }
}
