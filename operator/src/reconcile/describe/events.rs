//! Which Events tell of a change: one for every deed and for every condition that turned. Pure.

use std::collections::BTreeSet;

use crds::CryptoPipelineStatus;
use crds::condition::{ConditionKind, Reason};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use crate::reconcile::apply::{Applied, Deed};

/// An Event to be published.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct EventDraft {
    /// True where a person should look.
    pub is_warning: bool,
    /// In a word.
    pub reason: String,
    /// In a sentence.
    pub note: String,
}

/// The Events that tell of what was done.
#[must_use]
pub fn deeds(applied: &Applied) -> Vec<EventDraft> {
    let draft = |deed: &Deed| EventDraft {
        is_warning: false,
        reason: deed.reason.to_owned(),
        note: deed.message.clone(),
    };
    applied.deeds.iter().map(draft).collect()
}

/// The Events that tell of the step from `previous` to `next`.
#[must_use]
pub fn turns(previous: Option<&CryptoPipelineStatus>, next: &CryptoPipelineStatus) -> Vec<EventDraft> {
    // The summary repeats what the others say; one Event for each is enough.
    let mut told = BTreeSet::new();
    let turned = next.conditions.iter().filter(|condition| has_turned(previous, condition));
    turned.filter_map(event).filter(|event| told.insert(event.clone())).collect()
}

/// Whether the condition says something else than before. Something that is still not known is no news, whatever
/// the reason, unless it cannot be reached.
fn has_turned(previous: Option<&CryptoPipelineStatus>, condition: &Condition) -> bool {
    let mut before = previous.into_iter().flat_map(|previous| &previous.conditions);
    let before = before.find(|before| before.type_ == condition.type_);
    let was_unknown = before.is_none_or(|before| before.status == "Unknown");
    if condition.status == "Unknown" && was_unknown && !is_away(condition) {
        return false;
    }
    before.is_none_or(|before| before.status != condition.status || before.reason != condition.reason)
}

fn is_away(condition: &Condition) -> bool {
    [Reason::BrokerUnreachable, Reason::DatabaseUnreachable]
        .iter()
        .any(|reason| condition.reason == reason.to_string())
}

fn event(condition: &Condition) -> Option<EventDraft> {
    let is = |kind: ConditionKind| condition.type_ == kind.to_string();
    let because = |reason: Reason| condition.reason == reason.to_string();
    // The two helpers of Ready have nothing of their own to say, and who waits says so by another condition.
    if is(ConditionKind::Reconciling) || is(ConditionKind::Stalled) || because(Reason::Waiting) {
        return None;
    }
    let is_calm = [Reason::Suspended, Reason::Draining, Reason::PodsStarting, Reason::ScaledToZero];
    let is_worry = [Reason::FallingBehind, Reason::PartitionHot];
    let is_bad = condition.status == "False" && !is_calm.into_iter().any(because);
    Some(EventDraft {
        is_warning: is_bad || is_away(condition) || is_worry.into_iter().any(because),
        reason: condition.reason.clone(),
        note: condition.message.clone(),
    })
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

    use super::*;

    fn status(conditions: &[(ConditionKind, &str, Reason)]) -> CryptoPipelineStatus {
        let condition = |(kind, status, reason): &(ConditionKind, &str, Reason)| Condition {
            last_transition_time: Time(Timestamp::UNIX_EPOCH),
            message: format!("because of {reason}"),
            observed_generation: None,
            reason: reason.to_string(),
            status: (*status).to_owned(),
            type_: kind.to_string(),
        };
        CryptoPipelineStatus {
            conditions: conditions.iter().map(condition).collect(),
            ..CryptoPipelineStatus::default()
        }
    }

    fn reasons(events: &[EventDraft]) -> Vec<(&str, bool)> {
        events.iter().map(|event| (event.reason.as_str(), event.is_warning)).collect()
    }

    #[test]
    fn a_refusal_is_one_warning_although_two_conditions_say_it() {
        let next = status(&[
            (ConditionKind::SchemaReady, "False", Reason::SecretNotFound),
            (ConditionKind::Ready, "False", Reason::SecretNotFound),
            (ConditionKind::Stalled, "True", Reason::SecretNotFound),
        ]);
        assert_eq!(reasons(&turns(None, &next)), [("SecretNotFound", true)]);
        assert_eq!(turns(Some(&next), &next), []);
    }

    #[test]
    fn what_comes_back_is_told_too_and_what_was_never_read_is_not() {
        let away = status(&[(ConditionKind::TopicReady, "Unknown", Reason::BrokerUnreachable)]);
        let back = status(&[(ConditionKind::TopicReady, "True", Reason::TopicAsDeclared)]);
        let unread = status(&[(ConditionKind::TopicReady, "Unknown", Reason::NotReadYet)]);
        assert_eq!(reasons(&turns(Some(&back), &away)), [("BrokerUnreachable", true)]);
        assert_eq!(reasons(&turns(Some(&away), &back)), [("TopicAsDeclared", false)]);
        assert_eq!(turns(None, &unread), []);
        let still_unknown = status(&[(ConditionKind::TopicReady, "Unknown", Reason::WorkersNotAnswering)]);
        assert_eq!(turns(Some(&unread), &still_unknown), []);
    }

    #[test]
    fn every_deed_is_told() {
        let deed = Deed { reason: "TopicGrown", message: "topic t: 3 -> 6 partitions".to_owned() };
        let applied = Applied { deeds: vec![deed], ..Applied::default() };
        assert_eq!(reasons(&deeds(&applied)), [("TopicGrown", false)]);
    }
}
