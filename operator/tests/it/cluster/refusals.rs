//! What `kubectl apply` refuses, with field and rule, as the API server says it.

use k8s_openapi::api::networking::v1::NetworkPolicy;
use kube::Api;
use kube::api::{DeleteParams, PostParams};
use serde_json::{Value, json};

use super::lab::Lab;

/// The manifest with the value at `path` (a JSON pointer) replaced.
fn with(mut manifest: Value, path: &str, value: Value) -> Value {
    let (parent, field) = path.rsplit_once('/').unwrap();
    let parent = manifest.pointer_mut(parent).unwrap();
    if parent[field].is_null() && parent.is_array() {
        panic!("no element {path}");
    }
    parent[field] = value;
    manifest
}

async fn assert_refused(lab: &Lab, manifest: &Value, expected: &[&str]) {
    let refusal = lab.apply(manifest).await.expect_err(&format!("{manifest} is refused")).to_string();
    for text in expected {
        assert!(refusal.contains(text), "{text:?} in {refusal}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_can_never_work_is_refused_with_field_and_rule() {
    let Some(lab) = Lab::enter().await else { return };
    for (path, value, expected) in [
        ("/spec/sources/0/symbols", json!([]), ["spec.sources[0].symbols", "at least 1 items"]),
        (
            "/spec/sources/0/symbols",
            json!(["BTCUSDT", "BTCUSDT"]),
            ["spec.sources[0].symbols[1]", "Duplicate value"],
        ),
        ("/spec/sources/0/symbols", json!(["btcusdt"]), ["spec.sources[0].symbols[0]", "should match"]),
        (
            "/spec/sources/0/exchange",
            json!("mtgox"),
            ["spec.sources[0].exchange", r#"supported values: "binance""#],
        ),
        (
            "/spec/sources/0/endpoints",
            json!({"websocket": "ws://elsewhere:9080"}),
            ["spec.sources[0].venue", "venue is required where the endpoints are not the exchange's own"],
        ),
        ("/spec/sources/0/redundancy", json!(3), ["spec.sources[0].redundancy", "less than or equal to 2"]),
        (
            "/spec/aggregation",
            json!({"intervals": ["7m"]}),
            ["spec.aggregation.intervals[0]", "supported values"],
        ),
        (
            "/spec/aggregation",
            json!({"whaleTrade": {"minValue": "-1"}}),
            ["spec.aggregation.whaleTrade.minValue", "must be a decimal that is not negative"],
        ),
        (
            "/spec/aggregation",
            json!({"flushInterval": "5ms"}),
            ["spec.aggregation.flushInterval", "must be from 10ms to 60s"],
        ),
        (
            "/spec/kafka/topic/partitions",
            json!(0),
            ["spec.kafka.topic.partitions", "greater than or equal to 1"],
        ),
        ("/spec/kafka/topic/retention", json!("-7d"), ["spec.kafka.topic.retention", "should match"]),
        (
            "/spec/kafka/topic/config",
            json!({"retention.ms": "1"}),
            ["spec.kafka.topic.config", "may not repeat retention.ms"],
        ),
        (
            "/spec/kafka/topic/config",
            json!({"cleanup.policy": "compact"}),
            ["spec.kafka.topic.config", "compaction would remove"],
        ),
        (
            "/spec/kafka/clientConfig",
            json!({"acks": "1"}),
            ["spec.kafka.clientConfig", "may hold neither credentials"],
        ),
        ("/spec/database/schema", json!("pg_catalog"), ["spec.database.schema", "may not begin with pg_"]),
        (
            "/spec/aggregators",
            json!({"podTemplate": {"env": [{"name": "DATABASE_URL", "value": "x"}]}}),
            ["spec.aggregators.podTemplate.env", "may not hold DATABASE_URL"],
        ),
        ("/spec/nonsense", json!(true), ["spec.nonsense", "unknown field"]),
        ("/metadata/name", json!("7th"), ["<nil>", "metadata.name must be at most 40"]),
    ] {
        assert_refused(&lab, &with(lab.manifest("refused"), path, value), &expected).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_that_can_never_work_are_refused_with_field_and_rule() {
    let Some(lab) = Lab::enter().await else { return };
    let manifest = lab.manifest("changed");
    lab.apply(&manifest).await.unwrap();
    for (path, value, expected) in [
        (
            "/spec/kafka/topic/partitions",
            json!(2),
            ["spec.kafka.topic.partitions", "partitions may not shrink"],
        ),
        ("/spec/kafka/topic/name", json!("other"), ["spec.kafka.topic.name", "topic may not be renamed"]),
        ("/spec/sources/0/venue", json!("other"), ["spec.sources[0].venue", "venue may not change"]),
        ("/spec/kafka", Value::Null, ["spec.kafka", "kafka may not be removed"]),
    ] {
        assert_refused(&lab, &with(manifest.clone(), path, value), &expected).await;
    }
    for (path, value) in [
        ("/spec/sources/0/venue", json!("binance")),
        ("/spec/suspend", json!(true)),
        ("/spec/kafka/topic/partitions", json!(6)),
    ] {
        lab.apply(&with(manifest.clone(), path, value)).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_somebody_else_made_under_the_same_name_is_not_taken_over() {
    let Some(lab) = Lab::enter().await else { return };
    let policies: Api<NetworkPolicy> = Api::namespaced(lab.client.clone(), &lab.namespace);
    let theirs =
        json!({"metadata": {"name": "taken-aggregator"}, "spec": {"podSelector": {}, "ingress": [{}]}});
    let theirs: NetworkPolicy = serde_json::from_value(theirs).unwrap();
    let theirs = policies.create(&PostParams::default(), &theirs).await.unwrap();
    lab.start_operator().await;
    lab.apply(&lab.manifest("taken")).await.unwrap();
    let message = lab.said("taken", "AggregatorsReady", "False/ApplyFailed").await;
    assert!(message.contains("NetworkPolicy taken-aggregator is there already"), "{message}");
    assert_eq!(policies.get("taken-aggregator").await.unwrap().spec, theirs.spec);
    policies.delete("taken-aggregator", &DeleteParams::default()).await.unwrap();
    lab.said("taken", "Ready", "True/AllReady").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_example_is_accepted() {
    let Some(lab) = Lab::enter().await else { return };
    let examples = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../examples")).unwrap();
    for example in examples {
        let path = example.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        let manifests: Vec<Value> = serde_yaml::from_multiple(&text).unwrap();
        // What others define is tried on kind.
        for mut manifest in manifests.into_iter().filter(|manifest| manifest["kind"] == "CryptoPipeline") {
            manifest["metadata"]["namespace"] = json!(lab.namespace);
            lab.apply(&manifest).await.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        }
    }
}
