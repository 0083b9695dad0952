//! The statements of a flush on MySQL. Rows are found by key, and in the order of the array that names them: whoever scanned would
//! wait for the rows of others.

use market::{CandleKey, Fold, Interval, Market, Output, TradeRange};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, MySql, MySqlConnection, Transaction};

use super::MySqlDatabase;
use super::history::write_history;
use super::indicators::write_indicators;
use super::tickers::write_tickers;
use crate::error::StoreError;
use crate::flush::{
    DayTable, Floors, FlushDatabase, FlushTransaction, FlushWrites, StoredCandle, StoredHead, StoredOffset,
};
use crate::json_rows::{
    candle_rows, closed_fold_rows, deleted_range_rows, head_rows, market_rows, offset_rows, opened_fold_rows,
    trade_rows, window_rows, written_range_rows,
};
use crate::plain_rows::{CANDLE_COLUMNS, candle_of, fold_of, head_of, offset_of, range_of, series_of};
use crate::series::Series;

/// A statement of this many rows is far from the longest that a server takes by default.
const MOST_ROWS: usize = 5_000;

/// An array of arrays of venue and symbol.
pub(super) const MARKETS: &str = "JSON_TABLE(?, '$[*]' COLUMNS (
     venue VARCHAR(255) CHARACTER SET utf8mb4 PATH '$[0]' ERROR ON ERROR,
     symbol VARCHAR(255) CHARACTER SET utf8mb4 PATH '$[1]' ERROR ON ERROR)) AS wanted";
/// An array of symbol ids.
pub(super) const SYMBOL_IDS: &str =
    "JSON_TABLE(?, '$[*]' COLUMNS (symbol_id INT PATH '$' ERROR ON ERROR)) AS wanted";
/// An array of partitions.
pub(super) const PARTITIONS: &str =
    "JSON_TABLE(?, '$[*]' COLUMNS (`partition` INT PATH '$' ERROR ON ERROR)) AS wanted";
/// An array of arrays of a symbol's or market's id, interval and time.
pub(super) const WINDOWS: &str = "JSON_TABLE(?, '$[*]' COLUMNS (
     id INT PATH '$[0]' ERROR ON ERROR, interval_s INT PATH '$[1]' ERROR ON ERROR,
     open_time_us BIGINT PATH '$[2]' ERROR ON ERROR)) AS wanted";

impl FlushDatabase for MySqlDatabase {
    type Transaction = Transaction<'static, MySql>;

    async fn series(&self, markets: &[Market]) -> Result<Vec<Series>, StoreError> {
        let names = Value::from(market_rows(markets)).to_string();
        let adding = format!(
            "INSERT INTO symbol_head (venue, symbol)
             SELECT venue, symbol FROM {MARKETS}
             WHERE NOT EXISTS (SELECT 1 FROM symbol_head AS known WHERE known.venue = wanted.venue AND known.symbol = wanted.symbol)
             ORDER BY venue, symbol ON DUPLICATE KEY UPDATE series = symbol_head.series"
        );
        sqlx::query(AssertSqlSafe(adding))
            .persistent(false)
            .bind(&names)
            .execute(&self.pool)
            .await
            .map_err(StoreError::database("add symbols"))?;
        let reading = format!(
            "SELECT symbol_id, head.venue, head.symbol, began_at_us, ended_at_us
             FROM {MARKETS} JOIN symbol_head AS head ON head.venue = wanted.venue AND head.symbol = wanted.symbol"
        );
        let rows = sqlx::query(AssertSqlSafe(reading))
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
        self.pool.begin().await.map_err(StoreError::database("begin a transaction"))
    }
}

impl FlushTransaction for Transaction<'static, MySql> {
    async fn lock_partitions(&mut self, topic: &str, partitions: &[i32]) -> Result<(), StoreError> {
        let statement = format!(
            "SELECT next_offset FROM {PARTITIONS} STRAIGHT_JOIN partition_offsets AS stored FORCE INDEX (PRIMARY)
             ON stored.topic = ? AND stored.`partition` = wanted.`partition` FOR UPDATE"
        );
        sqlx::query(AssertSqlSafe(statement))
            .bind(ascending(partitions))
            .bind(topic)
            .execute(&mut **self)
            .await
            .map_err(StoreError::database("lock the partition offsets"))?;
        Ok(())
    }

    async fn lock_heads(&mut self, symbol_ids: &[i32]) -> Result<(), StoreError> {
        let statement = format!(
            "SELECT version FROM {SYMBOL_IDS} STRAIGHT_JOIN symbol_head AS head FORCE INDEX (PRIMARY)
             ON head.symbol_id = wanted.symbol_id FOR UPDATE"
        );
        sqlx::query(AssertSqlSafe(statement))
            .bind(ascending(symbol_ids))
            .execute(&mut **self)
            .await
            .map_err(StoreError::database("lock the symbols"))?;
        Ok(())
    }

    async fn read_offsets(
        &mut self,
        topic: &str,
        partitions: &[i32],
    ) -> Result<Vec<StoredOffset>, StoreError> {
        let statement = format!(
            "SELECT stored.`partition`, topic_id, next_offset
             FROM {PARTITIONS} STRAIGHT_JOIN partition_offsets AS stored
             ON stored.topic = ? AND stored.`partition` = wanted.`partition`"
        );
        let rows = sqlx::query(AssertSqlSafe(statement))
            .bind(json!(partitions).to_string())
            .bind(topic)
            .fetch_all(&mut **self)
            .await
            .map_err(StoreError::database("read the partition offsets"))?;
        Ok(rows.iter().map(offset_of).collect())
    }

    async fn read_heads(&mut self, symbol_ids: &[i32]) -> Result<Vec<StoredHead>, StoreError> {
        let statement = format!(
            "SELECT head.symbol_id, venue, symbol, version, trades_held, last_trade_id, last_trade_time_us, last_price,
                    max_inversion_us, last_id, probed_at_us, began_at_us, ended_at_us, restarted_at_us, restart_evidence,
                    total_trades, total_volume, total_quote_volume
             FROM {SYMBOL_IDS} STRAIGHT_JOIN symbol_head AS head ON head.symbol_id = wanted.symbol_id
             LEFT JOIN head_probes AS probes ON probes.symbol_id = head.symbol_id"
        );
        let rows = sqlx::query(AssertSqlSafe(statement))
            .bind(json!(symbol_ids).to_string())
            .fetch_all(&mut **self)
            .await
            .map_err(StoreError::database("read the symbols"))?;
        rows.iter().map(head_of).collect()
    }

    async fn read_ranges(&mut self, symbol_ids: &[i32]) -> Result<Vec<(i32, TradeRange)>, StoreError> {
        let statement = format!(
            "SELECT ranges.symbol_id, first_id, last_id, kind, first_time_us, last_time_us, reason
             FROM {SYMBOL_IDS} STRAIGHT_JOIN trade_ranges AS ranges ON ranges.symbol_id = wanted.symbol_id"
        );
        let rows = sqlx::query(AssertSqlSafe(statement))
            .bind(json!(symbol_ids).to_string())
            .fetch_all(&mut **self)
            .await
            .map_err(StoreError::database("read the ledger"))?;
        rows.iter().map(range_of).collect()
    }

    async fn read_folds(&mut self, symbol_ids: &[i32]) -> Result<Vec<(i32, Output, Fold)>, StoreError> {
        let statement = format!(
            "SELECT folds.symbol_id, output, interval_s, incomplete_until_us
             FROM {SYMBOL_IDS} STRAIGHT_JOIN folds ON folds.symbol_id = wanted.symbol_id"
        );
        let rows = sqlx::query(AssertSqlSafe(statement))
            .bind(json!(symbol_ids).to_string())
            .fetch_all(&mut **self)
            .await
            .map_err(StoreError::database("read the folds"))?;
        rows.iter().map(fold_of).collect()
    }

    async fn read_candles(&mut self, windows: &[(i32, CandleKey)]) -> Result<Vec<StoredCandle>, StoreError> {
        let statement = format!(
            "SELECT {CANDLE_COLUMNS} FROM {WINDOWS} STRAIGHT_JOIN candles FORCE INDEX (PRIMARY)
             ON candles.symbol_id = wanted.id AND candles.kind = 'trades' AND candles.interval_s = wanted.interval_s
                AND candles.open_time_us = wanted.open_time_us"
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
            "SELECT {CANDLE_COLUMNS} FROM candles WHERE symbol_id = ? AND kind = 'trades' AND interval_s = ?"
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
        let markets = &writes.markets;
        for (action, statement, rows) in [
            ("write trades", INSERT_TRADES, trade_rows(markets)),
            ("write candles", UPSERT_CANDLES, candle_rows(markets)),
            ("write the ledger", DELETE_RANGES, deleted_range_rows(markets)),
            ("write the ledger", UPSERT_RANGES, written_range_rows(markets)),
            ("write the folds", DELETE_FOLDS, closed_fold_rows(markets)),
            ("write the folds", INSERT_FOLDS, opened_fold_rows(markets)),
            ("write the symbols", UPDATE_HEADS, head_rows(markets)),
        ] {
            write_rows(self, statement, &rows).await.map_err(StoreError::database(action))?;
        }
        write_indicators(self, markets)
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

/// Rows are locked in the order of the array: the same for everybody.
pub(super) fn ascending(keys: &[i32]) -> String {
    let mut keys = keys.to_vec();
    keys.sort_unstable();
    json!(keys).to_string()
}

// Decimals leave the array as text, and become what they are in their column: exactly.

const INSERT_TRADES: &str = "INSERT INTO trades (symbol_id, trade_id, trade_time_us, version, price, quantity, buyer_is_maker,
         moving_average, is_whale)
     SELECT symbol_id, trade_id, trade_time_us, version, price, quantity, buyer_is_maker, moving_average, is_whale
     FROM JSON_TABLE(?, '$[*]' COLUMNS (
         symbol_id INT PATH '$[0]' ERROR ON ERROR, trade_id BIGINT PATH '$[1]' ERROR ON ERROR,
         trade_time_us BIGINT PATH '$[2]' ERROR ON ERROR, version BIGINT PATH '$[3]' ERROR ON ERROR,
         price VARCHAR(64) PATH '$[4]' ERROR ON ERROR, quantity VARCHAR(64) PATH '$[5]' ERROR ON ERROR,
         buyer_is_maker INT PATH '$[6]' ERROR ON ERROR, moving_average VARCHAR(64) PATH '$[7]' ERROR ON ERROR,
         is_whale INT PATH '$[8]' ERROR ON ERROR)) AS written";

const UPSERT_CANDLES: &str = "INSERT INTO candles (symbol_id, version, interval_s, open_time_us, open, high, low, close, volume,
         quote_volume, trade_count, taker_buy_volume, taker_buy_quote_volume, first_trade_id, last_trade_id)
     SELECT symbol_id, version, interval_s, open_time_us, open, high, low, close, volume, quote_volume, trade_count,
         taker_buy_volume, taker_buy_quote_volume, first_trade_id, last_trade_id FROM JSON_TABLE(?, '$[*]' COLUMNS (
         symbol_id INT PATH '$[0]' ERROR ON ERROR, version BIGINT PATH '$[1]' ERROR ON ERROR,
         interval_s INT PATH '$[2]' ERROR ON ERROR, open_time_us BIGINT PATH '$[3]' ERROR ON ERROR,
         open VARCHAR(64) PATH '$[4]' ERROR ON ERROR, high VARCHAR(64) PATH '$[5]' ERROR ON ERROR,
         low VARCHAR(64) PATH '$[6]' ERROR ON ERROR, close VARCHAR(64) PATH '$[7]' ERROR ON ERROR,
         volume VARCHAR(64) PATH '$[8]' ERROR ON ERROR, quote_volume VARCHAR(64) PATH '$[9]' ERROR ON ERROR,
         trade_count BIGINT PATH '$[10]' ERROR ON ERROR, taker_buy_volume VARCHAR(64) PATH '$[11]' ERROR ON ERROR,
         taker_buy_quote_volume VARCHAR(64) PATH '$[12]' ERROR ON ERROR, first_trade_id BIGINT PATH '$[13]' ERROR ON ERROR,
         last_trade_id BIGINT PATH '$[14]' ERROR ON ERROR)) AS written
     ON DUPLICATE KEY UPDATE version = VALUES(version), open = VALUES(open), high = VALUES(high), low = VALUES(low),
         close = VALUES(close), volume = VALUES(volume), quote_volume = VALUES(quote_volume),
         trade_count = VALUES(trade_count), taker_buy_volume = VALUES(taker_buy_volume),
         taker_buy_quote_volume = VALUES(taker_buy_quote_volume), first_trade_id = VALUES(first_trade_id),
         last_trade_id = VALUES(last_trade_id)";

const DELETE_RANGES: &str = "DELETE ranges FROM JSON_TABLE(?, '$[*]' COLUMNS (
         symbol_id INT PATH '$[0]' ERROR ON ERROR, first_id BIGINT PATH '$[1]' ERROR ON ERROR)) AS gone
     STRAIGHT_JOIN trade_ranges AS ranges FORCE INDEX (PRIMARY)
     ON ranges.symbol_id = gone.symbol_id AND ranges.first_id = gone.first_id";

const UPSERT_RANGES: &str = "INSERT INTO trade_ranges (symbol_id, first_id, last_id, kind, first_time_us, last_time_us, reason)
     SELECT symbol_id, first_id, last_id, kind, first_time_us, last_time_us, reason FROM JSON_TABLE(?, '$[*]' COLUMNS (
         symbol_id INT PATH '$[0]' ERROR ON ERROR, first_id BIGINT PATH '$[1]' ERROR ON ERROR,
         last_id BIGINT PATH '$[2]' ERROR ON ERROR, kind VARCHAR(20) PATH '$[3]' ERROR ON ERROR,
         first_time_us BIGINT PATH '$[4]' ERROR ON ERROR, last_time_us BIGINT PATH '$[5]' ERROR ON ERROR,
         reason VARCHAR(100) PATH '$[6]' ERROR ON ERROR)) AS written
     ON DUPLICATE KEY UPDATE last_id = VALUES(last_id), kind = VALUES(kind), first_time_us = VALUES(first_time_us),
         last_time_us = VALUES(last_time_us), reason = VALUES(reason)";

const DELETE_FOLDS: &str = "DELETE stored FROM JSON_TABLE(?, '$[*]' COLUMNS (
         symbol_id INT PATH '$[0]' ERROR ON ERROR, output VARCHAR(20) PATH '$[1]' ERROR ON ERROR,
         interval_s INT PATH '$[2]' ERROR ON ERROR)) AS gone
     STRAIGHT_JOIN folds AS stored FORCE INDEX (PRIMARY)
     ON stored.symbol_id = gone.symbol_id AND stored.output = gone.output AND stored.interval_s = gone.interval_s";

const INSERT_FOLDS: &str = "INSERT INTO folds (symbol_id, output, interval_s, incomplete_until_us)
     SELECT symbol_id, output, interval_s, incomplete_until_us FROM JSON_TABLE(?, '$[*]' COLUMNS (
         symbol_id INT PATH '$[0]' ERROR ON ERROR, output VARCHAR(20) PATH '$[1]' ERROR ON ERROR,
         interval_s INT PATH '$[2]' ERROR ON ERROR, incomplete_until_us BIGINT PATH '$[3]' ERROR ON ERROR)) AS written";

const UPDATE_HEADS: &str = "UPDATE JSON_TABLE(?, '$[*]' COLUMNS (
         symbol_id INT PATH '$[0]' ERROR ON ERROR, version BIGINT PATH '$[1]' ERROR ON ERROR,
         trades_held BIGINT PATH '$[2]' ERROR ON ERROR, last_trade_id BIGINT PATH '$[3]' ERROR ON ERROR,
         last_trade_time_us BIGINT PATH '$[4]' ERROR ON ERROR, last_price VARCHAR(64) PATH '$[5]' ERROR ON ERROR,
         max_inversion_us BIGINT PATH '$[6]' ERROR ON ERROR, restarted_at_us BIGINT PATH '$[7]' ERROR ON ERROR,
         restart_evidence BIGINT PATH '$[8]' ERROR ON ERROR, total_trades BIGINT PATH '$[9]' ERROR ON ERROR,
         total_volume VARCHAR(64) PATH '$[10]' ERROR ON ERROR,
         total_quote_volume VARCHAR(64) PATH '$[11]' ERROR ON ERROR)) AS written
     STRAIGHT_JOIN symbol_head AS head FORCE INDEX (PRIMARY) ON head.symbol_id = written.symbol_id
     SET head.version = written.version, head.trades_held = written.trades_held,
         head.last_trade_id = written.last_trade_id, head.last_trade_time_us = written.last_trade_time_us,
         head.last_price = written.last_price, head.max_inversion_us = written.max_inversion_us,
         head.restarted_at_us = written.restarted_at_us, head.restart_evidence = written.restart_evidence,
         head.total_trades = written.total_trades, head.total_volume = written.total_volume,
         head.total_quote_volume = written.total_quote_volume";

const UPDATE_OFFSETS: &str = "UPDATE JSON_TABLE(?, '$[*]' COLUMNS (
         `partition` INT PATH '$[0]' ERROR ON ERROR, next_offset BIGINT PATH '$[1]' ERROR ON ERROR,
         records_read BIGINT PATH '$[2]' ERROR ON ERROR, trades_new BIGINT PATH '$[3]' ERROR ON ERROR,
         trades_duplicate BIGINT PATH '$[4]' ERROR ON ERROR, records_set_aside BIGINT PATH '$[5]' ERROR ON ERROR,
         offsets_skipped BIGINT PATH '$[6]' ERROR ON ERROR, samples_new BIGINT PATH '$[7]' ERROR ON ERROR,
         samples_duplicate BIGINT PATH '$[8]' ERROR ON ERROR)) AS written
     STRAIGHT_JOIN partition_offsets AS stored FORCE INDEX (PRIMARY)
     ON stored.topic = ? AND stored.`partition` = written.`partition`
     SET stored.next_offset = written.next_offset, stored.records_read = stored.records_read + written.records_read,
         stored.trades_new = stored.trades_new + written.trades_new,
         stored.trades_duplicate = stored.trades_duplicate + written.trades_duplicate,
         stored.records_set_aside = stored.records_set_aside + written.records_set_aside,
         stored.offsets_skipped = stored.offsets_skipped + written.offsets_skipped,
         stored.samples_new = stored.samples_new + written.samples_new,
         stored.samples_duplicate = stored.samples_duplicate + written.samples_duplicate";

/// Runs a statement that takes its rows as a JSON array, as often as so many rows need.
pub(super) async fn write_rows(
    connection: &mut MySqlConnection,
    statement: &'static str,
    rows: &[Value],
) -> Result<(), sqlx::Error> {
    for rows in rows.chunks(MOST_ROWS) {
        sqlx::query(statement).bind(json!(rows).to_string()).execute(&mut *connection).await?;
    }
    Ok(())
}

async fn write_offsets(connection: &mut MySqlConnection, writes: &FlushWrites) -> Result<(), sqlx::Error> {
    if !writes.partitions.is_empty() {
        sqlx::query(UPDATE_OFFSETS)
            .bind(Value::from(offset_rows(&writes.partitions)).to_string())
            .bind(&writes.topic)
            .execute(connection)
            .await?;
    }
    Ok(())
}

async fn write_set_aside(connection: &mut MySqlConnection, writes: &FlushWrites) -> Result<(), sqlx::Error> {
    for row in &writes.set_aside {
        // Read again after the offsets were set back, a record is here already.
        sqlx::query(
            "INSERT INTO set_aside (topic, topic_id, `partition`, record_offset, reason, payload)
             VALUES (?, ?, ?, ?, ?, ?) ON DUPLICATE KEY UPDATE reason = reason",
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
