//! Step 3: from the plan to every object that should exist in the cluster. Pure: one file per kind of object,
//! and [`DesiredState`] lists them all.

mod checksum;
mod config_map;
mod deployment;
mod disruption_budget;
mod names;
mod network_policy;
mod server_secrets;
mod service_account;

use crds::worker_settings::PipelineId;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, ServiceAccount};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;

use super::plan::{NetworkPlan, PipelinePlan};

pub use checksum::checksum;
pub(crate) use deployment::WORKER_PORT_NAME;
pub use deployment::{WORKER_CONTAINER, WORKER_PORT, settings_path};
pub use names::{GENERATION_ANNOTATION, MANAGED_BY_SELECTOR, PIPELINE_LABEL, ROLE_LABEL, Role, SOURCE_LABEL};

/// What the workers' pods are made from; the same for every pipeline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkerImage {
    /// The image that holds the program `worker`.
    pub name: String,
    /// When a node pulls it: `Always`, `IfNotPresent` or `Never`.
    pub pull_policy: String,
}

/// The label of the operator's own pods, as the chart makes them.
pub const OPERATOR_LABEL: (&str, &str) = ("app.kubernetes.io/name", "cryptopipeline-operator");

/// What this operator brings along, the same for every pipeline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Installation {
    /// What the workers' pods are made from.
    pub image: WorkerImage,
    /// The namespace that the operator runs in, where that is known.
    pub namespace: Option<String>,
}

/// Every object that a pipeline has in the cluster.
#[derive(Clone, Debug, PartialEq)]
pub struct DesiredState {
    /// The identity of the workers, which may do nothing.
    pub service_account: ServiceAccount,
    /// One settings file for each role and source. Applied before the pods that mount them.
    pub config_maps: Vec<ConfigMap>,
    /// One for each source, the aggregators and the repairer.
    pub deployments: Vec<Deployment>,
    /// One for each Deployment; `None` where those that are there are to be left as they are.
    pub network_policies: Option<Vec<NetworkPolicy>>,
    /// One for each Deployment of more than one pod.
    pub disruption_budgets: Vec<PodDisruptionBudget>,
}

/// Why an object cannot be written down.
#[derive(Debug, thiserror::Error)]
#[error("cannot write the settings of {object}")]
pub struct DesireError {
    object: String,
    #[source]
    source: serde_yaml::ser::Error,
}

/// The objects of `plan`, which was made from `generation` of the spec.
///
/// # Errors
/// Where a settings file cannot be written as YAML, which no input decides.
pub fn desire(
    plan: &PipelinePlan,
    generation: i64,
    installation: &Installation,
) -> Result<DesiredState, DesireError> {
    let owner = names::Owner { id: &plan.id, generation };
    let image = &installation.image;
    let workloads = &plan.workloads;
    let mut config_maps = Vec::new();
    let mut deployments = Vec::new();
    for producer in &workloads.producers {
        let role = Role::Producer { source: &producer.settings.source.name };
        let settings = config_map::settings_file(&owner, role, &producer.settings)?;
        deployments
            .push(deployment::producer_deployment(&owner, role, workloads, producer, &settings, image));
        config_maps.push(config_map::settings_config_map(&owner, role, settings));
    }
    let role = Role::Aggregator;
    let settings = config_map::settings_file(&owner, role, &workloads.aggregator.settings)?;
    deployments.push(deployment::aggregator_deployment(&owner, role, workloads, &settings, image));
    config_maps.push(config_map::settings_config_map(&owner, role, settings));
    if let Some(repairer) = &workloads.repairer {
        let role = Role::Repairer;
        let settings = config_map::settings_file(&owner, role, &repairer.settings)?;
        deployments
            .push(deployment::repairer_deployment(&owner, role, workloads, repairer, &settings, image));
        config_maps.push(config_map::settings_config_map(&owner, role, settings));
    }
    Ok(DesiredState {
        service_account: service_account::worker_service_account(&owner),
        config_maps,
        deployments,
        network_policies: match &plan.network {
            NetworkPlan::Unknown => None,
            NetworkPlan::Open => Some(Vec::new()),
            NetworkPlan::Closed(network) => {
                let namespace = installation.namespace.as_deref();
                Some(network_policy::network_policies(&owner, workloads, network, namespace))
            }
        },
        disruption_budgets: if plan.disruption_budgets {
            disruption_budget::disruption_budgets(&owner, workloads)
        } else {
            Vec::new()
        },
    })
}

/// The label selector of the aggregators' pods, as text.
#[must_use]
pub fn aggregator_selector(id: &PipelineId) -> String {
    let labels = names::selector_labels(id, Role::Aggregator);
    labels.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(",")
}
