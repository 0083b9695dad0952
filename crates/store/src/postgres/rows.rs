//! What the rows of PostgreSQL's tables mean, column by column.

use market::{Candle, IdRestart, LastTrade, Market, Trade, TradeTotals};
use sqlx::Row;
use sqlx::postgres::PgRow;

use super::types::{Numeric, Time};
use crate::error::StoreError;
use crate::flush::{Reach, StoredCandle, StoredHead};
use crate::model::HeadState;
use crate::names::interval_of;
use crate::series::{Series, SeriesSpan};

pub(super) fn head_of(row: &PgRow) -> Result<StoredHead, StoreError> {
    let last_trade = match (row.get(5), row.get::<Option<Time>, _>(6), row.get::<Option<Numeric<8>>, _>(7)) {
        (Some(trade_id), Some(Time(trade_time_us)), Some(Numeric(price))) => {
            Some(LastTrade { trade_id, trade_time_us, price })
        }
        _ => None,
    };
    let (Numeric(volume), Numeric(quote_volume)) = (row.get(16), row.get(17));
    Ok(StoredHead {
        symbol_id: row.get(0),
        market: Market::new(row.get::<&str, _>(1), row.get::<&str, _>(2)),
        span: span_of(row, 11),
        version: row.get(3),
        trades_held: row.get(4),
        last_trade,
        max_inversion_us: row.get(8),
        restart: restart_of(row, 13),
        totals: TradeTotals { trades: row.get(15), volume, quote_volume },
        exchange: row
            .get::<Option<i64>, _>(9)
            .zip(row.get::<Option<Time>, _>(10))
            .map(|(last_id, Time(probed_at_us))| HeadState { last_id, probed_at_us }),
    })
}

/// Of id, venue, symbol, beginning and end.
pub(super) fn series_of(row: &PgRow) -> Series {
    Series {
        symbol_id: row.get(0),
        market: Market::new(row.get::<&str, _>(1), row.get::<&str, _>(2)),
        span: span_of(row, 3),
    }
}

/// Of two columns: beginning and end.
fn span_of(row: &PgRow, column: usize) -> SeriesSpan {
    let time_us = |column: usize| row.get::<Option<Time>, _>(column).map(|Time(time_us)| time_us);
    SeriesSpan { from_us: time_us(column), until_us: time_us(column + 1) }
}

/// Of two columns: since when, and how many trades say so.
pub(super) fn restart_of(row: &PgRow, column: usize) -> Option<IdRestart> {
    let Time(since_us) = row.get::<Option<Time>, _>(column)?;
    Some(IdRestart { since_us, trades: row.get(column + 1) })
}

/// The bounds of the rows whose time, in a column, is within reach; and the two parameters of those, of which the first is
/// the `parameter`th of the statement.
pub(super) fn reach_bounds(column: &str, parameter: usize, reach: Reach) -> (String, Time, Time) {
    let (from_us, until_us, order) = match reach {
        Reach::Newest(from_us, until_us, most) => {
            (from_us, until_us, format!("ORDER BY {column} DESC LIMIT {most}"))
        }
        Reach::Between(from_us, until_us) => (from_us, until_us, String::new()),
        Reach::Oldest(from_us, until_us, most) => {
            (from_us, until_us, format!("ORDER BY {column} LIMIT {most}"))
        }
    };
    let bounds = format!("{column} >= ${parameter} AND {column} < ${} {order}", parameter + 1);
    (bounds, Time(from_us), Time(until_us))
}

pub(super) fn trade_of(row: &PgRow) -> Result<Trade, StoreError> {
    let read = || -> Result<Trade, sqlx::Error> {
        let Time(trade_time_us) = row.try_get(1)?;
        let (Numeric(price), Numeric(quantity)) = (row.try_get(2)?, row.try_get(3)?);
        Ok(Trade {
            trade_id: row.try_get(0)?,
            price,
            quantity,
            trade_time_us,
            event_time_us: trade_time_us,
            received_time_us: trade_time_us,
            buyer_is_maker: row.try_get(4)?,
        })
    };
    read().map_err(StoreError::database("read a trade"))
}

pub(super) fn candle_of(row: &PgRow) -> Result<StoredCandle, StoreError> {
    let reading = StoreError::database("read a candle");
    let fixed8 = |column: usize| row.try_get(column).map(|Numeric(number): Numeric<8>| number);
    let fixed16 = |column: usize| row.try_get(column).map(|Numeric(number): Numeric<16>| number);
    let read = || -> Result<Candle, sqlx::Error> {
        let Time(open_time_us) = row.try_get(2)?;
        Ok(Candle {
            open_time_us,
            open: fixed8(3)?,
            high: fixed8(4)?,
            low: fixed8(5)?,
            close: fixed8(6)?,
            volume: fixed8(7)?,
            quote_volume: fixed16(8)?,
            trade_count: row.try_get(9)?,
            taker_buy_volume: fixed8(10)?,
            taker_buy_quote_volume: fixed16(11)?,
            first_trade_id: row.try_get(12)?,
            last_trade_id: row.try_get(13)?,
        })
    };
    Ok(StoredCandle {
        symbol_id: row.get(0),
        interval: interval_of(row.get(1))?,
        candle: read().map_err(reading)?,
    })
}
