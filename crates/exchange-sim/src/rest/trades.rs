//! `trades` and `historicalTrades`: single trades, newest or by id.

use serde::Serialize;

use super::error::ApiError;
use super::parameters::Parameters;
use super::to_json;
use crate::exchange::Exchange;
use crate::log::Trade;
use crate::time_unit::TimeUnit;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    id: i64,
    price: String,
    qty: String,
    quote_qty: String,
    time: i64,
    is_buyer_maker: bool,
    is_best_match: bool,
}

/// `/api/v3/trades`: the newest `limit` trades.
pub(super) fn newest(exchange: &Exchange, parameters: &Parameters) -> Result<String, ApiError> {
    let (view, limit) = (parameters.played(exchange)?, parameters.limit()?);
    let rows: Vec<Row> = view
        .trades_from(view.count().saturating_sub(limit))
        .map(|trade| row(&trade, parameters.time_unit()))
        .collect();
    to_json(&rows)
}

/// `/api/v3/historicalTrades`: `limit` trades from `fromId` on, or the newest.
pub(super) fn historical(exchange: &Exchange, parameters: &Parameters) -> Result<String, ApiError> {
    let Some(from_id) = parameters.number("fromId")? else { return newest(exchange, parameters) };
    let (market, limit) = (parameters.market(exchange)?, parameters.limit()?);
    let view = parameters.played(exchange)?;
    // What is asked for further back than there is begins where there is something.
    let from_id = from_id.max(market.faults.first_known_id());
    let rows: Vec<Row> = view
        .trades_from(view.index_of_id(from_id))
        .take(limit)
        .map(|trade| row(&trade, parameters.time_unit()))
        .collect();
    to_json(&rows)
}

fn row(trade: &Trade, time_unit: TimeUnit) -> Row {
    Row {
        id: trade.id,
        price: format!("{:.8}", trade.price),
        qty: format!("{:.8}", trade.quantity),
        quote_qty: format!("{:.8}", trade.quote_quantity()),
        time: time_unit.of(trade.time_us),
        is_buyer_maker: trade.buyer_is_maker,
        is_best_match: true,
    }
}
