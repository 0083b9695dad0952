//! Floors move up first; what lies below them claims nothing.

use super::database::{NOW_US, Sender, TestDatabase, trade};
use crate::Retention;

const DAY_S: i64 = 86_400;
/// `NOW_US` is 30 days after the first trade: this keeps what is younger than day 2.
const KEEP_FROM_DAY_2: Retention = Retention { trades_s: Some(28 * DAY_S), candles_s: Some(28 * DAY_S) };

pub(super) async fn days_below_the_floor_are_dropped_and_claim_nothing(database: TestDatabase) {
    let (mut flusher, sender) = (database.flusher(&["1m"]), Sender::new(&database, 0).await);
    let trades: Vec<_> = (1..=500).map(|id| trade(id, id * DAY_S / 100)).collect();
    sender.flush(&mut flusher, "BTCUSDT", &trades).await;
    database.store.retain(KEEP_FROM_DAY_2, NOW_US).await.unwrap();
    assert_eq!(database.number("SELECT min(trade_id) FROM trades").await, 200);
    let candles = database.candles("1m").await;
    assert_eq!(candles.iter().filter(|candle| candle.trade_count > 0).count(), 301);
    let open_times = candles.iter().map(|candle| candle.open_time_us);
    assert!(open_times.min().unwrap() >= NOW_US - 28 * DAY_S * 1_000_000);
    assert_eq!(database.store.ledgers().await.unwrap()[0].trades_held, 500);
}

pub(super) async fn trades_below_the_floor_enter_the_ledger_only(database: TestDatabase) {
    let (mut flusher, sender) = (database.flusher(&["1m"]), Sender::new(&database, 0).await);
    database.store.retain(KEEP_FROM_DAY_2, NOW_US).await.unwrap();
    sender
        .flush(&mut flusher, "BTCUSDT", &[trade(1, DAY_S), trade(2, 2 * DAY_S - 1), trade(3, 2 * DAY_S)])
        .await;
    assert_eq!(database.number("SELECT count(*) FROM trades").await, 1);
    assert_eq!(database.candles("1m").await.len(), 1);
    assert_eq!(database.store.ledgers().await.unwrap()[0].trades_held, 3);
    // Moving the clock back does not bring a floor down.
    database.store.retain(KEEP_FROM_DAY_2, 0).await.unwrap();
    flusher.forget();
    sender.flush(&mut flusher, "BTCUSDT", &[trade(4, DAY_S)]).await;
    assert_eq!(database.number("SELECT count(*) FROM trades").await, 1);
}
