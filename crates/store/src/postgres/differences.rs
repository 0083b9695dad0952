//! What PostgreSQL's tables are.

use super::PostgresDatabase;
use crate::differences::differences;
use crate::error::StoreError;

/// Everything that the migrations make, a line each, as [`LISTING`] tells it. A test keeps it true.
const EXPECTED: &str = include_str!("../../schema/postgres.txt");

/// Columns, keys, valid indexes, views with their columns, and functions. Days are as their table.
const LISTING: &str = "
    WITH tables AS (
        SELECT oid, relname FROM pg_class
        WHERE relnamespace = current_schema()::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition
          AND relname <> '_sqlx_migrations'),
    columns AS NOT MATERIALIZED (
        SELECT attrelid, attnum, attname || ' ' || format_type(atttypid, atttypmod) AS column_type, attnotnull
        FROM pg_attribute WHERE attnum > 0 AND NOT attisdropped)
    SELECT 'column ' || relname || '.' || column_type || CASE WHEN attnotnull THEN ' not null' ELSE '' END AS line
    FROM tables JOIN columns ON attrelid = tables.oid
    UNION ALL
    SELECT 'constraint of ' || relname || ' ' || pg_get_constraintdef(constraints.oid)
    FROM tables JOIN pg_constraint constraints ON conrelid = tables.oid WHERE contype IN ('p', 'u', 'f')
    UNION ALL
    SELECT 'index of ' || relname || substring(pg_get_indexdef(indexrelid) FROM ' USING .*')
    FROM tables JOIN pg_index ON indrelid = tables.oid WHERE indisvalid
    UNION ALL
    SELECT 'view ' || relname || ' (' || string_agg(column_type, ', ' ORDER BY attnum) || ')'
    FROM pg_class JOIN columns ON attrelid = pg_class.oid
    WHERE relnamespace = current_schema()::regnamespace AND relkind = 'v' GROUP BY relname
    UNION ALL
    SELECT 'function ' || proname || '(' || pg_get_function_identity_arguments(oid) || ')'
    FROM pg_proc WHERE pronamespace = current_schema()::regnamespace
    ORDER BY line";

impl PostgresDatabase {
    /// What is not as the migrations leave it, in words.
    pub(crate) async fn differences(&self) -> Result<Vec<String>, StoreError> {
        Ok(differences(EXPECTED, &self.listing().await?))
    }

    pub(crate) async fn listing(&self) -> Result<Vec<String>, StoreError> {
        sqlx::query_scalar(LISTING)
            .fetch_all(&self.pool)
            .await
            .map_err(StoreError::database("list the tables"))
    }
}
