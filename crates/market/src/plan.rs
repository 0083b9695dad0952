//! The pure step of the flush: a batch of one market and what is stored of it become what is to be written.
//!
//! The ledger decides which trades are new, so the result is the same whoever sent a trade and however
//! often, in whatever order and in however many batches.

use std::collections::BTreeMap;

use hashbrown::HashMap;

use crate::{
    Candle, HIGHEST_TRADE_ID, IdRestart, Interval, LARGEST_INVERSION_US, RangeChanges, RangeKind,
    RefusalReason, RefusedTrade, Trade, TradeRange, TradeRanges, TradeTotals, is_trade_id, is_trade_time,
};

mod fold;

use fold::fold_what_fits;

pub use fold::build_coarser;

/// A trade of a batch, and where in the topic it stood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    /// The trade.
    pub trade: Trade,
    /// The partition that it was read from.
    pub partition: i32,
    /// Its offset there.
    pub offset: i64,
}

/// Something that trades are made into.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Output {
    /// The rows of the trades themselves.
    Trades,
    /// The candles of an interval.
    Candles(Interval),
}

/// Since when an output has received every trade that was new to the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fold {
    /// Trades up to this time may be missing from the output although the ledger holds them;
    /// `None` where it has received everything.
    pub incomplete_until_us: Option<i64>,
}

/// What is to be made of the trades.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlanSettings {
    /// The candle intervals, without repeats.
    pub intervals: Vec<Interval>,
    /// Whether the trades themselves are stored.
    pub store_trades: bool,
    /// Trades before this time enter the ledger only, not the trade rows.
    pub trades_floor_us: i64,
    /// Trades before this time enter the ledger only, not the candles.
    pub candles_floor_us: i64,
    /// Trades after this time are set aside: nobody trades in the future.
    pub latest_time_us: i64,
}

impl PlanSettings {
    /// The outputs that every new trade goes to.
    pub fn outputs(&self) -> impl Iterator<Item = Output> {
        let trades = self.store_trades.then_some(Output::Trades);
        trades.into_iter().chain(self.intervals.iter().copied().map(Output::Candles))
    }
}

/// The names of one candle within a market: interval and open time in microseconds.
pub type CandleKey = (Interval, i64);

/// The candles of intervals that begin with a flush, made of a finer interval's. One that is to be built and does not
/// stand here cannot be, and begins with the flush's own trades.
pub type BuiltCandles = BTreeMap<Interval, HashMap<CandleKey, Candle>>;

/// What is stored of one market, as far as a batch needs it. A plan moves it to what will be stored then.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoredMarket {
    /// Raised by one with every flush; every row of the flush carries it.
    pub version: i64,
    /// How many trades are held.
    pub trades_held: i64,
    /// The highest trade id held, with its trade.
    pub last_trade: Option<LastTrade>,
    /// The largest step back in time seen between a trade and one with a higher id.
    pub max_inversion_us: i64,
    /// Higher ids cannot be, as far as the exchange was asked just now; `None` where nobody knows.
    pub highest_id: Option<i64>,
    /// What speaks for it that the exchange numbers the trades anew.
    pub restart: Option<IdRestart>,
    /// Which ids are accounted for.
    pub ledger: TradeRanges,
    /// Since when each output is complete.
    pub folds: BTreeMap<Output, Fold>,
    /// The candles of the windows that the batch touches; no entry where there is no row.
    pub candles: HashMap<CandleKey, Candle>,
    /// What the trades add up to.
    pub totals: TradeTotals,
    /// The newest stored trades, as [`crate::IndicatorPlan::add`] returns them; `None` where they have not been read.
    pub newest_trades: Option<Vec<Trade>>,
}

/// The newest trade of a market.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LastTrade {
    /// Its id.
    pub trade_id: i64,
    /// Its time, microseconds since 1970, UTC.
    pub trade_time_us: i64,
    /// Its price.
    pub price: crate::Fixed8,
}

/// Why a record that could be read is set aside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SetAsideReason {
    /// Its time is more than an hour ahead of the worker's clock.
    TimeInFuture,
    /// Its id is held already or lies below held ones, but its time is later than theirs; or trades before it were so:
    /// the exchange numbers anew.
    IdsRestarted,
    /// Its id lies far above the newest one that the exchange has just told of itself.
    IdBeyondExchange,
    /// Its id, its time, its price or its quantity can be no trade's; its time or its price no sample's.
    Impossible,
    /// A sample from before what is kept: whether it was counted already nobody can tell.
    BelowFloor,
    /// A product or a sum with it would not fit the columns: the trade is refused for good.
    Overflow,
}

impl SetAsideReason {
    /// The word that the `set_aside` table and the metrics use.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TimeInFuture => "time_in_future",
            Self::IdsRestarted => "ids_restarted",
            Self::IdBeyondExchange => "id_beyond_exchange",
            Self::Impossible => "impossible",
            Self::BelowFloor => "below_floor",
            Self::Overflow => RefusalReason::Overflow.as_str(),
        }
    }
}

/// What became of the records of one partition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RecordCounts {
    /// Trades that the ledger did not hold, or samples of times that were not stored.
    pub new: i64,
    /// Trades or samples that were held already.
    pub duplicate: i64,
    /// Records set aside.
    pub set_aside: i64,
}

/// What one market's part of a flush writes. How trades are laid out in rows is not its concern.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MarketPlan {
    /// The trades to store, by ascending id.
    pub trades: Vec<Trade>,
    /// The candles as they shall be stored.
    pub candles: Vec<(Interval, Candle)>,
    /// What becomes of the ledger's rows.
    pub ranges: RangeChanges,
    /// Outputs that begin with this flush, or whose state changes.
    pub opened_folds: Vec<(Output, Fold)>,
    /// Outputs that this flush does not feed, so that they miss trades from now on.
    pub closed_folds: Vec<Output>,
    /// Records that are kept for a person to look at.
    pub set_aside: Vec<(Record, SetAsideReason)>,
    /// What became of the records, by partition.
    pub counts: BTreeMap<i32, RecordCounts>,
}

/// The windows whose candles a plan for `records` needs, in no order.
#[must_use]
pub fn touched_windows(records: &[Record], intervals: &[Interval]) -> Vec<CandleKey> {
    let common = Interval::greatest_common(intervals);
    let mut opens: Vec<i64> = Vec::new();
    for record in records.iter().filter(|record| record.trade.is_possible()) {
        let open_time_us = common.open_time_us(record.trade.trade_time_us);
        if opens.last() != Some(&open_time_us) {
            opens.push(open_time_us);
        }
    }
    let mut windows: Vec<CandleKey> = intervals
        .iter()
        .flat_map(|interval| {
            opens.iter().map(|open_time_us| (*interval, interval.open_time_us(*open_time_us)))
        })
        .collect();
    windows.sort_unstable();
    windows.dedup();
    windows
}

/// The intervals that begin with the next flush although the ledger already holds trades, each with the
/// longest interval kept so far whose candles it can be built from.
#[must_use]
pub fn intervals_to_build(stored: &StoredMarket, settings: &PlanSettings) -> Vec<(Interval, Interval)> {
    let missing =
        settings.intervals.iter().filter(|interval| !stored.folds.contains_key(&Output::Candles(**interval)));
    missing
        .filter_map(|interval| {
            let kept = stored.folds.keys().rev().filter_map(|output| match output {
                Output::Candles(kept) => Some(*kept),
                Output::Trades => None,
            });
            kept.into_iter().find(|kept| interval.is_multiple_of(*kept)).map(|source| (*interval, source))
        })
        .collect()
}

/// Plans the flush of one market and moves `stored` to the state after it.
///
/// `stored` holds the candles of all [`touched_windows`]; `built` holds those that [`build_coarser`] made
/// for the [`intervals_to_build`] and that have no row yet. `refused` are trades that whoever decoded them
/// could not hold; a trade with which a product or a sum would not fit joins them. They are accounted for,
/// with their reason, and no candle over them claims to be complete.
#[must_use]
pub fn plan_market(
    mut records: Vec<Record>,
    refused: &[RefusedTrade],
    stored: &mut StoredMarket,
    built: BuiltCandles,
    settings: &PlanSettings,
) -> MarketPlan {
    stored.version += 1;
    let mut plan = MarketPlan::default();
    reconcile_folds(stored, &built, settings, &mut plan);
    if !records.is_sorted_by_key(|record| record.trade.trade_id) {
        records.sort_by_key(|record| record.trade.trade_id);
    }
    let fresh = take_new(records, stored, settings, &mut plan);
    let mut changed: HashMap<CandleKey, Candle> = built.into_values().flatten().collect();
    #[cfg(not(feature = "sabotage"))]
    let (fresh, overflowing) = fold_what_fits(fresh, stored, settings, &mut changed);
    #[cfg(feature = "sabotage")]
    let (_, overflowing) =
        fold_what_fits(crate::sabotage::for_candles(&fresh).into_owned(), stored, settings, &mut changed);
    count(&fresh, &mut plan, |counts| &mut counts.new);
    account_for(&fresh, stored, &mut plan.ranges);
    if settings.store_trades {
        #[cfg(feature = "sabotage")]
        let fresh = crate::sabotage::for_rows(&fresh);
        let kept = fresh.iter().map(|record| record.trade);
        plan.trades = kept.filter(|trade| trade.trade_time_us >= settings.trades_floor_us).collect();
    }
    count(&overflowing, &mut plan, |counts| &mut counts.set_aside);
    refuse(refused.iter().copied().chain(overflowing.iter().map(overflow_of)), stored, settings, &mut plan);
    plan.set_aside.extend(overflowing.into_iter().map(|record| (record, SetAsideReason::Overflow)));
    #[cfg(feature = "sabotage")]
    crate::sabotage::spoil_candles(&mut changed);
    plan.candles = changed.iter().map(|((interval, _), candle)| (*interval, *candle)).collect();
    plan.candles.sort_unstable_by_key(|(interval, candle)| (*interval, candle.open_time_us));
    stored.candles.extend(changed);
    plan
}

/// Opens the folds that begin now and closes those that this flush does not feed. A writer with other
/// settings may do the opposite with the next flush: each opening is honest about what it missed.
fn reconcile_folds(
    stored: &mut StoredMarket,
    built: &BuiltCandles,
    settings: &PlanSettings,
    plan: &mut MarketPlan,
) {
    let held_until_us = stored.ledger.iter().map(|range| range.last_time_us).max();
    let incomplete_until_us = held_until_us.map(|time_us| time_us + stored.max_inversion_us);
    let sources: BTreeMap<Interval, Interval> = intervals_to_build(stored, settings).into_iter().collect();
    let mut wanted = BTreeMap::new();
    for output in settings.outputs() {
        let source = match output {
            Output::Candles(interval) => sources.get(&interval).filter(|_| built.contains_key(&interval)),
            Output::Trades => None,
        };
        let begun = source.and_then(|source| stored.folds.get(&Output::Candles(*source)).copied());
        let fold = stored.folds.get(&output).copied().unwrap_or_else(|| {
            let fold = begun.unwrap_or(Fold { incomplete_until_us });
            plan.opened_folds.push((output, fold));
            fold
        });
        wanted.insert(output, fold);
    }
    plan.closed_folds = stored.folds.keys().filter(|output| !wanted.contains_key(output)).copied().collect();
    stored.folds = wanted;
}

/// The records that are new, by ascending id; the others are counted in `plan`.
fn take_new(
    records: Vec<Record>,
    stored: &mut StoredMarket,
    settings: &PlanSettings,
    plan: &mut MarketPlan,
) -> Vec<Record> {
    let ids =
        records.first().zip(records.last()).map(|(first, last)| first.trade.trade_id..=last.trade.trade_id);
    let nothing_held = ids.is_none_or(|ids| !stored.ledger.overlaps(&ids));
    let mut fresh: Vec<Record> = Vec::with_capacity(records.len());
    for record in records {
        let trade = &record.trade;
        let held = if nothing_held { None } else { stored.ledger.covering(trade.trade_id) };
        let held = held.filter(|range| range.kind == RangeKind::Held);
        let twin = fresh.last().filter(|last| last.trade.trade_id == trade.trade_id);
        // The latest that a trade with this id can be, where there is one already.
        let known_until_us = match held {
            Some(range) => Some(range.last_time_us + stored.max_inversion_us),
            None => twin.map(|twin| twin.trade.trade_time_us),
        };
        let counts = counts_of(plan, record.partition);
        if let Some(reason) = why_unbelievable(trade, known_until_us, stored, settings) {
            counts.set_aside += 1;
            plan.set_aside.push((record, reason));
            if reason == SetAsideReason::IdsRestarted {
                stored.restart = Some(IdRestart::with(stored.restart, trade.trade_time_us));
            }
        } else if known_until_us.is_some() {
            counts.duplicate += 1;
        } else {
            if stored.last_trade.is_some_and(|newest| trade.trade_id > newest.trade_id) {
                stored.restart = still_believed(stored.restart, trade.trade_time_us);
            }
            fresh.push(record);
        }
    }
    fresh
}

/// What is left of the evidence once the old numbering has gone on with a trade of `time_us`: what is proven, and what a
/// later trade has yet to contradict.
fn still_believed(evidence: Option<IdRestart>, time_us: i64) -> Option<IdRestart> {
    evidence.filter(|evidence| evidence.is_proven() || time_us < evidence.since_us)
}

/// Why a trade is not taken at its word. `known_until_us`: where a trade with its id is known, how late that one can be.
fn why_unbelievable(
    trade: &Trade,
    known_until_us: Option<i64>,
    stored: &StoredMarket,
    settings: &PlanSettings,
) -> Option<SetAsideReason> {
    if !trade.is_possible() {
        Some(SetAsideReason::Impossible)
    } else if trade.trade_time_us > settings.latest_time_us {
        Some(SetAsideReason::TimeInFuture)
    } else if trade.trade_id > stored.highest_id.unwrap_or(HIGHEST_TRADE_ID) {
        Some(SetAsideReason::IdBeyondExchange)
    } else if numbers_anew(trade.trade_id, trade.trade_time_us, known_until_us, stored) {
        Some(SetAsideReason::IdsRestarted)
    } else {
        None
    }
}

/// Whether a trade contradicts that the exchange goes on numbering as before, or lies behind a restart that is proven.
fn numbers_anew(trade_id: i64, time_us: i64, known_until_us: Option<i64>, stored: &StoredMarket) -> bool {
    if stored.restart.is_some_and(|restart| restart.is_proven() && time_us >= restart.since_us) {
        return true;
    }
    if let Some(until_us) = known_until_us {
        return time_us > until_us;
    }
    let is_newest = stored.last_trade.is_none_or(|newest| trade_id > newest.trade_id);
    let above = if is_newest { None } else { stored.ledger.held_above(trade_id) };
    let inversion_us = stored.max_inversion_us.max(LARGEST_INVERSION_US);
    above.is_some_and(|above| time_us > above.first_time_us + inversion_us)
}

fn counts_of(plan: &mut MarketPlan, partition: i32) -> &mut RecordCounts {
    plan.counts.entry(partition).or_default()
}

fn count(records: &[Record], plan: &mut MarketPlan, counter: fn(&mut RecordCounts) -> &mut i64) {
    for of_one_partition in records.chunk_by(|left, right| left.partition == right.partition) {
        if let Some(first) = of_one_partition.first() {
            *counter(counts_of(plan, first.partition)) +=
                i64::try_from(of_one_partition.len()).unwrap_or(i64::MAX);
        }
    }
}

/// Enters the trades into the ledger, run by run, and keeps the figures that follow from them.
fn account_for(fresh: &[Record], stored: &mut StoredMarket, changes: &mut RangeChanges) {
    for run in fresh.chunk_by(|left, right| left.trade.trade_id + 1 == right.trade.trade_id) {
        let (Some(first), Some(last)) = (run.first(), run.last()) else { continue };
        stored.max_inversion_us = stored.max_inversion_us.max(largest_inversion_us(run, &stored.ledger));
        let range = TradeRange {
            first_id: first.trade.trade_id,
            last_id: last.trade.trade_id,
            kind: RangeKind::Held,
            first_time_us: first.trade.trade_time_us,
            last_time_us: last.trade.trade_time_us,
        };
        stored.ledger.insert(range, changes);
        stored.trades_held += i64::try_from(run.len()).unwrap_or(i64::MAX);
        // What does not fit is in no total, and their count says so.
        stored.totals =
            run.iter().fold(stored.totals, |totals, record| totals.with(&record.trade).unwrap_or(totals));
        if stored.last_trade.is_none_or(|newest| newest.trade_id < last.trade.trade_id) {
            let Trade { trade_id, trade_time_us, price, .. } = last.trade;
            stored.last_trade = Some(LastTrade { trade_id, trade_time_us, price });
        }
    }
}

fn overflow_of(record: &Record) -> RefusedTrade {
    let Trade { trade_id, trade_time_us, .. } = record.trade;
    RefusedTrade { trade_id, trade_time_us, reason: RefusalReason::Overflow }
}

/// Enters refused trades into the ledger, where they can be believed: others stay a hole, which is asked for anew.
fn refuse(
    refused: impl Iterator<Item = RefusedTrade>,
    stored: &mut StoredMarket,
    settings: &PlanSettings,
    plan: &mut MarketPlan,
) {
    let highest_id = stored.highest_id.unwrap_or(HIGHEST_TRADE_ID);
    let believed = refused.filter(|trade| {
        is_trade_id(trade.trade_id)
            && is_trade_time(trade.trade_time_us)
            && trade.trade_time_us <= settings.latest_time_us
            && trade.trade_id <= highest_id
    });
    for trade in believed {
        if !numbers_anew(trade.trade_id, trade.trade_time_us, None, stored) {
            stored.ledger.insert(trade.into(), &mut plan.ranges);
        }
    }
}

/// The largest step back in time within a run, and between it and the held trades around it.
fn largest_inversion_us(run: &[Record], ledger: &TradeRanges) -> i64 {
    let first_id = run.first().map_or(0, |record| record.trade.trade_id);
    let mut latest_us = ledger.held_below(first_id).map_or(i64::MIN, |below| below.last_time_us);
    let mut inversion_us = 0;
    for record in run {
        let time_us = record.trade.trade_time_us;
        if time_us < latest_us {
            inversion_us = inversion_us.max(latest_us - time_us);
        } else {
            latest_us = time_us;
        }
    }
    let above_us = ledger.held_above(first_id).map_or(i64::MAX, |above| above.first_time_us);
    inversion_us.max(latest_us.saturating_sub(above_us))
}

#[cfg(test)]
mod tests;
