//! How a role's pods may differ from the operator's own template. Kubernetes' own types, so that the API
//! server checks them as it checks a pod.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Affinity, EnvVar, LocalObjectReference, ResourceRequirements, Toleration};
use kube::KubeSchema;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::rules;

/// What is added to a role's pods.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PodTemplate {
    /// Labels beside the operator's own, which they cannot replace, such as `team: data`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 32, "additionalProperties" = {"type": "string", "maxLength": 63}))]
    pub labels: BTreeMap<String, String>,

    /// Annotations beside the operator's own, which they cannot replace, such as `example.com/scrape: "yes"`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 32, "additionalProperties" = {"type": "string", "maxLength": 4096}))]
    pub annotations: BTreeMap<String, String>,

    /// Requests and limits of the worker's container, in place of the operator's, such as `limits: {memory: 1Gi}`; see
    /// `kubectl explain pod.spec.containers.resources`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "undescribed::<Option<ResourceRequirements>>")]
    pub resources: Option<ResourceRequirements>,

    /// On which nodes the pods may run, such as `kubernetes.io/arch: amd64`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 32, "additionalProperties" = {"type": "string", "maxLength": 63}))]
    pub node_selector: BTreeMap<String, String>,

    /// Which taints the pods tolerate, such as `{key: market-data, operator: Exists}`; see
    /// `kubectl explain pod.spec.tolerations`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "undescribed::<Vec<Toleration>>", length(max = 32))]
    pub tolerations: Vec<Toleration>,

    /// Where the pods would rather run, or not, such as `podAntiAffinity`; see `kubectl explain pod.spec.affinity`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "undescribed::<Option<Affinity>>")]
    pub affinity: Option<Affinity>,

    /// Environment variables of the worker's container, such as `{name: RUST_LOG, value: debug}`; see
    /// `kubectl explain pod.spec.containers.env`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "undescribed::<Vec<EnvVar>>", length(max = 32))]
    #[x_kube(
        merge_strategy = ListMerge::Map(vec!["name".into()]),
        validation = Rule::new(rules::reserved_env_cel()).message(rules::RESERVED_ENV)
    )]
    pub env: Vec<EnvVar>,

    /// Secrets with which the worker's image is pulled, such as `{name: registry}`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    pub image_pull_secrets: Vec<LocalObjectReference>,
}

/// The schema of one of Kubernetes' own types without its descriptions, which are longer than all of ours and
/// are told by `kubectl explain pod.spec` as well.
pub(crate) fn undescribed<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    fn strip(value: &mut Value) {
        match value {
            Value::Object(fields) => {
                // A property may itself be named so; its value is then a schema.
                fields.retain(|name, value| name != "description" || !value.is_string());
                fields.values_mut().for_each(strip);
            }
            Value::Array(items) => items.iter_mut().for_each(strip),
            _ => {}
        }
    }
    let mut schema = T::json_schema(generator).to_value();
    strip(&mut schema);
    Schema::try_from(schema).unwrap_or_default()
}
