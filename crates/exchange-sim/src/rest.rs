//! The exchange's REST interface for market data, over the same logs as its streams.
//!
//! [`ENDPOINTS`] lists what there is. Every request passes the same gate: faults, weight, known parameters; then
//! its endpoint answers from values alone.

mod aggregate_trades;
mod candles;
mod error;
mod exchange_info;
mod parameters;
mod tickers;
mod trades;
mod weights;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::extract::{ConnectInfo, Query, State};
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde::Serialize;

use crate::config::SimulatorConfig;
use crate::exchange::Exchange;
use crate::playback::wall_now_us;
use error::ApiError;
use parameters::Parameters;
use weights::Verdict;
pub(crate) use weights::WeightLimiter;

static USED_WEIGHT: HeaderName = HeaderName::from_static("x-mbx-used-weight-1m");

/// What a path answers, and at which price.
#[derive(Clone, Copy)]
struct Endpoint {
    path: &'static str,
    /// The names of the parameters that it reads.
    parameters: &'static [&'static str],
    weight: fn(&Parameters) -> u32,
    /// The body, as JSON.
    answer: fn(&Exchange, &Parameters) -> Result<String, ApiError>,
}

const SINGLE_TRADES_BY_ID: &str = "/api/v3/historicalTrades";

const ENDPOINTS: [Endpoint; 10] = [
    Endpoint { path: "/api/v3/ping", parameters: &[], weight: |_| 1, answer: |_, _| Ok("{}".to_owned()) },
    Endpoint { path: "/api/v3/time", parameters: &[], weight: |_| 1, answer: server_time },
    Endpoint {
        path: "/api/v3/exchangeInfo",
        parameters: &["symbol", "symbols", "permissions", "symbolStatus", "showPermissionSets"],
        weight: |_| 20,
        answer: exchange_info::answer,
    },
    Endpoint {
        path: "/api/v3/trades",
        parameters: &["symbol", "limit"],
        weight: |_| 25,
        answer: trades::newest,
    },
    Endpoint {
        path: SINGLE_TRADES_BY_ID,
        parameters: &["symbol", "limit", "fromId"],
        weight: |_| 25,
        answer: trades::historical,
    },
    Endpoint {
        path: "/api/v3/aggTrades",
        parameters: &["symbol", "limit", "fromId", "startTime", "endTime"],
        weight: |_| 4,
        answer: aggregate_trades::answer,
    },
    Endpoint {
        path: "/api/v3/klines",
        parameters: &["symbol", "interval", "startTime", "endTime", "timeZone", "limit"],
        weight: |_| 2,
        answer: candles::answer,
    },
    Endpoint {
        path: "/api/v3/uiKlines",
        parameters: &["symbol", "interval", "startTime", "endTime", "timeZone", "limit"],
        weight: |_| 2,
        answer: candles::answer,
    },
    Endpoint {
        path: "/api/v3/ticker/price",
        parameters: &["symbol", "symbols", "symbolStatus"],
        weight: |parameters| if parameters.has("symbol") { 2 } else { 4 },
        answer: tickers::price,
    },
    Endpoint {
        path: "/api/v3/ticker/24hr",
        parameters: &["symbol", "symbols", "type", "symbolStatus"],
        weight: tickers::day_weight,
        answer: tickers::day,
    },
];

/// The routes of all endpoints that the exchange has.
pub(crate) fn routes(config: &SimulatorConfig) -> Router<Arc<Exchange>> {
    let is_there = |endpoint: &Endpoint| !(config.market_data_only && endpoint.path == SINGLE_TRADES_BY_ID);
    ENDPOINTS.into_iter().filter(is_there).fold(Router::new(), |router, endpoint| {
        router.route(
            endpoint.path,
            get(
                move |State(exchange): State<Arc<Exchange>>,
                      ConnectInfo(peer): ConnectInfo<SocketAddr>,
                      Query(pairs): Query<Vec<(String, String)>>,
                      headers: HeaderMap| async move {
                    let parameters = Parameters::new(pairs, &headers);
                    tokio::time::sleep(exchange.faults.rest_delay(Instant::now())).await;
                    serve(&endpoint, &exchange, peer, &parameters)
                },
            ),
        )
    })
}

fn serve(endpoint: &Endpoint, exchange: &Exchange, peer: SocketAddr, parameters: &Parameters) -> Response {
    if let Some((status, seconds)) = exchange.faults.rest_failure(Instant::now()) {
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
        return respond(status, ApiError::unknown().body(), None, Some(seconds));
    }
    match exchange.weights.spend(peer.ip(), (endpoint.weight)(parameters), wall_now_us()) {
        Verdict::Admitted { used } => {
            let answer = parameters
                .check_names(endpoint.parameters)
                .and_then(|()| (endpoint.answer)(exchange, parameters));
            match answer {
                Ok(body) => respond(StatusCode::OK, body, Some(used), None),
                Err(error) => respond(StatusCode::BAD_REQUEST, error.body(), Some(used), None),
            }
        }
        Verdict::SlowDown { used, limit, retry_after_seconds } => respond(
            StatusCode::TOO_MANY_REQUESTS,
            ApiError::too_much_weight(limit).body(),
            Some(used),
            Some(retry_after_seconds),
        ),
        Verdict::Banned { used, until_ms, retry_after_seconds } => respond(
            StatusCode::IM_A_TEAPOT,
            ApiError::banned(until_ms).body(),
            Some(used),
            Some(retry_after_seconds),
        ),
    }
}

fn respond(
    status: StatusCode,
    body: String,
    used_weight: Option<u32>,
    retry_after_seconds: Option<u64>,
) -> Response {
    let mut response = (status, body).into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json;charset=UTF-8"));
    if let Some(used) = used_weight {
        headers.insert(USED_WEIGHT.clone(), HeaderValue::from(used));
    }
    if let Some(seconds) = retry_after_seconds {
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

fn server_time(exchange: &Exchange, parameters: &Parameters) -> Result<String, ApiError> {
    Ok(format!(r#"{{"serverTime":{}}}"#, parameters.time_unit().of(exchange.server_time_us())))
}

fn to_json(value: &impl Serialize) -> Result<String, ApiError> {
    serde_json::to_string(value).map_err(|_| ApiError::unknown())
}
