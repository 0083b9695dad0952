//! Shorter waits, in programs that were built for the end to end tests (feature `test-switches`): a minute between two
//! probes and a day between two rotations are more than a test can wait for.

use std::time::Duration;

use serde::Deserialize;

use crate::produce::Timings;
use crate::repair::RepairTimings;

/// The environment variable that holds the waits, as JSON; see [`Waits`].
const VARIABLE: &str = "CRYPTOPIPELINE_TEST_WAITS";

/// Milliseconds; what is absent stays as it is.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Waits {
    probe_interval_ms: Option<u64>,
    probe_distance_ms: Option<u64>,
    void_age_ms: Option<u64>,
    check_grace_ms: Option<u64>,
    check_interval_ms: Option<u64>,
    rotate_after_ms: Option<u64>,
    overlap_at_least_ms: Option<u64>,
    retry_longest_ms: Option<u64>,
    shortest_silence_ms: Option<u64>,
    longest_silence_ms: Option<u64>,
    listing_interval_ms: Option<u64>,
    shortest_ban_ms: Option<u64>,
}

pub(crate) fn shorten_ban(shortest: Duration) -> Duration {
    or(Waits::wanted().shortest_ban_ms, shortest)
}

pub(crate) fn shorten_repair(timings: RepairTimings) -> RepairTimings {
    let waits = Waits::wanted();
    let mut verify = timings.verify;
    verify.grace = or(waits.check_grace_ms, verify.grace);
    verify.newest_interval = or(waits.check_interval_ms, verify.newest_interval);
    verify.second_look = or(waits.check_interval_ms, verify.second_look);
    RepairTimings {
        verify,
        probe_interval: or(waits.probe_interval_ms, timings.probe_interval),
        probe_distance: or(waits.probe_distance_ms, timings.probe_distance),
        void_age: or(waits.void_age_ms, timings.void_age),
        ..timings
    }
}

pub(crate) fn shorten_produce(timings: Timings) -> Timings {
    let waits = Waits::wanted();
    let mut timings = Timings {
        rotate_after: or(waits.rotate_after_ms, timings.rotate_after),
        overlap_at_least: or(waits.overlap_at_least_ms, timings.overlap_at_least),
        retry_longest: or(waits.retry_longest_ms, timings.retry_longest),
        listing_interval: or(waits.listing_interval_ms, timings.listing_interval),
        ..timings
    };
    timings.silence.floor = or(waits.shortest_silence_ms, timings.silence.floor);
    timings.silence.ceiling = or(waits.longest_silence_ms, timings.silence.ceiling);
    timings
}

impl Waits {
    fn wanted() -> Self {
        let Ok(text) = std::env::var(VARIABLE) else { return Self::default() };
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{VARIABLE}: {error}"))
    }
}

fn or(wanted_ms: Option<u64>, usual: Duration) -> Duration {
    wanted_ms.map_or(usual, Duration::from_millis)
}
