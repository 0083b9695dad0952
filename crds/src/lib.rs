//! What users write and what the programs agree on: the CryptoPipeline resource, the settings files of
//! the workers and their status answers. Types only, no I/O.

// The KubeSchema derive repeats each public struct inside a function of its own.
#![allow(unreachable_pub)]

pub mod condition;
pub mod manifest;
pub mod byte_size;
pub mod candle_interval;
pub mod history;
pub mod network_policy;
pub mod period;
pub mod pod_template;
pub mod roles;
pub mod rules;
pub mod security;
pub mod series;
pub mod spec;
pub mod status;
pub mod worker_settings;
pub mod worker_status;

pub use spec::{CryptoPipeline, CryptoPipelineSpec};
pub use status::CryptoPipelineStatus;

use kube::CustomResourceExt;

/// The CRD as YAML: what `crds/cryptopipelines.yaml` and the chart hold.
///
/// # Errors
/// Where the definition cannot be written as YAML, which no input decides.
pub fn crd_yaml() -> Result<String, serde_json::Error> {
    let crd = serde_json::to_value(CryptoPipeline::crd())?;
    serde_yaml::to_string(&crd).map_err(serde::ser::Error::custom)
}
