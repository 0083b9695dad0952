//! One connection that looks at one schema after the other. SQLite has none.

use std::time::Duration;

use super::database::TestDatabase;
use crate::{Backend, DatabaseConnection, LATEST_SCHEMA_VERSION, Owner, Store};

const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(30);

/// A schema's name, and a pipeline of the same name as its owner.
async fn owned_schema(database: &TestDatabase) -> String {
    let current = if database.is_mysql() { "SELECT DATABASE()" } else { "SELECT current_schema()::text" };
    let schema = database.texts(current).await.remove(0);
    let owner = Owner { namespace: "market".into(), name: schema.clone(), uid: schema.clone() };
    database.store.claim(&owner).await.unwrap();
    schema
}

async fn connection(database: &TestDatabase) -> Store {
    let variable = if database.is_mysql() { "MYSQL_URL" } else { "POSTGRES_URL" };
    let url = DatabaseConnection::from(std::env::var(variable).unwrap());
    Store::connect_to_turn(&url, ACQUIRE_TIMEOUT).await.unwrap()
}

async fn owner_name(store: &Store) -> Option<String> {
    store.owner().await.unwrap().map(|owner| owner.name)
}

/// Ends the one connection that `turned` has.
async fn cut_off(database: &TestDatabase, turned: &Store) {
    match &turned.backend {
        Backend::Postgres(turned) => {
            let id: i32 =
                sqlx::query_scalar("SELECT pg_backend_pid()").fetch_one(turned.pool()).await.unwrap();
            database.execute(&format!("SELECT pg_terminate_backend({id}, 10000)")).await;
        }
        Backend::MySql(turned) => {
            let id: i64 = sqlx::query_scalar("SELECT CAST(CONNECTION_ID() AS SIGNED)")
                .fetch_one(turned.pool())
                .await
                .unwrap();
            database.execute(&format!("KILL {id}")).await;
        }
        Backend::Sqlite(_) => unreachable!(),
    }
}

async fn a_connection_tells_of_the_schema_that_it_was_turned_to(one: TestDatabase, other: TestDatabase) {
    let connection = connection(&one).await;
    let (one_schema, other_schema) = (owned_schema(&one).await, owned_schema(&other).await);
    // The same statements, prepared once.
    for schema in [&one_schema, &other_schema, &one_schema, &other_schema] {
        let store = connection.turned_to(schema).await.unwrap();
        assert_eq!(store.schema_version().await.unwrap(), Some(LATEST_SCHEMA_VERSION));
        assert_eq!(owner_name(&store).await.as_ref(), Some(schema));
        assert_eq!(store.differences().await.unwrap(), [] as [&str; 0]);
    }
    let missing = connection.turned_to("of_nobody").await.unwrap();
    assert_eq!(missing.schema_version().await.unwrap(), None);
    // Nor is the one before looked at.
    missing.owner().await.unwrap_err();
}

async fn a_schema_that_is_missing_is_made_where_it_was_turned_to(database: TestDatabase) {
    let connection = connection(&database).await;
    let schema = format!("test_{}", uuid::Uuid::new_v4().simple());
    let store = connection.turned_to(&schema).await.unwrap();
    assert_eq!(store.migrate().await.unwrap(), LATEST_SCHEMA_VERSION);
    assert_eq!(store.owner().await.unwrap(), None);
    let drop = if database.is_mysql() { "DROP DATABASE" } else { "DROP SCHEMA" };
    let cascade = if database.is_mysql() { "" } else { "CASCADE" };
    database.execute(&format!("{drop} {schema} {cascade}")).await;
}

async fn a_connection_that_was_cut_off_fails_and_looks_nowhere_else(database: TestDatabase) {
    let schema = owned_schema(&database).await;
    let connection = connection(&database).await;
    let store = connection.turned_to(&schema).await.unwrap();
    cut_off(&database, &store).await;
    // The first statement meets the end of the connection, the next one another connection.
    for _ in 0..3 {
        store.owner().await.unwrap_err();
    }
    assert_eq!(owner_name(&connection.turned_to(&schema).await.unwrap()).await, Some(schema));
}

macro_rules! on_servers {
    ($($module:ident: $database:path;)*) => {
        $(mod $module {
            use super::*;

            #[tokio::test(flavor = "multi_thread")]
            async fn a_connection_tells_of_the_schema_that_it_was_turned_to() {
                if let (Some(one), Some(other)) = ($database().await, $database().await) {
                    super::a_connection_tells_of_the_schema_that_it_was_turned_to(one, other).await;
                }
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn a_schema_that_is_missing_is_made_where_it_was_turned_to() {
                if let Some(database) = $database().await {
                    super::a_schema_that_is_missing_is_made_where_it_was_turned_to(database).await;
                }
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn a_connection_that_was_cut_off_fails_and_looks_nowhere_else() {
                if let Some(database) = $database().await {
                    super::a_connection_that_was_cut_off_fails_and_looks_nowhere_else(database).await;
                }
            }
        })*
    };
}

on_servers! {
    on_postgres: TestDatabase::postgres;
    on_mysql: TestDatabase::mysql;
}
