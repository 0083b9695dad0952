//! Asks the workers' pods how they are: `GET /status` of every pod that runs, by label, at its own address.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use crds::CryptoPipeline;
use crds::worker_status::{AggregatorStatus, ProducerStatus, RepairerStatus, SymbolState};
use futures::future::join_all;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::runtime::reflector::ObjectRef;
use runtime::error_chain::error_chain;
use serde::de::DeserializeOwned;

use super::door::Door;
use super::reader::{Look, News, Pace, Readers};
use super::{Failure, Reading, WorkerReport, WorkerReports};
use crate::copies::Copies;
use crate::reconcile::desired::{ROLE_LABEL, Role, WORKER_PORT};

const TIMEOUT: Duration = Duration::from_secs(2);
/// How many pipelines' workers are asked at the same time, and how far apart where there are very many.
const AT_ONCE: usize = 64;
const SPACING: Duration = Duration::from_millis(10);

/// The workers of all pipelines.
pub struct WorkerPolls {
    pods: Copies<Pod>,
    http: reqwest::Client,
    door: Arc<Door>,
    pipelines: Readers<ObjectRef<CryptoPipeline>, WorkersLook>,
}

impl WorkerPolls {
    /// Asks the pods that `pods` hold.
    ///
    /// # Errors
    /// Where no HTTP client can be made.
    pub fn new(news: News, pods: Copies<Pod>) -> Result<Self, reqwest::Error> {
        // A proxy of the operator's environment leads to the outside, pods are inside.
        let http = reqwest::Client::builder().timeout(TIMEOUT).no_proxy().build()?;
        let door = Arc::new(Door::new(AT_ONCE, SPACING));
        Ok(Self { pods, http, door, pipelines: Readers::new(news, Pace::default()) })
    }

    /// What the workers of `pipeline` answered last.
    pub fn reports(&self, pipeline: &ObjectRef<CryptoPipeline>) -> Reading<WorkerReports> {
        self.pipelines.read(pipeline, &self.door, pipeline, || WorkersLook {
            pipeline: pipeline.clone(),
            pods: self.pods.clone(),
            http: self.http.clone(),
        })
    }
}

struct WorkersLook {
    pipeline: ObjectRef<CryptoPipeline>,
    pods: Copies<Pod>,
    http: reqwest::Client,
}

struct RunningPod {
    name: String,
    address: IpAddr,
}

impl WorkersLook {
    fn running_pods(&self, role: Role<'_>) -> Vec<RunningPod> {
        let pods = self.pods.of_name(self.pipeline.namespace.as_deref(), &self.pipeline.name);
        let pods =
            pods.iter().filter(|pod| pod.labels().get(ROLE_LABEL).map(String::as_str) == Some(role.label()));
        pods.filter_map(running_pod).collect()
    }

    async fn ask_all<S: DeserializeOwned>(&self, role: Role<'_>) -> Vec<WorkerReport<S>> {
        let pods = self.running_pods(role);
        let mut reports = join_all(pods.into_iter().map(async |pod| {
            let answer = ask(&self.http, pod.address).await.map_err(|error| error_chain(&error));
            WorkerReport { pod: pod.name, answer }
        }))
        .await;
        reports.sort_by(|left, right| left.pod.cmp(&right.pod));
        reports
    }
}

fn running_pod(pod: &Pod) -> Option<RunningPod> {
    let status = pod.status.as_ref().filter(|status| status.phase.as_deref() == Some("Running"))?;
    let address = status.pod_ip.as_ref()?.parse().ok()?;
    Some(RunningPod { name: pod.name_any(), address })
}

async fn ask<S: DeserializeOwned>(http: &reqwest::Client, address: IpAddr) -> Result<S, reqwest::Error> {
    let authority = match address {
        IpAddr::V4(address) => format!("{address}:{WORKER_PORT}"),
        IpAddr::V6(address) => format!("[{address}]:{WORKER_PORT}"),
    };
    http.get(format!("http://{authority}/status")).send().await?.error_for_status()?.json().await
}

impl Look for WorkersLook {
    type Seen = WorkerReports;

    async fn look(&mut self) -> Result<WorkerReports, Failure> {
        let producers = self.ask_all::<ProducerStatus>(Role::Producer { source: "" });
        let aggregators = self.ask_all::<AggregatorStatus>(Role::Aggregator);
        let repairers = self.ask_all::<RepairerStatus>(Role::Repairer);
        let (producers, aggregators, repairers) = futures::join!(producers, aggregators, repairers);
        Ok(WorkerReports { producers, aggregators, repairers })
    }

    fn is_news(before: &WorkerReports, after: &WorkerReports) -> bool {
        lasting(before) != lasting(after)
    }

    async fn close(self) {}
}

/// What of the answers does not change all the time.
fn lasting(reports: &WorkerReports) -> Vec<(&str, Option<bool>, Vec<SymbolState>)> {
    let producers = reports.producers.iter().map(|report| {
        let answer = report.answer.as_ref().ok();
        let symbols = answer.map(|status| status.symbols.values().map(|symbol| symbol.state).collect());
        let works = answer.map(|status| status.exchange.available && status.broker.available);
        (report.pod.as_str(), works, symbols.unwrap_or_default())
    });
    let aggregators = reports.aggregators.iter().map(|report| {
        let works =
            report.answer.as_ref().ok().map(|status| status.broker.available && status.database.available);
        (report.pod.as_str(), works, Vec::new())
    });
    producers.chain(aggregators).collect()
}
