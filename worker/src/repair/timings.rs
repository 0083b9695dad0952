//! How long a repairer waits for what.

use std::time::Duration;

use crate::verify::VerifyTimings;

/// The waiting times of a repairer. Tests make them shorter.
#[derive(Clone, Copy, Debug)]
pub struct RepairTimings {
    /// Between two looks at a ledger in which nothing is missing.
    pub look_interval: Duration,
    /// Between two questions for the exchange's newest ids.
    pub probe_interval: Duration,
    /// How far apart two probes lie at least, by the exchange's clock: what its answer lagged behind the first time must
    /// be in it the second time.
    pub probe_distance: Duration,
    /// How old a hole must be before the exchange's word that its ids do not exist is believed.
    pub void_age: Duration,
    /// How long a broker or a ledger may take to show what was published, before it is looked for anew.
    pub confirmation: Duration,
    /// Of the comparison of candles.
    pub verify: VerifyTimings,
}

impl Default for RepairTimings {
    fn default() -> Self {
        let timings = Self {
            look_interval: Duration::from_secs(1),
            probe_interval: Duration::from_secs(60),
            probe_distance: Duration::from_secs(30),
            void_age: Duration::from_secs(600),
            confirmation: Duration::from_secs(30),
            verify: VerifyTimings::default(),
        };
        #[cfg(feature = "test-switches")]
        let timings = crate::test_switches::shorten_repair(timings);
        timings
    }
}
