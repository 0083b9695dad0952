//! The market's clock: which time it is on the simulated exchange.

use std::num::NonZeroU32;
use std::sync::OnceLock;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

const MINUTE_US: i64 = 60_000_000;

/// How fast the log is played.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speed {
    /// As fast as the subscribers take it; nothing is dropped.
    AsFastAsRead,
    /// This many times the recorded speed, whether anybody reads or not.
    Times(NonZeroU32),
}

impl Speed {
    /// `0` is as fast as the subscribers take it, anything else a multiple of the recorded speed.
    #[must_use]
    pub fn from_factor(factor: u32) -> Self {
        NonZeroU32::new(factor).map_or(Self::AsFastAsRead, Self::Times)
    }
}

/// Which times the trades are given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// All times are shifted by whole minutes, so that playing begins in the current minute.
    Now,
    /// The times of the log.
    Recorded,
}

/// Maps the time that passes to the time of the market, once playing has begun.
#[derive(Debug)]
pub(crate) struct Clock {
    speed: Speed,
    start: Start,
    log_start_us: i64,
    /// How much of the log lies before the beginning.
    past_us: i64,
    beginning: OnceLock<Beginning>,
}

#[derive(Clone, Copy, Debug)]
struct Beginning {
    shift_us: i64,
    at: Instant,
}

impl Clock {
    /// A clock for logs whose first trade is at `log_start_us`, and of which `past` is over when playing begins.
    pub(crate) fn new(speed: Speed, start: Start, log_start_us: i64, past: Duration) -> Self {
        let past_us = i64::try_from(past.as_micros()).unwrap_or(i64::MAX);
        Self { speed, start, log_start_us, past_us, beginning: OnceLock::new() }
    }

    pub(crate) fn is_as_fast_as_read(&self) -> bool {
        self.speed == Speed::AsFastAsRead
    }

    /// Whether market time is wall-clock time.
    pub(crate) fn follows_wall_clock(&self) -> bool {
        self.start == Start::Now && self.speed == Speed::from_factor(1)
    }

    /// Begins to play, unless that has happened already; says by how much all times are shifted.
    pub(crate) fn begin(&self) -> i64 {
        let beginning = self.beginning.get_or_init(|| {
            let minutes = |time_us: i64| time_us.div_euclid(MINUTE_US);
            let shift_us = match self.start {
                Start::Now => {
                    (minutes(wall_now_us()) - minutes(self.log_start_us + self.past_us)) * MINUTE_US
                }
                Start::Recorded => 0,
            };
            Beginning { shift_us, at: Instant::now() }
        });
        beginning.shift_us
    }

    /// By how much all times are shifted, once playing has begun.
    pub(crate) fn shift_us(&self) -> Option<i64> {
        self.beginning.get().map(|beginning| beginning.shift_us)
    }

    /// The time of the market; `None` before playing begins, and where only the readers move it.
    pub(crate) fn now_us(&self) -> Option<i64> {
        let beginning = self.beginning.get()?;
        let Speed::Times(factor) = self.speed else { return None };
        if self.follows_wall_clock() {
            return Some(wall_now_us());
        }
        let elapsed_us = i64::try_from(beginning.at.elapsed().as_micros()).unwrap_or(i64::MAX);
        let played_us = elapsed_us.saturating_mul(i64::from(factor.get()));
        Some(self.start_us().saturating_add(played_us))
    }

    /// When playing begins, in the time of the market.
    pub(crate) fn start_us(&self) -> i64 {
        self.log_start_us + self.past_us + self.shift_us().unwrap_or(0)
    }

    /// How long to wait until the market has moved on by `market_us`.
    pub(crate) fn waiting_time(&self, market_us: i64) -> Duration {
        let factor = match self.speed {
            Speed::Times(factor) => u64::from(factor.get()),
            Speed::AsFastAsRead => 1,
        };
        Duration::from_micros(u64::try_from(market_us).unwrap_or(0) / factor)
    }
}

/// Microseconds since 1970 by this machine's clock.
pub(crate) fn wall_now_us() -> i64 {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since_1970.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG_START_US: i64 = 1_741_046_401_271_497;

    #[test]
    fn recorded_times_stay_and_the_clock_begins_with_the_log() {
        let clock = Clock::new(Speed::from_factor(10), Start::Recorded, LOG_START_US, Duration::ZERO);
        assert_eq!((clock.now_us(), clock.shift_us()), (None, None));
        assert_eq!(clock.begin(), 0);
        let first_us = clock.now_us().unwrap();
        assert!(first_us >= LOG_START_US);
        assert!(clock.now_us().unwrap() >= first_us);
    }

    #[test]
    fn now_shifts_by_whole_minutes_into_the_current_one() {
        let clock = Clock::new(Speed::from_factor(1), Start::Now, LOG_START_US, Duration::ZERO);
        let shift_us = clock.begin();
        assert_eq!(shift_us % MINUTE_US, 0);
        assert_eq!(clock.begin(), shift_us);
        assert!((wall_now_us() - clock.start_us()).abs() < 2 * MINUTE_US);
        assert!(clock.follows_wall_clock());
    }

    #[test]
    fn the_past_lies_before_the_beginning() {
        let past = Duration::from_secs(86_400);
        let recorded = Clock::new(Speed::from_factor(10), Start::Recorded, LOG_START_US, past);
        recorded.begin();
        assert_eq!(recorded.start_us(), LOG_START_US + 86_400_000_000);
        assert!(recorded.now_us().unwrap() >= recorded.start_us());
        let now = Clock::new(Speed::from_factor(1), Start::Now, LOG_START_US, past);
        let log_start_us = LOG_START_US + now.begin();
        assert!((wall_now_us() - log_start_us - 86_400_000_000).abs() < 2 * MINUTE_US);
    }

    #[test]
    fn a_faster_market_is_waited_for_a_shorter_time() {
        let clock = Clock::new(Speed::from_factor(10), Start::Recorded, LOG_START_US, Duration::ZERO);
        assert_eq!(clock.waiting_time(1_000_000), Duration::from_millis(100));
        assert_eq!(clock.waiting_time(-5), Duration::ZERO);
    }

    #[test]
    fn only_readers_move_a_market_without_speed() {
        let clock = Clock::new(Speed::from_factor(0), Start::Recorded, LOG_START_US, Duration::ZERO);
        clock.begin();
        assert!(clock.is_as_fast_as_read());
        assert_eq!(clock.now_us(), None);
    }
}
