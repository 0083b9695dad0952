//! The history of one source, one step after the other: a symbol is planned when that is due, else the next file is loaded,
//! else a pause.

use std::sync::Arc;
use std::time::Duration;

use crds::worker_settings::{SourceHistorySettings, SourceSettings};
use crds::worker_status::{SourceHistoryStatus, SymbolHistoryStatus, UnavailableFile};
use market::Market;
use runtime::error_chain::error_chain;
use store::{FlushError, FlushSettings, Flusher, Store, StoreError};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::claims::HistoryClaims;
use super::days::{DayQueue, Pauses};
use super::progress::Progress;
use crate::exchange::{BinanceDumps, BinanceRest, DumpError, RestError, dump_name};
use crate::repair::{RepairError, RepairTimings, RepairerState};

/// After something failed that says itself nothing of when it may be tried again.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_secs(2);
/// Between two looks whether something is due.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// How many files that cannot be had a symbol's status names.
const MOST_UNAVAILABLE: usize = 20;

/// Loads the history of one source.
pub(crate) struct SourceHistory {
    pub(super) name: String,
    pub(super) from_us: i64,
    pub(super) symbols: Vec<SymbolHistory>,
    pub(super) rest: BinanceRest,
    pub(super) dumps: BinanceDumps,
    pub(super) store: Store,
    pub(super) flusher: Flusher,
    pub(super) claims: Arc<HistoryClaims>,
    pub(super) state: Arc<RepairerState>,
    pub(super) progress: Progress,
    pub(super) timings: RepairTimings,
}

/// How far one symbol is.
pub(super) struct SymbolHistory {
    pub(super) market: Market,
    pub(super) days: DayQueue,
    pub(super) plan_at: Instant,
}

/// Why a step failed.
pub(super) enum StepError {
    Exchange(RestError),
    /// The host of the files, not one of them.
    Dumps(DumpError),
    Database(String),
}

impl From<RestError> for StepError {
    fn from(error: RestError) -> Self {
        Self::Exchange(error)
    }
}

impl From<DumpError> for StepError {
    fn from(error: DumpError) -> Self {
        Self::Dumps(error)
    }
}

impl From<StoreError> for StepError {
    fn from(error: StoreError) -> Self {
        Self::Database(error_chain(&error))
    }
}

impl From<FlushError> for StepError {
    fn from(error: FlushError) -> Self {
        Self::Database(error_chain(&error))
    }
}

impl SourceHistory {
    pub(crate) fn new(
        source: &SourceSettings,
        history: &SourceHistorySettings,
        outputs: FlushSettings,
        store: Store,
        claims: Arc<HistoryClaims>,
        state: Arc<RepairerState>,
        timings: RepairTimings,
    ) -> Result<Self, RepairError> {
        let symbol = |symbol: &String| SymbolHistory {
            market: Market::new(source.venue.clone(), symbol.clone()),
            days: DayQueue::default(),
            plan_at: Instant::now(),
        };
        let status = SourceHistoryStatus { from: history.from, ..SourceHistoryStatus::default() };
        state.begin_history(&source.name, status);
        Ok(Self {
            name: source.name.clone(),
            from_us: history.from.as_microsecond(),
            symbols: source.symbols.iter().map(symbol).collect(),
            rest: BinanceRest::new(&source.rest_url)?,
            dumps: BinanceDumps::new(&history.dumps_url)?,
            flusher: Flusher::new(store.clone(), outputs),
            store,
            claims,
            state,
            progress: Progress::default(),
            timings,
        })
    }

    /// Runs until `shutdown`, which may cut a step short at any moment: what is not committed is not held.
    pub(crate) async fn keep_loading(mut self, shutdown: CancellationToken) {
        while let Some(pause) = shutdown.run_until_cancelled(self.take_step()).await {
            if shutdown.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
                return;
            }
        }
    }

    /// One step; says how long to wait before the next one.
    async fn take_step(&mut self) -> Duration {
        let now = Instant::now();
        let outcome = if let Some(index) = self.symbols.iter().position(|symbol| symbol.plan_at <= now) {
            self.plan(index).await
        } else if let Some(index) = self.symbols.iter().position(|symbol| symbol.days.next(now).is_some()) {
            self.load_next(index, now).await
        } else {
            return self.until_something_is_due(now);
        };
        outcome.map_or_else(|failure| self.note_failure(&failure), |()| Duration::ZERO)
    }

    fn until_something_is_due(&self, now: Instant) -> Duration {
        let plans = self.symbols.iter().map(|symbol| symbol.plan_at);
        let tries = self.symbols.iter().filter_map(|symbol| symbol.days.next_try());
        let next = plans.chain(tries).min().unwrap_or(now + LONGEST_PAUSE);
        next.saturating_duration_since(now).min(LONGEST_PAUSE)
    }

    fn note_failure(&self, failure: &StepError) -> Duration {
        match failure {
            StepError::Exchange(error) => {
                tracing::warn!(
                    source = self.name,
                    error = error_chain(error),
                    "the exchange does not answer"
                );
                self.state.note_exchange(&self.name, Err(error_chain(error)));
                error.pause().unwrap_or(PAUSE_AFTER_FAILURE)
            }
            StepError::Dumps(error) => {
                tracing::warn!(
                    source = self.name,
                    error = error_chain(error),
                    "no daily files are to be had"
                );
                self.state.note_dumps(&self.name, Err(error_chain(error)));
                error.pause().unwrap_or(PAUSE_AFTER_FAILURE)
            }
            StepError::Database(error) => {
                tracing::warn!(source = self.name, error, "history cannot be stored");
                self.state.note_database(Err(error.clone()));
                PAUSE_AFTER_FAILURE
            }
        }
    }

    pub(super) const fn pauses(&self) -> Pauses {
        Pauses { shortest: self.timings.file_retry, longest: self.timings.longest_file_retry }
    }

    /// Shows how far a symbol is, and the source with it.
    pub(super) fn show(&mut self, index: usize) {
        let now = Instant::now();
        let Some(symbol) = self.symbols.get(index) else { return };
        let name = symbol.market.symbol.as_str();
        let (days, done) = symbol.days.count();
        let unavailable = symbol.days.unavailable().take(MOST_UNAVAILABLE);
        let status = SymbolHistoryStatus {
            days: u32::try_from(days).unwrap_or(u32::MAX),
            days_loaded: u32::try_from(done).unwrap_or(u32::MAX),
            trades_left: self.claims.count(&symbol.market),
            unavailable: unavailable
                .map(|(day, why)| UnavailableFile { file: dump_name(name, day), reason: why.to_owned() })
                .collect(),
        };
        let left = self.symbols.iter().map(|symbol| self.claims.count(&symbol.market)).sum();
        let (loaded, rate) = (self.progress.loaded(), self.progress.rate(now));
        let seconds_left = self.progress.seconds_left(left, now);
        self.state.note_history(&self.name, |source| {
            source.symbols.insert(name.to_owned(), status);
            source.trades_loaded = loaded;
            source.trades_per_second = rate;
            source.seconds_left = seconds_left;
        });
    }
}
