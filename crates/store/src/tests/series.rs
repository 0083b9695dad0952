//! Exchanges that number a symbol's trades anew: nothing of both numberings is ever joined.

use market::Trade;

use super::database::{NOW_US, START_US, Sender, TestDatabase, market, trade, trades};
use crate::{BegunSeries, CandleQuery, CandleRow, FlushError, RebuildError, SeriesError, StoreError};

/// The second at which the new numbering begins.
const WIPED_S: i64 = 5_000;
const SINCE_US: i64 = START_US + WIPED_S * 1_000_000;

/// Trades of the new numbering, one every ten seconds.
fn new_trades(ids: std::ops::RangeInclusive<i64>) -> Vec<Trade> {
    ids.map(|id| trade(id, WIPED_S + id * 10)).collect()
}

impl TestDatabase {
    /// The candles that claim to be complete: series and minute after [`START_US`].
    async fn complete_by_series(&self) -> Vec<(i32, i64)> {
        let candles = self.candles("1m").await;
        let minute = |candle: &CandleRow| (candle.series, (candle.open_time_us - START_US) / 60_000_000);
        candles.iter().filter(|candle| candle.complete).map(minute).collect()
    }

    async fn begin_series(&self, since_us: i64) -> Result<(), SeriesError> {
        self.store.begin_series(&market("BTCUSDT"), since_us).await
    }
}

pub(super) async fn ids_that_begin_anew_are_set_aside_until_a_series_begins(database: TestDatabase) {
    let (mut flusher, sender) = (database.flusher(&["1m"]), Sender::new(&database, 0).await);
    sender.flush(&mut flusher, "BTCUSDT", &trades(101..=130)).await;
    let before = database.complete_by_series().await;
    let report = sender.flush(&mut flusher, "BTCUSDT", &new_trades(1..=12)).await;
    assert_eq!((report.trades_new, report.set_aside), (0, vec![("ids_restarted", 12)]));
    // Another writer reads the evidence, and no id is high enough to go on.
    let mut another = database.flusher(&["1m"]);
    let report = sender.flush(&mut another, "BTCUSDT", &new_trades(131..=140)).await;
    assert_eq!(report.set_aside, [("ids_restarted", 10)]);
    let ledger = database.store.ledgers().await.unwrap().remove(0);
    assert_eq!(
        ledger.restart.map(|restart| (restart.since_us, restart.trades)),
        Some((SINCE_US + 10_000_000, 22))
    );
    assert_eq!((ledger.trades_held, ledger.missing, ledger.series), (30, 0, 0));
    assert_eq!(database.complete_by_series().await, before);

    database.begin_series(SINCE_US).await.unwrap();
    let version = database.number("SELECT max(version) FROM symbol_head").await;
    let stale = flusher.flush(sender.batch("BTCUSDT", &new_trades(1..=1)), NOW_US).await;
    assert!(matches!(stale, Err(FlushError::Store(StoreError::SeriesMoved))), "{stale:?}");
    let sender = Sender::new(&database, 0).await;
    // Late ones of before still have their place.
    let mixed = [new_trades(1..=30), vec![trade(131, 1_310)]].concat();
    let report = sender.flush(&mut flusher, "BTCUSDT", &mixed).await;
    assert_eq!((report.trades_new, report.set_aside), (31, vec![]));
    let ledger = database.store.ledgers().await.unwrap().remove(0);
    assert_eq!((ledger.series, ledger.series_since_us, ledger.restart), (1, Some(SINCE_US), None));
    assert_eq!((ledger.first_trade_id, ledger.last_trade_id, ledger.trades_held), (Some(1), Some(30), 30));
    let ended = database.store.ended_ledgers().await.unwrap().remove(0);
    assert_eq!((ended.series, ended.last_trade_id, ended.trades_held), (0, Some(131), 31));
    let complete = database.complete_by_series().await;
    let of_series = |number: i32| complete.iter().filter(move |(series, _)| *series == number).count();
    assert_eq!((of_series(0), of_series(1)), (before.len(), 4));
    let since = CandleQuery { since_version: Some(version), ..CandleQuery::default() };
    let changed = database.store.candles(&since).await.unwrap();
    assert!(changed.iter().filter(|candle| candle.series == 1).count() >= 5, "{changed:?}");
    let rows = database.number("SELECT count(*) FROM trades_by_symbol WHERE series = 1").await;
    assert_eq!(rows, 30);
}

pub(super) async fn a_series_begins_once_and_after_all_that_is_held(database: TestDatabase) {
    let (mut flusher, sender) = (database.flusher(&["1m"]), Sender::new(&database, 0).await);
    sender.flush(&mut flusher, "BTCUSDT", &trades(1..=30)).await;
    let newest_us = START_US + 300_000_000;
    let refused = database.begin_series(newest_us).await;
    assert!(
        matches!(refused, Err(SeriesError::BeforeNewestTrade { earliest_us }) if earliest_us == newest_us + 1)
    );
    assert_eq!(database.store.ledgers().await.unwrap()[0].earliest_series_us, Some(newest_us + 1));
    for _ in 0..2 {
        database.begin_series(newest_us + 1).await.unwrap();
    }
    let refused = database.begin_series(newest_us).await;
    assert!(matches!(refused, Err(SeriesError::BeforeLastSeries { from_us }) if from_us == newest_us + 1));
    database.begin_series(SINCE_US).await.unwrap();
    let begun = |since_us| BegunSeries { market: market("BTCUSDT"), since_us };
    assert_eq!(database.store.begun_series().await.unwrap(), [begun(newest_us + 1), begun(SINCE_US)]);
    assert_eq!(database.store.ledgers().await.unwrap().len(), 1);
}

pub(super) async fn the_exchange_itself_can_prove_that_it_numbers_anew(database: TestDatabase) {
    let (mut flusher, sender) = (database.flusher(&["1m"]), Sender::new(&database, 0).await);
    sender.flush(&mut flusher, "BTCUSDT", &trades(1..=30)).await;
    let btc = market("BTCUSDT");
    let says = async |trade_id: i64, seconds: i64| {
        let time_us = START_US + seconds * 1_000_000;
        database.store.note_trade_of_exchange(&btc, trade_id, time_us).await.unwrap()
    };
    assert!(!says(17, 170).await && !says(30, 300).await && !says(31, 9_000).await);
    assert!(!database.store.note_trade_of_exchange(&market("ETHUSDT"), 17, NOW_US).await.unwrap());
    assert_eq!(database.store.ledgers().await.unwrap()[0].restart, None);
    assert!(says(30, WIPED_S).await);
    // Nothing of the new numbering is said of the old ids, and nothing of them could be had again.
    for seconds in [9_000, 9_100, 9_200] {
        database.probe(30, seconds).await;
    }
    assert_eq!(database.complete_minutes().await, [1, 2, 3, 4]);
    let rebuilt = database.store.rebuild(&btc, START_US, START_US + 60_000_000).await;
    assert!(matches!(rebuilt, Err(RebuildError::IdsRestarted(_))), "{rebuilt:?}");
    // Also the writer that knew the market from before.
    let report = sender.flush(&mut flusher, "BTCUSDT", &new_trades(31..=31)).await;
    assert_eq!(report.set_aside, [("ids_restarted", 1)]);
    assert_eq!(sender.flush(&mut flusher, "BTCUSDT", &trades(31..=31)).await.trades_new, 1);
}

pub(super) async fn every_wished_trade_of_a_new_series_is_missing_until_it_is_held(database: TestDatabase) {
    let (mut flusher, sender) = (database.flusher(&["1m"]), Sender::new(&database, 0).await);
    sender.flush(&mut flusher, "BTCUSDT", &trades(101..=130)).await;
    database.probe(130, 400).await;
    database.begin_series(SINCE_US).await.unwrap();
    sender.flush(&mut database.flusher(&["1m"]), "BTCUSDT", &new_trades(5..=9)).await;
    let history = database.store.history(&market("BTCUSDT")).await.unwrap();
    assert_eq!((history.series_since_us, history.start), (Some(SINCE_US), None));
    let start = crate::HistoryStart { from_us: SINCE_US, first_id: 1 };
    database.store.wish_history(&market("BTCUSDT"), start).await.unwrap();
    assert_eq!(database.holes().await, [(1, 4)]);
    // What the exchange has now says nothing of the series before, and is not forgotten with history.
    database.probe(12, WIPED_S + 500).await;
    database.store.retract_history(&[market("BTCUSDT")]).await.unwrap();
    assert_eq!(database.holes().await, [(10, 12), (1, 4)]);
    assert_eq!(database.store.ended_ledgers().await.unwrap()[0].missing, 0);
}

pub(super) async fn silence_that_was_proven_by_probes_ends_with_the_series(database: TestDatabase) {
    let (mut flusher, sender) = (database.flusher(&["1m"]), Sender::new(&database, 0).await);
    sender.flush(&mut flusher, "BTCUSDT", &trades(1..=23)).await;
    // A few trades of the new numbering: no proof yet, and the exchange's newest id is the old one again.
    sender.flush(&mut flusher, "BTCUSDT", &[trade(1, 400), trade(2, 410)]).await;
    database.probe(23, 305).await;
    database.probe(23, 600).await;
    database.probe(23, 900).await;
    assert_eq!(database.complete_minutes().await, [1, 2, 3, 4, 5]);
    database.begin_series(START_US + 350_000_000).await.unwrap();
    assert_eq!(database.complete_minutes().await, [1, 2, 3, 4]);
}
