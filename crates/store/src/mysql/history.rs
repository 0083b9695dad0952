//! What is remembered of history, on MySQL.

use market::Market;
use serde_json::json;
use sqlx::{AssertSqlSafe, MySqlConnection};

use super::MySqlDatabase;
use super::flush::MARKETS;
use crate::error::StoreError;
use crate::flush::{FlushDatabase as _, FlushWrites};
use crate::history::{HistoryStart, LoadedFile, MarketHistory};
use crate::json_rows::market_rows;
use crate::plain_rows::{chain_of, files_of, start_of};
use crate::series::Series;

impl MySqlDatabase {
    pub(crate) async fn history(&self, market: &Market) -> Result<MarketHistory, StoreError> {
        let Series { symbol_id, span, .. } = self.current(market).await?;
        let reading = || StoreError::database("read what is known of history");
        let start = sqlx::query("SELECT from_time_us, first_id FROM history_starts WHERE symbol_id = ?")
            .bind(symbol_id)
            .fetch_optional(&self.pool)
            .await
            .map_err(reading())?;
        let files = sqlx::query(
            "SELECT CAST(day AS CHAR), sha256, trades_new, loaded_at_us IS NOT NULL FROM history_files
             WHERE symbol_id = ? ORDER BY day",
        )
        .bind(symbol_id)
        .fetch_all(&self.pool)
        .await
        .map_err(reading())?;
        let chains = sqlx::query(
            "SELECT first_id, last_id, first_time_us, last_time_us FROM trade_chains WHERE symbol_id = ? ORDER BY first_id",
        )
        .bind(symbol_id)
        .fetch_all(&self.pool)
        .await
        .map_err(reading())?;
        let (loaded, trades_brought) = files_of(&files)?;
        Ok(MarketHistory {
            series_since_us: span.from_us,
            start: start.as_ref().and_then(start_of),
            loaded,
            trades_brought,
            chains: chains.iter().map(chain_of).collect(),
        })
    }

    pub(crate) async fn wish_history(&self, market: &Market, start: HistoryStart) -> Result<(), StoreError> {
        let Series { symbol_id, .. } = self.current(market).await?;
        sqlx::query(
            "INSERT INTO history_starts (symbol_id, from_time_us, first_id) VALUES (?, ?, ?)
             ON DUPLICATE KEY UPDATE from_time_us = VALUES(from_time_us), first_id = VALUES(first_id)",
        )
        .bind(symbol_id)
        .bind(start.from_us)
        .bind(start.first_id)
        .execute(&self.pool)
        .await
        .map_err(StoreError::database("note where history is wished to begin"))?;
        Ok(())
    }

    pub(crate) async fn retract_history(&self, markets: &[Market]) -> Result<(), StoreError> {
        let statement = format!(
            "UPDATE {MARKETS}
             STRAIGHT_JOIN symbol_head AS head ON head.venue = wanted.venue AND head.symbol = wanted.symbol AND head.series = 0
             STRAIGHT_JOIN history_starts AS starts ON starts.symbol_id = head.symbol_id
             SET starts.from_time_us = NULL, starts.first_id = NULL WHERE starts.from_time_us IS NOT NULL"
        );
        sqlx::query(AssertSqlSafe(statement))
            .bind(json!(market_rows(markets)).to_string())
            .execute(&self.pool)
            .await
            .map_err(StoreError::database("note that no history is wished"))?;
        Ok(())
    }

    pub(crate) async fn note_history_file(
        &self,
        market: &Market,
        file: &LoadedFile,
        now_us: i64,
    ) -> Result<(), StoreError> {
        let Series { symbol_id, .. } = self.current(market).await?;
        sqlx::query(
            "INSERT INTO history_files (symbol_id, day, sha256, loaded_at_us) VALUES (?, ?, ?, ?)
             ON DUPLICATE KEY UPDATE sha256 = VALUES(sha256), loaded_at_us = VALUES(loaded_at_us)",
        )
        .bind(symbol_id)
        .bind(file.day.to_string())
        .bind(&file.sha256)
        .bind(now_us)
        .execute(&self.pool)
        .await
        .map_err(StoreError::database("note that a file was loaded"))?;
        Ok(())
    }

    async fn current(&self, market: &Market) -> Result<Series, StoreError> {
        let current = self.current_series(std::slice::from_ref(market)).await?;
        current.into_iter().next().ok_or_else(|| StoreError::Unexpected(format!("{market} has no id")))
    }
}

/// Counts what came of the trades of a file.
pub(super) async fn write_history(
    connection: &mut MySqlConnection,
    writes: &FlushWrites,
) -> Result<(), sqlx::Error> {
    let Some(write) = &writes.history else { return Ok(()) };
    sqlx::query(
        "INSERT INTO history_files (symbol_id, day, sha256, rows_read, trades_new, trades_duplicate, rows_set_aside)
         VALUES (?, ?, ?, ?, ?, ?, ?)
         ON DUPLICATE KEY UPDATE sha256 = VALUES(sha256), loaded_at_us = NULL, rows_read = rows_read + VALUES(rows_read),
             trades_new = trades_new + VALUES(trades_new), trades_duplicate = trades_duplicate + VALUES(trades_duplicate),
             rows_set_aside = rows_set_aside + VALUES(rows_set_aside)",
    )
    .bind(write.symbol_id)
    .bind(write.day.to_string())
    .bind(&write.sha256)
    .bind(write.rows_read())
    .bind(write.trades_new)
    .bind(write.trades_duplicate)
    .bind(write.rows_set_aside)
    .execute(connection)
    .await?;
    Ok(())
}
