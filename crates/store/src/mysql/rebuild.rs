//! The statements of a rebuild on MySQL.

use std::ops::RangeInclusive;

use market::Interval;
use sqlx::{AssertSqlSafe, MySql, Transaction};

use crate::error::StoreError;
use crate::flush::{Reach, StoredCandle};
use crate::plain_rows::{CANDLE_COLUMNS, candle_of, reach_bounds};
use crate::rebuild::{RebuildTransaction, Removal};

impl RebuildTransaction for Transaction<'static, MySql> {
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
            "UPDATE head_probes SET wished_after = least(wished_after, ?), last_id = greatest(last_id, ?) WHERE symbol_id = ?",
        )
        .bind(ids.start() - 1)
        .bind(ids.end())
        .bind(symbol_id)
        .execute(&mut **self)
        .await
        .map_err(StoreError::database("wish for the ids"))?;
        Ok(wished.rows_affected() > 0)
    }

    async fn remove_rows(&mut self, removal: &Removal) -> Result<u64, StoreError> {
        let failed = || StoreError::database("remove rows");
        let Removal { symbol_id, version, from_us, to_us, first_id, last_id, trades } = *removal;
        // Found by id wherever they stand: a row whose time was altered must not be there twice afterwards.
        sqlx::query("DELETE FROM trades WHERE symbol_id = ? AND trade_id BETWEEN ? AND ?")
            .bind(symbol_id)
            .bind(first_id)
            .bind(last_id)
            .execute(&mut **self)
            .await
            .map_err(failed())?;
        sqlx::query(
            "DELETE FROM whale_orders WHERE symbol_id = ? AND last_trade_id >= ? AND first_trade_id <= ?",
        )
        .bind(symbol_id)
        .bind(first_id)
        .bind(last_id)
        .execute(&mut **self)
        .await
        .map_err(failed())?;
        sqlx::query(
            "DELETE FROM candle_checks WHERE symbol_id = ? AND open_time_us >= ? AND open_time_us < ?",
        )
        .bind(symbol_id)
        .bind(from_us)
        .bind(to_us)
        .execute(&mut **self)
        .await
        .map_err(failed())?;
        let candles = sqlx::query(
            "DELETE candles FROM folds STRAIGHT_JOIN candles FORCE INDEX (PRIMARY)
             ON candles.symbol_id = folds.symbol_id AND candles.kind = 'trades' AND candles.interval_s = folds.interval_s
                AND candles.open_time_us >= ? AND candles.open_time_us < ?
             WHERE folds.symbol_id = ? AND folds.output = 'candles'",
        )
        .bind(from_us)
        .bind(to_us)
        .bind(symbol_id)
        .execute(&mut **self)
        .await
        .map_err(failed())?;
        sqlx::query(
            "INSERT INTO rebuilds (symbol_id, version, from_time_us, to_time_us, first_id, last_id, trades_removed)
             VALUES (?, ?, ?, ?, ?, ?, ?)",
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
