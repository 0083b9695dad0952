//! How much room the database takes.

use std::time::Duration;

use super::MySqlDatabase;
use crate::error::StoreError;
use crate::model::DatabaseRoom;

/// A table's size is that of all of its partitions.
const TABLE_BYTES: &str = "
    SELECT table_name, CAST(coalesce(data_length + index_length, 0) AS SIGNED) FROM information_schema.tables
    WHERE table_schema = ? AND table_type = 'BASE TABLE'";
/// Of all schemas that the user may see.
const DATABASE_BYTES: &str = "
    SELECT CAST(coalesce(sum(data_length + index_length), 0) AS SIGNED) FROM information_schema.tables
    WHERE table_type = 'BASE TABLE'";
/// Nothing that was removed since the begin of a transaction with a snapshot can leave the disk before its end. Times of
/// transactions are the server's own, to the second.
const OLDEST_SNAPSHOT: &str = "
    SELECT greatest(coalesce(TIMESTAMPDIFF(MICROSECOND, min(trx_started), CONVERT_TZ(NOW(6), '+00:00', 'SYSTEM')), 0), 0)
    FROM information_schema.innodb_trx
    WHERE trx_isolation_level IN ('REPEATABLE READ', 'SERIALIZABLE') AND trx_mysql_thread_id <> CONNECTION_ID()";

impl MySqlDatabase {
    pub(crate) async fn room(&self) -> Result<DatabaseRoom, StoreError> {
        let failed = StoreError::database("read the sizes of the tables");
        self.ask_for_room().await.map_err(failed)
    }

    async fn ask_for_room(&self) -> Result<DatabaseRoom, sqlx::Error> {
        let database: i64 = sqlx::query_scalar(DATABASE_BYTES).fetch_one(&self.pool).await?;
        let tables: Vec<(String, i64)> =
            sqlx::query_as(TABLE_BYTES).bind(&*self.schema).fetch_all(&self.pool).await?;
        let bytes = |bytes: i64| u64::try_from(bytes).unwrap_or_default();
        Ok(DatabaseRoom {
            database_bytes: bytes(database),
            table_bytes: tables.into_iter().map(|(table, size)| (table, bytes(size))).collect(),
            oldest_snapshot: self.oldest_snapshot().await?,
            ..DatabaseRoom::default()
        })
    }

    /// `None` where the user may not know of the transactions of others.
    async fn oldest_snapshot(&self) -> Result<Option<Duration>, sqlx::Error> {
        match sqlx::query_scalar::<_, i64>(OLDEST_SNAPSHOT).fetch_one(&self.pool).await {
            Ok(age_us) => Ok(u64::try_from(age_us).ok().map(Duration::from_micros)),
            Err(sqlx::Error::Database(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }
}
