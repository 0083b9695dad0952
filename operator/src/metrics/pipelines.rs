//! The figures of each pipeline, as they were last seen. What is not known has no value at all: an old one, or a zero,
//! would look like a good one.

use std::collections::HashSet;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use crds::CryptoPipeline;
use kube::ResourceExt;
use kube::runtime::reflector::Store;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;

use crate::by_uid::ByUid;
use crate::reconcile::lag::LagReport;
use crate::reconcile::observe::Observed;

/// Shared by the reconciles, which enter what they see, and by whoever asks for metrics.
#[derive(Clone, Debug, Default)]
pub struct PipelineFigures(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// What exists: figures of pipelines that are gone are not told.
    pipelines: OnceLock<Vec<Store<CryptoPipeline>>>,
    by_uid: Mutex<ByUid<Figures>>,
}

/// By partition from 0 on; empty where nothing is known.
#[derive(Debug, Default)]
struct Figures {
    end_offsets: Vec<i64>,
    lag: Vec<i64>,
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
        lag: Option<&LagReport>,
        alive: impl FnOnce() -> HashSet<String>,
    ) {
        let end_offsets = observed.topic_state().map(|topic| topic.end_offsets.clone());
        let figures = Figures {
            end_offsets: end_offsets.unwrap_or_default(),
            lag: lag.map(|lag| lag.records.clone()).unwrap_or_default(),
        };
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
        let figures: Vec<_> = pipelines
            .iter()
            .filter_map(|pipeline| Some((pipeline.as_ref(), by_uid.get(pipeline.metadata.uid.as_ref()?)?)))
            .collect();
        let help = "Records of a partition that the broker holds and the database does not; none while that is not known";
        encode_partitions(&mut encoder, "cryptopipeline_lag_records", help, &figures, |figures| {
            &figures.lag
        })?;
        let help = "Offset after the last record of a partition; none while the broker cannot be asked";
        encode_partitions(&mut encoder, "cryptopipeline_topic_end_offset", help, &figures, |figures| {
            &figures.end_offsets
        })
    }
}

fn encode_partitions(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    figures: &[(&CryptoPipeline, &Figures)],
    by_partition: impl Fn(&Figures) -> &[i64],
) -> Result<(), fmt::Error> {
    let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
    for (pipeline, figures) in figures {
        let (namespace, name) = (pipeline.namespace().unwrap_or_default(), pipeline.name_any());
        for (partition, value) in (0_usize..).zip(by_partition(figures)) {
            let partition = partition.to_string();
            let labels = [("namespace", &namespace), ("pipeline", &name), ("partition", &partition)];
            ConstGauge::new(*value).encode(metric.encode_family(&labels)?)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use kube::runtime::{reflector, watcher};
    use prometheus_client::encoding::text::encode;
    use prometheus_client::registry::Registry;

    use super::*;

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
        figures.note(&pipeline("a"), &Observed::default(), Some(&lag), alive);
        assert_eq!(
            told(&figures),
            [
                r#"cryptopipeline_lag_records{namespace="market",pipeline="one",partition="0"} 3"#,
                r#"cryptopipeline_lag_records{namespace="market",pipeline="one",partition="1"} 0"#,
            ]
        );
        figures.note(&pipeline("a"), &Observed::default(), None, alive);
        assert_eq!(told(&figures), [] as [&str; 0], "an unknown lag is not a lag of 0");
        figures.note(&pipeline("a"), &Observed::default(), Some(&lag), alive);
        // Another one of the same name.
        writer.apply_watcher_event(&watcher::Event::Apply(pipeline("b")));
        assert_eq!(told(&figures), [] as [&str; 0]);
    }
}
