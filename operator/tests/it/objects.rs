//! Every object that is made for a pipeline, as a whole: one snapshot for each fixture.

use k8s_openapi::api::apps::v1::Deployment;
use kube::ResourceExt;
use operator::reconcile::desired::{Installation, WorkerImage, desire};
use operator::reconcile::observe::{Observed, SecretState};
use serde_json::Value;

use crate::world::{empty_world, fixture, known, minimal, planned, topic_as_declared};

pub(crate) fn installation() -> Installation {
    Installation {
        image: WorkerImage {
            name: "example.com/cryptopipeline:1.0".to_owned(),
            pull_policy: "IfNotPresent".to_owned(),
        },
        namespace: Some("operators".to_owned()),
    }
}

/// The objects of a fixture, as one stream of YAML documents.
fn objects(case: &str) -> String {
    let pipeline = fixture(case);
    let generation = pipeline.metadata.generation.unwrap();
    let mut world = Observed { topic: known(Some(topic_as_declared(&pipeline))), ..empty_world() };
    if pipeline.spec.kafka.as_ref().is_some_and(|kafka| kafka.tls.is_some()) {
        world.kafka_secrets = SecretState::Found { checksum: "fedcba9876543210".to_owned(), server: None };
    }
    let desired = desire(&planned(&pipeline, &world), generation, &installation()).unwrap();
    let mut objects = vec![serde_json::to_value(&desired.service_account).unwrap()];
    objects.extend(desired.config_maps.iter().map(|object| serde_json::to_value(object).unwrap()));
    objects.extend(desired.deployments.iter().map(|object| serde_json::to_value(object).unwrap()));
    let policies = desired.network_policies.unwrap();
    objects.extend(policies.iter().map(|object| serde_json::to_value(object).unwrap()));
    objects.extend(desired.disruption_budgets.iter().map(|object| serde_json::to_value(object).unwrap()));
    let documents: Vec<String> =
        objects.iter().map(|object| serde_yaml::to_string(object).unwrap()).collect();
    documents.join("---\n")
}

#[test]
fn the_objects_of_a_minimal_pipeline() {
    insta::assert_snapshot!(objects("minimal"));
}

#[test]
fn the_objects_of_a_pipeline_with_everything_set() {
    insta::assert_snapshot!(objects("full"));
}

#[test]
fn a_budget_of_pods_can_be_left_to_others() {
    let budgets = |enabled: bool| {
        let pipeline = minimal(|pipeline| pipeline.spec.pod_disruption_budget.enabled = enabled);
        let world = Observed { topic: known(Some(topic_as_declared(&pipeline))), ..empty_world() };
        let desired = desire(&planned(&pipeline, &world), 1, &installation()).unwrap();
        desired.disruption_budgets.iter().map(ResourceExt::name_any).collect::<Vec<_>>()
    };
    // One producer has none: it could only keep its node from being drained.
    assert_eq!(budgets(true), ["markets-aggregator"]);
    assert_eq!(budgets(false), Vec::<String>::new());
}

/// The pod template of the aggregators.
fn aggregator_pods(change: impl FnOnce(&mut crds::CryptoPipeline)) -> Value {
    let desired = desire(&planned(&minimal(change), &empty_world()), 1, &installation()).unwrap();
    let is_of_aggregators = |deployment: &&Deployment| deployment.name_any().ends_with("-aggregator");
    let deployment = desired.deployments.iter().find(is_of_aggregators).unwrap();
    serde_json::to_value(&deployment.spec.as_ref().unwrap().template).unwrap()
}

#[test]
fn pods_are_replaced_only_when_their_own_settings_change() {
    let before = aggregator_pods(|_| {});
    assert_eq!(
        before,
        aggregator_pods(|pipeline| pipeline.spec.sources[0].symbols.push("SOLUSDT".to_owned()))
    );
    assert_eq!(
        before,
        aggregator_pods(|pipeline| pipeline.spec.kafka.as_mut().unwrap().topic.partitions = 9)
    );
    assert_eq!(before, aggregator_pods(|pipeline| pipeline.metadata.generation = Some(9)));
    assert_ne!(before, aggregator_pods(|pipeline| pipeline.spec.aggregation.store_trades = false));
}
