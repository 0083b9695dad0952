//! A restart of the ids: the exchange numbers a symbol's trades anew, after a testnet was wiped or a symbol listed again.
//!
//! Ids then repeat, and nothing of the new trades may be joined to the old ones. The evidence is in their times: an id at
//! or below held ones whose trade is later than theirs. One such record may be a damaged one and is only set aside; from the
//! tenth within a day on the restart is proven, and everything later is set aside too, also where its id lies above all
//! that are held, until a person begins a new series.

/// No exchange is believed to step further back in time from a trade to one with a higher id: microseconds. None does so
/// at all in our recordings; a restart takes longer.
pub const LARGEST_INVERSION_US: i64 = 10_000_000;

/// So many trades that contradict the numbering prove that it has begun anew.
pub const RESTART_PROOF: i64 = 10;

/// Contradictions further apart than this, in the trades' own times, have nothing to do with each other.
const EVIDENCE_SPAN_US: i64 = 86_400_000_000;

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
        match before {
            Some(before)
                if before.is_proven()
                    || time_us.abs_diff(before.since_us) <= EVIDENCE_SPAN_US.unsigned_abs() =>
            {
                Self { since_us: before.since_us.min(time_us), trades: before.trades.saturating_add(1) }
            }
            _ => Self { since_us: time_us, trades: 1 },
        }
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
    fn ten_trades_within_a_day_prove_it_and_the_earliest_counts() {
        let mut evidence = None;
        for time_us in [50, 40, 60, 70, 80, 90, 100, 110, 120] {
            evidence = Some(IdRestart::with(evidence, time_us));
            assert!(!evidence.unwrap().is_proven());
        }
        let proven = IdRestart::with(evidence, 130);
        assert_eq!((proven, proven.is_proven()), (IdRestart { since_us: 40, trades: 10 }, true));
        let later = IdRestart::with(Some(proven), 130 + 2 * EVIDENCE_SPAN_US);
        assert_eq!(later, IdRestart { since_us: 40, trades: 11 });
    }

    #[test]
    fn what_lies_further_apart_is_evidence_of_nothing_together() {
        let first = IdRestart { since_us: 0, trades: 9 };
        let apart = IdRestart::with(Some(first), EVIDENCE_SPAN_US + 1);
        assert_eq!(apart, IdRestart { since_us: EVIDENCE_SPAN_US + 1, trades: 1 });
    }
}
