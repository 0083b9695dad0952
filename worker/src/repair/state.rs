//! What a repairer knows about itself: its `/status` and its `/readyz`.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crds::worker_status::{
    DependencyStatus, RepairerStatus, SourceHistoryStatus, UnavailableHole, UndecidedCheck,
};
use market::Market;
use runtime::health::Probes;
use store::{CheckVerdict, Hole};

/// Shared by everything that a repairer consists of, and by whoever watches it.
#[derive(Debug)]
pub struct RepairerState {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    status: RepairerStatus,
    unavailable: BTreeMap<String, Vec<UnavailableHole>>,
    undecided: BTreeMap<String, Vec<UndecidedCheck>>,
    /// How many trades are to be asked for, by source.
    queued: BTreeMap<String, u64>,
    /// Trades of daily files that were new to the ledger.
    history_trades: u64,
}

/// What is not done yet of one source.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Open {
    /// Missing trades that are to be asked for.
    pub(super) queued: u64,
    /// Holes that were asked for in vain.
    pub(super) unavailable: u64,
    /// Candles of which it is not decided who is wrong.
    pub(super) undecided: u64,
}

impl RepairerState {
    /// A state that knows nothing yet of `sources`.
    #[must_use]
    pub fn new<'a>(sources: impl Iterator<Item = &'a str>) -> Self {
        let not_yet = || DependencyStatus { available: false, message: "not asked yet".to_owned() };
        let status = RepairerStatus {
            broker: not_yet(),
            database: not_yet(),
            exchanges: sources.map(|source| (source.to_owned(), not_yet())).collect(),
            ..RepairerStatus::default()
        };
        Self { inner: Mutex::new(Inner { status, ..Inner::default() }) }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The database answered, or why it did not.
    pub(crate) fn note_database(&self, answer: Result<(), String>) {
        self.inner().status.database = dependency(answer);
    }

    /// The broker answered, or why it did not.
    pub(super) fn note_broker(&self, answer: Result<(), String>) {
        self.inner().status.broker = dependency(answer);
    }

    /// The exchange of `source` answered, or why it did not.
    pub(crate) fn note_exchange(&self, source: &str, answer: Result<(), String>) {
        self.inner().status.exchanges.insert(source.to_owned(), dependency(answer));
    }

    pub(super) fn note_weight_used(&self, source: &str, weight: u32) {
        self.inner().status.weight_used.insert(source.to_owned(), weight);
    }

    pub(super) fn note_repaired(&self, trades: usize) {
        self.inner().status.trades_repaired += trades as u64;
    }

    pub(super) fn note_voided(&self, ids: i64) {
        let ids = u64::try_from(ids).unwrap_or_default();
        self.inner().status.ids_voided += ids;
    }

    /// So many candles got these verdicts.
    pub(super) fn note_checked(&self, verdicts: &[(CheckVerdict, usize)]) {
        let mut inner = self.inner();
        for (verdict, candles) in verdicts {
            *inner.status.candles_checked.entry(verdict.as_str().to_owned()).or_default() += *candles as u64;
        }
    }

    /// The differences of `source` that are being decided, or cannot be.
    pub(super) fn note_undecided(&self, source: &str, undecided: Vec<UndecidedCheck>) {
        self.inner().undecided.insert(source.to_owned(), undecided);
    }

    /// The history of `source` is to be loaded.
    pub(crate) fn begin_history(&self, source: &str, status: SourceHistoryStatus) {
        let dumps = DependencyStatus { available: false, message: "not asked yet".to_owned() };
        let status = SourceHistoryStatus { dumps, ..status };
        self.inner().status.history.insert(source.to_owned(), status);
    }

    /// The host of the daily files of `source` answered, or why it did not.
    pub(crate) fn note_dumps(&self, source: &str, answer: Result<(), String>) {
        self.note_history(source, |history| history.dumps = dependency(answer));
    }

    /// The history of `source` is another than before.
    pub(crate) fn note_history(&self, source: &str, change: impl FnOnce(&mut SourceHistoryStatus)) {
        if let Some(history) = self.inner().status.history.get_mut(source) {
            change(history);
        }
    }

    pub(crate) fn count_history(&self, trades: u64) {
        self.inner().history_trades += trades;
    }

    pub(super) fn note_refused(&self, trades: usize) {
        self.inner().status.trades_refused += trades as u64;
    }

    /// The holes of `source` that were asked for in vain.
    pub(super) fn note_unavailable<'a>(
        &self,
        source: &str,
        holes: impl Iterator<Item = (&'a Market, Hole, &'a str)>,
    ) {
        let unavailable = holes.map(|(market, hole, reason)| UnavailableHole {
            venue: market.venue.to_string(),
            symbol: market.symbol.to_string(),
            first_id: hole.first_id,
            last_id: hole.last_id,
            reason: reason.to_owned(),
        });
        self.inner().unavailable.insert(source.to_owned(), unavailable.collect());
    }
}

impl RepairerState {
    /// So many missing trades of `source` are to be asked for.
    pub(super) fn note_queued(&self, source: &str, trades: u64) {
        self.inner().queued.insert(source.to_owned(), trades);
    }

    /// Trades of daily files that were new to the ledger.
    pub(super) fn history_trades(&self) -> u64 {
        self.inner().history_trades
    }

    /// What is not done yet, by source that has been looked at.
    pub(super) fn open(&self) -> BTreeMap<String, Open> {
        let inner = self.inner();
        let of = |source: &String, queued: &u64| Open {
            queued: *queued,
            unavailable: inner.unavailable.get(source).map_or(0, Vec::len) as u64,
            undecided: inner.undecided.get(source).map_or(0, Vec::len) as u64,
        };
        inner.queued.iter().map(|(source, queued)| (source.clone(), of(source, queued))).collect()
    }
}

impl Probes for RepairerState {
    type Status = RepairerStatus;

    fn why_not_ready(&self) -> Vec<String> {
        let inner = self.inner();
        let database = ("database", &inner.status.database);
        let exchanges = inner.status.exchanges.iter().map(|(source, exchange)| (source.as_str(), exchange));
        let away = std::iter::once(database).chain(exchanges).filter(|(_, dependency)| !dependency.available);
        away.map(|(what, dependency)| format!("{what}: {}", dependency.message)).collect()
    }

    fn status(&self) -> RepairerStatus {
        let inner = self.inner();
        let unavailable = inner.unavailable.values().flatten().cloned().collect();
        let undecided = inner.undecided.values().flatten().cloned().collect();
        RepairerStatus { unavailable, undecided, ..inner.status.clone() }
    }
}

fn dependency(answer: Result<(), String>) -> DependencyStatus {
    match answer {
        Ok(()) => DependencyStatus { available: true, message: String::new() },
        Err(message) => DependencyStatus { available: false, message },
    }
}
