//! Everything that one flush writes.

use market::{
    IdRestart, IndicatorPlan, Interval, LastTrade, Market, MarketPlan, RangeChanges, Trade, TradeIndicators,
    TradeTotals,
};

use super::{StoredHead, TickerWrite};
use crate::history::HistoryWrite;

/// Everything that one flush writes.
#[derive(Debug, Default)]
pub(crate) struct FlushWrites {
    pub(crate) topic: String,
    pub(crate) topic_id: String,
    pub(crate) partitions: Vec<PartitionWrite>,
    pub(crate) markets: Vec<MarketWrite>,
    pub(crate) tickers: Vec<TickerWrite>,
    pub(crate) set_aside: Vec<SetAsideRow>,
    pub(crate) history: Option<HistoryWrite>,
}

impl FlushWrites {
    /// Of one market alone, and of no record of a topic.
    pub(crate) fn of_market(market: MarketWrite) -> Self {
        Self { markets: vec![market], ..Self::default() }
    }
}

/// What becomes of a row of `partition_offsets`.
#[derive(Debug, Default)]
pub(crate) struct PartitionWrite {
    pub(crate) partition: i32,
    pub(crate) next_offset: i64,
    pub(crate) records_read: i64,
    pub(crate) trades_new: i64,
    pub(crate) trades_duplicate: i64,
    pub(crate) samples_new: i64,
    pub(crate) samples_duplicate: i64,
    pub(crate) records_set_aside: i64,
    pub(crate) offsets_skipped: i64,
}

/// What becomes of one market.
#[derive(Debug)]
pub(crate) struct MarketWrite {
    pub(crate) symbol_id: i32,
    pub(crate) market: Market,
    pub(crate) version: i64,
    pub(crate) trades_held: i64,
    pub(crate) last_trade: Option<LastTrade>,
    pub(crate) max_inversion_us: i64,
    pub(crate) restart: Option<IdRestart>,
    pub(crate) totals: TradeTotals,
    pub(crate) plan: MarketPlan,
    pub(crate) indicators: IndicatorPlan,
}

impl MarketWrite {
    /// Changes of the ledger alone, with the version that comes next.
    pub(crate) fn of_ledger(head: StoredHead, ranges: RangeChanges) -> Self {
        Self {
            symbol_id: head.symbol_id,
            market: head.market,
            version: head.version + 1,
            trades_held: head.trades_held,
            last_trade: head.last_trade,
            max_inversion_us: head.max_inversion_us,
            restart: head.restart,
            totals: head.totals,
            plan: MarketPlan { ranges, ..MarketPlan::default() },
            indicators: IndicatorPlan::default(),
        }
    }

    /// The trades to store, with what is said of them.
    pub(crate) fn trades(&self) -> impl Iterator<Item = (&Trade, TradeIndicators)> {
        let said =
            self.indicators.of_trades.iter().copied().chain(std::iter::repeat(TradeIndicators::default()));
        self.plan.trades.iter().zip(said)
    }

    /// The candles to write, with their interval.
    pub(crate) fn candles(&self) -> impl Iterator<Item = (Interval, &market::Candle)> {
        self.plan.candles.iter().map(|(interval, candle)| (*interval, candle))
    }
}

/// A row of `set_aside`.
#[derive(Debug)]
pub(crate) struct SetAsideRow {
    pub(crate) partition: i32,
    pub(crate) offset: i64,
    pub(crate) reason: &'static str,
    pub(crate) payload: Vec<u8>,
}
