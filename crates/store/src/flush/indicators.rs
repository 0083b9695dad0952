//! The part of a flush that says something of single trades. What it needs of the stored ones is read under the lock of
//! their market: nothing at all while trades come in the order of their ids, since the newest are remembered.

use std::collections::BTreeMap;

use market::{
    IndicatorPlan, Indicators, LARGEST_INVERSION_US, StoredMarket, Trade, TradeRanges, millisecond_of,
};

use super::{FlushTransaction, Reach};
use crate::error::StoreError;

/// Within it stored trades are looked for first, which is one day or two of the tables.
const NEAR_US: i64 = 3_600_000_000;

/// Trades that are read beside those that are needed: as many as may stand in another order by id than by time.
const READ_BESIDE: usize = if cfg!(test) { 1 } else { 64 };

/// The statements of a flush that are about stored trades.
pub(crate) trait TradeTransaction {
    /// Stored trades of a market by their time. When they were told and received is not stored: both are the trade's time.
    async fn read_trades_at(&mut self, symbol_id: i32, reach: Reach) -> Result<Vec<Trade>, StoreError>;
}

/// What is said of new trades and of those around them. The new ones are by ascending id, `stored` accounts for them
/// already, and they are not written yet.
pub(super) async fn plan_indicators<T: FlushTransaction>(
    transaction: &mut T,
    symbol_id: i32,
    new: &[Trade],
    stored: &mut StoredMarket,
    indicators: &Indicators,
    trades_floor_us: i64,
) -> Result<IndicatorPlan, StoreError> {
    let mut plan = IndicatorPlan::default();
    let Some(first) = new.first().filter(|_| !indicators.are_none()) else { return Ok(plan) };
    let mut remembered = stored.newest_trades.take();
    if let Some(newest) = &mut remembered {
        // Their rows may be gone.
        newest.retain(|trade| trade.trade_time_us >= trades_floor_us);
    }
    let reader = Reader { transaction, symbol_id, stored, indicators };
    stored.newest_trades = match remembered {
        Some(newest) if reader.nothing_is_held_between_or_above(new) => {
            Some(plan.add(new, &newest, indicators))
        }
        _ => reader.plan_among_stored(first, new, &mut plan).await?,
    };
    Ok(plan)
}

struct Reader<'a, T> {
    transaction: &'a mut T,
    symbol_id: i32,
    stored: &'a StoredMarket,
    indicators: &'a Indicators,
}

/// The stored trades on one side of a new one, nearest by id.
#[derive(Default)]
struct Beside {
    trades: BTreeMap<i64, Trade>,
    /// Whether there are no others on that side.
    are_all: bool,
}

impl<T: FlushTransaction> Reader<'_, T> {
    /// Plans stretch by stretch, each with all that is stored around its trades. Returns the newest trades then, where the
    /// last stretch reaches up to them.
    async fn plan_among_stored(
        mut self,
        first: &Trade,
        new: &[Trade],
        plan: &mut IndicatorPlan,
    ) -> Result<Option<Vec<Trade>>, StoreError> {
        let mut around = self.beside(Side::Below, first, None).await?.trades;
        let mut stretch = 0..0;
        let ledger = &self.stored.ledger;
        // With more between them, what is read beside both is less.
        let most_between = i64::try_from(2 * (self.indicators.reach() + READ_BESIDE)).unwrap_or(i64::MAX);
        let are_near = |left: &Trade, right: &Trade| {
            held_between(left, right, ledger) <= most_between || millisecond_of(left) == millisecond_of(right)
        };
        for group in new.chunk_by(are_near) {
            stretch.end += group.len();
            around.extend(self.between(group).await?);
            let Some(end) = group.last() else { continue };
            let next = new.get(stretch.end);
            let above = self.beside(Side::Above, end, next).await?;
            around.extend(above.trades);
            if next.is_some() && above.are_all {
                continue;
            }
            let of_stretch = new.get(stretch.clone()).unwrap_or_default();
            let known: Vec<Trade> = std::mem::take(&mut around).into_values().collect();
            let newest = plan.add(of_stretch, &known, self.indicators);
            stretch.start = stretch.end;
            match next {
                Some(next) => around = self.beside(Side::Below, next, Some(end)).await?.trades,
                None => return Ok(above.are_all.then_some(newest)),
            }
        }
        Ok(None)
    }

    fn nothing_is_held_between_or_above(&self, new: &[Trade]) -> bool {
        let is_any_above = new.last().is_some_and(|last| self.is_any_held(Side::Above, last, None));
        !is_any_above && self.nothing_is_held_between(new)
    }

    fn nothing_is_held_between(&self, new: &[Trade]) -> bool {
        let ledger = &self.stored.ledger;
        new.windows(2).all(|pair| matches!(pair, [left, right] if held_between(left, right, ledger) == 0))
    }

    /// Whether a trade is held beside `edge` and before `limit`.
    fn is_any_held(&self, side: Side, edge: &Trade, limit: Option<&Trade>) -> bool {
        let ledger = &self.stored.ledger;
        // The trades beside it may be of one range with it.
        let range = ledger.covering(edge.trade_id);
        match (side, limit) {
            (Side::Below, None) => {
                range.is_some_and(|range| range.first_id < edge.trade_id)
                    || ledger.held_below(edge.trade_id).is_some()
            }
            (Side::Above, None) => {
                range.is_some_and(|range| range.last_id > edge.trade_id)
                    || ledger.held_above(edge.trade_id).is_some()
            }
            (Side::Below, Some(limit)) => held_between(limit, edge, ledger) > 0,
            (Side::Above, Some(limit)) => held_between(edge, limit, ledger) > 0,
        }
    }

    /// The largest step back in time that is followed: one trade with a wrong time must not have all others read.
    fn inversion_us(&self) -> i64 {
        self.stored.max_inversion_us.min(LARGEST_INVERSION_US)
    }

    /// The stored trades between the first and the last of these.
    async fn between(&mut self, new: &[Trade]) -> Result<BTreeMap<i64, Trade>, StoreError> {
        if self.nothing_is_held_between(new) {
            return Ok(BTreeMap::new());
        }
        let ids = new.first().zip(new.last()).map(|(first, last)| first.trade_id..=last.trade_id);
        let times_us = || new.iter().map(|trade| trade.trade_time_us);
        let (Some(ids), Some(from_us), Some(until_us)) = (ids, times_us().min(), times_us().max()) else {
            return Ok(BTreeMap::new());
        };
        let inversion_us = self.inversion_us();
        let reach = Reach::Between(from_us - inversion_us, until_us + inversion_us + 1);
        let rows = self.transaction.read_trades_at(self.symbol_id, reach).await?;
        Ok(by_id(rows.into_iter().filter(|row| ids.contains(&row.trade_id))))
    }

    /// As many stored trades beside `edge` as a moving average reaches, and all of the order that `edge` is a part of; none
    /// beyond `limit`.
    async fn beside(
        &mut self,
        side: Side,
        edge: &Trade,
        limit: Option<&Trade>,
    ) -> Result<Beside, StoreError> {
        if !self.is_any_held(side, edge, limit) {
            return Ok(Beside { are_all: true, ..Beside::default() });
        }
        let mut beside = self.nearest(side, edge, limit).await?;
        if self.indicators.whale_value.is_some() {
            let (from_us, until_us) = millisecond_of(edge);
            let reach = Reach::Between(from_us, until_us);
            let rows = self.transaction.read_trades_at(self.symbol_id, reach).await?;
            beside.trades.extend(by_id(rows.into_iter().filter(|row| side.is_beside(row, edge, limit))));
        }
        Ok(beside)
    }

    /// As many stored trades beside `edge` as a moving average reaches.
    ///
    /// They are found by time, in which the tables are ordered. Of two trades, the one with the higher id is at most
    /// `inversion_us` earlier: so what was not read has lower ids (below; higher above) than all that lies by more
    /// than that on the near side of the farthest that was.
    async fn nearest(
        &mut self,
        side: Side,
        edge: &Trade,
        limit: Option<&Trade>,
    ) -> Result<Beside, StoreError> {
        let (inversion_us, wanted) = (self.inversion_us(), self.indicators.reach());
        let mut most = if wanted == 0 { return Ok(Beside::default()) } else { wanted + READ_BESIDE };
        let mut within_us = Some(NEAR_US);
        loop {
            let reach = side.reach(edge.trade_time_us, inversion_us, within_us, most);
            let rows = self.transaction.read_trades_at(self.symbol_id, reach).await?;
            let farthest_us = side.farthest(rows.iter().map(|row| row.trade_time_us));
            if rows.len() < most && within_us.take().is_some() {
                continue;
            }
            let is_end = rows.len() < most
                || limit.zip(farthest_us).is_some_and(|(limit, farthest_us)| {
                    side.lies_beyond(farthest_us, limit.trade_time_us, inversion_us)
                });
            let mut trades = by_id(rows.into_iter().filter(|row| side.is_beside(row, edge, limit)));
            let is_certain = |trade: &&Trade| {
                farthest_us.is_some_and(|farthest_us| {
                    side.lies_beyond(farthest_us, trade.trade_time_us, inversion_us)
                })
            };
            if is_end || trades.values().filter(is_certain).count() >= wanted {
                let are_all = is_end && trades.len() <= wanted;
                while trades.len() > wanted {
                    match side {
                        Side::Below => drop(trades.pop_first()),
                        Side::Above => drop(trades.pop_last()),
                    }
                }
                return Ok(Beside { trades, are_all });
            }
            most *= 4;
        }
    }
}

/// On which side of a trade, by id.
#[derive(Clone, Copy)]
enum Side {
    Below,
    Above,
}

impl Side {
    fn is_beside(self, row: &Trade, edge: &Trade, limit: Option<&Trade>) -> bool {
        let ids = match self {
            Self::Below => limit.map_or(i64::MIN, |limit| limit.trade_id + 1)..edge.trade_id,
            Self::Above => edge.trade_id + 1..limit.map_or(i64::MAX, |limit| limit.trade_id),
        };
        ids.contains(&row.trade_id)
    }

    /// The nearest so many by time of all that can lie on this side, or of those of them that lie within a time.
    fn reach(self, time_us: i64, inversion_us: i64, within_us: Option<i64>, most: usize) -> Reach {
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        match self {
            Self::Below => {
                let from_us = within_us.map_or(i64::MIN, |within_us| time_us - within_us);
                Reach::Newest(from_us, time_us + inversion_us + 1, most)
            }
            Self::Above => {
                let until_us = within_us.map_or(i64::MAX, |within_us| time_us + within_us);
                Reach::Oldest(time_us - inversion_us, until_us, most)
            }
        }
    }

    fn farthest(self, times_us: impl Iterator<Item = i64>) -> Option<i64> {
        match self {
            Self::Below => times_us.min(),
            Self::Above => times_us.max(),
        }
    }

    /// Whether what is as far away as `farthest_us` lies on this side of what is at `time_us`, also by id.
    const fn lies_beyond(self, farthest_us: i64, time_us: i64, inversion_us: i64) -> bool {
        match self {
            Self::Below => farthest_us + inversion_us < time_us,
            Self::Above => farthest_us - inversion_us > time_us,
        }
    }
}

/// How many trades are held between two by id.
fn held_between(left: &Trade, right: &Trade, ledger: &TradeRanges) -> i64 {
    ledger.held_count(&(left.trade_id + 1..=right.trade_id - 1))
}

fn by_id(trades: impl Iterator<Item = Trade>) -> BTreeMap<i64, Trade> {
    trades.map(|trade| (trade.trade_id, trade)).collect()
}
