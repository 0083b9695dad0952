//! What is remembered of history, on PostgreSQL.

use market::Market;
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};

use super::PostgresDatabase;
use super::types::Time;
use crate::error::StoreError;
use crate::flush::{FlushDatabase as _, FlushWrites};
use crate::history::{HistoryStart, LoadedFile, MarketHistory, TradeChain};
use crate::names::day_of;

impl PostgresDatabase {
    pub(crate) async fn history(&self, market: &Market) -> Result<MarketHistory, StoreError> {
        let series = self.current_series(std::slice::from_ref(market)).await?;
        let symbol_ids: Vec<i32> = series.iter().map(|series| series.symbol_id).collect();
        let reading = || StoreError::database("read what is known of history");
        let start = sqlx::query("SELECT from_time, first_id FROM history_starts WHERE symbol_id = ANY ($1)")
            .bind(&symbol_ids)
            .fetch_optional(&self.pool)
            .await
            .map_err(reading())?;
        let files = sqlx::query(
            "SELECT day::text, sha256, trades_new, loaded_at IS NOT NULL FROM history_files
             WHERE symbol_id = ANY ($1) ORDER BY day",
        )
        .bind(&symbol_ids)
        .fetch_all(&self.pool)
        .await
        .map_err(reading())?;
        let chains = sqlx::query(
            "SELECT first_id, last_id, first_time, last_time FROM trade_chains WHERE symbol_id = ANY ($1) ORDER BY first_id",
        )
        .bind(&symbol_ids)
        .fetch_all(&self.pool)
        .await
        .map_err(reading())?;
        Ok(MarketHistory {
            series_since_us: series.first().and_then(|series| series.span.from_us),
            start: start.as_ref().and_then(start_of),
            loaded: files.iter().filter(|row| row.get(3)).map(loaded_file_of).collect::<Result<_, _>>()?,
            trades_brought: files.iter().map(|row| row.get::<i64, _>(2)).sum(),
            chains: chains.iter().map(chain_of).collect(),
        })
    }

    pub(crate) async fn wish_history(&self, market: &Market, start: HistoryStart) -> Result<(), StoreError> {
        let symbol_ids = self.symbol_ids(std::slice::from_ref(market)).await?;
        sqlx::query(
            "INSERT INTO history_starts (symbol_id, from_time, first_id) SELECT *, $2, $3 FROM unnest($1::int[])
             ON CONFLICT (symbol_id) DO UPDATE SET from_time = excluded.from_time, first_id = excluded.first_id",
        )
        .bind(symbol_ids)
        .bind(Time(start.from_us))
        .bind(start.first_id)
        .execute(&self.pool)
        .await
        .map_err(StoreError::database("note where history is wished to begin"))?;
        Ok(())
    }

    pub(crate) async fn retract_history(&self, markets: &[Market]) -> Result<(), StoreError> {
        sqlx::query(
            "UPDATE history_starts SET from_time = NULL, first_id = NULL
             FROM symbol_head JOIN unnest($1::text[], $2::text[]) AS retracted (venue, symbol) USING (venue, symbol)
             WHERE history_starts.symbol_id = symbol_head.symbol_id AND from_time IS NOT NULL AND series = 0",
        )
        .bind(markets.iter().map(|market| market.venue.as_str()).collect::<Vec<&str>>())
        .bind(markets.iter().map(|market| market.symbol.as_str()).collect::<Vec<&str>>())
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
            "INSERT INTO history_files (symbol_id, day, sha256, loaded_at) SELECT *, $2::text::date, $3, $4 FROM unnest($1::int[])
             ON CONFLICT (symbol_id, day) DO UPDATE SET sha256 = excluded.sha256, loaded_at = excluded.loaded_at",
        )
        .bind(symbol_ids)
        .bind(file.day.to_string())
        .bind(&file.sha256)
        .bind(Time(now_us))
        .execute(&self.pool)
        .await
        .map_err(StoreError::database("note that a file was loaded"))?;
        Ok(())
    }
}

/// Counts what came of the trades of a file.
pub(super) async fn write_history(
    connection: &mut PgConnection,
    writes: &FlushWrites,
) -> Result<(), sqlx::Error> {
    let Some(write) = &writes.history else { return Ok(()) };
    sqlx::query(
        "INSERT INTO history_files AS stored (symbol_id, day, sha256, rows_read, trades_new, trades_duplicate, rows_set_aside)
         VALUES ($1, $2::text::date, $3, $4, $5, $6, $7)
         ON CONFLICT (symbol_id, day) DO UPDATE SET sha256 = excluded.sha256, loaded_at = NULL,
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

fn start_of(row: &PgRow) -> Option<HistoryStart> {
    let Time(from_us) = row.get::<Option<Time>, _>(0)?;
    Some(HistoryStart { from_us, first_id: row.get::<Option<i64>, _>(1)? })
}

fn loaded_file_of(row: &PgRow) -> Result<LoadedFile, StoreError> {
    Ok(LoadedFile { day: day_of(row.get(0))?, sha256: row.get(1) })
}

fn chain_of(row: &PgRow) -> TradeChain {
    let (Time(first_time_us), Time(last_time_us)) = (row.get(2), row.get(3));
    TradeChain { first_id: row.get(0), last_id: row.get(1), first_time_us, last_time_us }
}
