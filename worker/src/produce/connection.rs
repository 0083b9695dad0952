//! One WebSocket connection and the one task that reads it. Trades go straight to the publisher, in the
//! order in which they come; whatever else a frame says is told to the connection's owner.

use std::sync::Arc;
use std::time::Duration;

use futures::{SinkExt, StreamExt};
use runtime::error_chain::error_chain;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};
use tokio_util::task::TaskTracker;

use super::connection_progress::ConnectionProgress;
use super::frame_reader::{FrameReader, Notice};
use crate::exchange::pause_after_status;

/// A frame of a trade is some 200 bytes; the defaults are 128 KiB a buffer.
const BUFFER_BYTES: usize = 16 * 1024;
/// The answer to a request may name all streams of a connection.
const MESSAGE_BYTES: usize = 256 * 1024;
/// How long the exchange may take to accept the little that we send it.
const SEND_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a connection that we close is read until the exchange closes it too.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// Why no connection could be opened.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectError {
    /// The handshake took too long.
    #[error("{url} did not answer in time")]
    TimedOut {
        /// The address.
        url: String,
    },
    /// The exchange asks to be left alone.
    #[error("{url} answered {status}, which asks for a pause of {} s", .pause.as_secs())]
    Paused {
        /// The address.
        url: String,
        /// The HTTP status.
        status: u16,
        /// How long not to ask.
        pause: Duration,
    },
    /// Anything else.
    #[error("{url} cannot be opened")]
    Failed {
        /// The address.
        url: String,
        /// What happened.
        source: Box<tungstenite::Error>,
    },
}

impl ConnectError {
    /// How long the exchange wants to be left alone, where it wants that.
    pub(crate) const fn pause(&self) -> Option<Duration> {
        match self {
            Self::Paused { pause, .. } => Some(*pause),
            _ => None,
        }
    }
}

/// An open connection. Dropping it closes it: the reading task takes what still comes until the
/// exchange has closed too, so that nothing is lost that was on its way.
pub(crate) struct Connection {
    pub(crate) progress: Arc<ConnectionProgress>,
    pub(crate) opened_at: Instant,
    outgoing: mpsc::UnboundedSender<String>,
    notices: mpsc::UnboundedReceiver<Notice>,
}

impl Connection {
    /// Opens `url` and begins to read. The task that reads belongs to `tasks`.
    ///
    /// # Errors
    /// [`ConnectError`] where the handshake fails or takes longer than `timeout`.
    pub(crate) async fn open(
        url: &str,
        timeout: Duration,
        symbols: usize,
        tasks: &TaskTracker,
        make_reader: impl FnOnce(Arc<ConnectionProgress>) -> FrameReader,
    ) -> Result<Self, ConnectError> {
        let config = WebSocketConfig::default()
            .read_buffer_size(BUFFER_BYTES)
            .write_buffer_size(0)
            .max_write_buffer_size(MESSAGE_BYTES)
            .max_message_size(Some(MESSAGE_BYTES))
            .max_frame_size(Some(MESSAGE_BYTES));
        let handshake = tokio_tungstenite::connect_async_with_config(url, Some(config), true);
        let opened = tokio::time::timeout(timeout, handshake).await;
        let opened = opened.map_err(|_| ConnectError::TimedOut { url: url.to_owned() })?;
        let (socket, _) = opened.map_err(|error| connect_error(url, error))?;
        let progress = Arc::new(ConnectionProgress::new(symbols));
        let reader = make_reader(Arc::clone(&progress));
        let (outgoing, outgoing_receiver) = mpsc::unbounded_channel();
        let (notice_sender, notices) = mpsc::unbounded_channel();
        tasks.spawn(read(socket, reader, Arc::clone(&progress), outgoing_receiver, notice_sender));
        Ok(Self { progress, opened_at: Instant::now(), outgoing, notices })
    }

    /// Sends a text message. That it failed is told as [`Notice::Ended`].
    pub(crate) fn send(&self, text: String) {
        // Fails only after the task has ended, which it tells.
        let _ = self.outgoing.send(text);
    }

    /// The next thing that the exchange says apart from trades. After [`Notice::Ended`] that again.
    pub(crate) async fn next_notice(&mut self) -> Notice {
        self.notices.recv().await.unwrap_or_else(|| Notice::Ended("it has ended before".to_owned()))
    }

    /// Whether nothing is read from it any more.
    pub(crate) fn has_ended(&self) -> bool {
        self.outgoing.is_closed()
    }
}

fn connect_error(url: &str, error: tungstenite::Error) -> ConnectError {
    let url = url.to_owned();
    if let tungstenite::Error::Http(response) = &error {
        let status = response.status().as_u16();
        let retry_after = response.headers().get("retry-after").and_then(|value| value.to_str().ok());
        if let Some(pause) = pause_after_status(status, retry_after) {
            return ConnectError::Paused { url, status, pause };
        }
    }
    ConnectError::Failed { url, source: Box::new(error) }
}

/// Reads until the connection ends, and tells how, or until its owner lets it go.
async fn read(
    mut socket: Socket,
    mut reader: FrameReader,
    progress: Arc<ConnectionProgress>,
    mut outgoing: mpsc::UnboundedReceiver<String>,
    notices: mpsc::UnboundedSender<Notice>,
) {
    let mut end = "the connection was cut".to_owned();
    loop {
        let message = tokio::select! {
            // What we send is little, and must get through whatever rate the frames have.
            biased;
            text = outgoing.recv() => {
                let Some(text) = text else { return close(socket, reader, &progress).await };
                if let Err(error) = within_timeout(socket.send(Message::text(text))).await {
                    end = error_chain(&error);
                    break;
                }
                continue;
            }
            message = next_message(&mut socket, &reader, &progress) => message,
        };
        let message = match message {
            Some(Ok(message)) => message,
            Some(Err(error)) => {
                end = error_chain(&error);
                break;
            }
            None => break,
        };
        let now = Instant::now();
        progress.note_frame(now);
        if let Some(notice) = reader.take(&message, now) {
            // Where nobody listens any more, the next look at what is to be sent ends the loop.
            let _ = notices.send(notice);
        }
        match message {
            // The answer is made by the library, but would leave with the next read only, and we may
            // be held back before that. An error shows again at that read.
            Message::Ping(_) => drop(within_timeout(socket.flush()).await),
            Message::Close(Some(frame)) => {
                end = format!("closed by the exchange with code {} {:?}", frame.code, frame.reason.as_str());
            }
            _ => {}
        }
    }
    drop(outgoing);
    let _ = notices.send(Notice::Ended(end));
}

/// Sending blocks for as long as the other side takes nothing.
async fn within_timeout(send: impl Future<Output = tungstenite::Result<()>>) -> tungstenite::Result<()> {
    let timed_out = |_| tungstenite::Error::Io(std::io::ErrorKind::TimedOut.into());
    tokio::time::timeout(SEND_TIMEOUT, send).await.map_err(timed_out)?
}

/// The next message, once the publisher has room for what it may bring.
async fn next_message(
    socket: &mut Socket,
    reader: &FrameReader,
    progress: &ConnectionProgress,
) -> Option<tungstenite::Result<Message>> {
    if !reader.publisher.is_ready() {
        // Pings wait behind the trades until then. The exchange gives a minute to answer them.
        let _held_back = progress.hold_back();
        reader.publisher.ready().await;
    }
    socket.next().await
}

/// Closes in order: what the exchange sent before it heard of that is taken too.
async fn close(mut socket: Socket, mut reader: FrameReader, progress: &ConnectionProgress) {
    let drained = async {
        socket.close(None).await?;
        while let Some(message) = next_message(&mut socket, &reader, progress).await {
            reader.take(&message?, Instant::now());
        }
        Ok::<(), tungstenite::Error>(())
    };
    if let Ok(Err(error)) = tokio::time::timeout(CLOSE_TIMEOUT, drained).await {
        tracing::debug!(error = error_chain(&error), "closing");
    }
}
