//! The identity of the workers. It has no rights and its token is mounted nowhere: workers never ask the API server.

use k8s_openapi::api::core::v1::ServiceAccount;

use super::names::{Owner, owned_metadata, service_account_name, shared_labels};

pub(super) fn worker_service_account(owner: &Owner<'_>) -> ServiceAccount {
    ServiceAccount {
        metadata: owned_metadata(owner, service_account_name(owner.id), shared_labels(owner.id)),
        automount_service_account_token: Some(false),
        ..ServiceAccount::default()
    }
}
