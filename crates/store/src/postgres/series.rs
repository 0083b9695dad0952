//! Series on PostgreSQL.

use market::{Market, RESTART_PROOF};
use sqlx::postgres::PgRow;
use sqlx::{Postgres, Row, Transaction};

use super::PostgresDatabase;
use super::types::Time;
use crate::error::StoreError;
use crate::series::{BegunSeries, SeriesTransaction};

impl PostgresDatabase {
    pub(crate) async fn begun_series(&self) -> Result<Vec<BegunSeries>, StoreError> {
        let rows = sqlx::query(
            "SELECT venue, symbol, began_at FROM symbol_head WHERE series > 0 ORDER BY venue, symbol, series",
        )
        .fetch_all(&self.pool)
        .await
        .map_err(StoreError::database("read the series"))?;
        let begun = |row: &PgRow| {
            let Time(since_us) = row.get(2);
            BegunSeries { market: Market::new(row.get::<&str, _>(0), row.get::<&str, _>(1)), since_us }
        };
        Ok(rows.iter().map(begun).collect())
    }

    pub(crate) async fn note_restart(
        &self,
        symbol_id: i32,
        trade_id: i64,
        trade_time_us: i64,
    ) -> Result<bool, StoreError> {
        let noted = sqlx::query(
            "UPDATE symbol_head AS head SET version = version + 1, restarted_at = least(restarted_at, $3),
                 restart_evidence = greatest(restart_evidence, $4)
             WHERE symbol_id = $1 AND EXISTS (
                 SELECT FROM trade_ranges AS ranges
                 WHERE ranges.symbol_id = head.symbol_id AND kind = 'held' AND $2 BETWEEN first_id AND last_id
                   AND last_time + max_inversion_us * interval '1 microsecond' < $3)",
        )
        .bind(symbol_id)
        .bind(trade_id)
        .bind(Time(trade_time_us))
        .bind(RESTART_PROOF)
        .execute(&self.pool)
        .await
        .map_err(StoreError::database("note that ids began anew"))?;
        Ok(noted.rows_affected() > 0)
    }
}

impl SeriesTransaction for Transaction<'static, Postgres> {
    async fn end_series(&mut self, symbol_id: i32, since_us: i64) -> Result<(), StoreError> {
        let ending = "UPDATE symbol_head SET ended_at = $2, version = version + 1 WHERE symbol_id = $1";
        let beginning = "INSERT INTO symbol_head (venue, symbol, series, began_at, version)
             SELECT venue, symbol, series + 1, $2, version FROM symbol_head WHERE symbol_id = $1";
        for statement in [ending, beginning] {
            sqlx::query(statement)
                .bind(symbol_id)
                .bind(Time(since_us))
                .execute(&mut **self)
                .await
                .map_err(StoreError::database("begin a series"))?;
        }
        Ok(())
    }
}
