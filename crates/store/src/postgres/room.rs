//! How much room the database takes.

use std::time::Duration;

use crate::error::StoreError;
use crate::model::DatabaseRoom;
use crate::postgres::PostgresDatabase;

/// Days are partitions of their table, whose size is theirs.
const TABLE_BYTES: &str = "
    SELECT coalesce(whole.relname, part.relname)::text, sum(pg_total_relation_size(part.oid))::bigint
    FROM pg_class AS part
    JOIN pg_namespace ON pg_namespace.oid = part.relnamespace
    LEFT JOIN pg_inherits ON inhrelid = part.oid
    LEFT JOIN pg_class AS whole ON whole.oid = inhparent
    WHERE nspname = $1 AND part.relkind IN ('r', 'p')
    GROUP BY 1";
/// Nothing that was removed since the begin of a transaction with a snapshot can leave the disk before its end.
const OLDEST_SNAPSHOT: &str = "
    SELECT coalesce(max(extract(epoch FROM clock_timestamp() - xact_start)), 0)::float8
    FROM pg_stat_activity
    WHERE backend_xmin IS NOT NULL AND datname = current_database() AND pid <> pg_backend_pid()";

impl PostgresDatabase {
    pub(crate) async fn room(&self) -> Result<DatabaseRoom, StoreError> {
        let failed = StoreError::database("read the sizes of the tables");
        self.ask_for_room().await.map_err(failed)
    }

    async fn ask_for_room(&self) -> Result<DatabaseRoom, sqlx::Error> {
        let database: i64 =
            sqlx::query_scalar("SELECT pg_database_size(current_database())").fetch_one(&self.pool).await?;
        let tables: Vec<(String, i64)> =
            sqlx::query_as(TABLE_BYTES).bind(&*self.schema).fetch_all(&self.pool).await?;
        let oldest: f64 = sqlx::query_scalar(OLDEST_SNAPSHOT).fetch_one(&self.pool).await?;
        let bytes = |bytes: i64| u64::try_from(bytes).unwrap_or_default();
        Ok(DatabaseRoom {
            database_bytes: bytes(database),
            table_bytes: tables.into_iter().map(|(table, size)| (table, bytes(size))).collect(),
            oldest_snapshot: Duration::try_from_secs_f64(oldest).ok(),
            ..DatabaseRoom::default()
        })
    }
}
