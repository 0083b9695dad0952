//! MySQL and MariaDB: a schema is a database there. Rows go in and out as JSON arrays, one statement for any number.
//!
//! What both understand, and nothing else: neither `RETURNING` nor an alias of the new row.

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

use std::str::FromStr;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use sqlx::migrate::Migrator;
use sqlx::mysql::{MySqlConnectOptions, MySqlConnection, MySqlPool, MySqlPoolOptions, MySqlSslMode};
use sqlx::{AssertSqlSafe, Connection, Row};

use crate::connection::{DatabaseConnection, DatabaseTls};
use crate::error::StoreError;
use crate::known_days::KnownDays;
use crate::model::{Claim, ConnectOptions, Owner};
use crate::names::check_schema_name;

/// Their lock is ours: the library's is named by a checksum of 32 bits.
static MIGRATIONS: LazyLock<Migrator> = LazyLock::new(|| {
    let mut migrations = sqlx::migrate!("migrations/mysql");
    migrations.set_locking(false);
    migrations
});

/// The database of a connection that looks at no schema.
const NO_SCHEMA: &str = "information_schema";

/// The server's own databases.
const RESERVED: [&str; 4] = ["information_schema", "mysql", "performance_schema", "sys"];

/// Nothing is cut or rounded silently, whatever the server's own settings. A change of a table waits for the flushes under way, and
/// whoever comes later waits behind it: neither for long. Sizes are those of now, which MySQL alone has to be told.
const SESSION: &str = "
    SET SESSION sql_mode = 'STRICT_ALL_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION,ONLY_FULL_GROUP_BY,PIPES_AS_CONCAT';
    SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED;
    SET SESSION autocommit = 1;
    SET SESSION lock_wait_timeout = 5 /*!80000 , information_schema_stats_expiry = 0 */;";

/// Whoever waits for the locks of one schema must not keep the connection from the others.
const SHORT_WAITS: &str = "SET SESSION innodb_lock_wait_timeout = 5;";

/// Prepared statements that a connection keeps. One that is given up after its use costs 40 ms beside its preparation: the
/// library's sockets wait for the server to acknowledge the end of the one before the next is sent (Nagle's algorithm).
///
/// Those with a subquery that depends on the row are not kept: MariaDB (10.11.19) answers them with what that was before.
const KEPT_STATEMENTS: usize = 100;

const UNKNOWN_DATABASE: u16 = 1049;

/// A pool of connections whose database is the pipeline's schema.
#[derive(Clone)]
pub(crate) struct MySqlDatabase {
    pool: MySqlPool,
    schema: Arc<str>,
    known_days: KnownDays,
}

impl MySqlDatabase {
    pub(crate) fn connect(
        connection: &DatabaseConnection,
        schema: &str,
        options: ConnectOptions,
    ) -> Result<Self, StoreError> {
        check_name(schema)?;
        let pool = pool_options(&[SESSION])
            .max_connections(options.max_connections)
            .acquire_timeout(options.acquire_timeout)
            .connect_lazy_with(
                connect_options(connection)?.statement_cache_capacity(KEPT_STATEMENTS).database(schema),
            );
        Ok(Self { pool, schema: schema.into(), known_days: KnownDays::default() })
    }

    /// One connection for one schema after the other. It is not replaced when it has served long, and is not tested before each
    /// statement: another one would look at no schema.
    pub(crate) fn connect_to_turn(
        connection: &DatabaseConnection,
        acquire_timeout: Duration,
    ) -> Result<Self, StoreError> {
        let pool = pool_options(&[SESSION, SHORT_WAITS])
            .max_connections(1)
            .acquire_timeout(acquire_timeout)
            .max_lifetime(None)
            .idle_timeout(None)
            .test_before_acquire(false)
            // A statement stays with the schema in which it was prepared.
            .connect_lazy_with(connect_options(connection)?.statement_cache_capacity(0).database(NO_SCHEMA));
        Ok(Self { pool, schema: NO_SCHEMA.into(), known_days: KnownDays::default() })
    }

    /// The same connection, turned to another schema, or to none where there is no such schema.
    pub(crate) async fn turned_to(&self, schema: &str) -> Result<Self, StoreError> {
        check_name(schema)?;
        let turned = match self.turn_to(schema).await {
            Err(error) if is_unknown_database(&error) => self.turn_to(NO_SCHEMA).await,
            turned => turned,
        };
        turned.map_err(StoreError::database("turn to the schema"))?;
        Ok(Self { pool: self.pool.clone(), schema: schema.into(), known_days: KnownDays::default() })
    }

    async fn turn_to(&self, schema: &str) -> Result<(), sqlx::Error> {
        // The name was checked to need no quoting.
        sqlx::raw_sql(AssertSqlSafe(format!("USE {schema}"))).execute(&self.pool).await.map(drop)
    }

    /// A server that says that there is no such schema is in reach.
    pub(crate) async fn ping(&self) -> Result<(), StoreError> {
        let cause = match sqlx::query("SELECT 1").execute(&self.pool).await {
            Ok(_) => return Ok(()),
            Err(error) if is_unknown_database(&error) => return Ok(()),
            Err(sqlx::Error::PoolTimedOut) => self.why_out_of_reach().await,
            Err(error) => error,
        };
        Err(StoreError::database("reach the database")(cause))
    }

    /// The pool tries until its time is over and then tells only that; one try beside it tells why.
    async fn why_out_of_reach(&self) -> sqlx::Error {
        const LIMIT: Duration = Duration::from_secs(2);
        let connect = self.pool.connect_options();
        match tokio::time::timeout(LIMIT, MySqlConnection::connect_with(&connect)).await {
            Ok(Err(error)) => error,
            Ok(Ok(_)) | Err(_) => sqlx::Error::PoolTimedOut,
        }
    }

    /// For tests that look at the tables themselves.
    #[cfg(test)]
    pub(crate) const fn pool(&self) -> &MySqlPool {
        &self.pool
    }

    pub(crate) async fn close(&self) {
        self.pool.close().await;
    }

    pub(crate) async fn schema_version(&self) -> Result<Option<i64>, StoreError> {
        let version = match self.has_migrations().await {
            Ok(true) => {
                sqlx::query_scalar("SELECT max(version) FROM _sqlx_migrations WHERE success")
                    .fetch_one(&self.pool)
                    .await
            }
            Ok(false) => Ok(None),
            Err(error) if is_unknown_database(&error) => Ok(None),
            Err(error) => Err(error),
        };
        version.map_err(StoreError::database("read the schema's version"))
    }

    async fn has_migrations(&self) -> Result<bool, sqlx::Error> {
        sqlx::query_scalar(
            "SELECT count(*) > 0 FROM information_schema.tables WHERE table_schema = ? AND table_name = '_sqlx_migrations'",
        )
        .bind(&*self.schema)
        .fetch_one(&self.pool)
        .await
    }

    /// What a program has to know at least to work with the tables as they are.
    pub(crate) async fn oldest_known_version(&self) -> Result<i64, StoreError> {
        sqlx::query_scalar("SELECT oldest_known_version FROM compatibility")
            .fetch_one(&self.pool)
            .await
            .map_err(StoreError::database("read which programs the tables are for"))
    }

    pub(crate) async fn migrate(&self) -> Result<(), StoreError> {
        let mut lock = self.lock_for_migration().await?;
        let migrated = self.migrate_beside(&mut lock).await;
        lock.close().await.map_err(StoreError::database("unlock the schema after its migration"))?;
        migrated
    }

    async fn migrate_beside(&self, lock: &mut MySqlConnection) -> Result<(), StoreError> {
        let exists: bool =
            sqlx::query_scalar("SELECT count(*) > 0 FROM information_schema.schemata WHERE schema_name = ?")
                .bind(&*self.schema)
                .fetch_one(&mut *lock)
                .await
                .map_err(StoreError::database("look for the schema"))?;
        if !exists {
            // The pool's connections have it as their database: none of them is there yet.
            let schema = &self.schema;
            let creating =
                format!("CREATE DATABASE IF NOT EXISTS {schema} CHARACTER SET utf8mb4 COLLATE utf8mb4_bin");
            sqlx::query(AssertSqlSafe(creating))
                .execute(lock)
                .await
                .map_err(StoreError::database("create the schema"))?;
        }
        // The one that turns looks at none while there is none.
        self.turn_to(&self.schema).await.map_err(StoreError::database("turn to the schema"))?;
        self.forget_half_applied().await.map_err(StoreError::database("repeat a migration"))?;
        MIGRATIONS.run(&self.pool).await.map_err(StoreError::Migration)
    }

    /// Each change of a table commits itself, so what ended half-way stays, and is safe to repeat.
    async fn forget_half_applied(&self) -> Result<(), sqlx::Error> {
        if self.has_migrations().await? {
            sqlx::query("DELETE FROM _sqlx_migrations WHERE NOT success").execute(&self.pool).await?;
        }
        Ok(())
    }

    /// A connection that keeps others from migrating the schema for as long as it is there, whatever becomes of us.
    async fn lock_for_migration(&self) -> Result<MySqlConnection, StoreError> {
        let locked = async {
            let connect = self.pool.connect_options().as_ref().clone().database(NO_SCHEMA);
            let mut holder = MySqlConnection::connect_with(&connect).await?;
            // A lock's name is short on MySQL. Null says that it could not be waited for.
            let locked: Option<bool> =
                sqlx::query_scalar("SELECT GET_LOCK(CONCAT('migration ', MD5(?)), 60) = 1")
                    .bind(&*self.schema)
                    .fetch_one(&mut holder)
                    .await?;
            if locked == Some(true) {
                Ok(holder)
            } else {
                Err(sqlx::Error::Protocol("somebody else is migrating it".to_owned()))
            }
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
        sqlx::query("UPDATE owner SET namespace = ?, name = ?, uid = ? WHERE uid = ?")
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
        sqlx::query(
            "INSERT INTO owner (namespace, name, uid) VALUES (?, ?, ?) ON DUPLICATE KEY UPDATE uid = uid",
        )
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
        self.drop_views_elsewhere().await?;
        sqlx::query(AssertSqlSafe(format!("DROP DATABASE IF EXISTS {}", self.schema)))
            .execute(&self.pool)
            .await
            .map_err(StoreError::database("drop the schema"))?;
        Ok(())
    }
}

fn pool_options(settings: &'static [&'static str]) -> MySqlPoolOptions {
    MySqlPoolOptions::new().after_connect(move |connection, _| {
        Box::pin(async move {
            for setting in settings {
                sqlx::raw_sql(*setting).execute(&mut *connection).await?;
            }
            Ok(())
        })
    })
}

fn connect_options(connection: &DatabaseConnection) -> Result<MySqlConnectOptions, StoreError> {
    let options = MySqlConnectOptions::from_str(&connection.url)
        // The parse error may quote the URL, and with it the password.
        .map_err(|_| {
            StoreError::InvalidUrl("expected mysql://USER:PASSWORD@HOST:PORT/DATABASE".to_owned())
        })?;
    let Some(tls) = &connection.tls else { return Ok(options) };
    tls.check()?;
    let DatabaseTls { ca_pem, client_certificate } = tls;
    let mut options = options.ssl_mode(MySqlSslMode::VerifyIdentity);
    if let Some(ca_pem) = ca_pem {
        options = options.ssl_ca_from_pem(ca_pem.clone().into_bytes());
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

fn check_name(schema: &str) -> Result<(), StoreError> {
    if RESERVED.contains(&schema) {
        return Err(StoreError::ReservedSchemaName(schema.to_owned()));
    }
    check_schema_name(schema)
}

fn is_unknown_database(error: &sqlx::Error) -> bool {
    crate::error::mysql_number(error) == Some(UNKNOWN_DATABASE)
}
