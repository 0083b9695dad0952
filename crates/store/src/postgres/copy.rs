//! Trades as PostgreSQL's binary COPY: no text is made and none is parsed.

use market::{Fixed8, Trade, TradeIndicators};
use sqlx::PgConnection;

use super::types::{Time, put_numeric};
use crate::flush::MarketWrite;

const COPY_TRADES: &str = "COPY trades (symbol_id, trade_id, trade_time, version, price, quantity, buyer_is_maker, \
                           moving_average, is_whale) FROM STDIN (FORMAT binary)";
const SIGNATURE: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
const COLUMNS: i16 = 9;
const NULL: i32 = -1;
const END_OF_DATA: i16 = -1;
/// Rows go out in pieces of about this size, so that a large flush is never in memory twice.
const CHUNK_BYTES: usize = 256 * 1024;

/// Copies the trades of all markets in one statement; none, and there is no statement.
pub(super) async fn copy_trades(
    connection: &mut PgConnection,
    markets: &[MarketWrite],
) -> Result<(), sqlx::Error> {
    if markets.iter().all(|market| market.plan.trades.is_empty()) {
        return Ok(());
    }
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
