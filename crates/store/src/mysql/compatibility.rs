//! Views under other names. Which are ours is told by their text, which names the schema of the tables; nothing is told by a name
//! alone, which somebody else may have taken meanwhile.

use sqlx::{AssertSqlSafe, Row};

use super::MySqlDatabase;
use crate::compatibility::{NotedView, Relation, View, ViewChanges};
use crate::error::StoreError;

/// What is there of a name. The server keeps the text of a view with the names of schemas in quotes.
const RELATIONS: &str = "
    SELECT tables.table_schema, tables.table_name, instr(coalesce(views.view_definition, ''), CONCAT('`', DATABASE(), '`.')) > 0 AS is_ours
    FROM information_schema.tables AS tables
    LEFT JOIN information_schema.views AS views
      ON views.table_schema = tables.table_schema AND views.table_name = tables.table_name";

impl MySqlDatabase {
    /// What was made, and what has its name now.
    pub(crate) async fn noted_views(&self) -> Result<Vec<NotedView>, StoreError> {
        let failed = || StoreError::database("read which views there are under other names");
        let rows = sqlx::query(
            "SELECT view_schema, view_name, definition FROM compatibility_views ORDER BY view_schema, view_name",
        )
        .fetch_all(&self.pool)
        .await
        .map_err(failed())?;
        let mut noted = Vec::with_capacity(rows.len());
        for row in rows {
            let (schema, name): (String, String) = (row.get(0), row.get(1));
            let now = self.relation(&schema, &name).await?;
            noted.push(NotedView { schema, name, definition: row.get(2), now });
        }
        Ok(noted)
    }

    /// What has that name.
    pub(crate) async fn relation(&self, schema: &str, name: &str) -> Result<Relation, StoreError> {
        let query = format!("{RELATIONS} WHERE tables.table_schema = ? AND tables.table_name = ?");
        let found = sqlx::query(AssertSqlSafe(query))
            .bind(schema)
            .bind(name)
            .fetch_optional(&self.pool)
            .await
            .map_err(StoreError::database("look for the name of a view"))?;
        Ok(match found.map(|row| row.get::<bool, _>(2)) {
            None => Relation::None,
            Some(true) => Relation::OurView,
            Some(false) => Relation::Foreign,
        })
    }

    /// Makes views in `schema`, and drops others. Each statement commits itself: a view is noted before it is made, and until it
    /// is dropped. Always done at the end.
    pub(crate) async fn change_views(&self, schema: &str, changes: &ViewChanges) -> Result<bool, StoreError> {
        let changing = || StoreError::database("make the views under other names");
        let ViewChanges { to_drop, to_make, .. } = changes;
        if !to_make.is_empty() {
            self.make_schema_of_views(schema).await?;
        }
        for NotedView { schema, name, now, .. } in to_drop {
            if *now == Relation::OurView {
                self.drop_view(schema, name).await?;
            }
            sqlx::query("DELETE FROM compatibility_views WHERE view_schema = ? AND view_name = ?")
                .bind(schema)
                .bind(name)
                .execute(&self.pool)
                .await
                .map_err(changing())?;
        }
        for View { name, definition } in to_make {
            sqlx::query(
                "INSERT INTO compatibility_views (view_schema, view_name, definition) VALUES (?, ?, '')
                 ON DUPLICATE KEY UPDATE definition = ''",
            )
            .bind(schema)
            .bind(name)
            .execute(&self.pool)
            .await
            .map_err(changing())?;
            let making =
                format!("CREATE OR REPLACE SQL SECURITY INVOKER VIEW {schema}.{name} AS\n{definition}");
            sqlx::query(AssertSqlSafe(making)).execute(&self.pool).await.map_err(changing())?;
            sqlx::query(
                "UPDATE compatibility_views SET definition = ? WHERE view_schema = ? AND view_name = ?",
            )
            .bind(definition)
            .bind(schema)
            .bind(name)
            .execute(&self.pool)
            .await
            .map_err(changing())?;
        }
        Ok(true)
    }

    /// Those of other schemas: they do not go with this one, as they do on PostgreSQL.
    pub(super) async fn drop_views_elsewhere(&self) -> Result<(), StoreError> {
        if self.relation(&self.schema, "compatibility_views").await? == Relation::None {
            return Ok(());
        }
        for NotedView { schema, name, now, .. } in self.noted_views().await? {
            if schema != *self.schema && now == Relation::OurView {
                self.drop_view(&schema, &name).await?;
            }
        }
        Ok(())
    }

    async fn drop_view(&self, schema: &str, name: &str) -> Result<(), StoreError> {
        sqlx::query(AssertSqlSafe(format!("DROP VIEW IF EXISTS {schema}.{name}")))
            .execute(&self.pool)
            .await
            .map_err(StoreError::database("drop a view under another name"))?;
        Ok(())
    }

    async fn make_schema_of_views(&self, schema: &str) -> Result<(), StoreError> {
        super::check_name(schema)?;
        let exists: bool =
            sqlx::query_scalar("SELECT count(*) > 0 FROM information_schema.schemata WHERE schema_name = ?")
                .bind(schema)
                .fetch_one(&self.pool)
                .await
                .map_err(StoreError::database("look for the schema of the views"))?;
        if !exists {
            // The name was checked to need no quoting.
            let making =
                format!("CREATE DATABASE IF NOT EXISTS {schema} CHARACTER SET utf8mb4 COLLATE utf8mb4_bin");
            sqlx::query(AssertSqlSafe(making))
                .execute(&self.pool)
                .await
                .map_err(StoreError::database("create the schema of the views"))?;
        }
        Ok(())
    }
}
