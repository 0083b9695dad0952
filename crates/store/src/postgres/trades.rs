//! The rows of trades: a few as arrays, many as PostgreSQL's binary COPY. No text is made and none is parsed.

use market::{Fixed8, Trade, TradeIndicators};
use sqlx::PgConnection;

use super::types::{Numeric, Time, put_numeric};
use crate::flush::MarketWrite;

const COPY_TRADES: &str = "COPY trades (symbol_id, trade_id, trade_time, version, price, quantity, buyer_is_maker, \
                           moving_average, is_whale) FROM STDIN (FORMAT binary)";
const SIGNATURE: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
const COLUMNS: i16 = 9;
const NULL: i32 = -1;
const END_OF_DATA: i16 = -1;
/// Rows go out in pieces of about this size, so that a large flush is never in memory twice.
const CHUNK_BYTES: usize = 256 * 1024;

/// Up to so many rows go as arrays. A COPY ends with a message of its own, which is held back until the server acknowledges the
/// rows before it, some 40 ms: sqlx 0.9.0 leaves Nagle's algorithm on (<https://github.com/transact-rs/sqlx/issues/4335>). Arrays of
/// so many rows take as long.
pub(crate) const MOST_IN_ARRAYS: usize = 4_000;

/// Writes the trades of all markets in one statement; none, and there is no statement.
pub(super) async fn write_trades(
    connection: &mut PgConnection,
    markets: &[MarketWrite],
) -> Result<(), sqlx::Error> {
    match markets.iter().map(|market| market.plan.trades.len()).sum() {
        0 => Ok(()),
        1..=MOST_IN_ARRAYS => insert(connection, markets).await,
        _ => copy(connection, markets).await,
    }
}

async fn insert(connection: &mut PgConnection, markets: &[MarketWrite]) -> Result<(), sqlx::Error> {
    let rows: Vec<(&MarketWrite, &Trade, TradeIndicators)> = markets
        .iter()
        .flat_map(|market| market.trades().map(move |(trade, said)| (market, trade, said)))
        .collect();
    sqlx::query(
        "INSERT INTO trades (symbol_id, trade_id, trade_time, version, price, quantity, buyer_is_maker, moving_average, is_whale)
         SELECT * FROM unnest($1::int[], $2::bigint[], $3::timestamptz[], $4::bigint[], $5::numeric[], $6::numeric[],
             $7::boolean[], $8::numeric[], $9::boolean[])",
    )
    .bind(rows.iter().map(|(market, ..)| market.symbol_id).collect::<Vec<i32>>())
    .bind(rows.iter().map(|(_, trade, _)| trade.trade_id).collect::<Vec<i64>>())
    .bind(rows.iter().map(|(_, trade, _)| Time(trade.trade_time_us)).collect::<Vec<Time>>())
    .bind(rows.iter().map(|(market, ..)| market.version).collect::<Vec<i64>>())
    .bind(rows.iter().map(|(_, trade, _)| Numeric(trade.price)).collect::<Vec<Numeric<8>>>())
    .bind(rows.iter().map(|(_, trade, _)| Numeric(trade.quantity)).collect::<Vec<Numeric<8>>>())
    .bind(rows.iter().map(|(_, trade, _)| trade.buyer_is_maker).collect::<Vec<bool>>())
    .bind(rows.iter().map(|(.., said)| said.moving_average.map(Numeric)).collect::<Vec<Option<Numeric<8>>>>())
    .bind(rows.iter().map(|(.., said)| said.is_whale).collect::<Vec<bool>>())
    .execute(connection)
    .await?;
    Ok(())
}

async fn copy(connection: &mut PgConnection, markets: &[MarketWrite]) -> Result<(), sqlx::Error> {
    let mut copy = connection.copy_in_raw(COPY_TRADES).await?;
    // A COPY that is dropped breaks the connection for its next user, so every way out ends it.
    match send(&mut copy, markets).await {
        Ok(()) => copy.finish().await.map(|_| ()),
        Err(error) => {
            copy.abort("the client could not send all rows").await?;
            Err(error)
        }
    }
}

async fn send(
    copy: &mut sqlx::postgres::PgCopyIn<&mut PgConnection>,
    markets: &[MarketWrite],
) -> Result<(), sqlx::Error> {
    let mut rows = Vec::with_capacity(CHUNK_BYTES + 256);
    rows.extend(SIGNATURE);
    for market in markets {
        for (trade, said) in market.trades() {
            put_row(market, trade, said, &mut rows);
            if rows.len() >= CHUNK_BYTES {
                copy.send(rows.as_slice()).await?;
                rows.clear();
            }
        }
    }
    rows.extend(END_OF_DATA.to_be_bytes());
    copy.send(rows.as_slice()).await?;
    Ok(())
}

fn put_row(market: &MarketWrite, trade: &Trade, said: TradeIndicators, out: &mut Vec<u8>) {
    out.extend(COLUMNS.to_be_bytes());
    put_field(&market.symbol_id.to_be_bytes(), out);
    put_field(&trade.trade_id.to_be_bytes(), out);
    put_field(&Time(trade.trade_time_us).to_bytes(), out);
    put_field(&market.version.to_be_bytes(), out);
    put_decimal(trade.price, out);
    put_decimal(trade.quantity, out);
    put_field(&[u8::from(trade.buyer_is_maker)], out);
    match said.moving_average {
        Some(average) => put_decimal(average, out),
        None => out.extend(NULL.to_be_bytes()),
    }
    put_field(&[u8::from(said.is_whale)], out);
}

fn put_decimal(decimal: Fixed8, out: &mut Vec<u8>) {
    let length_at = out.len();
    out.extend([0; 4]);
    put_numeric(decimal, out);
    let length = u32::try_from(out.len() - length_at - 4).unwrap_or_default();
    if let Some(slot) = out.get_mut(length_at..length_at + 4) {
        slot.copy_from_slice(&length.to_be_bytes());
    }
}

fn put_field(bytes: &[u8], out: &mut Vec<u8>) {
    out.extend(u32::try_from(bytes.len()).unwrap_or_default().to_be_bytes());
    out.extend(bytes);
}
