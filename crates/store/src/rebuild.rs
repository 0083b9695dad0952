//! Windows that are to be folded again: their rows and their ids are removed under the same lock as a flush, so that the
//! ledger has a hole there and the repairer asks the exchange for these trades once more.
//!
//! What is removed must be exactly what the removed candles were made of: an id that went while its candle stayed would be
//! counted twice when it comes back. So windows are removed only between clean edges, where every candle kept below ends
//! just before the first id removed, and every one kept above begins just after the last (decision 5).

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use market::{Candle, Interval, LastTrade, Market, Output, RangeChanges, RangeKind, TradeRange, TradeRanges};

use crate::error::{RebuildError, StoreError};
use crate::flush::{FlushDatabase, FlushTransaction, FlushWrites, MarketWrite, Reach, StoredCandle};

/// How far the windows are widened until their edges are clean.
const MOST_WIDENINGS: usize = 100;

/// How far a rebuild goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RebuildMode {
    /// To the end.
    Remove,
    /// Until it is known what would be removed; nothing is kept of it.
    Preview,
}

/// What a rebuild removed, or would remove.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rebuilt {
    /// Where the first window opens: microseconds since 1970, UTC.
    pub from_us: i64,
    /// Where the last window closes.
    pub to_us: i64,
    /// The first id that is asked for again.
    pub first_id: i64,
    /// The last one.
    pub last_id: i64,
    /// How many trades were held.
    pub trades: i64,
    /// How many candles went.
    pub candles: u64,
}

/// What is deleted beside the ledger's ranges.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Removal {
    pub(crate) symbol_id: i32,
    pub(crate) version: i64,
    pub(crate) from_us: i64,
    pub(crate) to_us: i64,
    pub(crate) first_id: i64,
    pub(crate) last_id: i64,
    pub(crate) trades: i64,
}

/// The statements of a rebuild beside those of a flush.
pub(crate) trait RebuildTransaction: FlushTransaction {
    async fn read_candles_at(
        &mut self,
        symbol_id: i32,
        interval: Interval,
        reach: Reach,
    ) -> Result<Vec<StoredCandle>, StoreError>;
    /// Wishes for `ids` whatever else is held; false where nobody has asked the exchange for its last id yet.
    async fn wish_for(&mut self, symbol_id: i32, ids: &RangeInclusive<i64>) -> Result<bool, StoreError>;
    /// Deletes trades, candles and checks and notes the rebuild; says how many candles went.
    async fn remove_rows(&mut self, removal: &Removal) -> Result<u64, StoreError>;
    /// Gives up everything, and the lock, before it returns.
    async fn roll_back(self) -> Result<(), sqlx::Error>;
}

/// Removes the windows of `market` from `from_us` to `to_us`, widened to whole windows of every interval.
pub(crate) async fn remove<D>(
    database: &D,
    market: &Market,
    symbol_id: i32,
    from_us: i64,
    to_us: i64,
    mode: RebuildMode,
) -> Result<Rebuilt, RebuildError>
where
    D: FlushDatabase<Transaction: RebuildTransaction>,
{
    let floor_us = database.floors().await?.candles_us;
    if to_us <= floor_us {
        return Err(RebuildError::BelowFloor(floor_us));
    }
    let mut transaction = database.begin().await?;
    transaction.lock_heads(&[symbol_id]).await?;
    let Some(head) = transaction.read_heads(&[symbol_id]).await?.pop() else {
        return Err(RebuildError::UnknownMarket(market.clone()));
    };
    if head.restart.is_some_and(|restart| restart.is_proven()) {
        return Err(RebuildError::IdsRestarted(market.clone()));
    }
    let ranges = transaction.read_ranges(&[symbol_id]).await?;
    let mut ledger: TradeRanges = ranges.into_iter().map(|(_, range)| range).collect();
    let intervals = candle_intervals(&mut transaction, symbol_id).await?;
    let windows = Windows::around(&intervals, from_us.max(floor_us), to_us);
    let cut =
        Search { symbol_id, intervals: &intervals, inversion_us: head.max_inversion_us, ledger: &ledger }
            .clean_cut(&mut transaction, windows)
            .await?;
    if !transaction.wish_for(symbol_id, &cut.ids).await? {
        return Err(RebuildError::NotProbed(market.clone()));
    }
    let trades = ledger.held_count(&cut.ids);
    let mut changes = RangeChanges::default();
    ledger.remove(&cut.ids, cut.below_us, cut.above_us, &mut changes);
    let version = head.version + 1;
    let removal = Removal {
        symbol_id,
        version,
        from_us: cut.windows.from_us,
        to_us: cut.windows.to_us,
        first_id: *cut.ids.start(),
        last_id: *cut.ids.end(),
        trades,
    };
    let candles = transaction.remove_rows(&removal).await?;
    let write = MarketWrite {
        trades_held: head.trades_held - trades,
        last_trade: last_trade(head.last_trade, &ledger, &cut),
        totals: cut.removed.iter().fold(head.totals, |totals, candle| totals.without(candle)),
        ..MarketWrite::of_ledger(head, changes)
    };
    transaction.write(&FlushWrites::of_market(write)).await?;
    let ended = match mode {
        RebuildMode::Remove => transaction.commit().await,
        RebuildMode::Preview => transaction.roll_back().await,
    };
    ended.map_err(StoreError::database("remove windows"))?;
    let Removal { from_us, to_us, first_id, last_id, .. } = removal;
    Ok(Rebuilt { from_us, to_us, first_id, last_id, trades, candles })
}

/// The intervals that every new trade is folded into. What was switched off claims nothing and stays as it is.
async fn candle_intervals<T: FlushTransaction>(
    transaction: &mut T,
    symbol_id: i32,
) -> Result<Vec<Interval>, StoreError> {
    let folds = transaction.read_folds(&[symbol_id]).await?;
    let interval = |(_, output, _)| match output {
        Output::Candles(interval) => Some(interval),
        Output::Trades => None,
    };
    Ok(folds.into_iter().filter_map(interval).collect())
}

/// The newest trade that is still held.
fn last_trade(before: Option<LastTrade>, ledger: &TradeRanges, cut: &Cut) -> Option<LastTrade> {
    let before = before?;
    if before.trade_id > *cut.ids.end() {
        return Some(before);
    }
    let newest = ledger.iter().rev().find(|range| range.kind == RangeKind::Held)?;
    let price = cut.close_below.unwrap_or(before.price);
    Some(LastTrade { trade_id: newest.last_id, trade_time_us: newest.last_time_us, price })
}

/// Whole windows of every interval.
#[derive(Clone, Copy, Debug)]
struct Windows {
    length_us: i64,
    from_us: i64,
    to_us: i64,
}

impl Windows {
    fn around(intervals: &[Interval], from_us: i64, to_us: i64) -> Self {
        let common = Interval::least_common_multiple(intervals);
        let length_us = common.length_us();
        Self {
            length_us,
            from_us: common.open_time_us(from_us),
            to_us: common.open_time_us(to_us.saturating_sub(1)) + length_us,
        }
    }
}

/// Where to cut, and what lies beside it.
#[derive(Debug)]
struct Cut {
    windows: Windows,
    ids: RangeInclusive<i64>,
    /// A time that the trade just below the cut has or is before, in its own window.
    below_us: i64,
    /// The same for the trade just above.
    above_us: i64,
    close_below: Option<market::Fixed8>,
    /// The candles of one interval that has all that goes.
    removed: Vec<Candle>,
}

struct Search<'a> {
    symbol_id: i32,
    intervals: &'a [Interval],
    inversion_us: i64,
    ledger: &'a TradeRanges,
}

impl Search<'_> {
    /// Widens `windows` until both edges are clean.
    async fn clean_cut<T: RebuildTransaction>(
        &self,
        transaction: &mut T,
        mut windows: Windows,
    ) -> Result<Cut, RebuildError> {
        for _ in 0..MOST_WIDENINGS {
            let sides = self.read_sides(transaction, windows).await?;
            let (is_clean_below, is_clean_above) = sides.are_clean(self.ledger);
            if let (true, true, Some(cut)) = (is_clean_below, is_clean_above, sides.cut(windows, self.ledger))
            {
                return Ok(cut);
            }
            if !is_clean_below {
                windows.from_us -= windows.length_us;
            }
            if !is_clean_above {
                windows.to_us += windows.length_us;
            }
        }
        Err(RebuildError::NoCleanEdge { from_us: windows.from_us, to_us: windows.to_us })
    }

    async fn read_sides<T: RebuildTransaction>(
        &self,
        transaction: &mut T,
        windows: Windows,
    ) -> Result<Sides, StoreError> {
        let Windows { from_us, to_us, .. } = windows;
        let mut sides = Sides::default();
        for interval in self.intervals {
            // Ids of windows further away than the largest step back in time do not reach over the edge.
            let count = 2 + self.inversion_us / interval.length_us();
            for (side, reach) in [
                (&mut sides.below, Reach::Newest(i64::MIN, from_us, count)),
                (&mut sides.inside, Reach::Between(from_us, to_us)),
                (&mut sides.above, Reach::Oldest(to_us, i64::MAX, count)),
            ] {
                side.extend(transaction.read_candles_at(self.symbol_id, *interval, reach).await?);
            }
        }
        Ok(sides)
    }
}

/// The candles below, inside and above the windows, of every interval.
#[derive(Debug, Default)]
struct Sides {
    below: Vec<StoredCandle>,
    inside: Vec<StoredCandle>,
    above: Vec<StoredCandle>,
}

impl Sides {
    /// Whether the candles on both sides of each edge agree about where the ids are divided: none reaches over it, and no
    /// held id lies between them. Where nothing is inside, neither edge is.
    fn are_clean(&self, ledger: &TradeRanges) -> (bool, bool) {
        let Some((first_inside, last_inside)) = first_id(&self.inside).zip(last_id(&self.inside)) else {
            return (false, false);
        };
        let agree = |lower: Option<i64>, upper: Option<i64>| {
            let Some((lower, upper)) = lower.zip(upper) else { return true };
            lower < upper && ledger.held_count(&(lower + 1..=upper - 1)) == 0
        };
        (agree(last_id(&self.below), Some(first_inside)), agree(Some(last_inside), first_id(&self.above)))
    }

    /// The candles inside of the interval that has received most trades: one may have begun after them.
    fn fullest_interval(&self) -> Vec<Candle> {
        let mut by_interval: BTreeMap<Interval, Vec<Candle>> = BTreeMap::new();
        for stored in &self.inside {
            by_interval.entry(stored.interval).or_default().push(stored.candle);
        }
        let trades = |candles: &Vec<Candle>| candles.iter().map(|candle| candle.trade_count).sum::<i64>();
        by_interval.into_values().max_by_key(trades).unwrap_or_default()
    }

    /// The cut between clean edges.
    fn cut(&self, windows: Windows, ledger: &TradeRanges) -> Option<Cut> {
        let (first_inside, last_inside) = first_id(&self.inside).zip(last_id(&self.inside))?;
        let newest_held = ledger.iter().next_back().map_or(last_inside, |range: &TradeRange| range.last_id);
        let below = last_id(&self.below);
        let first = below.map_or(first_inside, |last| last + 1);
        // Above the last candle nothing is counted anywhere.
        let last = first_id(&self.above).map_or(last_inside.max(newest_held), |first| first - 1);
        let ends_with = |id: i64| move |candle: &Candle| candle.last_trade_id == id;
        let begins_with = |id: i64| move |candle: &Candle| candle.first_trade_id == id;
        let newest_below = below.and_then(|id| shortest(&self.below, ends_with(id)));
        let nearest = newest_below.or_else(|| shortest(&self.inside, begins_with(first_inside)))?;
        let beyond = shortest(&self.above, begins_with(last + 1));
        Some(Cut {
            windows,
            ids: first..=last,
            below_us: last_moment(nearest),
            above_us: beyond.map_or(windows.to_us, last_moment),
            close_below: newest_below.map(|stored| stored.candle.close),
            removed: self.fullest_interval(),
        })
    }
}

fn first_id(candles: &[StoredCandle]) -> Option<i64> {
    candles.iter().map(|stored| stored.candle.first_trade_id).min()
}

fn last_id(candles: &[StoredCandle]) -> Option<i64> {
    candles.iter().map(|stored| stored.candle.last_trade_id).max()
}

/// The candle of the shortest interval that is so: it knows best when its trades were.
fn shortest(candles: &[StoredCandle], is_so: impl Fn(&Candle) -> bool) -> Option<&StoredCandle> {
    candles.iter().filter(|stored| is_so(&stored.candle)).min_by_key(|stored| stored.interval)
}

fn last_moment(stored: &StoredCandle) -> i64 {
    stored.candle.open_time_us + stored.interval.length_us() - 1
}
