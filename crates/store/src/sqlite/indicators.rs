//! The statements of a flush about single trades on SQLite.

use market::Trade;
use sqlx::{AssertSqlSafe, Sqlite, SqliteConnection, Transaction};

use super::flush::write_rows;
use crate::error::StoreError;
use crate::flush::{MarketWrite, Reach, TradeTransaction};
use crate::json_rows::{corrected_average_rows, regrouped_rows, whale_order_rows};
use crate::plain_rows::{TRADE_COLUMNS, reach_bounds, trade_of};

impl TradeTransaction for Transaction<'static, Sqlite> {
    async fn read_trades_at(&mut self, symbol_id: i32, reach: Reach) -> Result<Vec<Trade>, StoreError> {
        let (bounds, first, second) = reach_bounds("trade_time_us", reach);
        let statement = format!("SELECT {TRADE_COLUMNS} FROM trades WHERE symbol_id = ? AND {bounds}");
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

const CORRECT_AVERAGES: &str = "UPDATE trades SET moving_average = corrected.value ->> 4, version = corrected.value ->> 3
     FROM json_each($1) AS corrected
     WHERE symbol_id = corrected.value ->> 0 AND trade_time_us = corrected.value ->> 2 AND trade_id = corrected.value ->> 1
         AND moving_average IS NOT corrected.value ->> 4";

const DELETE_ORDERS: &str = "DELETE FROM whale_orders WHERE (symbol_id, first_trade_id) IN
     (SELECT value ->> 0, value ->> 1 FROM json_each($1))";

const UPSERT_ORDERS: &str = "INSERT INTO whale_orders (symbol_id, first_trade_id, last_trade_id, trade_time_us, version,
         buyer_is_maker, quantity, quote_quantity)
     SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6, value ->> 7
     FROM json_each($1) WHERE true
     ON CONFLICT (symbol_id, first_trade_id) DO UPDATE SET last_trade_id = excluded.last_trade_id,
         trade_time_us = excluded.trade_time_us, version = excluded.version, buyer_is_maker = excluded.buyer_is_maker,
         quantity = excluded.quantity, quote_quantity = excluded.quote_quantity";

/// Behind the trades themselves: what is said anew of others, and the orders of whales.
pub(super) async fn write_indicators(
    connection: &mut SqliteConnection,
    markets: &[MarketWrite],
) -> Result<(), sqlx::Error> {
    write_rows(connection, CORRECT_AVERAGES, corrected_average_rows(markets)).await?;
    write_rows(connection, DELETE_ORDERS, regrouped_rows(markets)).await?;
    write_rows(connection, UPSERT_ORDERS, whale_order_rows(markets)).await
}
