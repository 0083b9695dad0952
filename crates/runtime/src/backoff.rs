//! How long to wait before trying again: the one place where every retry loop takes its delays from.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use tokio_util::sync::CancellationToken;

/// Delays that double from a shortest to a longest, each with its share of chance, so that what
/// failed together does not come back together.
#[derive(Debug)]
pub struct Backoff {
    builder: ExponentialBuilder,
    delays: ExponentialBackoff,
    longest: Duration,
}

impl Backoff {
    /// Delays of at least `shortest` and at most `longest`.
    #[must_use]
    pub fn new(shortest: Duration, longest: Duration) -> Self {
        // Jitter adds up to the delay itself, hence half of the longest.
        let builder = ExponentialBuilder::default()
            .with_min_delay(shortest)
            .with_max_delay(longest / 2)
            .with_jitter()
            .without_max_times();
        Self { builder, delays: builder.build(), longest }
    }

    /// The next delay.
    pub fn next_delay(&mut self) -> Duration {
        self.delays.next().unwrap_or(self.longest).min(self.longest)
    }

    /// Begins again with the shortest delay: call it once what failed has worked.
    pub fn reset(&mut self) {
        self.delays = self.builder.build();
    }

    /// Waits for the next delay. False where `shutdown` came first.
    pub async fn wait(&mut self, shutdown: &CancellationToken) -> bool {
        let delay = self.next_delay();
        shutdown.run_until_cancelled(tokio::time::sleep(delay)).await.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHORTEST: Duration = Duration::from_millis(100);
    const LONGEST: Duration = Duration::from_secs(10);

    #[test]
    fn delays_grow_to_the_cap_and_never_beyond() {
        let mut backoff = Backoff::new(SHORTEST, LONGEST);
        let delays: Vec<Duration> = (0..40).map(|_| backoff.next_delay()).collect();
        assert!(delays[0] >= SHORTEST && delays[0] <= 2 * SHORTEST, "{delays:?}");
        assert!(delays[10..].iter().all(|delay| (LONGEST / 2..=LONGEST).contains(delay)), "{delays:?}");
    }

    #[test]
    fn a_success_begins_again_with_the_shortest() {
        let mut backoff = Backoff::new(SHORTEST, LONGEST);
        for _ in 0..20 {
            backoff.next_delay();
        }
        backoff.reset();
        assert!(backoff.next_delay() <= 2 * SHORTEST);
    }

    #[test]
    fn two_of_them_do_not_march_in_step() {
        let [mut left, mut right] = [(); 2].map(|()| Backoff::new(SHORTEST, LONGEST));
        let differs = (0..10).any(|_| left.next_delay() != right.next_delay());
        assert!(differs);
    }

    #[tokio::test]
    async fn a_shutdown_ends_the_wait() {
        let shutdown = CancellationToken::new();
        assert!(Backoff::new(Duration::ZERO, Duration::ZERO).wait(&shutdown).await);
        shutdown.cancel();
        assert!(!Backoff::new(Duration::MAX / 8, Duration::MAX / 2).wait(&shutdown).await);
    }
}
