//! How fast history is loaded, and how long the rest takes. Pure: time is an argument.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

/// The rate is that of the last so long.
const WINDOW: Duration = Duration::from_secs(60);
/// Looks that are kept at most: one a second is enough.
const BETWEEN_LOOKS: Duration = Duration::from_secs(1);

/// The trades loaded so far, at some moments of the last minute.
#[derive(Debug, Default)]
pub(super) struct Progress {
    loaded: u64,
    looks: VecDeque<(Instant, u64)>,
}

impl Progress {
    /// So many trades more were new to the ledger.
    pub(super) fn note(&mut self, trades: u64, now: Instant) {
        if self.looks.is_empty() {
            self.looks.push_back((now, self.loaded));
        }
        self.loaded += trades;
        if self.looks.back().is_none_or(|(at, _)| *at + BETWEEN_LOOKS <= now) {
            self.looks.push_back((now, self.loaded));
        }
    }

    /// Trades since the start.
    pub(super) const fn loaded(&self) -> u64 {
        self.loaded
    }

    /// Trades a second over the last minute.
    pub(super) fn rate(&mut self, now: Instant) -> u64 {
        while self.looks.front().is_some_and(|(at, _)| *at + WINDOW < now) {
            self.looks.pop_front();
        }
        let Some((at, before)) = self.looks.front() else { return 0 };
        let millis = now.duration_since(*at).as_millis();
        let trades = u128::from(self.loaded - before);
        (trades * 1_000).checked_div(millis).and_then(|rate| u64::try_from(rate).ok()).unwrap_or_default()
    }

    /// How long `left` more trades take at that rate; `None` while nothing moves.
    pub(super) fn seconds_left(&mut self, left: u64, now: Instant) -> Option<u64> {
        if left == 0 { Some(0) } else { left.checked_div(self.rate(now)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_rate_is_that_of_the_last_minute() {
        let (begun, mut progress) = (Instant::now(), Progress::default());
        let at = |seconds| begun + Duration::from_secs(seconds);
        assert_eq!((progress.rate(begun), progress.seconds_left(5, begun)), (0, None));
        for second in 0..=100 {
            progress.note(if second < 50 { 10 } else { 100 }, at(second));
        }
        assert_eq!(progress.loaded(), 50 * 10 + 51 * 100);
        // From second 40 on: 9 seconds of 10, 51 of 100.
        assert_eq!(progress.rate(at(100)), (9 * 10 + 51 * 100) / 60);
        assert_eq!(progress.seconds_left(8_600, at(100)), Some(100));
        assert_eq!(progress.seconds_left(0, at(100)), Some(0));
        // Long after, nothing moves.
        assert_eq!((progress.rate(at(300)), progress.seconds_left(5, at(300))), (0, None));
    }

    #[tokio::test(start_paused = true)]
    async fn many_steps_a_second_keep_few_looks() {
        let (begun, mut progress) = (Instant::now(), Progress::default());
        for step in 0..10_000 {
            progress.note(2_000, begun + Duration::from_millis(step * 10));
        }
        assert!(progress.looks.len() <= 102);
        assert_eq!(progress.rate(begun + Duration::from_millis(99_990)) / 1_000, 200);
    }
}
