//! What the rows mean, column by column, where times are integers and decimals are text: on SQLite and MySQL.

use market::{
    Candle, Fixed, Fold, IdRestart, LastTrade, Market, Output, Sample, SampleCandle, Trade, TradeRange,
    TradeTotals,
};

use crate::checks::{
    CheckCount, CheckVerdict, CheckableWindow, DifferingCandle, content_of, differences_of_json,
};
use crate::error::StoreError;
use crate::flush::{
    Floors, Reach, StoredCandle, StoredHead, StoredOffset, StoredSampleCandle, StoredTickerHead,
};
use crate::history::{HistoryStart, LoadedFile, TradeChain};
use crate::ledgers::{HeadRow, HoleRow, RefusedRow};
use crate::model::{CandleRow, HeadState, Hole, PartitionPosition, RefusedIds};
use crate::names::{day_of, interval_of, kind_of, output_of, reason_of};
use crate::series::{BegunSeries, Series, SeriesSpan};

/// A row of either database. A column that is not of the asked type is an error of the statement, as it is to their library.
pub(crate) trait PlainRow {
    fn int(&self, column: usize) -> i32;
    fn long(&self, column: usize) -> i64;
    fn any_long(&self, column: usize) -> Option<i64>;
    fn flag(&self, column: usize) -> bool;
    fn text(&self, column: usize) -> &str;
    fn any_text(&self, column: usize) -> Option<&str>;
}

/// The columns of [`candle_of`].
pub(crate) const CANDLE_COLUMNS: &str = "candles.symbol_id, candles.interval_s, candles.open_time_us, candles.open, candles.high, \
     candles.low, candles.close, candles.volume, candles.quote_volume, candles.trade_count, candles.taker_buy_volume, \
     candles.taker_buy_quote_volume, candles.first_trade_id, candles.last_trade_id";

fn fixed<const SCALE: u32>(row: &impl PlainRow, column: usize) -> Result<Fixed<SCALE>, StoreError> {
    let parsed = row.text(column).parse();
    parsed.map_err(|error| StoreError::Unexpected(format!("a decimal column: {error}")))
}

/// Of venue and symbol.
fn market_of(row: &impl PlainRow, column: usize) -> Market {
    Market::new(row.text(column), row.text(column + 1))
}

/// Of two columns, which are null together.
fn exchange_of(row: &impl PlainRow, column: usize) -> Option<HeadState> {
    let last_id = row.any_long(column)?;
    Some(HeadState { last_id, probed_at_us: row.any_long(column + 1)? })
}

/// Of two columns: beginning and end.
fn span_of(row: &impl PlainRow, column: usize) -> SeriesSpan {
    SeriesSpan { from_us: row.any_long(column), until_us: row.any_long(column + 1) }
}

/// Of two columns: since when, and how many trades say so.
fn restart_of(row: &impl PlainRow, column: usize) -> Option<IdRestart> {
    let since_us = row.any_long(column)?;
    Some(IdRestart { since_us, trades: row.long(column + 1) })
}

pub(crate) fn head_of(row: &impl PlainRow) -> Result<StoredHead, StoreError> {
    let last_trade = match (row.any_long(5), row.any_long(6)) {
        (Some(trade_id), Some(trade_time_us)) => {
            Some(LastTrade { trade_id, trade_time_us, price: fixed(row, 7)? })
        }
        _ => None,
    };
    Ok(StoredHead {
        symbol_id: row.int(0),
        market: market_of(row, 1),
        span: span_of(row, 11),
        version: row.long(3),
        trades_held: row.long(4),
        last_trade,
        max_inversion_us: row.long(8),
        restart: restart_of(row, 13),
        totals: TradeTotals { trades: row.long(15), volume: fixed(row, 16)?, quote_volume: fixed(row, 17)? },
        exchange: exchange_of(row, 9),
    })
}

/// The bounds of the rows whose time, in a column, is within reach; and the two parameters of those.
pub(crate) fn reach_bounds(column: &str, reach: Reach) -> (String, i64, i64) {
    let (from_us, until_us, order) = match reach {
        Reach::Newest(from_us, until_us, most) => {
            (from_us, until_us, format!("ORDER BY {column} DESC LIMIT {most}"))
        }
        Reach::Between(from_us, until_us) => (from_us, until_us, String::new()),
        Reach::Oldest(from_us, until_us, most) => {
            (from_us, until_us, format!("ORDER BY {column} LIMIT {most}"))
        }
    };
    (format!("{column} >= ? AND {column} < ? {order}"), from_us, until_us)
}

/// The columns of [`trade_of`].
pub(crate) const TRADE_COLUMNS: &str = "trade_id, trade_time_us, price, quantity, buyer_is_maker";

pub(crate) fn trade_of(row: &impl PlainRow) -> Result<Trade, StoreError> {
    let trade_time_us = row.long(1);
    Ok(Trade {
        trade_id: row.long(0),
        price: fixed(row, 2)?,
        quantity: fixed(row, 3)?,
        trade_time_us,
        event_time_us: trade_time_us,
        received_time_us: trade_time_us,
        buyer_is_maker: row.flag(4),
    })
}

/// Of id, venue, symbol, beginning and end.
pub(crate) fn series_of(row: &impl PlainRow) -> Series {
    Series { symbol_id: row.int(0), market: market_of(row, 1), span: span_of(row, 3) }
}

/// Of venue, symbol and beginning.
pub(crate) fn begun_series_of(row: &impl PlainRow) -> BegunSeries {
    BegunSeries { market: market_of(row, 0), since_us: row.long(2) }
}

pub(crate) fn offset_of(row: &impl PlainRow) -> StoredOffset {
    StoredOffset { partition: row.int(0), topic_id: row.text(1).to_owned(), next_offset: row.long(2) }
}

pub(crate) fn range_of(row: &impl PlainRow) -> Result<(i32, TradeRange), StoreError> {
    let kind = kind_of(row.text(3), row.any_text(6))?;
    let (first_time_us, last_time_us) = (row.long(4), row.long(5));
    Ok((
        row.int(0),
        TradeRange { first_id: row.long(1), last_id: row.long(2), kind, first_time_us, last_time_us },
    ))
}

pub(crate) fn fold_of(row: &impl PlainRow) -> Result<(i32, Output, Fold), StoreError> {
    let fold = Fold { incomplete_until_us: row.any_long(3) };
    Ok((row.int(0), output_of(row.text(1), row.int(2))?, fold))
}

pub(crate) fn candle_of(row: &impl PlainRow) -> Result<StoredCandle, StoreError> {
    let candle = Candle {
        open_time_us: row.long(2),
        open: fixed(row, 3)?,
        high: fixed(row, 4)?,
        low: fixed(row, 5)?,
        close: fixed(row, 6)?,
        volume: fixed(row, 7)?,
        quote_volume: fixed(row, 8)?,
        trade_count: row.long(9),
        taker_buy_volume: fixed(row, 10)?,
        taker_buy_quote_volume: fixed(row, 11)?,
        first_trade_id: row.long(12),
        last_trade_id: row.long(13),
    };
    Ok(StoredCandle { symbol_id: row.int(0), interval: interval_of(row.int(1))?, candle })
}

/// Of output and time.
pub(crate) fn floors_of<R: PlainRow>(rows: &[R]) -> Floors {
    let mut floors = Floors::default();
    for row in rows {
        match row.text(0) {
            "trades" => floors.trades_us = row.long(1),
            _ => floors.candles_us = row.long(1),
        }
    }
    floors
}

pub(crate) fn position_of(row: &impl PlainRow) -> PartitionPosition {
    PartitionPosition {
        partition: row.int(0),
        topic_id: row.text(1).to_owned(),
        next_offset: row.long(2),
        records_read: row.long(3),
        trades_new: row.long(4),
        trades_duplicate: row.long(5),
        records_set_aside: row.long(6),
    }
}

pub(crate) fn head_row_of(row: &impl PlainRow) -> HeadRow {
    HeadRow {
        symbol_id: row.int(0),
        market: market_of(row, 1),
        series: row.int(10),
        series_since_us: row.any_long(11),
        restart: restart_of(row, 12),
        has_ended: row.flag(14),
        max_inversion_us: row.long(15),
        first_trade_id: row.any_long(8),
        last_trade_id: row.any_long(3),
        last_trade_time_us: row.any_long(4),
        trades_held: row.long(5),
        head: exchange_of(row, 6),
        history_from_us: row.any_long(9),
    }
}

pub(crate) fn hole_row_of(row: &impl PlainRow) -> HoleRow {
    HoleRow { symbol_id: row.int(0), first_id: row.long(1), last_id: row.long(2), missing: row.long(3) }
}

/// Of first and last id.
pub(crate) fn hole_of(row: &impl PlainRow) -> Hole {
    Hole { first_id: row.long(0), last_id: row.long(1) }
}

pub(crate) fn refused_row_of(row: &impl PlainRow) -> Result<RefusedRow, StoreError> {
    let ids = RefusedIds { first_id: row.long(1), last_id: row.long(2), reason: reason_of(row.text(3))? };
    Ok(RefusedRow { symbol_id: row.int(0), ids, trades: row.long(4) })
}

pub(crate) fn candle_row_of(row: &impl PlainRow) -> Result<CandleRow, StoreError> {
    Ok(CandleRow {
        market: market_of(row, 0),
        interval: interval_of(row.int(2))?,
        open_time_us: row.long(3),
        open: fixed(row, 4)?,
        high: fixed(row, 5)?,
        low: fixed(row, 6)?,
        close: fixed(row, 7)?,
        volume: fixed(row, 8)?,
        quote_volume: fixed(row, 9)?,
        trade_count: row.long(10),
        taker_buy_volume: fixed(row, 11)?,
        taker_buy_quote_volume: fixed(row, 12)?,
        first_trade_id: row.any_long(13),
        last_trade_id: row.any_long(14),
        complete: row.flag(15),
        version: row.any_long(16),
        series: row.int(17),
    })
}

/// Of the columns of a candle, which are null where there is none but its time, then its version, and close and last id
/// of the candle before.
pub(crate) fn window_of(row: &impl PlainRow) -> Result<CheckableWindow, StoreError> {
    let version = row.any_long(14);
    let candle = version.map(|_| candle_of(row)).transpose()?.map(|stored| stored.candle);
    let last_trade_id = row.any_long(16);
    let close = last_trade_id.map(|_| fixed(row, 15)).transpose()?;
    Ok(CheckableWindow {
        open_time_us: row.long(2),
        version: version.unwrap_or_default(),
        content: content_of(candle, close.zip(last_trade_id))?,
    })
}

pub(crate) fn check_count_of(row: &impl PlainRow) -> Result<CheckCount, StoreError> {
    Ok(CheckCount {
        market: market_of(row, 0),
        interval: interval_of(row.int(2))?,
        verdict: CheckVerdict::named(row.text(3))?,
        windows: row.long(4),
    })
}

pub(crate) fn differing_candle_of(row: &impl PlainRow) -> Result<DifferingCandle, StoreError> {
    Ok(DifferingCandle {
        market: market_of(row, 0),
        interval: interval_of(row.int(2))?,
        open_time_us: row.long(3),
        verdict: CheckVerdict::named(row.text(4))?,
        differences: differences_of_json(row.text(5))?,
    })
}

/// Of time and id, which are null together.
pub(crate) fn start_of(row: &impl PlainRow) -> Option<HistoryStart> {
    let from_us = row.any_long(0)?;
    Some(HistoryStart { from_us, first_id: row.any_long(1)? })
}

/// What came of the files: those that were read to their end, and how many trades all of them brought.
pub(crate) fn files_of<R: PlainRow>(rows: &[R]) -> Result<(Vec<LoadedFile>, i64), StoreError> {
    let file = |row: &R| Ok(LoadedFile { day: day_of(row.text(0))?, sha256: row.text(1).to_owned() });
    let loaded = rows.iter().filter(|row| row.flag(3)).map(file).collect::<Result<_, StoreError>>()?;
    Ok((loaded, rows.iter().map(|row| row.long(2)).sum()))
}

pub(crate) fn chain_of(row: &impl PlainRow) -> TradeChain {
    TradeChain {
        first_id: row.long(0),
        last_id: row.long(1),
        first_time_us: row.long(2),
        last_time_us: row.long(3),
    }
}

/// Of venue, symbol and id.
pub(crate) fn ticker_market_of(row: &impl PlainRow) -> (Market, i32) {
    (market_of(row, 0), row.int(2))
}

pub(crate) fn ticker_head_of(row: &impl PlainRow) -> Result<StoredTickerHead, StoreError> {
    let last = match row.any_long(3) {
        Some(time_us) => Some(Sample { time_us, price: fixed(row, 4)? }),
        None => None,
    };
    Ok(StoredTickerHead { market_id: row.int(0), version: row.long(1), samples_held: row.long(2), last })
}

/// The columns of [`sample_candle_of`].
pub(crate) const SAMPLE_CANDLE_COLUMNS: &str = "candles.market_id, candles.interval_s, candles.open_time_us, candles.open, candles.high, \
     candles.low, candles.close, candles.price_sum, candles.sample_count, candles.first_time_us, candles.last_time_us";

pub(crate) fn sample_candle_of(row: &impl PlainRow) -> Result<StoredSampleCandle, StoreError> {
    let candle = SampleCandle {
        open_time_us: row.long(2),
        open: fixed(row, 3)?,
        high: fixed(row, 4)?,
        low: fixed(row, 5)?,
        close: fixed(row, 6)?,
        price_sum: fixed(row, 7)?,
        sample_count: row.long(8),
        first_time_us: row.long(9),
        last_time_us: row.long(10),
    };
    Ok(StoredSampleCandle { market_id: row.int(0), interval: interval_of(row.int(1))?, candle })
}

/// Of market id and time.
pub(crate) fn sample_time_of(row: &impl PlainRow) -> (i32, i64) {
    (row.int(0), row.long(1))
}

/// Of market id, time and price.
pub(crate) fn sample_of(row: &impl PlainRow) -> Result<(i32, Sample), StoreError> {
    Ok((row.int(0), Sample { time_us: row.long(1), price: fixed(row, 2)? }))
}
