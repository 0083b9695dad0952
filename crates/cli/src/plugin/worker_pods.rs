//! The pods of a pipeline's workers, and which of them can be asked.

use std::time::Duration;

use anyhow::Context as _;
use crds::CryptoPipeline;
use k8s_openapi::api::core::v1::Pod;
use kube::api::ListParams;
use kube::{Api, ResourceExt};
use operator::reconcile::desired::{
    MANAGED_BY_SELECTOR, PIPELINE_LABEL, ROLE_LABEL, Role, WORKER_CONTAINER, WORKER_PORT,
};
use serde::de::DeserializeOwned;

use crate::cluster::Cluster;

/// The API server itself gives up a pod that does not answer after half a minute.
const PATIENCE: Duration = Duration::from_secs(10);

/// Selects everything that the operator made for a pipeline.
pub(super) fn selector(pipeline: &str) -> String {
    format!("{MANAGED_BY_SELECTOR},{PIPELINE_LABEL}={pipeline}")
}

pub(super) fn pods_api(cluster: &Cluster) -> Api<Pod> {
    Api::namespaced(cluster.client.clone(), &cluster.namespace)
}

/// All of them, by name.
pub(super) async fn worker_pods(cluster: &Cluster, pipeline: &str) -> anyhow::Result<Vec<Pod>> {
    let listed = pods_api(cluster).list(&ListParams::default().labels(&selector(pipeline))).await;
    let mut pods = listed.with_context(|| format!("cannot list the pods of {pipeline}"))?.items;
    pods.sort_by_key(ResourceExt::name_any);
    Ok(pods)
}

pub(super) fn has_role(pod: &Pod, role: Role<'_>) -> bool {
    pod.labels().get(ROLE_LABEL).is_some_and(|label| label == role.label())
}

/// Whether the worker in it runs and is to go on.
pub(super) fn is_running(pod: &Pod) -> bool {
    let statuses = pod.status.iter().flat_map(|status| status.container_statuses.iter().flatten());
    let mut worker = statuses.filter(|status| status.name == WORKER_CONTAINER);
    pod.metadata.deletion_timestamp.is_none()
        && worker.any(|status| status.state.as_ref().is_some_and(|state| state.running.is_some()))
}

fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    conditions.into_iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

/// The pod to ask: of the first of these roles that runs, and a ready one where there is one.
pub(super) fn choose<'a>(pods: &'a [Pod], roles: &[Role<'_>]) -> Option<&'a Pod> {
    roles.iter().find_map(|role| {
        let running: Vec<&Pod> = pods.iter().filter(|pod| has_role(pod, *role) && is_running(pod)).collect();
        running.iter().copied().find(|pod| is_ready(pod)).or_else(|| running.first().copied())
    })
}

/// Why no pod can be asked, and what to do.
pub(super) fn why_none(pipeline: &CryptoPipeline, roles: &[Role<'_>]) -> String {
    let (name, namespace) = (pipeline.name_any(), pipeline.namespace().unwrap_or_default());
    let kinds: Vec<&str> = roles.iter().map(Role::label).collect();
    let pods = format!("no {} pod of {name} in namespace {namespace} runs", kinds.join(" or "));
    if pipeline.spec.suspend {
        return format!(
            "{pods} that could ask its database: it is suspended. `kubectl cryptopipeline resume {name} -n {namespace}` lets it \
             go on; else give --database-url"
        );
    }
    if !pipeline.spec.has_repairer() && kinds == [Role::Repairer.label()] {
        let reads_trades = pipeline.spec.trade_sources().next().is_some();
        let why = if reads_trades { "spec.repair.enabled is false" } else { "no source has trades" };
        return format!("{pods}: {why}, so nobody would ask the exchange for what is removed");
    }
    format!(
        "{pods} that could ask its database: `kubectl cryptopipeline status {name} -n {namespace}` says what is wrong; else give \
         --database-url"
    )
}

/// What a worker answers at `path`, through the API server.
pub(super) async fn ask_text(cluster: &Cluster, pod: &str, path: &str) -> anyhow::Result<String> {
    let namespace = &cluster.namespace;
    let url = format!("/api/v1/namespaces/{namespace}/pods/{pod}:{WORKER_PORT}/proxy/{path}");
    let request = http::Request::get(url).body(Vec::new())?;
    let answer = tokio::time::timeout(PATIENCE, cluster.client.request_text(request)).await;
    let answer = answer.with_context(|| format!("no answer within {} s", PATIENCE.as_secs()))?;
    Ok(answer?)
}

/// A worker's `/status`.
pub(super) async fn ask_status<S: DeserializeOwned>(cluster: &Cluster, pod: &str) -> anyhow::Result<S> {
    let text = ask_text(cluster, pod, "status").await?;
    serde_json::from_str(&text).context("the answer is no status of a worker")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(name: &str, role: &str, is_running: bool, is_ready: bool) -> Pod {
        let state = if is_running {
            json!({"running": {}})
        } else {
            json!({"waiting": {"reason": "CrashLoopBackOff"}})
        };
        let ready = if is_ready { "True" } else { "False" };
        serde_json::from_value(json!({
            "metadata": {"name": name, "labels": {"app.kubernetes.io/component": role}},
            "status": {
                "conditions": [{"type": "Ready", "status": ready}],
                "containerStatuses": [
                    {"name": "proxy", "image": "", "imageID": "", "ready": true, "restartCount": 0, "state": {"running": {}}},
                    {"name": "worker", "image": "", "imageID": "", "ready": is_ready, "restartCount": 0, "state": state},
                ],
            },
        }))
        .unwrap()
    }

    fn chosen<'a>(pods: &'a [Pod], roles: &[Role<'_>]) -> Option<&'a str> {
        choose(pods, roles)?.metadata.name.as_deref()
    }

    #[test]
    fn the_pod_that_is_asked_runs_and_is_ready_where_one_is() {
        let both = [Role::Repairer, Role::Aggregator];
        let pods = [
            pod("aggregator-1", "aggregator", true, false),
            pod("aggregator-2", "aggregator", true, true),
            pod("producer", "producer", true, true),
            pod("repairer", "repairer", false, false),
        ];
        assert_eq!(chosen(&pods, &both), Some("aggregator-2"));
        assert_eq!(chosen(&pods[..1], &both), Some("aggregator-1"));
        assert_eq!(chosen(&pods, &both[..1]), None);
        let repairer = pod("repairer-2", "repairer", true, false);
        assert_eq!(chosen(&[pods[1].clone(), repairer.clone()], &both), Some("repairer-2"));
        let mut leaving = repairer;
        leaving.metadata.deletion_timestamp =
            Some(serde_json::from_value(json!("2026-01-01T00:00:00Z")).unwrap());
        assert_eq!(chosen(&[leaving], &both), None);
    }

    #[test]
    fn why_no_pod_can_be_asked_is_said_with_what_to_do() {
        let why = |spec: serde_json::Value, roles: &[Role<'_>]| {
            let mut pipeline =
                json!({"metadata": {"name": "quickstart", "namespace": "market"}, "spec": spec});
            let mut source = json!({"name": "a", "exchange": "binance", "symbols": ["BTCUSDT"]});
            if let Some(feed) = pipeline["spec"].as_object_mut().unwrap().remove("feed") {
                source["feed"] = feed;
            }
            pipeline["spec"]["sources"] = json!([source]);
            why_none(&serde_json::from_value(pipeline).unwrap(), roles)
        };
        let suspended = why(json!({"suspend": true}), &[Role::Repairer, Role::Aggregator]);
        assert!(
            suspended.contains("is suspended. `kubectl cryptopipeline resume quickstart -n market`"),
            "{suspended}"
        );
        let failing = why(json!({}), &[Role::Repairer, Role::Aggregator]);
        assert!(
            failing.contains("no repairer or aggregator pod") && failing.contains("status quickstart"),
            "{failing}"
        );
        let nobody = why(json!({"repair": {"enabled": false}}), &[Role::Repairer]);
        assert!(
            nobody.ends_with("enabled is false, so nobody would ask the exchange for what is removed"),
            "{nobody}"
        );
        let prices = why(json!({"feed": "tickers"}), &[Role::Repairer]);
        assert!(prices.contains(": no source has trades, so nobody"), "{prices}");
    }
}
