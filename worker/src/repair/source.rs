//! The repairs of one source, one step after the other: a probe when it is due, else the next missing ids, else candles are
//! compared with the exchange's own, else a pause.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use crds::worker_settings::SourceSettings;
use jiff::Timestamp;
use market::Market;
use runtime::error_chain::error_chain;
use runtime::telemetry::traces;
use store::{
    HeadProbe, HistoryStart, Hole, HoleWatch, IdsWithoutTrade, LedgerLook, MarketLedger, PartitionPosition,
    Store,
};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::field::Empty;
use tracing::{Instrument as _, Span};

use super::backlog::{Backlog, PAGE};
use super::publisher::RepairPublisher;
use super::queue::{Chunk, RepairQueue};
use super::reply::{Reply, sort_out};
use super::state::RepairerState;
use super::timings::RepairTimings;
use crate::exchange::{AskedTrade, BinanceRest, MOST_TRADES, NewestTrade, RestError};
use crate::history::HistoryClaims;
use crate::verify::{Step, Verifier, VerifyError};

/// How often the stored positions are looked at while published trades are on their way to the ledger.
const CONFIRMATION_LOOK: Duration = Duration::from_millis(50);
/// After something failed that the exchange has nothing to do with.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_secs(2);

/// Repairs one source.
pub(super) struct SourceRepairer {
    name: String,
    venue: String,
    symbols: Vec<String>,
    rest: BinanceRest,
    store: Store,
    publisher: Arc<RepairPublisher>,
    /// What daily files are about to bring; none where no history is wished.
    claims: Option<Arc<HistoryClaims>>,
    /// Whether the ledger may still wish a history that the settings no longer do.
    may_wish_history: bool,
    state: Arc<RepairerState>,
    timings: RepairTimings,
    topic: String,
    watch: HoleWatch,
    queue: RepairQueue,
    backlog: Backlog,
    /// Missing ids that an earlier answer said do not exist, and when the first one did.
    absent: HashMap<(Market, IdsWithoutTrade), Instant>,
    verifier: Verifier,
    probe_at: Instant,
}

/// Why a step failed.
#[derive(Debug, thiserror::Error)]
enum StepError {
    #[error("the exchange does not answer")]
    Exchange(#[from] RestError),
    #[error("the ledger cannot be used")]
    Database(#[from] store::StoreError),
    /// The state says it already.
    #[error("the topic cannot be used: {0}")]
    Broker(String),
}

impl From<VerifyError> for StepError {
    fn from(error: VerifyError) -> Self {
        match error {
            VerifyError::Exchange(error) => Self::Exchange(error),
            VerifyError::Database(error) => Self::Database(error),
        }
    }
}

impl SourceRepairer {
    pub(super) fn new(
        source: SourceSettings,
        topic: String,
        store: Store,
        publisher: Arc<RepairPublisher>,
        claims: Option<Arc<HistoryClaims>>,
        state: Arc<RepairerState>,
        timings: RepairTimings,
    ) -> Result<Self, RestError> {
        Ok(Self {
            rest: BinanceRest::new(&source.rest_url)?,
            verifier: Verifier::new(&source, timings.verify),
            name: source.name,
            venue: source.venue,
            symbols: source.symbols,
            store,
            publisher,
            may_wish_history: claims.is_none(),
            claims,
            state,
            timings,
            topic,
            watch: HoleWatch::default(),
            queue: RepairQueue::default(),
            backlog: Backlog::default(),
            absent: HashMap::new(),
            probe_at: Instant::now(),
        })
    }

    /// Runs until `shutdown`. A step is never cut short but by that.
    pub(super) async fn keep_repairing(mut self, shutdown: CancellationToken) {
        while let Some(pause) = shutdown.run_until_cancelled(self.take_step()).await {
            if shutdown.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
                return;
            }
        }
    }

    /// One step; says how long to wait before the next one.
    async fn take_step(&mut self) -> Duration {
        let outcome = if Instant::now() >= self.probe_at {
            let span = tracing::info_span!("probe", cryptopipeline.source = self.name);
            traced(span, self.probe()).await
        } else {
            self.repair().await
        };
        self.state.note_weight_used(&self.name, self.rest.weight_used());
        let failure = match outcome {
            Ok(pause) => return pause,
            Err(failure) => failure,
        };
        match failure {
            StepError::Exchange(error) => {
                tracing::warn!(
                    source = self.name,
                    error = error_chain(&error),
                    "the exchange does not answer"
                );
                self.state.note_exchange(&self.name, Err(error_chain(&error)));
                error.pause().unwrap_or(PAUSE_AFTER_FAILURE)
            }
            StepError::Database(error) => {
                tracing::warn!(error = error_chain(&error), "the ledger cannot be used");
                self.state.note_database(Err(error_chain(&error)));
                PAUSE_AFTER_FAILURE
            }
            StepError::Broker(message) => {
                tracing::warn!(message, "the topic cannot be used");
                PAUSE_AFTER_FAILURE
            }
        }
    }

    /// Asks how far the exchange's ids go.
    async fn probe(&mut self) -> Result<Duration, StepError> {
        let newest = self.rest.newest_trades(&self.symbols).await?;
        self.state.note_exchange(&self.name, Ok(()));
        self.verifier.note_times(&newest);
        let probe = |NewestTrade { symbol, last_id, time_us }| HeadProbe {
            market: Market::new(self.venue.clone(), symbol),
            last_id,
            time_us,
        };
        let probes: Vec<HeadProbe> = newest.into_iter().map(probe).collect();
        let now_us = Timestamp::now().as_microsecond();
        self.store.note_head_probes(&probes, now_us, self.timings.probe_distance).await?;
        self.probe_at = Instant::now() + self.timings.probe_interval;
        self.wish_new_series().await?;
        Ok(Duration::ZERO)
    }

    /// Every trade of a series that a person has begun is wished, from the first one on that the exchange has. Where
    /// history is wished, that sees to it.
    async fn wish_new_series(&mut self) -> Result<(), StepError> {
        if self.claims.is_some() {
            return Ok(());
        }
        let mut failed = Ok(());
        for ledger in self.ledgers().await? {
            let (Some(from_us), None) = (ledger.series_since_us, ledger.history_from_us) else { continue };
            match self.rest.first_trade_from(&ledger.market.symbol, from_us).await {
                Ok(None) => {}
                Ok(Some(first_id)) => {
                    self.store.wish_history(&ledger.market, HistoryStart { from_us, first_id }).await?;
                    self.verifier.forget(&ledger.market);
                }
                // One symbol that the exchange refuses must not hold up the others.
                Err(error) => failed = Err(error.into()),
            }
        }
        failed
    }

    /// Asks for the ids that are missing most urgently, if any are.
    async fn repair(&mut self) -> Result<Duration, StepError> {
        self.look().await?;
        let now = Instant::now();
        // One more than is asked for: the id just below, which proves what is not there.
        let Some(chunk) = self.queue.next(now, MOST_TRADES - 1) else {
            return self.verify(self.probe_at.min(now + self.timings.look_interval)).await;
        };
        let span = tracing::info_span!(
            "repair",
            cryptopipeline.source = self.name,
            cryptopipeline.symbol = %chunk.market.symbol,
            cryptopipeline.first_id = chunk.ids.start(),
            cryptopipeline.last_id = chunk.ids.end(),
            cryptopipeline.trades_published = Empty,
        );
        traced(span, self.repair_chunk(&chunk)).await
    }

    /// Asks for some missing ids, and does what the answer says.
    async fn repair_chunk(&mut self, chunk: &Chunk) -> Result<Duration, StepError> {
        let received_time_us = Timestamp::now().as_microsecond();
        let from_id = chunk.ids.start() - 1;
        let asked = self.rest.trades_from(&chunk.market.symbol, from_id, received_time_us).await;
        let rows = match asked {
            Ok(rows) => rows,
            Err(error) => {
                self.queue.note_nothing(chunk, error_chain(&error), Instant::now());
                return Err(error.into());
            }
        };
        self.state.note_exchange(&self.name, Ok(()));
        if !self.numbers_anew(&chunk.market, &rows).await? {
            self.use_reply(chunk, sort_out(&chunk.ids, &rows)).await?;
        }
        Ok(Duration::ZERO)
    }

    /// Whether the first row of an answer has an id of which another trade is held: then all of it is of another numbering.
    async fn numbers_anew(&self, market: &Market, rows: &[AskedTrade]) -> Result<bool, StepError> {
        let Some(first) = rows.first() else { return Ok(false) };
        let (trade_id, time_us) = (first.first_id(), first.trade_time_us());
        let is_anew = self.store.note_trade_of_exchange(market, trade_id, time_us).await?;
        if is_anew {
            tracing::warn!(%market, trade_id, "the exchange numbers its trades anew: nothing is repaired before a series is begun");
        }
        Ok(is_anew)
    }

    /// Compares candles until `until`, when it is to be seen whether there is something more urgent. Says how long to wait
    /// for that.
    async fn verify(&mut self, until: Instant) -> Result<Duration, StepError> {
        while Instant::now() < until {
            let step = self.verifier.step(&mut self.rest, &self.store).await;
            self.state.note_undecided(&self.name, self.verifier.undecided());
            match step? {
                Step::Taken(verdicts) => self.state.note_checked(&verdicts),
                Step::Idle => return Ok(until.saturating_duration_since(Instant::now())),
            }
        }
        Ok(Duration::ZERO)
    }

    /// Brings the queue to what the ledger misses.
    async fn look(&mut self) -> Result<(), StepError> {
        if self.may_wish_history {
            self.store.retract_history(&self.markets()).await?;
            self.may_wish_history = false;
        }
        let read_at = Timestamp::now();
        let positions = self.store.positions(&self.topic).await?;
        let mut ledgers = self.ledgers().await?;
        let pages = self.add_older_holes(&mut ledgers).await?;
        self.state.note_database(Ok(()));
        let ends_at = Timestamp::now();
        let is_anything_missing = ledgers.iter().any(|ledger| ledger.missing > 0);
        let ends = if is_anything_missing {
            Some(self.publisher.end_offsets().await.map_err(StepError::Broker)?)
        } else {
            None
        };
        let look = LedgerLook {
            ledgers: &ledgers,
            positions: &positions,
            read_at,
            ends: ends.as_deref().map(|ends| (ends, ends_at)),
        };
        let report = self.watch.update(&look, Timestamp::now());
        // Behind a restart their ids mean other trades.
        let restarted = |market: &Market| {
            ledgers.iter().any(|ledger| ledger.market == *market && ledger.restart.is_some())
        };
        let repairable = report.missing.iter().filter(|(market, _)| !restarted(market));
        let holes = repairable.flat_map(|(market, missing)| {
            missing
                .holes
                .iter()
                .flat_map(|hole| self.unclaimed(market, *hole))
                .map(move |hole| (market, hole))
        });
        let now = Instant::now();
        let holes: Vec<(&Market, Hole)> = holes.collect();
        self.queue.update(holes.into_iter(), now);
        for (market, page) in pages {
            let mut parts = page.iter().flat_map(|hole| self.unclaimed(&market, *hole));
            if parts.all(|hole| self.queue.was_tried(&market, hole)) {
                self.backlog.pass(&market, &page, now);
            }
        }
        self.absent.retain(|(market, _), _| report.missing.contains_key(market));
        let queued = report.missing.iter().filter(|(market, _)| !restarted(market));
        let queued = queued.map(|(_, missing)| u64::try_from(missing.trades).unwrap_or_default()).sum();
        self.state.note_queued(&self.name, queued);
        self.state.note_unavailable(&self.name, self.queue.unavailable());
        Ok(())
    }

    /// Has every ledger name those of its older holes too that have their turn, which are answered with.
    async fn add_older_holes(
        &mut self,
        ledgers: &mut [MarketLedger],
    ) -> Result<Vec<(Market, Vec<Hole>)>, StepError> {
        let mut pages = Vec::new();
        for ledger in ledgers {
            if let Some(below_id) = self.backlog.page_below(ledger, Instant::now()) {
                let page = self.store.older_holes(&ledger.market, below_id, PAGE).await?;
                ledger.holes.extend(&page);
                pages.push((ledger.market.clone(), page));
            }
        }
        Ok(pages)
    }

    /// What no daily file is about to bring.
    fn unclaimed(&self, market: &Market, hole: Hole) -> Vec<Hole> {
        match &self.claims {
            Some(claims) => claims.unclaimed(market, hole).collect(),
            None => vec![hole],
        }
    }

    fn markets(&self) -> Vec<Market> {
        let market = |symbol: &String| Market::new(self.venue.clone(), symbol.clone());
        self.symbols.iter().map(market).collect()
    }

    async fn ledgers(&self) -> Result<Vec<MarketLedger>, store::StoreError> {
        let mut ledgers = self.store.ledgers().await?;
        ledgers.retain(|ledger| {
            ledger.market.venue == self.venue
                && self.symbols.iter().any(|symbol| *symbol == ledger.market.symbol)
        });
        Ok(ledgers)
    }

    async fn use_reply(&mut self, chunk: &Chunk, reply: Reply) -> Result<(), StepError> {
        let voided = self.void(chunk, &reply.absent).await?;
        if !reply.refused.is_empty() {
            self.store.refuse(&chunk.market, &reply.refused).await?;
            tracing::warn!(market = %chunk.market, trades = ?reply.refused, "trades exist and cannot be held");
            self.state.note_refused(reply.refused.len());
        }
        if !reply.found.is_empty() {
            let _under_way = self.publisher.under_way().await;
            let published = self.publisher.publish(&chunk.market, &reply.found).await;
            let behind = published.map_err(|error| StepError::Broker(error.to_string()))?;
            Span::current().record("cryptopipeline.trades_published", reply.found.len());
            self.state.note_repaired(reply.found.len());
            self.wait_until_read(&behind).await?;
        }
        let now = Instant::now();
        if voided || !reply.found.is_empty() || !reply.refused.is_empty() {
            self.queue.note_progress(chunk, now);
        } else {
            self.queue.note_nothing(chunk, why_open(&reply).to_owned(), now);
        }
        for ids in &reply.merged {
            self.queue.note_left_open(&chunk.market, ids, ONLY_MERGED, now);
        }
        Ok(())
    }

    /// Believes that ids do not exist where that was said long enough ago, and is said again.
    async fn void(&mut self, chunk: &Chunk, absent: &[IdsWithoutTrade]) -> Result<bool, StepError> {
        let mut voided = false;
        for absent in absent {
            let said = (chunk.market.clone(), absent.clone());
            let first_said_at = self.absent.get(&said).copied();
            if first_said_at.is_none_or(|said_at| said_at.elapsed() < self.timings.void_age) {
                self.absent.entry(said).or_insert_with(Instant::now);
                continue;
            }
            self.store.void(&chunk.market, absent.clone()).await?;
            self.absent.remove(&said);
            tracing::info!(market = %chunk.market, ids = ?absent.ids, "the exchange has no such trades");
            self.state.note_voided(absent.ids.end() - absent.ids.start() + 1);
            voided = true;
        }
        Ok(voided)
    }

    /// Waits until the aggregators have committed what was published, so that never more than one answer is under way.
    async fn wait_until_read(&self, behind: &BTreeMap<i32, i64>) -> Result<(), StepError> {
        let deadline = Instant::now() + self.timings.confirmation;
        while Instant::now() < deadline {
            let positions = self.store.positions(&self.topic).await?;
            if behind.iter().all(|(partition, offset)| has_passed(&positions, *partition, *offset)) {
                return Ok(());
            }
            tokio::time::sleep(CONFIRMATION_LOOK).await;
        }
        Ok(())
    }
}

/// A step within its span, which says why it failed.
async fn traced<T>(span: Span, step: impl Future<Output = Result<T, StepError>>) -> Result<T, StepError> {
    let outcome = step.instrument(span.clone()).await;
    if let Err(error) = &outcome {
        traces::fail(&span, error_chain(error));
    }
    outcome
}

fn has_passed(positions: &[PartitionPosition], partition: i32, offset: i64) -> bool {
    positions.iter().any(|position| position.partition == partition && position.next_offset >= offset)
}

const ONLY_MERGED: &str =
    "this host tells these trades only merged with others (it has aggTrades and lacks historicalTrades)";

/// Why a hole is still open after an answer that brought nothing.
const fn why_open(reply: &Reply) -> &'static str {
    if !reply.merged.is_empty() {
        ONLY_MERGED
    } else if !reply.absent.is_empty() {
        "the exchange has no such ids; it is asked again before that is believed"
    } else {
        "the exchange does not have these trades (any more)"
    }
}
