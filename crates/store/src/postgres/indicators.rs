//! The statements of a flush about single trades on PostgreSQL.

use market::Trade;
use sqlx::{AssertSqlSafe, PgConnection, Postgres, Transaction};

use super::rows::{reach_bounds, trade_of};
use super::types::{Numeric, Time};
use crate::error::StoreError;
use crate::flush::{MarketWrite, Reach, TradeTransaction};

impl TradeTransaction for Transaction<'static, Postgres> {
    async fn read_trades_at(&mut self, symbol_id: i32, reach: Reach) -> Result<Vec<Trade>, StoreError> {
        let (bounds, first, second) = reach_bounds("trade_time", 2, reach);
        let statement = format!(
            "SELECT trade_id, trade_time, price, quantity, buyer_is_maker FROM trades WHERE symbol_id = $1 AND {bounds}"
        );
        let rows = sqlx::query(AssertSqlSafe(statement))
            .bind(symbol_id)
            .bind(first)
            .bind(second)
            .fetch_all(&mut **self)
            .await
            .map_err(StoreError::database("read stored trades"))?;
        rows.iter().map(trade_of).collect()
    }
}

/// Behind the trades themselves: what is said anew of others, and the orders of whales.
pub(super) async fn write_indicators(
    connection: &mut PgConnection,
    markets: &[MarketWrite],
) -> Result<(), sqlx::Error> {
    correct_averages(connection, markets).await?;
    delete_orders(connection, markets).await?;
    write_orders(connection, markets).await
}

/// What is written of each market, with the market.
fn of_each<T>(markets: &[MarketWrite], written: fn(&MarketWrite) -> &Vec<T>) -> Vec<(&MarketWrite, &T)> {
    markets.iter().flat_map(|market| written(market).iter().map(move |row| (market, row))).collect()
}

async fn correct_averages(connection: &mut PgConnection, markets: &[MarketWrite]) -> Result<(), sqlx::Error> {
    let corrected = of_each(markets, |market| &market.indicators.corrected);
    if corrected.is_empty() {
        return Ok(());
    }
    let times_us = || corrected.iter().map(|(_, corrected)| corrected.trade_time_us);
    // The times are said apart too, so that days that cannot have any of the trades are left alone.
    sqlx::query(
        "UPDATE trades SET moving_average = corrected.moving_average, version = corrected.version
         FROM unnest($1::int[], $2::bigint[], $3::timestamptz[], $4::bigint[], $5::numeric[])
             AS corrected (symbol_id, trade_id, trade_time, version, moving_average)
         WHERE trades.symbol_id = corrected.symbol_id AND trades.trade_time = corrected.trade_time
           AND trades.trade_id = corrected.trade_id AND trades.trade_time BETWEEN $6 AND $7
           AND trades.moving_average IS DISTINCT FROM corrected.moving_average",
    )
    .bind(corrected.iter().map(|(market, _)| market.symbol_id).collect::<Vec<i32>>())
    .bind(corrected.iter().map(|(_, corrected)| corrected.trade_id).collect::<Vec<i64>>())
    .bind(corrected.iter().map(|(_, corrected)| Time(corrected.trade_time_us)).collect::<Vec<Time>>())
    .bind(corrected.iter().map(|(market, _)| market.version).collect::<Vec<i64>>())
    .bind(
        corrected
            .iter()
            .map(|(_, corrected)| corrected.moving_average.map(Numeric))
            .collect::<Vec<Option<Numeric<8>>>>(),
    )
    .bind(Time(times_us().min().unwrap_or_default()))
    .bind(Time(times_us().max().unwrap_or_default()))
    .execute(connection)
    .await?;
    Ok(())
}

async fn delete_orders(connection: &mut PgConnection, markets: &[MarketWrite]) -> Result<(), sqlx::Error> {
    let regrouped = of_each(markets, |market| &market.indicators.regrouped);
    if regrouped.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "DELETE FROM whale_orders USING unnest($1::int[], $2::bigint[]) AS gone (symbol_id, first_trade_id)
         WHERE whale_orders.symbol_id = gone.symbol_id AND whale_orders.first_trade_id = gone.first_trade_id",
    )
    .bind(regrouped.iter().map(|(market, _)| market.symbol_id).collect::<Vec<i32>>())
    .bind(regrouped.iter().map(|(_, id)| **id).collect::<Vec<i64>>())
    .execute(connection)
    .await?;
    Ok(())
}

async fn write_orders(connection: &mut PgConnection, markets: &[MarketWrite]) -> Result<(), sqlx::Error> {
    let orders = of_each(markets, |market| &market.indicators.whale_orders);
    if orders.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "INSERT INTO whale_orders (symbol_id, version, first_trade_id, last_trade_id, trade_time, buyer_is_maker, quantity,
             quote_quantity)
         SELECT * FROM unnest($1::int[], $2::bigint[], $3::bigint[], $4::bigint[], $5::timestamptz[], $6::boolean[],
             $7::numeric[], $8::numeric[])
         ON CONFLICT (symbol_id, first_trade_id) DO UPDATE SET version = excluded.version,
             last_trade_id = excluded.last_trade_id, trade_time = excluded.trade_time,
             buyer_is_maker = excluded.buyer_is_maker, quantity = excluded.quantity,
             quote_quantity = excluded.quote_quantity",
    )
    .bind(orders.iter().map(|(market, _)| market.symbol_id).collect::<Vec<i32>>())
    .bind(orders.iter().map(|(market, _)| market.version).collect::<Vec<i64>>())
    .bind(orders.iter().map(|(_, order)| order.first_trade_id).collect::<Vec<i64>>())
    .bind(orders.iter().map(|(_, order)| order.last_trade_id).collect::<Vec<i64>>())
    .bind(orders.iter().map(|(_, order)| Time(order.trade_time_us)).collect::<Vec<Time>>())
    .bind(orders.iter().map(|(_, order)| order.buyer_is_maker).collect::<Vec<bool>>())
    .bind(orders.iter().map(|(_, order)| Numeric(order.quantity)).collect::<Vec<Numeric<8>>>())
    .bind(orders.iter().map(|(_, order)| Numeric(order.quote_quantity)).collect::<Vec<Numeric<16>>>())
    .execute(connection)
    .await?;
    Ok(())
}
