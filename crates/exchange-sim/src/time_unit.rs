//! Milliseconds or microseconds: a client chooses, and may send either.

/// Times below this are milliseconds: as microseconds it would be 1973, as milliseconds the year 5138.
const FIRST_MICROSECOND_TIME: i64 = 100_000_000_000_000;

/// In which unit a client gets times.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum TimeUnit {
    #[default]
    Milliseconds,
    Microseconds,
}

impl TimeUnit {
    /// Reads what clients ask for, e.g. `MICROSECOND` or `microsecond`.
    pub(crate) fn named(name: &str) -> Option<Self> {
        match name {
            "MILLISECOND" | "millisecond" => Some(Self::Milliseconds),
            "MICROSECOND" | "microsecond" => Some(Self::Microseconds),
            _ => None,
        }
    }

    /// A time in this unit; a part of a millisecond is cut off.
    pub(crate) fn of(self, time_us: i64) -> i64 {
        match self {
            Self::Milliseconds => time_us.div_euclid(1_000),
            Self::Microseconds => time_us,
        }
    }

    /// The last time of a window that ends, exclusively, at `end_us`: `...999` or `...999999`.
    pub(crate) fn last_before(self, end_us: i64) -> i64 {
        self.of(end_us) - 1
    }
}

/// The microseconds of a time that may be in milliseconds.
pub(crate) fn to_us(time: i64) -> i64 {
    if time < FIRST_MICROSECOND_TIME { time.saturating_mul(1_000) } else { time }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn converts_both_ways() {
        assert_eq!(to_us(1_767_225_600_124), 1_767_225_600_124_000);
        assert_eq!(to_us(1_767_225_600_124_567), 1_767_225_600_124_567);
        assert_eq!(TimeUnit::Milliseconds.of(1_767_225_600_124_567), 1_767_225_600_124);
        assert_eq!(TimeUnit::Milliseconds.last_before(1_767_225_660_000_000), 1_767_225_659_999);
        assert_eq!(TimeUnit::Microseconds.last_before(1_767_225_660_000_000), 1_767_225_659_999_999);
    }
}
