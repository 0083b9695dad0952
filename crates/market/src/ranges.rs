//! The ledger of one market: which trade ids are accounted for, as sorted disjoint ranges.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::{Bound, RangeInclusive};

use crate::RefusalReason;

/// What is known of the ids of a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RangeKind {
    /// The trades were counted into every output.
    Held,
    /// The exchange says that these ids do not exist.
    Void,
    /// The trades exist and cannot be held.
    Refused(RefusalReason),
}

impl RangeKind {
    /// Whether this is believed where `other` was said before: that an id has a trade against that it has none, and a
    /// trade that can be held against one that cannot.
    const fn outranks(self, other: Self) -> bool {
        const fn rank(kind: RangeKind) -> u8 {
            match kind {
                RangeKind::Void => 0,
                RangeKind::Refused(_) => 1,
                RangeKind::Held => 2,
            }
        }
        rank(self) > rank(other)
    }
}

/// A run of consecutive trade ids of one kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TradeRange {
    /// Lowest id.
    pub first_id: i64,
    /// Highest id, included.
    pub last_id: i64,
    /// What is known of them.
    pub kind: RangeKind,
    /// Trade time of the lowest id; for ids without a trade, of the nearest trade below.
    pub first_time_us: i64,
    /// Trade time of the highest id; for ids without a trade, of the nearest trade above.
    pub last_time_us: i64,
}

/// Rows to delete and to write so that a stored ledger becomes the one in memory. A row is named by its
/// `first_id`; no id is in both.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RangeChanges {
    /// Ranges that are new or changed, by `first_id`.
    pub written: BTreeMap<i64, TradeRange>,
    /// `first_id` of ranges that are gone.
    pub deleted: BTreeSet<i64>,
}

impl RangeChanges {
    fn write(&mut self, range: TradeRange) {
        self.deleted.remove(&range.first_id);
        self.written.insert(range.first_id, range);
    }

    fn delete(&mut self, first_id: i64) {
        self.written.remove(&first_id);
        self.deleted.insert(first_id);
    }
}

/// Sorted disjoint ranges of trade ids. Neighbours of one kind are always joined.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TradeRanges {
    by_first_id: BTreeMap<i64, TradeRange>,
}

impl TradeRanges {
    /// The ranges in ascending order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &TradeRange> {
        self.by_first_id.values()
    }

    /// Whether no id is accounted for.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_first_id.is_empty()
    }

    /// The range that holds `id`.
    #[must_use]
    pub fn covering(&self, id: i64) -> Option<&TradeRange> {
        self.nearest_below(id).filter(|range| range.last_id >= id)
    }

    /// The range with the highest first id that is at most `id`; it may end before `id`.
    #[must_use]
    pub fn nearest_below(&self, id: i64) -> Option<&TradeRange> {
        self.by_first_id.range(..=id).next_back().map(|(_, range)| range)
    }

    /// The range with the lowest first id that is above `id`.
    #[must_use]
    pub fn nearest_above(&self, id: i64) -> Option<&TradeRange> {
        self.by_first_id.range((Bound::Excluded(id), Bound::Unbounded)).next().map(|(_, range)| range)
    }

    /// The held range nearest to `id` whose ids are lower.
    #[must_use]
    pub fn held_below(&self, id: i64) -> Option<&TradeRange> {
        let mut below = self.by_first_id.range(..id).rev().map(|(_, range)| range);
        below.find(|range| range.kind == RangeKind::Held && range.last_id < id)
    }

    /// The held range nearest to `id` whose ids are higher.
    #[must_use]
    pub fn held_above(&self, id: i64) -> Option<&TradeRange> {
        let mut above =
            self.by_first_id.range((Bound::Excluded(id), Bound::Unbounded)).map(|(_, range)| range);
        above.find(|range| range.kind == RangeKind::Held)
    }

    /// Whether any id of the range is accounted for.
    #[must_use]
    pub fn overlaps(&self, ids: &RangeInclusive<i64>) -> bool {
        self.nearest_below(*ids.end()).is_some_and(|range| range.last_id >= *ids.start())
    }

    /// The ids between the lowest and the highest that are not accounted for, ascending.
    pub fn holes(&self) -> impl Iterator<Item = RangeInclusive<i64>> {
        self.iter().zip(self.iter().skip(1)).filter_map(|(below, above)| {
            let hole = below.last_id + 1..=above.first_id - 1;
            (!hole.is_empty()).then_some(hole)
        })
    }

    /// Accounts for the ids of `range` and notes in `changes` what that does to the rows.
    ///
    /// A held range replaces the void and refused ids it overlaps, and a refused one the void ids, since a
    /// trade is stronger than the exchange's word that there is none. Ids already covered with the same
    /// kind, or more strongly, stay as they are.
    pub fn insert(&mut self, range: TradeRange, changes: &mut RangeChanges) {
        debug_assert!(range.first_id <= range.last_id);
        let mut next_id = range.first_id;
        let mut next_time_us = range.first_time_us;
        for stored in self.overlapping(&(range.first_id..=range.last_id)) {
            if range.kind.outranks(stored.kind) {
                self.cut(&stored, &range, changes);
                continue;
            }
            if stored.first_id > next_id {
                let part = TradeRange {
                    first_id: next_id,
                    last_id: stored.first_id - 1,
                    first_time_us: next_time_us,
                    last_time_us: stored.first_time_us,
                    ..range
                };
                self.join(part, changes);
            }
            next_id = stored.last_id + 1;
            next_time_us = stored.last_time_us;
        }
        if next_id <= range.last_id {
            self.join(TradeRange { first_id: next_id, first_time_us: next_time_us, ..range }, changes);
        }
    }

    /// Forgets what is known of `ids`, whatever it is, and notes in `changes` what that does to the rows. Where a range is
    /// cut, its new end takes the time of the trade next to the cut: `below_us` or `above_us`.
    pub fn remove(
        &mut self,
        ids: &RangeInclusive<i64>,
        below_us: i64,
        above_us: i64,
        changes: &mut RangeChanges,
    ) {
        for range in self.overlapping(ids) {
            self.delete(range.first_id, changes);
            if range.first_id < *ids.start() {
                self.put(TradeRange { last_id: ids.start() - 1, last_time_us: below_us, ..range }, changes);
            }
            if range.last_id > *ids.end() {
                self.put(TradeRange { first_id: ids.end() + 1, first_time_us: above_us, ..range }, changes);
            }
        }
    }

    /// How many ids of `ids` are held.
    #[must_use]
    pub fn held_count(&self, ids: &RangeInclusive<i64>) -> i64 {
        let held = self.overlapping(ids).into_iter().filter(|range| range.kind == RangeKind::Held);
        held.map(|range| range.last_id.min(*ids.end()) - range.first_id.max(*ids.start()) + 1).sum()
    }

    fn overlapping(&self, ids: &RangeInclusive<i64>) -> Vec<TradeRange> {
        let (first_id, last_id) = (*ids.start(), *ids.end());
        if first_id > last_id {
            return Vec::new();
        }
        let from = self.nearest_below(first_id).map_or(first_id, |below| below.first_id);
        self.by_first_id
            .range(from..=last_id)
            .map(|(_, stored)| *stored)
            .filter(|stored| stored.last_id >= first_id)
            .collect()
    }

    /// Takes the ids of `stronger` out of `weaker`, which overlaps it.
    fn cut(&mut self, weaker: &TradeRange, stronger: &TradeRange, changes: &mut RangeChanges) {
        self.delete(weaker.first_id, changes);
        if weaker.first_id < stronger.first_id {
            let below = TradeRange {
                last_id: stronger.first_id - 1,
                last_time_us: stronger.first_time_us,
                ..*weaker
            };
            self.put(below, changes);
        }
        if weaker.last_id > stronger.last_id {
            let above = TradeRange {
                first_id: stronger.last_id + 1,
                first_time_us: stronger.last_time_us,
                ..*weaker
            };
            self.put(above, changes);
        }
    }

    /// Adds a range that overlaps nothing, joining it with neighbours of its kind.
    fn join(&mut self, mut range: TradeRange, changes: &mut RangeChanges) {
        let touches = |neighbour: &&TradeRange| neighbour.kind == range.kind;
        let below = self.nearest_below(range.first_id).filter(touches).copied();
        let above = self.nearest_above(range.last_id).filter(touches).copied();
        if let Some(below) = below.filter(|below| below.last_id + 1 == range.first_id) {
            range.first_id = below.first_id;
            range.first_time_us = below.first_time_us;
        }
        if let Some(above) = above.filter(|above| above.first_id - 1 == range.last_id) {
            self.delete(above.first_id, changes);
            range.last_id = above.last_id;
            range.last_time_us = above.last_time_us;
        }
        self.put(range, changes);
    }

    fn put(&mut self, range: TradeRange, changes: &mut RangeChanges) {
        self.by_first_id.insert(range.first_id, range);
        changes.write(range);
    }

    fn delete(&mut self, first_id: i64, changes: &mut RangeChanges) {
        self.by_first_id.remove(&first_id);
        changes.delete(first_id);
    }
}

impl FromIterator<TradeRange> for TradeRanges {
    fn from_iter<Ranges: IntoIterator<Item = TradeRange>>(ranges: Ranges) -> Self {
        let mut ledger = Self::default();
        for range in ranges {
            ledger.insert(range, &mut RangeChanges::default());
        }
        ledger
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A range whose times follow from its ids, as they do on an exchange.
    fn range(kind: RangeKind, first_id: i64, last_id: i64) -> TradeRange {
        TradeRange { first_id, last_id, kind, first_time_us: first_id * 10, last_time_us: last_id * 10 }
    }

    fn held(first_id: i64, last_id: i64) -> TradeRange {
        range(RangeKind::Held, first_id, last_id)
    }

    fn any_range() -> impl Strategy<Value = TradeRange> {
        let refused = |reason| Just(RangeKind::Refused(reason));
        let kind = prop_oneof![
            Just(RangeKind::Held),
            Just(RangeKind::Void),
            refused(RefusalReason::Overflow),
            refused(RefusalReason::TooLarge)
        ];
        (kind, 0_i64..60, 0_i64..15)
            .prop_map(|(kind, first_id, length)| range(kind, first_id, first_id + length))
    }

    /// The same by brute force: one kind an id.
    fn model(ranges: &[TradeRange]) -> BTreeMap<i64, RangeKind> {
        let mut kinds = BTreeMap::new();
        for range in ranges {
            for id in range.first_id..=range.last_id {
                let kind = kinds.entry(id).or_insert(range.kind);
                let is_refused = matches!(range.kind, RangeKind::Refused(_));
                if range.kind == RangeKind::Held || (is_refused && *kind == RangeKind::Void) {
                    *kind = range.kind;
                }
            }
        }
        kinds
    }

    proptest! {
        #[test]
        fn ranges_behave_like_a_set_of_integers(ranges in prop::collection::vec(any_range(), 0..25)) {
            let ledger: TradeRanges = ranges.iter().copied().collect();
            let model = model(&ranges);
            for id in -1..80 {
                prop_assert_eq!(ledger.covering(id).map(|range| range.kind), model.get(&id).copied());
            }
            let ids_in_holes: Vec<i64> = ledger.holes().flatten().collect();
            let bounds = model.keys().next().zip(model.keys().next_back());
            let missing: Vec<i64> = bounds.map_or_else(Vec::new, |(first, last)| {
                (*first..=*last).filter(|id| !model.contains_key(id)).collect()
            });
            prop_assert_eq!(ids_in_holes, missing);
        }

        #[test]
        fn neighbours_of_one_kind_are_joined_and_ranges_never_overlap(
            ranges in prop::collection::vec(any_range(), 0..25)
        ) {
            let ledger: TradeRanges = ranges.into_iter().collect();
            for (below, above) in ledger.iter().zip(ledger.iter().skip(1)) {
                prop_assert!(below.last_id < above.first_id);
                prop_assert!(below.kind != above.kind || below.last_id + 1 < above.first_id);
            }
        }

        #[test]
        fn the_noted_changes_make_the_stored_rows_equal(
            stored in prop::collection::vec(any_range(), 0..12),
            inserted in prop::collection::vec(any_range(), 0..12),
        ) {
            let mut ledger: TradeRanges = stored.into_iter().collect();
            let mut rows = ledger.by_first_id.clone();
            let mut changes = RangeChanges::default();
            for range in inserted {
                ledger.insert(range, &mut changes);
            }
            rows.retain(|first_id, _| !changes.deleted.contains(first_id));
            rows.extend(changes.written);
            prop_assert_eq!(rows, ledger.by_first_id);
        }

        #[test]
        fn held_ranges_keep_the_times_of_their_ends(first_ids in prop::collection::vec(0_i64..40, 1..30)) {
            let ledger: TradeRanges = first_ids.iter().map(|id| held(*id, *id)).collect();
            for range in ledger.iter() {
                prop_assert_eq!((range.first_time_us, range.last_time_us), (range.first_id * 10, range.last_id * 10));
            }
        }

        #[test]
        fn what_is_removed_is_gone_and_nothing_else(
            stored in prop::collection::vec(any_range(), 0..12), first_id in 0_i64..60, length in 0_i64..15
        ) {
            let mut ledger: TradeRanges = stored.into_iter().collect();
            let before = ledger.clone();
            let mut rows = ledger.by_first_id.clone();
            let (ids, mut changes) = (first_id..=first_id + length, RangeChanges::default());
            ledger.remove(&ids, (first_id - 1) * 10, (first_id + length + 1) * 10, &mut changes);
            for id in -1..80 {
                let expected = before.covering(id).filter(|_| !ids.contains(&id)).map(|range| range.kind);
                prop_assert_eq!(ledger.covering(id).map(|range| range.kind), expected);
            }
            let held = |id: &i64| before.covering(*id).is_some_and(|range| range.kind == RangeKind::Held);
            prop_assert_eq!(before.held_count(&ids), i64::try_from(ids.filter(held).count()).unwrap());
            for range in ledger.iter().filter(|range| range.kind == RangeKind::Held) {
                prop_assert_eq!((range.first_time_us, range.last_time_us), (range.first_id * 10, range.last_id * 10));
            }
            rows.retain(|first_id, _| !changes.deleted.contains(first_id));
            rows.extend(changes.written);
            prop_assert_eq!(rows, ledger.by_first_id);
        }

        #[test]
        fn overlaps_agrees_with_covering(
            ranges in prop::collection::vec(any_range(), 0..8), first_id in 0_i64..60, length in 0_i64..9
        ) {
            let ledger: TradeRanges = ranges.into_iter().collect();
            let ids = first_id..=first_id + length;
            prop_assert_eq!(ledger.overlaps(&ids), ids.clone().any(|id| ledger.covering(id).is_some()));
        }
    }

    #[test]
    fn a_void_between_held_ranges_closes_the_hole() {
        let mut ledger: TradeRanges = [held(1, 5), held(9, 12)].into_iter().collect();
        assert_eq!(ledger.holes().collect::<Vec<_>>(), [6..=8]);
        ledger.insert(range(RangeKind::Void, 6, 8), &mut RangeChanges::default());
        assert_eq!(ledger.holes().count(), 0);
    }
}
