//! Which day of a symbol is loaded next. Pure: what is held comes in, time is an argument.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::civil::Date;
use store::{MarketHistory, TradeChain};
use tokio::time::Instant;

use crate::utc_day::day_span_us;

/// The days of one symbol, and what became of their files.
#[derive(Debug, Default)]
pub(super) struct DayQueue {
    days: BTreeMap<Date, DayState>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum DayState {
    /// Its file is to be loaded.
    Due,
    /// Its file is loaded, or would bring nothing that is missing.
    Done,
    /// Its file could not be had or used.
    Failed { not_before: Instant, pause: Duration, why: String },
}

impl DayQueue {
    /// Takes the days that history consists of. Those whose file failed keep their history, and the others are looked at
    /// anew.
    pub(super) fn update(&mut self, days: impl Iterator<Item = Date>, is_covered: impl Fn(Date) -> bool) {
        let before = std::mem::take(&mut self.days);
        for day in days {
            let state = match before.get(&day) {
                _ if is_covered(day) => DayState::Done,
                Some(failed @ DayState::Failed { .. }) => failed.clone(),
                _ => DayState::Due,
            };
            self.days.insert(day, state);
        }
    }

    /// The oldest day whose file is to be loaded at `now`.
    pub(super) fn next(&self, now: Instant) -> Option<Date> {
        let is_due = |state: &DayState| match state {
            DayState::Due => true,
            DayState::Done => false,
            DayState::Failed { not_before, .. } => *not_before <= now,
        };
        self.days.iter().find(|(_, state)| is_due(state)).map(|(day, _)| *day)
    }

    /// When the next file is to be tried again.
    pub(super) fn next_try(&self) -> Option<Instant> {
        let tries = self.days.values().filter_map(|state| match state {
            DayState::Failed { not_before, .. } => Some(*not_before),
            DayState::Due | DayState::Done => None,
        });
        tries.min()
    }

    pub(super) fn note_done(&mut self, day: Date) {
        self.days.insert(day, DayState::Done);
    }

    /// The file of `day` cannot be had or used, because of `why`. It is tried again after the shortest of `pauses`, and
    /// then less and less often.
    pub(super) fn note_failed(&mut self, day: Date, why: String, now: Instant, pauses: Pauses) {
        let pause = match self.days.get(&day) {
            Some(DayState::Failed { pause, .. }) => pause.saturating_mul(2).min(pauses.longest),
            _ => pauses.shortest,
        };
        self.days.insert(day, DayState::Failed { not_before: now + pause, pause, why });
    }

    /// How many days there are, and how many of them are done.
    pub(super) fn count(&self) -> (usize, usize) {
        let done = self.days.values().filter(|state| **state == DayState::Done).count();
        (self.days.len(), done)
    }

    /// Days whose files cannot be had or used, the newest first, and why.
    pub(super) fn unavailable(&self) -> impl Iterator<Item = (Date, &str)> {
        self.days.iter().rev().filter_map(|(day, state)| match state {
            DayState::Failed { why, .. } => Some((*day, why.as_str())),
            DayState::Due | DayState::Done => None,
        })
    }
}

/// How long a file that failed is left alone.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pauses {
    pub(super) shortest: Duration,
    pub(super) longest: Duration,
}

/// Since when trades of the series that is numbered now are wished, where history is from `from_us` on. What lies before
/// belongs to series that have ended: files may have it, the exchange does not.
pub(super) fn wished_from_us(from_us: i64, history: &MarketHistory) -> i64 {
    history.series_since_us.map_or(from_us, |since_us| from_us.max(since_us))
}

/// Whether the ledger holds every trade of `day` that is wished from `from_us` on: an unbroken chain begins before it, or
/// with the first trade that is wished, and goes on after it.
pub(super) fn is_covered(day: Date, from_us: i64, history: &MarketHistory) -> bool {
    let span = day_span_us(day);
    let begins_before = |chain: &TradeChain| {
        let with_the_first =
            history.start.is_some_and(|start| start.from_us == from_us && chain.first_id <= start.first_id);
        with_the_first || chain.first_time_us < span.start.max(from_us)
    };
    history.chains.iter().any(|chain| begins_before(chain) && chain.last_time_us >= span.end)
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;
    use store::HistoryStart;

    use super::*;
    use crate::utc_day::days;

    const PAUSES: Pauses = Pauses { shortest: Duration::from_secs(60), longest: Duration::from_secs(200) };
    const FIRST: Date = date(2026, 1, 1);

    fn queue(last: Date) -> DayQueue {
        let mut queue = DayQueue::default();
        queue.update(days(FIRST, last), |_| false);
        queue
    }

    #[tokio::test(start_paused = true)]
    async fn the_oldest_day_comes_first_and_a_failed_one_less_and_less_often() {
        let (now, mut queue) = (Instant::now(), queue(date(2026, 1, 3)));
        assert_eq!((queue.next(now), queue.count(), queue.next_try()), (Some(FIRST), (3, 0), None));
        let mut at = now;
        let mut pauses = Vec::new();
        for _ in 0..4 {
            queue.note_failed(FIRST, "corrupt".to_owned(), at, PAUSES);
            assert_eq!(queue.next(at), Some(date(2026, 1, 2)));
            let next_try = queue.next_try().unwrap();
            pauses.push((next_try - at).as_secs());
            at = next_try;
            assert_eq!(queue.next(at), Some(FIRST));
        }
        assert_eq!(pauses, [60, 120, 200, 200]);
        assert_eq!(queue.unavailable().collect::<Vec<_>>(), [(FIRST, "corrupt")]);
        for day in days(FIRST, date(2026, 1, 3)) {
            queue.note_done(day);
        }
        assert_eq!((queue.next(at), queue.count(), queue.unavailable().count()), (None, (3, 3), 0));
    }

    #[tokio::test(start_paused = true)]
    async fn new_days_are_due_and_failed_ones_keep_their_pause_unless_the_ledger_has_them() {
        let (now, mut queue) = (Instant::now(), queue(date(2026, 1, 2)));
        queue.note_failed(FIRST, "absent".to_owned(), now, PAUSES);
        queue.note_done(date(2026, 1, 2));
        queue.update(days(FIRST, date(2026, 1, 3)), |day| day == date(2026, 1, 2));
        assert_eq!((queue.next(now), queue.count()), (Some(date(2026, 1, 3)), (3, 1)));
        assert_eq!(queue.unavailable().count(), 1);
        queue.update(days(FIRST, date(2026, 1, 3)), |_| true);
        assert_eq!((queue.next(now), queue.unavailable().count()), (None, 0));
    }

    #[test]
    fn a_series_wishes_nothing_from_before_it_began() {
        let history = |series_since_us| MarketHistory { series_since_us, ..MarketHistory::default() };
        assert_eq!(wished_from_us(5, &history(None)), 5);
        assert_eq!(wished_from_us(5, &history(Some(3))), 5);
        assert_eq!(wished_from_us(5, &history(Some(9))), 9);
    }

    #[test]
    fn a_day_is_covered_by_a_chain_that_begins_before_and_goes_on_after_it() {
        let span = day_span_us(FIRST);
        let covered = |first_time_us, last_time_us, first_id, from_us| {
            let chains = vec![TradeChain { first_id: 7, last_id: 9, first_time_us, last_time_us }];
            let start = Some(HistoryStart { from_us: 1, first_id });
            is_covered(FIRST, from_us, &MarketHistory { start, chains, ..MarketHistory::default() })
        };
        let noon_us = span.start + 43_200_000_000;
        assert!(covered(span.start - 1, span.end, 1, 1));
        assert!(!covered(span.start, span.end, 1, 1));
        assert!(!covered(span.start - 1, span.end - 1, 1, 1));
        // Only the afternoon is wished.
        assert!(covered(noon_us - 1, span.end, 1, noon_us));
        assert!(!covered(noon_us, span.end, 1, noon_us));
        // The chain begins with the first wished trade, of this start and not of another.
        assert!(covered(noon_us, span.end, 7, 1));
        assert!(!covered(noon_us, span.end, 6, 1));
        assert!(!covered(noon_us, span.end, 7, 2));
    }
}
