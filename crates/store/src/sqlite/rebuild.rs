//! The statements of a rebuild on SQLite.

use std::ops::RangeInclusive;

use market::Interval;
use sqlx::{AssertSqlSafe, Sqlite, Transaction};

use crate::error::StoreError;
use crate::flush::{Reach, StoredCandle};
use crate::plain_rows::{CANDLE_COLUMNS, candle_of, reach_bounds};
use crate::rebuild::{RebuildTransaction, Removal};

impl RebuildTransaction for Transaction<'static, Sqlite> {
    async fn read_candles_at(
        &mut self,
        symbol_id: i32,
        interval: Interval,
        reach: Reach,
    ) -> Result<Vec<StoredCandle>, StoreError> {
        let (bounds, first, second) = reach_bounds("open_time_us", reach);
        let statement = format!(
            "SELECT {CANDLE_COLUMNS} FROM candles WHERE symbol_id = ? AND kind = 'trades' AND interval_s = ? AND {bounds}"
        );
        let rows = sqlx::query(AssertSqlSafe(statement))
            .bind(symbol_id)
            .bind(interval.seconds())
            .bind(first)
            .bind(second)
            .fetch_all(&mut **self)
            .await
            .map_err(StoreError::database("read the candles to remove"))?;
        rows.iter().map(candle_of).collect()
    }

    async fn wish_for(&mut self, symbol_id: i32, ids: &RangeInclusive<i64>) -> Result<bool, StoreError> {
        let wished = sqlx::query(
            "UPDATE head_probes SET wished_after = min(wished_after, $2), last_id = max(last_id, $3) WHERE symbol_id = $1",
        )
        .bind(symbol_id)
        .bind(ids.start() - 1)
        .bind(ids.end())
        .execute(&mut **self)
        .await
        .map_err(StoreError::database("wish for the ids"))?;
        Ok(wished.rows_affected() > 0)
    }

    async fn remove_rows(&mut self, removal: &Removal) -> Result<u64, StoreError> {
        let failed = || StoreError::database("remove rows");
        let Removal { symbol_id, version, from_us, to_us, first_id, last_id, trades } = *removal;
        // Found by id wherever they stand: a row whose time was altered must not be there twice afterwards.
        sqlx::query("DELETE FROM trades WHERE symbol_id = $1 AND trade_id BETWEEN $2 AND $3")
            .bind(symbol_id)
            .bind(first_id)
            .bind(last_id)
            .execute(&mut **self)
            .await
            .map_err(failed())?;
        sqlx::query(
            "DELETE FROM whale_orders WHERE symbol_id = $1 AND last_trade_id >= $2 AND first_trade_id <= $3",
        )
        .bind(symbol_id)
        .bind(first_id)
        .bind(last_id)
        .execute(&mut **self)
        .await
        .map_err(failed())?;
        sqlx::query(
            "DELETE FROM candle_checks WHERE symbol_id = $1 AND open_time_us >= $2 AND open_time_us < $3",
        )
        .bind(symbol_id)
        .bind(from_us)
        .bind(to_us)
        .execute(&mut **self)
        .await
        .map_err(failed())?;
        let candles = sqlx::query(
            "DELETE FROM candles WHERE symbol_id = $1 AND kind = 'trades' AND open_time_us >= $2 AND open_time_us < $3
               AND interval_s IN (SELECT interval_s FROM folds WHERE symbol_id = $1 AND output = 'candles')",
        )
        .bind(symbol_id)
        .bind(from_us)
        .bind(to_us)
        .execute(&mut **self)
        .await
        .map_err(failed())?;
        sqlx::query(
            "INSERT INTO rebuilds (symbol_id, version, from_time_us, to_time_us, first_id, last_id, trades_removed)
             VALUES ($1, $2, $3, $4, $5, $6, $7)",
        )
        .bind(symbol_id)
        .bind(version)
        .bind(from_us)
        .bind(to_us)
        .bind(first_id)
        .bind(last_id)
        .bind(trades)
        .execute(&mut **self)
        .await
        .map_err(failed())?;
        Ok(candles.rows_affected())
    }

    async fn roll_back(self) -> Result<(), sqlx::Error> {
        Transaction::rollback(self).await
    }
}
