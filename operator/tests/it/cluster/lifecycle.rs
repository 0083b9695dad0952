//! A pipeline from its making to its rest.

use std::collections::BTreeMap;

use kube::api::{Patch, PatchParams};
use serde_json::json;
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use store::{ConnectOptions, Store};

use super::lab::Lab;

#[tokio::test(flavor = "multi_thread")]
async fn a_pipeline_is_made_grown_and_kept_as_declared() {
    let Some(lab) = Lab::enter().await else { return };
    lab.start_operator().await;
    let mut manifest = lab.manifest("grows");
    lab.apply(&manifest).await.unwrap();
    lab.said("grows", "Ready", "True/AllReady").await;
    lab.said("grows", "DataFlowing", "True/TradesArriving").await;
    lab.said("grows", "DataContinuous", "Unknown/NoTradesYet").await;
    lab.event("grows", "TopicCreated").await;
    lab.event("grows", "SchemaMigrated").await;
    let kafka = lab.kafka();
    let topic = lab.topic("grows");
    let made = kafka.describe_topic(&topic).await.unwrap().unwrap();
    let config = kafka.topic_config(&topic).await.unwrap();
    assert_eq!((made.partitions, config["message.timestamp.type"].as_str()), (3, "LogAppendTime"));
    let status = lab.get("grows").await.status.unwrap();
    assert_eq!(status.topic.unwrap().id, Some(made.id));
    assert_eq!((status.partitions, status.symbols), (Some(3), Some(2)));
    // Not known of a look in which the broker answered late.
    let is_told = async || (lab.get("grows").await.status.unwrap().lag == Some(0)).then_some(());
    lab.eventually("the lag is told", is_told).await;

    // Growth is live, and the aggregators follow.
    manifest["spec"]["kafka"]["topic"]["partitions"] = json!(6);
    lab.apply(&manifest).await.unwrap();
    lab.until_replicas("grows-aggregator", 6).await;
    lab.event("grows", "TopicGrown").await;
    assert_eq!(kafka.describe_topic(&topic).await.unwrap().unwrap().partitions, 6);

    // What others change is set right, in Kafka and in the cluster.
    let drift = BTreeMap::from([("retention.ms".to_owned(), "1000".to_owned())]);
    kafka.alter_topic_config(&topic, &drift).await.unwrap();
    let kept =
        async || (kafka.topic_config(&topic).await.unwrap()["retention.ms"] == "604800000").then_some(());
    lab.eventually("the retention is set right", kept).await;
    let edit = json!({"spec": {"replicas": 1}});
    let edit = Patch::Merge(&edit);
    lab.deployments().patch("grows-aggregator", &PatchParams::default(), &edit).await.unwrap();
    lab.until_replicas("grows-aggregator", 6).await;

    // A source that is no longer wanted takes its producer with it.
    let second = json!({"name": "second", "exchange": "binance", "symbols": ["SOLUSDT"]});
    manifest["spec"]["sources"].as_array_mut().unwrap().push(second);
    lab.apply(&manifest).await.unwrap();
    lab.until_replicas("grows-producer-second", 1).await;
    manifest["spec"]["sources"].as_array_mut().unwrap().pop();
    lab.apply(&manifest).await.unwrap();
    let is_gone = async || lab.replicas("grows-producer-second").await.is_none().then_some(());
    lab.eventually("the second producer is gone", is_gone).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_suspended_pipeline_drains_and_comes_back() {
    let Some(lab) = Lab::enter().await else { return };
    lab.start_operator().await;
    let mut manifest = lab.manifest("paused");
    lab.apply(&manifest).await.unwrap();
    lab.said("paused", "Ready", "True/AllReady").await;
    lab.publish(&lab.topic("paused"), 0, 1);

    manifest["spec"]["suspend"] = json!(true);
    lab.apply(&manifest).await.unwrap();
    lab.until_replicas("paused-producer-binance", 0).await;
    lab.said("paused", "AggregatorsReady", "False/Draining").await;
    assert_eq!(lab.replicas("paused-aggregator").await, Some(3), "one record is left");
    read_everything(&lab, "paused").await;
    lab.until_replicas("paused-aggregator", 0).await;
    lab.said("paused", "Ready", "False/Suspended").await;
    lab.said("paused", "Reconciling", "False/Settled").await;

    manifest["spec"]["suspend"] = json!(false);
    lab.apply(&manifest).await.unwrap();
    lab.said("paused", "Ready", "True/AllReady").await;
    assert_eq!(lab.replicas("paused-aggregator").await, Some(3));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pipeline_made_anew_takes_up_what_was_retained() {
    let Some(lab) = Lab::enter().await else { return };
    lab.start_operator().await;
    lab.apply(&lab.manifest("again")).await.unwrap();
    lab.said("again", "Ready", "True/AllReady").await;
    let id = lab.get("again").await.status.unwrap().topic.unwrap().id;
    lab.delete("again").await;
    lab.until_gone("again").await;
    lab.apply(&lab.manifest("again")).await.unwrap();
    lab.said("again", "Ready", "True/AllReady").await;
    let topic = lab.get("again").await.status.unwrap().topic.unwrap();
    assert_eq!((topic.id, topic.created), (id, false));
}

/// Moves the stored positions to the end of the topic, as an aggregator does.
async fn read_everything(lab: &Lab, pipeline: &str) {
    let (topic, schema) = (lab.topic(pipeline), lab.schema(pipeline));
    let id = lab.kafka().describe_topic(&topic).await.unwrap().unwrap().id;
    let store =
        Store::connect(&lab.postgres_url.as_str().into(), &schema, ConnectOptions::default()).await.unwrap();
    store.assign(&topic, &id, &[0, 1, 2]).await.unwrap();
    let mut connection = PgConnection::connect(&lab.postgres_url).await.unwrap();
    let read = format!(
        "UPDATE {schema}.partition_offsets SET next_offset = 1, records_read = 1, records_set_aside = 1 \
         WHERE partition = 0"
    );
    assert_eq!(sqlx::query(AssertSqlSafe(read)).execute(&mut connection).await.unwrap().rows_affected(), 1);
}
