//! The pure step of the flush for price samples: a batch of one market and what is stored of it become what is to be
//! written. A sample is known by its time, so it counts once whoever sends it and however often; of two samples of the
//! same time the first that is stored stays.

use std::collections::BTreeMap;

use hashbrown::{HashMap, HashSet};

use crate::{
    CandleKey, Interval, Overflow, PlanSettings, RecordCounts, Sample, SampleCandle, SetAsideReason, Ticker,
};

/// A sample of a batch, and where in the topic it stood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TickerRecord {
    /// The sample.
    pub ticker: Ticker,
    /// The partition that it was read from.
    pub partition: i32,
    /// Its offset there.
    pub offset: i64,
}

/// What is stored of one market's samples, as far as a batch needs it. A plan moves it to what will be stored then.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoredTickers {
    /// Raised by one with every flush; every row of the flush carries it.
    pub version: i64,
    /// How many samples have ever been stored.
    pub samples_held: i64,
    /// The latest sample.
    pub last: Option<Sample>,
    /// Which of the batch's times are held already.
    pub held_times_us: HashSet<i64>,
    /// The candles of the windows that the batch touches. Where a window has no row, its candle is made of the samples
    /// that are held of it, so that an interval that is added later knows them too; no entry where there are none.
    pub candles: HashMap<CandleKey, SampleCandle>,
}

/// What one market's samples write in a flush.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TickerPlan {
    /// The samples to store, by ascending time.
    pub tickers: Vec<Ticker>,
    /// The candles as they shall be stored.
    pub candles: Vec<(Interval, SampleCandle)>,
    /// Records that are kept for a person to look at.
    pub set_aside: Vec<(TickerRecord, SetAsideReason)>,
    /// What became of the records, by partition.
    pub counts: BTreeMap<i32, RecordCounts>,
}

/// The windows whose candles a plan for samples of these times needs, in order.
#[must_use]
pub fn sampled_windows(times_us: impl Iterator<Item = i64>, intervals: &[Interval]) -> Vec<CandleKey> {
    let windows =
        |time_us: i64| intervals.iter().map(move |interval| (*interval, interval.open_time_us(time_us)));
    let mut windows: Vec<CandleKey> = times_us.flat_map(windows).collect();
    windows.sort_unstable();
    windows.dedup();
    windows
}

/// Adds a sample to a candle of its window.
///
/// # Errors
/// [`Overflow`] where the sum of the prices does not fit.
pub fn add_sample(
    candles: &mut HashMap<CandleKey, SampleCandle>,
    interval: Interval,
    sample: Sample,
) -> Result<(), Overflow> {
    let open_time_us = interval.open_time_us(sample.time_us);
    let sample = SampleCandle::of_sample(sample, open_time_us);
    let key = (interval, open_time_us);
    let candle = match candles.get(&key) {
        Some(candle) => candle.merge(&sample)?,
        None => sample,
    };
    candles.insert(key, candle);
    Ok(())
}

/// Plans the flush of one market's samples and moves `stored` to the state after it. `stored` knows the times of the
/// `records`, and the candles of all [`sampled_windows`]. Of `settings` it takes the trades' floor for the samples.
#[must_use]
pub fn plan_tickers(
    mut records: Vec<TickerRecord>,
    stored: &mut StoredTickers,
    settings: &PlanSettings,
) -> TickerPlan {
    stored.version += 1;
    let mut plan = TickerPlan::default();
    let mut changed: HashSet<CandleKey> = HashSet::new();
    records.sort_by_key(|record| record.ticker.sample_time_us);
    for record in records {
        let ticker = record.ticker;
        let counts = plan.counts.entry(record.partition).or_default();
        let outcome = match why_unbelievable(&ticker, settings) {
            Some(reason) => Err(reason),
            None if stored.held_times_us.contains(&ticker.sample_time_us) => Ok(false),
            None => add_to_all(&ticker, stored, settings, &mut changed).map(|()| true),
        };
        match outcome {
            Ok(true) => {
                counts.new += 1;
                stored.held_times_us.insert(ticker.sample_time_us);
                stored.samples_held += 1;
                if stored.last.is_none_or(|last| last.time_us < ticker.sample_time_us) {
                    stored.last = Some(ticker.sample());
                }
                plan.tickers.push(ticker);
            }
            Ok(false) => counts.duplicate += 1,
            Err(reason) => {
                counts.set_aside += 1;
                plan.set_aside.push((record, reason));
            }
        }
    }
    let mut written: Vec<CandleKey> = changed.into_iter().collect();
    written.sort_unstable();
    let candle_of = |key: &CandleKey| Some((key.0, *stored.candles.get(key)?));
    plan.candles = written.iter().filter_map(candle_of).collect();
    plan
}

fn why_unbelievable(ticker: &Ticker, settings: &PlanSettings) -> Option<SetAsideReason> {
    if !ticker.is_possible() {
        Some(SetAsideReason::Impossible)
    } else if ticker.sample_time_us > settings.latest_time_us {
        Some(SetAsideReason::TimeInFuture)
    } else if ticker.sample_time_us < settings.trades_floor_us {
        Some(SetAsideReason::BelowFloor)
    } else {
        None
    }
}

/// Adds a sample to the candles of every interval, to all or to none.
fn add_to_all(
    ticker: &Ticker,
    stored: &mut StoredTickers,
    settings: &PlanSettings,
    changed: &mut HashSet<CandleKey>,
) -> Result<(), SetAsideReason> {
    let mut candles = HashMap::new();
    for interval in &settings.intervals {
        let key = (*interval, interval.open_time_us(ticker.sample_time_us));
        if key.1 < settings.candles_floor_us {
            continue;
        }
        candles.extend(stored.candles.get(&key).map(|candle| (key, *candle)));
        add_sample(&mut candles, *interval, ticker.sample()).map_err(|Overflow| SetAsideReason::Overflow)?;
    }
    changed.extend(candles.keys().copied());
    stored.candles.extend(candles);
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::testing::tickers;

    fn settings() -> PlanSettings {
        PlanSettings {
            intervals: ["1s", "1m"].iter().map(|text| text.parse().unwrap()).collect(),
            store_trades: true,
            trades_floor_us: i64::MIN,
            candles_floor_us: i64::MIN,
            latest_time_us: i64::MAX,
        }
    }

    fn sample(sample_time_us: i64, price: &str) -> TickerRecord {
        let price = price.parse().unwrap();
        let ticker = Ticker { sample_time_us, price, day: None, received_time_us: 0 };
        TickerRecord { ticker, partition: 0, offset: sample_time_us }
    }

    /// Plans batch after batch, each beside what those before it have stored, as a database would tell it.
    fn flush(batches: &[Vec<TickerRecord>]) -> (StoredTickers, RecordCounts) {
        let mut stored = StoredTickers::default();
        let mut total = RecordCounts::default();
        for batch in batches {
            let plan = plan_tickers(batch.clone(), &mut stored, &settings());
            for counts in plan.counts.values() {
                total.new += counts.new;
                total.duplicate += counts.duplicate;
                total.set_aside += counts.set_aside;
            }
        }
        (stored, total)
    }

    proptest! {
        #[test]
        fn any_order_repetition_and_batching_gives_one_result(
            batch in tickers(20), order in Just((0..20_usize).collect::<Vec<_>>()).prop_shuffle(), cut in 0..20_usize,
        ) {
            let record = |index: &usize| TickerRecord { ticker: batch[*index], partition: 0, offset: 0 };
            let (whole, counts) = flush(&[batch.iter().enumerate().map(|(index, _)| record(&index)).collect()]);
            prop_assert_eq!(counts, RecordCounts { new: 20, ..RecordCounts::default() });
            let shuffled: Vec<TickerRecord> = order.iter().map(record).collect();
            let (parts, counts) = flush(&[shuffled[..cut].to_vec(), shuffled.clone()]);
            prop_assert_eq!(counts.new, 20);
            prop_assert_eq!(counts.duplicate, i64::try_from(cut).unwrap());
            prop_assert_eq!(&parts.candles, &whole.candles);
            prop_assert_eq!((parts.last, parts.samples_held), (whole.last, whole.samples_held));
        }
    }

    #[test]
    fn a_window_is_summed_up_by_its_earliest_latest_highest_and_lowest_sample() {
        let (stored, _) =
            flush(&[vec![sample(70_000_000, "3"), sample(61_000_000, "2.5"), sample(90_000_000, "1")]]);
        let candle = stored.candles[&("1m".parse().unwrap(), 60_000_000)];
        let texts = [candle.open, candle.high, candle.low, candle.close, candle.average()]
            .map(|price| price.to_string());
        assert_eq!(texts, ["2.5", "3", "1", "1", "2.16666667"]);
        assert_eq!(
            (candle.sample_count, candle.first_time_us, candle.last_time_us),
            (3, 61_000_000, 90_000_000)
        );
        assert_eq!(stored.last, Some(Sample { time_us: 90_000_000, price: candle.close }));
    }

    #[test]
    fn of_two_samples_of_the_same_time_the_first_stays() {
        let (stored, counts) = flush(&[vec![sample(5, "1"), sample(5, "2")], vec![sample(5, "3")]]);
        assert_eq!(counts, RecordCounts { new: 1, duplicate: 2, set_aside: 0 });
        assert_eq!(stored.last.unwrap().price.to_string(), "1");
    }

    #[test]
    fn what_cannot_be_believed_or_held_is_set_aside_and_counted() {
        let largest = "9999999999999999999999";
        let settings = PlanSettings { latest_time_us: 70_000_000, trades_floor_us: 10, ..settings() };
        let mut stored = StoredTickers::default();
        let records = [(9, "1"), (20, largest), (21, largest), (22, "1"), (80_000_000, "1"), (30, "0")];
        let plan =
            plan_tickers(records.map(|(time, price)| sample(time, price)).to_vec(), &mut stored, &settings);
        let reasons: Vec<_> =
            plan.set_aside.iter().map(|(record, reason)| (record.offset, reason.as_str())).collect();
        assert_eq!(
            reasons,
            [
                (9, "below_floor"),
                (21, "overflow"),
                (22, "overflow"),
                (30, "impossible"),
                (80_000_000, "time_in_future")
            ]
        );
        // A sum that does not fit leaves no trace in the windows where it would have fitted.
        let counted: Vec<i64> = plan.candles.iter().map(|(_, candle)| candle.sample_count).collect();
        assert_eq!((counted, plan.tickers.len()), (vec![1, 1], 1));
    }

    #[test]
    fn candles_below_their_floor_are_not_touched() {
        let settings = PlanSettings { candles_floor_us: 60_000_000, ..settings() };
        let mut stored = StoredTickers::default();
        let plan =
            plan_tickers(vec![sample(59_999_999, "1"), sample(60_000_000, "1")], &mut stored, &settings);
        assert_eq!(plan.tickers.len(), 2);
        assert!(
            plan.candles.iter().all(|(_, candle)| candle.open_time_us >= 60_000_000),
            "{:?}",
            plan.candles
        );
    }
}
