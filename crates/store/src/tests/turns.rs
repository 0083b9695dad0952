//! One connection that looks at one schema after the other. SQLite has none.

use std::time::Duration;

use super::database::TestDatabase;
use crate::{Backend, DatabaseConnection, LATEST_SCHEMA_VERSION, Owner, Store};

const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(30);

/// A schema's name, and a pipeline of the same name as its owner.
async fn owned_schema(database: &TestDatabase) -> String {
    let schema = database.texts("SELECT current_schema()::text").await.remove(0);
    let owner = Owner { namespace: "market".into(), name: schema.clone(), uid: schema.clone() };
    database.store.claim(&owner).await.unwrap();
    schema
}

async fn connection() -> Store {
    let url = DatabaseConnection::from(std::env::var("POSTGRES_URL").unwrap());
    Store::connect_to_turn(&url, ACQUIRE_TIMEOUT).await.unwrap()
}

async fn owner_name(store: &Store) -> Option<String> {
    store.owner().await.unwrap().map(|owner| owner.name)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_tells_of_the_schema_that_it_was_turned_to() {
    let (Some(one), Some(other)) = (TestDatabase::postgres().await, TestDatabase::postgres().await) else {
        return;
    };
    let (one, other) = (owned_schema(&one).await, owned_schema(&other).await);
    let connection = connection().await;
    // The same statements, prepared once.
    for schema in [&one, &other, &one, &other] {
        let store = connection.turned_to(schema).await.unwrap();
        assert_eq!(store.schema_version().await.unwrap(), Some(LATEST_SCHEMA_VERSION));
        assert_eq!(owner_name(&store).await.as_ref(), Some(schema));
        assert_eq!(store.differences().await.unwrap(), [] as [&str; 0]);
    }
    let missing = connection.turned_to("of_nobody").await.unwrap();
    assert_eq!(missing.schema_version().await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_was_cut_off_fails_and_looks_nowhere_else() {
    let Some(database) = TestDatabase::postgres().await else { return };
    let schema = owned_schema(&database).await;
    let connection = connection().await;
    let store = connection.turned_to(&schema).await.unwrap();
    let Backend::Postgres(turned) = &store.backend else { unreachable!() };
    let process: i32 = sqlx::query_scalar("SELECT pg_backend_pid()").fetch_one(turned.pool()).await.unwrap();
    database.execute(&format!("SELECT pg_terminate_backend({process}, 10000)")).await;
    // The first statement meets the end of the connection, the next one another connection.
    for _ in 0..3 {
        store.owner().await.unwrap_err();
    }
    assert_eq!(owner_name(&connection.turned_to(&schema).await.unwrap()).await, Some(schema));
}
