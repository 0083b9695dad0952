//! The simulator's own interface, beside the exchange's: faults on request, and what has been played so far.
//!
//! `POST /control/command` takes a [`Command`] as JSON, `GET /control/status` answers with a [`Status`].

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use serde_json::json;
use smol_str::SmolStr;

use crate::dumps::DumpFault;
use crate::exchange::Exchange;
use crate::faults::{AlteredKline, FalseFrame};
use crate::playback::{SymbolMarket, SymbolStatus};

/// Up to here ids can begin: then they stay within 2^53, which every reader of JSON holds exactly, however long is played.
const HIGHEST_FIRST_ID: i64 = 1 << 52;

/// Something that goes wrong with the exchange.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case", deny_unknown_fields)]
pub enum Command {
    /// Cuts all WebSocket connections, as a broken network would: no closing frame.
    Disconnect,
    /// Sends `serverShutdown` to all connections and closes them after `lead_ms`.
    ServerShutdown {
        /// Milliseconds between the notice and the close.
        lead_ms: u64,
    },
    /// The exchange restarts: `serverShutdown`, then for `down_ms` neither streams nor REST. The market goes on
    /// where a clock moves it, and what passes meanwhile is never sent.
    Restart {
        /// Milliseconds until it is back.
        down_ms: u64,
    },
    /// Refuses new WebSocket connections (HTTP 503) for `for_ms`.
    RefuseConnections {
        /// Milliseconds.
        for_ms: u64,
    },
    /// Answers every REST request with the HTTP `status` for `for_ms`; `Retry-After` says how long.
    FailRest {
        /// For example 503 or 429.
        status: u16,
        /// Milliseconds.
        for_ms: u64,
    },
    /// Holds every REST answer back by `delay_ms` for `for_ms`.
    SlowRest {
        /// Milliseconds between a question and its answer.
        delay_ms: u64,
        /// Milliseconds.
        for_ms: u64,
    },
    /// For `for_ms` REST tells of the trades that had been made `lag_ms` before, as of now.
    LagRest {
        /// Milliseconds that the answers are behind.
        lag_ms: u64,
        /// Milliseconds.
        for_ms: u64,
    },
    /// Silences the streams of `symbol`, while the connections live on, or ends that. Where a clock moves the
    /// market, what passes meanwhile is never sent; elsewhere the symbol stands still.
    Stall {
        /// The symbol, in capitals.
        symbol: SmolStr,
        /// Whether it is silent from now on.
        stalled: bool,
    },
    /// Cuts the next `count` trade frames of `symbol` in the middle, so that they are no JSON.
    DamageFrames {
        /// The symbol, in capitals.
        symbol: SmolStr,
        /// How many, all connections together.
        count: u32,
    },
    /// Sends the next `count` trade frames of `symbol` twice.
    DuplicateFrames {
        /// The symbol, in capitals.
        symbol: SmolStr,
        /// How many, all connections together.
        count: u32,
    },
    /// Sends the next `count` trade frames of `symbol` after the one that follows each.
    DelayFrames {
        /// The symbol, in capitals.
        symbol: SmolStr,
        /// How many, all connections together.
        count: u32,
    },
    /// Sends `count` frames that no sound exchange would send, each beside a trade of `symbol`.
    FalseFrames {
        /// The symbol, in capitals.
        symbol: SmolStr,
        /// What is wrong with them.
        frame: FalseFrame,
        /// How many, all connections together.
        count: u32,
    },
    /// Never sends the trades of `symbol` from `first_id` to `last_id`; REST has them.
    WithholdTrades {
        /// The symbol, in capitals.
        symbol: SmolStr,
        /// The first id that is not sent.
        first_id: i64,
        /// The last id that is not sent.
        last_id: i64,
    },
    /// Answers with another `value` than follows from the trades in one `field` of one kline of `symbol`.
    AlterKline {
        /// The symbol, in capitals.
        symbol: SmolStr,
        /// The interval, e.g. `1m`.
        interval: SmolStr,
        /// When the kline opens, in microseconds.
        open_time_us: i64,
        /// Which field.
        field: KlineField,
        /// What it says instead, as a decimal number.
        value: SmolStr,
    },
    /// Answers with the klines of `symbol` as they were `lag_us` of the exchange's time ago; 0 ends that.
    DelayKlines {
        /// The symbol, in capitals.
        symbol: SmolStr,
        /// Microseconds.
        lag_us: i64,
    },
    /// `historicalTrades` of `symbol` answers with nothing before `before_id` any more; the daily files have it.
    ForgetTrades {
        /// The symbol, in capitals.
        symbol: SmolStr,
        /// The first id that it may have.
        before_id: i64,
    },
    /// Something is wrong with the file of a day, or no longer.
    SpoilDump {
        /// The symbol, in capitals.
        symbol: SmolStr,
        /// The day.
        date: Date,
        /// `none`, `absent`, `no_checksum`, `corrupt`, `header` or `short`.
        fault: DumpFault,
    },
    /// The exchange forgets the trades of `symbol`, as when a testnet is wiped: from the next trade on ids count from
    /// `first_id`, those of aggregates too, and neither REST nor the daily files know of those before. What was withheld
    /// or forgotten by id is so no longer; later commands mean the new ids. Where readers set the pace, trading is to be
    /// stopped before: what is being sent at that moment has its ids already.
    RestartIds {
        /// The symbol, in capitals.
        symbol: SmolStr,
        /// The id of the next trade; 1 unless given.
        #[serde(default = "first_of_all")]
        first_id: i64,
    },
    /// Stops or resumes the trading of `symbol`. Its ids go on without a hole; its times jump.
    SetStatus {
        /// The symbol, in capitals.
        symbol: SmolStr,
        /// `TRADING`, `HALT` or `BREAK`.
        status: SymbolStatus,
    },
}

fn first_of_all() -> i64 {
    1
}

/// A field of a kline that can be altered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the fields are named as candles name them everywhere")]
pub enum KlineField {
    Open,
    High,
    Low,
    Close,
    Volume,
    QuoteVolume,
    TradeCount,
    TakerBuyVolume,
    TakerBuyQuoteVolume,
}

/// A command that cannot be carried out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// Its symbol is not played.
    #[error("symbol {0:?} is not among the symbols that are played")]
    UnknownSymbol(SmolStr),
    /// Its value is none of that field.
    #[error("value {0:?} is not a number that the field can have")]
    InvalidValue(SmolStr),
    /// Ids cannot begin there.
    #[error("first_id {0} is not between 0 and 2^52")]
    InvalidFirstId(i64),
    /// There is no trade that could be numbered anew.
    #[error("no trade of symbol {0:?} is left to be played")]
    NoTradeLeft(SmolStr),
}

/// What has been played so far, and who listens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Per symbol, in the order of the logs.
    pub symbols: Vec<SymbolProgress>,
    /// Whether every log has been played to its end.
    pub done: bool,
    /// The time on the exchange's clock, in microseconds.
    pub server_time_us: i64,
    /// Open WebSocket connections.
    pub connections: usize,
    /// Streams that they are subscribed to, together.
    pub subscriptions: usize,
    /// Connections and requests that a fault has refused, held back or told of an earlier market.
    pub troubled_requests: u64,
    /// REST requests that were answered with 429 because their address had asked too much, by no fault.
    pub rate_limited_requests: u64,
    /// REST requests that were answered with 418 because their address went on regardless, by no fault.
    pub banned_requests: u64,
}

/// How far the log of one symbol has been played.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SymbolProgress {
    /// The symbol, in capitals.
    pub symbol: SmolStr,
    /// The id of the log's first trade, since ids were restarted; null if it is empty.
    pub first_id: Option<i64>,
    /// The id of the log's last trade; null of a generated log whose end nobody has reached.
    pub last_id: Option<i64>,
    /// The id of the last trade played; null before the first, also after a restart of the ids.
    pub last_played_id: Option<i64>,
    /// The time of that trade as played, in microseconds.
    pub last_played_time_us: Option<i64>,
    /// By how much the log's times are shifted, in microseconds, as things are.
    pub shift_us: i64,
    /// How many trades have been played.
    pub played: usize,
    /// Whether the log has been played to its end.
    pub done: bool,
    /// Whether it trades.
    pub status: SymbolStatus,
    /// Frames that a fault has withheld, damaged, doubled, delayed or invented.
    pub spoiled_frames: u64,
    /// How often its ids were restarted.
    pub id_restarts: u32,
}

/// `/control/*`.
pub(crate) fn routes() -> Router<Arc<Exchange>> {
    Router::new().route("/control/command", post(command)).route("/control/status", get(status))
}

/// Carries out `command`. This is the only place that changes what is wrong with the exchange.
///
/// # Errors
/// Where its symbol is not played, or its value cannot be one.
pub(crate) fn apply(exchange: &Exchange, command: &Command) -> Result<(), CommandError> {
    let market =
        |symbol: &SmolStr| exchange.market(symbol).ok_or_else(|| CommandError::UnknownSymbol(symbol.clone()));
    let after = |ms: u64| Instant::now() + Duration::from_millis(ms);
    match command {
        Command::Disconnect => exchange.connections.cut_all(),
        Command::ServerShutdown { lead_ms } => {
            exchange.connections.announce_shutdown(Duration::from_millis(*lead_ms));
        }
        Command::Restart { down_ms } => {
            exchange.faults.refuse_connections_until(after(*down_ms));
            exchange.faults.fail_rest_until(after(*down_ms), StatusCode::SERVICE_UNAVAILABLE.as_u16());
            exchange.connections.announce_shutdown(Duration::ZERO);
        }
        Command::RefuseConnections { for_ms } => exchange.faults.refuse_connections_until(after(*for_ms)),
        Command::FailRest { status, for_ms } => exchange.faults.fail_rest_until(after(*for_ms), *status),
        Command::SlowRest { delay_ms, for_ms } => {
            exchange.faults.slow_rest_until(after(*for_ms), Duration::from_millis(*delay_ms));
        }
        Command::LagRest { lag_ms, for_ms } => {
            exchange.faults.lag_rest_until(after(*for_ms), Duration::from_millis(*lag_ms));
        }
        Command::Stall { symbol, stalled } => market(symbol)?.faults.stall(*stalled),
        Command::DamageFrames { symbol, count } => market(symbol)?.faults.damage(*count),
        Command::DuplicateFrames { symbol, count } => market(symbol)?.faults.double(*count),
        Command::DelayFrames { symbol, count } => market(symbol)?.faults.delay(*count),
        Command::FalseFrames { symbol, frame, count } => {
            market(symbol)?.faults.add_false_frames(*frame, *count);
        }
        Command::WithholdTrades { symbol, first_id, last_id } => {
            market(symbol)?.faults.withhold(*first_id..=*last_id);
        }
        Command::AlterKline { symbol, interval, open_time_us, field, value } => {
            let altered = AlteredKline::new(interval.clone(), *open_time_us, *field, value)
                .ok_or_else(|| CommandError::InvalidValue(value.clone()))?;
            market(symbol)?.faults.alter_kline(altered);
        }
        Command::DelayKlines { symbol, lag_us } => market(symbol)?.faults.delay_klines(*lag_us),
        Command::ForgetTrades { symbol, before_id } => market(symbol)?.faults.forget_before(*before_id),
        Command::SpoilDump { symbol, date, fault } => market(symbol)?.faults.spoil_dump(*date, *fault),
        Command::RestartIds { symbol, first_id } => {
            if !(0..=HIGHEST_FIRST_ID).contains(first_id) {
                return Err(CommandError::InvalidFirstId(*first_id));
            }
            if !market(symbol)?.restart_ids(*first_id) {
                return Err(CommandError::NoTradeLeft(symbol.clone()));
            }
        }
        Command::SetStatus { symbol, status } => {
            let market = market(symbol)?;
            market.set_status(*status, exchange.time_us(market));
        }
    }
    // A symbol may speak or trade again.
    exchange.wake_player();
    exchange.wake_connections();
    Ok(())
}

/// What has been played so far.
pub(crate) fn read_status(exchange: &Exchange) -> Status {
    Status {
        symbols: exchange.markets().iter().map(|market| progress(market)).collect(),
        done: exchange.is_done(),
        server_time_us: exchange.server_time_us(),
        connections: exchange.connections.count(),
        subscriptions: exchange.connections.stream_count(),
        troubled_requests: exchange.faults.troubled(),
        rate_limited_requests: exchange.weights.rate_limited(),
        banned_requests: exchange.weights.banned(),
    }
}

fn progress(market: &SymbolMarket) -> SymbolProgress {
    let last_played = market.last_played();
    let (first_id, last_id) = market.ends();
    SymbolProgress {
        symbol: market.symbol().clone(),
        first_id,
        last_id,
        last_played_id: last_played.map(|trade| trade.id),
        last_played_time_us: last_played.map(|trade| trade.time_us),
        shift_us: market.next_stretch().shift_us,
        played: market.played_count(),
        done: market.is_done(),
        status: market.status(),
        spoiled_frames: market.faults.spoiled(),
        id_restarts: market.id_restarts(),
    }
}

async fn command(State(exchange): State<Arc<Exchange>>, body: String) -> Response {
    let error = match serde_json::from_str::<Command>(&body) {
        Ok(command) => apply(&exchange, &command).err().map(|error| error.to_string()),
        Err(error) => Some(error.to_string()),
    };
    match error {
        None => json_response(StatusCode::OK, "{}".to_owned()),
        Some(error) => json_response(StatusCode::BAD_REQUEST, json!({"error": error}).to_string()),
    }
}

async fn status(State(exchange): State<Arc<Exchange>>) -> Response {
    match serde_json::to_string(&read_status(&exchange)) {
        Ok(body) => json_response(StatusCode::OK, body),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

fn json_response(status: StatusCode, body: String) -> Response {
    (status, [(CONTENT_TYPE, "application/json")], body).into_response()
}

#[cfg(test)]
mod tests;
