//! What a drain of nodes may take of the pods at once: one of each role. A single pod has no budget: it could only keep the
//! node from being drained, and what it misses meanwhile is repaired.

use k8s_openapi::api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::names::{Owner, Role, owned_metadata, role_labels, role_name, selector_labels};
use crate::reconcile::plan::WorkloadsPlan;

pub(super) fn disruption_budgets(owner: &Owner<'_>, workloads: &WorkloadsPlan) -> Vec<PodDisruptionBudget> {
    let producers = workloads.producers.iter().map(|producer| {
        let role = Role::Producer { source: &producer.settings.source.name };
        (role, producer.replicas)
    });
    let roles = producers.chain([(Role::Aggregator, workloads.aggregator.replicas)]);
    roles.filter(|(_, replicas)| *replicas > 1).map(|(role, _)| budget(owner, role)).collect()
}

fn budget(owner: &Owner<'_>, role: Role<'_>) -> PodDisruptionBudget {
    PodDisruptionBudget {
        metadata: owned_metadata(owner, role_name(owner.id, role), role_labels(owner.id, role)),
        spec: Some(PodDisruptionBudgetSpec {
            max_unavailable: Some(IntOrString::Int(1)),
            selector: Some(LabelSelector {
                match_labels: Some(selector_labels(owner.id, role)),
                ..LabelSelector::default()
            }),
            // One that is not ready anyway need not be kept.
            unhealthy_pod_eviction_policy: Some("AlwaysAllow".to_owned()),
            ..PodDisruptionBudgetSpec::default()
        }),
        status: None,
    }
}
