//! The tables of other systems, as views: their columns, their rows, and nothing of anybody else's.

use market::RollingDay;

use super::database::{NOW_US, Sender, TestDatabase, trades};
use super::tickers::{batch, sample};
use crate::{Backend, Compatibility, CompatibilityError, FlushSettings, Flusher, Owner, WishedViews};

impl TestDatabase {
    async fn of_every_server() -> Vec<Self> {
        [Self::postgres().await, Self::mysql().await].into_iter().flatten().collect()
    }

    /// A name for another schema of this test's own.
    async fn other_schema(&self) -> String {
        let own = if self.is_mysql() { "DATABASE()" } else { "current_schema()::text" };
        let own = self.texts(&format!("SELECT {own}")).await.remove(0);
        format!("{own}_views")
    }

    async fn drop_other(&self, schema: &str) {
        let cascade = if self.is_mysql() { "" } else { " CASCADE" };
        self.execute(&format!("DROP SCHEMA IF EXISTS {schema}{cascade}")).await;
    }

    /// The columns of a view in their order.
    async fn columns(&self, schema: &str, view: &str) -> String {
        let statement = format!(
            "SELECT column_name FROM information_schema.columns
             WHERE table_schema = '{schema}' AND table_name = '{view}' ORDER BY ordinal_position"
        );
        self.texts(&statement).await.join(" ")
    }

    /// A column that is to be compared as text.
    fn text(&self, column: &str) -> String {
        format!("CAST({column} AS {})", if self.is_mysql() { "CHAR" } else { "TEXT" })
    }

    /// A time as text, alike on every server.
    fn time(&self, column: &str) -> String {
        if self.is_mysql() {
            format!("DATE_FORMAT({column}, '%H:%i:%s')")
        } else {
            format!("to_char({column} AT TIME ZONE 'UTC', 'HH24:MI:SS')")
        }
    }

    async fn views_are(&self, wished: &WishedViews) -> bool {
        self.store.compatibility_views().await.unwrap().are(wished)
    }
}

fn wished(schema: &str, systems: &[Compatibility], of_tickers: bool) -> WishedViews {
    WishedViews { schema: schema.to_owned(), systems: systems.iter().copied().collect(), of_tickers }
}

#[tokio::test(flavor = "multi_thread")]
async fn sampled_prices_are_there_under_the_names_that_two_systems_know() {
    for database in TestDatabase::of_every_server().await {
        let (mut flusher, sender) = (database.flusher(&["1m", "5m"]), Sender::new(&database, 0).await);
        let day = RollingDay {
            open: "1".parse().unwrap(),
            high: "9".parse().unwrap(),
            low: "1".parse().unwrap(),
            volume: "1234.5".parse().unwrap(),
            quote_volume: "5000".parse().unwrap(),
            trade_count: 77,
        };
        let mut last = sample(320, "8.5");
        last.day = Some(day);
        let samples = [sample(1, "2"), sample(31, "3"), sample(59, "3"), sample(60, "7"), last];
        flusher.flush(batch(&sender, "BTCUSDT", &samples), NOW_US).await.unwrap();
        flusher.flush(batch(&sender, "ETHUSDT", &[sample(5, "0.00000001")]), NOW_US).await.unwrap();

        let schema = database.other_schema().await;
        let wished = wished(&schema, &[Compatibility::MovingAverages, Compatibility::Ohlc], true);
        assert!(!database.views_are(&wished).await);
        database.store.make_compatibility_views(&wished).await.unwrap();
        assert!(database.views_are(&wished).await);
        for (view, columns) in [
            ("moving_averages", "id start_time end_time symbol average_price created_at"),
            ("real_time_prices", "id symbol price timestamp event_time volume created_at"),
            (
                "aggregated_prices_1min",
                "id symbol window_start window_end open_price close_price high_price low_price avg_price total_volume trade_count",
            ),
            (
                "aggregated_prices_5min",
                "id symbol window_start window_end open_price close_price high_price low_price avg_price total_volume trade_count",
            ),
            ("latest_prices", "symbol price timestamp event_time volume"),
        ] {
            assert_eq!(database.columns(&schema, view).await, columns);
        }
        // The minute that goes on is not there, and ETHUSDT has no other.
        let (start, end) = (database.time("start_time"), database.time("end_time"));
        let averages = format!(
            "SELECT concat_ws(' ', symbol, {start}, {end}, {}) FROM {schema}.moving_averages ORDER BY start_time",
            database.text("average_price")
        );
        assert_eq!(
            database.texts(&averages).await,
            ["BTCUSDT 00:00:00 00:01:00 2.66666667", "BTCUSDT 00:01:00 00:02:00 7.00000000"]
        );
        let (from, to) = (database.time("window_start"), database.time("window_end"));
        let of_minutes = |view: &str, symbol: &str| {
            format!(
                "SELECT concat_ws(' ', {from}, {to}, open_price, close_price, high_price, low_price, avg_price,
                                  coalesce({}, 'unknown'), trade_count)
                 FROM {schema}.{view} WHERE symbol = '{symbol}' ORDER BY window_start DESC",
                database.text("total_volume")
            )
        };
        assert_eq!(
            database.texts(&of_minutes("aggregated_prices_5min", "BTCUSDT")).await,
            [
                "00:05:00 00:10:00 8.50000000 8.50000000 8.50000000 8.50000000 8.50000000 unknown 1",
                "00:00:00 00:05:00 2.00000000 7.00000000 7.00000000 2.00000000 3.75000000 unknown 4",
            ]
        );
        assert_eq!(database.texts(&of_minutes("aggregated_prices_1min", "BTCUSDT")).await.len(), 3);
        assert_eq!(
            database.texts(&of_minutes("aggregated_prices_1min", "ETHUSDT")).await,
            ["00:00:00 00:01:00 0.00000001 0.00000001 0.00000001 0.00000001 0.00000001 unknown 1"]
        );
        let latest = format!(
            "SELECT concat_ws(' ', symbol, price, {}, {}) FROM {schema}.latest_prices ORDER BY symbol",
            database.time("event_time"),
            format_args!("coalesce({}, 'none')", database.text("volume"))
        );
        assert_eq!(
            database.texts(&latest).await,
            ["BTCUSDT 8.50000000 00:05:20 1234.50000000", "ETHUSDT 0.00000001 00:00:05 none"]
        );
        let of_prices = |what: &str| format!("SELECT {what} FROM {schema}.real_time_prices");
        assert_eq!(database.number(&of_prices("count(DISTINCT id)")).await, 6);
        assert_eq!(
            database.number(&format!("{} WHERE symbol = 'ETHUSDT'", of_prices("min(timestamp)"))).await,
            1_767_225_605_000
        );
        database.drop_other(&schema).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn trades_are_there_under_the_names_that_two_systems_know() {
    for database in TestDatabase::of_every_server().await {
        let settings = FlushSettings {
            intervals: vec!["1m".parse().unwrap(), "5m".parse().unwrap()],
            store_trades: true,
            moving_average_trades: Some(3),
            whale_values: market::WhaleValues {
                of_others: Some("216".parse().unwrap()),
                by_quote_asset: std::collections::BTreeMap::new(),
            },
        };
        let mut flusher = Flusher::new(database.store.clone(), settings);
        let sender = Sender::new(&database, 0).await;
        sender.flush(&mut flusher, "BTCUSDT", &trades(1..=8)).await;

        let schema = database.other_schema().await;
        let wished = wished(&schema, &[Compatibility::Ohlc, Compatibility::Trades], false);
        database.store.make_compatibility_views(&wished).await.unwrap();
        assert!(database.views_are(&wished).await);
        let columns = "id symbol price quantity trade_time trade_value is_buyer_maker moving_average is_whale_trade created_at";
        assert_eq!(database.columns(&schema, "trades").await, columns);
        let columns = "symbol moving_average trade_count total_volume updated_at";
        assert_eq!(database.columns(&schema, "trade_aggregates").await, columns);
        let whales = format!(
            "SELECT concat_ws(' ', symbol, price, quantity, {}, trade_value, {}) FROM {schema}.trades
             WHERE is_whale_trade = true AND symbol = 'BTCUSDT' ORDER BY trade_time DESC",
            database.time("trade_time"),
            database.text("moving_average")
        );
        assert_eq!(
            database.texts(&whales).await,
            ["BTCUSDT 108.50000000 2.00000000 00:01:20 217.0000000000000000 107.50000000"]
        );
        let totals = format!(
            "SELECT concat_ws(' ', symbol, {}, trade_count, total_volume, {}) FROM {schema}.trade_aggregates",
            database.text("moving_average"),
            database.time("updated_at")
        );
        assert_eq!(database.texts(&totals).await, ["BTCUSDT 107.50000000 8 16.00000000 00:01:20"]);
        // Ids 1 to 5 lie in the first minute.
        let minute = format!(
            "SELECT concat_ws(' ', open_price, close_price, high_price, low_price, avg_price, total_volume, trade_count)
             FROM {schema}.aggregated_prices_1min ORDER BY window_start LIMIT 1"
        );
        assert_eq!(
            database.texts(&minute).await,
            ["101.50000000 105.50000000 105.50000000 101.50000000 103.50000000 10.00000000 5"]
        );
        let latest = format!("SELECT concat_ws(' ', symbol, price, volume) FROM {schema}.latest_prices");
        assert_eq!(database.texts(&latest).await, ["BTCUSDT 108.50000000 2.00000000"]);
        assert_eq!(database.number(&format!("SELECT max(id) FROM {schema}.trades")).await, 8_001);
        let prices = format!("SELECT count(*) FROM {schema}.real_time_prices WHERE price > 105");
        assert_eq!(database.number(&prices).await, 4);
        database.drop_other(&schema).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn views_follow_what_is_wished_and_go_with_the_schema() {
    for database in TestDatabase::of_every_server().await {
        let schema = database.other_schema().await;
        let there = async |view: &str| {
            let statement = format!(
                "SELECT count(*) FROM information_schema.tables WHERE table_schema = '{schema}' AND table_name = '{view}'"
            );
            database.number(&statement).await
        };
        assert!(database.views_are(&WishedViews::default()).await);
        let of_tickers = wished(&schema, &[Compatibility::Ohlc, Compatibility::MovingAverages], true);
        database.store.make_compatibility_views(&of_tickers).await.unwrap();
        // Trades are read instead, and one system is no longer wished.
        let of_trades = wished(&schema, &[Compatibility::Ohlc], false);
        assert!(!database.views_are(&of_trades).await);
        database.store.make_compatibility_views(&of_trades).await.unwrap();
        assert!(database.views_are(&of_trades).await && !database.views_are(&of_tickers).await);
        assert_eq!((there("moving_averages").await, there("latest_prices").await), (0, 1));
        // Somebody has dropped one.
        database.execute(&format!("DROP VIEW {schema}.latest_prices")).await;
        assert!(!database.views_are(&of_trades).await);
        database.store.make_compatibility_views(&of_trades).await.unwrap();
        assert_eq!(there("latest_prices").await, 1);
        // What the migrations make is not touched, and nobody complains of the views.
        assert_eq!(database.store.differences().await.unwrap(), [] as [&str; 0]);
        database.store.make_compatibility_views(&WishedViews::default()).await.unwrap();
        assert!(database.views_are(&WishedViews::default()).await);
        assert_eq!(there("latest_prices").await, 0);

        database.store.make_compatibility_views(&of_trades).await.unwrap();
        let owner = Owner { namespace: "market".into(), name: "majors".into(), uid: "a".into() };
        database.store.claim(&owner).await.unwrap();
        assert!(database.store.drop_schema(&owner).await.unwrap());
        let left = format!("SELECT count(*) FROM information_schema.tables WHERE table_schema = '{schema}'");
        let server = TestDatabase::of_every_server().await;
        let server = server.iter().find(|server| server.is_mysql() == database.is_mysql()).unwrap();
        assert_eq!(server.number(&left).await, 0);
        server.drop_other(&schema).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_somebody_else_has_made_is_not_touched() {
    for database in TestDatabase::of_every_server().await {
        let schema = database.other_schema().await;
        database.execute(&format!("CREATE SCHEMA {schema}")).await;
        database.execute(&format!("CREATE TABLE {schema}.latest_prices (symbol varchar(20))")).await;
        let wished = wished(&schema, &[Compatibility::Ohlc], true);
        let refused = database.store.make_compatibility_views(&wished).await;
        assert!(
            matches!(&refused, Err(CompatibilityError::NameTaken { name: "latest_prices", .. })),
            "{refused:?}"
        );
        assert!(!database.views_are(&wished).await);
        // Nor is anything else made: their system may be at work.
        let count = format!("SELECT count(*) FROM information_schema.tables WHERE table_schema = '{schema}'");
        assert_eq!(database.number(&count).await, 1);
        database
            .execute(&format!(
                "ALTER TABLE {schema}.latest_prices RENAME TO {}",
                match database.is_mysql() {
                    true => format!("{schema}.old_prices"),
                    false => "old_prices".to_owned(),
                }
            ))
            .await;
        database.store.make_compatibility_views(&wished).await.unwrap();
        assert_eq!(database.number(&count).await, 5);
        database.drop_other(&schema).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_was_ours_and_is_somebody_elses_is_not_touched() {
    for database in TestDatabase::of_every_server().await {
        let schema = database.other_schema().await;
        let wished = wished(&schema, &[Compatibility::Ohlc], true);
        database.store.make_compatibility_views(&wished).await.unwrap();
        // An old system starts again, and makes a table; somebody has a view of his own.
        for statement in [
            format!("DROP VIEW {schema}.latest_prices"),
            format!("CREATE TABLE {schema}.latest_prices (symbol varchar(20))"),
            format!("DROP VIEW {schema}.real_time_prices"),
            format!("CREATE VIEW {schema}.real_time_prices AS SELECT 7 AS theirs"),
        ] {
            database.execute(&statement).await;
        }
        assert!(!database.views_are(&wished).await);
        let refused = database.store.make_compatibility_views(&wished).await;
        assert!(matches!(refused, Err(CompatibilityError::NameTaken { .. })), "{refused:?}");
        // No longer wished, ours go and theirs stay.
        database.store.make_compatibility_views(&WishedViews::default()).await.unwrap();
        assert!(database.views_are(&WishedViews::default()).await);
        let left = format!(
            "SELECT table_name FROM information_schema.tables WHERE table_schema = '{schema}' ORDER BY table_name"
        );
        assert_eq!(database.texts(&left).await, ["latest_prices", "real_time_prices"]);
        assert_eq!(
            database.number(&format!("SELECT CAST(theirs AS bigint) FROM {schema}.real_time_prices")).await,
            7
        );
        database.drop_other(&schema).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn indexes_come_and_go_with_the_views_of_postgresql() {
    let Some(database) = TestDatabase::postgres().await else { return };
    let schema = database.other_schema().await;
    let indexes = async || {
        let names = "SELECT indexname::text FROM pg_indexes WHERE schemaname = current_schema() AND indexname LIKE 'compatibility%time'";
        database.texts(names).await.len()
    };
    let of_trades = wished(&schema, &[Compatibility::Trades], false);
    database.store.make_compatibility_views(&of_trades).await.unwrap();
    assert_eq!(indexes().await, 2);
    // One that somebody has dropped is made again.
    database.execute("DROP INDEX compatibility_whales_by_time").await;
    assert!(!database.views_are(&of_trades).await);
    database.store.make_compatibility_views(&of_trades).await.unwrap();
    assert_eq!(indexes().await, 2);
    let of_candles = wished(&schema, &[Compatibility::MovingAverages], true);
    database.store.make_compatibility_views(&of_candles).await.unwrap();
    assert_eq!(indexes().await, 1);
    database.store.make_compatibility_views(&WishedViews::default()).await.unwrap();
    assert_eq!(indexes().await, 0);
    database.drop_other(&schema).await;
}

/// Whoever tries again at once is not told that somebody is at it.
#[tokio::test(flavor = "multi_thread")]
async fn who_fails_leaves_the_way_free() {
    let Some(database) = TestDatabase::postgres().await else { return };
    let Backend::Postgres(postgres) = &database.store.backend else { unreachable!() };
    let schema = database.other_schema().await;
    let of_trades = wished(&schema, &[Compatibility::Trades], false);
    let mut writer = postgres.pool().begin().await.unwrap();
    sqlx::query("LOCK TABLE trades IN ROW EXCLUSIVE MODE").execute(&mut *writer).await.unwrap();
    let refused = database.store.make_compatibility_views(&of_trades).await;
    assert!(matches!(&refused, Err(CompatibilityError::Store(_))), "{refused:?}");
    writer.rollback().await.unwrap();
    database.store.make_compatibility_views(&of_trades).await.unwrap();
    database.drop_other(&schema).await;
}

/// What dashboards ask for again and again comes out of an index in its order.
#[tokio::test(flavor = "multi_thread")]
async fn typical_queries_are_answered_in_the_order_of_an_index() {
    let Some(database) = TestDatabase::postgres().await else { return };
    let (mut flusher, sender) = (database.flusher(&["1m", "5m"]), Sender::new(&database, 0).await);
    sender.flush(&mut flusher, "BTCUSDT", &trades(1..=50)).await;
    flusher.flush(batch(&sender, "ETHUSDT", &[sample(5, "1"), sample(70, "1")]), NOW_US).await.unwrap();
    let schema = database.other_schema().await;
    for (systems, of_tickers, queries) in [
        (
            [Compatibility::MovingAverages, Compatibility::Ohlc],
            true,
            &[
                "SELECT * FROM moving_averages ORDER BY start_time DESC LIMIT 10",
                "SELECT * FROM real_time_prices ORDER BY event_time DESC LIMIT 100",
                "SELECT * FROM real_time_prices WHERE symbol = 'ETHUSDT' ORDER BY event_time DESC LIMIT 100",
                "SELECT * FROM aggregated_prices_1min WHERE symbol = 'ETHUSDT' ORDER BY window_start DESC LIMIT 100",
            ][..],
        ),
        (
            [Compatibility::Trades, Compatibility::Ohlc],
            false,
            &[
                "SELECT * FROM trades ORDER BY trade_time DESC LIMIT 100",
                "SELECT * FROM trades WHERE symbol = 'BTCUSDT' ORDER BY trade_time DESC LIMIT 100",
                "SELECT * FROM trades WHERE is_whale_trade ORDER BY trade_time DESC LIMIT 20",
                "SELECT * FROM aggregated_prices_5min WHERE symbol = 'BTCUSDT' ORDER BY window_start DESC LIMIT 100",
            ],
        ),
    ] {
        database.store.make_compatibility_views(&wished(&schema, &systems, of_tickers)).await.unwrap();
        for query in queries {
            let query = query.replace(" FROM ", &format!(" FROM {schema}."));
            // So few rows are sorted more quickly than looked up; what can be had without sorting is had so here.
            let plan = database.plan_without_sorting(&query).await;
            assert!(!plan.contains("Sort"), "{query}\n{plan}");
        }
    }
    database.drop_other(&schema).await;
}

impl TestDatabase {
    /// The plan of a PostgreSQL that sorts only where it has to.
    async fn plan_without_sorting(&self, query: &str) -> String {
        let crate::Backend::Postgres(database) = &self.store.backend else { unreachable!() };
        let mut connection = database.pool().acquire().await.unwrap();
        for setting in ["enable_sort", "enable_seqscan", "enable_bitmapscan", "enable_incremental_sort"] {
            let off = sqlx::AssertSqlSafe(format!("SET {setting} = off"));
            sqlx::query(off).execute(&mut *connection).await.unwrap();
        }
        let explain = sqlx::AssertSqlSafe(format!("EXPLAIN {query}"));
        let lines: Vec<String> = sqlx::query_scalar(explain).fetch_all(&mut *connection).await.unwrap();
        connection.close().await.unwrap();
        lines.join("\n")
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn minutes_of_a_time_come_out_of_an_index_on_mysql() {
    let Some(database) = TestDatabase::mysql().await else { return };
    let (mut flusher, sender) = (database.flusher(&["1m"]), Sender::new(&database, 0).await);
    for symbol in ["BTCUSDT", "ETHUSDT"] {
        let samples: Vec<_> = (0..2_000).map(|minute| sample(minute * 60, "1")).collect();
        flusher.flush(batch(&sender, symbol, &samples), NOW_US).await.unwrap();
    }
    let schema = database.other_schema().await;
    database
        .store
        .make_compatibility_views(&wished(&schema, &[Compatibility::MovingAverages], true))
        .await
        .unwrap();
    database.execute("ANALYZE TABLE sample_candles").await;
    let crate::Backend::MySql(mysql) = &database.store.backend else { unreachable!() };
    let explain = sqlx::AssertSqlSafe(format!(
        "EXPLAIN FORMAT=JSON SELECT * FROM {schema}.moving_averages
         WHERE start_time >= '2026-01-02 09:00:00' ORDER BY start_time DESC LIMIT 10"
    ));
    let plan: String = sqlx::query_scalar(explain).fetch_one(mysql.pool()).await.unwrap();
    assert!(plan.contains("\"key\": \"sample_candles_by_time\""), "{plan}");
    database.drop_other(&schema).await;
}
