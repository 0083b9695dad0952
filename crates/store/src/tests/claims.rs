//! Migrations and who a schema belongs to.

use super::database::{Sender, TestDatabase, trades};
use crate::{Claim, LATEST_SCHEMA_VERSION, Owner, StoreError};

fn owner(uid: &str) -> Owner {
    Owner { namespace: "market".into(), name: "majors".into(), uid: uid.into() }
}

/// By a program that knows version 99.
async fn pretend_migration(database: &TestDatabase) {
    let newer = format!(
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
         SELECT 99, 'of a newer program', success, checksum, 0 FROM _sqlx_migrations WHERE version = {LATEST_SCHEMA_VERSION}"
    );
    database.execute(&newer).await;
}

pub(super) async fn migrating_twice_changes_nothing(database: TestDatabase) {
    assert_eq!(database.store.schema_version().await.unwrap(), Some(LATEST_SCHEMA_VERSION));
    assert_eq!(database.store.migrate().await.unwrap(), LATEST_SCHEMA_VERSION);
}

pub(super) async fn a_newer_schema_is_refused_and_left_alone(database: TestDatabase) {
    let migrations = database.number("SELECT count(*) FROM _sqlx_migrations").await;
    pretend_migration(&database).await;
    let refused = database.store.migrate().await;
    assert!(
        matches!(refused, Err(StoreError::SchemaTooNew { found: 99, known: LATEST_SCHEMA_VERSION })),
        "{refused:?}"
    );
    assert!(!refused.unwrap_err().is_transient());
    assert_eq!(database.number("SELECT count(*) FROM _sqlx_migrations").await, migrations + 1);
}

/// Of every table, as a migration that only adds would leave them.
async fn add_to_every_table(database: &TestDatabase) {
    let tables = if database.is_sqlite() {
        "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite%' AND name <> '_sqlx_migrations'"
    } else if database.is_mysql() {
        "SELECT table_name FROM information_schema.tables
         WHERE table_schema = DATABASE() AND table_type = 'BASE TABLE' AND table_name <> '_sqlx_migrations'"
    } else {
        "SELECT relname::text FROM pg_class WHERE relnamespace = current_schema()::regnamespace
         AND relkind IN ('r', 'p') AND NOT relispartition AND relname <> '_sqlx_migrations'"
    };
    for table in database.texts(tables).await {
        database.execute(&format!("ALTER TABLE {table} ADD COLUMN added_later integer DEFAULT 7")).await;
    }
    database.execute("CREATE TABLE of_a_newer_program (id bigint)").await;
}

pub(super) async fn a_program_works_on_while_a_newer_one_has_only_added(database: TestDatabase) {
    let sender = Sender::new(&database, 0).await;
    let flusher = &mut database.flusher(&["1m"]);
    sender.flush(flusher, "BTCUSDT", &trades(1..=10)).await;
    add_to_every_table(&database).await;
    pretend_migration(&database).await;
    assert!(database.store.is_usable().await.unwrap());
    // By the one that runs, and by another that is started now.
    let report = sender.flush(flusher, "BTCUSDT", &trades(5..=15)).await;
    assert_eq!((report.trades_new, report.trades_duplicate), (5, 6));
    let report = sender.flush(&mut database.flusher(&["1m"]), "BTCUSDT", &trades(16..=20)).await;
    assert_eq!(report.trades_new, 5);
    assert_eq!(database.complete_minutes().await, [1, 2]);
    assert_eq!(database.store.ledgers().await.unwrap()[0].trades_held, 20);
    database.assert_conserved().await;
    // What it needs is gone.
    database.execute("UPDATE compatibility SET oldest_known_version = 99").await;
    let refused = database.store.is_usable().await;
    assert!(
        matches!(refused, Err(StoreError::SchemaTooNew { found: 99, known: LATEST_SCHEMA_VERSION })),
        "{refused:?}"
    );
}

pub(super) async fn a_schema_belongs_to_the_first_claimant(database: TestDatabase) {
    assert_eq!(database.store.owner().await.unwrap(), None);
    assert_eq!(database.store.claim(&owner("a")).await.unwrap(), Claim::Ours);
    assert_eq!(database.store.claim(&owner("b")).await.unwrap(), Claim::Other(owner("a")));
    assert_eq!(database.store.claim(&owner("a")).await.unwrap(), Claim::Ours);
}

pub(super) async fn a_schema_is_handed_over_only_by_who_has_it(database: TestDatabase) {
    database.store.claim(&owner("a")).await.unwrap();
    database.store.hand_over(&owner("b"), &owner("c")).await.unwrap();
    assert_eq!(database.store.claim(&owner("c")).await.unwrap(), Claim::Other(owner("a")));
    database.store.hand_over(&owner("a"), &owner("c")).await.unwrap();
    assert_eq!(database.store.claim(&owner("c")).await.unwrap(), Claim::Ours);
}

pub(super) async fn only_the_owner_drops_a_schema(database: TestDatabase) {
    database.store.claim(&owner("a")).await.unwrap();
    assert!(!database.store.drop_schema(&owner("b")).await.unwrap());
    assert_eq!(database.store.owner().await.unwrap(), Some(owner("a")));
    assert!(database.store.drop_schema(&owner("a")).await.unwrap());
    assert_eq!(database.store.schema_version().await.unwrap(), None);
}
