//! How much room a database takes.

use std::time::Duration;

use super::database::{Sender, TestDatabase, trade};
use crate::Backend;

const DAY_S: i64 = 86_400;

pub(super) async fn days_count_as_their_table(database: TestDatabase) {
    let before = database.store.room().await.unwrap();
    let (mut flusher, sender) = (database.flusher(&["1m"]), Sender::new(&database, 0).await);
    let trades: Vec<_> = (1..=2_000).map(|id| trade(id, id * DAY_S / 500)).collect();
    sender.flush(&mut flusher, "BTCUSDT", &trades).await;
    let after = database.store.room().await.unwrap();
    assert!(after.database_bytes > before.database_bytes, "{before:?} {after:?}");
    let Backend::Postgres(postgres) = &database.store.backend else {
        assert_eq!((after.table_bytes.len(), after.oldest_snapshot), (0, None));
        return;
    };
    let tables: Vec<&str> = after.table_bytes.keys().map(String::as_str).collect();
    assert!(tables.contains(&"trades") && tables.contains(&"candles"), "{tables:?}");
    assert!(!tables.iter().any(|table| table.starts_with("trades_")), "{tables:?}");
    // Four days of it, none of which was there before.
    assert!(after.table_bytes["trades"] > before.table_bytes["trades"] + 4 * 8_192);
    let mut reader = postgres.pool().begin().await.unwrap();
    sqlx::raw_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ").execute(&mut *reader).await.unwrap();
    sqlx::raw_sql("SELECT 1").execute(&mut *reader).await.unwrap();
    let room = database.store.room().await.unwrap();
    assert!(room.oldest_snapshot.unwrap() > Duration::ZERO);
}
