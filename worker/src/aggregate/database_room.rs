//! How much room the database takes, asked now and then.

use std::sync::Arc;
use std::time::Duration;

use runtime::error_chain::error_chain;
use store::Store;
use tokio_util::sync::CancellationToken;

use super::state::RepairerState;

const INTERVAL: Duration = Duration::from_mins(1);

/// Keeps what the state tells of the database's room fresh until `shutdown`.
pub(super) async fn keep_asking(store: Store, state: Arc<RepairerState>, shutdown: CancellationToken) {
    let mut next_turn = tokio::time::interval(INTERVAL);
    while shutdown.run_until_cancelled(next_turn.tick()).await.is_some() {
        let room = store.room().await;
        if let Err(error) = &room {
            tracing::warn!(error = error_chain(error), "the sizes of the tables cannot be read");
        }
        state.note_database_room(room.ok());
    }
}
