//! How much room the file takes.

use std::collections::BTreeMap;

use crate::error::StoreError;
use crate::model::DatabaseRoom;
use crate::sqlite::SqliteDatabase;

impl SqliteDatabase {
    pub(crate) async fn room(&self) -> Result<DatabaseRoom, StoreError> {
        let bytes: i64 =
            sqlx::query_scalar("SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()")
                .fetch_one(&self.pool)
                .await
                .map_err(StoreError::database("read the size of the file"))?;
        Ok(DatabaseRoom {
            database_bytes: u64::try_from(bytes).unwrap_or_default(),
            table_bytes: BTreeMap::new(),
            oldest_snapshot: None,
            ..DatabaseRoom::default()
        })
    }
}
