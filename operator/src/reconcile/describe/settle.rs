//! What of a new status is worth a write. Transition times move only with the status; figures and texts are
//! renewed at most once a minute, unless something decisive changes with them.

use crds::CryptoPipelineStatus;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

/// How long printed figures stand.
const FIGURES_STAND: SignedDuration = SignedDuration::from_secs(60);

/// `next`, or `previous` where nothing is to be said anew at `now`.
pub(super) fn settled(
    previous: Option<&CryptoPipelineStatus>,
    mut next: CryptoPipelineStatus,
    now: Timestamp,
) -> CryptoPipelineStatus {
    next.figures_time = Some(Time(now));
    let Some(previous) = previous else { return next };
    for condition in &mut next.conditions {
        let before = previous.conditions.iter().find(|before| before.type_ == condition.type_);
        if let Some(before) = before.filter(|before| before.status == condition.status) {
            condition.last_transition_time = before.last_transition_time.clone();
        }
    }
    let says_the_same = CryptoPipelineStatus { figures_time: None, ..next.clone() }
        == CryptoPipelineStatus { figures_time: None, ..previous.clone() };
    let is_early =
        previous.figures_time.as_ref().is_some_and(|last| now.duration_since(last.0) < FIGURES_STAND);
    if says_the_same || (is_early && decisive(previous) == decisive(&next)) { previous.clone() } else { next }
}

/// What is told at once: everything but texts and figures that change all the time.
fn decisive(status: &CryptoPipelineStatus) -> impl PartialEq + use<'_> {
    let conditions: Vec<_> = status.conditions.iter().map(decisive_part).collect();
    (
        conditions,
        status.observed_generation,
        status.symbols,
        status.partitions,
        (&status.producers, &status.aggregators, &status.selector),
        (&status.topic, &status.schema),
    )
}

fn decisive_part(condition: &Condition) -> (&str, &str, &str, Option<i64>) {
    (&condition.type_, &condition.status, &condition.reason, condition.observed_generation)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(lag: i64, status: &str, at: i64) -> CryptoPipelineStatus {
        let condition = Condition {
            last_transition_time: Time(second(at)),
            message: format!("lag is {lag}"),
            observed_generation: Some(1),
            reason: "Some".to_owned(),
            status: status.to_owned(),
            type_: "Ready".to_owned(),
        };
        CryptoPipelineStatus {
            conditions: vec![condition],
            lag: Some(lag),
            figures_time: Some(Time(second(at))),
            ..CryptoPipelineStatus::default()
        }
    }

    fn second(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn a_figure_waits_for_its_minute() {
        let previous = status(1, "True", 0);
        assert_eq!(settled(Some(&previous), status(2, "True", 59), second(59)), previous);
        let renewed = settled(Some(&previous), status(2, "True", 60), second(60));
        assert_eq!((renewed.lag, renewed.figures_time), (Some(2), Some(Time(second(60)))));
    }

    #[test]
    fn the_same_words_are_never_written_again() {
        let previous = status(1, "True", 0);
        assert_eq!(settled(Some(&previous), status(1, "True", 7_200), second(7_200)), previous);
    }

    #[test]
    fn a_changed_condition_is_told_at_once_with_its_time_and_the_newest_figures() {
        let previous = status(1, "True", 0);
        let next = settled(Some(&previous), status(2, "False", 5), second(5));
        assert_eq!((next.lag, &next.conditions[0].last_transition_time), (Some(2), &Time(second(5))));
    }

    #[test]
    fn the_transition_time_stands_while_the_status_does() {
        let previous = status(1, "True", 0);
        let mut changed = status(1, "True", 5);
        changed.conditions[0].reason = "Other".to_owned();
        assert_eq!(
            settled(Some(&previous), changed, second(5)).conditions[0].last_transition_time,
            Time(second(0))
        );
    }
}
