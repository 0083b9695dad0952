//! What a user may do who only reads and writes rows: the workers', where the operator connects as somebody else.

use sqlx::AssertSqlSafe;

use super::PostgresDatabase;
use crate::error::StoreError;

impl PostgresDatabase {
    /// The user that this connects as.
    pub(crate) async fn user(&self) -> Result<String, StoreError> {
        sqlx::query_scalar("SELECT current_user::text")
            .fetch_one(&self.pool)
            .await
            .map_err(StoreError::database("read the name of the user"))
    }

    /// Whether `role` may do what a worker does.
    pub(crate) async fn may_write_rows(&self, role: &str) -> Result<bool, StoreError> {
        // Days are reached by way of `trades`.
        sqlx::query_scalar(
            "SELECT has_schema_privilege($1, current_schema(), 'USAGE')
                AND (SELECT bool_and(has_function_privilege($1, oid, 'EXECUTE')) FROM pg_proc
                     WHERE pronamespace = current_schema()::regnamespace)
                AND (SELECT bool_and(has_table_privilege($1, oid, 'SELECT')
                            AND (relkind = 'v' OR relname IN ('owner', 'compatibility', 'compatibility_views', '_sqlx_migrations')
                                 OR has_table_privilege($1, oid, 'INSERT') AND has_table_privilege($1, oid, 'UPDATE')
                                    AND has_table_privilege($1, oid, 'DELETE')))
                     FROM pg_class
                     WHERE relnamespace = current_schema()::regnamespace AND relkind IN ('r', 'p', 'v') AND NOT relispartition)",
        )
        .bind(role)
        .fetch_one(&self.pool)
        .await
        .map_err(StoreError::database("read the rights of the workers' user"))
    }

    /// Lets `role` read everything and write rows, but not take the schema, or say at which version it is or which views are ours.
    pub(crate) async fn grant_rows(&self, role: &str) -> Result<(), StoreError> {
        let owns_tables: bool = sqlx::query_scalar(
            "SELECT pg_get_userbyid(relowner) = $1 FROM pg_class WHERE oid = 'owner'::regclass",
        )
        .bind(role)
        .fetch_one(&self.pool)
        .await
        .map_err(StoreError::database("read whose the tables are"))?;
        // As PostgreSQL's quote_ident does for every name.
        let role = format!("\"{}\"", role.replace('"', "\"\""));
        let schema = &self.schema;
        // Who made the tables before there was an administrator keeps what is its own.
        let revoke = if owns_tables {
            String::new()
        } else {
            format!(
                "REVOKE INSERT, UPDATE, DELETE ON owner, compatibility, compatibility_views, _sqlx_migrations FROM {role};"
            )
        };
        let statements = format!(
            "GRANT USAGE ON SCHEMA {schema} TO {role};
             GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {schema} TO {role};
             {revoke}
             GRANT USAGE ON ALL SEQUENCES IN SCHEMA {schema} TO {role};
             GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA {schema} TO {role};"
        );
        sqlx::raw_sql(AssertSqlSafe(statements))
            .execute(&self.pool)
            .await
            .map_err(StoreError::database("grant the workers' user its rights"))?;
        Ok(())
    }
}
