//! What is remembered of history, on SQLite.

use market::Market;
use serde_json::json;
use sqlx::SqliteConnection;

use super::SqliteDatabase;
use crate::error::StoreError;
use crate::flush::{FlushDatabase as _, FlushWrites};
use crate::history::{HistoryStart, LoadedFile, MarketHistory};
use crate::json_rows::market_rows;
use crate::plain_rows::{chain_of, files_of, start_of};

impl SqliteDatabase {
    pub(crate) async fn history(&self, market: &Market) -> Result<MarketHistory, StoreError> {
        let series = self.current_series(std::slice::from_ref(market)).await?;
        let symbol_ids: Vec<i32> = series.iter().map(|series| series.symbol_id).collect();
        let symbol_ids = json!(symbol_ids).to_string();
        let reading = || StoreError::database("read what is known of history");
        let start = sqlx::query(
            "SELECT from_time_us, first_id FROM history_starts WHERE symbol_id IN (SELECT value FROM json_each($1))",
        )
        .bind(&symbol_ids)
        .fetch_optional(&self.pool)
        .await
        .map_err(reading())?;
        let files = sqlx::query(
            "SELECT day, sha256, trades_new, loaded_at_us IS NOT NULL FROM history_files
             WHERE symbol_id IN (SELECT value FROM json_each($1)) ORDER BY day",
        )
        .bind(&symbol_ids)
        .fetch_all(&self.pool)
        .await
        .map_err(reading())?;
        let chains = sqlx::query(
            "SELECT first_id, last_id, first_time_us, last_time_us FROM trade_chains
             WHERE symbol_id IN (SELECT value FROM json_each($1)) ORDER BY first_id",
        )
        .bind(&symbol_ids)
        .fetch_all(&self.pool)
        .await
        .map_err(reading())?;
        let (loaded, trades_brought) = files_of(&files)?;
        Ok(MarketHistory {
            series_since_us: series.first().and_then(|series| series.span.from_us),
            start: start.as_ref().and_then(start_of),
            loaded,
            trades_brought,
            chains: chains.iter().map(chain_of).collect(),
        })
    }

    pub(crate) async fn wish_history(&self, market: &Market, start: HistoryStart) -> Result<(), StoreError> {
        let symbol_ids = self.symbol_ids(std::slice::from_ref(market)).await?;
        sqlx::query(
            "INSERT INTO history_starts (symbol_id, from_time_us, first_id) SELECT value, $2, $3 FROM json_each($1) WHERE true
             ON CONFLICT (symbol_id) DO UPDATE SET from_time_us = excluded.from_time_us, first_id = excluded.first_id",
        )
        .bind(json!(symbol_ids).to_string())
        .bind(start.from_us)
        .bind(start.first_id)
        .execute(&self.pool)
        .await
        .map_err(StoreError::database("note where history is wished to begin"))?;
        Ok(())
    }

    pub(crate) async fn retract_history(&self, markets: &[Market]) -> Result<(), StoreError> {
        sqlx::query(
            "UPDATE history_starts SET from_time_us = NULL, first_id = NULL WHERE from_time_us IS NOT NULL AND symbol_id IN
                 (SELECT symbol_id FROM symbol_head JOIN json_each($1) ON venue = value ->> 0 AND symbol = value ->> 1
                  WHERE series = 0)",
        )
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
        let symbol_ids = self.symbol_ids(std::slice::from_ref(market)).await?;
        sqlx::query(
            "INSERT INTO history_files (symbol_id, day, sha256, loaded_at_us) SELECT value, $2, $3, $4 FROM json_each($1) WHERE true
             ON CONFLICT (symbol_id, day) DO UPDATE SET sha256 = excluded.sha256, loaded_at_us = excluded.loaded_at_us",
        )
        .bind(json!(symbol_ids).to_string())
        .bind(file.day.to_string())
        .bind(&file.sha256)
        .bind(now_us)
        .execute(&self.pool)
        .await
        .map_err(StoreError::database("note that a file was loaded"))?;
        Ok(())
    }
}

/// Counts what came of the trades of a file.
pub(super) async fn write_history(
    connection: &mut SqliteConnection,
    writes: &FlushWrites,
) -> Result<(), sqlx::Error> {
    let Some(write) = &writes.history else { return Ok(()) };
    sqlx::query(
        "INSERT INTO history_files AS stored (symbol_id, day, sha256, rows_read, trades_new, trades_duplicate, rows_set_aside)
         VALUES ($1, $2, $3, $4, $5, $6, $7)
         ON CONFLICT (symbol_id, day) DO UPDATE SET sha256 = excluded.sha256, loaded_at_us = NULL,
             rows_read = stored.rows_read + excluded.rows_read, trades_new = stored.trades_new + excluded.trades_new,
             trades_duplicate = stored.trades_duplicate + excluded.trades_duplicate,
             rows_set_aside = stored.rows_set_aside + excluded.rows_set_aside",
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
