//! Step 5: from what was found and done to the status. Pure. Each condition has one function that returns a
//! [`Verdict`]; the summary is made of the others, so that none can contradict it.

mod continuity;
mod deletion;
mod events;
mod flow;
mod history;
mod keeping_up;
mod resources;
mod settle;
mod storage;
mod summary;
mod verified;

use crds::condition::{ConditionKind, Reason};
use crds::rules::Violation;
use crds::status::{RoleStatus, SchemaStatus, TopicStatus, UnhealthySymbol};
use crds::{CryptoPipeline, CryptoPipelineStatus};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

use super::apply::Applied;
use super::holes::HoleReport;
use super::lag::LagReport;
use super::observe::{Observed, Workload};
use super::plan::{Complaint, PipelinePlan, TopicStep, WorkloadStep, markets, trade_markets};

pub use deletion::describe_deletion;
pub use events::{EventDraft, deeds, turns};

/// How many markets the status names.
const MAX_UNHEALTHY_SYMBOLS: usize = 20;

/// Everything that the status is made of.
#[derive(Clone, Copy, Debug)]
pub struct Findings<'a> {
    /// The resource, with the status that it had.
    pub pipeline: &'a CryptoPipeline,
    /// What was known when it was planned for.
    pub observed: &'a Observed,
    /// The plan, or the rules that the spec breaks.
    pub plan: Result<&'a PipelinePlan, &'a [Violation]>,
    /// What was done, and what failed.
    pub applied: &'a Applied,
    /// Which holes count; `None` while the database cannot be read.
    pub holes: Option<&'a HoleReport>,
    /// How far the database is behind the topic; `None` while that is not known.
    pub lag: Option<&'a LagReport>,
}

/// What a condition says.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Verdict {
    status: Truth,
    reason: Reason,
    message: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Truth {
    True,
    False,
    Unknown,
}

impl Truth {
    const fn as_str(self) -> &'static str {
        match self {
            Self::True => "True",
            Self::False => "False",
            Self::Unknown => "Unknown",
        }
    }
}

impl Verdict {
    fn yes(reason: Reason, message: impl Into<String>) -> Self {
        Self { status: Truth::True, reason, message: message.into() }
    }

    fn no(reason: Reason, message: impl Into<String>) -> Self {
        Self { status: Truth::False, reason, message: message.into() }
    }

    fn unknown(reason: Reason, message: impl Into<String>) -> Self {
        Self { status: Truth::Unknown, reason, message: message.into() }
    }

    /// A complaint makes the condition false, except where it only says that something cannot be read.
    fn complain(complaint: &Complaint) -> Self {
        match complaint.reason {
            Reason::BrokerUnreachable | Reason::DatabaseUnreachable => {
                Self::unknown(complaint.reason, complaint.message.clone())
            }
            reason => Self::no(reason, complaint.message.clone()),
        }
    }
}

/// The status of a pipeline at `now`. Equal to the one before where nothing is to be said anew.
#[must_use]
pub fn describe(findings: &Findings<'_>, now: Timestamp) -> CryptoPipelineStatus {
    let previous = findings.pipeline.status.as_ref();
    let resources = resources::verdicts(findings);
    let summary = summary::verdicts(&resources);
    let data = [
        (ConditionKind::DataFlowing, flow::data_flowing(findings)),
        (ConditionKind::DataContinuous, continuity::data_continuous(findings, now)),
        (ConditionKind::DataVerified, verified::data_verified(findings, now)),
    ];
    let storage = storage::storage_within_limit(findings);
    let storage = storage.map(|verdict| (ConditionKind::StorageWithinLimit, verdict));
    let generation = findings.pipeline.metadata.generation;
    let condition = |(kind, verdict): (ConditionKind, Verdict)| Condition {
        last_transition_time: Time(now),
        message: verdict.message,
        observed_generation: generation,
        reason: verdict.reason.to_string(),
        status: verdict.status.as_str().to_owned(),
        type_: kind.to_string(),
    };
    let figures = Figures::of(findings, previous);
    let next = CryptoPipelineStatus {
        observed_generation: generation,
        conditions: resources.into_iter().chain(data).chain(storage).chain(summary).map(condition).collect(),
        symbols: i32::try_from(markets(&findings.pipeline.spec).len()).ok(),
        partitions: figures.partitions,
        producers: producers(findings),
        aggregators: aggregators(findings),
        selector: findings.plan.ok().map(|plan| super::desired::aggregator_selector(&plan.id)),
        lag: figures.lag,
        missing_trades: figures.missing_trades,
        unhealthy_symbols: unhealthy_symbols(findings),
        history: history::statuses(findings, now),
        topic: topic(findings, previous),
        schema: schema(findings, previous),
        storage: storage::storage(findings),
        figures_time: None,
    };
    settle::settled(previous, next, now)
}

/// The status to write before the plan is carried out, where what is done must not be forgotten if this operator dies: a
/// topic that it was about to create is this resource's to delete. `None` where nothing is to be said.
#[must_use]
pub fn announce(pipeline: &CryptoPipeline, plan: &PipelinePlan) -> Option<CryptoPipelineStatus> {
    // A broker that has refused to create it will refuse again, and what it refuses is nobody's.
    let refused = pipeline.status.iter().flat_map(|status| &status.conditions);
    let mut refused = refused.filter(|condition| condition.reason == Reason::BrokerRefused.to_string());
    if plan.topic.step != TopicStep::Create
        || refused.any(|condition| condition.type_ == ConditionKind::TopicReady.to_string())
    {
        return None;
    }
    let topic = TopicStatus { name: plan.topic.wished.name.clone(), id: None, created: true };
    let before = pipeline.status.clone().unwrap_or_default();
    let is_said = before.topic.as_ref() == Some(&topic);
    (!is_said).then_some(CryptoPipelineStatus { topic: Some(topic), ..before })
}

/// Figures that are absent while they cannot be read: an old one would look like a good one.
struct Figures {
    partitions: Option<i32>,
    lag: Option<i64>,
    missing_trades: Option<i64>,
}

impl Figures {
    fn of(findings: &Findings<'_>, previous: Option<&CryptoPipelineStatus>) -> Self {
        let partitions = findings.observed.topic_state().map(|topic| topic.description.partitions);
        Self {
            // Partitions do not go away while nobody looks.
            partitions: partitions.or_else(|| previous?.partitions),
            lag: findings.lag.map(LagReport::total),
            missing_trades: findings.holes.and_then(|holes| {
                let wished = trade_markets(&findings.pipeline.spec);
                let missing = holes.missing.iter().filter(|(market, _)| wished.contains(*market));
                (!wished.is_empty()).then(|| missing.map(|(_, missing)| missing.trades).sum())
            }),
        }
    }
}

fn producers(findings: &Findings<'_>) -> RoleStatus {
    let workloads = findings.observed.workloads.producers.values();
    let planned = findings.plan.ok().filter(|plan| plan.workloads.step == WorkloadStep::Apply);
    let planned = planned.map(|plan| plan.workloads.producers.iter().map(|producer| producer.replicas).sum());
    role_status(planned, workloads)
}

fn aggregators(findings: &Findings<'_>) -> RoleStatus {
    let planned = findings.plan.ok().filter(|plan| plan.workloads.step == WorkloadStep::Apply);
    let planned = planned.map(|plan| plan.workloads.aggregator.replicas);
    role_status(planned, findings.observed.workloads.aggregator.iter())
}

fn role_status<'a>(
    planned: Option<i32>,
    workloads: impl Iterator<Item = &'a Workload> + Clone,
) -> RoleStatus {
    RoleStatus {
        desired: planned.unwrap_or_else(|| workloads.clone().map(|workload| workload.wished).sum()),
        replicas: workloads.clone().map(|workload| workload.replicas).sum(),
        ready: workloads.map(|workload| workload.ready).sum(),
    }
}

fn topic(findings: &Findings<'_>, previous: Option<&CryptoPipelineStatus>) -> Option<TopicStatus> {
    let before = previous.and_then(|previous| previous.topic.clone());
    let Ok(plan) = findings.plan else { return before };
    let name = plan.topic.wished.name.clone();
    if let Some(id) = &findings.applied.created_topic {
        return Some(TopicStatus { name, id: Some(id.clone()), created: true });
    }
    let failure = findings.applied.topic_failure.as_ref();
    let was_refused = failure.is_some_and(|failure| failure.reason == Reason::BrokerRefused);
    if was_refused && before.as_ref().is_some_and(|before| before.id.is_none()) {
        // Whoever creates it now, it is not this resource.
        return None;
    }
    // A topic that was refused is not in use.
    let used = findings.observed.topic_state().filter(|_| plan.topic.step.leads_to_a_topic());
    let Some(used) = used else { return before };
    let id = used.description.id.clone();
    // What is used without an id known was about to be created, and is as it was declared then.
    let created = before.as_ref().is_some_and(|before| before.has_created(&id));
    Some(TopicStatus { name, id: Some(id), created })
}

fn schema(findings: &Findings<'_>, previous: Option<&CryptoPipelineStatus>) -> Option<SchemaStatus> {
    let before = previous.and_then(|previous| previous.schema.clone());
    let Ok(plan) = findings.plan else { return before };
    let seen = findings.observed.schema.value().filter(|_| plan.schema.step.leads_to_a_schema());
    let version = findings.applied.schema_version.or_else(|| seen?.version);
    version.map(|version| SchemaStatus { name: plan.schema.name.clone(), version }).or(before)
}

fn unhealthy_symbols(findings: &Findings<'_>) -> Vec<UnhealthySymbol> {
    let missing = continuity::unhealthy_symbols(findings);
    let wrong = verified::unhealthy_symbols(findings);
    let all = flow::unhealthy_symbols(findings).into_iter().chain(missing).chain(wrong);
    all.take(MAX_UNHEALTHY_SYMBOLS).collect()
}

/// The first few of `names`, and how many more there are.
fn listed<T: ToString>(names: impl IntoIterator<Item = T>) -> String {
    const SHOWN: usize = 5;
    let names: Vec<String> = names.into_iter().map(|name| name.to_string()).collect();
    let shown = names.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ");
    if names.len() > SHOWN { format!("{shown} and {} more", names.len() - SHOWN) } else { shown }
}

/// `1,203`.
fn with_separators(count: impl ToString) -> String {
    let digits = count.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
