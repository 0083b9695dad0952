//! What an aggregator knows about itself: its `/status` and its `/readyz`.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crds::worker_status::{AggregatorStatus, DatabaseRoomStatus, DependencyStatus, PartitionStatus};
use runtime::broker_health::BrokerHealth;
use runtime::health::Probes;
use runtime::metrics::count;
use store::{DatabaseRoom, FlushReport};

use super::metrics::{Figures, PartitionLabel, ReasonLabel};

/// Shared by everything that an aggregator consists of, and by whoever watches it.
#[derive(Debug)]
pub struct AggregatorState {
    /// The broker, as the consumer's client sees it.
    pub(super) broker: BrokerHealth,
    inner: Mutex<Inner>,
    pub(super) figures: Figures,
}

#[derive(Debug, Default)]
struct Inner {
    /// Why the database cannot be used; `None` before the first answer.
    database: Option<Result<(), String>>,
    /// Whether the group has answered with an assignment, if only an empty one.
    joined: bool,
    partitions: BTreeMap<i32, PartitionStatus>,
    /// Of the one that has the first partition, once it has asked.
    database_room: Option<DatabaseRoom>,
    status: AggregatorStatus,
}

impl Default for AggregatorState {
    /// A state that knows nothing yet.
    fn default() -> Self {
        Self { broker: BrokerHealth::default(), inner: Mutex::default(), figures: Figures::new() }
    }
}

impl AggregatorState {
    fn inner(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The database answered, or why it did not.
    pub(super) fn note_database(&self, answer: Result<(), String>) {
        self.inner().database = Some(answer);
    }

    pub(super) fn database_is_available(&self) -> bool {
        matches!(self.inner().database, Some(Ok(())))
    }

    pub(super) fn note_flush(&self, report: &FlushReport, took: Duration, latency_us: Option<i64>) {
        let set_aside: i64 = report.set_aside.iter().map(|(_, count)| count).sum();
        {
            let mut inner = self.inner();
            inner.database = Some(Ok(()));
            let status = &mut inner.status;
            status.flushes += 1;
            status.last_flush_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
            status.records_read += unsigned(report.records_read);
            status.trades_new += unsigned(report.trades_new);
            status.trades_duplicate += unsigned(report.trades_duplicate);
            status.samples_new += unsigned(report.samples_new);
            status.samples_duplicate += unsigned(report.samples_duplicate);
            status.records_set_aside += unsigned(set_aside);
        }
        self.figures.records_read.inc_by(unsigned(report.records_read));
        self.figures.trades_new.inc_by(unsigned(report.trades_new));
        self.figures.trades_duplicate.inc_by(unsigned(report.trades_duplicate));
        self.figures.samples_new.inc_by(unsigned(report.samples_new));
        self.figures.samples_duplicate.inc_by(unsigned(report.samples_duplicate));
        for (reason, count) in &report.set_aside {
            let label = ReasonLabel { reason: (*reason).to_owned() };
            self.figures.records_set_aside.get_or_create(&label).inc_by(unsigned(*count));
        }
        self.figures.flush_duration.observe(took.as_secs_f64());
        self.figures.flush_records.observe(count(unsigned(report.records_read)));
        if let Some(latency_us) = latency_us {
            self.figures.commit_latency.observe(Duration::from_micros(unsigned(latency_us)).as_secs_f64());
        }
    }

    pub(super) fn note_failed_flush(&self, reason: &str, message: String) {
        let mut inner = self.inner();
        *inner.status.flushes_retried.entry(reason.to_owned()).or_default() += 1;
        self.figures.flushes_retried.get_or_create(&ReasonLabel { reason: reason.to_owned() }).inc();
        // Another writer is no fault of the database.
        if reason != "offset_moved" {
            inner.database = Some(Err(message));
        }
    }

    /// The partitions that are ours from now on, with the positions in the database.
    pub(super) fn note_assignment(&self, positions: impl Iterator<Item = (i32, i64)>) {
        let mut inner = self.inner();
        inner.joined = true;
        let known = std::mem::take(&mut inner.partitions);
        self.figures.lag.clear();
        inner.partitions = positions
            .map(|(partition, next_offset)| {
                let end_offset = known.get(&partition).and_then(|status| status.end_offset);
                (partition, PartitionStatus { partition, next_offset, end_offset })
            })
            .collect();
    }

    /// Every partition belongs to one at most, so what one is enough for is done by the one that has the first.
    pub(super) fn has_first_partition(&self) -> bool {
        self.inner().partitions.contains_key(&0)
    }

    pub(super) fn has_no_partition(&self) -> bool {
        self.inner().partitions.is_empty()
    }

    /// How much room the database takes, if that was asked and answered.
    pub(super) fn note_database_room(&self, room: Option<DatabaseRoom>) {
        self.inner().database_room = room;
    }

    pub(super) fn database_room(&self) -> Option<DatabaseRoom> {
        self.inner().database_room.clone()
    }

    /// Positions that a commit moved.
    pub(super) fn note_positions(&self, positions: &[(i32, i64)]) {
        let mut inner = self.inner();
        for (partition, next_offset) in positions {
            if let Some(status) = inner.partitions.get_mut(partition) {
                status.next_offset = *next_offset;
            }
        }
    }

    /// End offsets as the broker told them last.
    pub(super) fn note_end_offsets(&self, end_offsets: impl Iterator<Item = (i32, i64)>) {
        let mut inner = self.inner();
        for (partition, end_offset) in end_offsets {
            if let Some(status) = inner.partitions.get_mut(&partition) {
                status.end_offset = Some(end_offset);
                let lag = end_offset.saturating_sub(status.next_offset).max(0);
                self.figures.lag.get_or_create(&PartitionLabel { partition }).set(lag);
            }
        }
    }
}

impl Probes for AggregatorState {
    type Status = AggregatorStatus;

    fn why_not_ready(&self) -> Vec<String> {
        let status = self.status();
        let mut reasons = Vec::new();
        if !status.database.available {
            reasons.push(format!("database: {}", status.database.message));
        }
        if !status.broker.available {
            reasons.push(format!("broker: {}", status.broker.message));
        }
        if !self.inner().joined {
            reasons.push("no assignment from the consumer group yet".to_owned());
        }
        reasons
    }

    fn status(&self) -> AggregatorStatus {
        let inner = self.inner();
        let database = match &inner.database {
            Some(Ok(())) => DependencyStatus { available: true, message: String::new() },
            Some(Err(message)) => DependencyStatus { available: false, message: message.clone() },
            None => DependencyStatus { available: false, message: "not connected yet".to_owned() },
        };
        AggregatorStatus {
            broker: DependencyStatus {
                available: self.broker.is_available(),
                message: self.broker.message(),
            },
            database,
            partitions: inner.partitions.values().cloned().collect(),
            database_room: inner.database_room.as_ref().map(|room| DatabaseRoomStatus {
                schema_bytes: room.schema_bytes(),
                trades_kept_since_us: room.trades_kept_since_us,
                candles_kept_since_us: room.candles_kept_since_us,
            }),
            ..inner.status.clone()
        }
    }
}

fn unsigned(count: i64) -> u64 {
    u64::try_from(count).unwrap_or_default()
}
