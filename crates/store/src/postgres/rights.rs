//! What a user may do who only reads and writes rows: the workers', where the operator connects as somebody else.

use sqlx::{AssertSqlSafe, Row};

use super::PostgresDatabase;
use crate::error::StoreError;

impl PostgresDatabase {
    /// Whether `role` may do what a worker does; `None` where there is no such role.
    pub(crate) async fn may_write_rows(&self, role: &str) -> Result<Option<bool>, StoreError> {
        let row = sqlx::query(
            "SELECT has_schema_privilege(oid, current_schema(), 'USAGE')
                AND has_table_privilege(oid, 'trades', 'INSERT')
                AND has_table_privilege(oid, 'partition_offsets', 'UPDATE')
                AND has_function_privilege(oid, 'make_trades_day(date)', 'EXECUTE')
             FROM pg_roles WHERE rolname = $1",
        )
        .bind(role)
        .fetch_optional(&self.pool)
        .await
        .map_err(StoreError::database("read the rights of the workers' user"))?;
        Ok(row.map(|row| row.get(0)))
    }

    /// Lets `role` read everything and write rows, but not take the schema or say at which version it is.
    pub(crate) async fn grant_rows(&self, role: &str) -> Result<(), StoreError> {
        // As PostgreSQL's quote_ident does for every name.
        let role = format!("\"{}\"", role.replace('"', "\"\""));
        let schema = &self.schema;
        let statements = format!(
            "GRANT USAGE ON SCHEMA {schema} TO {role};
             GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {schema} TO {role};
             REVOKE INSERT, UPDATE, DELETE ON owner, _sqlx_migrations FROM {role};
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
