//! Candle intervals: lengths that divide a day, aligned to midnight UTC.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

const MICROSECONDS: i64 = 1_000_000;
const DAY_SECONDS: i32 = 86_400;

/// A candle length in whole seconds that divides a day, so that windows never straddle midnight UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Interval {
    seconds: i32,
}

/// Why a text or a number of seconds is no candle interval.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("interval {0:?} is not a length that divides a day, such as 1s, 1m, 5m, 1h, 1d")]
pub struct InvalidInterval(String);

impl Interval {
    /// The interval of `seconds`.
    ///
    /// # Errors
    /// [`InvalidInterval`] where it is not positive or does not divide 86,400.
    pub fn from_seconds(seconds: i32) -> Result<Self, InvalidInterval> {
        if seconds > 0 && DAY_SECONDS % seconds == 0 {
            Ok(Self { seconds })
        } else {
            Err(InvalidInterval(format!("{seconds}s")))
        }
    }

    /// The length in seconds.
    #[must_use]
    pub const fn seconds(self) -> i32 {
        self.seconds
    }

    /// The length in microseconds.
    #[must_use]
    pub const fn length_us(self) -> i64 {
        self.seconds as i64 * MICROSECONDS
    }

    /// The open time of the window that holds `time_us`: microseconds since 1970, UTC.
    #[must_use]
    pub const fn open_time_us(self, time_us: i64) -> i64 {
        time_us - time_us.rem_euclid(self.length_us())
    }

    /// Whether windows of `self` are made of whole windows of `finer`.
    #[must_use]
    pub const fn is_multiple_of(self, finer: Self) -> bool {
        self.seconds % finer.seconds == 0
    }

    /// The longest interval whose windows make up the windows of every one given; one second for none.
    #[must_use]
    pub fn greatest_common(intervals: &[Self]) -> Self {
        let seconds =
            intervals.iter().fold(0, |common, interval| greatest_common_divisor(common, interval.seconds));
        Self { seconds: seconds.max(1) }
    }

    /// The shortest interval whose windows are made of whole windows of every one given; it divides a day too. One second
    /// for none.
    #[must_use]
    pub fn least_common_multiple(intervals: &[Self]) -> Self {
        let common = |multiple: i32, interval: &Self| {
            multiple / greatest_common_divisor(multiple, interval.seconds) * interval.seconds
        };
        Self { seconds: intervals.iter().fold(1, common) }
    }
}

const fn greatest_common_divisor(mut left: i32, mut right: i32) -> i32 {
    while right != 0 {
        (left, right) = (right, left % right);
    }
    left
}

impl fmt::Display for Interval {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (count, unit) = match self.seconds {
            seconds if seconds % DAY_SECONDS == 0 => (seconds / DAY_SECONDS, 'd'),
            seconds if seconds % 3_600 == 0 => (seconds / 3_600, 'h'),
            seconds if seconds % 60 == 0 => (seconds / 60, 'm'),
            seconds => (seconds, 's'),
        };
        write!(formatter, "{count}{unit}")
    }
}

impl FromStr for Interval {
    type Err = InvalidInterval;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = || InvalidInterval(text.to_owned());
        let split = text.len().checked_sub(1).filter(|at| text.is_char_boundary(*at)).ok_or_else(invalid)?;
        let (count, unit) = text.split_at(split);
        if !count.bytes().all(|digit| digit.is_ascii_digit()) {
            return Err(invalid());
        }
        let count: i32 = count.parse().map_err(|_| invalid())?;
        let unit_seconds = match unit {
            "s" => 1,
            "m" => 60,
            "h" => 3_600,
            "d" => DAY_SECONDS,
            _ => return Err(invalid()),
        };
        count
            .checked_mul(unit_seconds)
            .and_then(|seconds| Self::from_seconds(seconds).ok())
            .ok_or_else(invalid)
    }
}

impl Serialize for Interval {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Interval {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_lengths_agree() {
        for (name, seconds) in
            [("1s", 1), ("15s", 15), ("1m", 60), ("5m", 300), ("4h", 14_400), ("1d", 86_400)]
        {
            let interval: Interval = name.parse().unwrap();
            assert_eq!((interval.seconds(), interval.to_string().as_str()), (seconds, name));
        }
        assert_eq!("60s".parse::<Interval>().unwrap().to_string(), "1m");
    }

    #[test]
    fn refuses_lengths_that_do_not_divide_a_day() {
        for text in ["7m", "0m", "-1m", "2d", "1w", "m", "", "1", "5 m", "99999999999d", "1µ", "+1m"] {
            assert!(text.parse::<Interval>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn windows_begin_at_their_multiple_also_before_1970() {
        let minute: Interval = "1m".parse().unwrap();
        assert_eq!(minute.open_time_us(59_999_999), 0);
        assert_eq!(minute.open_time_us(60_000_000), 60_000_000);
        assert_eq!(minute.open_time_us(-1), -60_000_000);
    }

    #[test]
    fn the_common_interval_divides_all() {
        let intervals: Vec<Interval> = ["5m", "2m", "1h"].iter().map(|text| text.parse().unwrap()).collect();
        assert_eq!(Interval::greatest_common(&intervals).to_string(), "1m");
        assert_eq!(Interval::greatest_common(&[]).to_string(), "1s");
    }

    #[test]
    fn the_common_multiple_is_made_of_whole_windows_of_all() {
        let multiple_of = |texts: &[&str]| {
            let intervals: Vec<Interval> = texts.iter().map(|text| text.parse().unwrap()).collect();
            Interval::least_common_multiple(&intervals).to_string()
        };
        assert_eq!(multiple_of(&["1m", "5m", "1h"]), "1h");
        // Neither divides the other.
        assert_eq!(multiple_of(&["30m", "45m"]), "90m");
        assert_eq!(multiple_of(&["27s", "1d"]), "1d");
        assert_eq!(multiple_of(&[]), "1s");
    }
}
