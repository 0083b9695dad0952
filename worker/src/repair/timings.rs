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
    /// Between two looks at which daily files there are.
    pub history_plan_interval: Duration,
    /// After a daily file could not be had or used the first time; doubled each time.
    pub file_retry: Duration,
    /// Between two tries of such a file at most.
    pub longest_file_retry: Duration,
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
            history_plan_interval: Duration::from_secs(1_800),
            file_retry: Duration::from_secs(60),
            longest_file_retry: Duration::from_secs(3_600),
        };
        #[cfg(feature = "test-switches")]
        let timings = crate::test_switches::shorten_repair(timings);
        timings
    }
}
