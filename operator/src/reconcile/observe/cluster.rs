//! What the cluster itself holds: the Deployments, the pods behind them, other pipelines.

use crds::CryptoPipeline;
use crds::spec::KafkaSpec;
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use kube::runtime::reflector::Store;
use kube::{Resource, ResourceExt};

use super::{Workload, Workloads};
use crate::copies::Copies;
use crate::reconcile::desired::{ROLE_LABEL, Role, SOURCE_LABEL};

/// The Deployments of `pipeline` and how their pods do.
pub fn workloads(
    pipeline: &CryptoPipeline,
    deployments: &Copies<Deployment>,
    pods: &Copies<Pod>,
) -> Workloads {
    let mut workloads = Workloads::default();
    let pods = pods.of(pipeline);
    for deployment in deployments.of(pipeline).iter().filter(|object| is_owned_by(*object, pipeline)) {
        let problem = || pods.iter().filter(|pod| runs_for(pod, deployment)).find_map(problem);
        let workload = workload(deployment, problem);
        let label = |name: &str| deployment.labels().get(name).map(String::as_str);
        if label(ROLE_LABEL) == Some(Role::Aggregator.label()) {
            workloads.aggregator = Some(workload);
        } else if label(ROLE_LABEL) == Some(Role::Repairer.label()) {
            workloads.repairer = Some(workload);
        } else if let Some(source) = label(SOURCE_LABEL) {
            workloads.producers.insert(source.to_owned(), workload);
        }
    }
    workloads
}

/// Whether `object` goes when `pipeline` goes.
pub fn is_owned_by<K: Resource>(object: &K, pipeline: &CryptoPipeline) -> bool {
    let owners = object.meta().owner_references.iter().flatten();
    object.meta().namespace == pipeline.meta().namespace
        && owners.into_iter().any(|owner| Some(&owner.uid) == pipeline.meta().uid.as_ref())
}

fn workload(deployment: &Deployment, problem: impl FnOnce() -> Option<String>) -> Workload {
    let wished = deployment.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
    let status = deployment.status.clone().unwrap_or_default();
    let refused = status.conditions.iter().flatten().find(|condition| {
        (condition.type_ == "ReplicaFailure" && condition.status == "True")
            || (condition.type_ == "Progressing" && condition.status == "False")
    });
    let refused = refused.and_then(|condition| condition.message.clone());
    Workload {
        wished,
        replicas: status.replicas.unwrap_or_default(),
        ready: status.ready_replicas.unwrap_or_default(),
        is_current: status.observed_generation >= deployment.metadata.generation
            && status.updated_replicas.unwrap_or_default() == wished,
        problem: problem().or(refused),
    }
}

fn runs_for(pod: &Pod, deployment: &Deployment) -> bool {
    let labels = deployment.spec.as_ref().and_then(|spec| spec.selector.match_labels.as_ref());
    pod.metadata.namespace == deployment.metadata.namespace
        && labels
            .is_some_and(|labels| labels.iter().all(|(name, value)| pod.labels().get(name) == Some(value)))
}

/// Why a pod does not come up, where that is more than being on its way.
fn problem(pod: &Pod) -> Option<String> {
    const ON_ITS_WAY: [&str; 2] = ["ContainerCreating", "PodInitializing"];
    let status = pod.status.as_ref()?;
    let unschedulable = status
        .conditions
        .iter()
        .flatten()
        .find(|condition| condition.type_ == "PodScheduled" && condition.status == "False");
    if let Some(condition) = unschedulable {
        return Some(format!(
            "pod {}: {}",
            pod.name_any(),
            condition.message.as_deref().unwrap_or("not scheduled")
        ));
    }
    let waiting = status.container_statuses.iter().flatten().find_map(|container| {
        let waiting = container.state.as_ref()?.waiting.as_ref()?;
        waiting
            .reason
            .as_deref()
            .filter(|reason| !ON_ITS_WAY.contains(reason))
            .map(|reason| (reason, waiting))
    });
    waiting.map(|(reason, waiting)| {
        let message = waiting.message.as_deref().unwrap_or_default();
        format!("pod {}: {reason} {message}", pod.name_any()).trim_end().to_owned()
    })
}

/// An older pipeline that uses the topic of `pipeline`, as `namespace/name`.
pub fn topic_rival(pipeline: &CryptoPipeline, pipelines: &[Store<CryptoPipeline>]) -> Option<String> {
    let topic = topic_address(pipeline.spec.kafka.as_ref()?);
    let seniority = |pipeline: &CryptoPipeline| {
        let created = pipeline.creation_timestamp().map_or(Timestamp::MAX, |created| created.0);
        (created, pipeline.uid().unwrap_or_default())
    };
    let older = |other: &CryptoPipeline| {
        other.metadata.uid != pipeline.metadata.uid
            // Almost all are told apart by this.
            && other.spec.kafka.as_ref().is_some_and(|kafka| kafka.topic.name == topic.1)
            && other.spec.kafka.as_ref().map(topic_address).as_ref() == Some(&topic)
            && seniority(other) < seniority(pipeline)
    };
    let rivals = pipelines.iter().flat_map(Store::state).filter(|other| older(other));
    let oldest = rivals.min_by_key(|other| seniority(other))?;
    Some(format!("{}/{}", oldest.namespace().unwrap_or_default(), oldest.name_any()))
}

/// A topic's name with its brokers in any order.
fn topic_address(kafka: &KafkaSpec) -> (Vec<&str>, &str) {
    let mut brokers: Vec<&str> = kafka.bootstrap_servers.split(',').map(str::trim).collect();
    brokers.sort_unstable();
    (brokers, &kafka.topic.name)
}
