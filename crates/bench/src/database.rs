//! A pipeline's tables, in whichever database.

use std::collections::BTreeSet;

use anyhow::Context as _;
use crds::worker_settings::Feed;
use serde::Serialize;
use sqlx::mysql::{MySqlConnectOptions, MySqlConnection};
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, ColumnIndex, Connection as _, Decode, Row, Type};
use store::{Compatibility, ConnectOptions, Store, WishedViews};

/// Which pipeline's tables.
#[derive(clap::Args)]
pub(crate) struct Database {
    /// `postgres://USER:PASSWORD@HOST:PORT/DATABASE`, or `mysql://USER:PASSWORD@HOST:PORT/`
    #[arg(long, env = "DATABASE_URL", value_name = "URL", hide_env_values = true)]
    database_url: String,
    /// The pipeline's schema.
    #[arg(long, value_name = "NAME")]
    schema: String,
}

#[derive(clap::Args)]
pub(crate) struct Migration {
    #[command(flatten)]
    database: Database,
    /// Also the views of another system's tables, with their indexes: in a schema of their own, `SCHEMA_views`.
    #[arg(long, value_name = "SYSTEM")]
    views: Option<Views>,
}

/// Whose tables the views look like.
#[derive(Clone, Copy, clap::ValueEnum)]
enum Views {
    MovingAverages,
    Ohlc,
    Trades,
}

/// The schema's version.
#[derive(Serialize)]
pub(crate) struct Migrated {
    version: i64,
}

pub(crate) async fn migrate(migration: &Migration) -> anyhow::Result<Migrated> {
    let Migration { database: Database { database_url, schema }, views } = migration;
    let store = Store::connect(&database_url.as_str().into(), schema, ConnectOptions::default()).await?;
    let version = store.migrate().await?;
    if let Some(views) = views {
        let system = match views {
            Views::MovingAverages => Compatibility::MovingAverages,
            Views::Ohlc => Compatibility::Ohlc,
            Views::Trades => Compatibility::Trades,
        };
        let wished = WishedViews {
            schema: format!("{schema}_views"),
            systems: BTreeSet::from([system]),
            of_tickers: !matches!(views, Views::Trades),
        };
        store.make_compatibility_views(&wished).await?;
    }
    store.close().await;
    Ok(Migrated { version })
}

/// Asks for the newest row of every market.
pub(crate) struct Heads {
    connection: Connection,
    statement: String,
}

enum Connection {
    Postgres(PgConnection),
    MySql(MySqlConnection),
}

impl Heads {
    pub(crate) async fn connect(database: &Database, feed: Feed) -> anyhow::Result<Self> {
        let Database { database_url: url, schema } = database;
        let is_mysql = url.starts_with("mysql:");
        let connection = if is_mysql {
            let options: MySqlConnectOptions = url.parse().ok().context("the database URL cannot be read")?;
            Connection::MySql(MySqlConnection::connect_with(&options.database(schema)).await?)
        } else {
            let options: PgConnectOptions = url.parse().ok().context("the database URL cannot be read")?;
            let options = options.options([("search_path", schema)]);
            Connection::Postgres(PgConnection::connect_with(&options).await?)
        };
        let (table, position) = match feed {
            Feed::Trades => ("symbol_head", "last_trade_id"),
            Feed::Tickers if is_mysql => ("ticker_head", "last_time_us"),
            Feed::Tickers => ("ticker_head", "(extract(epoch FROM last_time) * 1000000)::bigint"),
        };
        let statement =
            format!("SELECT venue, symbol, {position} AS position FROM {table} WHERE {position} IS NOT NULL");
        Ok(Self { connection, statement })
    }

    /// By market, `VENUE:SYMBOL`, the highest trade id or the latest sample's time, microseconds since 1970.
    pub(crate) async fn newest(&mut self) -> anyhow::Result<Vec<(String, i64)>> {
        let statement = AssertSqlSafe(self.statement.clone());
        let newest = match &mut self.connection {
            Connection::Postgres(connection) => {
                let rows = sqlx::query(statement).fetch_all(connection).await?;
                rows.iter().map(head).collect::<Result<_, _>>()
            }
            Connection::MySql(connection) => {
                let rows = sqlx::query(statement).fetch_all(connection).await?;
                rows.iter().map(head).collect::<Result<_, _>>()
            }
        };
        Ok(newest?)
    }
}

fn head<R: Row>(row: &R) -> Result<(String, i64), sqlx::Error>
where
    usize: ColumnIndex<R>,
    for<'r> &'r str: Decode<'r, R::Database>,
    i64: for<'r> Decode<'r, R::Database> + Type<R::Database>,
{
    // MariaDB tells bytes of a text that is compared byte by byte.
    let [venue, symbol]: [&str; 2] = [row.try_get_unchecked(0)?, row.try_get_unchecked(1)?];
    Ok((format!("{venue}:{symbol}"), row.try_get(2)?))
}
