//! Writers that wait for each other, commits of unknown outcome, and positions that somebody set back.

use std::sync::Arc;
use std::time::Duration;

use market::{CandleKey, Fold, Interval, Market, Output, Sample, Trade, TradeRange};
use tokio::sync::Semaphore;

use super::database::{NOW_US, Sender, TOPIC, TOPIC_ID, TestDatabase, trade};
use crate::error::{FlushError, StoreError};
use crate::flush::{
    DayTable, Floors, FlushDatabase, FlushTransaction, FlushWrites, Reach, SampleSpan, StoredCandle,
    StoredHead, StoredOffset, StoredSampleCandle, StoredTickerHead, TickerTransaction, TradeTransaction,
};
use crate::series::Series;
use crate::{Backend, FlushBatch, FlushReport, Flusher};

/// What happens to a commit.
#[derive(Clone)]
enum Fault {
    /// It succeeds, but the answer is lost.
    AnswerLost,
    /// It never reaches the database.
    RequestLost,
    /// It waits for a permit of the second, after it has added one to the first.
    Held(Arc<Semaphore>, Arc<Semaphore>),
}

/// A database whose commits meet a fault.
struct Faulty<D> {
    database: D,
    fault: Fault,
}

struct FaultyTransaction<T> {
    transaction: T,
    fault: Fault,
}

impl<D: FlushDatabase> FlushDatabase for Faulty<D> {
    type Transaction = FaultyTransaction<D::Transaction>;

    async fn series(&self, markets: &[Market]) -> Result<Vec<Series>, StoreError> {
        self.database.series(markets).await
    }
    async fn ticker_markets(&self, markets: &[Market]) -> Result<Vec<(Market, i32)>, StoreError> {
        self.database.ticker_markets(markets).await
    }
    async fn prepare_days(
        &self,
        table: DayTable,
        times_us: &mut (dyn Iterator<Item = i64> + Send),
    ) -> Result<(), StoreError> {
        self.database.prepare_days(table, times_us).await
    }
    async fn floors(&self) -> Result<Floors, StoreError> {
        self.database.floors().await
    }
    async fn begin(&self) -> Result<Self::Transaction, StoreError> {
        Ok(FaultyTransaction { transaction: self.database.begin().await?, fault: self.fault.clone() })
    }
}

impl<T: FlushTransaction> TradeTransaction for FaultyTransaction<T> {
    async fn read_trades_at(&mut self, symbol_id: i32, reach: Reach) -> Result<Vec<Trade>, StoreError> {
        self.transaction.read_trades_at(symbol_id, reach).await
    }
}

impl<T: FlushTransaction> TickerTransaction for FaultyTransaction<T> {
    async fn lock_ticker_heads(&mut self, market_ids: &[i32]) -> Result<(), StoreError> {
        self.transaction.lock_ticker_heads(market_ids).await
    }
    async fn read_ticker_heads(&mut self, market_ids: &[i32]) -> Result<Vec<StoredTickerHead>, StoreError> {
        self.transaction.read_ticker_heads(market_ids).await
    }
    async fn read_sample_times(&mut self, samples: &[(i32, i64)]) -> Result<Vec<(i32, i64)>, StoreError> {
        self.transaction.read_sample_times(samples).await
    }
    async fn read_sample_candles(
        &mut self,
        windows: &[(i32, CandleKey)],
    ) -> Result<Vec<StoredSampleCandle>, StoreError> {
        self.transaction.read_sample_candles(windows).await
    }
    async fn read_samples(&mut self, spans: &[SampleSpan]) -> Result<Vec<(i32, Sample)>, StoreError> {
        self.transaction.read_samples(spans).await
    }
}

impl<T: FlushTransaction> FlushTransaction for FaultyTransaction<T> {
    async fn lock_partitions(&mut self, topic: &str, partitions: &[i32]) -> Result<(), StoreError> {
        self.transaction.lock_partitions(topic, partitions).await
    }
    async fn lock_heads(&mut self, symbol_ids: &[i32]) -> Result<(), StoreError> {
        self.transaction.lock_heads(symbol_ids).await
    }
    async fn read_offsets(
        &mut self,
        topic: &str,
        partitions: &[i32],
    ) -> Result<Vec<StoredOffset>, StoreError> {
        self.transaction.read_offsets(topic, partitions).await
    }
    async fn read_heads(&mut self, symbol_ids: &[i32]) -> Result<Vec<StoredHead>, StoreError> {
        self.transaction.read_heads(symbol_ids).await
    }
    async fn read_ranges(&mut self, symbol_ids: &[i32]) -> Result<Vec<(i32, TradeRange)>, StoreError> {
        self.transaction.read_ranges(symbol_ids).await
    }
    async fn read_folds(&mut self, symbol_ids: &[i32]) -> Result<Vec<(i32, Output, Fold)>, StoreError> {
        self.transaction.read_folds(symbol_ids).await
    }
    async fn read_candles(&mut self, windows: &[(i32, CandleKey)]) -> Result<Vec<StoredCandle>, StoreError> {
        self.transaction.read_candles(windows).await
    }
    async fn read_all_candles(
        &mut self,
        symbol_id: i32,
        interval: Interval,
    ) -> Result<Vec<StoredCandle>, StoreError> {
        self.transaction.read_all_candles(symbol_id, interval).await
    }
    async fn write(&mut self, writes: &FlushWrites) -> Result<(), StoreError> {
        self.transaction.write(writes).await
    }
    async fn commit(self) -> Result<(), sqlx::Error> {
        match self.fault {
            Fault::AnswerLost => {
                self.transaction.commit().await?;
                Err(sqlx::Error::WorkerCrashed)
            }
            Fault::RequestLost => Err(sqlx::Error::WorkerCrashed),
            Fault::Held(reached, release) => {
                reached.add_permits(1);
                release.acquire().await.map(drop).map_err(|_| sqlx::Error::PoolClosed)?;
                self.transaction.commit().await
            }
        }
    }
}

async fn flush_with(
    database: &TestDatabase,
    flusher: &mut Flusher,
    batch: FlushBatch,
    fault: Fault,
) -> Result<FlushReport, FlushError> {
    match database.store.backend.clone() {
        Backend::Postgres(database) => {
            flusher.flush_to(&Faulty { database, fault }, batch, None, NOW_US).await
        }
        Backend::MySql(database) => flusher.flush_to(&Faulty { database, fault }, batch, None, NOW_US).await,
        Backend::Sqlite(database) => flusher.flush_to(&Faulty { database, fault }, batch, None, NOW_US).await,
    }
}

/// Two writers of one symbol from two partitions. The second has cached the state before the first one's
/// flush, meets its lock and must not fold into what it had cached, nor into what it read while waiting.
pub(super) async fn a_writer_that_waited_reads_what_the_other_committed(database: TestDatabase) {
    let database = Arc::new(database);
    let (first, second) = (Sender::new(&database, 0).await, Sender::new(&database, 1).await);
    let mut waiting = database.flusher(&["1m"]);
    second.flush(&mut waiting, "BTCUSDT", &[trade(1, 1), trade(2, 2)]).await;

    let (reached, release) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
    let held = Fault::Held(reached.clone(), release.clone());
    let batch = first.batch("BTCUSDT", &[trade(2, 2), trade(3, 3)]);
    let holder = tokio::spawn({
        let database = database.clone();
        async move { flush_with(&database, &mut database.flusher(&["1m"]), batch, held).await }
    });
    let _reached = reached.acquire().await.unwrap();
    let batch = second.batch("BTCUSDT", &[trade(3, 3), trade(4, 4)]);
    let waiter = tokio::spawn(async move { waiting.flush(batch, NOW_US).await });
    await_blocked_writer(&database).await;
    assert!(!waiter.is_finished());
    release.add_permits(1);

    assert_eq!(holder.await.unwrap().unwrap().trades_new, 1);
    let report = waiter.await.unwrap().unwrap();
    assert_eq!((report.trades_new, report.trades_duplicate), (1, 1));
    let candle = &database.candles("1m").await[0];
    assert_eq!((candle.trade_count, candle.volume.to_string().as_str()), (4, "8"));
    assert_eq!(database.number("SELECT count(*) FROM trades").await, 4);
}

/// Waits until the database itself says that a statement waits for a lock. SQLite cannot say so; there the
/// writer that holds the lock cannot be passed at all.
async fn await_blocked_writer(database: &TestDatabase) {
    if database.is_sqlite() {
        return;
    }
    let blocked = if database.is_mysql() {
        // What innodb_trx tells is as old as it was when it was asked last, if that was just now.
        "SELECT count(*) FROM information_schema.processlist
         WHERE db = DATABASE() AND id <> CONNECTION_ID() AND info LIKE '%symbol_head%FOR UPDATE'"
    } else {
        "SELECT count(*) FROM pg_stat_activity
         WHERE wait_event_type = 'Lock' AND query LIKE '%symbol_head%' AND pid IN
           (SELECT pid FROM pg_locks WHERE NOT granted)"
    };
    let seen = async {
        while database.number(blocked).await == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), seen).await.expect("no statement waits for a lock");
}

pub(super) async fn a_commit_that_happened_unseen_is_not_repeated(database: TestDatabase) {
    let sender = Sender::new(&database, 0).await;
    let mut flusher = database.flusher(&["1m"]);
    let batch = sender.batch("BTCUSDT", &[trade(1, 1), trade(2, 2)]);
    let unknown = flush_with(&database, &mut flusher, batch.clone(), Fault::AnswerLost).await;
    assert!(matches!(unknown, Err(FlushError::OutcomeUnknown(_))), "{unknown:?}");

    let repeated = flusher.flush(batch, NOW_US).await;
    assert!(
        matches!(repeated, Err(FlushError::OffsetMoved { partition: 0, expected: 0, found: Some(2) })),
        "{repeated:?}"
    );
    let next = Sender::new(&database, 0).await.flush(&mut flusher, "BTCUSDT", &[trade(3, 3)]).await;
    assert_eq!(next.trades_new, 1);
    assert_eq!(database.candles("1m").await[0].trade_count, 3);
}

pub(super) async fn a_commit_that_did_not_happen_is_made_up_for(database: TestDatabase) {
    let sender = Sender::new(&database, 0).await;
    let mut flusher = database.flusher(&["1m"]);
    sender.flush(&mut flusher, "BTCUSDT", &[trade(1, 1)]).await;
    let batch = sender.batch("BTCUSDT", &[trade(2, 2)]);
    let unknown = flush_with(&database, &mut flusher, batch.clone(), Fault::RequestLost).await;
    assert!(matches!(unknown, Err(FlushError::OutcomeUnknown(_))), "{unknown:?}");
    assert_eq!(database.store.positions(TOPIC).await.unwrap()[0].next_offset, 1);

    assert_eq!(flusher.flush(batch, NOW_US).await.unwrap().trades_new, 1);
    assert_eq!(database.candles("1m").await[0].trade_count, 2);
}

pub(super) async fn offsets_set_back_are_noticed_and_counted_as_duplicates(database: TestDatabase) {
    let sender = Sender::new(&database, 0).await;
    let mut flusher = database.flusher(&["1m"]);
    let trades = [trade(1, 1), trade(2, 2), trade(3, 3)];
    sender.flush(&mut flusher, "BTCUSDT", &trades).await;
    database.execute("UPDATE partition_offsets SET next_offset = 1").await;
    let moved = flusher.flush(sender.batch("BTCUSDT", &[trade(4, 4)]), NOW_US).await;
    assert!(matches!(moved, Err(FlushError::OffsetMoved { expected: 3, found: Some(1), .. })), "{moved:?}");

    let again = Sender::new(&database, 0).await;
    let report = again.flush(&mut flusher, "BTCUSDT", &[trades[1], trades[2], trade(4, 4)]).await;
    assert_eq!((report.trades_new, report.trades_duplicate), (1, 2));
    assert_eq!(database.candles("1m").await[0].trade_count, 4);
}

pub(super) async fn a_topic_made_anew_begins_at_its_beginning(database: TestDatabase) {
    let sender = Sender::new(&database, 0).await;
    let mut flusher = database.flusher(&["1m"]);
    sender.flush(&mut flusher, "BTCUSDT", &[trade(1, 1), trade(2, 2)]).await;
    let positions = database.store.assign(TOPIC, "topic-2", &[0, 1]).await.unwrap();
    assert_eq!(positions.iter().map(|position| position.next_offset).collect::<Vec<_>>(), [0, 0]);
    assert_eq!(positions[0].records_read, 2);
    // Whoever still flushes for the old topic is told.
    let old = flusher.flush(sender.batch("BTCUSDT", &[trade(3, 3)]), NOW_US).await;
    assert!(matches!(old, Err(FlushError::OffsetMoved { found: None, .. })), "{old:?}");

    let mut batch = Sender::new(&database, 5).await.batch("BTCUSDT", &[trade(2, 2), trade(3, 3)]);
    batch.topic_id = "topic-2".to_owned();
    batch.partitions[0].partition = 0;
    batch.markets[0].records.iter_mut().for_each(|record| record.partition = 0);
    let report = flusher.flush(batch, NOW_US).await.unwrap();
    assert_eq!((report.trades_new, report.trades_duplicate), (1, 1));
    assert_ne!(TOPIC_ID, "topic-2");
}
