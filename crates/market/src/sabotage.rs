//! Errors made on purpose, in programs that were built for it (feature `sabotage`): the judge of the end to end tests
//! must find every one. Nothing of this is in a program that users run.

use std::borrow::Cow;
use std::sync::OnceLock;

use hashbrown::HashMap;

use crate::{Candle, CandleKey, Fixed8, Fixed16, Record, Trade};

/// The environment variable that names the error to make.
const VARIABLE: &str = "CRYPTOPIPELINE_SABOTAGE";

/// One trade in so many is spoiled.
const ONE_IN: i64 = 100_000;

/// What is done wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sabotage {
    /// A trade has no row.
    DropRow,
    /// A trade is in no candle.
    DropFromCandles,
    /// A trade is counted twice in the candles.
    DoubleInCandles,
    /// A price is higher by its last decimal.
    AlterPrice,
    /// A quantity is higher by its last decimal.
    AlterQuantity,
    /// A row's time is later by a microsecond.
    AlterTime,
    /// The taker's side is the other one.
    AlterSide,
    /// The candles' sums of products have been floating point numbers.
    FloatSums,
    /// A trade at the end of a window counts into it, not into the next one.
    InclusiveEnd,
    /// The ledger is read before its lock is granted.
    LedgerBeforeLock,
}

const NAMES: [(&str, Sabotage); 10] = [
    ("drop-row", Sabotage::DropRow),
    ("drop-from-candles", Sabotage::DropFromCandles),
    ("double-in-candles", Sabotage::DoubleInCandles),
    ("alter-price", Sabotage::AlterPrice),
    ("alter-quantity", Sabotage::AlterQuantity),
    ("alter-time", Sabotage::AlterTime),
    ("alter-side", Sabotage::AlterSide),
    ("float-sums", Sabotage::FloatSums),
    ("inclusive-end", Sabotage::InclusiveEnd),
    ("ledger-before-lock", Sabotage::LedgerBeforeLock),
];

/// The error that this process makes, if any.
///
/// # Panics
/// Where the environment names one that there is not.
#[must_use]
pub fn active() -> Option<Sabotage> {
    static ACTIVE: OnceLock<Option<Sabotage>> = OnceLock::new();
    *ACTIVE.get_or_init(|| {
        let wanted = std::env::var(VARIABLE).ok()?;
        let known = NAMES.iter().find(|(name, _)| *name == wanted);
        Some(known.unwrap_or_else(|| panic!("{VARIABLE}={wanted} is none of {NAMES:?}")).1)
    })
}

/// The trades as they go into the candles.
pub(crate) fn for_candles(fresh: &[Record]) -> Cow<'_, [Record]> {
    match active() {
        Some(Sabotage::DropFromCandles) => without_spoiled(fresh),
        Some(Sabotage::DoubleInCandles) => fresh
            .iter()
            .flat_map(|record| std::iter::repeat_n(*record, if is_spoiled(record) { 2 } else { 1 }))
            .collect(),
        Some(Sabotage::InclusiveEnd) => altered(
            fresh,
            |_| true,
            |trade| {
                trade.trade_time_us -= i64::from(trade.trade_time_us % 1_000_000 == 0);
            },
        ),
        sabotage => altered_values(fresh, sabotage),
    }
}

/// The trades as they become rows.
pub(crate) fn for_rows(fresh: &[Record]) -> Cow<'_, [Record]> {
    match active() {
        Some(Sabotage::DropRow) => without_spoiled(fresh),
        Some(Sabotage::AlterTime) => altered(fresh, is_spoiled, |trade| trade.trade_time_us += 1),
        sabotage => altered_values(fresh, sabotage),
    }
}

/// The candles as they are written.
#[allow(clippy::float_arithmetic, clippy::cast_possible_truncation, clippy::cast_precision_loss)]
pub(crate) fn spoil_candles(candles: &mut HashMap<CandleKey, Candle>) {
    if active() == Some(Sabotage::FloatSums) {
        for candle in candles.values_mut() {
            let rounded = candle.quote_volume.units() as f64 as i128;
            candle.quote_volume = Fixed16::from_units(rounded).unwrap_or_default();
        }
    }
}

fn altered_values(fresh: &[Record], sabotage: Option<Sabotage>) -> Cow<'_, [Record]> {
    match sabotage {
        Some(Sabotage::AlterPrice) => altered(fresh, is_spoiled, |trade| trade.price = raised(trade.price)),
        Some(Sabotage::AlterQuantity) => {
            altered(fresh, is_spoiled, |trade| trade.quantity = raised(trade.quantity))
        }
        Some(Sabotage::AlterSide) => {
            altered(fresh, is_spoiled, |trade| trade.buyer_is_maker = !trade.buyer_is_maker)
        }
        _ => Cow::Borrowed(fresh),
    }
}

fn is_spoiled(record: &Record) -> bool {
    record.trade.trade_id % ONE_IN == ONE_IN / 2
}

fn without_spoiled(fresh: &[Record]) -> Cow<'_, [Record]> {
    fresh.iter().filter(|record| !is_spoiled(record)).copied().collect()
}

fn altered(fresh: &[Record], which: fn(&Record) -> bool, how: fn(&mut Trade)) -> Cow<'_, [Record]> {
    let mut records = fresh.to_vec();
    records.iter_mut().filter(|record| which(record)).for_each(|record| how(&mut record.trade));
    Cow::Owned(records)
}

fn raised(number: Fixed8) -> Fixed8 {
    Fixed8::from_units(number.units() + 1).unwrap_or(number)
}
