//! SQLite: one file, one writer at a time. Rows go in and out as JSON arrays, one statement for any number.

mod checks;
mod flush;
mod history;
mod indicators;
mod queries;
mod rebuild;
mod room;
mod rows;
mod series;
mod tickers;

use std::str::FromStr;
use std::time::Duration;

use sqlx::migrate::Migrator;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{AssertSqlSafe, Row};

use crate::error::StoreError;
use crate::flush::{DayTable, Floors};
use crate::model::{Claim, ConnectOptions, Owner, Retention};
use crate::plain_rows::floors_of;

static MIGRATIONS: Migrator = sqlx::migrate!("migrations/sqlite");

/// How long a writer waits for another one.
const BUSY_TIMEOUT: Duration = Duration::from_secs(30);

/// A pool of connections to one file.
#[derive(Clone)]
pub(crate) struct SqliteDatabase {
    pool: SqlitePool,
}

impl SqliteDatabase {
    pub(crate) fn connect(url: &str, options: ConnectOptions) -> Result<Self, StoreError> {
        let connect = SqliteConnectOptions::from_str(url)
            .map_err(|error| StoreError::InvalidUrl(format!("expected sqlite://PATH: {error}")))?
            .create_if_missing(options.create)
            // Readers go on while a flush writes, and a committed flush survives a crash of the machine.
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(BUSY_TIMEOUT);
        let pool = SqlitePoolOptions::new()
            .max_connections(options.max_connections)
            .acquire_timeout(options.acquire_timeout)
            .connect_lazy_with(connect);
        Ok(Self { pool })
    }

    pub(crate) async fn ping(&self) -> Result<(), StoreError> {
        sqlx::query("SELECT 1")
            .execute(&self.pool)
            .await
            .map_err(StoreError::database("open the database file"))?;
        Ok(())
    }

    /// For tests that look at the tables themselves.
    #[cfg(test)]
    pub(crate) const fn pool(&self) -> &SqlitePool {
        &self.pool
    }

    pub(crate) async fn close(&self) {
        self.pool.close().await;
    }

    pub(crate) async fn schema_version(&self) -> Result<Option<i64>, StoreError> {
        let exists: bool =
            sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE name = '_sqlx_migrations')")
                .fetch_one(&self.pool)
                .await
                .map_err(StoreError::database("read the schema's version"))?;
        if !exists {
            return Ok(None);
        }
        sqlx::query_scalar("SELECT max(version) FROM _sqlx_migrations WHERE success")
            .fetch_one(&self.pool)
            .await
            .map_err(StoreError::database("read the schema's version"))
    }

    /// What a program has to know at least to work with the tables as they are.
    pub(crate) async fn oldest_known_version(&self) -> Result<i64, StoreError> {
        sqlx::query_scalar("SELECT oldest_known_version FROM compatibility")
            .fetch_one(&self.pool)
            .await
            .map_err(StoreError::database("read which programs the tables are for"))
    }

    pub(crate) async fn migrate(&self) -> Result<(), StoreError> {
        MIGRATIONS.run(&self.pool).await.map_err(StoreError::Migration)
    }

    pub(crate) async fn owner(&self) -> Result<Option<Owner>, StoreError> {
        let row = sqlx::query("SELECT namespace, name, uid FROM owner")
            .fetch_optional(&self.pool)
            .await
            .map_err(StoreError::database("read the file's owner"))?;
        Ok(row.map(|row| Owner { namespace: row.get(0), name: row.get(1), uid: row.get(2) }))
    }

    pub(crate) async fn hand_over(&self, predecessor: &Owner, successor: &Owner) -> Result<(), StoreError> {
        sqlx::query("UPDATE owner SET namespace = $1, name = $2, uid = $3 WHERE uid = $4")
            .bind(&successor.namespace)
            .bind(&successor.name)
            .bind(&successor.uid)
            .bind(&predecessor.uid)
            .execute(&self.pool)
            .await
            .map_err(StoreError::database("hand the file over"))?;
        Ok(())
    }

    pub(crate) async fn claim(&self, claimant: &Owner) -> Result<Claim, StoreError> {
        sqlx::query("INSERT INTO owner (only_row, namespace, name, uid) VALUES (1, $1, $2, $3) ON CONFLICT DO NOTHING")
            .bind(&claimant.namespace)
            .bind(&claimant.name)
            .bind(&claimant.uid)
            .execute(&self.pool)
            .await
            .map_err(StoreError::database("claim the file"))?;
        Ok(match self.owner().await? {
            Some(owner) if owner.uid != claimant.uid => Claim::Other(owner),
            _ => Claim::Ours,
        })
    }

    /// Empties the file; the file itself belongs to whoever named it.
    pub(crate) async fn drop_schema(&self) -> Result<(), StoreError> {
        self.drop_everything().await.map_err(StoreError::database("empty the database file"))
    }

    async fn drop_everything(&self) -> Result<(), sqlx::Error> {
        let mut transaction = self.pool.begin_with("BEGIN IMMEDIATE").await?;
        // Until the commit, whose tables are all gone, references may hang.
        sqlx::query("PRAGMA defer_foreign_keys = ON").execute(&mut *transaction).await?;
        let drops: Vec<String> = sqlx::query_scalar(
            "SELECT 'DROP ' || type || ' \"' || name || '\"' FROM sqlite_schema
             WHERE type IN ('view', 'table') AND name NOT LIKE 'sqlite_%' ORDER BY type DESC",
        )
        .fetch_all(&mut *transaction)
        .await?;
        for drop in drops {
            sqlx::query(AssertSqlSafe(drop)).execute(&mut *transaction).await?;
        }
        transaction.commit().await
    }

    /// SQLite has no partitions.
    #[expect(clippy::unused_async, reason = "the same shape as on the databases that have them")]
    pub(crate) async fn make_days(
        &self,
        _table: DayTable,
        _times_us: &mut (dyn Iterator<Item = i64> + Send),
    ) -> Result<(), StoreError> {
        Ok(())
    }

    pub(crate) async fn read_floors(&self) -> Result<Floors, StoreError> {
        let rows = sqlx::query("SELECT output, floor_time_us FROM floors")
            .fetch_all(&self.pool)
            .await
            .map_err(StoreError::database("read the floors"))?;
        Ok(floors_of(&rows))
    }

    /// Moves the floors up first, so that nothing below them claims to be complete, then deletes what lies below.
    pub(crate) async fn retain(&self, retention: Retention, now_us: i64) -> Result<(), StoreError> {
        for (output, kept_s) in [("trades", retention.trades_s), ("candles", retention.candles_s)] {
            let Some(floor_us) = Retention::floor_us(kept_s, now_us) else { continue };
            sqlx::query(
                "INSERT INTO floors (output, floor_time_us) VALUES ($1, $2)
                 ON CONFLICT (output) DO UPDATE SET floor_time_us = max(floor_time_us, excluded.floor_time_us)",
            )
            .bind(output)
            .bind(floor_us)
            .execute(&self.pool)
            .await
            .map_err(StoreError::database("move a floor"))?;
        }
        let floors = self.read_floors().await?;
        for (statement, floor_us) in [
            ("DELETE FROM trades WHERE trade_time_us < $1", floors.trades_us),
            ("DELETE FROM tickers WHERE sample_time_us < $1", floors.trades_us),
            ("DELETE FROM sample_candles WHERE open_time_us < $1", floors.candles_us),
            ("DELETE FROM candles WHERE open_time_us < $1", floors.candles_us),
            ("DELETE FROM candle_checks WHERE open_time_us < $1", floors.candles_us),
            ("DELETE FROM whale_orders WHERE trade_time_us < $1", floors.lowest_us()),
        ] {
            sqlx::query(statement)
                .bind(floor_us)
                .execute(&self.pool)
                .await
                .map_err(StoreError::database("delete what lies below a floor"))?;
        }
        Ok(())
    }
}

/// The migrations compiled in: version and text.
#[cfg(test)]
pub(crate) fn migrations() -> impl Iterator<Item = (i64, String)> {
    MIGRATIONS.iter().map(|migration| (migration.version, migration.sql.as_str().to_owned()))
}
