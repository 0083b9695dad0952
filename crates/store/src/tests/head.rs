//! What the exchange's own ids prove: silence, and what is missing at the end.

use std::time::Duration;

use super::database::{NOW_US, START_US, Sender, TestDatabase, market, trades};
use crate::{HeadProbe, HeadState, Hole, IdsWithoutTrade};

pub(super) const PROBE_DISTANCE: Duration = Duration::from_secs(30);

impl TestDatabase {
    /// The exchange says at so many seconds after the start that `last_id` is its newest.
    pub(super) async fn probe(&self, last_id: i64, seconds: i64) {
        let probe = HeadProbe { market: market("BTCUSDT"), last_id, time_us: START_US + seconds * 1_000_000 };
        self.store.note_head_probes(&[probe], NOW_US, PROBE_DISTANCE).await.unwrap();
    }

    pub(super) async fn holes(&self) -> Vec<(i64, i64)> {
        let ledger = self.store.ledgers().await.unwrap().remove(0);
        let holes: Vec<(i64, i64)> =
            ledger.holes.iter().map(|Hole { first_id, last_id }| (*first_id, *last_id)).collect();
        assert_eq!(ledger.missing, holes.iter().map(|(first, last)| last - first + 1).sum::<i64>());
        holes
    }
}

pub(super) async fn silence_is_proven_by_two_probes_that_find_nothing_newer(database: TestDatabase) {
    let (mut flusher, sender) = (database.flusher(&["1m"]), Sender::new(&database, 0).await);
    sender.flush(&mut flusher, "BTCUSDT", &trades(1..=23)).await;
    assert_eq!(database.complete_minutes().await, [1, 2]);
    database.probe(23, 305).await;
    // The answer may have lagged behind.
    assert_eq!(database.complete_minutes().await, [1, 2]);
    database.probe(23, 365).await;
    assert_eq!(database.complete_minutes().await, [1, 2, 3, 4]);
    let candles = database.candles("1m").await;
    assert_eq!((candles[4].trade_count, candles[4].close), (0, candles[3].close));
    let ledger = database.store.ledgers().await.unwrap().remove(0);
    assert_eq!(ledger.head, Some(HeadState { last_id: 23, probed_at_us: NOW_US }));
    assert_eq!(ledger.missing, 0);
}

pub(super) async fn what_the_exchange_has_and_we_have_not_is_a_hole_at_the_end(database: TestDatabase) {
    let (mut flusher, sender) = (database.flusher(&["1m"]), Sender::new(&database, 0).await);
    sender.flush(&mut flusher, "BTCUSDT", &trades(1..=23)).await;
    database.probe(23, 240).await;
    database.probe(30, 310).await;
    assert_eq!(database.holes().await, [(24, 30)]);
    assert_eq!(database.complete_minutes().await, [1, 2]);
    sender.flush(&mut flusher, "BTCUSDT", &trades(28..=29)).await;
    assert_eq!(database.holes().await, [(30, 30), (24, 27)]);
    sender.flush(&mut flusher, "BTCUSDT", &[trades(24..=27), trades(30..=30)].concat()).await;
    assert_eq!(database.holes().await, []);
    assert_eq!(database.complete_minutes().await, [1, 2, 3, 4]);
    sender.flush(&mut flusher, "BTCUSDT", &trades(31..=31)).await;
    assert_eq!(database.holes().await, []);
}

pub(super) async fn a_market_of_which_nothing_came_misses_what_came_since_the_first_probe(
    database: TestDatabase,
) {
    database.probe(100, 0).await;
    assert_eq!(database.holes().await, []);
    database.probe(110, 60).await;
    assert_eq!(database.holes().await, [(101, 110)]);
    let (mut flusher, sender) = (database.flusher(&["1m"]), Sender::new(&database, 0).await);
    sender.flush(&mut flusher, "BTCUSDT", &trades(103..=105)).await;
    assert_eq!(database.holes().await, [(106, 110), (101, 102)]);
    // What came before the first probe was never wished, and is welcome.
    sender.flush(&mut flusher, "BTCUSDT", &trades(97..=102)).await;
    assert_eq!(database.holes().await, [(106, 110)]);
}

pub(super) async fn answers_that_lag_behind_or_come_too_soon_are_passed_over(database: TestDatabase) {
    let (mut flusher, sender) = (database.flusher(&["1m"]), Sender::new(&database, 0).await);
    sender.flush(&mut flusher, "BTCUSDT", &trades(1..=23)).await;
    database.probe(23, 300).await;
    for (last_id, seconds) in [(22, 400), (23, 329), (30, 310), (23, 200)] {
        database.probe(last_id, seconds).await;
        assert_eq!(database.holes().await, [], "{last_id} {seconds}");
        assert_eq!(database.complete_minutes().await, [1, 2], "{last_id} {seconds}");
    }
}

pub(super) async fn ids_without_a_trade_are_void_until_a_trade_comes(database: TestDatabase) {
    let (mut flusher, sender) = (database.flusher(&["1m"]), Sender::new(&database, 0).await);
    sender.flush(&mut flusher, "BTCUSDT", &[trades(1..=13), trades(16..=30)].concat()).await;
    assert_eq!(database.holes().await, [(14, 15)]);
    let version = database.number("SELECT version FROM symbol_head").await;
    let void =
        IdsWithoutTrade { ids: 13..=16, below_us: START_US + 130_000_000, above_us: START_US + 160_000_000 };
    database.store.void(&market("BTCUSDT"), void).await.unwrap();
    assert_eq!(database.holes().await, []);
    assert_eq!(database.complete_minutes().await, [1, 2, 3, 4]);
    assert_eq!(database.number("SELECT count(*) FROM trade_ranges WHERE kind = 'void'").await, 1);
    assert_eq!(database.number("SELECT version FROM symbol_head").await, version + 1);
    // The flusher goes on from what it had cached, which is no longer what is stored.
    let report = sender.flush(&mut flusher, "BTCUSDT", &trades(14..=15)).await;
    assert_eq!(report.trades_new, 2);
    assert_eq!(database.number("SELECT count(*) FROM trade_ranges").await, 1);
    assert_eq!(database.number("SELECT count(*) FROM trades").await, 30);
}
