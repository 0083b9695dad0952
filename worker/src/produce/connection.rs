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

/// What the owner wants of the reading task.
enum Command {
    Send(String),
}

/// An open connection. Dropping it closes it: the reading task takes what still comes until the
/// exchange has closed too, so that nothing is lost that was on its way.
pub(crate) struct Connection {
    pub(crate) progress: Arc<ConnectionProgress>,
    pub(crate) opened_at: Instant,
    commands: mpsc::UnboundedSender<Command>,
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
        let (commands, command_receiver) = mpsc::unbounded_channel();
        let (notice_sender, notices) = mpsc::unbounded_channel();
        tasks.spawn(read(socket, reader, Arc::clone(&progress), command_receiver, notice_sender));
        Ok(Self { progress, opened_at: Instant::now(), commands, notices })
    }

    /// Sends a text message. That it failed is told as [`Notice::Ended`].
    pub(crate) fn send(&self, text: String) {
        // Fails only after the task has ended, which it tells.
        let _ = self.commands.send(Command::Send(text));
    }

    /// The next thing that the exchange says apart from trades. After [`Notice::Ended`] that again.
    pub(crate) async fn next_notice(&mut self) -> Notice {
        self.notices.recv().await.unwrap_or_else(|| Notice::Ended("it has ended before".to_owned()))
    }

    /// Whether nothing is read from it any more.
    pub(crate) fn has_ended(&self) -> bool {
        self.commands.is_closed()
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

/// Reads until the connection ends or its owner lets it go, and tells the end.
async fn read(
    mut socket: Socket,
    mut reader: FrameReader,
    progress: Arc<ConnectionProgress>,
    mut commands: mpsc::UnboundedReceiver<Command>,
    notices: mpsc::UnboundedSender<Notice>,
) {
    let mut end = "the connection was cut".to_owned();
    loop {
        let message = tokio::select! {
            // Commands are few, and must get through whatever rate the frames have.
            biased;
            command = commands.recv() => match command {
                Some(Command::Send(text)) => match socket.send(Message::text(text)).await {
                    Ok(()) => continue,
                    Err(error) => Some(Err(error)),
                },
                None => return close(socket, reader, &progress).await,
            },
            message = next_message(&mut socket, &reader, &progress) => message,
        };
        match message {
            Some(Ok(message)) => {
                let now = Instant::now();
                progress.note_frame(now);
                if let Message::Close(Some(frame)) = &message {
                    end = format!(
                        "closed by the exchange with code {} {:?}",
                        frame.code,
                        frame.reason.as_str()
                    );
                }
                if let Message::Ping(_) = &message {
                    // The answer is made by the library, but it would leave with the next read only,
                    // and we may be held back before that. An error shows again at that read.
                    let _ = socket.flush().await;
                }
                if let Some(notice) = reader.take(&message, now) {
                    // Nobody listens any more: the next look at the commands ends the loop.
                    let _ = notices.send(notice);
                }
            }
            Some(Err(error)) => {
                end = error_chain(&error);
                break;
            }
            None => break,
        }
    }
    drop(commands);
    let _ = notices.send(Notice::Ended(end));
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
