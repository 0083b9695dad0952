//! Who is connected: so that all can be told something, cut off and counted.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::exchange::Exchange;

/// The open WebSocket connections.
#[derive(Debug, Default)]
pub(crate) struct Connections {
    next_id: AtomicU64,
    open: Mutex<HashMap<u64, Handle>>,
}

/// What the exchange holds of a connection.
#[derive(Debug)]
struct Handle {
    cut: CancellationToken,
    shutdown: watch::Sender<Option<Duration>>,
    stream_count: Arc<AtomicUsize>,
}

/// What a connection holds of its entry; dropping it removes the entry.
#[derive(Debug)]
pub(crate) struct Registration {
    /// Fires when the connection is to end at once, without a word.
    pub(crate) cut: CancellationToken,
    /// Says that the exchange is going down, and after which time the connection closes.
    pub(crate) shutdown: watch::Receiver<Option<Duration>>,
    pub(crate) stream_count: Arc<AtomicUsize>,
    id: u64,
    exchange: Arc<Exchange>,
}

impl Registration {
    /// Enters a connection.
    pub(crate) fn new(exchange: &Arc<Exchange>) -> Self {
        let connections = &exchange.connections;
        let id = connections.next_id.fetch_add(1, Ordering::Relaxed);
        let (shutdown, shutdown_receiver) = watch::channel(None);
        let handle = Handle { cut: CancellationToken::new(), shutdown, stream_count: Arc::default() };
        let registration = Self {
            cut: handle.cut.clone(),
            shutdown: shutdown_receiver,
            stream_count: handle.stream_count.clone(),
            id,
            exchange: exchange.clone(),
        };
        connections.lock().insert(id, handle);
        registration
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.exchange.connections.lock().remove(&self.id);
    }
}

impl Connections {
    /// How many are open.
    pub(crate) fn count(&self) -> usize {
        self.lock().len()
    }

    /// How many streams they are subscribed to, together.
    pub(crate) fn stream_count(&self) -> usize {
        self.lock().values().map(|handle| handle.stream_count.load(Ordering::Relaxed)).sum()
    }

    /// Ends all at once, as a broken network would.
    pub(crate) fn cut_all(&self) {
        self.lock().values().for_each(|handle| handle.cut.cancel());
    }

    /// Tells all that the exchange is going down; they close after `lead`.
    pub(crate) fn announce_shutdown(&self, lead: Duration) {
        self.lock().values().for_each(|handle| {
            handle.shutdown.send_replace(Some(lead));
        });
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<u64, Handle>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
