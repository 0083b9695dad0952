//! How long a symbol is quiet by its own habit, so that silence can be told from a quiet market.

use std::time::Duration;

use tokio::time::Instant;

/// The longest gap is looked for in the current epoch and the one before it.
const EPOCH: Duration = Duration::from_secs(600);

/// Fewer gaps say nothing about the longest to expect.
const ENOUGH_GAPS: u32 = 50;

/// Markets are bursty: a gap several times the longest of late still happens by itself.
const GAPS_ALLOWED: u32 = 5;

/// Between which bounds a silence is allowed, whatever the rhythm.
#[derive(Clone, Copy, Debug)]
pub struct SilenceBounds {
    /// Never suspicious before this.
    pub floor: Duration,
    /// Always suspicious after this; also where the rhythm is not known yet.
    pub ceiling: Duration,
}

/// The longest gaps between the trades of one symbol.
#[derive(Debug, Default)]
pub(crate) struct Rhythm {
    last: Option<Instant>,
    current: Epoch,
    previous: Epoch,
}

#[derive(Clone, Copy, Debug, Default)]
struct Epoch {
    began: Option<Instant>,
    gaps: u32,
    longest_gap: Duration,
}

impl Rhythm {
    /// A trade came at `now`.
    pub(crate) fn observe(&mut self, now: Instant) {
        let began = *self.current.began.get_or_insert(now);
        if now.saturating_duration_since(began) >= EPOCH {
            self.previous = std::mem::take(&mut self.current);
            self.current.began = Some(now);
        }
        if let Some(last) = self.last.replace(now) {
            self.current.gaps = self.current.gaps.saturating_add(1);
            self.current.longest_gap = self.current.longest_gap.max(now.saturating_duration_since(last));
        }
    }

    /// The connection was lost: the gap until the next trade will be ours, not the market's.
    pub(crate) fn interrupt(&mut self) {
        self.last = None;
    }

    /// How long no trade may come before the stream is suspected.
    pub(crate) fn allowed_silence(&self, bounds: SilenceBounds) -> Duration {
        if self.current.gaps.saturating_add(self.previous.gaps) < ENOUGH_GAPS {
            return bounds.ceiling;
        }
        let longest = self.current.longest_gap.max(self.previous.longest_gap);
        longest.saturating_mul(GAPS_ALLOWED).clamp(bounds.floor, bounds.ceiling.max(bounds.floor))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: SilenceBounds =
        SilenceBounds { floor: Duration::from_secs(20), ceiling: Duration::from_secs(600) };

    /// A rhythm after `trades` trades, one every `every`, and the moment of the last.
    fn regular(every: Duration, trades: u32) -> (Rhythm, Instant) {
        let mut rhythm = Rhythm::default();
        let start = Instant::now();
        (0..trades).for_each(|number| rhythm.observe(start + every * number));
        (rhythm, start + every * (trades - 1))
    }

    #[test]
    fn the_allowed_silence_follows_the_symbols_own_gaps() {
        let (rhythm, _) = regular(Duration::from_secs(10), 100);
        assert_eq!(rhythm.allowed_silence(BOUNDS), Duration::from_secs(50));
    }

    #[test]
    fn busy_symbols_get_the_floor_and_quiet_ones_the_ceiling() {
        let (busy, _) = regular(Duration::from_millis(5), 1_000);
        assert_eq!(busy.allowed_silence(BOUNDS), BOUNDS.floor);
        let (quiet, _) = regular(Duration::from_secs(500), 100);
        assert_eq!(quiet.allowed_silence(BOUNDS), BOUNDS.ceiling);
    }

    #[test]
    fn a_rhythm_that_is_not_known_yet_gets_the_ceiling() {
        assert_eq!(Rhythm::default().allowed_silence(BOUNDS), BOUNDS.ceiling);
        let (rhythm, _) = regular(Duration::from_millis(5), 10);
        assert_eq!(rhythm.allowed_silence(BOUNDS), BOUNDS.ceiling);
    }

    #[test]
    fn one_long_gap_is_remembered_for_a_while_and_then_forgotten() {
        let (mut rhythm, last) = regular(Duration::from_secs(1), 100);
        let mut now = last + Duration::from_secs(60);
        rhythm.observe(now);
        assert_eq!(rhythm.allowed_silence(BOUNDS), Duration::from_secs(300));
        for _ in 0..3 * EPOCH.as_secs() {
            now += Duration::from_secs(1);
            rhythm.observe(now);
        }
        assert_eq!(rhythm.allowed_silence(BOUNDS), BOUNDS.floor);
    }

    #[test]
    fn the_gap_of_a_lost_connection_is_not_the_markets() {
        let (mut rhythm, last) = regular(Duration::from_secs(1), 100);
        rhythm.interrupt();
        rhythm.observe(last + Duration::from_secs(300));
        assert_eq!(rhythm.allowed_silence(BOUNDS), BOUNDS.floor);
    }
}
