//! How old a trade is when its row can be read: seen by a reader that asks for it all the time.

use std::collections::HashMap;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, ensure};
use serde::Serialize;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{Connection as _, Row as _};
use store::{ConnectOptions, Store};

/// How often the reader looks. What it sees is at most this much older than it was when it became visible.
const LOOK_INTERVAL: Duration = Duration::from_millis(5);

/// Which pipeline's tables.
#[derive(clap::Args)]
pub(crate) struct Database {
    /// postgres://USER:PASSWORD@HOST:PORT/DATABASE
    #[arg(long, env = "POSTGRES_URL", value_name = "URL", hide_env_values = true)]
    database_url: String,
    /// The pipeline's schema.
    #[arg(long, value_name = "NAME")]
    schema: String,
}

#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    database: Database,
    /// How long to look.
    #[arg(long, value_name = "SECONDS")]
    seconds: u64,
    /// How much of the beginning does not count.
    #[arg(long, default_value_t = 0, value_name = "SECONDS")]
    skip_seconds: u64,
}

/// The schema's version.
#[derive(Serialize)]
pub(crate) struct Migrated {
    version: i64,
}

/// How old trades were when their rows became visible: wall clock less trade time.
#[derive(Serialize)]
pub(crate) struct Ages {
    trades: usize,
    trades_per_second: f64,
    median_ms: f64,
    p99_ms: f64,
    largest_ms: f64,
}

/// What one look saw of one symbol: the highest id that could be read, and when.
struct Seen {
    symbol_id: i32,
    last_trade_id: i64,
    at_us: i64,
}

pub(crate) async fn migrate(database: &Database) -> anyhow::Result<Migrated> {
    let store =
        Store::connect(&database.database_url.as_str().into(), &database.schema, ConnectOptions::default())
            .await?;
    let version = store.migrate().await?;
    store.close().await;
    Ok(Migrated { version })
}

pub(crate) async fn watch(arguments: &Arguments) -> anyhow::Result<Ages> {
    let Database { database_url, schema } = &arguments.database;
    let options: PgConnectOptions = database_url.parse().ok().context("the database URL cannot be read")?;
    let mut connection = PgConnection::connect_with(&options.options([("search_path", schema)])).await?;
    let begun = Instant::now();
    let mut looks = tokio::time::interval(LOOK_INTERVAL);
    let mut seen: Vec<Seen> = Vec::new();
    let mut newest: HashMap<i32, i64> = HashMap::new();
    while begun.elapsed() < Duration::from_secs(arguments.seconds) {
        looks.tick().await;
        let rows =
            sqlx::query("SELECT symbol_id, last_trade_id FROM symbol_head WHERE last_trade_id IS NOT NULL")
                .fetch_all(&mut connection)
                .await?;
        let at_us = now_us()?;
        for row in rows {
            let (symbol_id, last_trade_id) = (row.get(0), row.get(1));
            if newest.insert(symbol_id, last_trade_id) != Some(last_trade_id) {
                seen.push(Seen { symbol_id, last_trade_id, at_us });
            }
        }
    }
    let counted_from_us =
        now_us()? - i64::try_from((arguments.seconds - arguments.skip_seconds) * 1_000_000)?;
    let ages_us = ages_us(&mut connection, &seen, counted_from_us).await?;
    ages(ages_us, arguments.seconds - arguments.skip_seconds)
}

/// The age of every trade that became visible after `counted_from_us`. Trades come in the order of their ids here, so
/// the first look that saw an id at or above a trade's own was the first that could see the trade.
async fn ages_us(
    connection: &mut PgConnection,
    seen: &[Seen],
    counted_from_us: i64,
) -> anyhow::Result<Vec<i64>> {
    let mut by_symbol: HashMap<i32, Vec<&Seen>> = HashMap::new();
    for look in seen {
        by_symbol.entry(look.symbol_id).or_default().push(look);
    }
    let mut ages = Vec::new();
    for (symbol_id, looks) in by_symbol {
        let rows = sqlx::query(
            "SELECT trade_id, (extract(epoch FROM trade_time) * 1000000)::bigint FROM trades
             WHERE symbol_id = $1 ORDER BY trade_id",
        )
        .bind(symbol_id)
        .fetch_all(&mut *connection)
        .await?;
        let mut looks = looks.into_iter().peekable();
        for row in rows {
            let (trade_id, time_us): (i64, i64) = (row.get(0), row.get(1));
            while looks.next_if(|look| look.last_trade_id < trade_id).is_some() {}
            if let Some(look) = looks.peek().filter(|look| look.at_us >= counted_from_us) {
                ages.push(look.at_us - time_us);
            }
        }
    }
    Ok(ages)
}

#[expect(
    clippy::cast_precision_loss,
    clippy::float_arithmetic,
    reason = "figures for people, far below the numbers that a float cannot hold"
)]
fn ages(mut ages_us: Vec<i64>, seconds: u64) -> anyhow::Result<Ages> {
    ensure!(!ages_us.is_empty(), "no trade became visible");
    ages_us.sort_unstable();
    let at = |percent: usize| ages_us[(ages_us.len() - 1) * percent / 100] as f64 / 1e3;
    Ok(Ages {
        trades: ages_us.len(),
        trades_per_second: ages_us.len() as f64 / seconds as f64,
        median_ms: at(50),
        p99_ms: at(99),
        largest_ms: at(100),
    })
}

fn now_us() -> anyhow::Result<i64> {
    Ok(i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_micros())?)
}
