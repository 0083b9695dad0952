//! How the trades of a log are played: with which times, and with which ids.

use crate::log::Trade;

/// The trades from one of them on, and what is different from the log when they are played.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Stretch {
    pub(crate) from_index: usize,
    /// By how much their times are moved.
    pub(crate) shift_us: i64,
    pub(crate) numbering: Numbering,
}

/// Ids as the exchange gives them, until it begins to count anew.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Numbering {
    /// The first trade that has such an id. Those before it are not known any more.
    pub(crate) from_index: usize,
    /// By how much the ids are moved.
    pub(crate) id_shift: i64,
    /// By how much the ids of the aggregates are moved.
    pub(crate) aggregate_id_shift: i64,
}

impl Stretch {
    /// A trade of the log as it is played.
    pub(crate) fn played(&self, trade: Trade) -> Trade {
        Trade {
            id: trade.id + self.numbering.id_shift,
            aggregate_id: trade.aggregate_id + self.numbering.aggregate_id_shift,
            time_us: trade.time_us + self.shift_us,
            ..trade
        }
    }
}

impl Numbering {
    /// The numbering that begins with `next`, the trade at `from_index`: it and its aggregate get `first_id`.
    pub(crate) fn anew(from_index: usize, next: &Trade, first_id: i64) -> Self {
        Self { from_index, id_shift: first_id - next.id, aggregate_id_shift: first_id - next.aggregate_id }
    }
}

/// The stretch in which the trade at `index` lies.
pub(crate) fn stretch_at(stretches: &[Stretch], index: usize) -> Stretch {
    stretches.iter().rev().find(|stretch| stretch.from_index <= index).copied().unwrap_or_default()
}
