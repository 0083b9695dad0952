//! What has been played of a log at one moment, with the times as played.

use std::sync::Arc;

use crate::log::{LogReader, Trade, TradeLog};

/// From a trade on, the times of the log are moved by this much.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shift {
    pub(crate) from_index: usize,
    pub(crate) shift_us: i64,
}

/// The first `count` trades of a log.
#[derive(Debug)]
pub(crate) struct PlayedView<'log> {
    log: &'log TradeLog,
    count: usize,
    shifts: Arc<[Shift]>,
}

/// By how much the time of the trade at `index` is moved.
pub(crate) fn shift_at(shifts: &[Shift], index: usize) -> i64 {
    shifts.iter().rev().find(|shift| shift.from_index <= index).map_or(0, |shift| shift.shift_us)
}

impl<'log> PlayedView<'log> {
    pub(crate) fn new(log: &'log TradeLog, count: usize, shifts: Arc<[Shift]>) -> Self {
        Self { log, count, shifts }
    }

    /// Only the trades up to `time_us`, inclusive.
    pub(crate) fn until(self, time_us: i64) -> Self {
        Self { count: self.index_of_time(time_us.saturating_add(1)), ..self }
    }

    /// How many trades have been played.
    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// The first trade whose id is not below `id`, as an index.
    pub(crate) fn index_of_id(&self, id: i64) -> usize {
        self.log.partition_point(self.count, |_, trade| trade.id < id)
    }

    /// The first trade whose aggregate is not below `aggregate_id`, as an index.
    pub(crate) fn index_of_aggregate(&self, aggregate_id: i64) -> usize {
        self.log.partition_point(self.count, |_, trade| trade.aggregate_id < aggregate_id)
    }

    /// The first trade that was not before `time_us`, as an index.
    pub(crate) fn index_of_time(&self, time_us: i64) -> usize {
        self.log.partition_point(self.count, |index, trade| {
            trade.time_us + shift_at(&self.shifts, index) < time_us
        })
    }

    /// The played trades from `index` on, with the times as played.
    pub(crate) fn trades_from(&self, index: usize) -> impl Iterator<Item = Trade> {
        let mut reader = LogReader::at(index);
        std::iter::from_fn(move || {
            let index = reader.index();
            let trade = (index < self.count).then(|| reader.peek(self.log)).flatten()?;
            reader.advance();
            Some(Trade { time_us: trade.time_us + shift_at(&self.shifts, index), ..trade })
        })
    }

    /// The aggregate of the last trade played, if more trades belong to it that have not been played.
    pub(crate) fn unfinished_aggregate(&self) -> Option<i64> {
        let last = self.log.get(self.count.checked_sub(1)?)?;
        let next = self.log.get(self.count)?;
        (last.aggregate_id == next.aggregate_id).then_some(last.aggregate_id)
    }
}
