//! Pings, and who has answered them.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;
use tokio_tungstenite::tungstenite::Bytes;

/// The pings of one connection that have not been answered.
#[derive(Debug)]
pub(super) struct Heartbeat {
    interval: Duration,
    timeout: Duration,
    next_ping: Instant,
    unanswered: VecDeque<(Bytes, Instant)>,
}

impl Heartbeat {
    pub(super) fn new(interval: Duration, timeout: Duration, now: Instant) -> Self {
        Self { interval, timeout, next_ping: now + interval, unanswered: VecDeque::new() }
    }

    /// When something is to be done next: a ping, or giving up.
    pub(super) fn next_action(&self) -> Instant {
        let gives_up = self.unanswered.front().map(|(_, sent)| *sent + self.timeout);
        gives_up.map_or(self.next_ping, |gives_up| gives_up.min(self.next_ping))
    }

    /// Whether a ping has waited too long for its answer.
    pub(super) fn is_missing(&self, now: Instant) -> bool {
        self.unanswered.front().is_some_and(|(_, sent)| now.duration_since(*sent) >= self.timeout)
    }

    /// Notes that a ping with `payload` is sent at `now`.
    pub(super) fn sent(&mut self, payload: Bytes, now: Instant) {
        self.unanswered.push_back((payload, now));
        self.next_ping = now + self.interval;
    }

    /// A pong came. One that copies the payload of a ping answers it and those before; others count for nothing.
    /// Returns whether it answers one.
    pub(super) fn answered(&mut self, payload: &[u8]) -> bool {
        let answered = self.unanswered.iter().position(|(sent, _)| sent == payload);
        if let Some(at) = answered {
            self.unanswered.drain(..=at);
        }
        answered.is_some()
    }

    /// What has not been answered yet counts from `now` on.
    pub(super) fn excuse(&mut self, now: Instant) {
        self.unanswered.iter_mut().for_each(|(_, sent)| *sent = now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_secs(20);
    const TIMEOUT: Duration = Duration::from_secs(60);

    #[test]
    fn only_a_pong_with_the_pings_payload_keeps_the_connection() {
        let start = Instant::now();
        let mut heartbeat = Heartbeat::new(INTERVAL, TIMEOUT, start);
        assert_eq!(heartbeat.next_action(), start + INTERVAL);
        heartbeat.sent(Bytes::from("1"), start + INTERVAL);
        assert!(!heartbeat.answered(b"something else"));
        assert!(!heartbeat.is_missing(start + INTERVAL + TIMEOUT - Duration::from_millis(1)));
        assert!(heartbeat.is_missing(start + INTERVAL + TIMEOUT));
        assert!(heartbeat.answered(b"1"));
        assert!(!heartbeat.is_missing(start + INTERVAL + TIMEOUT));
    }

    #[test]
    fn an_answer_covers_the_pings_before_it() {
        let start = Instant::now();
        let mut heartbeat = Heartbeat::new(INTERVAL, TIMEOUT, start);
        heartbeat.sent(Bytes::from("1"), start);
        heartbeat.sent(Bytes::from("2"), start + INTERVAL);
        assert!(heartbeat.answered(b"2"));
        assert!(!heartbeat.is_missing(start + 10 * TIMEOUT));
    }

    #[test]
    fn an_excused_ping_gets_its_full_time_again() {
        let start = Instant::now();
        let mut heartbeat = Heartbeat::new(INTERVAL, TIMEOUT, start);
        heartbeat.sent(Bytes::from("1"), start);
        heartbeat.excuse(start + TIMEOUT);
        assert!(!heartbeat.is_missing(start + TIMEOUT));
        assert!(heartbeat.is_missing(start + 2 * TIMEOUT));
    }
}
