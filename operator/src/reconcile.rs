//! One reconcile: observe, plan, desire, apply, describe. Each step is a function from value to value; only
//! observe, apply and the status patch talk to anything.

pub mod observe;
pub mod plan;
pub mod desired;
pub mod apply;
pub mod holes;
pub mod lag;
pub mod describe;
pub mod cleanup;
pub mod memory;

use std::sync::Arc;
use std::time::Duration;

use crds::{CryptoPipeline, CryptoPipelineStatus};
use jiff::Timestamp;
use kube::api::{Patch, PatchParams};
use kube::runtime::controller::Action;
use kube::runtime::events::{Event, EventType};
use kube::{Api, Resource, ResourceExt};
use runtime::error_chain::error_chain;
use runtime::telemetry::traces;
use serde_json::json;
use tracing::{Instrument as _, Span};

use crate::context::Context;
use apply::{Applied, apply};
use describe::{EventDraft, Findings, announce, deeds, describe, turns};
use lag::flush_interval;
use memory::Memory;
use observe::gather::observe;
use plan::{Place, plan};

/// Figures, holes and Secrets are looked at this often where nothing else asks for it,
const NEXT_LOOK: Duration = Duration::from_secs(10);
/// and so far apart where there are very many pipelines.
const SPACING: Duration = Duration::from_millis(25);
/// The API server refuses longer ones.
const MAX_NOTE_BYTES: usize = 1_000;

/// Why a reconcile could not be finished: the API server refused, or did not answer.
#[derive(Debug, thiserror::Error)]
pub enum ReconcileError {
    /// The status could not be written.
    #[error("cannot write the status")]
    Status(#[source] kube::Error),
    /// The finalizer could not be set or removed.
    #[error("cannot change the finalizer")]
    Finalizer(#[source] kube::Error),
    /// An object could not be deleted.
    #[error("cannot delete a Deployment")]
    Delete(#[source] kube::Error),
}

impl ReconcileError {
    /// Every reason that there is.
    pub const REASONS: [&str; 3] = ["status", "finalizer", "delete"];

    /// In one word, for metrics.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Status(_) => "status",
            Self::Finalizer(_) => "finalizer",
            Self::Delete(_) => "delete",
        }
    }
}

/// Brings one pipeline a step closer to what its spec says, and says how it is.
///
/// # Errors
/// Where the API server refuses; everything else becomes a condition.
pub async fn reconcile(
    pipeline: Arc<CryptoPipeline>,
    context: Arc<Context>,
) -> Result<Action, ReconcileError> {
    context.first_lists.wait().await;
    let (namespace, name) = (pipeline.namespace().unwrap_or_default(), pipeline.name_any());
    let span =
        tracing::info_span!("reconcile", k8s.namespace.name = namespace, cryptopipeline.pipeline = name);
    let reconciling = async {
        let outcome = take_turn(&pipeline, &context).await;
        match &outcome {
            Ok(_) => tracing::debug!(pipeline = name, namespace, "reconciled"),
            Err(error) => {
                let error_text = error_chain(error);
                tracing::warn!(pipeline = name, namespace, error_text, "not reconciled");
                traces::fail(&Span::current(), error_text);
            }
        }
        outcome
    };
    reconciling.instrument(span).await
}

async fn take_turn(pipeline: &CryptoPipeline, context: &Context) -> Result<Action, ReconcileError> {
    let _measured = context.metrics.reconcile_started();
    if pipeline.metadata.deletion_timestamp.is_some() {
        return cleanup::clean_up(pipeline, context).await;
    }
    cleanup::keep_finalizer(pipeline, context).await?;
    let uid = pipeline.uid().unwrap_or_default();
    let mut memory = context.memories.take(&uid);
    let outcome = take_steps(pipeline, context, &mut memory).await;
    context.memories.put(uid, memory, || context.stores.uids());
    outcome.map(|()| Action::requeue(next_look(context.stores.pipeline_count())))
}

fn next_look(pipelines: usize) -> Duration {
    NEXT_LOOK.max(SPACING.saturating_mul(u32::try_from(pipelines).unwrap_or(u32::MAX)))
}

async fn take_steps(
    pipeline: &CryptoPipeline,
    context: &Context,
    memory: &mut Memory,
) -> Result<(), ReconcileError> {
    let mut pipeline = memory.with_written_status(pipeline);
    let observation = observe(&pipeline, context, memory).await;
    let plan = plan(&pipeline, &observation.observed, Place::Cluster, Timestamp::now());
    if let Some(announced) = plan.as_ref().ok().and_then(|plan| announce(&pipeline, plan)) {
        patch_status(&pipeline, &announced, context).await?;
        memory.note_written_status(&pipeline, announced.clone());
        pipeline.status = Some(announced);
    }
    let pipeline = &pipeline;
    let applied = match &plan {
        Ok(plan) => apply(pipeline, plan, &observation, context, &mut memory.marks).await,
        Err(_) => Applied::default(),
    };
    // At once: a deed is done in one reconcile, and what follows may end this one early.
    publish_events(pipeline, &deeds(&applied), context).await;
    if plan.is_ok() && observation.is_first() && says_something_of(pipeline) {
        // An operator that has only just begun knows less than the one before it has said: the first looks are soon here.
        return Ok(());
    }
    if applied.waits_for_its_turn && says_something_of(pipeline) {
        // It stays as it was said to be until then.
        return Ok(());
    }
    let now = Timestamp::now();
    let holes = holes::count_holes(&mut memory.holes, &observation.observed, now);
    let lag = memory.lag.update(&observation.observed, flush_interval(&pipeline.spec), now);
    context
        .metrics
        .pipelines
        .note(pipeline, &observation.observed, holes.as_ref(), lag.as_ref(), || context.stores.uids());
    let findings = Findings {
        pipeline,
        observed: &observation.observed,
        plan: plan.as_ref().map_err(Vec::as_slice),
        applied: &applied,
        holes: holes.as_ref(),
        lag: lag.as_ref(),
    };
    let status = describe(&findings, now);
    patch_status(pipeline, &status, context).await?;
    memory.note_written_status(pipeline, status.clone());
    publish_events(pipeline, &turns(pipeline.status.as_ref(), &status), context).await;
    Ok(())
}

/// Whether the status is about the spec as it is.
fn says_something_of(pipeline: &CryptoPipeline) -> bool {
    let status = pipeline.status.as_ref().filter(|status| !status.conditions.is_empty());
    status.is_some_and(|status| status.observed_generation == pipeline.metadata.generation)
}

/// Writes the status, where it says anything new.
async fn patch_status(
    pipeline: &CryptoPipeline,
    status: &CryptoPipelineStatus,
    context: &Context,
) -> Result<(), ReconcileError> {
    if pipeline.status.as_ref() == Some(status) {
        return Ok(());
    }
    let api: Api<CryptoPipeline> =
        Api::namespaced(context.client.clone(), &pipeline.namespace().unwrap_or_default());
    let patch = json!({
        "apiVersion": CryptoPipeline::api_version(&()),
        "kind": CryptoPipeline::kind(&()),
        // Not of a namesake that took its place meanwhile.
        "metadata": {"uid": pipeline.uid()},
        "status": status,
    });
    let params = PatchParams::apply(apply::kubernetes::FIELD_MANAGER).force();
    match api.patch_status(&pipeline.name_any(), &params, &Patch::Apply(patch)).await {
        Err(kube::Error::Api(refusal)) if refusal.is_not_found() => Ok(()),
        outcome => outcome.map(drop).map_err(ReconcileError::Status),
    }
}

/// Events are for people: one that cannot be written is logged, and nothing waits for it.
async fn publish_events(pipeline: &CryptoPipeline, drafts: &[EventDraft], context: &Context) {
    let reference = pipeline.object_ref(&());
    for draft in drafts {
        let mut note = draft.note.clone();
        note.truncate(note.floor_char_boundary(MAX_NOTE_BYTES));
        let event = Event {
            type_: if draft.is_warning { EventType::Warning } else { EventType::Normal },
            reason: draft.reason.clone(),
            note: Some(note),
            action: "Reconcile".to_owned(),
            secondary: None,
        };
        if let Err(error) = context.recorder.publish(&event, &reference).await {
            tracing::warn!(%error, reason = draft.reason, "cannot publish an event");
        }
    }
}
