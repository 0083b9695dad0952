//! PostgreSQL: everything stands in one schema, which is the search path of every connection.

mod checks;
mod compatibility;
mod days;
mod differences;
mod flush;
mod history;
mod indicators;
mod queries;
mod rebuild;
mod rights;
mod room;
mod rows;
mod series;
mod tickers;
mod trades;
mod types;

#[cfg(test)]
pub(crate) use trades::MOST_IN_ARRAYS;

use std::str::FromStr;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use sqlx::migrate::Migrator;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool, PgPoolOptions, PgSslMode};
use sqlx::{AssertSqlSafe, Connection, Row};

use crate::connection::{DatabaseConnection, DatabaseTls};
use crate::error::StoreError;
use crate::known_days::KnownDays;
use crate::model::{Claim, ConnectOptions, Owner};
use crate::names::check_schema_name;

/// Their lock is ours: the library's is one for all schemas of a database.
static MIGRATIONS: LazyLock<Migrator> = LazyLock::new(|| {
    let mut migrations = sqlx::migrate!("migrations/postgres");
    migrations.set_locking(false);
    migrations
});

/// The search path of a connection that looks at no schema.
const NO_SCHEMA: &str = "pg_catalog";
const LONGEST_WAIT_FOR_LOCK: &str = "5s";

/// A pool of connections whose search path is the pipeline's schema.
#[derive(Clone)]
pub(crate) struct PostgresDatabase {
    pool: PgPool,
    schema: Arc<str>,
    known_days: KnownDays,
}

impl PostgresDatabase {
    pub(crate) fn connect(
        connection: &DatabaseConnection,
        schema: &str,
        options: ConnectOptions,
    ) -> Result<Self, StoreError> {
        check_schema_name(schema)?;
        let connect = connect_options(connection)?
            .application_name("cryptopipeline")
            .options([("search_path", schema), ("default_transaction_isolation", "read committed")]);
        let pool = PgPoolOptions::new()
            .max_connections(options.max_connections)
            .acquire_timeout(options.acquire_timeout)
            .connect_lazy_with(connect);
        Ok(Self { pool, schema: schema.into(), known_days: KnownDays::default() })
    }

    /// One connection for one schema after the other. It is not replaced when it has served long, and is not tested before each
    /// statement: another one would look at no schema.
    pub(crate) fn connect_to_turn(
        connection: &DatabaseConnection,
        acquire_timeout: Duration,
    ) -> Result<Self, StoreError> {
        // Whoever waits for the locks of one schema must not keep the connection from the others.
        let connect = connect_options(connection)?
            .application_name("cryptopipeline")
            .options([("search_path", NO_SCHEMA), ("lock_timeout", LONGEST_WAIT_FOR_LOCK)]);
        let pool = PgPoolOptions::new()
            .max_connections(1)
            .acquire_timeout(acquire_timeout)
            .max_lifetime(None)
            .idle_timeout(None)
            .test_before_acquire(false)
            .connect_lazy_with(connect);
        Ok(Self { pool, schema: NO_SCHEMA.into(), known_days: KnownDays::default() })
    }

    /// The same connection, turned to another schema.
    pub(crate) async fn turned_to(&self, schema: &str) -> Result<Self, StoreError> {
        check_schema_name(schema)?;
        sqlx::query("SELECT set_config('search_path', $1, false)")
            .bind(schema)
            .execute(&self.pool)
            .await
            .map_err(StoreError::database("turn to the schema"))?;
        Ok(Self { pool: self.pool.clone(), schema: schema.into(), known_days: KnownDays::default() })
    }

    pub(crate) async fn ping(&self) -> Result<(), StoreError> {
        let cause = match sqlx::query("SELECT 1").execute(&self.pool).await {
            Ok(_) => return Ok(()),
            Err(sqlx::Error::PoolTimedOut) => self.why_out_of_reach().await,
            Err(error) => error,
        };
        Err(StoreError::database("reach the database")(cause))
    }

    /// The pool tries until its time is over and then tells only that; one try beside it tells why.
    async fn why_out_of_reach(&self) -> sqlx::Error {
        const LIMIT: Duration = Duration::from_secs(2);
        let connect = self.pool.connect_options();
        match tokio::time::timeout(LIMIT, PgConnection::connect_with(&connect)).await {
            Ok(Err(error)) => error,
            Ok(Ok(_)) | Err(_) => sqlx::Error::PoolTimedOut,
        }
    }

    /// For tests that look at the tables themselves.
    #[cfg(test)]
    pub(crate) const fn pool(&self) -> &PgPool {
        &self.pool
    }

    pub(crate) async fn close(&self) {
        self.pool.close().await;
    }

    pub(crate) async fn schema_version(&self) -> Result<Option<i64>, StoreError> {
        let reading = StoreError::database("read the schema's version");
        let table = format!("{}._sqlx_migrations", self.schema);
        let exists: bool = sqlx::query_scalar("SELECT to_regclass($1) IS NOT NULL")
            .bind(table)
            .fetch_one(&self.pool)
            .await
            .map_err(StoreError::database("read the schema's version"))?;
        if !exists {
            return Ok(None);
        }
        sqlx::query_scalar("SELECT max(version) FROM _sqlx_migrations WHERE success")
            .fetch_one(&self.pool)
            .await
            .map_err(reading)
    }

    /// What a program has to know at least to work with the tables as they are.
    pub(crate) async fn oldest_known_version(&self) -> Result<i64, StoreError> {
        sqlx::query_scalar("SELECT oldest_known_version FROM compatibility")
            .fetch_one(&self.pool)
            .await
            .map_err(StoreError::database("read which programs the tables are for"))
    }

    pub(crate) async fn migrate(&self) -> Result<(), StoreError> {
        let exists: bool = sqlx::query_scalar("SELECT to_regnamespace($1) IS NOT NULL")
            .bind(&*self.schema)
            .fetch_one(&self.pool)
            .await
            .map_err(StoreError::database("look for the schema"))?;
        if !exists {
            // The name was checked to need no quoting.
            sqlx::query(AssertSqlSafe(format!("CREATE SCHEMA IF NOT EXISTS {}", self.schema)))
                .execute(&self.pool)
                .await
                .map_err(StoreError::database("create the schema"))?;
        }
        let lock = self.lock_for_migration().await?;
        let migrated = MIGRATIONS.run(&self.pool).await.map_err(StoreError::Migration);
        lock.close().await.map_err(StoreError::database("unlock the schema after its migration"))?;
        migrated
    }

    /// A connection that keeps others from migrating the schema for as long as it is there, whatever becomes of us.
    async fn lock_for_migration(&self) -> Result<PgConnection, StoreError> {
        let locked = async {
            let mut holder = PgConnection::connect_with(&self.pool.connect_options()).await?;
            sqlx::query("SELECT pg_advisory_lock(hashtextextended('migration of ' || $1, 0))")
                .bind(&*self.schema)
                .execute(&mut holder)
                .await?;
            Ok(holder)
        };
        locked.await.map_err(StoreError::database("lock the schema for its migration"))
    }

    pub(crate) async fn owner(&self) -> Result<Option<Owner>, StoreError> {
        let row = sqlx::query("SELECT namespace, name, uid FROM owner")
            .fetch_optional(&self.pool)
            .await
            .map_err(StoreError::database("read the schema's owner"))?;
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
            .map_err(StoreError::database("hand the schema over"))?;
        Ok(())
    }

    pub(crate) async fn claim(&self, claimant: &Owner) -> Result<Claim, StoreError> {
        sqlx::query("INSERT INTO owner (namespace, name, uid) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING")
            .bind(&claimant.namespace)
            .bind(&claimant.name)
            .bind(&claimant.uid)
            .execute(&self.pool)
            .await
            .map_err(StoreError::database("claim the schema"))?;
        Ok(match self.owner().await? {
            Some(owner) if owner.uid != claimant.uid => Claim::Other(owner),
            _ => Claim::Ours,
        })
    }

    pub(crate) async fn drop_schema(&self) -> Result<(), StoreError> {
        sqlx::query(AssertSqlSafe(format!("DROP SCHEMA IF EXISTS {} CASCADE", self.schema)))
            .execute(&self.pool)
            .await
            .map_err(StoreError::database("drop the schema"))?;
        Ok(())
    }
}

fn connect_options(connection: &DatabaseConnection) -> Result<PgConnectOptions, StoreError> {
    let options = PgConnectOptions::from_str(&connection.url)
        // The parse error may quote the URL, and with it the password.
        .map_err(|_| {
            StoreError::InvalidUrl("expected postgres://USER:PASSWORD@HOST:PORT/DATABASE".to_owned())
        })?;
    let options = match &connection.database {
        Some(database) => options.database(database),
        None => options,
    };
    let Some(tls) = &connection.tls else { return Ok(options) };
    tls.check()?;
    let DatabaseTls { ca_pem, client_certificate } = tls;
    let mut options = options.ssl_mode(PgSslMode::VerifyFull);
    if let Some(ca_pem) = ca_pem {
        options = options.ssl_root_cert_from_pem(ca_pem.clone().into_bytes());
    }
    if let Some([certificate_pem, key_pem]) = client_certificate {
        options = options.ssl_client_cert_from_pem(certificate_pem).ssl_client_key_from_pem(key_pem);
    }
    Ok(options)
}

/// The migrations compiled in: version and text.
#[cfg(test)]
pub(crate) fn migrations() -> impl Iterator<Item = (i64, String)> {
    MIGRATIONS.iter().map(|migration| (migration.version, migration.sql.as_str().to_owned()))
}
