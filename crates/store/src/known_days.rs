//! Days whose partitions are known to be there, so that no flush asks for them again.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::flush::DayTable;

/// The length of a day in microseconds.
pub(crate) const DAY_US: i64 = 86_400_000_000;

/// Days, counted from 1970 (UTC). Clones share them.
#[derive(Clone, Debug, Default)]
pub(crate) struct KnownDays(Arc<Mutex<BTreeSet<(DayTable, i64)>>>);

impl KnownDays {
    /// The days that these times fall in and that are not known.
    pub(crate) fn unknown(&self, table: DayTable, times_us: &mut dyn Iterator<Item = i64>) -> BTreeSet<i64> {
        let known = self.lock();
        let mut unknown = BTreeSet::new();
        let mut last = None;
        for day in times_us.map(|time_us| time_us.div_euclid(DAY_US)) {
            if last.replace(day) != Some(day) && !known.contains(&(table, day)) {
                unknown.insert(day);
            }
        }
        unknown
    }

    pub(crate) fn add(&self, table: DayTable, day: i64) {
        self.lock().insert((table, day));
    }

    pub(crate) fn forget_before(&self, table: DayTable, first_kept: i64) {
        self.lock().retain(|(of_table, day)| *of_table != table || *day >= first_kept);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeSet<(DayTable, i64)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
