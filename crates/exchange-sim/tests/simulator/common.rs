//! A client of the exchange as anybody would write it, and what the tests play.

use std::path::PathBuf;
use std::time::Duration;

use exchange_sim::log::read_files;
use exchange_sim::{Running, Simulator, SimulatorConfig, Speed, Trade, TradeLog};
use futures::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

/// Long enough for a busy machine; nothing waits for it when all is well.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
pub(crate) const START_US: i64 = 1_767_225_600_000_000;

/// A log of `count` trades with ids from 1, `apart_us` apart from START_US on, in pairs of one taker order.
pub(crate) fn even_log(symbol: &str, count: i64, apart_us: i64) -> TradeLog {
    let trades: Vec<Trade> = (1..=count)
        .map(|id| Trade {
            id,
            price: format!("{}.5", 100 + (id + 1) / 2 % 10).parse().unwrap(),
            quantity: "0.25".parse().unwrap(),
            time_us: START_US + (id - 1) / 2 * 2 * apart_us,
            aggregate_id: (id + 1) / 2,
            buyer_is_maker: (id + 1) / 2 % 2 == 0,
        })
        .collect();
    TradeLog::recorded(symbol, &trades)
}

/// A simulator that plays `logs` as fast as they are read.
pub(crate) fn as_fast_as_read(logs: Vec<TradeLog>) -> SimulatorConfig {
    SimulatorConfig { speed: Speed::AsFastAsRead, ..SimulatorConfig::new(logs) }
}

/// A simulator that plays by the clock, from the first subscription on.
pub(crate) fn live(logs: Vec<TradeLog>, factor: u32) -> SimulatorConfig {
    SimulatorConfig {
        speed: Speed::from_factor(factor),
        wait_for_subscriber: true,
        ..SimulatorConfig::new(logs)
    }
}

pub(crate) async fn start(config: SimulatorConfig) -> Running {
    let _ = rustls::crypto::ring::default_provider().install_default();
    Simulator::start(config).await.unwrap()
}

/// The logs of recordings, or None, said openly, where they are absent.
pub(crate) fn recordings(names: &[&str]) -> Option<Vec<TradeLog>> {
    let folder = std::env::var("MARKET_DATA").map_or_else(
        |_| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/market-data"),
        PathBuf::from,
    );
    if !folder.is_dir() {
        println!("SKIPPED: no recordings in {}; set MARKET_DATA", folder.display());
        return None;
    }
    let paths: Vec<PathBuf> = names.iter().map(|name| folder.join(name)).collect();
    Some(read_files(&paths).unwrap())
}

/// Waits until `condition` holds of the simulator.
pub(crate) async fn wait_until(
    running: &Running,
    condition: impl Fn(&exchange_sim::control::Status) -> bool,
) {
    let held = async {
        while !condition(&running.status()) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    if timeout(PATIENCE, held).await.is_err() {
        panic!("waited in vain; the status is {:?}", running.status());
    }
}

pub(crate) struct Client {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
}

impl Client {
    pub(crate) async fn connect(running: &Running, path: &str) -> Self {
        let (socket, _) = connect_async(format!("{}{path}", running.websocket_url())).await.unwrap();
        Self { socket }
    }

    /// The HTTP status with which a connection is refused.
    pub(crate) async fn refused(running: &Running, path: &str) -> u16 {
        match connect_async(format!("{}{path}", running.websocket_url())).await {
            Err(tokio_tungstenite::tungstenite::Error::Http(response)) => response.status().as_u16(),
            other => panic!("not refused: {other:?}"),
        }
    }

    pub(crate) async fn send(&mut self, message: &Value) {
        self.send_text(&message.to_string()).await;
    }

    pub(crate) async fn send_text(&mut self, text: &str) {
        self.socket.send(Message::text(text)).await.unwrap();
    }

    pub(crate) async fn send_message(&mut self, message: Message) {
        self.socket.send(message).await.unwrap();
    }

    /// Sends `method` with `params` and returns the answer, passing over stream frames.
    pub(crate) async fn request(&mut self, method: &str, params: Value) -> Value {
        self.send(&json!({"method": method, "params": params, "id": 7})).await;
        loop {
            let frame = self.json().await;
            if frame.get("id").is_some() {
                return frame;
            }
        }
    }

    pub(crate) async fn subscribe(&mut self, streams: &[&str]) {
        let answer = self.request("SUBSCRIBE", json!(streams)).await;
        assert_eq!(answer, json!({"result": null, "id": 7}));
    }

    /// The next message of any kind; None where the connection is over without a closing frame.
    pub(crate) async fn message(&mut self) -> Option<Message> {
        self.next_that(|_| true).await
    }

    /// The next text.
    pub(crate) async fn text(&mut self) -> String {
        match self.next_that(|message| !message.is_ping() && !message.is_pong()).await {
            Some(Message::Text(text)) => text.to_string(),
            other => panic!("not a text: {other:?}"),
        }
    }

    /// The next message that is wanted. Pings alone, which never end, are not waited out.
    async fn next_that(&mut self, is_wanted: impl Fn(&Message) -> bool) -> Option<Message> {
        let next = async {
            loop {
                match self.socket.next().await {
                    Some(Ok(message)) if !is_wanted(&message) => {}
                    message => return message.and_then(Result::ok),
                }
            }
        };
        timeout(PATIENCE, next).await.expect("waited in vain for a message")
    }

    pub(crate) async fn json(&mut self) -> Value {
        serde_json::from_str(&self.text().await).unwrap()
    }

    pub(crate) async fn frames(&mut self, count: usize) -> Vec<Value> {
        let mut frames = Vec::with_capacity(count);
        while frames.len() < count {
            frames.push(self.json().await);
        }
        frames
    }

    /// Reads until the end; the closing frame if one came.
    pub(crate) async fn closed(&mut self) -> Option<CloseFrame> {
        match self.next_that(Message::is_close).await {
            Some(Message::Close(frame)) => frame,
            _ => None,
        }
    }

    /// Asserts that nothing is sent before the answer to a request that is made now.
    pub(crate) async fn assert_silent(&mut self) {
        self.send(&json!({"method": "LIST_SUBSCRIPTIONS", "id": 99})).await;
        let frame = self.json().await;
        assert_eq!(frame["id"], 99, "not silent: {frame}");
    }
}

pub(crate) struct Rest {
    base: String,
    client: reqwest::Client,
}

pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) body: Value,
    pub(crate) used_weight: Option<u32>,
    pub(crate) retry_after: Option<u64>,
}

impl Rest {
    pub(crate) fn new(running: &Running) -> Self {
        Self { base: running.rest_url(), client: reqwest::Client::new() }
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.get_with(path, &[]).await
    }

    pub(crate) async fn get_with(&self, path: &str, headers: &[(&str, &str)]) -> Reply {
        let request = self.client.get(format!("{}{path}", self.base));
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        let response = request.send().await.unwrap();
        let header = |name: &str| {
            response.headers().get(name).map(|value| value.to_str().unwrap().parse::<u64>().unwrap())
        };
        let used_weight = header("X-MBX-USED-WEIGHT-1M").map(|used| u32::try_from(used).unwrap());
        let (status, retry_after) = (response.status().as_u16(), header("Retry-After"));
        let body = serde_json::from_str(&response.text().await.unwrap()).unwrap_or(Value::Null);
        Reply { status, body, used_weight, retry_after }
    }

    /// The body of a request that succeeds.
    pub(crate) async fn body(&self, path: &str) -> Value {
        let reply = self.get(path).await;
        assert_eq!(reply.status, 200, "{path}: {}", reply.body);
        reply.body
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> u16 {
        let request = self.client.post(format!("{}{path}", self.base)).body(body.to_string());
        request.send().await.unwrap().status().as_u16()
    }
}
