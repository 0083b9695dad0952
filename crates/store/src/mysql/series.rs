//! Series on MySQL.

use market::RESTART_PROOF;
use sqlx::{MySql, Transaction};

use super::MySqlDatabase;
use crate::error::StoreError;
use crate::plain_rows::begun_series_of;
use crate::series::{BegunSeries, SeriesTransaction};

impl MySqlDatabase {
    pub(crate) async fn begun_series(&self) -> Result<Vec<BegunSeries>, StoreError> {
        let rows = sqlx::query(
            "SELECT venue, symbol, began_at_us FROM symbol_head WHERE series > 0 ORDER BY venue, symbol, series",
        )
        .fetch_all(&self.pool)
        .await
        .map_err(StoreError::database("read the series"))?;
        Ok(rows.iter().map(begun_series_of).collect())
    }

    pub(crate) async fn note_restart(
        &self,
        symbol_id: i32,
        trade_id: i64,
        trade_time_us: i64,
    ) -> Result<bool, StoreError> {
        let noted = sqlx::query(
            "UPDATE symbol_head AS head SET version = version + 1,
                 restarted_at_us = least(coalesce(restarted_at_us, ?), ?),
                 restart_evidence = greatest(restart_evidence, ?)
             WHERE symbol_id = ? AND EXISTS (
                 SELECT 1 FROM trade_ranges AS ranges
                 WHERE ranges.symbol_id = head.symbol_id AND kind = 'held' AND ? BETWEEN first_id AND last_id
                   AND last_time_us + head.max_inversion_us < ?)",
        )
        .persistent(false)
        .bind(trade_time_us)
        .bind(trade_time_us)
        .bind(RESTART_PROOF)
        .bind(symbol_id)
        .bind(trade_id)
        .bind(trade_time_us)
        .execute(&self.pool)
        .await
        .map_err(StoreError::database("note that ids began anew"))?;
        Ok(noted.rows_affected() > 0)
    }
}

impl SeriesTransaction for Transaction<'static, MySql> {
    async fn end_series(&mut self, symbol_id: i32, since_us: i64) -> Result<(), StoreError> {
        let ending = "UPDATE symbol_head SET ended_at_us = ?, version = version + 1 WHERE symbol_id = ?";
        let beginning = "INSERT INTO symbol_head (venue, symbol, series, began_at_us, version)
             SELECT venue, symbol, series + 1, ?, version FROM symbol_head WHERE symbol_id = ?";
        for statement in [ending, beginning] {
            sqlx::query(statement)
                .bind(since_us)
                .bind(symbol_id)
                .execute(&mut **self)
                .await
                .map_err(StoreError::database("begin a series"))?;
        }
        Ok(())
    }
}
