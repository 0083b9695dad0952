//! Which symbols are listed and traded: `GET /api/v3/exchangeInfo`.

use hashbrown::HashMap;
use market::Fixed8;
use serde::Deserialize;

use super::symbol_batches::{SymbolBatches, symbol_list};
use super::{BinanceRest, RestError, read_json};
use crate::exchange::{Listing, SymbolListing};

const PATH: &str = "/api/v3/exchangeInfo";
const WEIGHT: u32 = 20;
/// Some 3 kB of answer for each.
const SYMBOLS_PER_REQUEST: usize = 100;

/// What the exchange says of its limits and of the symbols that it was asked for.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ExchangeInfo {
    #[serde(default)]
    rate_limits: Vec<RateLimit>,
    symbols: Vec<ListedSymbol>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct RateLimit {
    rate_limit_type: String,
    limit: u32,
}

#[derive(Debug, Deserialize)]
struct ListedSymbol {
    symbol: String,
    status: String,
    #[serde(default)]
    filters: Vec<Filter>,
}

/// `PRICE_FILTER` has a tick size, `LOT_SIZE` a step size; others have neither.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Filter {
    filter_type: String,
    tick_size: Option<String>,
    step_size: Option<String>,
}

impl ListedSymbol {
    fn listing(&self) -> Listing {
        if self.status == "TRADING" { Listing::Trading } else { Listing::NotTrading }
    }

    /// Prices are multiples of the tick, quantities of the step. A size of zero means that there is no such rule.
    fn quote_decimals(&self) -> Option<u32> {
        let decimals = |kind: &str, size: fn(&Filter) -> Option<&String>| {
            let filter = self.filters.iter().find(|filter| filter.filter_type == kind)?;
            let size: Fixed8 = size(filter)?.parse().ok()?;
            size.is_positive().then(|| size.decimals())
        };
        let tick = decimals("PRICE_FILTER", |filter| filter.tick_size.as_ref())?;
        Some(tick + decimals("LOT_SIZE", |filter| filter.step_size.as_ref())?)
    }
}

impl BinanceRest {
    /// What the exchange says of each of `symbols`.
    ///
    /// # Errors
    /// [`RestError`] where it cannot be asked; an unlisted symbol is an answer, not an error.
    pub async fn list_symbols(&mut self, symbols: &[String]) -> Result<Vec<SymbolListing>, RestError> {
        let mut listings = Vec::with_capacity(symbols.len());
        let mut batches = SymbolBatches::new(symbols, SYMBOLS_PER_REQUEST);
        while let Some(batch) = batches.next() {
            match self.exchange_info(batch).await {
                Ok(info) => listings.extend(self.read_listings(batch, &info)),
                Err(error) if error.is_about_a_symbol() => {
                    let unlisted = batches.refused(batch);
                    listings.extend(unlisted.map(|symbol| listing(symbol, Listing::Unknown)));
                }
                Err(error) => return Err(error),
            }
        }
        Ok(listings)
    }

    fn read_listings(&mut self, asked: &[String], info: &ExchangeInfo) -> Vec<SymbolListing> {
        if let Some(limit) = info.weight_limit() {
            self.weight_limit = limit;
        }
        info.listings(asked)
    }

    async fn exchange_info(&mut self, symbols: &[String]) -> Result<ExchangeInfo, RestError> {
        let list = symbol_list(symbols);
        let query = [("symbols", list.as_str()), ("showPermissionSets", "false")];
        read_exchange_info(&self.get(PATH, WEIGHT, &query).await?)
    }
}

/// Reads an answer.
///
/// # Errors
/// [`RestError`] where it is none that is documented.
pub fn read_exchange_info(body: &[u8]) -> Result<ExchangeInfo, RestError> {
    read_json(PATH, body)
}

impl ExchangeInfo {
    /// The request weight that an address may use in a minute, where it is told.
    #[must_use]
    pub fn weight_limit(&self) -> Option<u32> {
        let limit = self.rate_limits.iter().find(|limit| limit.rate_limit_type == "REQUEST_WEIGHT");
        limit.map(|limit| limit.limit)
    }

    /// What it says of each of the symbols that were `asked` for.
    #[must_use]
    pub fn listings(&self, asked: &[String]) -> Vec<SymbolListing> {
        let listed: HashMap<&str, &ListedSymbol> =
            self.symbols.iter().map(|listed| (listed.symbol.as_str(), listed)).collect();
        asked
            .iter()
            .map(|symbol| {
                let listed = listed.get(symbol.as_str());
                SymbolListing {
                    quote_decimals: listed.and_then(|listed| listed.quote_decimals()),
                    ..listing(symbol, listed.map_or(Listing::Unknown, |listed| listed.listing()))
                }
            })
            .collect()
    }
}

fn listing(symbol: &str, listing: Listing) -> SymbolListing {
    SymbolListing { symbol: symbol.to_owned(), listing, quote_decimals: None }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use wiremock::matchers::{method, path};
    use wiremock::{Mock, MockServer, Request, Respond, ResponseTemplate};

    use super::super::WEIGHT_HEADER;
    use super::*;

    /// Answers like the exchange: one unlisted symbol fails the request.
    struct Lists(&'static [(&'static str, &'static str)]);

    impl Respond for Lists {
        fn respond(&self, request: &Request) -> ResponseTemplate {
            let query: HashMap<_, _> = request.url.query_pairs().collect();
            let asked: Vec<String> = serde_json::from_str(&query["symbols"]).unwrap();
            let mut found = Vec::new();
            for symbol in asked {
                let Some((_, status)) = self.0.iter().find(|(listed, _)| *listed == symbol) else {
                    return ResponseTemplate::new(400)
                        .set_body_json(json!({"code": -1121, "msg": "Invalid symbol."}));
                };
                found.push(json!({"symbol": symbol, "status": status, "baseAsset": "X"}));
            }
            let limit = json!({"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": 6000});
            ResponseTemplate::new(200)
                .insert_header(WEIGHT_HEADER, "40")
                .set_body_json(json!({"rateLimits": [limit], "symbols": found}))
        }
    }

    async fn exchange(answer: impl Respond + 'static) -> (MockServer, BinanceRest) {
        runtime::tls::install_provider();
        let server = MockServer::start().await;
        Mock::given(method("GET"))
            .and(path("/api/v3/exchangeInfo"))
            .respond_with(answer)
            .mount(&server)
            .await;
        let rest = BinanceRest::new(&format!("{}/", server.uri())).unwrap();
        (server, rest)
    }

    fn names(symbols: &[&str]) -> Vec<String> {
        symbols.iter().map(ToString::to_string).collect()
    }

    #[tokio::test]
    async fn unlisted_symbols_are_found_among_the_listed() {
        let (_server, mut rest) =
            exchange(Lists(&[("BTCUSDT", "TRADING"), ("ETHUSDT", "HALT"), ("NEWUSDT", "SOMETHING_NEW")]))
                .await;
        let asked = names(&["AAAUSDT", "BTCUSDT", "ETHUSDT", "NEWUSDT", "ZZZUSDT"]);
        let mut listings = rest.list_symbols(&asked).await.unwrap();
        listings.sort_by(|left, right| left.symbol.cmp(&right.symbol));
        let found: Vec<Listing> = listings.iter().map(|listing| listing.listing).collect();
        assert_eq!(
            found,
            [Listing::Unknown, Listing::Trading, Listing::NotTrading, Listing::NotTrading, Listing::Unknown]
        );
        assert_eq!(rest.weight_used(), 40);
    }

    #[tokio::test]
    async fn the_decimals_of_products_follow_from_tick_and_step() {
        let symbol = |name: &str, tick: &str, step: &str| {
            json!({"symbol": name, "status": "TRADING", "filters": [
                {"filterType": "PRICE_FILTER", "minPrice": "0.01", "tickSize": tick},
                {"filterType": "LOT_SIZE", "minQty": "0.1", "stepSize": step},
                {"filterType": "NOTIONAL", "minNotional": "5.0"},
            ]})
        };
        let symbols = json!([
            symbol("BTCUSDT", "0.01000000", "0.00001000"),
            symbol("ETHBTC", "0.00001000", "0.00010000"),
            symbol("SHIBUSDT", "0.00000001", "1.00000000"),
            symbol("NORULE", "0.00000000", "1.00000000"),
            {"symbol": "NOFILTER", "status": "TRADING"},
        ]);
        let answer = ResponseTemplate::new(200).set_body_json(json!({"symbols": symbols}));
        let (_server, mut rest) = exchange(answer).await;
        let asked = names(&["BTCUSDT", "ETHBTC", "SHIBUSDT", "NORULE", "NOFILTER"]);
        let listings = rest.list_symbols(&asked).await.unwrap();
        let decimals: Vec<_> = listings.iter().map(|listing| listing.quote_decimals).collect();
        assert_eq!(decimals, [Some(7), Some(9), Some(8), None, None]);
    }

    #[tokio::test]
    async fn an_answer_of_another_shape_is_an_error() {
        let (_server, mut rest) =
            exchange(ResponseTemplate::new(200).set_body_json(json!({"symbols": 7}))).await;
        let error = rest.list_symbols(&names(&["BTCUSDT"])).await.unwrap_err();
        assert!(matches!(error, RestError::Unreadable { .. }), "{error}");
    }
}
