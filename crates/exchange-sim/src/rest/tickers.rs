//! `ticker/price` and `ticker/24hr`.

use serde::Serialize;

use super::error::ApiError;
use super::parameters::{Parameters, Selection};
use super::to_json;
use crate::exchange::Exchange;
use crate::ticker::Ticker;
use crate::time_unit::TimeUnit;

#[derive(Serialize)]
struct Price {
    symbol: String,
    price: String,
}

/// The fields of `type=MINI`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Mini {
    symbol: String,
    open_price: String,
    high_price: String,
    low_price: String,
    last_price: String,
    volume: String,
    quote_volume: String,
    open_time: i64,
    close_time: i64,
    first_id: i64,
    last_id: i64,
    count: i64,
}

/// What `type=FULL` adds.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Full {
    #[serde(flatten)]
    mini: Mini,
    price_change: String,
    price_change_percent: String,
    weighted_avg_price: String,
    prev_close_price: String,
    last_qty: String,
    bid_price: String,
    bid_qty: String,
    ask_price: String,
    ask_qty: String,
}

/// `/api/v3/ticker/price`: an object for `symbol`, else an array. Symbols that never traded are left out.
pub(super) fn price(exchange: &Exchange, parameters: &Parameters) -> Result<String, ApiError> {
    let selection = parameters.selection(exchange)?;
    let prices: Vec<Price> = selection
        .markets()
        .iter()
        .filter_map(|market| {
            let last = market.last_played()?;
            Some(Price { symbol: market.symbol().to_string(), price: format!("{:.8}", last.price) })
        })
        .collect();
    one_or_many(&selection, &prices)
}

/// `/api/v3/ticker/24hr`.
pub(super) fn day(exchange: &Exchange, parameters: &Parameters) -> Result<String, ApiError> {
    let selection = parameters.selection(exchange)?;
    let tickers = selection.markets().iter().filter_map(|market| {
        let close_us = exchange.played_until_us(market);
        // One that lags does not say so.
        let known_us = close_us.min(exchange.rest_knows_until_us(market));
        Some(Ticker { close_us, ..Ticker::at(market, known_us)? })
    });
    let time_unit = parameters.time_unit();
    match parameters.text("type")? {
        None | Some("FULL") => {
            one_or_many(&selection, &tickers.map(|ticker| full(&ticker, time_unit)).collect::<Vec<_>>())
        }
        Some("MINI") => {
            one_or_many(&selection, &tickers.map(|ticker| mini(&ticker, time_unit)).collect::<Vec<_>>())
        }
        Some(_) => Err(ApiError::invalid_value("type")),
    }
}

/// By how many symbols are asked for.
pub(super) fn day_weight(parameters: &Parameters) -> u32 {
    if parameters.has("symbol") {
        return 2;
    }
    let symbols = parameters.text("symbols").ok().flatten();
    match symbols.map(|list| list.matches(',').count() + 1) {
        Some(0..=20) => 2,
        Some(21..=100) => 40,
        _ => 80,
    }
}

fn one_or_many<T: Serialize>(selection: &Selection<'_>, rows: &[T]) -> Result<String, ApiError> {
    match selection {
        Selection::One(_) => rows.first().map_or_else(|| Ok("{}".to_owned()), to_json),
        Selection::Many(_) => to_json(&rows),
    }
}

fn mini(ticker: &Ticker, time_unit: TimeUnit) -> Mini {
    let kline = &ticker.kline;
    Mini {
        symbol: ticker.symbol.to_string(),
        open_price: format!("{:.8}", kline.open),
        high_price: format!("{:.8}", kline.high),
        low_price: format!("{:.8}", kline.low),
        last_price: format!("{:.8}", kline.close),
        volume: format!("{:.8}", kline.volume),
        quote_volume: format!("{:.8}", kline.printed_quote_volume()),
        open_time: time_unit.of(ticker.open_us),
        close_time: time_unit.of(ticker.close_us),
        first_id: kline.first_trade_id,
        last_id: kline.last_trade_id,
        count: kline.trade_count,
    }
}

fn full(ticker: &Ticker, time_unit: TimeUnit) -> Full {
    Full {
        mini: mini(ticker, time_unit),
        price_change: format!("{:.8}", ticker.price_change()),
        price_change_percent: ticker.price_change_percent(),
        weighted_avg_price: format!("{:.8}", ticker.weighted_average_price()),
        prev_close_price: format!("{:.8}", ticker.previous_close),
        last_qty: format!("{:.8}", ticker.last_quantity),
        bid_price: format!("{:.8}", ticker.kline.close),
        bid_qty: format!("{:.8}", ticker.last_quantity),
        ask_price: format!("{:.8}", ticker.ask_price),
        ask_qty: format!("{:.8}", ticker.last_quantity),
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderMap;

    use super::*;

    #[test]
    fn the_day_ticker_costs_by_the_number_of_symbols() {
        let weight = |name: &str, value: String| {
            day_weight(&Parameters::new(vec![(name.to_owned(), value)], &HeaderMap::new()))
        };
        assert_eq!(weight("symbol", "A".into()), 2);
        for (count, expected) in [(1, 2), (20, 2), (21, 40), (100, 40), (101, 80)] {
            let list = format!("[{}]", vec![r#""A""#; count].join(","));
            assert_eq!(weight("symbols", list), expected, "{count}");
        }
        assert_eq!(day_weight(&Parameters::default()), 80);
    }
}
