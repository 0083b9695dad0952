//! What to look at next, by the reason of a condition. What is to be done is in the condition's own message; here stands
//! which command tells more.

use crds::condition::Reason;

/// A command that tells more, or mends it, where there is one.
pub(super) fn next_step(reason: &str, name: &str, namespace: &str) -> Option<String> {
    let is_one_of = |reasons: &[Reason]| reasons.iter().any(|known| known.to_string() == reason);
    let verb = |verb: &str| Some(format!("kubectl cryptopipeline {verb} {name} -n {namespace}"));
    let objects = |kinds: &str| Some(format!("kubectl get {kinds} -n {namespace}"));
    if is_one_of(&[
        Reason::TradesMissing,
        Reason::TradesRefused,
        Reason::IdsRestarted,
        Reason::HoleUnconfirmed,
        Reason::HeadNotProbed,
    ]) {
        verb("gaps")
    } else if is_one_of(&[Reason::CandlesWrong, Reason::CheckUndecided]) {
        verb("verify")
    } else if is_one_of(&[Reason::FallingBehind, Reason::PartitionHot]) {
        verb("lag")
    } else if is_one_of(&[Reason::Suspended]) {
        verb("resume")
    } else if is_one_of(&[Reason::PodsFailing, Reason::WorkersNotAnswering]) {
        Some(format!("kubectl describe pods -n {namespace} -l app.kubernetes.io/instance={name}"))
    } else if is_one_of(&[Reason::SecretNotFound, Reason::SecretKeyNotFound]) {
        objects("secrets")
    } else if is_one_of(&[Reason::ApplyFailed]) {
        Some(format!("kubectl events -n {namespace} --for cryptopipeline/{name}"))
    } else {
        None
    }
}
