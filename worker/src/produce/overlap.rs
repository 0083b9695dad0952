//! When the older of two connections that are both read may be closed without losing a trade. Pure.

use std::time::Duration;

/// What is to be done with the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Read both on.
    Wait,
    /// The newer one carries everything: close the older.
    HandedOver,
    /// The newer one delivers nothing though there is something to deliver: close it, and keep the older.
    NewerIsDead,
}

/// The first and the highest position that a connection delivered of a symbol: ids of trades, times of samples.
pub(crate) type FirstAndHighest = (Option<i64>, Option<i64>);

/// Two connections with the same symbols, from the moment at which the newer one was subscribed.
#[derive(Debug)]
pub(crate) struct Overlap {
    /// The highest id of each symbol that the older one had delivered at that moment.
    highest_before: Vec<Option<i64>>,
    at_least: Duration,
    at_most: Duration,
}

impl Overlap {
    /// An overlap that begins with what the `older` connection has delivered so far.
    pub(crate) fn new(older: &[FirstAndHighest], at_least: Duration, at_most: Duration) -> Self {
        Self { highest_before: older.iter().map(|(_, highest)| *highest).collect(), at_least, at_most }
    }

    /// Judges it `elapsed` after its beginning, from what both have delivered by then. `read_for` is how
    /// long both have been read without being held back, `None` while one of them is.
    pub(crate) fn judge(
        &self,
        older: &[FirstAndHighest],
        newer: &[FirstAndHighest],
        elapsed: Duration,
        read_for: Option<Duration>,
    ) -> Verdict {
        let Some(read_for) = read_for else { return Verdict::Wait };
        let silence_counts = read_for >= self.at_least;
        let is_covered = self.highest_before.iter().zip(older).zip(newer).all(
            |((before, (_, older_highest)), (newer_first, _))| match newer_first {
                // The older one has delivered everything before the newer one's first trade.
                Some(newer_first) => *older_highest >= Some(newer_first.saturating_sub(1)),
                // Neither has had anything to deliver.
                None => silence_counts && older_highest == before,
            },
        );
        let newer_delivers = newer.iter().any(|(first, _)| first.is_some());
        if elapsed < self.at_least || (!is_covered && elapsed < self.at_most) {
            Verdict::Wait
        } else if is_covered || newer_delivers {
            Verdict::HandedOver
        } else {
            Verdict::NewerIsDead
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHORT: Duration = Duration::from_secs(1);
    const LATER: Duration = Duration::from_secs(6);
    const LATE: Duration = Duration::from_secs(60);

    fn judge(before: Option<i64>, older: Option<i64>, newer: Option<i64>, elapsed: Duration) -> Verdict {
        let overlap = Overlap::new(&[(Some(1), before)], Duration::from_secs(5), LATE);
        overlap.judge(&[(Some(1), older)], &[(newer, newer)], elapsed, Some(elapsed))
    }

    #[test]
    fn both_are_read_until_the_older_has_brought_all_before_the_newers_first() {
        assert_eq!(judge(Some(10), Some(11), Some(13), LATER), Verdict::Wait);
        assert_eq!(judge(Some(10), Some(12), Some(13), LATER), Verdict::HandedOver);
        assert_eq!(judge(Some(10), Some(20), Some(13), LATER), Verdict::HandedOver);
    }

    #[test]
    fn what_only_the_older_delivers_is_waited_for() {
        assert_eq!(judge(Some(10), Some(11), None, LATER), Verdict::Wait);
    }

    #[test]
    fn a_first_trade_ever_that_only_the_newer_has_is_waited_for() {
        assert_eq!(judge(None, None, Some(1), LATER), Verdict::Wait);
    }

    #[test]
    fn quiet_symbols_need_no_trade() {
        assert_eq!(judge(None, None, None, LATER), Verdict::HandedOver);
        assert_eq!(judge(Some(10), Some(10), None, LATER), Verdict::HandedOver);
    }

    #[test]
    fn never_before_the_shortest_time_for_what_is_on_its_way() {
        assert_eq!(judge(Some(10), Some(20), Some(13), SHORT), Verdict::Wait);
    }

    #[test]
    fn a_newer_one_that_stays_silent_is_given_up() {
        assert_eq!(judge(Some(10), Some(11), None, LATE), Verdict::NewerIsDead);
    }

    #[test]
    fn an_older_one_that_stays_silent_is_closed() {
        assert_eq!(judge(Some(10), Some(10), Some(13), LATE), Verdict::HandedOver);
    }

    #[test]
    fn one_symbol_that_is_not_covered_keeps_all_waiting() {
        let overlap = Overlap::new(&[(Some(1), Some(10)), (Some(1), Some(10))], Duration::ZERO, LATE);
        let older = [(Some(1), Some(20)), (Some(1), Some(11))];
        let newer = [(Some(15), Some(20)), (Some(15), Some(20))];
        assert_eq!(overlap.judge(&older, &newer, LATER, Some(LATER)), Verdict::Wait);
    }

    #[test]
    fn readers_that_are_held_back_prove_no_silence() {
        let overlap = Overlap::new(&[(Some(1), Some(10))], Duration::from_secs(5), LATE);
        let judge = |newer, elapsed, read_for| {
            overlap.judge(&[(Some(1), Some(10))], &[(newer, newer)], elapsed, read_for)
        };
        assert_eq!(judge(None, LATER, Some(SHORT)), Verdict::Wait);
        assert_eq!(judge(None, LATER, Some(LATER)), Verdict::HandedOver);
        assert_eq!(judge(Some(11), LATER, Some(SHORT)), Verdict::HandedOver);
        assert_eq!(judge(Some(13), 2 * LATE, None), Verdict::Wait);
    }
}
