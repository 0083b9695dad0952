//! Commits one batch at a time while the next one is read.

use std::sync::Arc;
use std::time::{Duration, Instant};

use runtime::error_chain::error_chain;
use store::Flusher;
use tokio::sync::{mpsc, oneshot};
use tracing::Instrument as _;

use super::batch::TakenBatch;
use super::state::AggregatorState;
use crate::flow_gate::FlowGate;
use jiff::Timestamp;

/// A database that does not answer for this long is gone; whatever it was told may have happened.
const LONGEST_FLUSH: Duration = Duration::from_secs(60);
/// The reason of a flush that took longer.
pub(super) const TIMEOUT: &str = "timeout";

/// A batch, and whom to tell how it ended.
pub(super) struct CommitRequest {
    pub(super) taken: TakenBatch,
    pub(super) reply: oneshot::Sender<Committed>,
}

/// How a batch ended. After a failure nothing that was cached or read holds any more.
#[derive(Debug)]
pub(super) enum Committed {
    /// It is in the database.
    Yes {
        /// How long that took.
        took: Duration,
    },
    /// It is not, or that is not known.
    Failed,
}

/// Commits what comes until no more can come.
pub(super) async fn commit_batches(
    mut flusher: Flusher,
    mut requests: mpsc::Receiver<CommitRequest>,
    gate: Arc<FlowGate>,
    state: Arc<AggregatorState>,
) {
    while let Some(CommitRequest { taken, reply }) = requests.recv().await {
        let TakenBatch { batch, bytes, event_times_us, trace } = taken;
        let span = trace.flush_span(&batch);
        let begun = Instant::now();
        let flushed =
            tokio::time::timeout(LONGEST_FLUSH, flusher.flush(batch, Timestamp::now().as_microsecond()))
                .instrument(span.clone())
                .await;
        let took = begun.elapsed();
        let committed = span.in_scope(|| match flushed {
            Ok(Ok(report)) => {
                trace.committed(&span, &report);
                gate.committed(bytes);
                let oldest_us = event_times_us
                    .map(|(first_us, _)| Timestamp::now().as_microsecond().saturating_sub(first_us));
                state.note_flush(&report, took, oldest_us);
                Committed::Yes { took }
            }
            Ok(Err(error)) => {
                tracing::warn!(reason = error.reason(), error = error_chain(&error), "batch thrown away");
                trace.failed(&span, error.reason());
                state.note_failed_flush(error.reason(), error_chain(&error));
                Committed::Failed
            }
            Err(_) => {
                flusher.forget();
                trace.failed(&span, TIMEOUT);
                state.note_failed_flush(TIMEOUT, format!("no answer within {} s", LONGEST_FLUSH.as_secs()));
                Committed::Failed
            }
        });
        // Nobody waits for the answer once the consumer was given up.
        let _ = reply.send(committed);
    }
}
