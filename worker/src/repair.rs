//! `worker repair`: what the ledger misses is asked of the exchange and published like any trade, and every minute the
//! exchange is asked how far its ids go.
//!
//! With history, that is loaded beside it ([`crate::history`]).
//!
//! One [`SourceRepairer`](source) a source looks at the ledger, chooses ids (`queue`, and `backlog` where there are many
//! holes), sorts the answer out (`reply`) and publishes what it brings (`publisher`). Nothing has to be remembered: after a
//! restart the ledger says what is missing.

mod backlog;
pub mod metrics;
mod publisher;
mod queue;
mod reply;
mod source;
mod state;
mod timings;

use std::sync::Arc;

use crds::worker_settings::{HistorySettings, RepairerSettings};
use rdkafka::error::KafkaError;
use runtime::kafka::KafkaConnection;
use runtime::kafka_admin::KafkaAdminError;
use store::{DatabaseConnection, StoreError};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::database;
use crate::exchange::{DumpError, RestError};
use crate::flow_gate::FlowGate;
use crate::history::{HistoryClaims, SourceHistory};
use crate::outputs::{OutputsError, flush_settings};
use publisher::RepairPublisher;
use source::SourceRepairer;

pub use state::RepairerState;
pub use timings::RepairTimings;

/// Looks at the ledger, probes and the steps of history share these.
const DATABASE_CONNECTIONS: u32 = 3;

/// What a repairer is given beside its settings.
pub struct RepairContext {
    /// How to reach the broker, credentials included.
    pub kafka: KafkaConnection,
    /// Where the ledger is; with credentials.
    pub database: DatabaseConnection,
    /// Told how many bytes were published.
    pub gate: Arc<FlowGate>,
    /// What others see of this repairer.
    pub state: Arc<RepairerState>,
    /// How long to wait for what.
    pub timings: RepairTimings,
}

/// Why a repairer cannot go on, whatever it waits for.
#[derive(Debug, thiserror::Error)]
pub enum RepairError {
    /// The database refuses for good.
    #[error("cannot use the database")]
    Store(#[from] StoreError),
    /// The broker's client cannot be made.
    #[error("the kafka client cannot be made")]
    Kafka(#[from] KafkaError),
    /// The broker's client for questions cannot be made.
    #[error("cannot use the broker")]
    Admin(#[from] KafkaAdminError),
    /// There is no HTTP client.
    #[error(transparent)]
    Rest(#[from] RestError),
    /// There is no HTTP client for the daily files.
    #[error(transparent)]
    Dumps(#[from] DumpError),
    /// The settings cannot be used.
    #[error("cannot use the settings")]
    Outputs(#[from] OutputsError),
    /// A task of ours broke.
    #[error("a part of the repairer has ended")]
    PartEnded(#[from] tokio::task::JoinError),
}

/// Repairs until `shutdown`.
///
/// # Errors
/// [`RepairError`] for what waiting cannot mend; everything else is retried and shown in the state.
pub async fn run(
    settings: RepairerSettings,
    context: RepairContext,
    shutdown: CancellationToken,
) -> Result<(), RepairError> {
    let RepairContext { kafka, database, gate, state, timings } = context;
    let note = |answer| state.note_database(answer);
    let schema = &settings.database.schema;
    let Some(store) = database::connect(&database, schema, DATABASE_CONNECTIONS, note, &shutdown).await?
    else {
        return Ok(());
    };
    let topic = &settings.kafka.topic;
    // All of them write the same topic.
    let encoding = settings.sources.first().map(|source| source.encoding).unwrap_or_default();
    let publisher =
        RepairPublisher::new(&kafka, &settings.pipeline, topic, encoding, gate, Arc::clone(&state))?;
    let publisher = Arc::new(publisher);
    let claims = Arc::new(HistoryClaims::default());
    let mut tasks = JoinSet::new();
    for source in settings.sources {
        let history = settings.history.as_ref().and_then(|history| history.sources.get(&source.name));
        if let (Some(wished), Some(outputs)) = (history, &settings.history) {
            let (store, claims, state) = (store.clone(), Arc::clone(&claims), Arc::clone(&state));
            let HistorySettings { intervals, store_trades, indicators, .. } = outputs;
            let outputs = flush_settings(intervals, *store_trades, indicators.as_ref())?;
            let history = SourceHistory::new(&source, wished, outputs, store, claims, state, timings)?;
            tasks.spawn(history.keep_loading(shutdown.clone()));
        }
        let repairer = SourceRepairer::new(
            source,
            topic.clone(),
            store.clone(),
            Arc::clone(&publisher),
            history.is_some().then(|| Arc::clone(&claims)),
            Arc::clone(&state),
            timings,
        )?;
        tasks.spawn(repairer.keep_repairing(shutdown.clone()));
    }
    while let Some(ended) = tasks.join_next().await {
        ended?;
    }
    store.close().await;
    // Dropping the client waits for its threads.
    let _ = tokio::task::spawn_blocking(move || drop(publisher)).await;
    Ok(())
}
