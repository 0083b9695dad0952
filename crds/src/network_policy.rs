//! Who may reach a pipeline's pods, and whom they may reach.

use k8s_openapi::api::networking::v1::{NetworkPolicyEgressRule, NetworkPolicyPeer};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use crate::pod_template::undescribed;
use crate::spec::yes;

/// How Prometheus' own charts and operators call its pods.
const PROMETHEUS: (&str, &str) = ("app.kubernetes.io/name", "prometheus");

/// Who may reach the workers' pods, and whom they may reach, where the cluster's network enforces it. The ports come from
/// what the spec, the Secrets and the brokers name.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NetworkPolicySpec {
    /// False: no NetworkPolicy is made for the workers. Default true.
    #[serde(default = "yes")]
    pub enabled: bool,

    /// Where the brokers may be, such as `[{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: kafka}}}]`; see
    /// `kubectl explain networkpolicy.spec.egress.to`. By default anywhere.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "undescribed::<Vec<NetworkPolicyPeer>>", length(max = 16))]
    pub kafka: Vec<NetworkPolicyPeer>,

    /// Where the database may be, such as `[{ipBlock: {cidr: 10.1.2.3/32}}]`. By default anywhere.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "undescribed::<Vec<NetworkPolicyPeer>>", length(max = 16))]
    pub database: Vec<NetworkPolicyPeer>,

    /// Where the exchanges may be, such as `[{ipBlock: {cidr: 0.0.0.0/0, except: [10.0.0.0/8]}}]`. By default anywhere.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "undescribed::<Vec<NetworkPolicyPeer>>", length(max = 16))]
    pub exchanges: Vec<NetworkPolicyPeer>,

    /// Whom every worker may reach besides, as rules, such as `[{ports: [{port: 15012}]}]` for the sidecar of a mesh or the port of a
    /// proxy that `podTemplate.env` names; see `kubectl explain networkpolicy.spec.egress`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "undescribed::<Vec<NetworkPolicyEgressRule>>", length(max = 16))]
    pub egress: Vec<NetworkPolicyEgressRule>,

    /// Who may read the workers' metrics beside the operator, such as `[{podSelector: {matchLabels: {app: vmagent}}}]`; nobody
    /// where empty. By default the pods of any namespace that are labelled `app.kubernetes.io/name: prometheus`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "undescribed::<Option<Vec<NetworkPolicyPeer>>>", length(max = 16))]
    pub metrics: Option<Vec<NetworkPolicyPeer>>,
}

impl Default for NetworkPolicySpec {
    fn default() -> Self {
        Self {
            enabled: yes(),
            kafka: Vec::new(),
            database: Vec::new(),
            exchanges: Vec::new(),
            egress: Vec::new(),
            metrics: None,
        }
    }
}

impl NetworkPolicySpec {
    /// Who may read the workers' metrics beside the operator.
    #[must_use]
    pub fn metrics_from(&self) -> Vec<NetworkPolicyPeer> {
        self.metrics.clone().unwrap_or_else(|| vec![prometheus()])
    }
}

fn prometheus() -> NetworkPolicyPeer {
    let (label, value) = PROMETHEUS;
    NetworkPolicyPeer {
        namespace_selector: Some(LabelSelector::default()),
        pod_selector: Some(LabelSelector {
            match_labels: Some([(label.to_owned(), value.to_owned())].into()),
            ..LabelSelector::default()
        }),
        ..NetworkPolicyPeer::default()
    }
}
