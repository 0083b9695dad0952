//! What is said of a resource that is on its way out.

use crds::condition::{ConditionKind, Reason};
use crds::{CryptoPipeline, CryptoPipelineStatus};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

use super::settle::settled;

/// The status while a deletion waits for what is `left`.
#[must_use]
pub fn describe_deletion(pipeline: &CryptoPipeline, left: &[String], now: Timestamp) -> CryptoPipelineStatus {
    let previous = pipeline.status.as_ref();
    let mut next = previous.cloned().unwrap_or_default();
    let message = format!("waits for the deletion of {}", left.join("; "));
    for (kind, status) in [
        (ConditionKind::Ready, "False"),
        (ConditionKind::Reconciling, "True"),
        (ConditionKind::Stalled, "False"),
    ] {
        let condition = Condition {
            last_transition_time: Time(now),
            message: message.clone(),
            observed_generation: pipeline.metadata.generation,
            reason: Reason::Deleting.to_string(),
            status: status.to_owned(),
            type_: kind.to_string(),
        };
        next.conditions.retain(|before| before.type_ != condition.type_);
        next.conditions.push(condition);
    }
    settled(previous, next, now)
}
