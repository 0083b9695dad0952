//! Keeps the connection attempts of a process far below the 300 in five minutes that get an
//! address banned, however fast connections break.

use std::time::Duration;

use tokio::time::Instant;

/// One attempt in this time, in the long run: 60 in five minutes.
const SPACING: Duration = Duration::from_secs(5);

/// As many may come at once.
const BURST: u32 = 20;

/// Says how long the next attempt has to wait.
#[derive(Debug, Default)]
pub(crate) struct AttemptLimiter {
    /// Where the attempts made so far reach to if they are laid out evenly.
    used_until: Option<Instant>,
}

impl AttemptLimiter {
    /// Counts an attempt that is wanted at `now`, and says how long it must wait first.
    pub(crate) fn reserve(&mut self, now: Instant) -> Duration {
        let used_until = self.used_until.map_or(now, |used_until| used_until.max(now)) + SPACING;
        self.used_until = Some(used_until);
        used_until.saturating_duration_since(now).saturating_sub(SPACING * BURST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_free_and_a_storm_is_not() {
        let mut limiter = AttemptLimiter::default();
        let now = Instant::now();
        let delays: Vec<u64> = (0..23).map(|_| limiter.reserve(now).as_secs()).collect();
        assert!(delays[..20].iter().all(|delay| *delay == 0), "{delays:?}");
        assert_eq!(delays[20..], [5, 10, 15]);
    }

    #[test]
    fn five_minutes_of_storm_stay_far_below_the_limit() {
        let mut limiter = AttemptLimiter::default();
        let start = Instant::now();
        let mut now = start;
        let mut attempts = 0;
        while now < start + Duration::from_secs(300) {
            now += limiter.reserve(now);
            attempts += 1;
        }
        assert!(attempts <= 81, "{attempts}");
    }

    #[test]
    fn rest_gives_the_burst_back() {
        let mut limiter = AttemptLimiter::default();
        let now = Instant::now();
        for _ in 0..30 {
            limiter.reserve(now);
        }
        assert_eq!(limiter.reserve(now + Duration::from_secs(3_600)), Duration::ZERO);
    }
}
