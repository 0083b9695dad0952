//! A restart of the ids: the exchange numbers a symbol's trades anew, after a testnet was wiped or a symbol listed again.
//!
//! Ids then repeat, and nothing of the new trades may be joined to the old ones. The evidence is in their times: an id at
//! or below held ones whose trade is later than theirs. One such record may be a damaged one and is only set aside; from the
//! tenth on the restart is proven, and everything later is set aside too, also where its id lies above all
//! that are held, until a person begins a new series.

/// No exchange is believed to step further back in time from a trade to one with a higher id: microseconds. None does so
/// at all in our recordings; a restart takes longer.
pub const LARGEST_INVERSION_US: i64 = 10_000_000;

/// So many trades that contradict the numbering prove that it has begun anew.
pub const RESTART_PROOF: i64 = 10;

/// What speaks for it that ids began anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdRestart {
    /// The time of the earliest trade that contradicts the numbering: microseconds since 1970, UTC.
    pub since_us: i64,
    /// How many trades do.
    pub trades: i64,
}

impl IdRestart {
    /// The evidence so far, and one more trade of `time_us` that contradicts the numbering.
    #[must_use]
    pub fn with(before: Option<Self>, time_us: i64) -> Self {
        let before = before.unwrap_or(Self { since_us: time_us, trades: 0 });
        Self { since_us: before.since_us.min(time_us), trades: before.trades.saturating_add(1) }
    }

    /// Whether it is no damaged record that was seen.
    #[must_use]
    pub const fn is_proven(&self) -> bool {
        self.trades >= RESTART_PROOF
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_trades_prove_it_and_the_earliest_counts() {
        let mut evidence = None;
        for time_us in [50, 40, 60, 70, 80, 90, 100, 110, 120] {
            evidence = Some(IdRestart::with(evidence, time_us));
            assert!(!evidence.unwrap().is_proven());
        }
        let proven = IdRestart::with(evidence, 130);
        assert_eq!((proven, proven.is_proven()), (IdRestart { since_us: 40, trades: 10 }, true));
    }
}
