//! Trades that cannot be held, and records that no exchange can mean: named, never in the way of the others.

use market::{HIGHEST_TRADE_ID, RefusalReason, RefusedTrade, Trade};

use super::database::{NOW_US, START_US, Sender, TestDatabase, market, trade, trades};
use crate::{IdsWithoutTrade, RefusedIds, RefusedTrades};

fn refused(trade_id: i64) -> RefusedTrade {
    let trade_time_us = START_US + trade_id * 10_000_000;
    RefusedTrade { trade_id, trade_time_us, reason: RefusalReason::TooManyDecimals }
}

fn ids(first_id: i64, last_id: i64, reason: RefusalReason) -> RefusedIds {
    RefusedIds { first_id, last_id, reason }
}

impl TestDatabase {
    async fn refused(&self) -> RefusedTrades {
        self.store.ledgers().await.unwrap().remove(0).refused
    }
}

pub(super) async fn refused_trades_are_accounted_for_and_no_candle_over_them_is_complete(
    database: TestDatabase,
) {
    let (mut flusher, sender) = (database.flusher(&["1m"]), Sender::new(&database, 0).await);
    let largest = "9999999999999999999999".parse().unwrap();
    let huge = Trade { price: largest, quantity: largest, ..trade(15, 150) };
    let mut batch = sender.batch("BTCUSDT", &[trades(1..=12), vec![huge], trades(16..=30)].concat());
    batch.markets[0].refused = vec![refused(13), refused(14)];
    let report = flusher.flush(batch, NOW_US).await.unwrap();
    assert_eq!((report.trades_new, report.set_aside), (27, vec![("overflow", 1)]));
    assert_eq!(database.holes().await, []);
    let newest = vec![ids(15, 15, RefusalReason::Overflow), ids(13, 14, RefusalReason::TooManyDecimals)];
    assert_eq!(database.refused().await, RefusedTrades { trades: 3, newest });
    assert_eq!(database.complete_minutes().await, [1, 3, 4]);

    // Another flusher reads them back, and a trade that can be held replaces each.
    let mut another = database.flusher(&["1m"]);
    assert_eq!(sender.flush(&mut another, "BTCUSDT", &trades(13..=14)).await.trades_new, 2);
    let newest = vec![ids(15, 15, RefusalReason::Overflow)];
    assert_eq!(database.refused().await, RefusedTrades { trades: 1, newest });
    assert_eq!(database.complete_minutes().await, [1, 3, 4]);
    sender.flush(&mut flusher, "BTCUSDT", &trades(15..=15)).await;
    assert_eq!(database.refused().await, RefusedTrades::default());
    assert_eq!(database.complete_minutes().await, [1, 2, 3, 4]);
}

pub(super) async fn what_the_exchange_has_and_cannot_be_held_is_no_hole_and_never_void(
    database: TestDatabase,
) {
    let (mut flusher, sender) = (database.flusher(&["1m"]), Sender::new(&database, 0).await);
    sender.flush(&mut flusher, "BTCUSDT", &[trades(1..=13), trades(16..=30)].concat()).await;
    let void =
        IdsWithoutTrade { ids: 14..=15, below_us: START_US + 130_000_000, above_us: START_US + 160_000_000 };
    database.store.void(&market("BTCUSDT"), void).await.unwrap();
    assert_eq!(database.complete_minutes().await, [1, 2, 3, 4]);
    database.store.refuse(&market("BTCUSDT"), &[refused(13), refused(14)]).await.unwrap();
    let newest = vec![ids(14, 14, RefusalReason::TooManyDecimals)];
    assert_eq!(database.refused().await, RefusedTrades { trades: 1, newest });
    assert_eq!(database.holes().await, []);
    assert_eq!(database.complete_minutes().await, [1, 3, 4]);
}

pub(super) async fn no_record_makes_a_flush_or_a_query_fail(database: TestDatabase) {
    let (mut flusher, sender) = (database.flusher(&["1s", "1d"]), Sender::new(&database, 0).await);
    let integers = [i64::MIN, -1, 0, 1, HIGHEST_TRADE_ID, HIGHEST_TRADE_ID + 1, i64::MAX - 1, i64::MAX];
    let mut wild = Vec::new();
    for trade_id in integers {
        for trade_time_us in integers {
            wild.push(Trade { trade_id, trade_time_us, ..trade(1, 0) });
        }
    }
    let amounts = ["0", "-1", "-9999999999999999999999", "9999999999999999999999.99999999", "0.00000001"];
    for (trade_id, price) in (100..).zip(amounts) {
        for quantity in amounts {
            let (price, quantity) = (price.parse().unwrap(), quantity.parse().unwrap());
            // On another day: one more trade would not fit the sums of theirs.
            wild.push(Trade { price, quantity, ..trade(trade_id, -86_400) });
        }
    }
    // Together, and one by one: none spares another its fate.
    sender.flush(&mut flusher, "BTCUSDT", &wild).await;
    for one in &wild {
        let report = sender.flush(&mut flusher, "BTCUSDT", &[*one]).await;
        assert_eq!(report.records_read, 1);
    }
    let report = sender.flush(&mut flusher, "BTCUSDT", &trades(7..=9)).await;
    assert_eq!(report.trades_new, 3);
    flusher.forget();
    assert_eq!(sender.flush(&mut flusher, "BTCUSDT", &trades(7..=10)).await.trades_new, 1);
    assert!(database.store.ledgers().await.unwrap()[0].missing > 0);
    assert!(!database.candles("1d").await.is_empty());
}

pub(super) async fn sums_that_do_not_fit_a_new_interval_do_not_stop_the_flush(database: TestDatabase) {
    let sender = Sender::new(&database, 0).await;
    let large = |id| Trade {
        quantity: "6000000000000000000000".parse().unwrap(),
        price: "1".parse().unwrap(),
        ..trade(id, id * 60)
    };
    sender.flush(&mut database.flusher(&["1m"]), "BTCUSDT", &[large(1), large(2)]).await;
    let mut both = database.flusher(&["1m", "5m"]);
    assert_eq!(sender.flush(&mut both, "BTCUSDT", &[trade(3, 180)]).await.trades_new, 1);
    assert!(database.candles("5m").await.iter().all(|candle| !candle.complete));
}

pub(super) async fn an_id_far_beyond_the_exchanges_own_is_set_aside_and_makes_no_hole(
    database: TestDatabase,
) {
    let (mut flusher, sender) = (database.flusher(&["1m"]), Sender::new(&database, 0).await);
    sender.flush(&mut flusher, "BTCUSDT", &trades(1..=23)).await;
    database.probe(23, 240).await;
    let far = Trade { trade_id: 1_000_000_000_000, ..trade(24, 240) };
    let report = sender.flush(&mut flusher, "BTCUSDT", &[far, trade(24, 240)]).await;
    assert_eq!((report.trades_new, report.set_aside), (1, vec![("id_beyond_exchange", 1)]));
    assert_eq!(database.holes().await, []);
    // Where the exchange was not asked lately, nobody knows better.
    database
        .execute(if database.has_integer_times() {
            "UPDATE head_probes SET probed_at_us = probed_at_us - 300000001"
        } else {
            "UPDATE head_probes SET probed_at = probed_at - interval '300.000001 seconds'"
        })
        .await;
    assert_eq!(sender.flush(&mut flusher, "BTCUSDT", &[far]).await.trades_new, 1);
}

pub(super) async fn a_chain_beyond_the_probed_id_is_not_proven_by_it(database: TestDatabase) {
    let (mut flusher, sender) = (database.flusher(&["1m"]), Sender::new(&database, 0).await);
    sender.flush(&mut flusher, "BTCUSDT", &[trades(1..=23), vec![trade(1_000, 250)]].concat()).await;
    database.probe(30, 425).await;
    database.probe(30, 485).await;
    assert_eq!(database.complete_minutes().await, [1, 2]);
}
