//! Step 4: brings topic, schema and objects to the planned state, in this order: pods start only once what they
//! need is there. A step that fails skips those after it. Applying twice equals applying once.

pub mod kubernetes;
pub mod schema;
pub mod topics;

use crds::CryptoPipeline;
use crds::condition::Reason;
use kube::runtime::reflector::ObjectRef;

use super::desired::desire;
use super::observe::gather::Observation;
use super::plan::{Complaint, PipelinePlan, WorkloadStep};
use crate::context::Context;

pub use kubernetes::Marks;

/// What was done, and what failed. The default is: nothing, and nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// The id of the topic, if it was made just now.
    pub created_topic: Option<String>,
    /// The schema's version, if it was migrated just now.
    pub schema_version: Option<i64>,
    /// Why the topic is not as planned.
    pub topic_failure: Option<Complaint>,
    /// Why the schema is not as planned.
    pub schema_failure: Option<Complaint>,
    /// Why the views under other names are not as planned; nothing waits for them.
    pub views_failure: Option<Complaint>,
    /// Why the objects are not as planned.
    pub workloads_failure: Option<Complaint>,
    /// Whether others are before it: it will be told when nobody is.
    pub waits_for_its_turn: bool,
    /// What people should hear of.
    pub deeds: Vec<Deed>,
}

/// Something that was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deed {
    /// In a word.
    pub reason: &'static str,
    /// In a sentence.
    pub message: String,
}

/// Carries out `plan` in the cluster.
pub async fn apply(
    pipeline: &CryptoPipeline,
    plan: &PipelinePlan,
    observation: &Observation,
    context: &Context,
    marks: &mut Marks,
) -> Applied {
    let mut applied = Applied::default();
    if let Some(key) = &observation.topic {
        topics::apply_topic(
            &plan.topic,
            observation.observed.topic_state(),
            key,
            &context.brokers,
            &mut applied,
        )
        .await;
    }
    if let Some(key) = &observation.schema {
        let asker = ObjectRef::from_obj(pipeline);
        schema::apply_schema(&plan.schema, key, &context.databases, &asker, &mut applied).await;
    }
    let failed = applied.topic_failure.is_some() || applied.schema_failure.is_some();
    if plan.workloads.step == WorkloadStep::Apply && !failed {
        let generation = pipeline.metadata.generation.unwrap_or_default();
        let outcome = match desire(plan, generation, &context.installation) {
            Ok(desired) => {
                let outcome = kubernetes::apply_objects(pipeline, &desired, context, marks).await;
                outcome.map_err(|error| error.to_string())
            }
            Err(error) => Err(runtime::error_chain::error_chain(&error)),
        };
        applied.workloads_failure = outcome.err().map(|message| Complaint::new(Reason::ApplyFailed, message));
    }
    if let Some(key) = &observation.schema {
        schema::apply_views(&plan.schema, key, &context.databases, &mut applied).await;
    }
    applied
}
