//! From trades to candles of every interval, and from candles to coarser ones.

use hashbrown::HashMap;
use hashbrown::hash_map::Entry;

use super::{CandleKey, PlanSettings, Record, StoredMarket};
use crate::{Candle, Interval, Overflow};

/// The candles of `interval` that the candles of a finer one add up to.
///
/// # Errors
/// [`Overflow`] where a sum does not fit.
pub fn build_coarser(finer: &[Candle], interval: Interval) -> Result<HashMap<CandleKey, Candle>, Overflow> {
    let mut built = HashMap::new();
    for candle in finer {
        let open_time_us = interval.open_time_us(candle.open_time_us);
        merge_into(&mut built, (interval, open_time_us), Candle { open_time_us, ..*candle })?;
    }
    Ok(built)
}

/// Adds the trades to the candles and tells which of them were added, and which do not fit. These are so
/// seldom that trying one by one is soon enough where there are any.
pub(super) fn fold_what_fits(
    fresh: Vec<Record>,
    stored: &StoredMarket,
    settings: &PlanSettings,
    changed: &mut HashMap<CandleKey, Candle>,
) -> (Vec<Record>, Vec<Record>) {
    match fold(&fresh, stored, settings, changed) {
        Ok(()) => (fresh, Vec::new()),
        Err(Overflow) => fresh
            .into_iter()
            .partition(|record| fold(std::slice::from_ref(record), stored, settings, changed).is_ok()),
    }
}

/// Adds the trades to the candles of every interval, all or none: once to the longest common part of the windows, then
/// part by part to the windows. `changed` receives the candles as they are then.
fn fold(
    fresh: &[Record],
    stored: &StoredMarket,
    settings: &PlanSettings,
    changed: &mut HashMap<CandleKey, Candle>,
) -> Result<(), Overflow> {
    let mut merged = changed.clone();
    for part in common_parts(fresh, settings)? {
        for interval in &settings.intervals {
            let open_time_us = interval.open_time_us(part.open_time_us);
            if open_time_us < settings.candles_floor_us {
                continue;
            }
            let key = (*interval, open_time_us);
            if let Entry::Vacant(vacant) = merged.entry(key)
                && let Some(candle) = stored.candles.get(&key)
            {
                vacant.insert(*candle);
            }
            merge_into(&mut merged, key, Candle { open_time_us, ..part })?;
        }
    }
    *changed = merged;
    Ok(())
}

/// The trades as candles of the longest interval that all intervals are made of.
fn common_parts(fresh: &[Record], settings: &PlanSettings) -> Result<Vec<Candle>, Overflow> {
    let common = Interval::greatest_common(&settings.intervals);
    let mut parts: Vec<Candle> = Vec::new();
    for record in fresh {
        let open_time_us = common.open_time_us(record.trade.trade_time_us);
        let candle = Candle::of_trade(&record.trade, open_time_us)?;
        match parts.last_mut() {
            Some(part) if part.open_time_us == open_time_us => *part = part.merge(&candle)?,
            _ => parts.push(candle),
        }
    }
    Ok(parts)
}

fn merge_into(
    candles: &mut HashMap<CandleKey, Candle>,
    key: CandleKey,
    candle: Candle,
) -> Result<(), Overflow> {
    match candles.entry(key) {
        Entry::Occupied(mut occupied) => {
            let merged = occupied.get().merge(&candle)?;
            occupied.insert(merged);
        }
        Entry::Vacant(vacant) => {
            vacant.insert(candle);
        }
    }
    Ok(())
}
