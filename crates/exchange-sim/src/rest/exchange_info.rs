//! `exchangeInfo`: which symbols there are, their grids and states, and the limits.

use serde::Serialize;
use serde_json::{Value, json};

use super::error::ApiError;
use super::parameters::Parameters;
use super::to_json;
use crate::exchange::Exchange;
use crate::playback::{SymbolMarket, SymbolStatus};

/// Quote assets, so that symbols without separator can be taken apart. Longer ones first.
const QUOTE_ASSETS: [&str; 14] =
    ["FDUSD", "USDT", "USDC", "TUSD", "BUSD", "DAI", "EUR", "GBP", "TRY", "BRL", "JPY", "BTC", "ETH", "BNB"];

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ExchangeInfo {
    timezone: &'static str,
    server_time: i64,
    rate_limits: Value,
    exchange_filters: [(); 0],
    symbols: Vec<Symbol>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Symbol {
    symbol: String,
    status: SymbolStatus,
    base_asset: String,
    base_asset_precision: u32,
    quote_asset: String,
    quote_precision: u32,
    quote_asset_precision: u32,
    order_types: [&'static str; 2],
    is_spot_trading_allowed: bool,
    is_margin_trading_allowed: bool,
    /// `PRICE_FILTER` first: some clients read the first one without looking.
    filters: Value,
    permissions: [(); 0],
    #[serde(skip_serializing_if = "Option::is_none")]
    permission_sets: Option<[[&'static str; 1]; 1]>,
}

/// `/api/v3/exchangeInfo`.
pub(super) fn answer(exchange: &Exchange, parameters: &Parameters) -> Result<String, ApiError> {
    if parameters.has("symbolStatus") && (parameters.has("symbol") || parameters.has("symbols")) {
        return Err(ApiError::invalid_combination());
    }
    let shows_permissions = match parameters.text("showPermissionSets")? {
        None | Some("true") => true,
        Some("false") => false,
        Some(_) => return Err(ApiError::invalid_value("showPermissionSets")),
    };
    let selection = parameters.selection(exchange)?;
    let symbols = selection.markets().iter().map(|market| symbol(market, shows_permissions)).collect();
    to_json(&ExchangeInfo {
        timezone: "UTC",
        server_time: parameters.time_unit().of(exchange.server_time_us()),
        rate_limits: json!([
            {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": exchange.weights.limit()},
            {"rateLimitType": "RAW_REQUESTS", "interval": "MINUTE", "intervalNum": 5, "limit": 300_000},
        ]),
        exchange_filters: [],
        symbols,
    })
}

fn symbol(market: &SymbolMarket, shows_permissions: bool) -> Symbol {
    let (base_asset, quote_asset) = assets(market.symbol());
    let (tick_size, step_size) = (market.log().tick_size(), market.log().step_size());
    Symbol {
        symbol: market.symbol().to_string(),
        status: market.status(),
        base_asset: base_asset.to_owned(),
        base_asset_precision: 8,
        quote_asset: quote_asset.to_owned(),
        quote_precision: 8,
        quote_asset_precision: 8,
        order_types: ["LIMIT", "MARKET"],
        is_spot_trading_allowed: true,
        is_margin_trading_allowed: false,
        filters: json!([
            {
                "filterType": "PRICE_FILTER",
                "minPrice": format!("{tick_size:.8}"),
                "maxPrice": "1000000.00000000",
                "tickSize": format!("{tick_size:.8}"),
            },
            {
                "filterType": "LOT_SIZE",
                "minQty": format!("{step_size:.8}"),
                "maxQty": "9000000000.00000000",
                "stepSize": format!("{step_size:.8}"),
            },
        ]),
        permissions: [],
        permission_sets: shows_permissions.then_some([["SPOT"]]),
    }
}

/// Base and quote asset.
fn assets(symbol: &str) -> (&str, &str) {
    QUOTE_ASSETS
        .iter()
        .find_map(|quote| Some((symbol.strip_suffix(quote).filter(|base| !base.is_empty())?, *quote)))
        .unwrap_or((symbol, ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_symbols_apart() {
        assert_eq!(assets("BTCUSDT"), ("BTC", "USDT"));
        assert_eq!(assets("ETHBTC"), ("ETH", "BTC"));
        assert_eq!(assets("BTCFDUSD"), ("BTC", "FDUSD"));
        assert_eq!(assets("USDT"), ("USDT", ""));
    }
}
