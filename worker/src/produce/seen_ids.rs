//! The trade ids that a symbol's streams delivered lately, so that two connections that overlap
//! publish a trade once.

/// Ids that two overlapping connections may lie apart.
const REMEMBERED: usize = 1_024;

/// A free slot: trade ids are never negative.
const FREE: i64 = -1;

/// Remembers ids, each in the one slot it belongs to. It answers yes only for an id that it was given:
/// forgetting one means publishing a trade twice, which the ledger sees; dropping an id that
/// never came would lose a trade. The order of the ids does not matter.
#[derive(Debug, Default)]
pub(crate) struct SeenIds {
    /// Empty until the first id: most symbols of a large list trade seldom.
    slots: Box<[i64]>,
}

impl SeenIds {
    /// Whether `trade_id` was given lately.
    pub(crate) fn contains(&self, trade_id: i64) -> bool {
        self.slots.get(slot(trade_id)) == Some(&trade_id)
    }

    /// Remembers `trade_id`, in place of an older one.
    pub(crate) fn insert(&mut self, trade_id: i64) {
        if self.slots.is_empty() {
            self.slots = vec![FREE; REMEMBERED].into_boxed_slice();
        }
        self.slots[slot(trade_id)] = trade_id;
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
            assert!(!seen.contains(*id));
            seen.insert(*id);
        }
        assert!(ids[2 * REMEMBERED..].iter().all(|id| seen.contains(*id)));
    }

    #[test]
    fn a_damaged_huge_id_makes_it_forget_at_most_one() {
        let mut seen = SeenIds::default();
        (1..=100).for_each(|id| seen.insert(id));
        seen.insert(i64::MAX);
        let forgotten = (1..=100).filter(|id| !seen.contains(*id)).count();
        assert!(forgotten <= 1, "{forgotten}");
    }

    proptest! {
        #[test]
        fn no_id_is_known_that_never_came(
            given in prop::collection::vec(prop_oneof![0..5_000_i64, 0..i64::MAX], 0..300),
            asked in 0..5_000_i64,
        ) {
            let mut seen = SeenIds::default();
            given.iter().for_each(|id| seen.insert(*id));
            let given: HashSet<i64> = given.into_iter().collect();
            prop_assert!(!seen.contains(asked) || given.contains(&asked));
        }
    }
}
