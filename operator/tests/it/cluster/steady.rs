//! A steady pipeline costs no writes: read from the API server's own request metrics.

use std::collections::BTreeMap;
use std::time::Duration;

use super::lab::Lab;

/// How long nothing may happen, in seconds; the full claim is five minutes.
const PERIOD_ENV: &str = "STEADY_SECONDS";
const DEFAULT_PERIOD: Duration = Duration::from_secs(75);
/// After the last change, for what is still on its way: a figure that was read just after one was told waits a minute.
const SETTLING: Duration = Duration::from_secs(75);

const WRITES: [&str; 6] = ["POST", "PUT", "PATCH", "APPLY", "DELETE", "DELETECOLLECTION"];

#[tokio::test(flavor = "multi_thread")]
async fn a_steady_pipeline_causes_no_writes() {
    let Some(lab) = Lab::enter_alone().await else { return };
    let period = std::env::var(PERIOD_ENV).ok().map(|seconds| seconds.parse().unwrap());
    let period = period.map_or(DEFAULT_PERIOD, Duration::from_secs);
    lab.start_operator().await;
    lab.apply(&lab.manifest("steady")).await.unwrap();
    let mut waiting = lab.manifest("waiting");
    waiting["spec"]["kafka"]["bootstrapServers"] = lab.nowhere.as_str().into();
    lab.apply(&waiting).await.unwrap();
    lab.said("steady", "Ready", "True/AllReady").await;
    lab.said("steady", "DataFlowing", "True/TradesArriving").await;
    lab.said("waiting", "TopicReady", "Unknown/BrokerUnreachable").await;
    tokio::time::sleep(SETTLING).await;
    let before = writes(&lab).await;
    tokio::time::sleep(period).await;
    let after = writes(&lab).await;
    let caused: BTreeMap<&String, u64> = after
        .iter()
        .map(|(what, count)| (what, count - before.get(what).copied().unwrap_or_default()))
        .filter(|(_, count)| *count > 0)
        .collect();
    eprintln!("writes in {} s: {caused:?}", period.as_secs());
    assert_eq!(caused, BTreeMap::new());
}

/// How often each kind of object that the operator writes was written, since the API server's start.
async fn writes(lab: &Lab) -> BTreeMap<String, u64> {
    let request = http::Request::get("/metrics").body(Vec::new()).unwrap();
    let metrics = lab.client.request_text(request).await.unwrap();
    let mut counts = BTreeMap::new();
    for line in metrics.lines().filter(|line| line.starts_with("apiserver_request_total{")) {
        let label = |name: &str| {
            let start = line.find(&format!("{name}=\""))? + name.len() + 2;
            line[start..].split('"').next()
        };
        let of = |name: &str| label(name).unwrap_or_default();
        let (group, resource, subresource, verb) =
            (of("group"), of("resource"), of("subresource"), of("verb"));
        let is_ours = match (group, resource) {
            ("cryptopipeline.dev", _) | ("events.k8s.io", _) => true,
            // Its status is the controller manager's.
            ("apps", "deployments") => subresource.is_empty(),
            ("", "configmaps" | "serviceaccounts" | "secrets" | "pods") => subresource.is_empty(),
            _ => false,
        };
        if is_ours && WRITES.contains(&verb) {
            let count: f64 = line.rsplit(' ').next().unwrap().parse().unwrap();
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // A count.
            let count = count as u64;
            *counts.entry(format!("{verb} {group}/{resource}/{subresource}")).or_default() += count;
        }
    }
    assert!(!counts.is_empty(), "the pipeline's own creation is counted");
    counts
}
