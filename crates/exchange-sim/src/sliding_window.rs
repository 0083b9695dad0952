//! At most so many events in any span of a given length.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// The events of the last span. Stricter than a token bucket, which lets a burst and its refill pass in one span.
#[derive(Debug)]
pub(crate) struct SlidingWindow {
    limit: usize,
    span: Duration,
    events: VecDeque<Instant>,
}

impl SlidingWindow {
    pub(crate) fn new(limit: usize, span: Duration) -> Self {
        Self { limit, span, events: VecDeque::new() }
    }

    /// Counts an event at `now`; false where it is one too many.
    pub(crate) fn admits(&mut self, now: Instant) -> bool {
        while self.events.front().is_some_and(|event| now.duration_since(*event) >= self.span) {
            self.events.pop_front();
        }
        if self.events.len() >= self.limit {
            return false;
        }
        self.events.push_back(now);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_span_of_a_second_holds_more_than_the_limit() {
        let start = Instant::now();
        let mut window = SlidingWindow::new(2, Duration::from_secs(1));
        let admitted: Vec<bool> = [0, 900, 950, 1_000, 1_100, 1_900]
            .map(|after_ms| window.admits(start + Duration::from_millis(after_ms)))
            .into();
        assert_eq!(admitted, [true, true, false, true, false, true]);
    }
}
