//! The statements of a flush on SQLite. BEGIN IMMEDIATE is the lock: whoever holds it is the only writer.

use market::{CandleKey, Fold, Interval, Market, Output, TradeRange};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Sqlite, SqliteConnection, Transaction};

use super::SqliteDatabase;
use super::history::write_history;
use super::indicators::write_indicators;
use super::tickers::write_tickers;
use crate::error::StoreError;
use crate::flush::{
    DayTable, Floors, FlushDatabase, FlushTransaction, FlushWrites, StoredCandle, StoredHead, StoredOffset,
};
use crate::json_rows::{
    candle_rows, closed_fold_rows, deleted_range_rows, head_rows, market_rows, opened_fold_rows, trade_rows,
    window_rows, written_range_rows,
};
use crate::plain_rows::{CANDLE_COLUMNS, candle_of, fold_of, head_of, offset_of, range_of, series_of};
use crate::series::Series;

impl FlushDatabase for SqliteDatabase {
    type Transaction = Transaction<'static, Sqlite>;

    async fn series(&self, markets: &[Market]) -> Result<Vec<Series>, StoreError> {
        let names = Value::from(market_rows(markets)).to_string();
        let adding =
            "INSERT INTO symbol_head (venue, symbol) SELECT value ->> 0, value ->> 1 FROM json_each($1)
             WHERE (value ->> 0, value ->> 1) NOT IN (SELECT venue, symbol FROM symbol_head)";
        sqlx::query(adding)
            .bind(&names)
            .execute(&self.pool)
            .await
            .map_err(StoreError::database("add symbols"))?;
        let rows = sqlx::query(
            "SELECT symbol_id, venue, symbol, began_at_us, ended_at_us
             FROM symbol_head JOIN json_each($1) ON venue = value ->> 0 AND symbol = value ->> 1",
        )
        .bind(&names)
        .fetch_all(&self.pool)
        .await
        .map_err(StoreError::database("read the series of symbols"))?;
        Ok(rows.iter().map(series_of).collect())
    }

    async fn ticker_markets(&self, markets: &[Market]) -> Result<Vec<(Market, i32)>, StoreError> {
        self.read_ticker_markets(markets).await
    }

    async fn prepare_days(
        &self,
        table: DayTable,
        times_us: &mut (dyn Iterator<Item = i64> + Send),
    ) -> Result<(), StoreError> {
        self.make_days(table, times_us).await
    }

    async fn floors(&self) -> Result<Floors, StoreError> {
        self.read_floors().await
    }

    async fn begin(&self) -> Result<Self::Transaction, StoreError> {
        self.pool.begin_with("BEGIN IMMEDIATE").await.map_err(StoreError::database("begin a transaction"))
    }
}

impl FlushTransaction for Transaction<'static, Sqlite> {
    async fn lock_partitions(&mut self, _topic: &str, _partitions: &[i32]) -> Result<(), StoreError> {
        Ok(())
    }

    async fn lock_heads(&mut self, _symbol_ids: &[i32]) -> Result<(), StoreError> {
        Ok(())
    }

    async fn read_offsets(
        &mut self,
        topic: &str,
        partitions: &[i32],
    ) -> Result<Vec<StoredOffset>, StoreError> {
        let rows = sqlx::query(
            "SELECT partition, topic_id, next_offset FROM partition_offsets
             WHERE topic = $1 AND partition IN (SELECT value FROM json_each($2))",
        )
        .bind(topic)
        .bind(json!(partitions).to_string())
        .fetch_all(&mut **self)
        .await
        .map_err(StoreError::database("read the partition offsets"))?;
        Ok(rows.iter().map(offset_of).collect())
    }

    async fn read_heads(&mut self, symbol_ids: &[i32]) -> Result<Vec<StoredHead>, StoreError> {
        let rows = sqlx::query(
            "SELECT symbol_id, venue, symbol, version, trades_held, last_trade_id, last_trade_time_us, last_price,
                    max_inversion_us, last_id, probed_at_us, began_at_us, ended_at_us, restarted_at_us, restart_evidence,
                    total_trades, total_volume, total_quote_volume
             FROM symbol_head LEFT JOIN head_probes USING (symbol_id)
             WHERE symbol_id IN (SELECT value FROM json_each($1))",
        )
        .bind(json!(symbol_ids).to_string())
        .fetch_all(&mut **self)
        .await
        .map_err(StoreError::database("read the symbols"))?;
        rows.iter().map(head_of).collect()
    }

    async fn read_ranges(&mut self, symbol_ids: &[i32]) -> Result<Vec<(i32, TradeRange)>, StoreError> {
        let rows = sqlx::query(
            "SELECT symbol_id, first_id, last_id, kind, first_time_us, last_time_us, reason FROM trade_ranges
             WHERE symbol_id IN (SELECT value FROM json_each($1))",
        )
        .bind(json!(symbol_ids).to_string())
        .fetch_all(&mut **self)
        .await
        .map_err(StoreError::database("read the ledger"))?;
        rows.iter().map(range_of).collect()
    }

    async fn read_folds(&mut self, symbol_ids: &[i32]) -> Result<Vec<(i32, Output, Fold)>, StoreError> {
        let rows = sqlx::query(
            "SELECT symbol_id, output, interval_s, incomplete_until_us FROM folds
             WHERE symbol_id IN (SELECT value FROM json_each($1))",
        )
        .bind(json!(symbol_ids).to_string())
        .fetch_all(&mut **self)
        .await
        .map_err(StoreError::database("read the folds"))?;
        rows.iter().map(fold_of).collect()
    }

    async fn read_candles(&mut self, windows: &[(i32, CandleKey)]) -> Result<Vec<StoredCandle>, StoreError> {
        let statement = format!(
            "SELECT {CANDLE_COLUMNS} FROM json_each($1) AS wanted CROSS JOIN candles
             ON symbol_id = wanted.value ->> 0 AND kind = 'trades' AND interval_s = wanted.value ->> 1
                AND open_time_us = wanted.value ->> 2"
        );
        let rows = sqlx::query(AssertSqlSafe(statement))
            .bind(Value::from(window_rows(windows)).to_string())
            .fetch_all(&mut **self)
            .await
            .map_err(StoreError::database("read the candles"))?;
        rows.iter().map(candle_of).collect()
    }

    async fn read_all_candles(
        &mut self,
        symbol_id: i32,
        interval: Interval,
    ) -> Result<Vec<StoredCandle>, StoreError> {
        let statement = format!(
            "SELECT {CANDLE_COLUMNS} FROM candles WHERE symbol_id = $1 AND kind = 'trades' AND interval_s = $2"
        );
        let rows = sqlx::query(AssertSqlSafe(statement))
            .bind(symbol_id)
            .bind(interval.seconds())
            .fetch_all(&mut **self)
            .await
            .map_err(StoreError::database("read the candles of an interval"))?;
        rows.iter().map(candle_of).collect()
    }

    async fn write(&mut self, writes: &FlushWrites) -> Result<(), StoreError> {
        write_rows(self, INSERT_TRADES, trade_rows(&writes.markets))
            .await
            .map_err(StoreError::database("write trades"))?;
        write_rows(self, UPSERT_CANDLES, candle_rows(&writes.markets))
            .await
            .map_err(StoreError::database("write candles"))?;
        write_rows(self, DELETE_RANGES, deleted_range_rows(&writes.markets))
            .await
            .map_err(StoreError::database("write the ledger"))?;
        write_rows(self, UPSERT_RANGES, written_range_rows(&writes.markets))
            .await
            .map_err(StoreError::database("write the ledger"))?;
        write_rows(self, DELETE_FOLDS, closed_fold_rows(&writes.markets))
            .await
            .map_err(StoreError::database("write the folds"))?;
        write_rows(self, INSERT_FOLDS, opened_fold_rows(&writes.markets))
            .await
            .map_err(StoreError::database("write the folds"))?;
        write_rows(self, UPDATE_HEADS, head_rows(&writes.markets))
            .await
            .map_err(StoreError::database("write the symbols"))?;
        write_indicators(self, &writes.markets)
            .await
            .map_err(StoreError::database("write what is said of trades"))?;
        write_tickers(self, &writes.tickers).await?;
        write_set_aside(self, writes).await.map_err(StoreError::database("set records aside"))?;
        write_offsets(self, writes).await.map_err(StoreError::database("write the partition offsets"))?;
        write_history(self, writes).await.map_err(StoreError::database("count the trades of a file"))
    }

    async fn commit(self) -> Result<(), sqlx::Error> {
        Transaction::commit(self).await
    }
}

const INSERT_TRADES: &str = "INSERT INTO trades (symbol_id, trade_id, trade_time_us, version, price, quantity, buyer_is_maker,
         moving_average, is_whale)
     SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6, value ->> 7, value ->> 8
     FROM json_each($1)";

const UPSERT_CANDLES: &str = "INSERT INTO candles (symbol_id, version, interval_s, open_time_us, open, high, low, close, volume,
         quote_volume, trade_count, taker_buy_volume, taker_buy_quote_volume, first_trade_id, last_trade_id)
     SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6, value ->> 7,
         value ->> 8, value ->> 9, value ->> 10, value ->> 11, value ->> 12, value ->> 13, value ->> 14
     FROM json_each($1) WHERE true
     ON CONFLICT (symbol_id, kind, interval_s, open_time_us) DO UPDATE SET
         version = excluded.version, open = excluded.open, high = excluded.high, low = excluded.low,
         close = excluded.close, volume = excluded.volume, quote_volume = excluded.quote_volume,
         trade_count = excluded.trade_count, taker_buy_volume = excluded.taker_buy_volume,
         taker_buy_quote_volume = excluded.taker_buy_quote_volume, first_trade_id = excluded.first_trade_id,
         last_trade_id = excluded.last_trade_id";

const UPDATE_HEADS: &str =
    "UPDATE symbol_head SET version = written.value ->> 1, trades_held = written.value ->> 2,
         last_trade_id = written.value ->> 3, last_trade_time_us = written.value ->> 4,
         last_price = written.value ->> 5, max_inversion_us = written.value ->> 6,
         restarted_at_us = written.value ->> 7, restart_evidence = written.value ->> 8,
         total_trades = written.value ->> 9, total_volume = written.value ->> 10, total_quote_volume = written.value ->> 11
     FROM json_each($1) AS written WHERE symbol_id = written.value ->> 0";

const DELETE_RANGES: &str = "DELETE FROM trade_ranges WHERE (symbol_id, first_id) IN
     (SELECT value ->> 0, value ->> 1 FROM json_each($1))";

const UPSERT_RANGES: &str = "INSERT INTO trade_ranges (symbol_id, first_id, last_id, kind, first_time_us, last_time_us, reason)
     SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6
     FROM json_each($1) WHERE true
     ON CONFLICT (symbol_id, first_id) DO UPDATE SET last_id = excluded.last_id, kind = excluded.kind,
         first_time_us = excluded.first_time_us, last_time_us = excluded.last_time_us, reason = excluded.reason";

const DELETE_FOLDS: &str = "DELETE FROM folds WHERE (symbol_id, output, interval_s) IN
     (SELECT value ->> 0, value ->> 1, value ->> 2 FROM json_each($1))";

const INSERT_FOLDS: &str = "INSERT INTO folds (symbol_id, output, interval_s, incomplete_until_us)
     SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3 FROM json_each($1)";

/// Runs a statement that takes its rows as one JSON array; none, and it does not run.
pub(super) async fn write_rows(
    connection: &mut SqliteConnection,
    statement: &'static str,
    rows: Vec<Value>,
) -> Result<(), sqlx::Error> {
    if !rows.is_empty() {
        sqlx::query(statement).bind(Value::from(rows).to_string()).execute(connection).await?;
    }
    Ok(())
}

async fn write_set_aside(connection: &mut SqliteConnection, writes: &FlushWrites) -> Result<(), sqlx::Error> {
    for row in &writes.set_aside {
        // Read again after the offsets were set back, a record is here already.
        sqlx::query(
            "INSERT INTO set_aside (topic, topic_id, partition, record_offset, reason, payload)
             VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING",
        )
        .bind(&writes.topic)
        .bind(&writes.topic_id)
        .bind(row.partition)
        .bind(row.offset)
        .bind(row.reason)
        .bind(&row.payload)
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}

async fn write_offsets(connection: &mut SqliteConnection, writes: &FlushWrites) -> Result<(), sqlx::Error> {
    for write in &writes.partitions {
        sqlx::query(
            "UPDATE partition_offsets SET next_offset = $3, records_read = records_read + $4,
                 trades_new = trades_new + $5, trades_duplicate = trades_duplicate + $6,
                 records_set_aside = records_set_aside + $7, offsets_skipped = offsets_skipped + $8,
                 samples_new = samples_new + $9, samples_duplicate = samples_duplicate + $10
             WHERE topic = $1 AND partition = $2",
        )
        .bind(&writes.topic)
        .bind(write.partition)
        .bind(write.next_offset)
        .bind(write.records_read)
        .bind(write.trades_new)
        .bind(write.trades_duplicate)
        .bind(write.records_set_aside)
        .bind(write.offsets_skipped)
        .bind(write.samples_new)
        .bind(write.samples_duplicate)
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}
