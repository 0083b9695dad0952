//! How long the comparison of candles waits for what.

use std::time::Duration;

/// The waiting times of a comparison. Tests make them shorter.
#[derive(Clone, Copy, Debug)]
pub struct VerifyTimings {
    /// How long a window must be over, by the exchange's clock: its candle may be late.
    pub grace: Duration,
    /// Between two looks at the newest windows of a market and interval, and at which there are.
    pub newest_interval: Duration,
    /// Between the end of a look at all older windows and the beginning of the next.
    pub older_pause: Duration,
    /// Between seeing a difference and believing it: the exchange is asked again then.
    pub second_look: Duration,
    /// Between a verdict that something differs and the next comparison: the exchange may mend its candle.
    pub differing_again: Duration,
}

impl Default for VerifyTimings {
    fn default() -> Self {
        Self {
            grace: Duration::from_secs(60),
            newest_interval: Duration::from_secs(30),
            older_pause: Duration::from_secs(3_600),
            second_look: Duration::from_secs(60),
            differing_again: Duration::from_hours(6),
        }
    }
}
