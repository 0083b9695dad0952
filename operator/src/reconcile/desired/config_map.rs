//! The settings file of a role, one ConfigMap each: only the pods whose own settings change are replaced.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ConfigMap;
use serde::Serialize;

use super::DesireError;
use super::names::{Owner, Role, owned_metadata, role_labels, role_name};

/// The file's name in the ConfigMap and in the pod.
pub(super) const SETTINGS_FILE: &str = "settings.yaml";

pub(super) fn settings_file<S: Serialize>(
    owner: &Owner<'_>,
    role: Role<'_>,
    settings: &S,
) -> Result<String, DesireError> {
    serde_yaml::to_string(settings)
        .map_err(|source| DesireError { object: role_name(owner.id, role), source })
}

pub(super) fn settings_config_map(owner: &Owner<'_>, role: Role<'_>, settings: String) -> ConfigMap {
    ConfigMap {
        metadata: owned_metadata(owner, role_name(owner.id, role), role_labels(owner.id, role)),
        data: Some(BTreeMap::from([(SETTINGS_FILE.to_owned(), settings)])),
        ..ConfigMap::default()
    }
}
