//! Binance's REST interface: one client per source, which stays below half of what the exchange allows an address. What
//! is asked stands in the modules below.

mod aggregates;
mod first_trade;
mod head;
mod klines;
mod listing;
mod prices;
mod symbol_batches;
mod trades;

use std::time::Duration;

use hashbrown::HashMap;
use market::is_trade_id;
use runtime::error_chain::error_chain;
use runtime::telemetry::traces;
use serde::Deserialize;
use tokio::time::Instant;
use tracing::field::Empty;
use tracing::{Instrument as _, Span};

use super::binance_frame::read_time_us;
use super::pause_after_status;
use crate::amount::AmountError;

pub use aggregates::{AskedAggregate, read_aggregate_trades};
pub use head::{NewestTrade, read_newest_trades};
pub use klines::{Kline, MOST_KLINES};
pub use listing::{ExchangeInfo, read_exchange_info};
pub use prices::{ToldPrice, read_prices};
pub use trades::{AskedTrade, MOST_TRADES, read_historical_trades};

const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
const WEIGHT_HEADER: &str = "x-mbx-used-weight-1m";
/// All times in microseconds, where the server knows this header.
const TIME_UNIT_HEADER: (&str, &str) = ("x-mbx-time-unit", "MICROSECOND");

/// Several times the longest answer that is asked for, so that nobody can fill our memory.
const LONGEST_ANSWER: usize = 8 << 20;

const MINUTE: Duration = Duration::from_secs(60);

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
    /// A trade of which the answer says nothing that can be read.
    #[error("the answer of {path} has a trade {trade_id} that cannot be read")]
    Trade {
        /// The path that was asked.
        path: &'static str,
        /// Its id.
        trade_id: i64,
        /// What is wrong with it.
        source: AmountError,
    },
    /// An answer longer than any that is documented.
    #[error("the answer of {path} is longer than {LONGEST_ANSWER} bytes")]
    TooLong {
        /// The path that was asked.
        path: &'static str,
    },
    /// An id that can be no trade's.
    #[error("the answer of {path} has trade id {trade_id}, which can be none")]
    IdOutOfRange {
        /// The path that was asked.
        path: &'static str,
        /// The id as it came.
        trade_id: i64,
    },
    /// A time before 1970 or after 9998.
    #[error("the answer of {path} has time {time}, which lies outside of the years 1970 to 9998")]
    TimeOutOfRange {
        /// The path that was asked.
        path: &'static str,
        /// The time as it came.
        time: i64,
    },
    /// Trades that do not come by ascending id.
    #[error("the answer of {path} is not in order at trade {trade_id}")]
    Disorder {
        /// The path that was asked.
        path: &'static str,
        /// The id that is not above the one before.
        trade_id: i64,
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
    pub(crate) const fn is_about_a_symbol(&self) -> bool {
        matches!(self, Self::Refused { code: -1121 | -1100 | -1130, .. })
    }

    /// Whether the host does not have what was asked for at all, or not without an API key.
    pub(crate) const fn is_about_the_path(&self) -> bool {
        matches!(self, Self::Refused { status: 401 | 404 | 405 | 410 | 501, .. })
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
    quiet_until: Instant,
    /// Single trades are not asked for before this moment.
    ask_single_trades_at: Instant,
    /// By symbol, the first of those that were asked for last.
    known_aggregates: HashMap<String, AskedAggregate>,
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
            quiet_until: Instant::now(),
            ask_single_trades_at: Instant::now(),
            known_aggregates: HashMap::new(),
        })
    }

    /// The request weight that our address has used in the current minute, as the exchange counts it.
    #[must_use]
    pub const fn weight_used(&self) -> u32 {
        self.weight_used
    }

    /// Asks `path`, which costs `weight`, for its answer. Requests keep such a distance that they take half of the limit
    /// at most.
    async fn get(
        &mut self,
        path: &'static str,
        weight: u32,
        query: &[(&str, &str)],
    ) -> Result<Vec<u8>, RestError> {
        tokio::time::sleep_until(self.quiet_until).await;
        self.quiet_until = Instant::now() + MINUTE * weight / (self.weight_limit / 2).max(1);
        let span = tracing::info_span!(
            "GET",
            otel.name = format!("GET {path}"),
            otel.kind = "client",
            http.request.method = "GET",
            url.full = format!("{}{path}", self.rest_url),
            cryptopipeline.request_weight = weight,
            http.response.status_code = Empty,
        );
        let answer = self.ask(path, query).instrument(span.clone()).await;
        if let Err(error) = &answer {
            traces::fail(&span, error_chain(error));
        }
        answer
    }

    async fn ask(&mut self, path: &'static str, query: &[(&str, &str)]) -> Result<Vec<u8>, RestError> {
        let request = self.client.get(format!("{}{path}", self.rest_url)).query(query);
        let (unit_header, unit) = TIME_UNIT_HEADER;
        let unreachable = |source| RestError::Unreachable { path, source };
        let mut response = request.header(unit_header, unit).send().await.map_err(unreachable)?;
        let status = response.status();
        Span::current().record("http.response.status_code", status.as_u16());
        self.note_weight(response.headers());
        let retry_after = response.headers().get("retry-after").and_then(|value| value.to_str().ok());
        if let Some(pause) = pause_after_status(status.as_u16(), retry_after) {
            self.quiet_until = self.quiet_until.max(Instant::now() + pause);
            return Err(RestError::Paused { path, status: status.as_u16(), pause });
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(unreachable)? {
            if body.len() + chunk.len() > LONGEST_ANSWER {
                return Err(RestError::TooLong { path });
            }
            body.extend_from_slice(&chunk);
        }
        if status.is_success() { Ok(body) } else { Err(refused(path, status.as_u16(), &body)) }
    }

    /// Every user of an address counts against one limit, so each stops at half of it.
    fn note_weight(&mut self, headers: &reqwest::header::HeaderMap) {
        let used = headers.get(WEIGHT_HEADER).and_then(|value| value.to_str().ok()?.parse().ok());
        if let Some(used) = used {
            self.weight_used = used;
            if used >= self.weight_limit / 2 {
                self.quiet_until = self.quiet_until.max(Instant::now() + MINUTE);
            }
        }
    }
}

fn read_json<'a, T: Deserialize<'a>>(path: &'static str, body: &'a [u8]) -> Result<T, RestError> {
    serde_json::from_slice(body).map_err(|source| RestError::Unreadable { path, source })
}

/// A refusal in the exchange's own words where it used any: a gateway before it may answer in HTML.
fn refused(path: &'static str, status: u16, body: &[u8]) -> RestError {
    let Refusal { code, msg } = serde_json::from_slice(body).unwrap_or_default();
    let message =
        if msg.is_empty() { String::from_utf8_lossy(&body[..body.len().min(200)]).into() } else { msg };
    RestError::Refused { path, status, code, message }
}

fn trade_id(path: &'static str, id: i64) -> Result<i64, RestError> {
    if is_trade_id(id) { Ok(id) } else { Err(RestError::IdOutOfRange { path, trade_id: id }) }
}

fn time_us(path: &'static str, time: i64) -> Result<i64, RestError> {
    read_time_us(time).ok_or(RestError::TimeOutOfRange { path, time })
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use wiremock::matchers::{header, method, path};
    use wiremock::{Mock, MockServer, ResponseTemplate};

    use super::*;

    const PATH: &str = "/api/v3/time";

    async fn exchange(answer: ResponseTemplate) -> (MockServer, BinanceRest) {
        runtime::tls::install_provider();
        let server = MockServer::start().await;
        Mock::given(method("GET"))
            .and(path(PATH))
            .and(header("x-mbx-time-unit", "MICROSECOND"))
            .respond_with(answer)
            .mount(&server)
            .await;
        let rest = BinanceRest::new(&format!("{}/", server.uri())).unwrap();
        (server, rest)
    }

    async fn ask(rest: &mut BinanceRest) -> Result<serde_json::Value, RestError> {
        read_json(PATH, &rest.get(PATH, 1, &[]).await?)
    }

    #[tokio::test]
    async fn a_ban_says_how_long_and_is_obeyed() {
        let answer = ResponseTemplate::new(418).insert_header("Retry-After", "300").set_body_string("<html>");
        let (_server, mut rest) = exchange(answer).await;
        let error = ask(&mut rest).await.unwrap_err();
        assert_eq!(error.pause(), Some(Duration::from_secs(300)));
        assert!(rest.quiet_until > Instant::now() + Duration::from_secs(290));
    }

    #[tokio::test]
    async fn other_refusals_are_errors_in_the_exchanges_words() {
        let (_server, mut rest) =
            exchange(ResponseTemplate::new(503).set_body_string("upstream is away")).await;
        let error = ask(&mut rest).await.unwrap_err();
        assert_eq!(error.pause(), None);
        assert_eq!(error.to_string(), "/api/v3/time answered 503: upstream is away (code 0)");
    }

    #[tokio::test]
    async fn an_answer_of_another_shape_is_an_error() {
        let (_server, mut rest) = exchange(ResponseTemplate::new(200).set_body_string("no JSON")).await;
        let error = ask(&mut rest).await.unwrap_err();
        assert!(matches!(error, RestError::Unreadable { .. }), "{error}");
    }

    #[tokio::test]
    async fn an_answer_without_end_is_given_up() {
        let endless = ResponseTemplate::new(200).set_body_bytes(vec![b' '; LONGEST_ANSWER + 1]);
        let (_server, mut rest) = exchange(endless).await;
        let error = ask(&mut rest).await.unwrap_err();
        assert!(matches!(error, RestError::TooLong { .. }), "{error}");
    }

    #[tokio::test]
    async fn half_of_the_weight_limit_pauses_the_next_request() {
        let answer = ResponseTemplate::new(200).insert_header(WEIGHT_HEADER, "3000").set_body_json(json!({}));
        let (_server, mut rest) = exchange(answer).await;
        ask(&mut rest).await.unwrap();
        assert_eq!(rest.weight_used(), 3_000);
        assert!(rest.quiet_until > Instant::now() + Duration::from_secs(50));
    }

    #[tokio::test]
    async fn requests_keep_the_distance_that_half_of_the_limit_allows() {
        let (_server, mut rest) = exchange(ResponseTemplate::new(200).set_body_json(json!({}))).await;
        let before = Instant::now();
        rest.get(PATH, 25, &[]).await.unwrap();
        // 120 requests of this weight in a minute.
        assert!(rest.quiet_until >= before + Duration::from_millis(500));
        assert!(rest.quiet_until <= Instant::now() + Duration::from_millis(500));
    }
}
