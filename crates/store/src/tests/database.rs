//! A database for one test, and the batches that the tests feed it.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use market::{Market, Record, Trade};
use sqlx::AssertSqlSafe;
use tempfile::TempDir;

use crate::{
    Backend, CandleQuery, CandleRow, ConnectOptions, FlushBatch, FlushReport, FlushSettings, Flusher,
    MarketBatch, PartitionProgress, Store,
};

pub(super) const TOPIC: &str = "crypto-trades";
pub(super) const TOPIC_ID: &str = "topic-1";
pub(super) const MINUTE_US: i64 = 60_000_000;
/// A midnight, so that windows of every interval begin there.
pub(super) const START_US: i64 = 1_767_225_600_000_000;
pub(super) const NOW_US: i64 = START_US + 30 * 86_400_000_000;

/// A migrated schema of its own, gone with the test.
pub(super) struct TestDatabase {
    pub(super) store: Store,
    _folder: Option<TempDir>,
}

impl TestDatabase {
    pub(super) async fn sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}", folder.path().join("market.db").display());
        let options = ConnectOptions { create: true, ..ConnectOptions::default() };
        let store = Store::connect(&url.into(), "ignored", options).await.unwrap();
        store.migrate().await.unwrap();
        Self { store, _folder: Some(folder) }
    }

    pub(super) async fn postgres() -> Option<Self> {
        Self::of_service("POSTGRES_URL").await
    }

    pub(super) async fn mysql() -> Option<Self> {
        Self::of_service("MYSQL_URL").await
    }

    async fn of_service(variable: &str) -> Option<Self> {
        let url = service(variable)?;
        let schema = format!("test_{}", uuid::Uuid::new_v4().simple());
        let store = Store::connect(&url.into(), &schema, ConnectOptions::default()).await.unwrap();
        store.migrate().await.unwrap();
        Some(Self { store, _folder: None })
    }

    pub(super) fn is_sqlite(&self) -> bool {
        matches!(self.store.backend, Backend::Sqlite(_))
    }

    pub(super) fn is_mysql(&self) -> bool {
        matches!(self.store.backend, Backend::MySql(_))
    }

    /// Whether times are integer columns with `_us` in their names.
    pub(super) fn has_integer_times(&self) -> bool {
        self.is_sqlite() || self.is_mysql()
    }

    pub(super) fn flusher(&self, intervals: &[&str]) -> Flusher {
        let intervals = intervals.iter().map(|text| text.parse().unwrap()).collect();
        Flusher::new(
            self.store.clone(),
            FlushSettings { intervals, store_trades: true, ..FlushSettings::default() },
        )
    }

    /// Runs a statement that the databases understand.
    pub(super) async fn execute(&self, statement: &str) {
        match &self.store.backend {
            Backend::Postgres(database) => {
                sqlx::query(AssertSqlSafe(statement)).execute(database.pool()).await.unwrap();
            }
            Backend::MySql(database) => {
                sqlx::raw_sql(AssertSqlSafe(statement)).execute(database.pool()).await.unwrap();
            }
            Backend::Sqlite(database) => {
                sqlx::query(AssertSqlSafe(statement)).execute(database.pool()).await.unwrap();
            }
        }
    }

    /// Trades that are held, or were and have been removed, came through the topic or from a file.
    pub(super) async fn assert_conserved(&self) {
        let sum = async |what: &str, from: &str| {
            self.number(&format!("SELECT CAST(coalesce(sum({what}), 0) AS bigint) FROM {from}")).await
        };
        let held = self.store.ledgers().await.unwrap()[0].trades_held;
        let ids = sum("last_id - first_id + 1", "trade_ranges WHERE kind = 'held'").await;
        let new = sum("trades_new", "partition_offsets").await + sum("trades_new", "history_files").await;
        assert_eq!((held, new), (ids, held + sum("trades_removed", "rebuilds").await));
    }

    /// The single number that a statement selects.
    pub(super) async fn number(&self, statement: &str) -> i64 {
        match &self.store.backend {
            Backend::Postgres(database) => {
                sqlx::query_scalar(AssertSqlSafe(statement)).fetch_one(database.pool()).await.unwrap()
            }
            Backend::MySql(database) => {
                let statement = statement.replace(" AS bigint)", " AS SIGNED)");
                sqlx::query_scalar(AssertSqlSafe(statement)).fetch_one(database.pool()).await.unwrap()
            }
            Backend::Sqlite(database) => {
                sqlx::query_scalar(AssertSqlSafe(statement)).fetch_one(database.pool()).await.unwrap()
            }
        }
    }

    /// The rows of a statement that selects one text column.
    pub(super) async fn texts(&self, statement: &str) -> Vec<String> {
        match &self.store.backend {
            Backend::Postgres(database) => {
                sqlx::query_scalar(AssertSqlSafe(statement)).fetch_all(database.pool()).await.unwrap()
            }
            Backend::MySql(database) => {
                sqlx::query_scalar(AssertSqlSafe(statement)).fetch_all(database.pool()).await.unwrap()
            }
            Backend::Sqlite(database) => {
                sqlx::query_scalar(AssertSqlSafe(statement)).fetch_all(database.pool()).await.unwrap()
            }
        }
    }

    pub(super) async fn candles(&self, interval: &str) -> Vec<CandleRow> {
        let query = CandleQuery { interval: Some(interval.parse().unwrap()), ..CandleQuery::default() };
        self.store.candles(&query).await.unwrap()
    }

    /// The minutes after [`START_US`] whose one-minute candles claim to be complete.
    pub(super) async fn complete_minutes(&self) -> Vec<i64> {
        let candles = self.candles("1m").await;
        let complete = candles.iter().filter(|candle| candle.complete);
        complete.map(|candle| (candle.open_time_us - START_US) / MINUTE_US).collect()
    }
}

impl Drop for TestDatabase {
    /// Schemas of a server that tests share would pile up.
    fn drop(&mut self) {
        let store = self.store.clone();
        tokio::task::block_in_place(|| {
            tokio::runtime::Handle::current().block_on(async {
                // Where a test failed, a transaction of it may still hold locks.
                let end = async {
                    let _ = match &store.backend {
                        Backend::Postgres(database) => database.drop_schema().await,
                        Backend::MySql(database) => database.drop_schema().await,
                        Backend::Sqlite(_) => Ok(()),
                    };
                    store.close().await;
                };
                let _ = tokio::time::timeout(Duration::from_secs(10), end).await;
            });
        });
    }
}

/// The address of a server that tests share, where there is one.
pub(super) fn service(variable: &str) -> Option<String> {
    let url = std::env::var(variable).ok();
    if url.is_none() {
        assert!(std::env::var_os("REQUIRE_SERVICES").is_none(), "{variable} is not set");
        eprintln!("skipped: {variable} is not set");
    }
    url
}

pub(super) fn market(symbol: &str) -> Market {
    Market::new("binance", symbol)
}

/// A trade at so many seconds after [`START_US`], priced by its id.
pub(super) fn trade(trade_id: i64, seconds: i64) -> Trade {
    let trade_time_us = START_US + seconds * 1_000_000;
    Trade {
        trade_id,
        price: format!("{}.5", 100 + trade_id).parse().unwrap(),
        quantity: "2".parse().unwrap(),
        trade_time_us,
        event_time_us: trade_time_us,
        received_time_us: trade_time_us,
        buyer_is_maker: trade_id % 2 == 0,
    }
}

/// One trade every ten seconds, with ids from 1: minute m holds the ids 6m to 6m + 5.
pub(super) fn trades(ids: std::ops::RangeInclusive<i64>) -> Vec<Trade> {
    ids.map(|id| trade(id, id * 10)).collect()
}

/// The records of partition 0 and of other partitions, sent one after the other.
pub(super) struct Sender {
    partition: i32,
    next_offset: AtomicI64,
}

impl Sender {
    /// Takes over a partition at the position that the database has.
    pub(super) async fn new(database: &TestDatabase, partition: i32) -> Self {
        let positions = database.store.assign(TOPIC, TOPIC_ID, &[partition]).await.unwrap();
        Self { partition, next_offset: positions[0].next_offset.into() }
    }

    /// The next records as one batch.
    pub(super) fn batch(&self, symbol: &str, trades: &[Trade]) -> FlushBatch {
        let count = i64::try_from(trades.len()).unwrap();
        let expected_offset = self.next_offset.fetch_add(count, Ordering::Relaxed);
        let record =
            |(trade, offset): (&Trade, i64)| Record { trade: *trade, partition: self.partition, offset };
        let records = trades.iter().zip(expected_offset..).map(record).collect();
        FlushBatch {
            topic: TOPIC.to_owned(),
            topic_id: TOPIC_ID.to_owned(),
            partitions: vec![PartitionProgress {
                partition: self.partition,
                expected_offset,
                next_offset: expected_offset + count,
                records_read: count,
                ..PartitionProgress::default()
            }],
            markets: vec![MarketBatch { market: market(symbol), records, refused: Vec::new() }],
            tickers: Vec::new(),
        }
    }

    pub(super) async fn flush(&self, flusher: &mut Flusher, symbol: &str, trades: &[Trade]) -> FlushReport {
        flusher.flush(self.batch(symbol, trades), NOW_US).await.unwrap()
    }
}
