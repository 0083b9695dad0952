//! What is done about a stream that has gone silent: first it is subscribed again, then its
//! connection is replaced, and each time the patience grows. Pure.

use std::time::Duration;

use tokio::time::Instant;

/// Patience doubles with each measure up to this many times.
const DOUBLINGS: u32 = 5;

/// What to do about a stream now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Measure {
    /// It is no more silent than it may be.
    None,
    /// Subscribe it again on its connection.
    SubscribeAgain,
    /// Open another connection in place of its own.
    ReplaceConnection,
}

/// The measures taken since the stream's last trade.
#[derive(Debug, Default)]
pub(crate) struct StreamWatch {
    taken: u32,
    last_taken: Option<Instant>,
}

impl StreamWatch {
    /// Judges a stream that was subscribed at `subscribed` and has been heard at `last_trade`, where a
    /// silence of `allowed` is its habit.
    pub(crate) fn judge(
        &mut self,
        last_trade: Option<Instant>,
        subscribed: Instant,
        allowed: Duration,
        now: Instant,
    ) -> Measure {
        if last_trade > self.last_taken {
            *self = Self::default();
        }
        let quiet_since = [last_trade, self.last_taken].into_iter().flatten().fold(subscribed, Instant::max);
        let patience = allowed.saturating_mul(1 << self.taken.min(DOUBLINGS));
        if now.saturating_duration_since(quiet_since) <= patience {
            return Measure::None;
        }
        self.last_taken = Some(now);
        self.taken += 1;
        if self.taken % 2 == 1 { Measure::SubscribeAgain } else { Measure::ReplaceConnection }
    }

    /// Whether measures were taken and no trade has come since.
    pub(crate) const fn is_silent(&self) -> bool {
        self.taken > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALLOWED: Duration = Duration::from_secs(20);

    /// The seconds after the subscription at which a stream that never delivers is acted upon.
    fn measures_for_a_dead_stream(seconds: u64) -> Vec<(u64, Measure)> {
        let subscribed = Instant::now();
        let mut watch = StreamWatch::default();
        (0..seconds)
            .map(|second| {
                (second, watch.judge(None, subscribed, ALLOWED, subscribed + Duration::from_secs(second)))
            })
            .filter(|(_, measure)| *measure != Measure::None)
            .collect()
    }

    #[test]
    fn a_silent_stream_is_subscribed_again_then_its_connection_replaced_ever_more_seldom() {
        assert_eq!(
            measures_for_a_dead_stream(400),
            [
                (21, Measure::SubscribeAgain),
                (62, Measure::ReplaceConnection),
                (143, Measure::SubscribeAgain),
                (304, Measure::ReplaceConnection),
            ]
        );
    }

    #[test]
    fn measures_stay_possible_for_ever() {
        let day = measures_for_a_dead_stream(86_400);
        let gaps: Vec<u64> = day.windows(2).map(|pair| pair[1].0 - pair[0].0).collect();
        assert_eq!(gaps.iter().max(), Some(&641));
    }

    #[test]
    fn a_trade_ends_the_silence() {
        let start = Instant::now();
        let mut watch = StreamWatch::default();
        let later = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(watch.judge(None, start, ALLOWED, later(21)), Measure::SubscribeAgain);
        assert!(watch.is_silent());
        assert_eq!(watch.judge(Some(later(30)), start, ALLOWED, later(31)), Measure::None);
        assert!(!watch.is_silent());
        assert_eq!(watch.judge(Some(later(30)), start, ALLOWED, later(51)), Measure::SubscribeAgain);
    }

    #[test]
    fn a_new_subscription_gets_the_whole_patience() {
        let start = Instant::now();
        let mut watch = StreamWatch::default();
        let subscribed = start + Duration::from_secs(3_600);
        let now = subscribed + Duration::from_secs(19);
        assert_eq!(watch.judge(Some(start), subscribed, ALLOWED, now), Measure::None);
    }
}
