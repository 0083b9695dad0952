//! How many pods of each role there should be, and whether they may be touched now.

use crds::CryptoPipelineSpec;
use crds::worker_settings::PipelineId;

use super::secrets::plan_secrets;
use super::settings::{aggregator_settings, producer_settings, repairer_settings};
use super::{
    AggregatorPlan, Place, ProducerPlan, RepairerPlan, SchemaPlan, SchemaStep, TopicPlan, TopicStep,
};
use super::{WorkloadStep, WorkloadsPlan};
use crate::reconcile::observe::{Observed, SecretState, Workload};

pub(super) fn plan_workloads(
    id: &PipelineId,
    spec: &CryptoPipelineSpec,
    observed: &Observed,
    place: Place<'_>,
    topic: &TopicPlan,
    schema: &SchemaPlan,
) -> WorkloadsPlan {
    let producers = spec.sources.iter().map(|source| ProducerPlan {
        settings: producer_settings(id, spec, source, place, &topic.wished),
        replicas: if spec.suspend { 0 } else { source.redundancy.min(most_replicas(place)) },
        pod_template: spec.producers.pod_template.clone(),
    });
    let aggregator = AggregatorPlan {
        settings: aggregator_settings(id, spec, place, &topic.wished),
        replicas: aggregator_replicas(spec, observed, topic).min(most_replicas(place)),
        pod_template: spec.aggregators.pod_template.clone(),
    };
    let repairer = spec.has_repairer().then(|| RepairerPlan {
        settings: repairer_settings(id, spec, place, &topic.wished),
        // It publishes too: a topic is only drained once it has stopped.
        replicas: i32::from(!spec.suspend),
        pod_template: spec.repair.pod_template.clone(),
    });
    WorkloadsPlan {
        step: workload_step(observed, &topic.step, &schema.step),
        producers: producers.collect(),
        aggregator,
        repairer,
        secrets: match (place, &spec.kafka, &spec.database) {
            (Place::Cluster, Some(kafka), Some(database)) => Some(plan_secrets(kafka, database, observed)),
            _ => None,
        },
    }
}

/// Pods are first made once they have a topic and a schema. Those that run go on, and take new settings, while
/// broker or database are away; they are left alone where something is refused.
fn workload_step(observed: &Observed, topic: &TopicStep, schema: &SchemaStep) -> WorkloadStep {
    let has_credentials = [&observed.kafka_secrets, &observed.database_secrets]
        .into_iter()
        .all(|secrets| matches!(secrets, SecretState::Found { .. } | SecretState::NotNeeded));
    let runs = observed.workloads.aggregator.is_some();
    let waits_at_worst = (topic.leads_to_a_topic() || *topic == TopicStep::Wait)
        && (schema.leads_to_a_schema() || *schema == SchemaStep::Wait);
    let is_ready = topic.leads_to_a_topic() && schema.leads_to_a_schema();
    if has_credentials && (is_ready || (runs && waits_at_worst)) {
        WorkloadStep::Apply
    } else {
        WorkloadStep::Hold
    }
}

/// On one machine a second process of a role would only share the same cores and die with the first.
const fn most_replicas(place: Place<'_>) -> i32 {
    match place {
        Place::Cluster => i32::MAX,
        Place::Machine { .. } => 1,
    }
}

fn aggregator_replicas(spec: &CryptoPipelineSpec, observed: &Observed, topic: &TopicPlan) -> i32 {
    let running = observed.workloads.aggregator.as_ref().map(|workload| workload.wished);
    if spec.suspend && (running == Some(0) || is_drained(observed)) {
        return 0;
    }
    let Some(partitions) = partitions_after(observed, topic) else {
        // What cannot be read is no reason to scale.
        return running.unwrap_or_default();
    };
    let wished = spec.aggregators.replicas.unwrap_or(spec.aggregators.max_replicas).min(partitions);
    // A pipeline that is being drained keeps what it has: more pods would only rebalance.
    if spec.suspend { running.unwrap_or(wished).min(wished) } else { wished }
}

/// How many partitions the topic has once the step is done; `None` while that is not known.
fn partitions_after(observed: &Observed, topic: &TopicPlan) -> Option<i32> {
    match &topic.step {
        TopicStep::Create | TopicStep::Change { grow_to: Some(_), .. } => Some(topic.wished.partitions),
        _ => observed.topic_state().map(|topic| topic.description.partitions),
    }
}

/// Whether the database has everything that was ever written to the topic: told by looks that began after the last
/// writer had gone.
fn is_drained(observed: &Observed) -> bool {
    let Some(gone_since) = observed.writers_gone_since else { return false };
    observed.workloads.writers().all(Workload::is_gone)
        && observed.topic.value_after(gone_since).is_some()
        && observed.schema.value_after(gone_since).is_some()
        && observed.unread() == Some(0)
}
