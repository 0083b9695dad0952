//! What is MySQL's alone.

use sqlx::mysql::MySqlConnectOptions;

use super::database::{NOW_US, Sender, TestDatabase, service, trade, trades};
use crate::{
    CandleQuery, Claim, ConnectOptions, FlushSettings, Flusher, LATEST_SCHEMA_VERSION, Owner, Retention,
    Store, StoreError,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_migration_that_ended_half_way_is_repeated() {
    let Some(database) = TestDatabase::mysql().await else { return };
    Sender::new(&database, 0).await.flush(&mut database.flusher(&["1m"]), "BTCUSDT", &trades(1..=9)).await;
    // As the library leaves it behind a program that was killed.
    for statement in
        ["UPDATE _sqlx_migrations SET success = false", "DROP VIEW holes", "DROP PROCEDURE make_day"]
    {
        database.execute(statement).await;
    }
    assert_eq!(database.store.schema_version().await.unwrap(), None);
    assert_eq!(database.store.migrate().await.unwrap(), LATEST_SCHEMA_VERSION);
    assert_eq!(database.store.schema_version().await.unwrap(), Some(LATEST_SCHEMA_VERSION));
    assert_eq!(database.store.differences().await.unwrap(), [] as [&str; 0]);
    assert_eq!(database.number("SELECT count(*) FROM trades").await, 9);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_who_migrate_at_once_wait_for_each_other() {
    let Some(url) = service("MYSQL_URL") else { return };
    let schema = format!("test_{}", uuid::Uuid::new_v4().simple());
    let connect =
        async || Store::connect(&url.as_str().into(), &schema, ConnectOptions::default()).await.unwrap();
    let (one, other) = (connect().await, connect().await);
    assert_eq!(one.schema_version().await.unwrap(), None);
    let (first, second) = tokio::join!(one.migrate(), other.migrate());
    assert_eq!((first.unwrap(), second.unwrap()), (LATEST_SCHEMA_VERSION, LATEST_SCHEMA_VERSION));
    let owner = Owner { namespace: "market".into(), name: "majors".into(), uid: "a".into() };
    assert_eq!(one.claim(&owner).await.unwrap(), Claim::Ours);
    assert!(one.drop_schema(&owner).await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_servers_own_databases_are_no_schemas() {
    let Some(url) = service("MYSQL_URL") else { return };
    let refused = Store::connect(&url.into(), "mysql", ConnectOptions::default()).await.map(drop);
    assert!(matches!(refused, Err(StoreError::ReservedSchemaName(_))), "{refused:?}");
}

/// Names that differ in what text comparisons leave out.
#[tokio::test(flavor = "multi_thread")]
async fn names_are_told_apart_to_the_last_byte() {
    let Some(database) = TestDatabase::mysql().await else { return };
    let (mut flusher, sender) = (database.flusher(&["1m"]), Sender::new(&database, 0).await);
    let names = ["BTC", "btc", "BTC ", "B\u{00c5}", "BA", "\u{1f680}", "o'hara\\\""];
    for (count, name) in (1..).zip(names) {
        sender.flush(&mut flusher, name, &trades(1..=count)).await;
    }
    for (count, name) in (1..).zip(names) {
        let query = CandleQuery { symbol: Some(name.to_owned()), ..CandleQuery::default() };
        let candles = database.store.candles(&query).await.unwrap();
        assert!(candles.iter().all(|candle| candle.market.symbol == name), "{name:?}");
        assert_eq!(candles.iter().map(|candle| candle.trade_count).sum::<i64>(), count, "{name:?}");
    }
}

/// More empty windows in a row than a recursion may make.
#[tokio::test(flavor = "multi_thread")]
async fn no_window_without_trades_is_left_out() {
    let Some(database) = TestDatabase::mysql().await else { return };
    let (mut flusher, sender) = (database.flusher(&["1s"]), Sender::new(&database, 0).await);
    sender
        .flush(&mut flusher, "BTCUSDT", &[trade(1, 5), trade(2, 10), trade(3, 5_000), trade(4, 5_010)])
        .await;
    let candles = database.candles("1s").await;
    assert_eq!(candles.len(), 4 + 4 + 4_989 + 9);
    assert_eq!(candles.iter().filter(|candle| candle.complete).count(), 4 + 1 + 4_989 + 1 + 9);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_day_that_was_dropped_is_made_again_and_dropped_again() {
    let Some(database) = TestDatabase::mysql().await else { return };
    const DAY_S: i64 = 86_400;
    let (mut flusher, sender) = (database.flusher(&["1d"]), Sender::new(&database, 0).await);
    // Later days first: each is cut out of the times between.
    for (id, day) in [(1, 20), (2, 3), (3, 4), (4, 10)] {
        sender.flush(&mut flusher, "BTCUSDT", &[trade(id, day * DAY_S)]).await;
    }
    let names = "SELECT partition_name FROM information_schema.partitions
                 WHERE table_schema = DATABASE() AND table_name = 'trades' ORDER BY partition_ordinal_position";
    assert_eq!(
        database.texts(names).await,
        [
            "before_20260104",
            "day_20260104",
            "day_20260105",
            "before_20260111",
            "day_20260111",
            "before_20260121",
            "day_20260121",
            "later"
        ]
    );
    let keep = |days: i64| Retention { trades_s: Some((30 - days) * DAY_S), candles_s: None };
    database.store.retain(keep(10), NOW_US).await.unwrap();
    assert_eq!(database.number("SELECT count(*) FROM trades").await, 2);
    let kept = ["before_20260111", "day_20260111", "before_20260121", "day_20260121", "later"];
    assert_eq!(database.texts(names).await, kept);
    // What a flusher writes that has not heard of the floor yet goes with the next move.
    database.store.prepare_days(NOW_US - 27 * DAY_S * 1_000_000).await.unwrap();
    database.execute("INSERT INTO trades (symbol_id, trade_id, trade_time_us, version, price, quantity, buyer_is_maker) SELECT symbol_id, 9, trade_time_us - 864000000000, version, price, quantity, true FROM trades").await;
    assert_eq!(database.number("SELECT count(*) FROM trades").await, 4);
    database.store.retain(keep(10), NOW_US).await.unwrap();
    assert_eq!(database.number("SELECT count(*) FROM trades").await, 3);
    assert_eq!(database.texts(names).await, kept);
}

/// A user who has no right but those that the operator grants.
#[tokio::test(flavor = "multi_thread")]
async fn a_worker_needs_to_make_no_table() {
    let (Some(url), Some(database)) = (service("MYSQL_URL"), TestDatabase::mysql().await) else { return };
    let schema = database.texts("SELECT DATABASE()").await.remove(0);
    let name = schema.replace("test_", "w").split_off(3);
    database.execute(&format!("CREATE USER '{name}'@'%' IDENTIFIED BY 'worker'")).await;
    let role = format!("{name}@%");
    assert!(!database.store.may_write_rows(&role).await.unwrap());
    database.store.grant_rows(&role).await.unwrap();
    assert!(database.store.may_write_rows(&role).await.unwrap());

    let server: MySqlConnectOptions = url.parse().unwrap();
    let url = format!("mysql://{name}:worker@{}:{}/?ssl-mode=disabled", server.get_host(), server.get_port());
    let store = Store::connect(&url.into(), &schema, ConnectOptions::default()).await.unwrap();
    assert_eq!(store.user().await.unwrap(), Some(role));
    assert!(store.is_usable().await.unwrap());
    let settings = FlushSettings {
        intervals: vec!["1m".parse().unwrap()],
        store_trades: true,
        ..FlushSettings::default()
    };
    let mut flusher = Flusher::new(store.clone(), settings);
    let report = Sender::new(&database, 0).await.flush(&mut flusher, "BTCUSDT", &trades(1..=30)).await;
    assert_eq!(report.trades_new, 30);
    let candles = store.candles(&CandleQuery::default()).await.unwrap();
    assert_eq!(candles.iter().filter(|candle| candle.complete).count(), 4);
    assert_eq!(store.ledgers().await.unwrap()[0].trades_held, 30);
    store.retain(Retention { trades_s: Some(0), candles_s: Some(0) }, NOW_US).await.unwrap();
    assert_eq!(database.number("SELECT count(*) FROM trades").await, 0);
    let owner = Owner { namespace: "market".into(), name: "majors".into(), uid: "a".into() };
    let refused = store.claim(&owner).await.unwrap_err();
    assert!(refused.is_refusal(), "{refused:?}");
    let url = format!("mysql://{name}:wrong@{}:{}", server.get_host(), server.get_port());
    let refused =
        Store::connect(&url.into(), &schema, ConnectOptions::default()).await.map(drop).unwrap_err();
    assert!(refused.is_refusal(), "{refused:?}");
    store.close().await;
    database.execute(&format!("DROP USER '{name}'@'%'")).await;
}
