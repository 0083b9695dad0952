//! Recorded trades of a real exchange through the plan, against the candles that the exchange itself made of them.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test ends at the first surprise, and says openly what it cannot do"
)]

mod recording;

use std::collections::HashMap;

use market::{Candle, Interval, PlanSettings, Record, StoredMarket, plan_market};
use recording::{ExchangeCandle, Recording};

/// The one-minute candles that the plans of all batches leave behind, by open time. What is stored stays in memory.
fn candles(recording: &Recording) -> HashMap<i64, Candle> {
    let minute: Interval = "1m".parse().unwrap();
    let settings = PlanSettings {
        intervals: vec![minute],
        store_trades: false,
        trades_floor_us: i64::MIN,
        candles_floor_us: i64::MIN,
        latest_time_us: i64::MAX,
    };
    let mut stored = StoredMarket::default();
    let mut duplicates = 0;
    for batch in recording.batches() {
        let records = batch.into_iter().map(|trade| Record { trade, partition: 0, offset: 0 }).collect();
        duplicates +=
            plan_market(records, &[], &mut stored, Default::default(), &settings).counts[&0].duplicate;
    }
    assert_eq!((stored.trades_held, duplicates), (1_000, 1_000));
    assert_eq!(stored.ledger.iter().count(), 1);
    stored.candles.into_iter().map(|((_, open_time_us), candle)| (open_time_us, candle)).collect()
}

#[test]
fn candles_of_recorded_trades_are_those_of_the_exchange() {
    let Some(recording) = Recording::read() else { return };
    let ours = candles(&recording);
    let (mut with_trades, mut without_trades) = (0, 0);
    let mut close_before = recording.trades[0].price;
    for theirs in recording.whole_minutes() {
        let expected = match ours.get(&theirs.open_time_us) {
            Some(candle) => {
                with_trades += 1;
                close_before = candle.close;
                let Candle { open_time_us, open, high, low, close, volume, trade_count, .. } = *candle;
                ExchangeCandle { open_time_us, open, high, low, close, volume, trade_count }
            }
            None => {
                without_trades += 1;
                let [open, high, low, close] = [close_before; 4];
                ExchangeCandle {
                    open,
                    high,
                    low,
                    close,
                    volume: Default::default(),
                    trade_count: 0,
                    ..*theirs
                }
            }
        };
        assert_eq!(*theirs, expected);
    }
    assert_eq!((with_trades, without_trades), (272, 137));
    // The minutes at both ends are cut: the exchange counts more trades there, so that this comparison can fail.
    assert_eq!(ours.len(), with_trades + 2);
    let first_us = recording.trades[0].trade_time_us;
    let cut = recording.candles.iter().rfind(|theirs| theirs.open_time_us <= first_us).unwrap();
    assert_eq!((cut.trade_count, ours[&cut.open_time_us].trade_count), (2, 1));
}
