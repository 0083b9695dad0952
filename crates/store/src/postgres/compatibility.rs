//! Views under other names. Those that were made here say so in their comment; nothing is told by a name alone, which somebody else may
//! have taken meanwhile.

use std::collections::BTreeSet;

use sqlx::{AssertSqlSafe, Connection, PgConnection, Row};

use super::PostgresDatabase;
use crate::compatibility::{NotedView, Relation, View, ViewChanges};
use crate::error::StoreError;
use crate::names::check_schema_name;

/// What is there of a name, by the catalogue alone: that needs no right to its schema. $1 is the comment of our views.
const RELATIONS: &str = "
    SELECT nspname AS schema_name, relname AS relation_name,
           relkind = 'v' AND obj_description(pg_class.oid, 'pg_class') IS NOT DISTINCT FROM $1 AS is_ours
    FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace";
/// Whoever reads a table for long must not have everybody wait behind a change of it.
const LONGEST_WAIT_FOR_LOCK: &str = "SET lock_timeout = '3s'";

impl PostgresDatabase {
    /// What was made, and what has its name now.
    pub(crate) async fn noted_views(&self) -> Result<Vec<NotedView>, StoreError> {
        let query = format!(
            "SELECT view_schema, view_name, definition, is_ours
             FROM compatibility_views
             LEFT JOIN ({RELATIONS}) AS relations ON schema_name = view_schema AND relation_name = view_name
             ORDER BY view_schema, view_name"
        );
        let rows = sqlx::query(AssertSqlSafe(query))
            .bind(self.comment_of_views())
            .fetch_all(&self.pool)
            .await
            .map_err(StoreError::database("read which views there are under other names"))?;
        let noted = rows.iter().map(|row| NotedView {
            schema: row.get(0),
            name: row.get(1),
            definition: row.get(2),
            now: relation(row.get(3)),
        });
        Ok(noted.collect())
    }

    /// Which of these indexes there are.
    pub(crate) async fn existing_indexes(&self, names: &[&str]) -> Result<BTreeSet<String>, StoreError> {
        // By whole names, which the catalogue has an index for: every look at a schema asks this.
        let found: Vec<String> = sqlx::query_scalar(
            "SELECT relname::text FROM pg_class
             WHERE relnamespace = current_schema()::regnamespace AND relname = ANY($1::text[]::name[])",
        )
        .bind(names)
        .fetch_all(&self.pool)
        .await
        .map_err(StoreError::database("read which indexes views under other names have"))?;
        Ok(found.into_iter().collect())
    }

    /// What has that name.
    pub(crate) async fn relation(&self, schema: &str, name: &str) -> Result<Relation, StoreError> {
        let query = format!(
            "SELECT is_ours FROM ({RELATIONS}) AS relations WHERE schema_name = $2 AND relation_name = $3"
        );
        let is_ours: Option<bool> = sqlx::query_scalar(AssertSqlSafe(query))
            .bind(self.comment_of_views())
            .bind(schema)
            .bind(name)
            .fetch_optional(&self.pool)
            .await
            .map_err(StoreError::database("look for the name of a view"))?;
        Ok(relation(is_ours))
    }

    fn comment_of_views(&self) -> String {
        format!(
            "Of the tables of schema {}, made by database.compatibility of its CryptoPipeline.",
            self.schema
        )
    }

    /// Makes views in `schema`, and drops others: all of them or none. `false` where somebody is at it.
    pub(crate) async fn change_views(&self, schema: &str, changes: &ViewChanges) -> Result<bool, StoreError> {
        let changing = || StoreError::database("make the views under other names");
        // One that is not given back: it has settings and a lock of its own.
        let mut connection = self.pool.acquire().await.map_err(changing())?.detach();
        sqlx::raw_sql(LONGEST_WAIT_FOR_LOCK).execute(&mut connection).await.map_err(changing())?;
        // Whoever is given up on builds its index to the end.
        let is_alone: bool =
            sqlx::query_scalar("SELECT pg_try_advisory_lock(hashtextextended('views of ' || $1, 0))")
                .bind(&*self.schema)
                .fetch_one(&mut connection)
                .await
                .map_err(changing())?;
        let changed =
            if is_alone { self.change_alone(&mut connection, schema, changes).await } else { Ok(()) };
        // The server learns of a closed connection only later, and whoever is next would find it locked until then.
        let ended = sqlx::raw_sql("SELECT pg_advisory_unlock_all()").execute(&mut connection).await;
        changed?;
        ended.map_err(changing())?;
        connection.close().await.map_err(changing())?;
        Ok(is_alone)
    }

    async fn change_alone(
        &self,
        connection: &mut PgConnection,
        schema: &str,
        changes: &ViewChanges,
    ) -> Result<(), StoreError> {
        let changing = || StoreError::database("make the views under other names");
        // Each by itself: what is built stays, whatever becomes of us.
        for index in &changes.indexes_to_make {
            sqlx::query(*index)
                .execute(&mut *connection)
                .await
                .map_err(StoreError::database("make an index for views under other names"))?;
        }
        let mut transaction = connection.begin().await.map_err(changing())?;
        self.change_in_transaction(&mut transaction, schema, changes).await?;
        transaction.commit().await.map_err(changing())?;
        for index in &changes.indexes_to_drop {
            sqlx::query(AssertSqlSafe(format!("DROP INDEX IF EXISTS {index}")))
                .execute(&mut *connection)
                .await
                .map_err(StoreError::database("drop an index of views that are gone"))?;
        }
        Ok(())
    }

    async fn change_in_transaction(
        &self,
        connection: &mut PgConnection,
        schema: &str,
        changes: &ViewChanges,
    ) -> Result<(), StoreError> {
        let changing = || StoreError::database("make the views under other names");
        let ViewChanges { to_drop, to_make, .. } = changes;
        if !to_make.is_empty() {
            make_schema(connection, schema).await?;
        }
        for NotedView { schema, name, now, .. } in to_drop {
            if *now == Relation::OurView {
                sqlx::query(AssertSqlSafe(format!("DROP VIEW {schema}.{name}")))
                    .execute(&mut *connection)
                    .await
                    .map_err(StoreError::database("drop a view under another name"))?;
            }
            sqlx::query("DELETE FROM compatibility_views WHERE view_schema = $1 AND view_name = $2")
                .bind(schema)
                .bind(name)
                .execute(&mut *connection)
                .await
                .map_err(changing())?;
        }
        let comment = self.comment_of_views();
        for View { name, definition } in to_make {
            let making = format!(
                "CREATE OR REPLACE VIEW {schema}.{name} AS\n{definition};
                 COMMENT ON VIEW {schema}.{name} IS '{comment}'"
            );
            sqlx::raw_sql(AssertSqlSafe(making)).execute(&mut *connection).await.map_err(changing())?;
            sqlx::query(
                "INSERT INTO compatibility_views (view_schema, view_name, definition) VALUES ($1, $2, $3)
                 ON CONFLICT (view_schema, view_name) DO UPDATE SET definition = excluded.definition",
            )
            .bind(schema)
            .bind(name)
            .bind(definition)
            .execute(&mut *connection)
            .await
            .map_err(changing())?;
        }
        Ok(())
    }
}

/// Who may not make schemas may still use one that is there.
async fn make_schema(connection: &mut PgConnection, schema: &str) -> Result<(), StoreError> {
    let making = || StoreError::database("create the schema of the views");
    check_schema_name(schema)?;
    let exists: bool = sqlx::query_scalar("SELECT to_regnamespace($1) IS NOT NULL")
        .bind(schema)
        .fetch_one(&mut *connection)
        .await
        .map_err(making())?;
    if !exists {
        sqlx::query(AssertSqlSafe(format!("CREATE SCHEMA {schema}")))
            .execute(connection)
            .await
            .map_err(making())?;
    }
    Ok(())
}

const fn relation(is_ours: Option<bool>) -> Relation {
    match is_ours {
        None => Relation::None,
        Some(true) => Relation::OurView,
        Some(false) => Relation::Foreign,
    }
}
