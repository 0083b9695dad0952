//! What a pipeline's status means: whether it is Ready, and what keeps it from that.

use crds::condition::{ConditionKind, Reason};
use crds::status::{HistoryStatus, RoleStatus, SchemaStatus, TopicStatus, UnhealthySymbol};
use crds::{CryptoPipeline, CryptoPipelineStatus};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::ResourceExt as _;
use serde::Serialize;

use super::next_step::next_step;

/// Whether a pipeline is Ready, by its own word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Readiness {
    Ready,
    /// The operator cannot tell, or has told nothing of the newest change.
    Unknown,
    NotReady,
}

/// How a pipeline does.
#[derive(Debug, Serialize)]
pub(super) struct Health {
    pub(super) namespace: String,
    pub(super) pipeline: String,
    pub(super) readiness: Readiness,
    /// The reason of the condition Ready.
    pub(super) reason: Option<String>,
    /// Why the status cannot be relied on.
    pub(super) outdated: Option<String>,
    pub(super) suspended: bool,
    /// What is false and should be true, causes first.
    pub(super) wrong: Vec<Finding>,
    /// What cannot be told.
    pub(super) unknown: Vec<Finding>,
    pub(super) conditions: Vec<Finding>,
    pub(super) topic: Option<TopicStatus>,
    pub(super) schema: Option<SchemaStatus>,
    pub(super) symbols: Option<i32>,
    pub(super) partitions: Option<i32>,
    pub(super) producers: RoleStatus,
    pub(super) aggregators: RoleStatus,
    pub(super) lag: Option<i64>,
    pub(super) missing_trades: Option<i64>,
    pub(super) figures_time: Option<Timestamp>,
    pub(super) unhealthy_symbols: Vec<UnhealthySymbol>,
    pub(super) history: Vec<HistoryStatus>,
}

/// A condition, and which command tells more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Finding {
    pub(super) condition: String,
    pub(super) status: String,
    pub(super) reason: String,
    pub(super) message: String,
    pub(super) since: Timestamp,
    pub(super) next: Option<String>,
}

/// A condition of a status.
pub(in crate::plugin) fn condition(status: &CryptoPipelineStatus, kind: ConditionKind) -> Option<&Condition> {
    status.conditions.iter().find(|condition| condition.type_ == kind.to_string())
}

/// Whether the operator has acted on the newest change of the spec.
pub(in crate::plugin) fn speaks_of_this_generation(pipeline: &CryptoPipeline) -> bool {
    let observed = pipeline.status.as_ref().and_then(|status| status.observed_generation);
    observed.is_some() && observed >= pipeline.metadata.generation
}

impl Health {
    pub(super) fn of(pipeline: &CryptoPipeline) -> Self {
        let (pipeline_name, namespace) = (pipeline.name_any(), pipeline.namespace().unwrap_or_default());
        let status = pipeline.status.clone().unwrap_or_default();
        let finding = |condition: &Condition| Finding {
            condition: condition.type_.clone(),
            status: condition.status.clone(),
            reason: condition.reason.clone(),
            message: condition.message.clone(),
            since: condition.last_transition_time.0,
            next: next_step(&condition.reason, &pipeline_name, &namespace),
        };
        let conditions: Vec<Finding> = status.conditions.iter().map(finding).collect();
        let outdated = outdated(pipeline);
        let ready = condition(&status, ConditionKind::Ready);
        let readiness = match ready.map(|ready| ready.status.as_str()) {
            _ if outdated.is_some() => Readiness::Unknown,
            Some("True") => Readiness::Ready,
            Some("False") => Readiness::NotReady,
            _ => Readiness::Unknown,
        };
        Self {
            readiness,
            reason: ready.map(|ready| ready.reason.clone()),
            outdated,
            suspended: pipeline.spec.suspend,
            wrong: in_state(&conditions, "False"),
            unknown: in_state(&conditions, "Unknown"),
            conditions,
            topic: status.topic,
            schema: status.schema,
            symbols: status.symbols,
            partitions: status.partitions,
            producers: status.producers,
            aggregators: status.aggregators,
            lag: status.lag,
            missing_trades: status.missing_trades,
            figures_time: status.figures_time.map(|time| time.0),
            unhealthy_symbols: status.unhealthy_symbols,
            history: status.history,
            pipeline: pipeline_name,
            namespace,
        }
    }
}

/// Why the status may say what is no longer so.
fn outdated(pipeline: &CryptoPipeline) -> Option<String> {
    if speaks_of_this_generation(pipeline) {
        return None;
    }
    let who = "does an operator run that watches this namespace? kubectl get pods -A -l app.kubernetes.io/name=cryptopipeline-operator";
    let observed = pipeline.status.as_ref().and_then(|status| status.observed_generation);
    Some(match (observed, pipeline.metadata.generation) {
        (Some(observed), Some(generation)) => format!(
            "the status speaks of generation {observed} of the spec, which is at {generation} by now: {who}"
        ),
        _ => format!("no operator has said anything of it yet: {who}"),
    })
}

/// The conditions of this status that should be true: causes before what waits for them, each text once.
fn in_state(conditions: &[Finding], status: &str) -> Vec<Finding> {
    let summaries = [ConditionKind::Ready, ConditionKind::Reconciling, ConditionKind::Stalled];
    let is_summary = |finding: &Finding| summaries.iter().any(|kind| kind.to_string() == finding.condition);
    let waits = |finding: &Finding| finding.reason == Reason::Waiting.to_string();
    let found = conditions.iter().filter(|finding| finding.status == status && !is_summary(finding));
    let (waiting, causes): (Vec<&Finding>, Vec<&Finding>) = found.partition(|finding| waits(finding));
    causes.into_iter().chain(waiting).cloned().collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn health(generation: i64, observed: Option<i64>, conditions: &[(&str, &str, &str)]) -> Health {
        let condition = |(kind, status, reason): &(&str, &str, &str)| {
            json!({"type": kind, "status": status, "reason": reason, "message": "",
                   "lastTransitionTime": "2026-01-01T00:00:00Z"})
        };
        let conditions: Vec<_> = conditions.iter().map(condition).collect();
        let pipeline = json!({
            "metadata": {"name": "quickstart", "namespace": "market", "generation": generation},
            "spec": {"sources": []},
            "status": {"observedGeneration": observed, "conditions": conditions},
        });
        Health::of(&serde_json::from_value(pipeline).unwrap())
    }

    #[test]
    fn only_the_word_on_the_newest_change_counts() {
        let ready = [("Ready", "True", "AllReady")];
        assert_eq!(health(3, Some(3), &ready).readiness, Readiness::Ready);
        let outdated = health(4, Some(3), &ready);
        assert_eq!(outdated.readiness, Readiness::Unknown);
        assert!(outdated.outdated.unwrap().contains("generation 3 of the spec, which is at 4 by now"));
        assert_eq!(health(1, None, &[]).readiness, Readiness::Unknown);
        assert_eq!(health(1, Some(1), &[("Ready", "Unknown", "NotReadYet")]).readiness, Readiness::Unknown);
        assert_eq!(health(1, Some(1), &[("Ready", "False", "PodsFailing")]).readiness, Readiness::NotReady);
    }

    #[test]
    fn causes_come_first_and_what_is_unknown_is_not_called_wrong() {
        let health = health(
            1,
            Some(1),
            &[
                ("AggregatorsReady", "False", "Waiting"),
                ("SchemaReady", "False", "SecretNotFound"),
                ("DataVerified", "Unknown", "NotCompared"),
                ("DataContinuous", "False", "TradesMissing"),
                ("Ready", "False", "SecretNotFound"),
                ("Stalled", "True", "SecretNotFound"),
                ("Reconciling", "False", "NeedsAttention"),
            ],
        );
        let names = |findings: &[Finding]| -> Vec<String> {
            findings.iter().map(|finding| finding.condition.clone()).collect()
        };
        assert_eq!(names(&health.wrong), ["SchemaReady", "DataContinuous", "AggregatorsReady"]);
        assert_eq!(names(&health.unknown), ["DataVerified"]);
        let next = health.wrong[1].next.as_deref();
        assert_eq!(next, Some("kubectl cryptopipeline gaps quickstart -n market"));
    }
}
