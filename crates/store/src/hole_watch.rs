//! When a hole in the ledger counts. Ids that are missing may still wait in another partition, after growth or a
//! rebalance: so a hole counts once every partition has passed the end that it had when the hole was first seen,
//! and five seconds more. Pure: looks come in as values, time as an argument.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use market::Market;

use crate::model::{Hole, MarketLedger, PartitionPosition};

/// How long a hole must have stood after every partition has passed the ends seen with it.
const GRACE: SignedDuration = SignedDuration::from_secs(5);

/// One look at the ledgers, and the last one at the topic.
#[derive(Clone, Copy, Debug)]
pub struct LedgerLook<'a> {
    /// What is held and what is missing, by market.
    pub ledgers: &'a [MarketLedger],
    /// How far the topic's partitions are read; read before the ledgers, which hold at least as much.
    pub positions: &'a [PartitionPosition],
    /// When the look at both began.
    pub read_at: Timestamp,
    /// The offset after the last record of each partition from 0 on, and when that look began, where it is known.
    pub ends: Option<(&'a [i64], Timestamp)>,
}

/// The holes seen so far, with what must happen before each counts.
#[derive(Clone, Debug, Default)]
pub struct HoleWatch {
    seen: BTreeMap<(Market, Hole), Sighting>,
}

#[derive(Clone, Debug)]
struct Sighting {
    first_seen: Timestamp,
    /// The end of each partition from 0 on, as a look told that began after the hole was first seen.
    ends: Option<Vec<i64>>,
    passed_since: Option<Timestamp>,
}

/// What is missing, divided by whether it counts yet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HoleReport {
    /// What is missing and counts, by market; markets without are left out.
    pub missing: BTreeMap<Market, Missing>,
    /// Markets whose holes may still wait in the topic, and how many trades that are.
    pub unconfirmed: BTreeMap<Market, i64>,
}

/// What is missing of one market.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Missing {
    /// How many trades.
    pub trades: i64,
    /// The newest holes, ascending.
    pub holes: Vec<Hole>,
}

/// What is `known` of a hole, or of the older one that it is a part of: the shortest, where several hold it.
#[must_use]
pub fn known_of_hole<'a, T>(
    known: &'a BTreeMap<(Market, Hole), T>,
    market: &Market,
    hole: Hole,
) -> Option<&'a T> {
    let behind_all = Hole { last_id: i64::MAX, ..hole };
    let begun_before = known.range(..=(market.clone(), behind_all)).rev();
    let mut of_market = begun_before.take_while(|((of, _), _)| of == market);
    of_market.find(|((_, older), _)| hole.last_id <= older.last_id).map(|(_, known)| known)
}

impl HoleWatch {
    /// Takes in a look and tells what counts at `now`.
    pub fn update(&mut self, look: &LedgerLook<'_>, now: Timestamp) -> HoleReport {
        self.forget_filled(look.ledgers, look.read_at);
        for sighting in self.seen.values_mut() {
            sighting.note_ends(look.ends);
            sighting.note_positions(look.positions, now);
        }
        self.report(look.ledgers, now)
    }

    /// Keeps what is known of holes that are still there; a part of an older hole keeps that one's history.
    fn forget_filled(&mut self, ledgers: &[MarketLedger], read_at: Timestamp) {
        let before = std::mem::take(&mut self.seen);
        for ledger in ledgers {
            for hole in &ledger.holes {
                let older = known_of_hole(&before, &ledger.market, *hole).cloned();
                let sighting = older.unwrap_or_else(|| Sighting::at(read_at));
                self.seen.insert((ledger.market.clone(), *hole), sighting);
            }
        }
    }

    fn report(&self, ledgers: &[MarketLedger], now: Timestamp) -> HoleReport {
        let mut report = HoleReport::default();
        for ledger in ledgers.iter().filter(|ledger| ledger.missing > 0) {
            let sightings = self.seen.iter().filter(|((market, _), _)| *market == ledger.market);
            let (counted, waiting): (Vec<_>, Vec<_>) =
                sightings.partition(|(_, sighting)| sighting.counts_at(now));
            let unconfirmed: i64 = waiting.iter().map(|((_, hole), _)| hole.count()).sum();
            if unconfirmed > 0 {
                report.unconfirmed.insert(ledger.market.clone(), unconfirmed);
            }
            if ledger.missing > unconfirmed {
                let holes = counted.iter().map(|((_, hole), _)| *hole).collect();
                let missing = Missing { trades: ledger.missing - unconfirmed, holes };
                report.missing.insert(ledger.market.clone(), missing);
            }
        }
        report
    }
}

impl Sighting {
    const fn at(first_seen: Timestamp) -> Self {
        Self { first_seen, ends: None, passed_since: None }
    }

    fn counts_at(&self, now: Timestamp) -> bool {
        self.passed_since.is_some_and(|passed| passed + GRACE <= now)
    }

    fn note_ends(&mut self, ends: Option<(&[i64], Timestamp)>) {
        if self.ends.is_none()
            && let Some((ends, seen_at)) = ends
            && seen_at > self.first_seen
        {
            self.ends = Some(ends.to_vec());
        }
    }

    fn note_positions(&mut self, positions: &[PartitionPosition], now: Timestamp) {
        let Some(ends) = &self.ends else { return };
        let passed = ends.iter().enumerate().all(|(partition, end)| {
            let of_partition =
                |position: &&PartitionPosition| usize::try_from(position.partition) == Ok(partition);
            *end == 0
                || positions.iter().find(of_partition).is_some_and(|position| position.next_offset >= *end)
        });
        if passed && self.passed_since.is_none() {
            self.passed_since = Some(now);
        }
    }
}

#[cfg(test)]
mod tests;
