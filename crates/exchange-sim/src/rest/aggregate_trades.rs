//! `aggTrades`: trades of one taker order, time and price as one row.

use serde::Serialize;

use super::error::ApiError;
use super::parameters::Parameters;
use super::to_json;
use crate::exchange::Exchange;
use crate::log::{AggregateTrade, aggregates};
use crate::playback::PlayedView;
use crate::time_unit::TimeUnit;

#[derive(Serialize)]
struct Row {
    a: i64,
    p: String,
    q: String,
    f: i64,
    l: i64,
    #[serde(rename = "T")]
    time: i64,
    m: bool,
    #[serde(rename = "M")]
    is_best_match: bool,
}

/// `/api/v3/aggTrades`: by `fromId`, or by `startTime` and `endTime`, or the newest.
pub(super) fn answer(exchange: &Exchange, parameters: &Parameters) -> Result<String, ApiError> {
    let view = parameters.played(exchange)?;
    let limit = parameters.limit()?;
    let from_id = parameters.number("fromId")?;
    let (start_us, end_us) = (parameters.time_us("startTime")?, parameters.time_us("endTime")?);
    let rows = match (from_id, start_us, end_us) {
        (Some(_), Some(_), _) | (Some(_), _, Some(_)) => return Err(ApiError::invalid_combination()),
        (Some(from_id), None, None) => first_rows(&view, view.index_of_aggregate(from_id), i64::MAX, limit),
        (None, Some(start_us), end_us) => {
            let end_us = end_us.map_or(i64::MAX, |end_us| end_of_millisecond(end_us, parameters));
            first_rows(&view, view.index_of_time(start_us), end_us, limit)
        }
        (None, None, end_us) => {
            let end = end_us.map_or(view.count(), |end_us| {
                view.index_of_time(end_of_millisecond(end_us, parameters).saturating_add(1))
            });
            newest_rows(&view, end, limit)
        }
    };
    let rows: Vec<Row> = rows.iter().map(|aggregate| row(aggregate, parameters.time_unit())).collect();
    to_json(&rows)
}

/// A bound is inclusive: one in milliseconds takes in all microseconds of its own.
fn end_of_millisecond(end_us: i64, parameters: &Parameters) -> i64 {
    let is_in_us = parameters.text("endTime").is_ok_and(|text| text.is_some_and(|text| text.len() > 14));
    if is_in_us { end_us } else { end_us.saturating_add(999) }
}

/// The first `limit` aggregates from the trade at `index` on, none of which is later than `end_us`.
fn first_rows(view: &PlayedView<'_>, index: usize, end_us: i64, limit: usize) -> Vec<AggregateTrade> {
    let unfinished = view.unfinished_aggregate();
    aggregates(view.trades_from(index).take_while(|trade| trade.time_us <= end_us))
        .filter(|aggregate| unfinished != Some(aggregate.last.aggregate_id))
        .take(limit)
        .collect()
}

/// The last `limit` aggregates before the trade at `end`.
fn newest_rows(view: &PlayedView<'_>, end: usize, limit: usize) -> Vec<AggregateTrade> {
    let Some(last) = end.checked_sub(1).and_then(|index| view.trades_from(index).next()) else {
        return Vec::new();
    };
    // Aggregates are numbered one by one, so this is where `limit` of them begin; one more in case the last is
    // still growing.
    let begins = i64::try_from(limit).map_or(0, |limit| last.aggregate_id - limit);
    let mut rows = first_rows(view, view.index_of_aggregate(begins), last.time_us, usize::MAX);
    rows.drain(..rows.len().saturating_sub(limit));
    rows
}

fn row(aggregate: &AggregateTrade, time_unit: TimeUnit) -> Row {
    Row {
        a: aggregate.last.aggregate_id,
        p: format!("{:.8}", aggregate.last.price),
        q: format!("{:.8}", aggregate.quantity),
        f: aggregate.first_trade_id,
        l: aggregate.last.id,
        time: time_unit.of(aggregate.last.time_us),
        m: aggregate.last.buyer_is_maker,
        is_best_match: true,
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderMap;

    use super::*;
    use crate::log::{Trade, TradeLog};
    use crate::{SimulatorConfig, Speed};

    #[test]
    fn an_aggregate_is_shown_when_all_its_trades_have_been_played() {
        let trades = [1, 2, 3, 4].map(|id| Trade {
            id,
            price: "2".parse().unwrap(),
            quantity: "3".parse().unwrap(),
            time_us: 1_767_225_600_000_000,
            aggregate_id: 8 + id / 3,
            buyer_is_maker: false,
        });
        let exchange = Exchange::new(SimulatorConfig {
            speed: Speed::AsFastAsRead,
            ..SimulatorConfig::new(vec![TradeLog::recorded("TRXUSDT", &trades)])
        });
        let parameters = [("symbol", "TRXUSDT"), ("limit", "1")];
        let pairs = parameters.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let parameters = Parameters::new(pairs, &HeaderMap::new());
        for (played, expected) in
            [(1, "[]"), (2, "\"f\":1,\"l\":2"), (3, "\"f\":1,\"l\":2"), (4, "\"f\":3,\"l\":4")]
        {
            exchange.markets()[0].play_to(played);
            let rows = answer(&exchange, &parameters).unwrap();
            assert!(rows.contains(expected), "{played} played: {rows}");
        }
    }
}
