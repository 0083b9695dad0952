//! The pure heart of the pipeline: trades, price samples, candles, the ledger of trade ids, and the step that turns a
//! batch and what is stored into what is to be written. No I/O, no clock, no floating point.

mod candle;
mod fixed;
mod indicators;
mod interval;
mod plan;
mod ranges;
mod refusal;
mod restart;
#[cfg(feature = "sabotage")]
pub mod sabotage;
mod sample_candle;
#[cfg(test)]
mod testing;
mod ticker;
mod ticker_plan;
mod totals;
mod trade;

pub use candle::Candle;
pub use fixed::{Fixed, Fixed8, Fixed16, Overflow, ParseFixedError};
pub use indicators::{
    CorrectedAverage, IndicatorPlan, Indicators, TakerOrder, TradeIndicators, WhaleValues, millisecond_of,
};
pub use interval::{Interval, InvalidInterval};
pub use plan::{
    BuiltCandles, CandleKey, Fold, LastTrade, MarketPlan, Output, PlanSettings, Record, RecordCounts,
    SetAsideReason, StoredMarket, build_coarser, intervals_to_build, plan_market, touched_windows,
};
pub use ranges::{RangeChanges, RangeKind, TradeRange, TradeRanges};
pub use refusal::{RefusalReason, RefusedTrade};
pub use restart::{IdRestart, LARGEST_INVERSION_US, RESTART_PROOF};
pub use sample_candle::SampleCandle;
pub use ticker::{RollingDay, Sample, Ticker};
pub use ticker_plan::{StoredTickers, TickerPlan, TickerRecord, add_sample, plan_tickers, sampled_windows};
pub use totals::TradeTotals;
pub use trade::{HIGHEST_TRADE_ID, Market, Trade, is_trade_id, is_trade_time};
