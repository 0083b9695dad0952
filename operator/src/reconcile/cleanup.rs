//! Deletion. Under `Retain` there is nothing to do: the objects go with their owner, and no finalizer can hang.
//! Under `Delete` a finalizer stops the pods, deletes what this resource created outside the cluster, and lets
//! go after a bound, saying what is left.

mod external;

use std::time::Duration;

use crds::CryptoPipeline;
use crds::spec::DeletionPolicy;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::apps::v1::Deployment;
use kube::api::{DeleteParams, Patch, PatchParams};
use kube::runtime::controller::Action;
use kube::{Api, ResourceExt};
use serde_json::json;

use super::ReconcileError;
use super::describe::{EventDraft, describe_deletion};
use super::observe::cluster::is_owned_by;
use crate::context::Context;

/// The finalizer's name.
pub const FINALIZER: &str = "cryptopipeline.dev/cleanup";
/// Set to `"true"`, it lets a resource go at once, whatever is left outside the cluster.
pub const FORCE_DELETE_ANNOTATION: &str = "cryptopipeline.dev/force-delete";

/// How long pods are waited for: as long as they may drain.
const PODS_BOUND: SignedDuration = SignedDuration::from_secs(32);
/// How long broker and database are waited for, counted from the deletion too.
const BOUND: SignedDuration = SignedDuration::from_secs(45);
const BETWEEN_TRIES: Duration = Duration::from_secs(2);

/// Holds the resource exactly where its policy asks for it.
///
/// # Errors
/// Where the API server refuses.
pub async fn keep_finalizer(pipeline: &CryptoPipeline, context: &Context) -> Result<(), ReconcileError> {
    let wanted = pipeline.spec.deletion_policy == DeletionPolicy::Delete;
    let has = pipeline.finalizers().iter().any(|finalizer| finalizer == FINALIZER);
    if wanted == has { Ok(()) } else { set_finalizer(pipeline, context, wanted).await }
}

/// One try to clean up after a resource that is being deleted.
///
/// # Errors
/// Where the API server refuses.
pub async fn clean_up(pipeline: &CryptoPipeline, context: &Context) -> Result<Action, ReconcileError> {
    if !pipeline.finalizers().iter().any(|finalizer| finalizer == FINALIZER) {
        return Ok(Action::await_change());
    }
    let now = Timestamp::now();
    let left = if is_forced(pipeline) {
        vec!["everything outside the cluster, as the annotation asks".to_owned()]
    } else {
        let deleted_at = pipeline.metadata.deletion_timestamp.as_ref().map_or(now, |deleted| deleted.0);
        let waited = now.duration_since(deleted_at);
        let left = remaining(pipeline, context, waited).await?;
        if !left.is_empty() && waited < BOUND {
            let status = describe_deletion(pipeline, &left, now);
            super::patch_status(pipeline, &status, context).await?;
            return Ok(Action::requeue(BETWEEN_TRIES));
        }
        left
    };
    let farewell = farewell(&left);
    tracing::info!(pipeline = pipeline.name_any(), "{}", farewell.note);
    super::publish_events(pipeline, &[farewell], context).await;
    set_finalizer(pipeline, context, false).await?;
    Ok(Action::await_change())
}

/// What still has to go: first the pods, which would use the rest, then topic and schema.
async fn remaining(
    pipeline: &CryptoPipeline,
    context: &Context,
    waited: SignedDuration,
) -> Result<Vec<String>, ReconcileError> {
    let pods = stop_pods(pipeline, context).await?;
    if pods > 0 && waited < PODS_BOUND {
        return Ok(vec![format!("{pods} pods")]);
    }
    Ok(external::delete(pipeline, context).await)
}

/// Deletes the Deployments and tells how many of their pods are still there.
async fn stop_pods(pipeline: &CryptoPipeline, context: &Context) -> Result<usize, ReconcileError> {
    let namespace = pipeline.namespace().unwrap_or_default();
    let api: Api<Deployment> = Api::namespaced(context.client.clone(), &namespace);
    let deployments = context.stores.deployments.of(pipeline);
    for deployment in deployments.iter().filter(|deployment| is_owned_by(*deployment, pipeline)) {
        if deployment.metadata.deletion_timestamp.is_none() {
            match api.delete(&deployment.name_any(), &DeleteParams::background()).await {
                Err(kube::Error::Api(status)) if status.is_not_found() => {}
                outcome => {
                    outcome.map_err(ReconcileError::Delete)?;
                }
            }
        }
    }
    Ok(context.stores.pods.of(pipeline).len())
}

fn is_forced(pipeline: &CryptoPipeline) -> bool {
    pipeline.annotations().get(FORCE_DELETE_ANNOTATION).is_some_and(|value| value == "true")
}

fn farewell(left: &[String]) -> EventDraft {
    if left.is_empty() {
        let note = "topic and schema that this resource created are deleted".to_owned();
        return EventDraft { is_warning: false, reason: "CleanedUp".to_owned(), note };
    }
    let note = format!("let go, and left behind: {}", left.join("; "));
    EventDraft { is_warning: true, reason: "LeftBehind".to_owned(), note }
}

/// Adds or removes our finalizer, and nobody else's.
async fn set_finalizer(
    pipeline: &CryptoPipeline,
    context: &Context,
    wanted: bool,
) -> Result<(), ReconcileError> {
    let others = pipeline.finalizers().iter().filter(|finalizer| *finalizer != FINALIZER);
    let ours = wanted.then(|| FINALIZER.to_owned());
    let finalizers: Vec<String> = others.cloned().chain(ours).collect();
    // With the version that was read: a list is replaced whole, and somebody may have changed it since.
    let patch =
        json!({"metadata": {"resourceVersion": pipeline.resource_version(), "finalizers": finalizers}});
    let api: Api<CryptoPipeline> =
        Api::namespaced(context.client.clone(), &pipeline.namespace().unwrap_or_default());
    match api.patch_metadata(&pipeline.name_any(), &PatchParams::default(), &Patch::Merge(patch)).await {
        Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
        outcome => outcome.map(drop).map_err(ReconcileError::Finalizer),
    }
}
