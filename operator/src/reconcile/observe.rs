//! Step 1: what is known of the world. The types are plain values, so that whoever reconciles without a
//! cluster can fill them in; the modules below read them from a cluster, a broker, a database and the workers.

pub mod cluster;
pub mod database;
pub mod door;
pub mod gather;
pub mod kafka;
pub mod reader;
pub mod secrets;
pub mod services;
pub mod turns;
pub mod workers;

use std::collections::{BTreeMap, BTreeSet};

use crds::worker_status::{AggregatorStatus, ProducerStatus, RepairerStatus};
use jiff::Timestamp;
use runtime::kafka_admin::TopicDescription;
use store::{
    BegunSeries, CheckCount, CompatibilityViews, DifferingCandle, MarketLedger, Owner, PartitionPosition,
};

use secrets::SecretProblem;

/// Everything that a reconcile knows beside the resource itself.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Observed {
    /// The topic at the broker, or none of that name.
    pub topic: Reading<Option<TopicState>>,
    /// An older pipeline that names the same topic at the same broker.
    pub topic_rival: Option<String>,
    /// The broker's credentials.
    pub kafka_secrets: SecretState,
    /// The database's credentials.
    pub database_secrets: SecretState,
    /// The schema in the database.
    pub schema: Reading<SchemaState>,
    /// The ports behind the Services among the servers that the pipeline names, by host.
    pub service_ports: BTreeMap<String, Reading<BTreeSet<u16>>>,
    /// The Deployments, or whatever runs the workers.
    pub workloads: Workloads,
    /// What the workers tell of themselves.
    pub workers: Reading<WorkerReports>,
    /// Since when nobody runs who writes to the topic, as far as it was seen; `None` while somebody does.
    pub writers_gone_since: Option<Timestamp>,
}

/// The last look at something that is read in the background.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Reading<T> {
    /// Nobody has looked yet.
    #[default]
    Pending,
    /// The last look failed.
    Failed(Failure),
    /// What was seen.
    Known {
        /// As it was.
        value: T,
        /// When the look began.
        at: Timestamp,
    },
}

impl<T> Reading<T> {
    /// What was seen, if the last look did not fail.
    pub const fn value(&self) -> Option<&T> {
        match self {
            Self::Known { value, .. } => Some(value),
            Self::Pending | Self::Failed(_) => None,
        }
    }

    /// What was seen by a look that began after `time`.
    pub fn value_after(&self, time: Timestamp) -> Option<&T> {
        match self {
            Self::Known { value, at } if *at > time => Some(value),
            _ => None,
        }
    }
}

/// Why a look failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// In words, without credentials.
    pub message: String,
    /// Whether it may work the next time without anybody changing anything.
    pub is_transient: bool,
}

/// Somebody whom workers connect to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Server {
    /// A name or an address.
    pub host: String,
    /// As it is named; behind a Service it may be another.
    pub port: u16,
}

impl From<(String, u16)> for Server {
    fn from((host, port): (String, u16)) -> Self {
        Self { host, port }
    }
}

/// A topic as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicState {
    /// Its id, partitions and replication.
    pub description: TopicDescription,
    /// Its effective settings, defaults included.
    pub config: BTreeMap<String, String>,
    /// The offset after the last record of each partition from 0 on.
    pub end_offsets: Vec<i64>,
    /// Where the brokers say that they answer.
    pub brokers: BTreeSet<Server>,
}

/// What the Secrets for one server give.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum SecretState {
    /// Nobody has looked yet.
    #[default]
    Pending,
    /// None are needed: the spec names none, or there is no cluster.
    NotNeeded,
    /// One of them does not give what it is there for.
    Missing(SecretProblem),
    /// They are there.
    Found {
        /// Changes when they do; tells nothing of them.
        checksum: String,
        /// The server that they are for, if they say that.
        server: Option<Server>,
    },
}

/// A schema as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SchemaState {
    /// The version of its tables; `None` where there are none.
    pub version: Option<i64>,
    /// Whose it is.
    pub owner: Option<Owner>,
    /// What of its tables is not as the migrations leave them.
    pub differences: Vec<String>,
    /// The views of its tables under other names.
    pub views: CompatibilityViews,
    /// The workers' user, where the operator connects as another one.
    pub worker_user: Option<String>,
    /// Whether that user may read and write rows; means nothing where there is none.
    pub workers_may_write: bool,
    /// How far the topic's partitions are read. Read before `ledgers`, which hold at least as much.
    pub positions: Vec<PartitionPosition>,
    /// What is held and what is missing, by market.
    pub ledgers: Vec<MarketLedger>,
    /// The series that have begun.
    pub series: Vec<BegunSeries>,
    /// What comparisons of candles with the exchange's own have found.
    pub checks: CandleChecks,
}

/// What comparisons of candles with the exchange's own have found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CandleChecks {
    /// How many candles were compared; counted once a minute.
    pub counts: Vec<CheckCount>,
    /// Candles that are not equal, those that are wrong here first; the newest few.
    pub differing: Vec<DifferingCandle>,
}

/// What runs the workers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Workloads {
    /// By source.
    pub producers: BTreeMap<String, Workload>,
    /// The aggregators.
    pub aggregator: Option<Workload>,
    /// The repairer.
    pub repairer: Option<Workload>,
}

impl Workloads {
    /// Everybody who writes to the topic.
    pub fn writers(&self) -> impl Iterator<Item = &Workload> {
        self.producers.values().chain(&self.repairer)
    }
}

/// A set of equal pods.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Workload {
    /// How many there should be.
    pub wished: i32,
    /// How many there are, those of an older template included.
    pub replicas: i32,
    /// How many are ready.
    pub ready: i32,
    /// Whether what runs is what was last asked for.
    pub is_current: bool,
    /// Why pods do not come up, where the cluster says so.
    pub problem: Option<String>,
}

impl Workload {
    /// Whether no pod is there, and none is asked for.
    #[must_use]
    pub const fn is_gone(&self) -> bool {
        self.wished == 0 && self.replicas == 0
    }
}

/// What the workers answered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WorkerReports {
    /// The producers' answers.
    pub producers: Vec<WorkerReport<ProducerStatus>>,
    /// The aggregators' answers.
    pub aggregators: Vec<WorkerReport<AggregatorStatus>>,
    /// The repairer's answer; two for a moment while one takes over.
    pub repairers: Vec<WorkerReport<RepairerStatus>>,
}

/// One worker's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkerReport<S> {
    /// The pod's name.
    pub pod: String,
    /// What it said of itself, or why it said nothing.
    pub answer: Result<S, String>,
}

impl WorkerReports {
    /// The producers that answered.
    pub fn answered_producers(&self) -> impl Iterator<Item = &ProducerStatus> {
        self.producers.iter().filter_map(|report| report.answer.as_ref().ok())
    }

    /// The repairers that answered.
    pub fn answered_repairers(&self) -> impl Iterator<Item = &RepairerStatus> {
        self.repairers.iter().filter_map(|report| report.answer.as_ref().ok())
    }

    /// The aggregators that answered.
    pub fn answered_aggregators(&self) -> impl Iterator<Item = &AggregatorStatus> {
        self.aggregators.iter().filter_map(|report| report.answer.as_ref().ok())
    }
}

impl SchemaState {
    /// The workers' user, where it has to be let in.
    #[must_use]
    pub fn locked_out(&self) -> Option<&str> {
        self.worker_user.as_deref().filter(|_| !self.workers_may_write)
    }
}

impl Observed {
    /// The topic, where the broker has it.
    #[must_use]
    pub fn topic_state(&self) -> Option<&TopicState> {
        self.topic.value().and_then(Option::as_ref)
    }

    /// How many records the broker holds that the database does not yet, by the last looks at both, if nobody writes.
    #[must_use]
    pub fn unread(&self) -> Option<i64> {
        let (topic, schema) = (self.topic_state()?, self.schema.value()?);
        let behind = records_behind(&topic.description.id, &topic.end_offsets, &schema.positions);
        Some(behind.into_iter().sum())
    }
}

/// The records between the stored positions and the topic's ends, by partition. Positions of another topic of the same
/// name do not count; a partition that was never read counts from its first offset.
pub(super) fn records_behind(
    topic_id: &str,
    end_offsets: &[i64],
    positions: &[PartitionPosition],
) -> Vec<i64> {
    let next_offset = |partition: usize| {
        positions
            .iter()
            .find(|position| {
                usize::try_from(position.partition) == Ok(partition) && position.topic_id == topic_id
            })
            .map_or(0, |position| position.next_offset)
    };
    let behind = |(partition, end): (usize, &i64)| (end - next_offset(partition)).max(0);
    end_offsets.iter().enumerate().map(behind).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn position(partition: i32, topic_id: &str, next_offset: i64) -> PartitionPosition {
        PartitionPosition {
            partition,
            topic_id: topic_id.to_owned(),
            next_offset,
            records_read: next_offset,
            trades_new: next_offset,
            trades_duplicate: 0,
            records_set_aside: 0,
        }
    }

    #[test]
    fn a_partition_is_behind_by_what_the_database_has_not_read_of_this_topic() {
        assert_eq!(
            records_behind("now", &[10, 10], &[position(0, "now", 10), position(1, "now", 7)]),
            [0, 3]
        );
    }

    #[test]
    fn unread_partitions_and_positions_of_a_deleted_topic_count_from_the_beginning() {
        let positions = [position(0, "now", 10), position(1, "before", 5)];
        assert_eq!(records_behind("now", &[10, 5, 4], &positions), [0, 5, 4]);
    }

    #[test]
    fn a_position_beyond_the_end_is_not_behind() {
        assert_eq!(records_behind("now", &[10], &[position(0, "now", 12)]), [0]);
    }
}
