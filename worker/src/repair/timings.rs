//! How long a repairer waits for what.

use std::time::Duration;

/// The waiting times of a repairer. Tests make them shorter.
#[derive(Clone, Copy, Debug)]
pub struct RepairTimings {
    /// Between two looks at a ledger in which nothing is missing.
    pub look_interval: Duration,
    /// Between two questions for the exchange's newest ids.
    pub probe_interval: Duration,
    /// How old a hole must be before the exchange's word that its ids do not exist is believed.
    pub void_age: Duration,
    /// How long a broker or a ledger may take to show what was published, before it is looked for anew.
    pub confirmation: Duration,
}

impl Default for RepairTimings {
    fn default() -> Self {
        Self {
            look_interval: Duration::from_secs(1),
            probe_interval: Duration::from_secs(60),
            void_age: Duration::from_secs(600),
            confirmation: Duration::from_secs(30),
        }
    }
}
