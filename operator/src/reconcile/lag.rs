//! How far the database is behind the topic, partition by partition, and which partitions do not keep up.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use super::observe::{Observed, Reading, WorkerReports, records_behind};

/// Fewer records than these are no reason for a word, however long they stand.
const WORTH_A_WORD: i64 = 1_000;
/// A partition that has been so far behind for so long, and came no nearer, does not keep up.
const LONG: SignedDuration = SignedDuration::from_secs(60);

/// What is known of the lag.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LagReport {
    /// Records that the broker holds and the database does not, by partition from 0 on. Broker and database are looked at
    /// at different times: what was written in between is not counted, so that a busy topic does not look late.
    pub records: Vec<i64>,
    /// The partitions that do not keep up, ascending.
    pub not_keeping_up: Vec<i32>,
}

impl LagReport {
    /// The records of all partitions.
    #[must_use]
    pub fn total(&self) -> i64 {
        self.records.iter().sum()
    }
}

/// Puts the looks at broker, database and workers together, and remembers who was behind.
#[derive(Debug, Default)]
pub struct LagWatch {
    /// The last two looks at the topic, the newest first: the database's last look began after one of them, or soon will.
    ends: Vec<TopicEnds>,
    last: Option<LagReport>,
    behind: BTreeMap<i32, Behind>,
}

#[derive(Clone, Debug)]
struct TopicEnds {
    at: Timestamp,
    topic_id: String,
    end_offsets: Vec<i64>,
}

/// Since when a partition has come no nearer to its end, and how far away that was then.
#[derive(Clone, Copy, Debug)]
struct Behind {
    since: Timestamp,
    records: i64,
}

impl LagWatch {
    /// Takes in the last looks and tells what they say at `now`. `None` while broker or database cannot be read: the lag is
    /// not known then, and nothing is remembered of before.
    pub fn update(&mut self, observed: &Observed, now: Timestamp) -> Option<LagReport> {
        let (Reading::Known { value: Some(topic), at: topic_at }, Reading::Known { value: schema, at }) =
            (&observed.topic, &observed.schema)
        else {
            *self = Self::default();
            return None;
        };
        let topic_id = &topic.description.id;
        self.ends.retain(|ends| ends.topic_id == *topic_id);
        if self.ends.first().is_none_or(|newest| newest.at != *topic_at) {
            let (topic_id, end_offsets) = (topic_id.clone(), topic.end_offsets.clone());
            self.ends.insert(0, TopicEnds { at: *topic_at, topic_id, end_offsets });
            self.ends.truncate(2);
        }
        if let Some(ends) = self.ends.iter().find(|ends| ends.at <= *at) {
            let mut records = records_behind(topic_id, &ends.end_offsets, &schema.positions);
            if let Some(workers) = observed.workers.value() {
                take_in_workers(&mut records, workers);
            }
            self.note_behind(&records, now);
            let long_behind =
                self.behind.iter().filter(|(_, behind)| now.duration_since(behind.since) >= LONG);
            let not_keeping_up = long_behind.map(|(partition, _)| *partition).collect();
            self.last = Some(LagReport { records, not_keeping_up });
        }
        self.last.clone()
    }

    fn note_behind(&mut self, records: &[i64], now: Timestamp) {
        let lagging = (0..).zip(records).filter(|(_, records)| **records > WORTH_A_WORD);
        let before = std::mem::take(&mut self.behind);
        self.behind = lagging
            .map(|(partition, records)| {
                // Who catches up is given its time again and again.
                let standing = before.get(&partition).filter(|before| *records > before.records / 10 * 9);
                (partition, standing.copied().unwrap_or(Behind { since: now, records: *records }))
            })
            .collect();
    }
}

/// An aggregator knows the end of its partitions to the second.
fn take_in_workers(records: &mut [i64], workers: &WorkerReports) {
    for told in workers.answered_aggregators().flat_map(|aggregator| &aggregator.partitions) {
        let known = usize::try_from(told.partition).ok().and_then(|partition| records.get_mut(partition));
        if let (Some(known), Some(end_offset)) = (known, told.end_offset) {
            *known = (*known).max(end_offset.saturating_sub(told.next_offset));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use crds::worker_status::{AggregatorStatus, PartitionStatus};
    use runtime::kafka_admin::TopicDescription;
    use store::PartitionPosition;

    use super::*;
    use crate::reconcile::observe::{Failure, SchemaState, TopicState, WorkerReport};

    fn second(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn topic(at: i64, end_offsets: &[i64]) -> Reading<Option<TopicState>> {
        let description = TopicDescription { id: "id".to_owned(), partitions: 2, replication_factor: 1 };
        let value = TopicState {
            description,
            config: BTreeMap::new(),
            end_offsets: end_offsets.to_vec(),
            broker_ports: BTreeSet::new(),
        };
        Reading::Known { value: Some(value), at: second(at) }
    }

    fn schema(at: i64, next_offsets: &[i64]) -> Reading<SchemaState> {
        let position = |(partition, next_offset): (i32, &i64)| PartitionPosition {
            partition,
            topic_id: "id".to_owned(),
            next_offset: *next_offset,
            records_read: *next_offset,
            trades_new: *next_offset,
            trades_duplicate: 0,
            records_set_aside: 0,
        };
        let positions = (0..).zip(next_offsets).map(position).collect();
        Reading::Known { value: SchemaState { positions, ..SchemaState::default() }, at: second(at) }
    }

    fn looks(topic: Reading<Option<TopicState>>, schema: Reading<SchemaState>) -> Observed {
        Observed { topic, schema, ..Observed::default() }
    }

    fn records(report: Option<LagReport>) -> Option<Vec<i64>> {
        report.map(|report| report.records)
    }

    #[test]
    fn what_is_written_between_the_looks_is_no_lag() {
        let mut watch = LagWatch::default();
        // The database was looked at first: what the broker has now may be stored by now.
        assert_eq!(watch.update(&looks(topic(5, &[900, 50]), schema(0, &[400, 50])), second(6)), None);
        let report = watch.update(&looks(topic(5, &[900, 50]), schema(6, &[950, 40])), second(6));
        assert_eq!(records(report), Some(vec![0, 10]));
        // Compared with the ends of the look before, which is older than the positions.
        let report = watch.update(&looks(topic(10, &[1_800, 99]), schema(8, &[870, 50])), second(11));
        assert_eq!(records(report), Some(vec![30, 0]));
    }

    #[test]
    fn the_lag_is_not_known_while_one_side_is_away() {
        let mut watch = LagWatch::default();
        assert!(watch.update(&looks(topic(0, &[10]), schema(1, &[0])), second(1)).is_some());
        let away = Reading::Failed(Failure { message: "refused".to_owned(), is_transient: true });
        assert_eq!(watch.update(&looks(topic(5, &[10]), away), second(6)), None);
        assert_eq!(watch.update(&looks(Reading::Pending, schema(6, &[0])), second(6)), None);
        assert_eq!(watch.update(&looks(topic(8, &[10]), schema(7, &[0])), second(9)), None);
    }

    #[test]
    fn an_aggregator_that_knows_of_more_is_believed() {
        let mut observed = looks(topic(0, &[10, 10]), schema(1, &[10, 10]));
        let partitions = vec![PartitionStatus { partition: 1, next_offset: 12, end_offset: Some(40) }];
        let status = AggregatorStatus { partitions, ..AggregatorStatus::default() };
        let aggregators = vec![WorkerReport { pod: "pod".to_owned(), answer: Ok(status) }];
        let value = WorkerReports { aggregators, ..WorkerReports::default() };
        observed.workers = Reading::Known { value, at: second(1) };
        assert_eq!(records(LagWatch::default().update(&observed, second(1))), Some(vec![0, 28]));
    }

    #[test]
    fn who_stands_behind_for_a_minute_does_not_keep_up_and_who_catches_up_does() {
        let mut watch = LagWatch::default();
        let mut told = |at: i64, lags: [i64; 2]| {
            let ends = lags.map(|lag| 1_000_000 + lag);
            let observed = looks(topic(at, &ends), schema(at, &[1_000_000; 2]));
            watch.update(&observed, second(at)).unwrap().not_keeping_up
        };
        let nobody: [i32; 0] = [];
        assert_eq!(told(0, [50_000, 50_000]), nobody);
        assert_eq!(told(59, [50_000, 40_000]), nobody);
        assert_eq!(told(60, [48_000, 30_000]), [0], "the other comes nearer");
        assert_eq!(told(70, [900, 25_000]), nobody, "now both do");
        assert_eq!(told(140, [2_000, 25_000]), [1]);
    }
}
