//! Migrations and who a schema belongs to.

use super::database::TestDatabase;
use crate::{Claim, LATEST_SCHEMA_VERSION, Owner, StoreError};

fn owner(uid: &str) -> Owner {
    Owner { namespace: "market".into(), name: "majors".into(), uid: uid.into() }
}

pub(super) async fn migrating_twice_changes_nothing(database: TestDatabase) {
    assert_eq!(database.store.schema_version().await.unwrap(), Some(LATEST_SCHEMA_VERSION));
    assert_eq!(database.store.migrate().await.unwrap(), LATEST_SCHEMA_VERSION);
}

pub(super) async fn a_newer_schema_is_refused_and_left_alone(database: TestDatabase) {
    let migrations = database.number("SELECT count(*) FROM _sqlx_migrations").await;
    let newer = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
                 SELECT 99, 'of a newer program', success, checksum, 0 FROM _sqlx_migrations WHERE version = 1";
    database.execute(newer).await;
    let refused = database.store.migrate().await;
    assert!(
        matches!(refused, Err(StoreError::SchemaTooNew { found: 99, known: LATEST_SCHEMA_VERSION })),
        "{refused:?}"
    );
    assert!(!refused.unwrap_err().is_transient());
    assert_eq!(database.number("SELECT count(*) FROM _sqlx_migrations").await, migrations + 1);
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
