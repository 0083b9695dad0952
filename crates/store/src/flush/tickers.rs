//! The part of a flush that is about price samples: the same locks, the same order, in the same transaction. Nothing of
//! them is cached: each market has a sample a second.

use hashbrown::{HashMap, HashSet};
use market::{
    CandleKey, Interval, Market, PlanSettings, Sample, SampleCandle, StoredTickers, TickerPlan, add_sample,
    plan_tickers, sampled_windows,
};

use super::{FlushDatabase, Flusher};
use crate::error::StoreError;
use crate::model::TickerBatch;

/// The statements of a flush that are about price samples, in the order in which they are called.
pub(crate) trait TickerTransaction {
    async fn lock_ticker_heads(&mut self, market_ids: &[i32]) -> Result<(), StoreError>;
    async fn read_ticker_heads(&mut self, market_ids: &[i32]) -> Result<Vec<StoredTickerHead>, StoreError>;
    /// Which of these are stored, of market ids and times.
    async fn read_sample_times(&mut self, samples: &[(i32, i64)]) -> Result<Vec<(i32, i64)>, StoreError>;
    async fn read_sample_candles(
        &mut self,
        windows: &[(i32, CandleKey)],
    ) -> Result<Vec<StoredSampleCandle>, StoreError>;
    /// All samples in these spans, which are disjoint.
    async fn read_samples(&mut self, spans: &[SampleSpan]) -> Result<Vec<(i32, Sample)>, StoreError>;
}

/// A row of `ticker_head`.
#[derive(Clone, Debug)]
pub(crate) struct StoredTickerHead {
    pub(crate) market_id: i32,
    pub(crate) version: i64,
    pub(crate) samples_held: i64,
    pub(crate) last: Option<Sample>,
}

/// A row of `sample_candles`.
#[derive(Clone, Debug)]
pub(crate) struct StoredSampleCandle {
    pub(crate) market_id: i32,
    pub(crate) interval: Interval,
    pub(crate) candle: SampleCandle,
}

/// From the first time to before the second: microseconds since 1970, UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SampleSpan {
    pub(crate) market_id: i32,
    pub(crate) from_us: i64,
    pub(crate) until_us: i64,
}

/// What becomes of the samples of one market.
#[derive(Debug)]
pub(crate) struct TickerWrite {
    pub(crate) market_id: i32,
    pub(crate) market: Market,
    pub(crate) version: i64,
    pub(crate) samples_held: i64,
    pub(crate) last: Option<Sample>,
    pub(crate) plan: TickerPlan,
}

impl TickerWrite {
    /// The candles to write, with their interval.
    pub(crate) fn candles(&self) -> impl Iterator<Item = (Interval, &SampleCandle)> {
        self.plan.candles.iter().map(|(interval, candle)| (*interval, candle))
    }
}

/// The samples of one market in a batch, and its id.
pub(super) struct KnownTickers {
    market_id: i32,
    batch: TickerBatch,
}

impl Flusher {
    /// The samples by ascending market id: the order in which the markets are locked.
    pub(super) async fn identify_tickers<D: FlushDatabase>(
        &mut self,
        database: &D,
        batches: Vec<TickerBatch>,
    ) -> Result<Vec<KnownTickers>, StoreError> {
        let is_unknown = |batch: &&TickerBatch| !self.ticker_markets.contains_key(&batch.market);
        let unknown: Vec<Market> =
            batches.iter().filter(is_unknown).map(|batch| batch.market.clone()).collect();
        if !unknown.is_empty() {
            self.ticker_markets.extend(database.ticker_markets(&unknown).await?);
        }
        let known = |batch: TickerBatch| match self.ticker_markets.get(&batch.market) {
            Some(market_id) => Ok(KnownTickers { market_id: *market_id, batch }),
            None => Err(StoreError::Unexpected(format!("{} has no id", batch.market))),
        };
        let mut known: Vec<KnownTickers> = batches.into_iter().map(known).collect::<Result<_, _>>()?;
        known.sort_by_key(|tickers| tickers.market_id);
        Ok(known)
    }
}

/// The times of the samples that can be ones.
pub(super) fn times_us(known: &[KnownTickers]) -> impl Iterator<Item = i64> {
    known.iter().flat_map(|tickers| possible_times_us(&tickers.batch))
}

fn possible_times_us(batch: &TickerBatch) -> impl Iterator<Item = i64> {
    let possible = batch.records.iter().map(|record| &record.ticker).filter(|ticker| ticker.is_possible());
    possible.map(|ticker| ticker.sample_time_us)
}

/// Locks the markets, reads what is stored of them, and plans what is to be written.
pub(super) async fn plan_all<T: TickerTransaction>(
    transaction: &mut T,
    known: Vec<KnownTickers>,
    settings: &PlanSettings,
) -> Result<Vec<TickerWrite>, StoreError> {
    if known.is_empty() {
        return Ok(Vec::new());
    }
    let market_ids: Vec<i32> = known.iter().map(|tickers| tickers.market_id).collect();
    transaction.lock_ticker_heads(&market_ids).await?;
    let mut stored = read_stored(transaction, &known, settings).await?;
    let mut writes = Vec::with_capacity(known.len());
    for KnownTickers { market_id, batch } in known {
        let stored = stored.get_mut(&market_id).ok_or(StoreError::SeriesMoved)?;
        let plan = plan_tickers(batch.records, stored, settings);
        let StoredTickers { version, samples_held, last, .. } = *stored;
        writes.push(TickerWrite { market_id, market: batch.market, version, samples_held, last, plan });
    }
    Ok(writes)
}

async fn read_stored<T: TickerTransaction>(
    transaction: &mut T,
    known: &[KnownTickers],
    settings: &PlanSettings,
) -> Result<HashMap<i32, StoredTickers>, StoreError> {
    let market_ids: Vec<i32> = known.iter().map(|tickers| tickers.market_id).collect();
    let mut stored: HashMap<i32, StoredTickers> = HashMap::new();
    for StoredTickerHead { market_id, version, samples_held, last } in
        transaction.read_ticker_heads(&market_ids).await?
    {
        stored.insert(market_id, StoredTickers { version, samples_held, last, ..StoredTickers::default() });
    }
    let mut times: Vec<(i32, i64)> = Vec::new();
    let mut windows: Vec<(i32, CandleKey)> = Vec::new();
    for KnownTickers { market_id, batch } in known {
        times.extend(possible_times_us(batch).map(|time_us| (*market_id, time_us)));
        let touched = sampled_windows(possible_times_us(batch), &settings.intervals);
        windows.extend(touched.into_iter().map(|key| (*market_id, key)));
    }
    for (market_id, time_us) in transaction.read_sample_times(&times).await? {
        stored.entry(market_id).or_default().held_times_us.insert(time_us);
    }
    for StoredSampleCandle { market_id, interval, candle } in
        transaction.read_sample_candles(&windows).await?
    {
        stored.entry(market_id).or_default().candles.insert((interval, candle.open_time_us), candle);
    }
    windows.retain(|(market_id, key)| {
        !stored.get(market_id).is_some_and(|stored| stored.candles.contains_key(key))
    });
    make_missing(transaction, windows, &mut stored).await?;
    Ok(stored)
}

/// Makes the candles of windows that have no row of the samples that are held of them.
async fn make_missing<T: TickerTransaction>(
    transaction: &mut T,
    windows: Vec<(i32, CandleKey)>,
    stored: &mut HashMap<i32, StoredTickers>,
) -> Result<(), StoreError> {
    if windows.is_empty() {
        return Ok(());
    }
    let samples = transaction.read_samples(&spans_of(&windows)).await?;
    let missing: HashSet<(i32, CandleKey)> = windows.iter().copied().collect();
    let intervals: HashSet<Interval> = windows.iter().map(|(_, (interval, _))| *interval).collect();
    for (market_id, sample) in samples {
        let candles = &mut stored.entry(market_id).or_default().candles;
        for interval in &intervals {
            let key = (*interval, interval.open_time_us(sample.time_us));
            if missing.contains(&(market_id, key)) {
                add_sample(candles, *interval, sample).map_err(|overflow| {
                    StoreError::Unexpected(format!("samples that are held cannot be added up: {overflow}"))
                })?;
            }
        }
    }
    Ok(())
}

/// What the windows cover, market by market, each moment once.
fn spans_of(windows: &[(i32, CandleKey)]) -> Vec<SampleSpan> {
    let span = |(market_id, (interval, open_time_us)): &(i32, CandleKey)| SampleSpan {
        market_id: *market_id,
        from_us: *open_time_us,
        until_us: open_time_us.saturating_add(interval.length_us()),
    };
    let mut spans: Vec<SampleSpan> = windows.iter().map(span).collect();
    spans.sort_unstable_by_key(|span| (span.market_id, span.from_us));
    let mut disjoint: Vec<SampleSpan> = Vec::new();
    for span in spans {
        match disjoint.last_mut() {
            Some(last) if last.market_id == span.market_id && span.from_us <= last.until_us => {
                last.until_us = last.until_us.max(span.until_us);
            }
            _ => disjoint.push(span),
        }
    }
    disjoint
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_that_overlap_or_touch_are_read_once() {
        let minute = 60_000_000;
        let window =
            |market_id, interval: &str, open: i64| (market_id, (interval.parse().unwrap(), open * minute));
        let spans = spans_of(&[
            window(1, "5m", 5),
            window(1, "1m", 7),
            window(1, "1m", 10),
            window(2, "1m", 7),
            window(1, "1m", 12),
        ]);
        let found: Vec<_> = spans
            .iter()
            .map(|span| (span.market_id, span.from_us / minute, span.until_us / minute))
            .collect();
        assert_eq!(found, [(1, 5, 11), (1, 12, 13), (2, 7, 8)]);
    }
}
