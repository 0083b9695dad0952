//! The flush: rows, ledger and offsets of one batch in one transaction, the same on every database.
//!
//! First the locks, then everything that is read, in statements that start after the locks were granted:
//! a statement that waited for a lock returns new heads beside old ranges. What is cached of a market is
//! valid only while its version is the one that was cached.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use hashbrown::{HashMap, HashSet};
use market::{
    BuiltCandles, CandleKey, Fold, Market, Output, PlanSettings, StoredMarket, TradeRange, build_coarser,
    intervals_to_build, plan_market, touched_windows,
};

use crate::error::{FlushError, StoreError};
use crate::history::{FileOfStep, HistoryStep, HistoryWrite};
use crate::model::{FlushBatch, FlushReport, FlushSettings, HeadState, MarketBatch, PartitionProgress};
use crate::series::{SeriesBatch, SeriesOfMarkets};
use crate::{Backend, PROBE_STANDS, Store};

mod database;
mod indicators;
mod tickers;
mod writes;

pub(crate) use database::{
    DayTable, Floors, FlushDatabase, FlushTransaction, Reach, StoredCandle, StoredHead, StoredOffset,
};
pub(crate) use indicators::TradeTransaction;
use indicators::plan_indicators;
pub(crate) use tickers::{SampleSpan, StoredSampleCandle, StoredTickerHead, TickerTransaction, TickerWrite};
pub(crate) use writes::{FlushWrites, MarketWrite, PartitionWrite, SetAsideRow};

/// How far ahead of the clock a trade's time may be: clocks differ, but nobody trades in the future.
const LARGEST_CLOCK_LEAD_US: i64 = 3_600_000_000;

/// How many ids the exchange cannot have given while its word of the newest one stands.
const MOST_IDS_SINCE_PROBE: i64 = 10_000_000;

/// How long the floors are taken as read. Rows written below a floor that has just moved are deleted with
/// the next move, and claim nothing meanwhile.
const FLOORS_VALID: Duration = Duration::from_secs(60);

/// In the place of the partition, of trades that came from a file.
pub(crate) const FILE_PARTITION: i32 = -1;

/// Commits batches, one after the other, and remembers between them what only it can have changed.
pub struct Flusher {
    store: Store,
    settings: FlushSettings,
    series: SeriesOfMarkets,
    /// The ids of markets with tickers.
    ticker_markets: HashMap<Market, i32>,
    /// By symbol id, as they were committed last.
    cache: HashMap<i32, StoredMarket>,
    /// As they were read last, and when.
    floors: Option<(Floors, Instant)>,
}

impl Flusher {
    /// A flusher that remembers nothing yet.
    #[must_use]
    pub fn new(store: Store, settings: FlushSettings) -> Self {
        Self {
            store,
            settings,
            series: SeriesOfMarkets::default(),
            ticker_markets: HashMap::new(),
            cache: HashMap::new(),
            floors: None,
        }
    }

    /// Forgets everything cached. Called by itself after every error.
    pub fn forget(&mut self) {
        self.series.clear();
        self.ticker_markets.clear();
        self.cache.clear();
        self.floors = None;
    }

    /// Commits one batch. `now_us` is the wall clock, microseconds since 1970: trades more than an hour
    /// ahead of it are set aside.
    ///
    /// # Errors
    /// [`FlushError`]; whatever it is, the batch must be thrown away and the positions read again.
    pub async fn flush(&mut self, batch: FlushBatch, now_us: i64) -> Result<FlushReport, FlushError> {
        self.flush_either(batch, None, now_us).await
    }

    /// Commits some trades of one of the exchange's files. No partition is locked and no position moves: what comes of
    /// the trades is counted in `history_files`.
    ///
    /// # Errors
    /// [`FlushError`]; the same step may be tried again, since what the ledger holds counts no second time.
    pub async fn flush_history(&mut self, step: HistoryStep, now_us: i64) -> Result<FlushReport, FlushError> {
        let (batch, file) = step.into_batch();
        self.flush_either(batch, Some(file), now_us).await
    }

    async fn flush_either(
        &mut self,
        batch: FlushBatch,
        file: Option<FileOfStep>,
        now_us: i64,
    ) -> Result<FlushReport, FlushError> {
        match self.store.backend.clone() {
            Backend::Postgres(database) => self.flush_to(&database, batch, file, now_us).await,
            Backend::MySql(database) => self.flush_to(&database, batch, file, now_us).await,
            Backend::Sqlite(database) => self.flush_to(&database, batch, file, now_us).await,
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
        let tickers = self.identify_tickers(database, batch.tickers).await?;
        let settings = self.plan_settings(database, now_us).await?;
        if settings.store_trades {
            let trades = markets.iter().flat_map(|market| &market.records).map(|record| record.trade);
            let times_us = trades.filter(market::Trade::is_possible).map(|trade| trade.trade_time_us);
            prepare_days(database, DayTable::Trades, &settings, times_us).await?;
        }
        prepare_days(database, DayTable::Tickers, &settings, tickers::times_us(&tickers)).await?;
        let partitions: Vec<i32> = batch.partitions.iter().map(|progress| progress.partition).collect();

        let mut transaction = database.begin().await?;
        if file.is_none() {
            transaction.lock_partitions(&batch.topic, &partitions).await?;
            let offsets = transaction.read_offsets(&batch.topic, &partitions).await?;
            check_offsets(&batch.topic_id, &batch.partitions, &offsets)?;
        }
        let counted_under = markets.last().map(|market| market.symbol_id);
        self.lock_and_read(&mut transaction, &markets, &settings, now_us).await?;

        let mut writes =
            FlushWrites { topic: batch.topic, topic_id: batch.topic_id, ..FlushWrites::default() };
        for market in markets {
            let planned = self.plan(&mut transaction, market, &settings).await?;
            writes.markets.push(planned);
        }
        writes.tickers = tickers::plan_all(&mut transaction, tickers, &settings).await?;
        let report = account_for_records(batch.partitions, &mut writes);
        writes.history = file.zip(counted_under).map(|(file, symbol_id)| {
            let counted = std::mem::take(&mut writes.partitions).pop().unwrap_or_default();
            HistoryWrite::new(symbol_id, file, &counted)
        });
        transaction.write(&writes).await?;
        transaction.commit().await.map_err(FlushError::OutcomeUnknown)?;
        self.keep_what_was_written(&writes);
        Ok(report)
    }

    /// The trades by series, by ascending symbol id: the order in which they are locked.
    async fn identify<D: FlushDatabase>(
        &mut self,
        database: &D,
        markets: Vec<MarketBatch>,
    ) -> Result<Vec<SeriesBatch>, StoreError> {
        let unknown: Vec<Market> = markets
            .iter()
            .filter(|batch| !self.series.knows(&batch.market))
            .map(|batch| batch.market.clone())
            .collect();
        if !unknown.is_empty() {
            self.series.learn(database.series(&unknown).await?);
        }
        let mut identified: Vec<SeriesBatch> =
            markets.into_iter().flat_map(|batch| self.series.divide(batch)).collect();
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
        markets: &[SeriesBatch],
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
        markets: &[SeriesBatch],
        now_us: i64,
    ) -> Result<(), StoreError> {
        let symbol_ids: Vec<i32> = markets.iter().map(|market| market.symbol_id).collect();
        let heads = transaction.read_heads(&symbol_ids).await?;
        let is_as_known = |head: &StoredHead| {
            let known = markets.iter().find(|market| market.symbol_id == head.symbol_id);
            known.is_some_and(|known| known.market == head.market && known.span == head.span)
        };
        if heads.len() != markets.len() || !heads.iter().all(is_as_known) {
            return Err(StoreError::SeriesMoved);
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
                restart: head.restart,
                highest_id: None,
                ledger: ranges.remove(&head.symbol_id).unwrap_or_default().into_iter().collect(),
                folds: folds.remove(&head.symbol_id).unwrap_or_default(),
                candles: HashMap::new(),
                totals: head.totals,
                newest_trades: None,
            };
            self.cache.insert(head.symbol_id, stored);
        }
        Ok(())
    }

    /// Reads the candles of the touched windows that are not cached.
    async fn read_windows<T: FlushTransaction>(
        &mut self,
        transaction: &mut T,
        markets: &[SeriesBatch],
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
        batch: SeriesBatch,
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
        let indicators = self.settings.indicators_of(&batch.market);
        let indicators = plan_indicators(
            transaction,
            batch.symbol_id,
            &plan.trades,
            stored,
            &indicators,
            settings.trades_floor_us,
        )
        .await?;
        Ok(MarketWrite {
            symbol_id: batch.symbol_id,
            market: batch.market,
            version: stored.version,
            trades_held: stored.trades_held,
            last_trade: stored.last_trade,
            max_inversion_us: stored.max_inversion_us,
            restart: stored.restart,
            totals: stored.totals,
            plan,
            indicators,
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

/// Makes ready what rows of these times need, as far as they will be stored.
async fn prepare_days<D: FlushDatabase>(
    database: &D,
    table: DayTable,
    settings: &PlanSettings,
    times_us: impl Iterator<Item = i64> + Send,
) -> Result<(), StoreError> {
    let stored = settings.trades_floor_us..=settings.latest_time_us;
    database.prepare_days(table, &mut times_us.filter(|time_us| stored.contains(time_us))).await
}

/// The highest id that a trade can have now; `None` where the exchange was not asked lately.
fn highest_id(exchange: Option<HeadState>, now_us: i64) -> Option<i64> {
    let HeadState { last_id, probed_at_us } = exchange?;
    let is_fresh = u128::from(now_us.abs_diff(probed_at_us)) <= PROBE_STANDS.as_micros();
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
    for tickers in &writes.tickers {
        for (partition, counts) in &tickers.plan.counts {
            let write = by_partition.entry(*partition).or_default();
            write.samples_new += counts.new;
            write.samples_duplicate += counts.duplicate;
            write.records_set_aside += counts.set_aside;
        }
        for (record, reason) in &tickers.plan.set_aside {
            *set_aside.entry(reason.as_str()).or_default() += 1;
            let Market { venue, symbol } = &tickers.market;
            let ticker = serde_json::json!({ "venue": venue, "symbol": symbol, "ticker": record.ticker });
            let row = SetAsideRow {
                partition: record.partition,
                offset: record.offset,
                reason: reason.as_str(),
                payload: ticker.to_string().into_bytes(),
            };
            writes.set_aside.push(row);
        }
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
        samples_new: total(|partition| partition.samples_new),
        samples_duplicate: total(|partition| partition.samples_duplicate),
        set_aside: set_aside.into_iter().collect(),
    }
}
