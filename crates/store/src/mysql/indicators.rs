//! The statements of a flush about single trades on MySQL. Rows are found by key.

use market::Trade;
use sqlx::{AssertSqlSafe, MySql, MySqlConnection, Transaction};

use super::flush::write_rows;
use crate::error::StoreError;
use crate::flush::{MarketWrite, Reach, TradeTransaction};
use crate::json_rows::{corrected_average_rows, regrouped_rows, whale_order_rows};
use crate::plain_rows::{TRADE_COLUMNS, reach_bounds, trade_of};

impl TradeTransaction for Transaction<'static, MySql> {
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

// A decimal and a text would be compared as floating-point numbers.
const CORRECT_AVERAGES: &str = "UPDATE JSON_TABLE(?, '$[*]' COLUMNS (
         symbol_id INT PATH '$[0]' ERROR ON ERROR, trade_id BIGINT PATH '$[1]' ERROR ON ERROR,
         trade_time_us BIGINT PATH '$[2]' ERROR ON ERROR, version BIGINT PATH '$[3]' ERROR ON ERROR,
         moving_average VARCHAR(64) PATH '$[4]' ERROR ON ERROR)) AS corrected
     STRAIGHT_JOIN trades FORCE INDEX (PRIMARY)
     ON trades.symbol_id = corrected.symbol_id AND trades.trade_time_us = corrected.trade_time_us
        AND trades.trade_id = corrected.trade_id
     SET trades.moving_average = corrected.moving_average, trades.version = corrected.version
     WHERE NOT trades.moving_average <=> CAST(corrected.moving_average AS DECIMAL(30, 8))";

const DELETE_ORDERS: &str = "DELETE orders FROM JSON_TABLE(?, '$[*]' COLUMNS (
         symbol_id INT PATH '$[0]' ERROR ON ERROR, first_trade_id BIGINT PATH '$[1]' ERROR ON ERROR)) AS gone
     STRAIGHT_JOIN whale_orders AS orders FORCE INDEX (PRIMARY)
     ON orders.symbol_id = gone.symbol_id AND orders.first_trade_id = gone.first_trade_id";

const UPSERT_ORDERS: &str = "INSERT INTO whale_orders (symbol_id, first_trade_id, last_trade_id, trade_time_us, version,
         buyer_is_maker, quantity, quote_quantity)
     SELECT symbol_id, first_trade_id, last_trade_id, trade_time_us, version, buyer_is_maker, quantity, quote_quantity
     FROM JSON_TABLE(?, '$[*]' COLUMNS (
         symbol_id INT PATH '$[0]' ERROR ON ERROR, first_trade_id BIGINT PATH '$[1]' ERROR ON ERROR,
         last_trade_id BIGINT PATH '$[2]' ERROR ON ERROR, trade_time_us BIGINT PATH '$[3]' ERROR ON ERROR,
         version BIGINT PATH '$[4]' ERROR ON ERROR, buyer_is_maker INT PATH '$[5]' ERROR ON ERROR,
         quantity VARCHAR(64) PATH '$[6]' ERROR ON ERROR, quote_quantity VARCHAR(64) PATH '$[7]' ERROR ON ERROR)) AS written
     ON DUPLICATE KEY UPDATE last_trade_id = VALUES(last_trade_id), trade_time_us = VALUES(trade_time_us),
         version = VALUES(version), buyer_is_maker = VALUES(buyer_is_maker), quantity = VALUES(quantity),
         quote_quantity = VALUES(quote_quantity)";

/// Behind the trades themselves: what is said anew of others, and the orders of whales.
pub(super) async fn write_indicators(
    connection: &mut MySqlConnection,
    markets: &[MarketWrite],
) -> Result<(), sqlx::Error> {
    write_rows(connection, CORRECT_AVERAGES, &corrected_average_rows(markets)).await?;
    write_rows(connection, DELETE_ORDERS, &regrouped_rows(markets)).await?;
    write_rows(connection, UPSERT_ORDERS, &whale_order_rows(markets)).await
}
