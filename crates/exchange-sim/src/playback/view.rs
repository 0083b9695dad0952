//! What the exchange knows of a log at one moment, with times and ids as played.

use std::sync::Arc;

use super::stretch::{Stretch, stretch_at};
use crate::log::{LogReader, Trade, TradeLog};

/// The trades of a log that have been played, since the ids were restarted last. All indexes count from the first of
/// them.
#[derive(Debug)]
pub(crate) struct PlayedView<'log> {
    log: &'log TradeLog,
    /// In the log: the first trade that is known, and the first that has not been played.
    first: usize,
    end: usize,
    stretches: Arc<[Stretch]>,
}

impl<'log> PlayedView<'log> {
    /// The first `end` trades of `log`, as far as they are known.
    pub(crate) fn new(log: &'log TradeLog, end: usize, stretches: Arc<[Stretch]>) -> Self {
        let first = stretch_at(&stretches, end).numbering.from_index;
        Self { log, first, end, stretches }
    }

    /// Only the trades up to `time_us`, inclusive.
    pub(crate) fn until(self, time_us: i64) -> Self {
        Self { end: self.first + self.index_of_time(time_us.saturating_add(1)), ..self }
    }

    /// How many trades are known.
    pub(crate) fn count(&self) -> usize {
        self.end - self.first
    }

    /// The first trade whose id is not below `id`, as an index.
    pub(crate) fn index_of_id(&self, id: i64) -> usize {
        self.partition_point(|trade| trade.id < id)
    }

    /// The first trade whose aggregate is not below `aggregate_id`, as an index.
    pub(crate) fn index_of_aggregate(&self, aggregate_id: i64) -> usize {
        self.partition_point(|trade| trade.aggregate_id < aggregate_id)
    }

    /// The first trade that was not before `time_us`, as an index.
    pub(crate) fn index_of_time(&self, time_us: i64) -> usize {
        self.partition_point(|trade| trade.time_us < time_us)
    }

    /// The first trade for which `is_before`, which gets it as played, is false.
    fn partition_point(&self, is_before: impl Fn(&Trade) -> bool) -> usize {
        let before = self.log.partition_point(self.end, |index, trade| {
            index < self.first || is_before(&stretch_at(&self.stretches, index).played(*trade))
        });
        before - self.first
    }

    /// The known trades from `index` on, as played.
    pub(crate) fn trades_from(&self, index: usize) -> impl Iterator<Item = Trade> {
        let mut reader = LogReader::at(self.first + index);
        std::iter::from_fn(move || {
            let index = reader.index();
            let trade = (index < self.end).then(|| reader.peek(self.log)).flatten()?;
            reader.advance();
            Some(stretch_at(&self.stretches, index).played(trade))
        })
    }

    /// The aggregate of the last trade known, if more trades belong to it that have not been played.
    pub(crate) fn unfinished_aggregate(&self) -> Option<i64> {
        let last = self.trades_from(self.count().checked_sub(1)?).next()?;
        let next = stretch_at(&self.stretches, self.end).played(self.log.get(self.end)?);
        (last.aggregate_id == next.aggregate_id).then_some(last.aggregate_id)
    }
}
