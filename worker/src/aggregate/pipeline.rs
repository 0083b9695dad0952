//! The batch that is being read and the one that is being committed.

use std::sync::Arc;
use std::time::Duration;

use store::PartitionPosition;
use tokio::sync::{mpsc, oneshot};

use super::batch::{Added, BatchBuilder, RawRecord};
use super::batch_trace::BatchTrace;
use super::committer::{CommitRequest, Committed};
use super::state::AggregatorState;

/// A batch of this many records does not get larger: one transaction has to end some time, and the batch
/// has to fit into memory twice.
const LARGEST_BATCH_RECORDS: usize = 50_000;

/// Belongs to the consumer's thread; the rebalance callback that runs on it needs it too.
pub(super) struct Pipeline {
    builder: BatchBuilder,
    commits: mpsc::Sender<CommitRequest>,
    in_flight: Option<InFlight>,
    /// A batch failed: nothing read since holds any more.
    failed: bool,
    flush_interval: Duration,
    last_commit_took: Duration,
    state: Arc<AggregatorState>,
    /// Positions committed since the last call of `take_committed`.
    committed: Vec<(i32, i64)>,
}

struct InFlight {
    reply: oneshot::Receiver<Committed>,
    positions: Vec<(i32, i64)>,
}

impl Pipeline {
    pub(super) fn new(
        builder: BatchBuilder,
        commits: mpsc::Sender<CommitRequest>,
        flush_interval: Duration,
        state: Arc<AggregatorState>,
    ) -> Self {
        Self {
            builder,
            commits,
            in_flight: None,
            failed: false,
            flush_interval,
            last_commit_took: Duration::ZERO,
            state,
            committed: Vec::new(),
        }
    }

    pub(super) fn assign(&mut self, positions: &[PartitionPosition]) {
        self.builder.assign(positions);
        let assigned = self.builder.positions();
        self.state.note_assignment(assigned);
    }

    pub(super) fn revoke(&mut self, partitions: &[i32]) {
        self.builder.revoke(partitions);
        let assigned = self.builder.positions();
        self.state.note_assignment(assigned);
    }

    pub(super) fn assigned(&self) -> Vec<i32> {
        self.builder.assigned()
    }

    pub(super) fn add(&mut self, record: RawRecord<'_>) -> Added {
        self.builder.add(record)
    }

    /// The traces of the batch that is being read.
    pub(super) fn trace(&mut self) -> &mut BatchTrace {
        &mut self.builder.trace
    }

    pub(super) fn skip_to(&mut self, partition: i32, offset: i64) {
        self.builder.skip_to(partition, offset);
    }

    /// Whether no more may be read until a commit has ended.
    pub(super) fn is_full(&self) -> bool {
        self.builder.records() >= LARGEST_BATCH_RECORDS
    }

    /// Begins to commit what was read, if it is due and nothing else is being committed.
    pub(super) fn commit_if_due(&mut self) {
        self.look_for_reply();
        if self.in_flight.is_none()
            && !self.failed
            && (self.is_full() || self.until_due() == Some(Duration::ZERO))
        {
            self.commit_now();
        }
    }

    /// How long until what was read is due. Few symbols get low latency and many get fewer, larger
    /// transactions by themselves: a batch is due when it is older than the interval and than the last
    /// commit took.
    pub(super) fn until_due(&self) -> Option<Duration> {
        let age = self.builder.begun()?.elapsed();
        Some(self.flush_interval.max(self.last_commit_took).saturating_sub(age))
    }

    /// Whether a batch is being committed.
    pub(super) fn is_committing(&self) -> bool {
        self.in_flight.is_some()
    }

    /// Whether a batch failed, so that the positions must be read again.
    pub(super) fn has_failed(&self) -> bool {
        self.failed
    }

    /// Commits all that was read and waits for it, as long as a flush may take. After a failure there is
    /// nothing to wait for: whoever goes on reads the positions from the database.
    pub(super) fn drain(&mut self) {
        self.await_reply();
        if !self.failed {
            self.commit_now();
            self.await_reply();
        }
    }

    /// Forgets all that was read. Nothing more is committed until [`Self::restart`].
    pub(super) fn discard(&mut self) {
        self.await_reply();
        let _ = self.builder.take();
        self.failed = true;
    }

    /// Goes on with these partitions, and no others, from these positions.
    pub(super) fn restart(&mut self, positions: &[PartitionPosition]) {
        self.builder.clear();
        self.failed = false;
        self.assign(positions);
    }

    /// Nothing is committed from now on, whoever still holds this.
    pub(super) fn end(&mut self) {
        self.commits = mpsc::channel(1).0;
    }

    /// The positions that were committed since the last call.
    pub(super) fn take_committed(&mut self) -> Vec<(i32, i64)> {
        std::mem::take(&mut self.committed)
    }

    fn commit_now(&mut self) {
        let Some(taken) = self.builder.take() else { return };
        let positions =
            taken.batch.partitions.iter().map(|progress| (progress.partition, progress.next_offset));
        let positions = positions.collect();
        let (sender, reply) = oneshot::channel();
        // There is room for one, and nothing else is in flight.
        if self.commits.try_send(CommitRequest { taken, reply: sender }).is_ok() {
            self.in_flight = Some(InFlight { reply, positions });
        } else {
            self.failed = true;
        }
    }

    fn look_for_reply(&mut self) {
        if let Some(mut in_flight) = self.in_flight.take() {
            match in_flight.reply.try_recv() {
                Err(oneshot::error::TryRecvError::Empty) => self.in_flight = Some(in_flight),
                Err(oneshot::error::TryRecvError::Closed) => {
                    self.note_reply(Committed::Failed, in_flight.positions)
                }
                Ok(committed) => self.note_reply(committed, in_flight.positions),
            }
        }
    }

    /// Waits until the batch that is being committed is, as long as a flush may take.
    pub(super) fn await_reply(&mut self) {
        if let Some(in_flight) = self.in_flight.take() {
            let committed = in_flight.reply.blocking_recv().unwrap_or(Committed::Failed);
            self.note_reply(committed, in_flight.positions);
        }
    }

    fn note_reply(&mut self, committed: Committed, positions: Vec<(i32, i64)>) {
        match committed {
            Committed::Yes { took } => {
                self.last_commit_took = took;
                self.state.note_positions(&positions);
                self.committed.extend(positions);
            }
            Committed::Failed => self.failed = true,
        }
    }
}
