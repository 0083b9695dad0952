//! Deletion ends, whatever is left of broker and database.

use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams};
use operator::reconcile::cleanup::FORCE_DELETE_ANNOTATION;
use runtime::kafka_admin::TopicToCreate;
use serde_json::{Value, json};

use super::lab::Lab;

/// What the issue grants: objects are gone within a minute.
const BOUND: Duration = Duration::from_secs(60);

fn deleting(mut manifest: Value) -> Value {
    manifest["spec"]["deletionPolicy"] = json!("Delete");
    manifest
}

/// Points a running pipeline at a broker and a database that do not answer.
async fn cut_off(lab: &Lab, manifest: &mut Value) {
    lab.create_secret("dead", &format!("postgres://market@{}/market", lab.nowhere)).await;
    manifest["spec"]["kafka"]["bootstrapServers"] = json!(lab.nowhere);
    manifest["spec"]["database"]["connectionSecret"]["name"] = json!("dead");
    lab.apply(manifest).await.unwrap();
    let name = manifest["metadata"]["name"].as_str().unwrap();
    lab.said(name, "TopicReady", "Unknown/BrokerUnreachable").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn retain_goes_at_once_and_keeps_topic_and_schema() {
    let Some(lab) = Lab::enter().await else { return };
    lab.start_operator().await;
    let mut manifest = lab.manifest("kept");
    lab.apply(&manifest).await.unwrap();
    lab.said("kept", "Ready", "True/AllReady").await;
    cut_off(&lab, &mut manifest).await;
    assert_eq!(lab.get("kept").await.metadata.finalizers, None);
    lab.delete("kept").await;
    assert!(lab.pipelines().get_opt("kept").await.unwrap().is_none(), "nothing holds it");
    lab.until_gone("kept").await;
    assert!(lab.topic_exists("kept").await && lab.schema_exists("kept").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn delete_removes_what_the_resource_created() {
    let Some(lab) = Lab::enter().await else { return };
    lab.start_operator().await;
    lab.apply(&deleting(lab.manifest("mine"))).await.unwrap();
    lab.said("mine", "Ready", "True/AllReady").await;
    lab.delete("mine").await;
    lab.until_gone("mine").await;
    assert!(!lab.topic_exists("mine").await && !lab.schema_exists("mine").await);
    lab.event("mine", "CleanedUp").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn delete_leaves_a_topic_that_was_there_before() {
    let Some(lab) = Lab::enter().await else { return };
    lab.start_operator().await;
    let config = [("message.timestamp.type", "LogAppendTime"), ("retention.ms", "604800000")];
    let config = config.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    let name = lab.topic("adopts");
    let topic = TopicToCreate { name: &name, partitions: 3, replication_factor: 1, config: &config };
    lab.kafka().create_topic(&topic).await.unwrap();
    lab.apply(&deleting(lab.manifest("adopts"))).await.unwrap();
    lab.said("adopts", "Ready", "True/AllReady").await;
    lab.delete("adopts").await;
    lab.until_gone("adopts").await;
    assert!(lab.topic_exists("adopts").await && !lab.schema_exists("adopts").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn delete_lets_go_after_its_bound_and_says_what_is_left() {
    let Some(lab) = Lab::enter().await else { return };
    lab.start_operator().await;
    let mut manifest = deleting(lab.manifest("cut"));
    lab.apply(&manifest).await.unwrap();
    lab.said("cut", "Ready", "True/AllReady").await;
    cut_off(&lab, &mut manifest).await;
    let deleted = Instant::now();
    lab.delete("cut").await;
    let message = lab.said("cut", "Ready", "False/Deleting").await;
    assert!(message.starts_with("waits for the deletion of"), "{message}");
    lab.until_gone("cut").await;
    assert!(deleted.elapsed() < BOUND, "{:?}", deleted.elapsed());
    let left = lab.event("cut", "LeftBehind").await;
    assert!(left.contains(&lab.topic("cut")) && left.contains(&lab.schema("cut")), "{left}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_annotation_lets_go_at_once() {
    let Some(lab) = Lab::enter().await else { return };
    lab.start_operator().await;
    let mut manifest = deleting(lab.manifest("forced"));
    lab.apply(&manifest).await.unwrap();
    lab.said("forced", "Ready", "True/AllReady").await;
    cut_off(&lab, &mut manifest).await;
    lab.delete("forced").await;
    let annotation = json!({"metadata": {"annotations": {FORCE_DELETE_ANNOTATION: "true"}}});
    let annotation = Patch::Merge(&annotation);
    lab.pipelines().patch("forced", &PatchParams::default(), &annotation).await.unwrap();
    lab.until_gone("forced").await;
    lab.event("forced", "LeftBehind").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_finalizer_follows_the_policy() {
    let Some(lab) = Lab::enter().await else { return };
    lab.start_operator().await;
    let manifest = lab.manifest("undecided");
    let held =
        async || lab.get("undecided").await.metadata.finalizers.map(|finalizers| !finalizers.is_empty());
    lab.apply(&deleting(manifest.clone())).await.unwrap();
    lab.eventually("it is held", async || held().await.filter(|held| *held)).await;
    let mut retained = manifest;
    retained["spec"]["deletionPolicy"] = json!("Retain");
    lab.apply(&retained).await.unwrap();
    lab.eventually("it is free", async || (held().await != Some(true)).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_that_is_deleted_takes_its_pipeline_along() {
    let Some(lab) = Lab::enter().await else { return };
    lab.start_nodes();
    // By a ClusterRole: a Role would go with the namespace, and the operator could not let go of anything.
    lab.run_operator(lab.client.clone()).await;
    lab.apply(&deleting(lab.manifest("inside"))).await.unwrap();
    lab.said("inside", "Ready", "True/AllReady").await;
    let namespaces: Api<Namespace> = Api::all(lab.client.clone());
    let secrets: Api<Secret> = Api::namespaced(lab.client.clone(), &lab.namespace);
    // Whatever goes first: without it nobody can reach the schema any more.
    secrets.delete("postgres", &DeleteParams::default()).await.unwrap();
    namespaces.delete(&lab.namespace, &DeleteParams::default()).await.unwrap();
    let begun = Instant::now();
    let gone = async || namespaces.get_opt(&lab.namespace).await.unwrap().is_none().then_some(());
    lab.eventually("the namespace is gone", gone).await;
    eprintln!("gone after {:?}", begun.elapsed());
    assert!(lab.schema_exists("inside").await, "what cannot be reached is left, not waited for");
}
