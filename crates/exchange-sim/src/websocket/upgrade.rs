//! Turning an HTTP request into a WebSocket connection, on the same port as the REST interface.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::extract::{ConnectInfo, Path, Query, Request, State};
use axum::http::header::{
    CONNECTION, RETRY_AFTER, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

use super::connection::Connection;
use super::frames::Format;
use crate::config::Limits;
use crate::exchange::Exchange;
use crate::time_unit::TimeUnit;

/// Clients send little; a thousand stream names are some 30 kB.
const MAX_INCOMING_BYTES: usize = 1 << 20;
const READ_BUFFER_BYTES: usize = 8 << 10;

/// `/ws/<streams>` with bare payloads and `/stream?streams=<streams>` with wrapped ones.
pub(crate) fn routes() -> Router<Arc<Exchange>> {
    Router::new()
        .route("/ws", get(raw_without_streams))
        .route("/ws/", get(raw_without_streams))
        .route("/ws/{*streams}", get(raw))
        .route("/stream", get(combined))
}

type Parameters = Query<HashMap<String, String>>;

async fn raw_without_streams(
    exchange: State<Arc<Exchange>>,
    peer: ConnectInfo<SocketAddr>,
    parameters: Parameters,
    request: Request,
) -> Response {
    open(exchange.0, peer.0, &parameters, false, "", request)
}

async fn raw(
    exchange: State<Arc<Exchange>>,
    peer: ConnectInfo<SocketAddr>,
    Path(streams): Path<String>,
    parameters: Parameters,
    request: Request,
) -> Response {
    open(exchange.0, peer.0, &parameters, false, &streams, request)
}

async fn combined(
    exchange: State<Arc<Exchange>>,
    peer: ConnectInfo<SocketAddr>,
    parameters: Parameters,
    request: Request,
) -> Response {
    let streams = parameters.get("streams").map_or("", String::as_str);
    open(exchange.0, peer.0, &parameters, true, streams, request)
}

fn open(
    exchange: Arc<Exchange>,
    peer: SocketAddr,
    parameters: &HashMap<String, String>,
    combined: bool,
    streams: &str,
    mut request: Request,
) -> Response {
    if exchange.faults.refuses_connections(Instant::now()) {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    if !exchange.admits_connection(peer.ip(), Instant::now()) {
        let wait = Limits::CONNECTION_ATTEMPTS_WINDOW.as_secs().to_string();
        return (StatusCode::TOO_MANY_REQUESTS, [(RETRY_AFTER, wait)], "too many connections")
            .into_response();
    }
    let time_unit = match parameters.get("timeUnit").map(|name| TimeUnit::named(name)) {
        None => TimeUnit::default(),
        Some(Some(time_unit)) => time_unit,
        Some(None) => return (StatusCode::BAD_REQUEST, "invalid timeUnit").into_response(),
    };
    let key = websocket_key(request.headers()).map(str::to_owned);
    let Some((key, upgrade)) = key.zip(request.extensions_mut().remove::<OnUpgrade>()) else {
        return (StatusCode::BAD_REQUEST, "this is a WebSocket address").into_response();
    };
    let accept = derive_accept_key(key.as_bytes());
    let streams: Vec<String> =
        streams.split('/').filter(|stream| !stream.is_empty()).map(str::to_owned).collect();
    let tasks = exchange.connection_tasks.clone();
    tasks.spawn(serve(exchange, upgrade, Format { combined, time_unit }, streams));
    let headers = [(CONNECTION, "Upgrade"), (UPGRADE, "websocket"), (SEC_WEBSOCKET_ACCEPT, accept.as_str())];
    (StatusCode::SWITCHING_PROTOCOLS, headers).into_response()
}

/// The key of a request that asks for a WebSocket properly.
fn websocket_key(headers: &HeaderMap) -> Option<&str> {
    let is_upgrade = headers.get(UPGRADE)?.as_bytes().eq_ignore_ascii_case(b"websocket");
    let is_known_version = headers.get(SEC_WEBSOCKET_VERSION)?.as_bytes() == b"13";
    let key = headers.get(SEC_WEBSOCKET_KEY)?.to_str().ok()?;
    (is_upgrade && is_known_version).then_some(key)
}

async fn serve(exchange: Arc<Exchange>, upgrade: OnUpgrade, format: Format, streams: Vec<String>) {
    let upgraded = match upgrade.await {
        Ok(upgraded) => upgraded,
        Err(error) => {
            tracing::debug!(%error, "the client left during the handshake");
            return;
        }
    };
    let config = WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER_BYTES)
        .max_message_size(Some(MAX_INCOMING_BYTES))
        .max_frame_size(Some(MAX_INCOMING_BYTES));
    let socket = WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, Some(config)).await;
    Connection::new(exchange, socket, format, &streams).run().await;
}
