//! From the rows of the ledger to what is said of each market.

use std::collections::BTreeMap;

use market::{IdRestart, Market};

use crate::model::{HeadState, Hole, MarketLedger, RefusedIds, RefusedTrades};
use crate::series::earliest_series;

/// One row of `symbol_head`, as far as a ledger needs it.
pub(crate) struct HeadRow {
    pub(crate) symbol_id: i32,
    pub(crate) market: Market,
    pub(crate) series: i32,
    pub(crate) series_since_us: Option<i64>,
    pub(crate) restart: Option<IdRestart>,
    pub(crate) has_ended: bool,
    pub(crate) max_inversion_us: i64,
    pub(crate) first_trade_id: Option<i64>,
    pub(crate) last_trade_id: Option<i64>,
    pub(crate) last_trade_time_us: Option<i64>,
    pub(crate) trades_held: i64,
    pub(crate) head: Option<HeadState>,
    pub(crate) history_from_us: Option<i64>,
}

/// One hole, with the number of all ids that its symbol misses.
pub(crate) struct HoleRow {
    pub(crate) symbol_id: i32,
    pub(crate) first_id: i64,
    pub(crate) last_id: i64,
    pub(crate) missing: i64,
}

/// One range of refused trades, with the number of all that its symbol has.
pub(crate) struct RefusedRow {
    pub(crate) symbol_id: i32,
    pub(crate) ids: RefusedIds,
    pub(crate) trades: i64,
}

/// One ledger a row; holes and refused trades come newest first.
pub(crate) fn ledgers(
    heads: Vec<HeadRow>,
    holes: Vec<HoleRow>,
    refused: Vec<RefusedRow>,
) -> Vec<MarketLedger> {
    let mut refused_by_symbol: BTreeMap<i32, RefusedTrades> = BTreeMap::new();
    for RefusedRow { symbol_id, ids, trades } in refused {
        let of_symbol = refused_by_symbol.entry(symbol_id).or_default();
        of_symbol.trades = trades;
        of_symbol.newest.push(ids);
    }
    let mut by_symbol: BTreeMap<i32, (i64, Vec<Hole>)> = BTreeMap::new();
    for HoleRow { symbol_id, first_id, last_id, missing } in holes {
        let of_symbol = by_symbol.entry(symbol_id).or_default();
        of_symbol.0 = missing;
        of_symbol.1.push(Hole { first_id, last_id });
    }
    let ledger = |head: HeadRow| {
        let (missing, holes) = by_symbol.remove(&head.symbol_id).unwrap_or_default();
        MarketLedger {
            market: head.market,
            series: head.series,
            series_since_us: head.series_since_us,
            restart: head.restart.filter(IdRestart::is_proven),
            earliest_series_us: head
                .last_trade_time_us
                .map(|newest_us| earliest_series(newest_us, head.max_inversion_us)),
            first_trade_id: head.first_trade_id,
            last_trade_id: head.last_trade_id,
            last_trade_time_us: head.last_trade_time_us,
            trades_held: head.trades_held,
            head: head.head,
            history_from_us: head.history_from_us,
            missing,
            holes,
            refused: refused_by_symbol.remove(&head.symbol_id).unwrap_or_default(),
        }
    };
    heads.into_iter().map(ledger).collect()
}
