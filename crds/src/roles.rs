//! What a user says of the pods: how many, how they differ from the operator's own template, what a drain may take of them.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use crate::pod_template::PodTemplate;
use crate::spec::yes;

/// The pods that read the topic and write the database.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AggregatorsSpec {
    /// How many, such as 2; as many as there are partitions, up to `maxReplicas`, where absent. Never more than partitions.
    /// The scale subresource sets it; an autoscaler needs a first value here.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1000))]
    pub replicas: Option<i32>,

    /// The most there will be while they follow the partitions. Default 12, such as 30.
    #[serde(default = "default_max_replicas")]
    #[schemars(range(min = 1, max = 1000))]
    pub max_replicas: i32,

    /// How their pods differ from the operator's own template.
    #[serde(default)]
    pub pod_template: PodTemplate,
}

impl Default for AggregatorsSpec {
    fn default() -> Self {
        Self { replicas: None, max_replicas: default_max_replicas(), pod_template: PodTemplate::default() }
    }
}

fn default_max_replicas() -> i32 {
    12
}

/// The pods that read the exchanges.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProducersSpec {
    /// How their pods differ from the operator's own template.
    #[serde(default)]
    pub pod_template: PodTemplate,
}

/// The pod that asks the exchanges for missing trades, and how far their ids go.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RepairSpec {
    /// Whether missing trades are asked for. Without it a hole stays, and nobody can say that the newest trade is there.
    /// Default true.
    #[serde(default = "yes")]
    pub enabled: bool,

    /// How its pod differs from the operator's own template.
    #[serde(default)]
    pub pod_template: PodTemplate,
}

impl Default for RepairSpec {
    fn default() -> Self {
        Self { enabled: yes(), pod_template: PodTemplate::default() }
    }
}

/// What a drain of nodes may take of the pods at once.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PodDisruptionBudgetSpec {
    /// Whether roles of more than one pod have a budget of one. False where they have budgets of your own: a pod of two cannot be
    /// evicted. Default true.
    #[serde(default = "yes")]
    pub enabled: bool,
}

impl Default for PodDisruptionBudgetSpec {
    fn default() -> Self {
        Self { enabled: yes() }
    }
}
