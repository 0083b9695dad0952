//! How far the database is behind the topic, partition by partition, and which partitions do not keep up.

use std::collections::BTreeMap;

use crds::CryptoPipelineSpec;
use jiff::{SignedDuration, Timestamp};

use super::observe::{Observed, Reading, WorkerReports, records_behind};

/// Fewer records than these are no reason for a word, however long they stand.
const WORTH_A_WORD: i64 = 1_000;
/// Over so long a time, at least, it is judged whether a partition keeps up, half against half.
const WINDOW: SignedDuration = SignedDuration::from_secs(60);
/// So many looks are in it, at least: with a look or two in each half, one that just came would tell nothing of who comes nearer.
const LOOKS_IN_WINDOW: i32 = 4;
/// In thousandths: who comes nearer by less from one half to the other needs an hour, and does not come nearer.
const NOTICEABLY: i64 = 10;
/// Looks err by what is written in between: one window alone does not acquit.
const WINDOWS_TO_ACQUIT: u32 = 2;

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

/// Puts the looks at broker, database and workers together, and judges who keeps up.
#[derive(Debug, Default)]
pub struct LagWatch {
    /// The last two looks at the topic, the newest first: the database's last look began after one of them, or soon will.
    ends: Vec<TopicEnds>,
    /// The last two looks at the database, the newest first.
    schema_looks: Vec<Timestamp>,
    last: Option<LagReport>,
    judged: BTreeMap<i32, Judged>,
}

#[derive(Clone, Debug)]
struct TopicEnds {
    at: Timestamp,
    topic_id: String,
    end_offsets: Vec<i64>,
}

/// What is known of one partition's keeping up.
#[derive(Clone, Copy, Debug)]
struct Judged {
    window_began: Timestamp,
    /// How near it came to its end in each half of the window; `None` where nobody looked.
    nearest: [Option<i64>; 2],
    is_late: bool,
    /// Windows in a row that would acquit it.
    acquittals: u32,
}

impl LagWatch {
    /// Takes in the last looks and tells what they say at `now`, of a pipeline whose aggregators commit every
    /// `flush_interval`. `None` while broker or database cannot be read: the lag is not known then, and nothing is remembered
    /// of before.
    pub fn update(
        &mut self,
        observed: &Observed,
        flush_interval: SignedDuration,
        now: Timestamp,
    ) -> Option<LagReport> {
        let (Reading::Known { value: Some(topic), at: topic_at }, Reading::Known { value: schema, at }) =
            (&observed.topic, &observed.schema)
        else {
            *self = Self::default();
            return None;
        };
        let topic_id = &topic.description.id;
        if self.ends.iter().any(|ends| ends.topic_id != *topic_id) {
            *self = Self::default();
        }
        if self.ends.first().is_none_or(|newest| newest.at != *topic_at) {
            let (topic_id, end_offsets) = (topic_id.clone(), topic.end_offsets.clone());
            self.ends.insert(0, TopicEnds { at: *topic_at, topic_id, end_offsets });
            self.ends.truncate(2);
        }
        if self.schema_looks.first() != Some(at) {
            self.schema_looks.insert(0, *at);
            self.schema_looks.truncate(2);
        }
        if let Some(ends) = self.ends.iter().find(|ends| ends.at <= *at) {
            let mut records = records_behind(topic_id, &ends.end_offsets, &schema.positions);
            if let Some(workers) = observed.workers.value() {
                take_in_workers(&mut records, workers);
            }
            let window = self
                .between_looks()
                .map(|between| WINDOW.max(flush_interval.saturating_mul(4)).max(between * LOOKS_IN_WINDOW));
            let late = records.iter().enumerate().map(|(partition, records)| {
                // What waits for the next flush is not late.
                records.saturating_sub(self.written_in(partition, flush_interval))
            });
            let late: Vec<i64> = late.collect();
            self.judge(&late, window, now);
            let not_keeping_up = self.judged.iter().filter(|(_, judged)| judged.is_late);
            let not_keeping_up = not_keeping_up.map(|(partition, _)| *partition).collect();
            self.last = Some(LagReport { records, not_keeping_up });
        }
        self.last.clone()
    }

    /// How far apart looks are, at broker or database, whichever is looked at less often; `None` before the second ones.
    fn between_looks(&self) -> Option<SignedDuration> {
        let [newer_ends, older_ends] = self.ends.as_slice() else { return None };
        let [newer_look, older_look] = *self.schema_looks.as_slice() else { return None };
        Some(newer_ends.at.duration_since(older_ends.at).max(newer_look.duration_since(older_look)))
    }

    /// How many records come in so long a time, by the last two looks.
    fn written_in(&self, partition: usize, time: SignedDuration) -> i64 {
        let [newer, older] = self.ends.as_slice() else { return 0 };
        let end = |ends: &TopicEnds| ends.end_offsets.get(partition).copied().unwrap_or_default();
        let between_ms = newer.at.duration_since(older.at).as_millis().max(1);
        let written = i128::from(end(newer).saturating_sub(end(older)).max(0));
        i64::try_from(written * time.as_millis() / between_ms).unwrap_or(i64::MAX)
    }

    /// A window ends once it is known how long it has to be.
    fn judge(&mut self, late: &[i64], window: Option<SignedDuration>, now: Timestamp) {
        self.judged.retain(|partition, _| usize::try_from(*partition).is_ok_and(|at| at < late.len()));
        for (partition, late) in (0..).zip(late) {
            let judged = self.judged.entry(partition).or_insert(Judged::of(now, false));
            let age = now.duration_since(judged.window_began);
            let half = usize::from(window.is_some_and(|window| age * 2 >= window));
            let nearest = &mut judged.nearest[half];
            *nearest = Some(nearest.map_or(*late, |nearest| nearest.min(*late)));
            if window.is_some_and(|window| age >= window) {
                *judged = judged.after_window(now);
            }
        }
    }
}

impl Judged {
    const fn of(window_began: Timestamp, is_late: bool) -> Self {
        Self { window_began, nearest: [None, None], is_late, acquittals: 0 }
    }

    /// The verdict of the window that has ended, and the next one begun.
    fn after_window(self, now: Timestamp) -> Self {
        let [Some(first), Some(second)] = self.nearest else {
            return Self { acquittals: self.acquittals, ..Self::of(now, self.is_late) };
        };
        if first.min(second) <= WORTH_A_WORD {
            return Self::of(now, false);
        }
        let comes_nearer = second < first - first / 1_000 * NOTICEABLY;
        let acquittals = if comes_nearer { self.acquittals + 1 } else { 0 };
        let is_late = if comes_nearer { self.is_late && acquittals < WINDOWS_TO_ACQUIT } else { true };
        Self { acquittals, ..Self::of(now, is_late) }
    }
}

/// How often aggregators commit.
#[must_use]
pub fn flush_interval(spec: &CryptoPipelineSpec) -> SignedDuration {
    let milliseconds = spec.aggregation.flush_interval_ms().unwrap_or_default();
    SignedDuration::from_millis(i64::try_from(milliseconds).unwrap_or(i64::MAX))
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
            brokers: BTreeSet::new(),
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

    fn update(watch: &mut LagWatch, observed: &Observed, now: Timestamp) -> Option<LagReport> {
        watch.update(observed, SignedDuration::from_millis(100), now)
    }

    fn records(report: Option<LagReport>) -> Option<Vec<i64>> {
        report.map(|report| report.records)
    }

    #[test]
    fn what_is_written_between_the_looks_is_no_lag() {
        let mut watch = LagWatch::default();
        // The database was looked at first: what the broker has now may be stored by now.
        assert_eq!(update(&mut watch, &looks(topic(5, &[900, 50]), schema(0, &[400, 50])), second(6)), None);
        let report = update(&mut watch, &looks(topic(5, &[900, 50]), schema(6, &[950, 40])), second(6));
        assert_eq!(records(report), Some(vec![0, 10]));
        // Compared with the ends of the look before, which is older than the positions.
        let report = update(&mut watch, &looks(topic(10, &[1_800, 99]), schema(8, &[870, 50])), second(11));
        assert_eq!(records(report), Some(vec![30, 0]));
    }

    #[test]
    fn the_lag_is_not_known_while_one_side_is_away() {
        let mut watch = LagWatch::default();
        assert!(update(&mut watch, &looks(topic(0, &[10]), schema(1, &[0])), second(1)).is_some());
        let away = Reading::Failed(Failure { message: "refused".to_owned(), is_transient: true });
        assert_eq!(update(&mut watch, &looks(topic(5, &[10]), away), second(6)), None);
        assert_eq!(update(&mut watch, &looks(Reading::Pending, schema(6, &[0])), second(6)), None);
        assert_eq!(update(&mut watch, &looks(topic(8, &[10]), schema(7, &[0])), second(9)), None);
    }

    #[test]
    fn an_aggregator_that_knows_of_more_is_believed() {
        let mut observed = looks(topic(0, &[10, 10]), schema(1, &[10, 10]));
        let partitions = vec![PartitionStatus { partition: 1, next_offset: 12, end_offset: Some(40) }];
        let status = AggregatorStatus { partitions, ..AggregatorStatus::default() };
        let aggregators = vec![WorkerReport { pod: "pod".to_owned(), answer: Ok(status) }];
        let value = WorkerReports { aggregators, ..WorkerReports::default() };
        observed.workers = Reading::Known { value, at: second(1) };
        assert_eq!(records(update(&mut LagWatch::default(), &observed, second(1))), Some(vec![0, 28]));
    }

    /// The verdicts on one partition that is so late every ten seconds, one for each look.
    fn verdicts(lags: impl Iterator<Item = i64>) -> Vec<bool> {
        verdicts_with_looks_apart(1, lags)
    }

    /// The verdicts, every ten seconds, where only every so manieth time somebody has looked.
    fn verdicts_with_looks_apart(times: i64, lags: impl Iterator<Item = i64>) -> Vec<bool> {
        let mut watch = LagWatch::default();
        let mut verdicts = Vec::new();
        let mut seen = (0, 0);
        for (time, lag) in (0..).zip(lags) {
            let at = time * 10;
            if time % times == 0 {
                seen = (at, lag);
            }
            let (seen_at, lag) = seen;
            // 300 records a second come in.
            let end = 10_000_000 + seen_at * 300;
            let observed = looks(topic(seen_at, &[end]), schema(seen_at, &[end - lag]));
            let report = watch.update(&observed, SignedDuration::from_secs(10), second(at)).unwrap();
            verdicts.push(report.not_keeping_up == [0]);
        }
        verdicts
    }

    fn changes(verdicts: &[bool]) -> usize {
        verdicts.windows(2).filter(|pair| pair[0] != pair[1]).count()
    }

    #[test]
    fn who_stands_behind_for_a_minute_does_not_keep_up() {
        let stands = verdicts((0..60).map(|look| 50_000 + look % 3 * 400));
        assert_eq!((stands[5], stands[6], changes(&stands)), (false, true, 1));
        let falls_behind = verdicts((0..60).map(|look| 5_000 + look * 700));
        assert_eq!((falls_behind[6], changes(&falls_behind)), (true, 1));
    }

    #[test]
    fn who_comes_nearer_keeps_up_and_nothing_flaps() {
        // Most of an hour, half an hour and a minute to go.
        for step in [12_000, 16_000, 480_000] {
            let nearer = verdicts((0..400).map(|look| (3_000_000 - look * step).max(0)));
            assert_eq!(nearer.iter().filter(|late| **late).count(), 0, "{step} in ten seconds");
        }
        let mends = (0..30).map(|_| 40_000).chain((0..30).map(|look| 40_000 - look * 2_000));
        assert_eq!(changes(&verdicts(mends.map(|lag: i64| lag.max(0)))), 2);
    }

    #[test]
    fn who_comes_nearer_keeps_up_however_seldom_somebody_looks() {
        for times in 2..8 {
            let nearer = (0..400).map(|time| (3_000_000 - time * 12_000).max(0));
            assert_eq!(changes(&verdicts_with_looks_apart(times, nearer)), 0, "a look every {times}0 s");
            let stands = verdicts_with_looks_apart(times, (0..400).map(|_| 50_000));
            assert_eq!(changes(&stands), 1, "a look every {times}0 s");
        }
    }

    #[test]
    fn what_waits_for_the_next_flush_is_not_late() {
        // Just before every flush of ten seconds: 3,000 records are waiting.
        assert_eq!(changes(&verdicts((0..60).map(|_| 2_900))), 0);
    }
}
