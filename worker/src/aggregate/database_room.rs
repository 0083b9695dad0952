//! How much room the database takes and since when what is kept in it, asked now and then by the one that has the first partition.

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

/// Keeps what the state tells of the database's room fresh until `shutdown`.
pub(super) async fn keep_asking(store: Store, state: Arc<AggregatorState>, shutdown: CancellationToken) {
    let mut next_look = tokio::time::interval(LOOK_INTERVAL);
    let mut asked_at: Option<Instant> = None;
    while shutdown.run_until_cancelled(next_look.tick()).await.is_some() {
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
