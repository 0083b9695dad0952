//! How the objects of a pipeline are called, labelled and owned.

use std::collections::BTreeMap;

use crds::CryptoPipeline;
use crds::worker_settings::PipelineId;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::Resource;

/// The pipeline that an object belongs to.
pub const PIPELINE_LABEL: &str = "app.kubernetes.io/instance";
/// What the object is there for: `producer`, `aggregator` or `repairer`.
pub const ROLE_LABEL: &str = "app.kubernetes.io/component";
/// The source that a producer reads.
pub const SOURCE_LABEL: &str = "cryptopipeline.dev/source";
/// The generation of the spec that made the object.
pub const GENERATION_ANNOTATION: &str = "cryptopipeline.dev/generation";
/// Selects everything that the operator makes.
pub const MANAGED_BY_SELECTOR: &str = "app.kubernetes.io/managed-by=cryptopipeline-operator";

/// A kind of worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role<'a> {
    /// Reads one source.
    Producer {
        /// The source's name.
        source: &'a str,
    },
    /// Reads the topic.
    Aggregator,
    /// Asks the exchanges for what is missing.
    Repairer,
}

impl Role<'_> {
    /// The value of [`ROLE_LABEL`].
    #[must_use]
    pub const fn label(&self) -> &'static str {
        match self {
            Self::Producer { .. } => "producer",
            Self::Aggregator => "aggregator",
            Self::Repairer => "repairer",
        }
    }
}

/// Whose objects are being built.
pub(super) struct Owner<'a> {
    pub(super) id: &'a PipelineId,
    pub(super) generation: i64,
}

/// The name of a role's Deployment and of its ConfigMap.
pub(super) fn role_name(id: &PipelineId, role: Role<'_>) -> String {
    match role {
        Role::Producer { source } => format!("{}-producer-{source}", id.name),
        Role::Aggregator => format!("{}-aggregator", id.name),
        Role::Repairer => format!("{}-repairer", id.name),
    }
}

/// The name of the workers' ServiceAccount.
pub(super) fn service_account_name(id: &PipelineId) -> String {
    format!("{}-worker", id.name)
}

/// The labels that never change: they select pods.
pub(super) fn selector_labels(id: &PipelineId, role: Role<'_>) -> BTreeMap<String, String> {
    let mut labels = BTreeMap::from([
        ("app.kubernetes.io/name".to_owned(), "cryptopipeline".to_owned()),
        (PIPELINE_LABEL.to_owned(), id.name.clone()),
        (ROLE_LABEL.to_owned(), role.label().to_owned()),
    ]);
    if let Role::Producer { source } = role {
        labels.insert(SOURCE_LABEL.to_owned(), source.to_owned());
    }
    labels
}

/// The labels of a role's objects.
pub(super) fn role_labels(id: &PipelineId, role: Role<'_>) -> BTreeMap<String, String> {
    let mut labels = selector_labels(id, role);
    labels.extend(managed_by());
    labels
}

/// The labels of what all roles share.
pub(super) fn shared_labels(id: &PipelineId) -> BTreeMap<String, String> {
    let mut labels = BTreeMap::from([
        ("app.kubernetes.io/name".to_owned(), "cryptopipeline".to_owned()),
        (PIPELINE_LABEL.to_owned(), id.name.clone()),
    ]);
    labels.extend(managed_by());
    labels
}

fn managed_by() -> Option<(String, String)> {
    MANAGED_BY_SELECTOR.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()))
}

/// The metadata of an object that goes when its pipeline goes.
pub(super) fn owned_metadata(
    owner: &Owner<'_>,
    name: String,
    labels: BTreeMap<String, String>,
) -> ObjectMeta {
    let generation = (GENERATION_ANNOTATION.to_owned(), owner.generation.to_string());
    ObjectMeta {
        name: Some(name),
        namespace: Some(owner.id.namespace.clone()),
        labels: Some(labels),
        annotations: Some(BTreeMap::from([generation])),
        owner_references: Some(vec![owner_reference(owner.id)]),
        ..ObjectMeta::default()
    }
}

fn owner_reference(id: &PipelineId) -> OwnerReference {
    OwnerReference {
        api_version: CryptoPipeline::api_version(&()).into_owned(),
        kind: CryptoPipeline::kind(&()).into_owned(),
        name: id.name.clone(),
        uid: id.uid.clone(),
        controller: Some(true),
        block_owner_deletion: Some(true),
    }
}
