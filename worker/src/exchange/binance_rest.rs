//! Binance's REST interface, as far as a producer needs it: which symbols are listed and traded.

use std::time::Duration;

use hashbrown::HashMap;
use serde::Deserialize;
use tokio::time::Instant;

use super::{Listing, SymbolListing, pause_after_status};

const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
const WEIGHT_HEADER: &str = "x-mbx-used-weight-1m";

/// Some 3 kB of answer for each; the whole list would be tens of megabytes.
const SYMBOLS_PER_REQUEST: usize = 100;

/// The request weight that an address may use in a minute, until exchangeInfo has told it.
const DOCUMENTED_WEIGHT_LIMIT: u32 = 6_000;

/// Why the exchange did not answer as asked.
#[derive(Debug, thiserror::Error)]
pub enum RestError {
    /// No HTTP client can be made, e.g. without root certificates.
    #[error("the http client cannot be made")]
    Client(#[source] reqwest::Error),
    /// No answer, or a broken one.
    #[error("{path} got no answer")]
    Unreachable {
        /// The path that was asked.
        path: &'static str,
        /// What happened.
        source: reqwest::Error,
    },
    /// Too many requests, a ban, a firewall or a restricted region.
    #[error("{path} answered {status}, which asks for a pause of {} s", .pause.as_secs())]
    Paused {
        /// The path that was asked.
        path: &'static str,
        /// The HTTP status.
        status: u16,
        /// How long not to ask.
        pause: Duration,
    },
    /// The request was understood and refused.
    #[error("{path} answered {status}: {message} (code {code})")]
    Refused {
        /// The path that was asked.
        path: &'static str,
        /// The HTTP status.
        status: u16,
        /// The exchange's own code, 0 where it sent none.
        code: i64,
        /// The exchange's own message, or the beginning of the answer.
        message: String,
    },
    /// An answer that is not what is documented.
    #[error("the answer of {path} cannot be read")]
    Unreadable {
        /// The path that was asked.
        path: &'static str,
        /// What is wrong with it.
        source: serde_json::Error,
    },
}

impl RestError {
    /// How long the exchange wants to be left alone, where it wants that.
    #[must_use]
    pub const fn pause(&self) -> Option<Duration> {
        match self {
            Self::Paused { pause, .. } => Some(*pause),
            _ => None,
        }
    }

    /// Whether the request names a symbol that the exchange does not list, or a text that can be none.
    const fn is_about_a_symbol(&self) -> bool {
        matches!(self, Self::Refused { code: -1121 | -1100 | -1130, .. })
    }
}

/// Asks Binance's REST interface, and stays below half of what it allows.
#[derive(Debug)]
pub struct BinanceRest {
    client: reqwest::Client,
    rest_url: String,
    weight_used: u32,
    weight_limit: u32,
    /// Nothing is asked before this moment.
    quiet_until: Option<Instant>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ExchangeInfo {
    #[serde(default)]
    rate_limits: Vec<RateLimit>,
    symbols: Vec<ListedSymbol>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RateLimit {
    rate_limit_type: String,
    limit: u32,
}

#[derive(Deserialize)]
struct ListedSymbol {
    symbol: String,
    status: String,
}

#[derive(Default, Deserialize)]
struct Refusal {
    #[serde(default)]
    code: i64,
    #[serde(default)]
    msg: String,
}

impl BinanceRest {
    /// A client of the interface at `rest_url`, e.g. `https://api.binance.com`.
    ///
    /// # Errors
    /// [`RestError::Client`] where there is no TLS provider or no root certificate.
    pub fn new(rest_url: &str) -> Result<Self, RestError> {
        let client =
            reqwest::Client::builder().timeout(REQUEST_TIMEOUT).build().map_err(RestError::Client)?;
        Ok(Self {
            client,
            rest_url: rest_url.trim_end_matches('/').to_owned(),
            weight_used: 0,
            weight_limit: DOCUMENTED_WEIGHT_LIMIT,
            quiet_until: None,
        })
    }

    /// The request weight that our address has used in the current minute, as the exchange counts it.
    #[must_use]
    pub const fn weight_used(&self) -> u32 {
        self.weight_used
    }

    /// What the exchange says of each of `symbols`.
    ///
    /// # Errors
    /// [`RestError`] where it cannot be asked; an unlisted symbol is an answer, not an error.
    pub async fn list_symbols(&mut self, symbols: &[String]) -> Result<Vec<SymbolListing>, RestError> {
        let mut listings = Vec::with_capacity(symbols.len());
        let mut batches: Vec<&[String]> = symbols.chunks(SYMBOLS_PER_REQUEST).collect();
        while let Some(batch) = batches.pop() {
            match self.exchange_info(batch).await {
                Ok(info) => listings.extend(self.read_listings(batch, &info)),
                // One unlisted symbol fails the request for all: halve until it is found.
                Err(error) if error.is_about_a_symbol() && batch.len() > 1 => {
                    let (left, right) = batch.split_at(batch.len() / 2);
                    batches.extend([left, right]);
                }
                Err(error) if error.is_about_a_symbol() => {
                    listings.extend(batch.iter().map(|symbol| listing(symbol, Listing::Unknown)));
                }
                Err(error) => return Err(error),
            }
        }
        Ok(listings)
    }

    fn read_listings(&mut self, asked: &[String], info: &ExchangeInfo) -> Vec<SymbolListing> {
        if let Some(limit) = info.rate_limits.iter().find(|limit| limit.rate_limit_type == "REQUEST_WEIGHT") {
            self.weight_limit = limit.limit;
        }
        let statuses: HashMap<&str, &str> =
            info.symbols.iter().map(|listed| (listed.symbol.as_str(), listed.status.as_str())).collect();
        asked
            .iter()
            .map(|symbol| match statuses.get(symbol.as_str()) {
                None => listing(symbol, Listing::Unknown),
                Some(&"TRADING") => listing(symbol, Listing::Trading),
                Some(_) => listing(symbol, Listing::NotTrading),
            })
            .collect()
    }

    async fn exchange_info(&mut self, symbols: &[String]) -> Result<ExchangeInfo, RestError> {
        const PATH: &str = "/api/v3/exchangeInfo";
        if let Some(quiet_until) = self.quiet_until.take() {
            tokio::time::sleep_until(quiet_until).await;
        }
        let list = serde_json::Value::from(symbols).to_string();
        let request = self.client.get(format!("{}{PATH}", self.rest_url));
        let request = request.query(&[("symbols", list.as_str()), ("showPermissionSets", "false")]);
        let unreachable = |source| RestError::Unreachable { path: PATH, source };
        let response = request.send().await.map_err(unreachable)?;
        let status = response.status();
        self.note_weight(response.headers());
        let retry_after = response.headers().get("retry-after").and_then(|value| value.to_str().ok());
        if let Some(pause) = pause_after_status(status.as_u16(), retry_after) {
            return Err(RestError::Paused { path: PATH, status: status.as_u16(), pause });
        }
        let body = response.bytes().await.map_err(unreachable)?;
        if !status.is_success() {
            return Err(refused(PATH, status.as_u16(), &body));
        }
        serde_json::from_slice(&body).map_err(|source| RestError::Unreadable { path: PATH, source })
    }

    /// Every user of an address counts against one limit, so each stops at half of it.
    fn note_weight(&mut self, headers: &reqwest::header::HeaderMap) {
        let used = headers.get(WEIGHT_HEADER).and_then(|value| value.to_str().ok()?.parse().ok());
        if let Some(used) = used {
            self.weight_used = used;
            if used >= self.weight_limit / 2 {
                self.quiet_until = Some(Instant::now() + Duration::from_secs(60));
            }
        }
    }
}

fn listing(symbol: &str, listing: Listing) -> SymbolListing {
    SymbolListing { symbol: symbol.to_owned(), listing }
}

/// A refusal in the exchange's own words where it used any: a gateway before it may answer in HTML.
fn refused(path: &'static str, status: u16, body: &[u8]) -> RestError {
    let Refusal { code, msg } = serde_json::from_slice(body).unwrap_or_default();
    let message =
        if msg.is_empty() { String::from_utf8_lossy(&body[..body.len().min(200)]).into() } else { msg };
    RestError::Refused { path, status, code, message }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use wiremock::matchers::{method, path};
    use wiremock::{Mock, MockServer, Request, Respond, ResponseTemplate};

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
    async fn a_ban_says_how_long() {
        let answer = ResponseTemplate::new(418).insert_header("Retry-After", "300").set_body_string("<html>");
        let (_server, mut rest) = exchange(answer).await;
        let error = rest.list_symbols(&names(&["BTCUSDT"])).await.unwrap_err();
        assert_eq!(error.pause(), Some(Duration::from_secs(300)));
    }

    #[tokio::test]
    async fn other_refusals_are_errors_in_the_exchanges_words() {
        let answer = ResponseTemplate::new(503).set_body_string("upstream is away");
        let (_server, mut rest) = exchange(answer).await;
        let error = rest.list_symbols(&names(&["BTCUSDT"])).await.unwrap_err();
        assert_eq!(error.pause(), None);
        assert_eq!(error.to_string(), "/api/v3/exchangeInfo answered 503: upstream is away (code 0)");
    }

    #[tokio::test]
    async fn an_answer_of_another_shape_is_an_error() {
        let (_server, mut rest) =
            exchange(ResponseTemplate::new(200).set_body_json(json!({"symbols": 7}))).await;
        let error = rest.list_symbols(&names(&["BTCUSDT"])).await.unwrap_err();
        assert!(matches!(error, RestError::Unreadable { .. }), "{error}");
    }

    #[tokio::test]
    async fn half_of_the_weight_limit_pauses_the_next_request() {
        let answer = ResponseTemplate::new(200)
            .insert_header(WEIGHT_HEADER, "3000")
            .set_body_json(json!({"symbols": [{"symbol": "BTCUSDT", "status": "TRADING"}]}));
        let (_server, mut rest) = exchange(answer).await;
        rest.list_symbols(&names(&["BTCUSDT"])).await.unwrap();
        assert!(rest.quiet_until.is_some());
    }
}
