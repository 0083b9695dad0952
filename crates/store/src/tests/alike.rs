//! The same trades make the same candles on every database, to the last digit.

use market::{Fixed8, Trade};

use super::database::{Sender, TestDatabase, trade};
use crate::CandleRow;

/// Amounts of every size, some late, and a hole.
fn trades() -> Vec<Trade> {
    let amount = |id: i64, unit: i128| Fixed8::from_units(1 + i128::from(id).pow(4) * unit).unwrap();
    let made = |id: i64| Trade {
        price: amount(id, 1_234_567_891),
        quantity: amount(1 + id % 89, 98_765),
        ..trade(id, id * 17 - (id % 7) * 5)
    };
    (1..=400).filter(|id| !(200..204).contains(id)).map(made).collect()
}

/// In batches that overlap, each database in the same order.
async fn candles_of(database: &TestDatabase) -> Vec<CandleRow> {
    let (mut flusher, sender) = (database.flusher(&["1m", "5m", "1h"]), Sender::new(database, 0).await);
    let trades = trades();
    for start in [0, 150, 90, 300] {
        sender.flush(&mut flusher, "BTCUSDT", &trades[start..(start + 120).min(trades.len())]).await;
    }
    database.store.candles(&Default::default()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn candles_are_equal_on_every_database() {
    let expected = candles_of(&TestDatabase::sqlite().await).await;
    assert!(expected.iter().any(|candle| candle.complete) && !expected.iter().all(|candle| candle.complete));
    for database in [TestDatabase::postgres().await, TestDatabase::mysql().await].into_iter().flatten() {
        assert_eq!(candles_of(&database).await, expected);
    }
}
