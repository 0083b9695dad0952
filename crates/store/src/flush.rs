//! The flush: rows, ledger and offsets of one batch in one transaction, the same on every database.
//!
//! First the locks, then everything that is read, in statements that start after the locks were granted:
//! a statement that waited for a lock returns new heads beside old ranges. What is cached of a market is
//! valid only while its version is the one that was cached.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use hashbrown::{HashMap, HashSet};
use market::{
    BuiltCandles, CandleKey, Fold, Interval, LastTrade, Market, MarketPlan, Output, PlanSettings, Record,
    RefusedTrade, StoredMarket, TradeRange, build_coarser, intervals_to_build, plan_market, touched_windows,
};

use crate::error::{FlushError, StoreError};
use crate::history::{FileOfStep, HistoryStep, HistoryWrite};
use crate::model::{FlushBatch, FlushReport, FlushSettings, HeadState, MarketBatch, PartitionProgress};
use crate::{Backend, Store};

/// How far ahead of the clock a trade's time may be: clocks differ, but nobody trades in the future.
const LARGEST_CLOCK_LEAD_US: i64 = 3_600_000_000;

/// How long the exchange's word of its newest id stands, and how many ids it cannot have given in that time.
const PROBE_STANDS_US: i64 = 300_000_000;
const MOST_IDS_SINCE_PROBE: i64 = 10_000_000;

/// How long the floors are taken as read. Rows written below a floor that has just moved are deleted with
/// the next move, and claim nothing meanwhile.
const FLOORS_VALID: Duration = Duration::from_secs(60);

/// In the place of the partition, of trades that came from a file.
pub(crate) const FILE_PARTITION: i32 = -1;

/// A database that flushes can be committed to.
pub(crate) trait FlushDatabase {
    /// Its transaction; dropping one rolls it back.
    type Transaction: FlushTransaction;

    /// The ids of the markets, in their order; markets that are not known yet are added.
    async fn symbol_ids(&self, markets: &[Market]) -> Result<Vec<i32>, StoreError>;
    /// Makes what rows of these times need and a flush must not make itself.
    async fn prepare_trade_days(
        &self,
        times_us: &mut (dyn Iterator<Item = i64> + Send),
    ) -> Result<(), StoreError>;
    /// Below which time each output may have been dropped.
    async fn floors(&self) -> Result<Floors, StoreError>;
    /// Begins a transaction that can wait for locks and sees what others commit meanwhile.
    async fn begin(&self) -> Result<Self::Transaction, StoreError>;
}

/// The statements of a flush, in the order in which they are called.
pub(crate) trait FlushTransaction {
    async fn lock_partitions(&mut self, topic: &str, partitions: &[i32]) -> Result<(), StoreError>;
    async fn lock_heads(&mut self, symbol_ids: &[i32]) -> Result<(), StoreError>;
    async fn read_offsets(
        &mut self,
        topic: &str,
        partitions: &[i32],
    ) -> Result<Vec<StoredOffset>, StoreError>;
    async fn read_heads(&mut self, symbol_ids: &[i32]) -> Result<Vec<StoredHead>, StoreError>;
    async fn read_ranges(&mut self, symbol_ids: &[i32]) -> Result<Vec<(i32, TradeRange)>, StoreError>;
    async fn read_folds(&mut self, symbol_ids: &[i32]) -> Result<Vec<(i32, Output, Fold)>, StoreError>;
    async fn read_candles(&mut self, windows: &[(i32, CandleKey)]) -> Result<Vec<StoredCandle>, StoreError>;
    async fn read_all_candles(
        &mut self,
        symbol_id: i32,
        interval: Interval,
    ) -> Result<Vec<StoredCandle>, StoreError>;
    async fn write(&mut self, writes: &FlushWrites) -> Result<(), StoreError>;
    /// An error means that the outcome is unknown.
    async fn commit(self) -> Result<(), sqlx::Error>;
}

/// Below which time each output may have been dropped: microseconds since 1970, UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Floors {
    pub(crate) trades_us: i64,
    pub(crate) candles_us: i64,
}

impl Default for Floors {
    fn default() -> Self {
        Self { trades_us: i64::MIN, candles_us: i64::MIN }
    }
}

/// A row of `partition_offsets`.
#[derive(Clone, Debug)]
pub(crate) struct StoredOffset {
    pub(crate) partition: i32,
    pub(crate) topic_id: String,
    pub(crate) next_offset: i64,
}

/// A row of `symbol_head`.
#[derive(Clone, Debug)]
pub(crate) struct StoredHead {
    pub(crate) symbol_id: i32,
    pub(crate) market: Market,
    pub(crate) version: i64,
    pub(crate) trades_held: i64,
    pub(crate) last_trade: Option<LastTrade>,
    pub(crate) max_inversion_us: i64,
    /// How far the exchange's own ids go, as far as it was asked.
    pub(crate) exchange: Option<HeadState>,
}

/// A row of `candles`.
#[derive(Clone, Debug)]
pub(crate) struct StoredCandle {
    pub(crate) symbol_id: i32,
    pub(crate) interval: Interval,
    pub(crate) candle: market::Candle,
}

/// Everything that one flush writes.
#[derive(Debug)]
pub(crate) struct FlushWrites {
    pub(crate) topic: String,
    pub(crate) topic_id: String,
    pub(crate) partitions: Vec<PartitionWrite>,
    pub(crate) markets: Vec<MarketWrite>,
    pub(crate) set_aside: Vec<SetAsideRow>,
    pub(crate) history: Option<HistoryWrite>,
}

/// What becomes of a row of `partition_offsets`.
#[derive(Debug, Default)]
pub(crate) struct PartitionWrite {
    pub(crate) partition: i32,
    pub(crate) next_offset: i64,
    pub(crate) records_read: i64,
    pub(crate) trades_new: i64,
    pub(crate) trades_duplicate: i64,
    pub(crate) records_set_aside: i64,
    pub(crate) offsets_skipped: i64,
}

/// What becomes of one market.
#[derive(Debug)]
pub(crate) struct MarketWrite {
    pub(crate) symbol_id: i32,
    pub(crate) market: Market,
    pub(crate) version: i64,
    pub(crate) trades_held: i64,
    pub(crate) last_trade: Option<LastTrade>,
    pub(crate) max_inversion_us: i64,
    pub(crate) plan: MarketPlan,
}

impl MarketWrite {
    /// The candles to write, with their interval.
    pub(crate) fn candles(&self) -> impl Iterator<Item = (Interval, &market::Candle)> {
        self.plan.candles.iter().map(|(interval, candle)| (*interval, candle))
    }
}

/// A row of `set_aside`.
#[derive(Debug)]
pub(crate) struct SetAsideRow {
    pub(crate) partition: i32,
    pub(crate) offset: i64,
    pub(crate) reason: &'static str,
    pub(crate) payload: Vec<u8>,
}

/// Commits batches, one after the other, and remembers between them what only it can have changed.
pub struct Flusher {
    store: Store,
    settings: FlushSettings,
    symbol_ids: HashMap<Market, i32>,
    /// By symbol id, as they were committed last.
    cache: HashMap<i32, StoredMarket>,
    /// As they were read last, and when.
    floors: Option<(Floors, Instant)>,
}

impl Flusher {
    /// A flusher that remembers nothing yet.
    #[must_use]
    pub fn new(store: Store, settings: FlushSettings) -> Self {
        Self { store, settings, symbol_ids: HashMap::new(), cache: HashMap::new(), floors: None }
    }

    /// Forgets everything cached. Called by itself after every error.
    pub fn forget(&mut self) {
        self.symbol_ids.clear();
        self.cache.clear();
        self.floors = None;
    }

    /// Commits one batch. `now_us` is the wall clock, microseconds since 1970: trades more than an hour
    /// ahead of it are set aside.
    ///
    /// # Errors
    /// [`FlushError`]; whatever it is, the batch must be thrown away and the positions read again.
    pub async fn flush(&mut self, batch: FlushBatch, now_us: i64) -> Result<FlushReport, FlushError> {
        match self.store.backend.clone() {
            Backend::Postgres(database) => self.flush_to(&database, batch, None, now_us).await,
            Backend::Sqlite(database) => self.flush_to(&database, batch, None, now_us).await,
        }
    }

    /// Commits some trades of one of the exchange's files. No partition is locked and no position moves: what comes of
    /// the trades is counted in `history_files`.
    ///
    /// # Errors
    /// [`FlushError`]; the same step may be tried again, since what the ledger holds counts no second time.
    pub async fn flush_history(&mut self, step: HistoryStep, now_us: i64) -> Result<FlushReport, FlushError> {
        let (batch, file) = step.into_batch();
        match self.store.backend.clone() {
            Backend::Postgres(database) => self.flush_to(&database, batch, Some(file), now_us).await,
            Backend::Sqlite(database) => self.flush_to(&database, batch, Some(file), now_us).await,
        }
    }

    /// [`Self::flush`] or, with a file, [`Self::flush_history`] to a database given by whoever tests it.
    pub(crate) async fn flush_to<D: FlushDatabase>(
        &mut self,
        database: &D,
        batch: FlushBatch,
        file: Option<FileOfStep>,
        now_us: i64,
    ) -> Result<FlushReport, FlushError> {
        let committed = self.commit(database, batch, file, now_us).await;
        if committed.is_err() {
            self.forget();
        }
        committed
    }

    async fn commit<D: FlushDatabase>(
        &mut self,
        database: &D,
        batch: FlushBatch,
        file: Option<FileOfStep>,
        now_us: i64,
    ) -> Result<FlushReport, FlushError> {
        let markets = self.identify(database, batch.markets).await?;
        let settings = self.plan_settings(database, now_us).await?;
        if settings.store_trades {
            let trades = markets.iter().flat_map(|market| &market.records).map(|record| record.trade);
            let times_us = trades.filter(market::Trade::is_possible).map(|trade| trade.trade_time_us);
            let stored = settings.trades_floor_us..=settings.latest_time_us;
            database.prepare_trade_days(&mut times_us.filter(|time_us| stored.contains(time_us))).await?;
        }
        let partitions: Vec<i32> = batch.partitions.iter().map(|progress| progress.partition).collect();

        let mut transaction = database.begin().await?;
        if file.is_none() {
            transaction.lock_partitions(&batch.topic, &partitions).await?;
            let offsets = transaction.read_offsets(&batch.topic, &partitions).await?;
            check_offsets(&batch.topic_id, &batch.partitions, &offsets)?;
        }
        let symbol_ids: Vec<i32> = markets.iter().map(|market| market.symbol_id).collect();
        self.lock_and_read(&mut transaction, &markets, &settings, now_us).await?;

        let mut writes = FlushWrites {
            topic: batch.topic,
            topic_id: batch.topic_id,
            partitions: Vec::new(),
            markets: Vec::with_capacity(markets.len()),
            set_aside: Vec::new(),
            history: None,
        };
        for market in markets {
            let planned = self.plan(&mut transaction, market, &settings).await?;
            writes.markets.push(planned);
        }
        let report = account_for_records(batch.partitions, &mut writes);
        writes.history = file.zip(symbol_ids.first()).map(|(file, symbol_id)| {
            let counted = std::mem::take(&mut writes.partitions).pop().unwrap_or_default();
            HistoryWrite::new(*symbol_id, file, &counted)
        });
        transaction.write(&writes).await?;
        transaction.commit().await.map_err(FlushError::OutcomeUnknown)?;
        self.keep_what_was_written(&writes);
        Ok(report)
    }

    /// The markets with their ids, by ascending id: the order in which they are locked.
    async fn identify<D: FlushDatabase>(
        &mut self,
        database: &D,
        markets: Vec<MarketBatch>,
    ) -> Result<Vec<IdentifiedBatch>, StoreError> {
        let unknown: Vec<Market> = markets
            .iter()
            .filter(|batch| !self.symbol_ids.contains_key(&batch.market))
            .map(|batch| batch.market.clone())
            .collect();
        if !unknown.is_empty() {
            let ids = database.symbol_ids(&unknown).await?;
            self.symbol_ids.extend(unknown.into_iter().zip(ids));
        }
        let mut identified: Vec<IdentifiedBatch> = markets
            .into_iter()
            .filter_map(|MarketBatch { market, records, refused }| {
                let symbol_id = *self.symbol_ids.get(&market)?;
                Some(IdentifiedBatch { symbol_id, market, records, refused })
            })
            .collect();
        identified.sort_by_key(|batch| batch.symbol_id);
        Ok(identified)
    }

    async fn plan_settings<D: FlushDatabase>(
        &mut self,
        database: &D,
        now_us: i64,
    ) -> Result<PlanSettings, StoreError> {
        let floors = match self.floors {
            Some((floors, read_at)) if read_at.elapsed() < FLOORS_VALID => floors,
            _ => self.floors.insert((database.floors().await?, Instant::now())).0,
        };
        Ok(PlanSettings {
            intervals: self.settings.intervals.clone(),
            store_trades: self.settings.store_trades,
            trades_floor_us: floors.trades_us,
            candles_floor_us: floors.candles_us,
            latest_time_us: now_us.saturating_add(LARGEST_CLOCK_LEAD_US),
        })
    }

    /// Locks the markets, and only then reads what is stored of them.
    async fn lock_and_read<T: FlushTransaction>(
        &mut self,
        transaction: &mut T,
        markets: &[IdentifiedBatch],
        settings: &PlanSettings,
        now_us: i64,
    ) -> Result<(), StoreError> {
        let symbol_ids: Vec<i32> = markets.iter().map(|market| market.symbol_id).collect();
        #[cfg(feature = "sabotage")]
        if market::sabotage::active() == Some(market::sabotage::Sabotage::LedgerBeforeLock) {
            self.refresh(transaction, markets, now_us).await?;
            self.read_windows(transaction, markets, settings).await?;
            return transaction.lock_heads(&symbol_ids).await;
        }
        transaction.lock_heads(&symbol_ids).await?;
        self.refresh(transaction, markets, now_us).await?;
        self.read_windows(transaction, markets, settings).await
    }

    /// Reads what is stored of the markets whose cached version is not the stored one, and how far the exchange's
    /// ids go, which moves without the version.
    async fn refresh<T: FlushTransaction>(
        &mut self,
        transaction: &mut T,
        markets: &[IdentifiedBatch],
        now_us: i64,
    ) -> Result<(), StoreError> {
        let symbol_ids: Vec<i32> = markets.iter().map(|market| market.symbol_id).collect();
        let heads = transaction.read_heads(&symbol_ids).await?;
        let of_this_market = |head: &StoredHead| {
            markets.iter().any(|market| market.symbol_id == head.symbol_id && market.market == head.market)
        };
        if heads.len() != markets.len() || !heads.iter().all(of_this_market) {
            return Err(StoreError::Unexpected("symbol ids mean other markets than before".to_owned()));
        }
        let highest_ids: Vec<(i32, Option<i64>)> =
            heads.iter().map(|head| (head.symbol_id, highest_id(head.exchange, now_us))).collect();
        let stale: Vec<StoredHead> = heads
            .into_iter()
            .filter(|head| {
                self.cache.get(&head.symbol_id).is_none_or(|cached| cached.version != head.version)
            })
            .collect();
        if !stale.is_empty() {
            self.read_anew(transaction, stale).await?;
        }
        for (symbol_id, highest_id) in highest_ids {
            self.cache.entry(symbol_id).or_default().highest_id = highest_id;
        }
        Ok(())
    }

    async fn read_anew<T: FlushTransaction>(
        &mut self,
        transaction: &mut T,
        stale: Vec<StoredHead>,
    ) -> Result<(), StoreError> {
        let stale_ids: Vec<i32> = stale.iter().map(|head| head.symbol_id).collect();
        let mut ranges: HashMap<i32, Vec<TradeRange>> = HashMap::new();
        for (symbol_id, range) in transaction.read_ranges(&stale_ids).await? {
            ranges.entry(symbol_id).or_default().push(range);
        }
        let mut folds: HashMap<i32, BTreeMap<Output, Fold>> = HashMap::new();
        for (symbol_id, output, fold) in transaction.read_folds(&stale_ids).await? {
            folds.entry(symbol_id).or_default().insert(output, fold);
        }
        for head in stale {
            let stored = StoredMarket {
                version: head.version,
                trades_held: head.trades_held,
                last_trade: head.last_trade,
                max_inversion_us: head.max_inversion_us,
                highest_id: None,
                ledger: ranges.remove(&head.symbol_id).unwrap_or_default().into_iter().collect(),
                folds: folds.remove(&head.symbol_id).unwrap_or_default(),
                candles: HashMap::new(),
            };
            self.cache.insert(head.symbol_id, stored);
        }
        Ok(())
    }

    /// Reads the candles of the touched windows that are not cached.
    async fn read_windows<T: FlushTransaction>(
        &mut self,
        transaction: &mut T,
        markets: &[IdentifiedBatch],
        settings: &PlanSettings,
    ) -> Result<(), StoreError> {
        let mut wanted: Vec<(i32, CandleKey)> = Vec::new();
        for market in markets {
            let cached = self.cache.get(&market.symbol_id);
            let is_cached = |key: &CandleKey| cached.is_some_and(|stored| stored.candles.contains_key(key));
            let windows = touched_windows(&market.records, &settings.intervals);
            wanted
                .extend(windows.into_iter().filter(|key| !is_cached(key)).map(|key| (market.symbol_id, key)));
        }
        if wanted.is_empty() {
            return Ok(());
        }
        for row in transaction.read_candles(&wanted).await? {
            if let Some(stored) = self.cache.get_mut(&row.symbol_id) {
                stored.candles.insert((row.interval, row.candle.open_time_us), row.candle);
            }
        }
        Ok(())
    }

    async fn plan<T: FlushTransaction>(
        &mut self,
        transaction: &mut T,
        batch: IdentifiedBatch,
        settings: &PlanSettings,
    ) -> Result<MarketWrite, StoreError> {
        let stored = self.cache.entry(batch.symbol_id).or_default();
        let mut built = BuiltCandles::new();
        for (interval, source) in intervals_to_build(stored, settings) {
            let rows = transaction.read_all_candles(batch.symbol_id, source).await?;
            let finer: Vec<market::Candle> = rows.into_iter().map(|row| row.candle).collect();
            match build_coarser(&finer, interval) {
                Ok(coarser) => drop(built.insert(interval, coarser)),
                // Failing here would fail every flush from now on.
                Err(overflow) => {
                    tracing::warn!(market = %batch.market, %interval, %source, %overflow, "candles cannot be added up");
                }
            }
        }
        let plan = plan_market(batch.records, &batch.refused, stored, built, settings);
        Ok(MarketWrite {
            symbol_id: batch.symbol_id,
            market: batch.market,
            version: stored.version,
            trades_held: stored.trades_held,
            last_trade: stored.last_trade,
            max_inversion_us: stored.max_inversion_us,
            plan,
        })
    }

    /// Keeps the candles just written, which the next batch most likely goes on with, and drops older ones.
    fn keep_what_was_written(&mut self, writes: &FlushWrites) {
        for market in &writes.markets {
            let written: HashSet<CandleKey> = market
                .plan
                .candles
                .iter()
                .map(|(interval, candle)| (*interval, candle.open_time_us))
                .collect();
            if let Some(stored) = self.cache.get_mut(&market.symbol_id)
                && !written.is_empty()
            {
                stored.candles.retain(|key, _| written.contains(key));
            }
        }
    }
}

struct IdentifiedBatch {
    symbol_id: i32,
    market: Market,
    records: Vec<Record>,
    refused: Vec<RefusedTrade>,
}

/// The highest id that a trade can have now; `None` where the exchange was not asked lately.
fn highest_id(exchange: Option<HeadState>, now_us: i64) -> Option<i64> {
    let HeadState { last_id, probed_at_us } = exchange?;
    let is_fresh = now_us.abs_diff(probed_at_us) <= PROBE_STANDS_US.unsigned_abs();
    is_fresh.then(|| last_id.saturating_add(MOST_IDS_SINCE_PROBE))
}

fn check_offsets(
    topic_id: &str,
    partitions: &[PartitionProgress],
    offsets: &[StoredOffset],
) -> Result<(), FlushError> {
    for progress in partitions {
        let stored = offsets.iter().find(|offset| offset.partition == progress.partition);
        let found = stored.filter(|offset| offset.topic_id == topic_id).map(|offset| offset.next_offset);
        if found != Some(progress.expected_offset) {
            let PartitionProgress { partition, expected_offset: expected, .. } = *progress;
            return Err(FlushError::OffsetMoved { partition, expected, found });
        }
    }
    Ok(())
}

/// Turns what the plans counted into the counters of the partitions, and collects what is set aside.
fn account_for_records(partitions: Vec<PartitionProgress>, writes: &mut FlushWrites) -> FlushReport {
    let mut by_partition: BTreeMap<i32, PartitionWrite> = BTreeMap::new();
    let mut set_aside: BTreeMap<&'static str, i64> = BTreeMap::new();
    for progress in partitions {
        let PartitionProgress { partition, next_offset, records_read, offsets_skipped, unreadable, .. } =
            progress;
        let mut write = PartitionWrite {
            partition,
            next_offset,
            records_read,
            offsets_skipped,
            ..PartitionWrite::default()
        };
        for record in unreadable {
            write.records_set_aside += 1;
            *set_aside.entry(record.reason).or_default() += 1;
            let row = SetAsideRow {
                partition,
                offset: record.offset,
                reason: record.reason,
                payload: record.payload,
            };
            writes.set_aside.push(row);
        }
        by_partition.insert(partition, write);
    }
    for market in &writes.markets {
        for (partition, counts) in &market.plan.counts {
            let write = by_partition.entry(*partition).or_default();
            write.trades_new += counts.new;
            write.trades_duplicate += counts.duplicate;
            write.records_set_aside += counts.set_aside;
        }
        for (record, reason) in &market.plan.set_aside {
            *set_aside.entry(reason.as_str()).or_default() += 1;
            let Market { venue, symbol } = &market.market;
            let trade = serde_json::json!({ "venue": venue, "symbol": symbol, "trade": record.trade });
            let payload = trade.to_string().into_bytes();
            let row = SetAsideRow {
                partition: record.partition,
                offset: record.offset,
                reason: reason.as_str(),
                payload,
            };
            writes.set_aside.push(row);
        }
    }
    writes.partitions = by_partition.into_values().collect();
    let total = |counter: fn(&PartitionWrite) -> i64| writes.partitions.iter().map(counter).sum();
    FlushReport {
        records_read: total(|partition| partition.records_read),
        trades_new: total(|partition| partition.trades_new),
        trades_duplicate: total(|partition| partition.trades_duplicate),
        set_aside: set_aside.into_iter().collect(),
    }
}
