//! The statements of a flush on SQLite. BEGIN IMMEDIATE is the lock: whoever holds it is the only writer.

use market::{Candle, CandleKey, Fold, Interval, Market, Output, TradeRange};
use serde_json::{Value, json};
use sqlx::sqlite::SqliteRow;
use sqlx::{AssertSqlSafe, Row, Sqlite, SqliteConnection, Transaction};

use super::SqliteDatabase;
use super::history::write_history;
use super::rows::{candle_of, head_of, series_of};
use crate::error::StoreError;
use crate::flush::{
    Floors, FlushDatabase, FlushTransaction, FlushWrites, MarketWrite, StoredCandle, StoredHead, StoredOffset,
};
use crate::names::{kind_names, kind_of, output_names, output_of};
use crate::series::Series;

pub(super) const CANDLE_COLUMNS: &str = "symbol_id, interval_s, open_time_us, open, high, low, close, volume, quote_volume, \
     trade_count, taker_buy_volume, taker_buy_quote_volume, first_trade_id, last_trade_id";

impl FlushDatabase for SqliteDatabase {
    type Transaction = Transaction<'static, Sqlite>;

    async fn series(&self, markets: &[Market]) -> Result<Vec<Series>, StoreError> {
        let names: Vec<Value> = markets.iter().map(|market| json!([market.venue, market.symbol])).collect();
        let names = Value::from(names).to_string();
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

    async fn prepare_trade_days(
        &self,
        times_us: &mut (dyn Iterator<Item = i64> + Send),
    ) -> Result<(), StoreError> {
        self.make_days(times_us).await
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
        let offset = |row: SqliteRow| StoredOffset {
            partition: row.get(0),
            topic_id: row.get(1),
            next_offset: row.get(2),
        };
        Ok(rows.into_iter().map(offset).collect())
    }

    async fn read_heads(&mut self, symbol_ids: &[i32]) -> Result<Vec<StoredHead>, StoreError> {
        let rows = sqlx::query(
            "SELECT symbol_id, venue, symbol, version, trades_held, last_trade_id, last_trade_time_us, last_price,
                    max_inversion_us, last_id, probed_at_us, began_at_us, ended_at_us, restarted_at_us, restart_evidence
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
        let range = |row: &SqliteRow| {
            let kind = kind_of(row.get(3), row.get(6))?;
            let (first_time_us, last_time_us) = (row.get(4), row.get(5));
            Ok((
                row.get(0),
                TradeRange { first_id: row.get(1), last_id: row.get(2), kind, first_time_us, last_time_us },
            ))
        };
        rows.iter().map(range).collect()
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
        let fold = |row: &SqliteRow| {
            Ok((row.get(0), output_of(row.get(1), row.get(2))?, Fold { incomplete_until_us: row.get(3) }))
        };
        rows.iter().map(fold).collect()
    }

    async fn read_candles(&mut self, windows: &[(i32, CandleKey)]) -> Result<Vec<StoredCandle>, StoreError> {
        let keys: Vec<Value> = windows
            .iter()
            .map(|(symbol_id, (interval, open_time_us))| json!([symbol_id, interval.seconds(), open_time_us]))
            .collect();
        let statement = format!(
            "SELECT {CANDLE_COLUMNS} FROM json_each($1) AS wanted CROSS JOIN candles
             ON symbol_id = wanted.value ->> 0 AND kind = 'trades' AND interval_s = wanted.value ->> 1
                AND open_time_us = wanted.value ->> 2"
        );
        let rows = sqlx::query(AssertSqlSafe(statement))
            .bind(Value::from(keys).to_string())
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
        write_ledger(self, &writes.markets).await.map_err(StoreError::database("write the ledger"))?;
        write_folds(self, &writes.markets).await.map_err(StoreError::database("write the folds"))?;
        write_rows(self, UPDATE_HEADS, head_rows(&writes.markets))
            .await
            .map_err(StoreError::database("write the symbols"))?;
        write_set_aside(self, writes).await.map_err(StoreError::database("set records aside"))?;
        write_offsets(self, writes).await.map_err(StoreError::database("write the partition offsets"))?;
        write_history(self, writes).await.map_err(StoreError::database("count the trades of a file"))
    }

    async fn commit(self) -> Result<(), sqlx::Error> {
        Transaction::commit(self).await
    }
}

const INSERT_TRADES: &str = "INSERT INTO trades (symbol_id, trade_id, trade_time_us, version, price, quantity, buyer_is_maker)
     SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6 FROM json_each($1)";

fn trade_rows(markets: &[MarketWrite]) -> Vec<Value> {
    let row = |market: &MarketWrite, trade: &market::Trade| {
        json!([
            market.symbol_id,
            trade.trade_id,
            trade.trade_time_us,
            market.version,
            trade.price,
            trade.quantity,
            i32::from(trade.buyer_is_maker)
        ])
    };
    markets.iter().flat_map(|market| market.plan.trades.iter().map(move |trade| row(market, trade))).collect()
}

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

fn candle_rows(markets: &[MarketWrite]) -> Vec<Value> {
    let row = |market: &MarketWrite, interval: Interval, candle: &Candle| {
        json!([
            market.symbol_id,
            market.version,
            interval.seconds(),
            candle.open_time_us,
            candle.open,
            candle.high,
            candle.low,
            candle.close,
            candle.volume,
            candle.quote_volume,
            candle.trade_count,
            candle.taker_buy_volume,
            candle.taker_buy_quote_volume,
            candle.first_trade_id,
            candle.last_trade_id
        ])
    };
    let of_market = |market| -> Vec<Value> {
        MarketWrite::candles(market).map(|(interval, candle)| row(market, interval, candle)).collect()
    };
    markets.iter().flat_map(of_market).collect()
}

const UPDATE_HEADS: &str =
    "UPDATE symbol_head SET version = written.value ->> 1, trades_held = written.value ->> 2,
         last_trade_id = written.value ->> 3, last_trade_time_us = written.value ->> 4,
         last_price = written.value ->> 5, max_inversion_us = written.value ->> 6,
         restarted_at_us = written.value ->> 7, restart_evidence = written.value ->> 8
     FROM json_each($1) AS written WHERE symbol_id = written.value ->> 0";

fn head_rows(markets: &[MarketWrite]) -> Vec<Value> {
    let row = |market: &MarketWrite| {
        json!([
            market.symbol_id,
            market.version,
            market.trades_held,
            market.last_trade.map(|trade| trade.trade_id),
            market.last_trade.map(|trade| trade.trade_time_us),
            market.last_trade.map(|trade| trade.price),
            market.max_inversion_us,
            market.restart.map(|restart| restart.since_us),
            market.restart.map_or(0, |restart| restart.trades)
        ])
    };
    markets.iter().map(row).collect()
}

/// Runs a statement that takes its rows as one JSON array; none, and it does not run.
async fn write_rows(
    connection: &mut SqliteConnection,
    statement: &'static str,
    rows: Vec<Value>,
) -> Result<(), sqlx::Error> {
    if !rows.is_empty() {
        sqlx::query(statement).bind(Value::from(rows).to_string()).execute(connection).await?;
    }
    Ok(())
}

async fn write_ledger(connection: &mut SqliteConnection, markets: &[MarketWrite]) -> Result<(), sqlx::Error> {
    let mut deleted = Vec::new();
    let mut written = Vec::new();
    for market in markets {
        deleted.extend(market.plan.ranges.deleted.iter().map(|first_id| json!([market.symbol_id, first_id])));
        written.extend(market.plan.ranges.written.values().map(|range| {
            let TradeRange { first_id, last_id, kind, first_time_us, last_time_us } = *range;
            let (kind, reason) = kind_names(kind);
            json!([market.symbol_id, first_id, last_id, kind, first_time_us, last_time_us, reason])
        }));
    }
    let delete = "DELETE FROM trade_ranges WHERE (symbol_id, first_id) IN (SELECT value ->> 0, value ->> 1 FROM json_each($1))";
    write_rows(connection, delete, deleted).await?;
    let upsert = "INSERT INTO trade_ranges (symbol_id, first_id, last_id, kind, first_time_us, last_time_us, reason)
         SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6
         FROM json_each($1) WHERE true
         ON CONFLICT (symbol_id, first_id) DO UPDATE SET last_id = excluded.last_id, kind = excluded.kind,
             first_time_us = excluded.first_time_us, last_time_us = excluded.last_time_us, reason = excluded.reason";
    write_rows(connection, upsert, written).await
}

async fn write_folds(connection: &mut SqliteConnection, markets: &[MarketWrite]) -> Result<(), sqlx::Error> {
    let mut closed = Vec::new();
    let mut opened = Vec::new();
    for market in markets {
        closed.extend(market.plan.closed_folds.iter().map(|output| {
            let (name, interval_s) = output_names(*output);
            json!([market.symbol_id, name, interval_s])
        }));
        opened.extend(market.plan.opened_folds.iter().map(|(output, fold)| {
            let (name, interval_s) = output_names(*output);
            json!([market.symbol_id, name, interval_s, fold.incomplete_until_us])
        }));
    }
    let delete = "DELETE FROM folds WHERE (symbol_id, output, interval_s) IN
         (SELECT value ->> 0, value ->> 1, value ->> 2 FROM json_each($1))";
    write_rows(connection, delete, closed).await?;
    let insert = "INSERT INTO folds (symbol_id, output, interval_s, incomplete_until_us)
         SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3 FROM json_each($1)";
    write_rows(connection, insert, opened).await
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
                 records_set_aside = records_set_aside + $7, offsets_skipped = offsets_skipped + $8
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
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}
