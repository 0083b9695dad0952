//! Applies objects by server-side apply and prunes those that are no longer wanted. An object that is as it was
//! after the last apply, and is wanted as it was then, costs no request.

use std::collections::{BTreeSet, HashMap};
use std::fmt::Debug;
use std::time::Duration;

use crds::CryptoPipeline;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::{ConfigMap, ServiceAccount};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, Preconditions};
use kube::{Api, Client, Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::context::Context;
use crate::copies::Copies;
use crate::reconcile::desired::{DesiredState, checksum};
use crate::reconcile::observe::cluster::is_owned_by;

/// Under whose name the operator owns fields.
pub const FIELD_MANAGER: &str = "cryptopipeline";

/// The API server answers in milliseconds, or not at all.
const LIMIT: Duration = Duration::from_secs(10);

/// Why an object is not as wanted.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// The API server refused, or did not answer.
    #[error("cannot {action} {object}: {source}")]
    Api {
        /// What was attempted.
        action: &'static str,
        /// On what.
        object: String,
        /// What it said.
        source: kube::Error,
    },
    /// The API server took too long.
    #[error("cannot {action} {object}: no answer within {} s", LIMIT.as_secs())]
    Timeout {
        /// What was attempted.
        action: &'static str,
        /// On what.
        object: String,
    },
    /// Somebody else made an object of that name.
    #[error("{object} is there already and is not this pipeline's: rename it, or delete it")]
    Namesake {
        /// Which one.
        object: String,
    },
    /// The object cannot be written as JSON.
    #[error("cannot write {object} as JSON")]
    Json {
        /// Which one.
        object: String,
        /// Why.
        source: serde_json::Error,
    },
}

/// The objects of a pipeline as they were after they were last applied.
#[derive(Debug, Default)]
pub struct Marks(HashMap<String, Mark>);

#[derive(Debug, PartialEq, Eq)]
struct Mark {
    /// What was wanted.
    wanted: String,
    /// What the wanted fields were in the answer, defaults and canonical forms included.
    answered: String,
    /// The version that our own watch showed when it was applied: it may still be behind.
    seen_version: Option<String>,
}

/// Brings every object to the desired state, in an order in which pods find what they mount, and deletes the
/// others of this pipeline.
pub(super) async fn apply_objects(
    pipeline: &CryptoPipeline,
    desired: &DesiredState,
    context: &Context,
    marks: &mut Marks,
) -> Result<(), ApplyError> {
    let mut applier = Applier { pipeline, client: &context.client, marks };
    let stores = &context.stores;
    applier.apply_all(&stores.service_accounts, std::slice::from_ref(&desired.service_account)).await?;
    applier.apply_all::<ConfigMap>(&stores.config_maps, &desired.config_maps).await?;
    if let Some(policies) = &desired.network_policies {
        // Before the pods, which would be open to everybody until then.
        applier.apply_all::<NetworkPolicy>(&stores.network_policies, policies).await?;
    }
    let budgets = &desired.disruption_budgets;
    applier.apply_all::<PodDisruptionBudget>(&stores.disruption_budgets, budgets).await?;
    let deployments = stores.deployments.of(pipeline);
    for deployment in &desired.deployments {
        let live = find(&deployments, deployment);
        // Whom the pods of a new one may reach is not known while its policy is not.
        if live.is_some() || desired.network_policies.is_some() {
            applier.apply(live, deployment).await?;
        }
    }
    // Pods go before what they mount.
    applier.prune(&stores.deployments, &desired.deployments).await?;
    if let Some(policies) = &desired.network_policies {
        applier.prune(&stores.network_policies, policies).await?;
    }
    applier.prune(&stores.disruption_budgets, budgets).await?;
    applier.prune(&stores.config_maps, &desired.config_maps).await?;
    applier
        .prune::<ServiceAccount>(&stores.service_accounts, std::slice::from_ref(&desired.service_account))
        .await
}

struct Applier<'a> {
    pipeline: &'a CryptoPipeline,
    client: &'a Client,
    marks: &'a mut Marks,
}

impl Applier<'_> {
    async fn apply_all<K>(&mut self, copies: &Copies<K>, objects: &[K]) -> Result<(), ApplyError>
    where
        K: Object,
    {
        let copies = copies.of(self.pipeline);
        for object in objects {
            self.apply(find(&copies, object), object).await?;
        }
        Ok(())
    }

    async fn apply<K: Object>(&mut self, live: Option<&K>, object: &K) -> Result<(), ApplyError> {
        let name = title(object);
        let json = |object: &K| {
            serde_json::to_value(object).map_err(|source| ApplyError::Json { object: name.clone(), source })
        };
        let wanted = json(object)?;
        let wanted_checksum = checksum(&wanted.to_string());
        let seen_version = live.and_then(ResourceExt::resource_version);
        if let Some((mark, live)) = self.marks.0.get(&name).zip(live) {
            let is_behind = mark.seen_version == seen_version;
            let is_kept = mark.answered == checksum(&project(&json(live)?, &wanted).to_string());
            if mark.wanted == wanted_checksum && (is_kept || is_behind) {
                return Ok(());
            }
        }
        let api: Api<K> = Api::namespaced(self.client.clone(), &self.namespace());
        if live.is_none() {
            self.refuse_namesake(&api, &name, &object.name_any()).await?;
        }
        let params = PatchParams::apply(FIELD_MANAGER).force();
        let object_name = object.name_any();
        let patch = Patch::Apply(&wanted);
        let answer = within_limit("apply", &name, api.patch(&object_name, &params, &patch)).await?;
        let answered = checksum(&project(&json(&answer)?, &wanted).to_string());
        self.marks.0.insert(name, Mark { wanted: wanted_checksum, answered, seen_version });
        Ok(())
    }

    /// Our copies hold what has our label; under the same name there may be something of somebody else.
    async fn refuse_namesake<K: Object>(
        &self,
        api: &Api<K>,
        title: &str,
        name: &str,
    ) -> Result<(), ApplyError> {
        let named = ListParams::default().fields(&format!("metadata.name={name}"));
        let found = within_limit("look for", title, api.list(&named)).await?;
        match found.items.into_iter().find(|found| !is_owned_by(found, self.pipeline)) {
            Some(_) => Err(ApplyError::Namesake { object: title.to_owned() }),
            None => Ok(()),
        }
    }

    async fn prune<K: Object>(&mut self, copies: &Copies<K>, objects: &[K]) -> Result<(), ApplyError> {
        let wanted: BTreeSet<String> = objects.iter().map(ResourceExt::name_any).collect();
        let owned = copies.of(self.pipeline).into_iter().filter(|object| is_owned_by(object, self.pipeline));
        for object in owned.filter(|object| !wanted.contains(&object.name_any())) {
            if object.meta().deletion_timestamp.is_some() {
                continue;
            }
            let api: Api<K> = Api::namespaced(self.client.clone(), &self.namespace());
            let preconditions = Preconditions { uid: object.uid(), resource_version: None };
            let params = DeleteParams::background().preconditions(preconditions);
            let name = title(&object);
            match within_limit("delete", &name, api.delete(&object.name_any(), &params)).await {
                Err(ApplyError::Api { source, .. }) if is_gone(&source) => {}
                outcome => {
                    outcome?;
                }
            }
            self.marks.0.remove(&name);
        }
        Ok(())
    }

    fn namespace(&self) -> String {
        self.pipeline.namespace().unwrap_or_default()
    }
}

/// What every kind of object that we apply and watch can do.
pub(crate) trait Object:
    Resource<DynamicType = (), Scope = NamespaceResourceScope>
    + Serialize
    + DeserializeOwned
    + Clone
    + Debug
    + Send
    + Sync
    + 'static
{
}

impl<K> Object for K where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Serialize
        + DeserializeOwned
        + Clone
        + Debug
        + Send
        + Sync
        + 'static
{
}

async fn within_limit<T>(
    action: &'static str,
    object: &str,
    request: impl Future<Output = kube::Result<T>>,
) -> Result<T, ApplyError> {
    let object = || object.to_owned();
    match tokio::time::timeout(LIMIT, request).await {
        Ok(outcome) => outcome.map_err(|source| ApplyError::Api { action, object: object(), source }),
        Err(_) => Err(ApplyError::Timeout { action, object: object() }),
    }
}

/// Deleted by somebody else, or replaced by a namesake.
fn is_gone(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.is_not_found() || status.is_conflict())
}

fn find<'a, K: Object>(copies: &'a [K], object: &K) -> Option<&'a K> {
    copies.iter().find(|copy| copy.meta().name == object.meta().name)
}

fn title<K: Object>(object: &K) -> String {
    format!("{} {}", K::kind(&()), object.name_any())
}

/// The fields of `live` that `wanted` names. Lists are taken whole: the API server fills in defaults inside them.
fn project(live: &Value, wanted: &Value) -> Value {
    match (live, wanted) {
        (Value::Object(live), Value::Object(wanted)) => wanted
            .iter()
            .filter_map(|(name, wanted)| Some((name.clone(), project(live.get(name)?, wanted))))
            .collect(),
        _ => live.clone(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn others_may_add_fields_but_not_change_ours() {
        let wanted = json!({"spec": {"replicas": 2, "template": {"containers": [{"name": "worker"}]}}});
        let live = json!({
            "metadata": {"generation": 3},
            "spec": {
                "replicas": 2,
                "paused": true,
                "template": {"containers": [{"name": "worker", "terminationMessagePath": "/dev"}]},
            },
        });
        let ours = json!({
            "spec": {
                "replicas": 2,
                "template": {"containers": [{"name": "worker", "terminationMessagePath": "/dev"}]},
            },
        });
        assert_eq!(project(&live, &wanted), ours);
    }
}
