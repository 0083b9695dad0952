//! Holes beyond the newest ones, which a ledger names. They are looked through page by page, from the newest on, when
//! those before have been asked for in vain: holes that nobody can fill must not hide older ones that can be. Pure: time is
//! an argument.

use std::collections::BTreeMap;
use std::time::Duration;

use market::Market;
use store::{Hole, MarketLedger};
use tokio::time::Instant;

/// Holes of a market in one page at most.
pub(super) const PAGE: usize = 500;
/// Between two times that a market's holes are looked through.
const REST: Duration = Duration::from_secs(600);

/// How far the older holes of each market have been looked through.
#[derive(Debug, Default)]
pub(super) struct Backlog {
    markets: BTreeMap<Market, Place>,
}

#[derive(Clone, Copy, Debug)]
enum Place {
    /// The page below this id has its turn.
    Below(i64),
    /// All of them were looked through.
    RestingUntil(Instant),
}

impl Backlog {
    /// The id below which the page lies that has its turn at `now`, if the market has more holes than its ledger names.
    pub(super) fn page_below(&mut self, ledger: &MarketLedger, now: Instant) -> Option<i64> {
        let named: i64 = ledger.holes.iter().map(|hole| hole.count()).sum();
        let Some(lowest) = ledger.holes.last().filter(|_| named < ledger.missing) else {
            // Whatever comes to be missing later begins with the newest again.
            self.markets.remove(&ledger.market);
            return None;
        };
        match self.markets.get(&ledger.market) {
            Some(Place::RestingUntil(until)) if now < *until => None,
            Some(Place::Below(id)) => Some(lowest.first_id.min(*id)),
            _ => {
                self.markets.insert(ledger.market.clone(), Place::Below(lowest.first_id));
                Some(lowest.first_id)
            }
        }
    }

    /// The page was `holes`, the newest first, and all of it has been asked for: the next one has its turn.
    pub(super) fn pass(&mut self, market: &Market, holes: &[Hole], now: Instant) {
        let place = match holes.last() {
            Some(lowest) if holes.len() == PAGE => Place::Below(lowest.first_id),
            _ => Place::RestingUntil(now + REST),
        };
        self.markets.insert(market.clone(), place);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of a market with so many holes of one id, one at every tenth id from 0 on, of which twenty are named.
    fn ledger(holes: i64) -> MarketLedger {
        let named =
            (0..holes).rev().take(20).map(|number| Hole { first_id: number * 10, last_id: number * 10 });
        MarketLedger {
            missing: holes,
            holes: named.collect(),
            ..MarketLedger::of(Market::new("binance", "BTCUSDT"))
        }
    }

    fn page(below: i64) -> Vec<Hole> {
        let older = (0..below / 10).rev().take(PAGE);
        older.map(|number| Hole { first_id: number * 10, last_id: number * 10 }).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn older_holes_have_their_turn_page_by_page_and_then_rest() {
        let (now, ledger, mut backlog) = (Instant::now(), ledger(1_000), Backlog::default());
        for below in [9_800, 4_800] {
            assert_eq!(backlog.page_below(&ledger, now), Some(below));
            assert_eq!(backlog.page_below(&ledger, now), Some(below), "until all of it has been asked for");
            backlog.pass(&ledger.market, &page(below), now);
        }
        assert_eq!(backlog.page_below(&ledger, now), None);
        assert_eq!(backlog.page_below(&ledger, now + REST), Some(9_800), "from the newest on");
    }

    #[test]
    fn a_ledger_that_names_all_its_holes_has_no_backlog() {
        let now = Instant::now();
        assert_eq!(Backlog::default().page_below(&ledger(20), now), None);
        assert_eq!(Backlog::default().page_below(&ledger(0), now), None);
    }

    #[tokio::test(start_paused = true)]
    async fn once_all_are_filled_the_next_ones_begin_with_the_newest() {
        let (now, many, mut backlog) = (Instant::now(), ledger(1_000), Backlog::default());
        backlog.page_below(&many, now);
        backlog.pass(&many.market, &page(9_800), now);
        assert_eq!(backlog.page_below(&ledger(20), now), None);
        assert_eq!(backlog.page_below(&many, now), Some(9_800));
    }
}
