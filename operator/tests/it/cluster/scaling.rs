//! How many aggregators there are, and what is said where more would not help.

use k8s_openapi::api::autoscaling::v1::Scale;
use kube::api::{Patch, PatchParams};
use serde_json::json;

use super::lab::Lab;

#[tokio::test(flavor = "multi_thread")]
async fn the_scale_subresource_sets_the_aggregators_up_to_the_partitions() {
    let Some(lab) = Lab::enter().await else { return };
    lab.start_operator().await;
    lab.apply(&lab.manifest("scaled")).await.unwrap();
    lab.until_replicas("scaled-aggregator", 3).await;
    let scale_to = async |replicas: i32| {
        let patch = json!({"spec": {"replicas": replicas}});
        let patch = Patch::Merge(&patch);
        lab.pipelines().patch_scale("scaled", &PatchParams::default(), &patch).await.unwrap();
    };
    scale_to(2).await;
    lab.until_replicas("scaled-aggregator", 2).await;
    lab.said("scaled", "AggregatorsReady", "True/PodsReady").await;
    let scale: Scale = lab.client.request(scale_request(&lab, "scaled")).await.unwrap();
    let status = scale.status.unwrap();
    assert_eq!(status.replicas, 2);
    assert!(status.selector.unwrap().contains("app.kubernetes.io/component=aggregator"));
    scale_to(9).await;
    lab.until_replicas("scaled-aggregator", 3).await;
}

fn scale_request(lab: &Lab, name: &str) -> http::Request<Vec<u8>> {
    let path = format!(
        "/apis/cryptopipeline.dev/v1alpha1/namespaces/{}/cryptopipelines/{name}/scale",
        lab.namespace
    );
    http::Request::get(path).body(Vec::new()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partition_that_is_hot_by_itself_is_named() {
    let Some(lab) = Lab::enter().await else { return };
    lab.start_operator().await;
    lab.apply(&lab.manifest("hot")).await.unwrap();
    lab.said("hot", "DataFlowing", "True/TradesArriving").await;
    // Nobody reads here.
    lab.publish(&lab.topic("hot"), 1, 1_500);
    let message = lab.said("hot", "DataFlowing", "True/PartitionHot").await;
    assert!(message.contains("partition 1 alone: 1,500 records behind; scaling will not help"), "{message}");
    assert_eq!(lab.event("hot", "PartitionHot").await, message);
    assert_eq!(lab.get("hot").await.status.unwrap().lag, Some(1_500));
    assert_eq!(lab.replicas("hot-aggregator").await, Some(3));
}
