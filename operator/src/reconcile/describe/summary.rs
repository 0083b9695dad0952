//! Ready, Reconciling and Stalled, by the kstatus convention: made of the resource conditions and of nothing else.

use crds::condition::{ConditionKind, Reason};

use super::resources::Verdicts;
use super::{Truth, Verdict};

pub(super) fn verdicts(resources: &Verdicts) -> [(ConditionKind, Verdict); 3] {
    let ready = ready(resources);
    let stalled = resources.iter().map(|(_, verdict)| verdict).find(|verdict| needs_a_person(verdict));
    let is_settled = ready.status == Truth::True || ready.reason == Reason::Suspended;
    let reconciling = match stalled {
        Some(_) => Verdict::no(Reason::NeedsAttention, "does not go on by itself: see Stalled"),
        None if is_settled => Verdict::no(Reason::Settled, "nothing is to be done"),
        None => Verdict::yes(ready.reason, ready.message.clone()),
    };
    let stalled = match stalled {
        Some(verdict) => Verdict::yes(verdict.reason, verdict.message.clone()),
        None => Verdict::no(Reason::Settled, "goes on by itself"),
    };
    [
        (ConditionKind::Ready, ready),
        (ConditionKind::Reconciling, reconciling),
        (ConditionKind::Stalled, stalled),
    ]
}

/// False while anything is, with the reason that the others wait for: what is wrong before what is not known, and what
/// has been stopped on purpose last of what is wrong.
fn ready(resources: &Verdicts) -> Verdict {
    let not_ready =
        || resources.iter().map(|(_, verdict)| verdict).filter(|verdict| verdict.status != Truth::True);
    let is_cause = |verdict: &&Verdict| verdict.reason != Reason::Waiting;
    let is_wrong = |verdict: &&Verdict| verdict.status == Truth::False;
    let is_stopped = |verdict: &&Verdict| verdict.reason == Reason::Suspended;
    let cause = not_ready()
        .find(|verdict| is_cause(verdict) && is_wrong(verdict) && !is_stopped(verdict))
        .or_else(|| not_ready().find(|verdict| is_cause(verdict) && is_wrong(verdict)))
        .or_else(|| not_ready().find(is_cause))
        .or_else(|| not_ready().next());
    let Some(cause) = cause else {
        return Verdict::yes(Reason::AllReady, "topic, schema, producers and aggregators are ready");
    };
    let status = if not_ready().any(|verdict| is_wrong(&verdict)) { Truth::False } else { Truth::Unknown };
    Verdict { status, ..cause.clone() }
}

/// Whether nothing goes on until somebody changes something.
fn needs_a_person(verdict: &Verdict) -> bool {
    let reasons = [
        Reason::RuleBroken,
        Reason::TopicNotFound,
        Reason::TopicDiffers,
        Reason::TopicOwnedByAnother,
        Reason::BrokerRefused,
        Reason::SecretNotFound,
        Reason::SecretKeyNotFound,
        Reason::SecretUnreadable,
        Reason::DatabaseRefused,
        Reason::SchemaTooNew,
        Reason::MigrationFailed,
        Reason::SchemaDiffers,
        Reason::MigrationRequired,
        Reason::RightsRequired,
        Reason::SchemaOwnedByAnother,
        Reason::ViewsNotMade,
        Reason::UnknownSymbol,
    ];
    verdict.status == Truth::False && reasons.contains(&verdict.reason)
}
