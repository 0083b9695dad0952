//! The database as a worker meets it: waited for until it answers and its tables are there.

use std::time::Duration;

use runtime::backoff::Backoff;
use runtime::error_chain::error_chain;
use store::{ConnectOptions, DatabaseConnection, LATEST_SCHEMA_VERSION, Store, StoreError};
use tokio_util::sync::CancellationToken;

/// Connects and waits until the schema is there, telling `note` what it waits for; `None` once the worker shuts down.
///
/// # Errors
/// [`StoreError`] for what waiting cannot mend.
pub(crate) async fn connect(
    connection: &DatabaseConnection,
    schema: &str,
    max_connections: u32,
    note: impl Fn(Result<(), String>),
    shutdown: &CancellationToken,
) -> Result<Option<Store>, StoreError> {
    let options = ConnectOptions { max_connections, ..ConnectOptions::default() };
    let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));
    loop {
        let why_not = match open_migrated(connection, schema, options).await {
            Ok(Some(store)) => {
                note(Ok(()));
                return Ok(Some(store));
            }
            Ok(None) => format!("the schema is not at version {LATEST_SCHEMA_VERSION} yet"),
            Err(error) if error.is_transient() => error_chain(&error),
            Err(error) => return Err(error),
        };
        tracing::warn!(why_not, "the database cannot be used yet");
        note(Err(why_not));
        if !backoff.wait(shutdown).await {
            return Ok(None);
        }
    }
}

async fn open_migrated(
    connection: &DatabaseConnection,
    schema: &str,
    options: ConnectOptions,
) -> Result<Option<Store>, StoreError> {
    let store = Store::connect(connection, schema, options).await?;
    Ok(store.is_usable().await?.then_some(store))
}
