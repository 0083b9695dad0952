//! What the rows of SQLite's tables mean, column by column.

use market::{Candle, IdRestart, LastTrade, Market};
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use super::fixed;
use crate::error::StoreError;
use crate::flush::{StoredCandle, StoredHead};
use crate::model::HeadState;
use crate::names::interval_of;
use crate::series::{Series, SeriesSpan};

pub(super) fn head_of(row: &SqliteRow) -> Result<StoredHead, StoreError> {
    let last_trade = match (row.get(5), row.get(6)) {
        (Some(trade_id), Some(trade_time_us)) => {
            Some(LastTrade { trade_id, trade_time_us, price: fixed(row, 7)? })
        }
        _ => None,
    };
    Ok(StoredHead {
        symbol_id: row.get(0),
        market: Market::new(row.get::<&str, _>(1), row.get::<&str, _>(2)),
        span: span_of(row, 11),
        version: row.get(3),
        trades_held: row.get(4),
        last_trade,
        max_inversion_us: row.get(8),
        restart: restart_of(row, 13),
        exchange: row
            .get::<Option<i64>, _>(9)
            .zip(row.get::<Option<i64>, _>(10))
            .map(|(last_id, probed_at_us)| HeadState { last_id, probed_at_us }),
    })
}

/// Of id, venue, symbol, beginning and end.
pub(super) fn series_of(row: &SqliteRow) -> Series {
    Series {
        symbol_id: row.get(0),
        market: Market::new(row.get::<&str, _>(1), row.get::<&str, _>(2)),
        span: span_of(row, 3),
    }
}

/// Of two columns: beginning and end.
fn span_of(row: &SqliteRow, column: usize) -> SeriesSpan {
    SeriesSpan { from_us: row.get(column), until_us: row.get(column + 1) }
}

/// Of two columns: since when, and how many trades say so.
pub(super) fn restart_of(row: &SqliteRow, column: usize) -> Option<IdRestart> {
    let since_us = row.get::<Option<i64>, _>(column)?;
    Some(IdRestart { since_us, trades: row.get(column + 1) })
}

pub(super) fn candle_of(row: &SqliteRow) -> Result<StoredCandle, StoreError> {
    let candle = Candle {
        open_time_us: row.get(2),
        open: fixed(row, 3)?,
        high: fixed(row, 4)?,
        low: fixed(row, 5)?,
        close: fixed(row, 6)?,
        volume: fixed(row, 7)?,
        quote_volume: fixed(row, 8)?,
        trade_count: row.get(9),
        taker_buy_volume: fixed(row, 10)?,
        taker_buy_quote_volume: fixed(row, 11)?,
        first_trade_id: row.get(12),
        last_trade_id: row.get(13),
    };
    Ok(StoredCandle { symbol_id: row.get(0), interval: interval_of(row.get(1))?, candle })
}
