//! How long a producer waits for what. One place, so that tests can make a day short.

use std::time::Duration;

use super::rhythm::SilenceBounds;

/// The waits of a producer. The default is meant for real exchanges.
#[derive(Clone, Copy, Debug)]
pub struct Timings {
    /// The shortest wait before something that failed is tried again.
    pub retry_shortest: Duration,
    /// The longest such wait, unless the exchange asks for more.
    pub retry_longest: Duration,
    /// How long the opening of a connection and the answer to a request may take.
    pub answer_timeout: Duration,
    /// A connection is replaced when it is so old; the exchange cuts it at 24 hours.
    pub rotate_after: Duration,
    /// Two connections are both read at least so long before the older one is closed.
    pub overlap_at_least: Duration,
    /// The older one is closed, or the newer one given up, after so long.
    pub overlap_at_most: Duration,
    /// The bounds of the silence that a stream's own rhythm allows.
    pub silence: SilenceBounds,
    /// A connection without any frame for so long is dead: the exchange pings every 20 s.
    pub connection_silence: Duration,
    /// How often the streams are looked at.
    pub watch_interval: Duration,
    /// How often the exchange is asked which symbols it lists and trades.
    pub listing_interval: Duration,
    /// How long the drain at the end waits for the broker.
    pub flush_grace: Duration,
}

impl Default for Timings {
    fn default() -> Self {
        let timings = Self {
            retry_shortest: Duration::from_millis(250),
            retry_longest: Duration::from_secs(30),
            answer_timeout: Duration::from_secs(10),
            rotate_after: Duration::from_secs(23 * 3_600),
            overlap_at_least: Duration::from_secs(5),
            overlap_at_most: Duration::from_secs(60),
            silence: SilenceBounds { floor: Duration::from_secs(20), ceiling: Duration::from_secs(600) },
            connection_silence: Duration::from_secs(60),
            watch_interval: Duration::from_secs(1),
            listing_interval: Duration::from_secs(300),
            // Below the 30 s that Kubernetes gives a pod.
            flush_grace: Duration::from_secs(20),
        };
        #[cfg(feature = "test-switches")]
        let timings = crate::test_switches::shorten_produce(timings);
        timings
    }
}
