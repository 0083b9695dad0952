//! One connection from its opening to its end.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures::{SinkExt, StreamExt};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{self, Bytes, Message};

use super::frames::{Format, Frames, write_server_shutdown};
use super::heartbeat::Heartbeat;
use super::requests::{self, Wish};
use super::subscriptions::{Subscriptions, TooSlow};
use crate::connections::Registration;
use crate::exchange::Exchange;
use crate::sliding_window::SlidingWindow;

/// How often a client that takes nothing is compared with the market.
const BACKLOG_LOOK: Duration = Duration::from_millis(100);

/// How long a closed connection is listened to, so that the client gets the closing frame.
const CLOSING_TIME: Duration = Duration::from_secs(1);

type Socket = WebSocketStream<TokioIo<Upgraded>>;

/// Why a connection ended.
#[derive(Debug)]
enum End {
    /// The client left, or the network failed.
    Gone,
    /// A fault on request: without a word.
    Cut,
    /// The client broke a rule.
    Policy(&'static str),
    /// A ping was not answered.
    NoPong,
    /// The client reads more slowly than the market moves.
    TooSlow,
    /// It lived as long as the exchange lets it.
    Lifetime,
    /// The exchange goes down.
    Shutdown,
}

impl From<TooSlow> for End {
    fn from(_: TooSlow) -> Self {
        Self::TooSlow
    }
}

impl From<tungstenite::Error> for End {
    fn from(_: tungstenite::Error) -> Self {
        Self::Gone
    }
}

/// A connection and all that belongs to it alone.
pub(super) struct Connection {
    exchange: Arc<Exchange>,
    socket: Socket,
    registration: Registration,
    subscriptions: Subscriptions,
    frames: Frames,
    heartbeat: Heartbeat,
    /// Whether frames were sent since a ping was answered.
    has_unread_frames: bool,
    incoming: SlidingWindow,
    wakes: watch::Receiver<()>,
    closes_at: Instant,
    closes_with: End,
}

impl Connection {
    /// A connection on `socket` with the streams that its address named.
    pub(super) fn new(exchange: Arc<Exchange>, socket: Socket, format: Format, streams: &[String]) -> Self {
        let now = Instant::now();
        let config = &exchange.config;
        let mut subscriptions = Subscriptions::new(format);
        subscriptions.subscribe(streams.iter().map(String::as_str), &exchange);
        Self {
            registration: Registration::new(&exchange),
            subscriptions,
            frames: Frames::default(),
            heartbeat: Heartbeat::new(config.ping_interval, config.pong_timeout, now),
            has_unread_frames: false,
            incoming: SlidingWindow::new(config.limits.messages_per_second, Duration::from_secs(1)),
            wakes: exchange.wakes(),
            closes_at: now + config.connection_lifetime,
            closes_with: End::Lifetime,
            socket,
            exchange,
        }
    }

    /// Serves the client until one side ends it.
    pub(super) async fn run(mut self) {
        let end = match self.serve().await {
            Ok(never) => match never {},
            Err(end) => end,
        };
        tracing::debug!(?end, "connection ended");
        let (code, reason) = match end {
            End::Policy(reason) => (CloseCode::Policy, reason),
            End::Lifetime => (CloseCode::Away, "connection lifetime"),
            End::Shutdown => (CloseCode::Away, "server shutdown"),
            // A client that does not read would not get the closing frame either.
            End::Gone | End::Cut | End::NoPong | End::TooSlow => return,
        };
        let close = CloseFrame { code, reason: reason.into() };
        let farewell = async {
            self.socket.close(Some(close)).await?;
            while self.socket.next().await.is_some_and(|message| message.is_ok()) {}
            Ok::<(), tungstenite::Error>(())
        };
        // Whether the client takes notice is its own affair.
        let _ = timeout(CLOSING_TIME, farewell).await;
    }

    async fn serve(&mut self) -> Result<std::convert::Infallible, End> {
        loop {
            self.check_stream_limit()?;
            self.wakes.mark_unchanged();
            let has_more = self.subscriptions.fill(&self.exchange, &mut self.frames)?;
            self.send_frames().await?;
            tokio::select! {
                biased;
                () = self.registration.cut.cancelled() => return Err(End::Cut),
                message = self.socket.next() => self.receive(message).await?,
                Ok(()) = self.registration.shutdown.changed() => self.announce_shutdown().await?,
                () = sleep_until(self.heartbeat.next_action()) => self.ping().await?,
                () = sleep_until(self.closes_at) => {
                    return Err(std::mem::replace(&mut self.closes_with, End::Lifetime));
                }
                // Not at once: timers and other connections want their turn.
                () = tokio::task::yield_now(), if has_more => {}
                _ = self.wakes.changed(), if !has_more => {}
            }
        }
    }

    fn check_stream_limit(&self) -> Result<(), End> {
        let stream_count = self.subscriptions.names().len();
        self.registration.stream_count.store(stream_count, Ordering::Relaxed);
        if stream_count > self.exchange.config.limits.streams_per_connection {
            return Err(End::Policy("too many streams"));
        }
        Ok(())
    }

    async fn send_frames(&mut self) -> Result<(), End> {
        if self.frames.is_empty() {
            return Ok(());
        }
        let messages = self.frames.take_messages();
        self.has_unread_frames = true;
        self.send(messages).await
    }

    /// Hands `messages` to the network. Where readers set the pace it waits for the client as long as that takes;
    /// elsewhere a client that takes nothing for as long as it may leave a ping unanswered is gone, and one that the
    /// market has left behind meanwhile is cut off.
    async fn send(&mut self, messages: impl Iterator<Item = Message>) -> Result<(), End> {
        let Self { exchange, socket, subscriptions, .. } = self;
        let as_fast_as_read = exchange.clock().is_as_fast_as_read();
        let write = async {
            for message in messages {
                socket.feed(message).await?;
            }
            socket.flush().await
        };
        let left_behind = async {
            loop {
                tokio::time::sleep(BACKLOG_LOOK).await;
                if let Err(too_slow) = subscriptions.check_backlog(exchange) {
                    return too_slow;
                }
            }
        };
        tokio::select! {
            biased;
            written = write => written?,
            () = self.registration.cut.cancelled() => return Err(End::Cut),
            too_slow = left_behind, if !as_fast_as_read => return Err(too_slow.into()),
            () = tokio::time::sleep(exchange.config.pong_timeout), if !as_fast_as_read => {
                return Err(End::NoPong);
            }
        }
        Ok(())
    }

    async fn send_text(&mut self, text: String) -> Result<(), End> {
        self.send(std::iter::once(Message::text(text))).await
    }

    async fn receive(&mut self, message: Option<Result<Message, tungstenite::Error>>) -> Result<(), End> {
        let Some(message) = message else { return Err(End::Gone) };
        let message = message?;
        if message.is_close() {
            // Flushing sends the answer to it.
            self.socket.flush().await?;
            return Err(End::Gone);
        }
        if !self.incoming.admits(std::time::Instant::now()) {
            return Err(End::Policy("too many messages"));
        }
        match message {
            Message::Text(text) => self.answer(&text).await,
            Message::Pong(payload) => {
                self.has_unread_frames &= !self.heartbeat.answered(&payload);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    async fn answer(&mut self, text: &str) -> Result<(), End> {
        let (id, wish) = requests::parse(text);
        let answer = match wish {
            Ok(wish) => requests::result(&id, &self.fulfil(wish)),
            Err(refusal) => requests::error(&id, &refusal),
        };
        self.check_stream_limit()?;
        self.send_text(answer).await
    }

    fn fulfil(&mut self, wish: Wish) -> Value {
        match wish {
            Wish::Subscribe(names) => {
                self.subscriptions.subscribe(names.iter().map(String::as_str), &self.exchange);
            }
            Wish::Unsubscribe(names) => self.subscriptions.unsubscribe(&names),
            Wish::SetCombined(combined) => self.subscriptions.format.combined = combined,
            Wish::GetCombined => return json!(self.subscriptions.format.combined),
            Wish::ListSubscriptions => return json!(self.subscriptions.names()),
        }
        Value::Null
    }

    async fn ping(&mut self) -> Result<(), End> {
        let now = Instant::now();
        if self.heartbeat.is_missing(now) {
            // Where readers set the pace, one who has not come as far as the ping is slow, not dead.
            if !(self.has_unread_frames && self.exchange.clock().is_as_fast_as_read()) {
                return Err(End::NoPong);
            }
            self.heartbeat.excuse(now);
        }
        let payload = Bytes::from(crate::playback::wall_now_us().to_string());
        self.heartbeat.sent(payload.clone(), now);
        self.send(std::iter::once(Message::Ping(payload))).await
    }

    async fn announce_shutdown(&mut self) -> Result<(), End> {
        let Some(lead) = *self.registration.shutdown.borrow_and_update() else { return Ok(()) };
        let format = self.subscriptions.format;
        let event_time = format.time_unit.of(self.exchange.server_time_us());
        self.frames.add(format, "!serverShutdown", |text| write_server_shutdown(text, event_time));
        self.closes_at = self.closes_at.min(Instant::now() + lead);
        self.closes_with = End::Shutdown;
        self.send_frames().await
    }
}
