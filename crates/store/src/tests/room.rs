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
    if database.is_mysql() {
        // All schemas of the server count there, and other tests drop theirs.
        assert!(after.database_bytes >= after.table_bytes["trades"], "{after:?}");
    } else {
        assert!(after.database_bytes > before.database_bytes, "{before:?} {after:?}");
    }
    if database.is_sqlite() {
        assert_eq!((after.table_bytes.len(), after.oldest_snapshot), (0, None));
        return;
    }
    let tables: Vec<&str> = after.table_bytes.keys().map(String::as_str).collect();
    assert!(tables.contains(&"trades") && tables.contains(&"candles"), "{tables:?}");
    assert!(!tables.iter().any(|table| table.starts_with("trades_")), "{tables:?}");
    // Four days of it, none of which was there before.
    assert!(after.table_bytes["trades"] > before.table_bytes["trades"] + 4 * 8_192);
    let oldest_snapshot = match &database.store.backend {
        Backend::Postgres(postgres) => {
            let mut reader = postgres.pool().begin().await.unwrap();
            let isolation = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ";
            sqlx::raw_sql(isolation).execute(&mut *reader).await.unwrap();
            sqlx::raw_sql("SELECT 1").execute(&mut *reader).await.unwrap();
            database.store.room().await.unwrap().oldest_snapshot
        }
        Backend::MySql(mysql) => {
            let mut reader = mysql.pool().acquire().await.unwrap();
            let snapshot =
                "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ; START TRANSACTION WITH CONSISTENT SNAPSHOT";
            sqlx::raw_sql(snapshot).execute(&mut *reader).await.unwrap();
            sqlx::raw_sql("SELECT count(*) FROM candles").execute(&mut *reader).await.unwrap();
            // Until then the server tells of transactions what it told the last time.
            tokio::time::sleep(Duration::from_millis(200)).await;
            database.store.room().await.unwrap().oldest_snapshot
        }
        Backend::Sqlite(_) => unreachable!(),
    };
    assert!(oldest_snapshot.unwrap() > Duration::ZERO);
}
