//! The figures of each pipeline, as they were last seen. What is not known has no value at all: an old one, or a zero,
//! would look like a good one.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use crds::CryptoPipeline;
use kube::ResourceExt;
use kube::runtime::reflector::Store;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use runtime::metrics::Metric;

use crate::by_uid::ByUid;
use crate::reconcile::holes::HoleReport;
use crate::reconcile::lag::LagReport;
use crate::reconcile::observe::{Observed, SchemaState};

const CONDITION: Metric = Metric::gauge(
    "cryptopipeline_condition",
    &["namespace", "pipeline", "condition", "status", "reason"],
    "1 for what each condition of the resource says: its status is True, False or Unknown",
);
const LAG: Metric = Metric::gauge(
    "cryptopipeline_lag_records",
    &["namespace", "pipeline", "partition"],
    "Records of a partition that the broker holds and the database does not; none while that is not known",
);
const END_OFFSET: Metric = Metric::gauge(
    "cryptopipeline_topic_end_offset",
    &["namespace", "pipeline", "partition"],
    "Offset after the last record of a partition; none while the broker cannot be asked",
);
const MISSING_TRADES: Metric = Metric::gauge(
    "cryptopipeline_missing_trades",
    &["namespace", "pipeline"],
    "Trades that are missing between the first and the last that the pipeline is to hold, those that still wait in the topic left out; none while the database cannot be asked",
);
const SET_ASIDE: Metric = Metric::counter(
    "cryptopipeline_records_set_aside_total",
    &["namespace", "pipeline"],
    "Records kept in the table set_aside because they are no valid trade, as the database counts them; none while it cannot be asked",
);
const CANDLE_CHECKS: Metric = Metric::gauge(
    "cryptopipeline_candle_checks",
    &["namespace", "pipeline", "verdict"],
    "Candles that were compared with the exchange's own: equal, exchange_differs (theirs does not follow from their trades) or ours_wrong; counted once a minute, none while the database cannot be asked",
);

/// What an operator exposes of pipelines.
pub const METRICS: &[Metric] = &[CONDITION, LAG, END_OFFSET, MISSING_TRADES, SET_ASIDE, CANDLE_CHECKS];

/// Shared by the reconciles, which enter what they see, and by whoever asks for metrics.
#[derive(Clone, Debug, Default)]
pub struct PipelineFigures(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// What exists: figures of pipelines that are gone are not told.
    pipelines: OnceLock<Vec<Store<CryptoPipeline>>>,
    by_uid: Mutex<ByUid<Figures>>,
}

/// What is known of one pipeline.
#[derive(Debug, Default)]
struct Figures {
    /// By partition from 0 on; empty where nothing is known.
    end_offsets: Vec<i64>,
    lag: Vec<i64>,
    missing_trades: Option<i64>,
    set_aside: Option<i64>,
    candle_checks: BTreeMap<&'static str, i64>,
}

impl Figures {
    fn of(observed: &Observed, holes: Option<&HoleReport>, lag: Option<&LagReport>) -> Self {
        let schema = observed.schema.value();
        Self {
            end_offsets: observed.topic_state().map(|topic| topic.end_offsets.clone()).unwrap_or_default(),
            lag: lag.map(|lag| lag.records.clone()).unwrap_or_default(),
            missing_trades: holes.map(|holes| holes.missing.values().map(|missing| missing.trades).sum()),
            set_aside: schema
                .map(|schema| schema.positions.iter().map(|position| position.records_set_aside).sum()),
            candle_checks: schema.map(candle_checks).unwrap_or_default(),
        }
    }
}

fn candle_checks(schema: &SchemaState) -> BTreeMap<&'static str, i64> {
    let mut by_verdict = BTreeMap::new();
    for count in &schema.checks.counts {
        *by_verdict.entry(count.verdict.as_str()).or_default() += count.windows;
    }
    by_verdict
}

impl PipelineFigures {
    /// Tells of the pipelines that these stores hold, from now on.
    pub fn tell_of(&self, pipelines: Vec<Store<CryptoPipeline>>) {
        // Set once, before the first reconcile.
        let _ = self.0.pipelines.set(pipelines);
    }

    /// Takes in what a reconcile has seen; `alive` tells which pipelines there are.
    pub fn note(
        &self,
        pipeline: &CryptoPipeline,
        observed: &Observed,
        holes: Option<&HoleReport>,
        lag: Option<&LagReport>,
        alive: impl FnOnce() -> HashSet<String>,
    ) {
        let figures = Figures::of(observed, holes, lag);
        self.by_uid().put(pipeline.uid().unwrap_or_default(), figures, alive);
    }

    fn by_uid(&self) -> MutexGuard<'_, ByUid<Figures>> {
        self.0.by_uid.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn existing(&self) -> Vec<Arc<CryptoPipeline>> {
        let mut pipelines: Vec<_> =
            self.0.pipelines.get().into_iter().flatten().flat_map(Store::state).collect();
        pipelines.sort_by_key(|pipeline| (pipeline.namespace(), pipeline.name_any()));
        pipelines
    }
}

impl Collector for PipelineFigures {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let pipelines = self.existing();
        let by_uid = self.by_uid();
        let figures: Vec<_> = pipelines.iter().filter_map(|pipeline| Told::of(pipeline, &by_uid)).collect();
        tell_conditions(&mut encoder, &pipelines)?;
        tell_partitions(&mut encoder, LAG, &figures, |figures| &figures.lag)?;
        tell_partitions(&mut encoder, END_OFFSET, &figures, |figures| &figures.end_offsets)?;
        tell_each(&mut encoder, MISSING_TRADES, &figures, |figures| figures.missing_trades)?;
        tell_each(&mut encoder, SET_ASIDE, &figures, |figures| figures.set_aside)?;
        let checks = figures.iter().flat_map(|told| {
            let checks = told.figures.candle_checks.iter();
            checks.map(|(verdict, candles)| {
                ([told.namespace.as_str(), told.name.as_str(), verdict], float(*candles))
            })
        });
        CANDLE_CHECKS.tell(&mut encoder, checks)
    }
}

/// A pipeline that exists, and what is known of it.
struct Told<'a> {
    namespace: String,
    name: String,
    figures: &'a Figures,
}

impl<'a> Told<'a> {
    fn of(pipeline: &CryptoPipeline, by_uid: &'a ByUid<Figures>) -> Option<Self> {
        let figures = by_uid.get(pipeline.metadata.uid.as_ref()?)?;
        Some(Self { namespace: pipeline.namespace().unwrap_or_default(), name: pipeline.name_any(), figures })
    }
}

/// As the resource says it, so that an alert and `kubectl get` agree.
fn tell_conditions(
    encoder: &mut DescriptorEncoder<'_>,
    pipelines: &[Arc<CryptoPipeline>],
) -> Result<(), fmt::Error> {
    let conditions = pipelines.iter().flat_map(|pipeline| {
        let (namespace, name) = (pipeline.namespace().unwrap_or_default(), pipeline.name_any());
        let conditions = pipeline.status.iter().flat_map(|status| &status.conditions);
        conditions.map(move |condition| {
            let said = [&condition.type_, &condition.status, &condition.reason].map(Clone::clone);
            let [kind, status, reason] = said;
            ([namespace.clone(), name.clone(), kind, status, reason], 1.0)
        })
    });
    CONDITION.tell(encoder, conditions)
}

fn tell_partitions(
    encoder: &mut DescriptorEncoder<'_>,
    metric: Metric,
    figures: &[Told<'_>],
    by_partition: impl Fn(&Figures) -> &[i64],
) -> Result<(), fmt::Error> {
    let values = figures.iter().flat_map(|told| {
        let values = (0_usize..).zip(by_partition(told.figures));
        values.map(|(partition, value)| {
            ([told.namespace.clone(), told.name.clone(), partition.to_string()], float(*value))
        })
    });
    metric.tell(encoder, values)
}

fn tell_each(
    encoder: &mut DescriptorEncoder<'_>,
    metric: Metric,
    figures: &[Told<'_>],
    value: impl Fn(&Figures) -> Option<i64>,
) -> Result<(), fmt::Error> {
    let values = figures.iter().filter_map(|told| {
        Some(([told.namespace.as_str(), told.name.as_str()], float(value(told.figures)?)))
    });
    metric.tell(encoder, values)
}

#[expect(clippy::cast_precision_loss, reason = "Prometheus keeps doubles")]
fn float(value: i64) -> f64 {
    value as f64
}

#[cfg(test)]
mod tests {
    use crds::CryptoPipelineStatus;
    use jiff::Timestamp;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
    use kube::runtime::{reflector, watcher};
    use prometheus_client::encoding::text::encode;
    use prometheus_client::registry::Registry;

    use market::Market;
    use store::CheckVerdict::OursWrong;
    use store::{CheckCount, Missing, PartitionPosition};

    use super::*;
    use crate::reconcile::observe::{CandleChecks, Reading};

    fn pipeline(uid: &str) -> CryptoPipeline {
        let mut pipeline = CryptoPipeline::new("one", crds::CryptoPipelineSpec::default());
        pipeline.metadata.namespace = Some("market".to_owned());
        pipeline.metadata.uid = Some(uid.to_owned());
        pipeline
    }

    fn alive() -> HashSet<String> {
        HashSet::from(["a".to_owned()])
    }

    fn told(figures: &PipelineFigures) -> Vec<String> {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(figures.clone()));
        let mut text = String::new();
        encode(&mut text, &registry).unwrap();
        text.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect()
    }

    #[test]
    fn what_is_known_is_told_of_pipelines_that_exist() {
        let (store, mut writer) = reflector::store();
        let figures = PipelineFigures::default();
        figures.tell_of(vec![store]);
        writer.apply_watcher_event(&watcher::Event::Apply(pipeline("a")));
        let lag = LagReport { records: vec![3, 0], not_keeping_up: Vec::new() };
        figures.note(&pipeline("a"), &Observed::default(), None, Some(&lag), alive);
        assert_eq!(
            told(&figures),
            [
                r#"cryptopipeline_lag_records{namespace="market",pipeline="one",partition="0"} 3.0"#,
                r#"cryptopipeline_lag_records{namespace="market",pipeline="one",partition="1"} 0.0"#,
            ]
        );
        figures.note(&pipeline("a"), &Observed::default(), None, None, alive);
        assert_eq!(told(&figures), [] as [&str; 0], "an unknown lag is not a lag of 0");
        figures.note(&pipeline("a"), &Observed::default(), None, Some(&lag), alive);
        // Another one of the same name.
        writer.apply_watcher_event(&watcher::Event::Apply(pipeline("b")));
        assert_eq!(told(&figures), [] as [&str; 0]);
    }

    #[test]
    fn conditions_are_told_as_the_resource_says_them() {
        let (store, mut writer) = reflector::store();
        let figures = PipelineFigures::default();
        figures.tell_of(vec![store]);
        let mut ready = pipeline("a");
        let condition = Condition {
            last_transition_time: Time(Timestamp::UNIX_EPOCH),
            message: "2 trades of BTCUSDT are missing".to_owned(),
            observed_generation: None,
            reason: "TradesMissing".to_owned(),
            status: "False".to_owned(),
            type_: "DataContinuous".to_owned(),
        };
        let status = CryptoPipelineStatus { conditions: vec![condition], ..CryptoPipelineStatus::default() };
        ready.status = Some(status);
        writer.apply_watcher_event(&watcher::Event::Apply(ready));
        assert_eq!(
            told(&figures),
            [concat!(
                r#"cryptopipeline_condition{namespace="market",pipeline="one",condition="DataContinuous","#,
                r#"status="False",reason="TradesMissing"} 1.0"#
            )]
        );
    }

    #[test]
    fn what_the_database_counts_is_told_while_it_answers() {
        let (store, mut writer) = reflector::store();
        let figures = PipelineFigures::default();
        figures.tell_of(vec![store]);
        writer.apply_watcher_event(&watcher::Event::Apply(pipeline("a")));
        let btc = Market::new("binance", "BTCUSDT");
        let position = |partition, records_set_aside| PartitionPosition {
            topic_id: "t".to_owned(),
            partition,
            next_offset: 9,
            records_read: 9,
            trades_new: 9 - records_set_aside,
            trades_duplicate: 0,
            records_set_aside,
        };
        let count = CheckCount {
            market: btc.clone(),
            interval: "1m".parse().unwrap(),
            verdict: OursWrong,
            windows: 2,
        };
        let schema = SchemaState {
            positions: vec![position(0, 1), position(1, 2)],
            checks: CandleChecks { counts: vec![count.clone(), count], differing: Vec::new() },
            ..SchemaState::default()
        };
        let observed = Observed {
            schema: Reading::Known { value: schema, at: Timestamp::UNIX_EPOCH },
            ..Observed::default()
        };
        let missing = BTreeMap::from([(btc, Missing { trades: 5, holes: Vec::new() })]);
        let holes = HoleReport { missing, unconfirmed: BTreeMap::new() };
        figures.note(&pipeline("a"), &observed, Some(&holes), None, alive);
        assert_eq!(
            told(&figures),
            [
                r#"cryptopipeline_missing_trades{namespace="market",pipeline="one"} 5.0"#,
                r#"cryptopipeline_records_set_aside_total{namespace="market",pipeline="one"} 3.0"#,
                r#"cryptopipeline_candle_checks{namespace="market",pipeline="one",verdict="ours_wrong"} 4.0"#,
            ]
        );
        figures.note(&pipeline("a"), &Observed::default(), None, None, alive);
        assert_eq!(told(&figures), [] as [&str; 0]);
    }
}
