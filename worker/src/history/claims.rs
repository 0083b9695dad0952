//! Missing ids that daily files are about to bring: asking the exchange for them one by one would be slower, and would put
//! them on the topic.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::{Mutex, MutexGuard, PoisonError};

use market::Market;
use store::Hole;

/// What history has claimed, by market. Shared with the repairer.
#[derive(Debug, Default)]
pub(crate) struct HistoryClaims(Mutex<BTreeMap<Market, RangeInclusive<i64>>>);

impl HistoryClaims {
    /// These ids come from files, if they are missing. No ids release the market.
    pub(super) fn claim(&self, market: &Market, ids: RangeInclusive<i64>) {
        if ids.is_empty() {
            self.release(market);
        } else {
            self.inner().insert(market.clone(), ids);
        }
    }

    /// Files have brought what they could up to `last_id`.
    pub(super) fn pass(&self, market: &Market, last_id: i64) {
        let mut claims = self.inner();
        let Some(ids) = claims.get(market) else { return };
        let rest = (*ids.start()).max(last_id.saturating_add(1))..=*ids.end();
        if rest.is_empty() {
            claims.remove(market);
        } else {
            claims.insert(market.clone(), rest);
        }
    }

    /// Files bring nothing more.
    pub(super) fn release(&self, market: &Market) {
        self.inner().remove(market);
    }

    /// How many ids are claimed.
    pub(super) fn count(&self, market: &Market) -> u64 {
        let claims = self.inner();
        claims.get(market).map_or(0, |ids| ids.end().abs_diff(*ids.start()) + 1)
    }

    /// The parts of `hole` that are not claimed: one before, one behind.
    pub(crate) fn unclaimed(&self, market: &Market, hole: Hole) -> impl Iterator<Item = Hole> + use<> {
        let claimed = self.inner().get(market).cloned();
        let parts = match claimed {
            None => [Some(hole), None],
            Some(ids) => [
                Some(Hole { last_id: hole.last_id.min(ids.start().saturating_sub(1)), ..hole }),
                Some(Hole { first_id: hole.first_id.max(ids.end().saturating_add(1)), ..hole }),
            ],
        };
        parts.into_iter().flatten().filter(|part| part.first_id <= part.last_id)
    }

    fn inner(&self) -> MutexGuard<'_, BTreeMap<Market, RangeInclusive<i64>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unclaimed(claims: &HistoryClaims, first_id: i64, last_id: i64) -> Vec<(i64, i64)> {
        let holes = claims.unclaimed(&Market::new("binance", "BTCUSDT"), Hole { first_id, last_id });
        holes.map(|hole| (hole.first_id, hole.last_id)).collect()
    }

    #[test]
    fn what_lies_before_and_behind_a_claim_is_left_to_others() {
        let (claims, market) = (HistoryClaims::default(), Market::new("binance", "BTCUSDT"));
        assert_eq!(unclaimed(&claims, 1, 99), [(1, 99)]);
        claims.claim(&market, 20..=60);
        claims.claim(&Market::new("binance", "ETHUSDT"), 1..=99);
        assert_eq!(unclaimed(&claims, 1, 99), [(1, 19), (61, 99)]);
        assert_eq!(unclaimed(&claims, 1, 20), [(1, 19)]);
        assert_eq!(unclaimed(&claims, 60, 70), [(61, 70)]);
        assert_eq!(unclaimed(&claims, 20, 60), []);
        assert_eq!(unclaimed(&claims, 1, 5), [(1, 5)]);
        assert_eq!(unclaimed(&claims, 70, 75), [(70, 75)]);
    }

    #[test]
    fn a_claim_shrinks_as_files_are_loaded_and_never_grows() {
        let (claims, market) = (HistoryClaims::default(), Market::new("binance", "BTCUSDT"));
        claims.claim(&market, 20..=60);
        assert_eq!(claims.count(&market), 41);
        claims.pass(&market, 30);
        claims.pass(&market, 10);
        assert_eq!((claims.count(&market), unclaimed(&claims, 1, 99)), (30, vec![(1, 30), (61, 99)]));
        claims.pass(&market, 60);
        assert_eq!((claims.count(&market), unclaimed(&claims, 1, 99)), (0, vec![(1, 99)]));
        claims.claim(&market, 1..=2);
        let first_id = 5;
        claims.claim(&market, first_id..=first_id - 1);
        assert_eq!(claims.count(&market), 0);
    }
}
