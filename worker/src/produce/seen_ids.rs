//! The trades that a symbol's streams delivered lately, so that two connections that overlap
//! publish a trade once.

/// Ids that two overlapping connections may lie apart.
const REMEMBERED: usize = 1_024;

/// A free slot: trade ids are never negative.
const FREE: (i64, i64) = (-1, 0);

/// Remembers the ids of trades and their times, each in the one slot its id belongs to. It answers yes only for a trade
/// that it was given: forgetting one means publishing it twice, which the ledger sees; dropping one that never came would
/// lose it. An id with another time is another trade: exchanges may begin to number anew. Their order does not matter.
#[derive(Debug, Default)]
pub(crate) struct SeenIds {
    /// Empty until the first trade: most symbols of a large list trade seldom.
    slots: Box<[(i64, i64)]>,
}

impl SeenIds {
    /// Whether the trade with this id and time was given lately.
    pub(crate) fn contains(&self, trade_id: i64, trade_time_us: i64) -> bool {
        self.slots.get(slot(trade_id)) == Some(&(trade_id, trade_time_us))
    }

    /// Remembers a trade, in place of an older one.
    pub(crate) fn insert(&mut self, trade_id: i64, trade_time_us: i64) {
        if self.slots.is_empty() {
            self.slots = vec![FREE; REMEMBERED].into_boxed_slice();
        }
        self.slots[slot(trade_id)] = (trade_id, trade_time_us);
    }
}

fn slot(trade_id: i64) -> usize {
    usize::try_from(trade_id).map_or(0, |id| id % REMEMBERED)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_latest_consecutive_ids_are_known() {
        let mut seen = SeenIds::default();
        let first = 5_412_300_001;
        let ids: Vec<i64> = (first..).take(3 * REMEMBERED).collect();
        for id in &ids {
            assert!(!seen.contains(*id, 5));
            seen.insert(*id, 5);
        }
        assert!(ids[2 * REMEMBERED..].iter().all(|id| seen.contains(*id, 5)));
    }

    #[test]
    fn a_damaged_huge_id_makes_it_forget_at_most_one() {
        let mut seen = SeenIds::default();
        (1..=100).for_each(|id| seen.insert(id, 5));
        seen.insert(i64::MAX, 5);
        let forgotten = (1..=100).filter(|id| !seen.contains(*id, 5)).count();
        assert!(forgotten <= 1, "{forgotten}");
    }

    #[test]
    fn an_id_with_another_time_is_another_trade() {
        let mut seen = SeenIds::default();
        seen.insert(7, 5);
        assert!(seen.contains(7, 5) && !seen.contains(7, 6));
    }

    proptest! {
        #[test]
        fn no_id_is_known_that_never_came(
            given in prop::collection::vec(prop_oneof![0..5_000_i64, 0..i64::MAX], 0..300),
            asked in 0..5_000_i64,
        ) {
            let mut seen = SeenIds::default();
            given.iter().for_each(|id| seen.insert(*id, 5));
            let given: HashSet<i64> = given.into_iter().collect();
            prop_assert!(!seen.contains(asked, 5) || given.contains(&asked));
        }
    }
}
