//! How much room the database takes and since when what is kept in it, asked now and then by the one that has the first partition. And
//! whether it answers at all, where no partition is there to notice it by.

use std::sync::Arc;
use std::time::Duration;

use runtime::error_chain::error_chain;
use store::Store;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::state::AggregatorState;

/// Sizes are summed up over every day's tables.
const INTERVAL: Duration = Duration::from_mins(1);
/// How soon it is known whose the first partition is now.
const LOOK_INTERVAL: Duration = Duration::from_secs(2);
/// Who flushes nothing would take the database for what it was at the last flush.
const PING_INTERVAL: Duration = Duration::from_secs(5);

/// Keeps what the state tells of the database's room fresh until `shutdown`.
pub(super) async fn keep_asking(store: Store, state: Arc<AggregatorState>, shutdown: CancellationToken) {
    let mut next_look = tokio::time::interval(LOOK_INTERVAL);
    let mut asked_at: Option<Instant> = None;
    let mut pinged_at: Option<Instant> = None;
    while shutdown.run_until_cancelled(next_look.tick()).await.is_some() {
        if state.has_no_partition() && pinged_at.is_none_or(|pinged_at| pinged_at.elapsed() >= PING_INTERVAL)
        {
            pinged_at = Some(Instant::now());
            let Some(answer) = shutdown.run_until_cancelled(store.ping()).await else { return };
            // Meanwhile a flush may know better.
            if state.has_no_partition() {
                state.note_database(answer.map_err(|error| error_chain(&error)));
            }
        }
        if !state.has_first_partition() {
            asked_at = None;
            state.note_database_room(None);
        } else if asked_at.is_none_or(|asked_at| asked_at.elapsed() >= INTERVAL) {
            asked_at = Some(Instant::now());
            let Some(room) = shutdown.run_until_cancelled(store.room()).await else { return };
            if let Err(error) = &room {
                tracing::warn!(error = error_chain(error), "the sizes of the tables cannot be read");
            }
            state.note_database_room(room.ok());
        }
    }
}

#[cfg(test)]
mod tests {
    use store::ConnectOptions;

    use super::*;

    async fn is_available_after_a_look(store: &Store, state: &Arc<AggregatorState>) -> bool {
        let shutdown = CancellationToken::new();
        let asking = tokio::spawn(keep_asking(store.clone(), Arc::clone(state), shutdown.clone()));
        let before = state.database_is_available();
        let changed = async {
            while state.database_is_available() == before {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), changed).await.unwrap();
        shutdown.cancel();
        asking.await.unwrap();
        state.database_is_available()
    }

    #[tokio::test]
    async fn who_has_no_partition_notices_all_the_same_that_the_database_is_away_or_back() {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}", folder.path().join("market.db").display());
        let options = ConnectOptions { create: true, ..ConnectOptions::default() };
        let store = Store::connect(&url.as_str().into(), "market", options).await.unwrap();
        let state = Arc::new(AggregatorState::default());
        assert!(is_available_after_a_look(&store, &state).await);
        store.close().await;
        assert!(!is_available_after_a_look(&store, &state).await);
    }
}
