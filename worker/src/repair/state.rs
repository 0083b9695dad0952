//! What a repairer knows about itself: its `/status`, its `/readyz` and its metrics.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crds::worker_status::{
    DependencyStatus, RepairerStatus, SourceHistoryStatus, UnavailableHole, UndecidedCheck,
};
use market::Market;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;
use runtime::health::Probes;
use store::{CheckVerdict, Hole};

/// Shared by everything that a repairer consists of, and by whoever watches it.
#[derive(Debug)]
pub struct RepairerState {
    inner: Mutex<Inner>,
    trades_repaired: Counter,
    ids_voided: Counter,
    candles_checked: Family<VerdictLabel, Counter>,
    history_trades: Counter,
    trades_refused: Counter,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct VerdictLabel {
    verdict: &'static str,
}

#[derive(Debug, Default)]
struct Inner {
    status: RepairerStatus,
    unavailable: BTreeMap<String, Vec<UnavailableHole>>,
    undecided: BTreeMap<String, Vec<UndecidedCheck>>,
}

impl RepairerState {
    /// A state that knows nothing yet of `sources`; its metrics are entered in `registry`.
    #[must_use]
    pub fn new<'a>(sources: impl Iterator<Item = &'a str>, registry: &mut Registry) -> Self {
        let not_yet = || DependencyStatus { available: false, message: "not asked yet".to_owned() };
        let status = RepairerStatus {
            broker: not_yet(),
            database: not_yet(),
            exchanges: sources.map(|source| (source.to_owned(), not_yet())).collect(),
            ..RepairerStatus::default()
        };
        let [trades_repaired, ids_voided, history_trades, trades_refused] =
            [(); 4].map(|()| Counter::default());
        let registry = registry.sub_registry_with_prefix("cryptopipeline_repairer");
        registry.register("trades_repaired", "Missing trades that were published", trades_repaired.clone());
        registry.register("ids_voided", "Missing ids that were found not to exist", ids_voided.clone());
        let candles_checked = Family::default();
        let help = "Candles that were compared with the exchange's own, by verdict";
        registry.register("candles_checked", help, candles_checked.clone());
        let help = "Trades of daily files that were new to the ledger";
        registry.register("history_trades_loaded", help, history_trades.clone());
        registry.register("trades_refused", "Missing trades that cannot be held", trades_refused.clone());
        let inner = Mutex::new(Inner { status, ..Inner::default() });
        Self { inner, trades_repaired, ids_voided, candles_checked, history_trades, trades_refused }
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
        self.trades_repaired.inc_by(trades as u64);
        self.inner().status.trades_repaired += trades as u64;
    }

    pub(super) fn note_voided(&self, ids: i64) {
        let ids = u64::try_from(ids).unwrap_or_default();
        self.ids_voided.inc_by(ids);
        self.inner().status.ids_voided += ids;
    }

    /// So many candles got these verdicts.
    pub(super) fn note_checked(&self, verdicts: &[(CheckVerdict, usize)]) {
        let mut inner = self.inner();
        for (verdict, candles) in verdicts {
            let verdict = verdict.as_str();
            self.candles_checked.get_or_create(&VerdictLabel { verdict }).inc_by(*candles as u64);
            *inner.status.candles_checked.entry(verdict.to_owned()).or_default() += *candles as u64;
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
        self.history_trades.inc_by(trades);
    }

    pub(super) fn note_refused(&self, trades: usize) {
        self.trades_refused.inc_by(trades as u64);
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
