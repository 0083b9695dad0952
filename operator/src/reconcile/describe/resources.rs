//! The conditions of what the pipeline is made of: spec, topic, schema, pods.

use crds::condition::{ConditionKind, Reason};

use super::flow::{self, MarketState};
use super::{Findings, Verdict, listed, with_separators};
use crate::reconcile::observe::{Failure, Reading, Workload};
use crate::reconcile::plan::{SchemaStep, TopicStep, WorkloadStep};

pub(super) type Verdicts = [(ConditionKind, Verdict); 5];

pub(super) fn verdicts(findings: &Findings<'_>) -> Verdicts {
    [
        (ConditionKind::SpecValid, spec_valid(findings)),
        (ConditionKind::TopicReady, topic_ready(findings)),
        (ConditionKind::SchemaReady, schema_ready(findings)),
        (ConditionKind::ProducersReady, producers_ready(findings)),
        (ConditionKind::AggregatorsReady, aggregators_ready(findings)),
    ]
}

fn spec_valid(findings: &Findings<'_>) -> Verdict {
    match findings.plan {
        Err(broken) => Verdict::no(Reason::RuleBroken, listed(broken)),
        Ok(_) => Verdict::yes(Reason::Accepted, "the spec can work"),
    }
}

fn topic_ready(findings: &Findings<'_>) -> Verdict {
    let Ok(plan) = findings.plan else { return waits_for_the_spec() };
    if let Some(failure) = &findings.applied.topic_failure {
        return Verdict::complain(failure);
    }
    let topic = &plan.topic;
    let partitions = findings.observed.topic_state().map(|topic| topic.description.partitions);
    let ready = |partitions: i32| {
        let message = format!("topic {} has {partitions} partitions", topic.wished.name);
        Verdict::yes(Reason::TopicAsDeclared, message)
    };
    match &topic.step {
        TopicStep::Wait => {
            unread(failure(&findings.observed.topic), Reason::BrokerUnreachable, Reason::BrokerRefused)
        }
        TopicStep::Refuse(complaint) => Verdict::complain(complaint),
        TopicStep::Create | TopicStep::Change { grow_to: Some(_), .. } => ready(topic.wished.partitions),
        TopicStep::Change { .. } | TopicStep::Keep => match &topic.complaint {
            Some(complaint) => Verdict::complain(complaint),
            None => ready(partitions.unwrap_or(topic.wished.partitions)),
        },
    }
}

fn schema_ready(findings: &Findings<'_>) -> Verdict {
    let Ok(plan) = findings.plan else { return waits_for_the_spec() };
    if let Some(failure) = &findings.applied.schema_failure {
        return Verdict::complain(failure);
    }
    match &plan.schema.step {
        SchemaStep::Wait => {
            unread(failure(&findings.observed.schema), Reason::DatabaseUnreachable, Reason::DatabaseRefused)
        }
        SchemaStep::Refuse(complaint) => Verdict::complain(complaint),
        SchemaStep::Migrate | SchemaStep::Claim | SchemaStep::Keep
            if !plan.schema.series.refused.is_empty() =>
        {
            Verdict::no(Reason::RuleBroken, listed(&plan.schema.series.refused))
        }
        SchemaStep::Migrate | SchemaStep::Claim | SchemaStep::Keep => {
            // What a migration is about to change is no difference.
            let complaint = plan.schema.complaint.as_ref();
            if let Some(complaint) = complaint.filter(|_| plan.schema.step != SchemaStep::Migrate) {
                return Verdict::complain(complaint);
            }
            if let Some(failure) = &findings.applied.views_failure {
                return Verdict::complain(failure);
            }
            let seen = findings.observed.schema.value().and_then(|schema| schema.version);
            let version = findings.applied.schema_version.or(seen).unwrap_or_default();
            Verdict::yes(
                Reason::SchemaCurrent,
                format!("schema {} is at version {version}", plan.schema.name),
            )
        }
    }
}

fn producers_ready(findings: &Findings<'_>) -> Verdict {
    let unknown = flow::markets_in(findings, MarketState::Unknown);
    if !unknown.is_empty() && !findings.pipeline.spec.suspend {
        let message = format!("the exchange does not list {}: correct or remove it", listed(unknown));
        return Verdict::no(Reason::UnknownSymbol, message);
    }
    let workloads: Vec<&Workload> = findings.observed.workloads.producers.values().collect();
    let wanted = findings.pipeline.spec.sources.iter().map(|source| source.name.as_str());
    let is_complete = wanted.into_iter().all(|name| findings.observed.workloads.producers.contains_key(name));
    let planned = findings.plan.ok().map(|plan| plan.workloads.producers.iter().map(|p| p.replicas).sum());
    pods_ready(findings, &workloads, is_complete, planned)
}

fn aggregators_ready(findings: &Findings<'_>) -> Verdict {
    let workloads: Vec<&Workload> = findings.observed.workloads.aggregator.iter().collect();
    let planned = findings.plan.ok().map(|plan| plan.workloads.aggregator.replicas);
    pods_ready(findings, &workloads, !workloads.is_empty(), planned)
}

/// The pods of a role. `is_complete`: every Deployment is there; `planned`: how many pods there should be.
fn pods_ready(
    findings: &Findings<'_>,
    workloads: &[&Workload],
    is_complete: bool,
    planned: Option<i32>,
) -> Verdict {
    if let Some(failure) = &findings.applied.workloads_failure {
        return Verdict::complain(failure);
    }
    let holds = findings.plan.is_ok_and(|plan| plan.workloads.step == WorkloadStep::Hold);
    if !is_complete {
        let message = if holds || findings.plan.is_err() {
            "starts once spec, topic and schema are ready"
        } else {
            "is being made"
        };
        return Verdict::no(Reason::Waiting, message);
    }
    let wished: i32 = workloads.iter().map(|workload| workload.wished).sum();
    let wished = planned.filter(|_| !holds).unwrap_or(wished);
    let replicas: i32 = workloads.iter().map(|workload| workload.replicas).sum();
    let ready: i32 = workloads.iter().map(|workload| workload.ready).sum();
    if findings.pipeline.spec.suspend {
        return if wished == 0 && replicas == 0 {
            Verdict::no(Reason::Suspended, "stopped, as spec.suspend asks")
        } else {
            let left = findings.lag.map(|lag| format!(": {} records are left", with_separators(lag.total())));
            let message =
                format!("{replicas} pods go on until everything is read{}", left.unwrap_or_default());
            Verdict::no(Reason::Draining, message)
        };
    }
    if wished == 0 {
        return Verdict::no(Reason::ScaledToZero, "no pods are asked for");
    }
    let is_current = workloads.iter().all(|workload| workload.is_current);
    let problem = workloads.iter().find_map(|workload| workload.problem.as_ref());
    let counted = format!("{ready} of {wished} pods are ready");
    match problem {
        Some(problem) if ready < wished => Verdict::no(Reason::PodsFailing, format!("{counted}: {problem}")),
        _ if ready >= wished && replicas == wished && is_current => Verdict::yes(Reason::PodsReady, counted),
        _ => Verdict::no(Reason::PodsStarting, counted),
    }
}

fn waits_for_the_spec() -> Verdict {
    Verdict::unknown(Reason::Waiting, "waits for a valid spec")
}

const fn failure<T>(reading: &Reading<T>) -> Option<&Failure> {
    match reading {
        Reading::Failed(failure) => Some(failure),
        Reading::Pending | Reading::Known { .. } => None,
    }
}

/// What is said of something that could not be read: a failure that may pass leaves it unknown.
pub(super) fn unread(failure: Option<&Failure>, unreachable: Reason, refused: Reason) -> Verdict {
    match failure {
        None => Verdict::unknown(Reason::NotReadYet, "not read yet"),
        Some(Failure { message, is_transient: true }) => Verdict::unknown(unreachable, message.clone()),
        Some(Failure { message, is_transient: false }) => Verdict::no(refused, message.clone()),
    }
}
