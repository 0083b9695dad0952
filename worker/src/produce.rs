//! `worker produce`: one source, exchange -> Kafka.
//!
//! A [`StreamKeeper`](keeper) per thousand symbols keeps a connection to the exchange; the task that reads
//! it turns frames into trades or samples of prices and hands them to the one [`Publisher`](publisher). Where prices are
//! asked for instead, one [`PricePoll`](price_poll) does. What all of them do is
//! told in one [`ProducerState`], which `/status`, `/readyz` and `/metrics` read.

mod attempt_limiter;
mod connection;
mod connection_progress;
mod delivery;
mod frame_reader;
mod frame_trace;
mod keeper;
mod listing;
pub mod metrics;
mod overlap;
mod price_poll;
mod publisher;
mod requests;
mod rhythm;
mod seen_ids;
mod state;
mod stream_watch;
mod symbol_feed;
mod timings;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use crds::worker_settings::{ExchangeKind, ProducerSettings};
use rdkafka::error::KafkaError;
use runtime::health::Probes;
use runtime::kafka::KafkaConnection;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use rhythm::SilenceBounds;
pub use state::ProducerState;
pub use timings::Timings;

use self::attempt_limiter::AttemptLimiter;
use self::keeper::{Shared, StreamKeeper};
use self::price_poll::PricePoll;
use self::publisher::Publisher;
use crate::exchange::{BinanceRest, RestError, binance};
use crate::flow_gate::FlowGate;

/// What a producer is given besides its settings.
pub struct ProduceContext {
    /// How to reach the broker, credentials included.
    pub kafka: KafkaConnection,
    /// The state to tell everything in; made from the same settings.
    pub state: Arc<ProducerState>,
    /// Holds the producer back where the broker keeps little.
    pub gate: Arc<FlowGate>,
    /// How long to wait for what.
    pub timings: Timings,
}

/// Why a producer cannot work. Everything that can pass by itself is waited for instead.
#[derive(Debug, thiserror::Error)]
pub enum ProduceError {
    /// librdkafka refuses a setting.
    #[error("the kafka client cannot be made")]
    Kafka(#[from] KafkaError),
    /// There is no HTTP client.
    #[error(transparent)]
    Rest(#[from] RestError),
    /// The Kafka client says that it will never work again.
    #[error("{0}")]
    ClientFailed(String),
    /// A part that runs for ever has ended, which takes a fault of ours.
    #[error("a part of the producer has ended: {0}")]
    PartEnded(String),
}

/// Brings the trades or the price samples of one source to its topic until `shutdown`; then it stops reading and waits, within
/// the grace, until the broker has what was read.
///
/// # Errors
/// [`ProduceError`] where only a restart or other settings can help.
pub async fn run(
    settings: ProducerSettings,
    context: ProduceContext,
    shutdown: CancellationToken,
) -> Result<(), ProduceError> {
    let ProduceContext { kafka, state, gate, timings } = context;
    // Another exchange needs an adapter of its own before this compiles.
    let ExchangeKind::Binance = settings.source.exchange;
    let client_failed = CancellationToken::new();
    let client_id = format!("{}-producer-{}", settings.pipeline.name, settings.source.name);
    let topic = &settings.kafka.topic;
    let publisher =
        Publisher::new(&kafka, &client_id, topic, Arc::clone(&state), gate, client_failed.clone())?;
    let publisher = Arc::new(publisher);
    let rest = BinanceRest::new(&settings.source.rest_url)?;
    let shared = Arc::new(Shared {
        state: Arc::clone(&state),
        publisher: Arc::clone(&publisher),
        timings,
        attempts: Mutex::new(AttemptLimiter::default()),
        readers: TaskTracker::new(),
    });

    let mut parts = JoinSet::new();
    let (listed_sender, listed) = watch::channel(());
    parts.spawn(listing::keep_listing(Arc::clone(&state), rest, timings, listed_sender));
    match settings.source.poll_interval_ms {
        Some(interval_ms) => {
            let rest = BinanceRest::new(&settings.source.rest_url)?;
            let interval = Duration::from_millis(interval_ms);
            parts.spawn(PricePoll { shared: Arc::clone(&shared), rest, interval, listed }.keep_polling());
        }
        None => {
            for keeper in keepers(&shared, &settings.source.websocket_url, &listed) {
                state.set_problem(&keeper.name, "not connected yet".to_owned());
                parts.spawn(keeper.keep_streaming());
            }
        }
    }
    parts.spawn(publisher::send_waiting(Arc::clone(&publisher)));
    let part_ended = tokio::select! {
        () = shutdown.cancelled() => None,
        () = client_failed.cancelled() => None,
        Some(ended) = parts.join_next() => Some(ended),
    };

    // Connections close with their keepers, and are read until the exchange has closed them too.
    parts.shutdown().await;
    shared.readers.close();
    shared.readers.wait().await;
    drop(shared);
    let flushed = tokio::task::spawn_blocking(move || {
        publisher.flush(timings.flush_grace);
        drop(publisher);
    });
    if let Err(error) = flushed.await {
        tracing::error!(%error, "the flush was cut short");
    }
    tracing::info!(
        published = state.records_published.get(),
        dropped = state.records_dropped.get(),
        "the producer has ended"
    );
    match (part_ended, state.why_not_alive().pop()) {
        (Some(Err(error)), _) => Err(ProduceError::PartEnded(error.to_string())),
        (Some(Ok(())), _) => Err(ProduceError::PartEnded("it returned".to_owned())),
        (None, Some(reason)) => Err(ProduceError::ClientFailed(reason)),
        (None, None) => Ok(()),
    }
}

/// One keeper for as many symbols as a connection may carry.
fn keepers(shared: &Arc<Shared>, websocket_url: &str, listed: &watch::Receiver<()>) -> Vec<StreamKeeper> {
    let symbols = shared.state.feeds.all().len();
    (0..symbols)
        .step_by(binance::STREAMS_PER_CONNECTION)
        .enumerate()
        .map(|(number, first)| StreamKeeper {
            shared: Arc::clone(shared),
            name: format!("connection {}", number + 1),
            url: binance::stream_url(websocket_url),
            places: first..symbols.min(first + binance::STREAMS_PER_CONNECTION),
            listed: listed.clone(),
            has_connected: false,
        })
        .collect()
}
