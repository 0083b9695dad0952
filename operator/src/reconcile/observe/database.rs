//! Looks at schemas: whose they are, their version, how far the topic is read and what is missing.

use std::time::{Duration, Instant};

use crds::CryptoPipeline;
use kube::runtime::reflector::ObjectRef;
use runtime::error_chain::error_chain;
use store::{ConnectOptions, DatabaseConnection, LATEST_SCHEMA_VERSION, Store, StoreError};

use super::reader::{Look, News, Pace, Readers};
use super::{CandleChecks, Failure, Reading, SchemaState};

/// How many candles that differ are read.
const MOST_DIFFERING: i64 = 100;

/// How long the counts of compared candles stand: counting reads all of them.
const COUNTS_STAND: Duration = Duration::from_secs(60);

/// How the operator connects: a look is a handful of small queries, one after the other.
pub(crate) const CONNECT: ConnectOptions =
    ConnectOptions { max_connections: 1, acquire_timeout: Duration::from_secs(5), create: false };

/// A schema in a database, and the topic that is read into it. Other credentials make another key, so that a
/// changed Secret is used at once.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SchemaKey {
    /// The database, as the operator reaches it.
    pub connection: DatabaseConnection,
    /// The schema's name.
    pub schema: String,
    /// As the workers reach it, where the operator connects otherwise.
    pub workers: Option<DatabaseConnection>,
    /// The topic's name.
    pub topic: String,
}

/// The databases that pipelines name.
pub struct Databases {
    schemas: Readers<SchemaKey, SchemaLook>,
}

impl Databases {
    /// Knows no database yet.
    #[must_use]
    pub fn new(news: News) -> Self {
        Self { schemas: Readers::new(news, Pace::default()) }
    }

    /// The last look at a schema.
    pub fn schema(&self, key: &SchemaKey, asker: &ObjectRef<CryptoPipeline>) -> Reading<SchemaState> {
        self.schemas.read(key, asker, || SchemaLook::of(key.clone()))
    }

    /// Looks at a schema at once and waits for that look: it was just changed.
    pub async fn look_again(&self, key: &SchemaKey) {
        self.schemas.look_again(key).await;
    }
}

/// What a database's error means for those who wait.
pub(crate) fn failure(error: &StoreError) -> Failure {
    Failure { message: error_chain(error), is_transient: error.is_transient() && !error.is_refusal() }
}

struct SchemaLook {
    key: SchemaKey,
    store: Option<Store>,
    /// Who the workers are, where the operator is somebody else.
    worker_user: Option<String>,
    /// As they were read last, and when they were counted.
    checks: Option<(CandleChecks, Instant)>,
    /// As they were read last, and when.
    differences: Option<(Vec<String>, Instant)>,
}

impl SchemaLook {
    const fn of(key: SchemaKey) -> Self {
        Self { key, store: None, worker_user: None, checks: None, differences: None }
    }

    /// What differs is read every time, how much was compared when that is old or something else differs.
    async fn read_checks(&mut self, store: &Store) -> Result<CandleChecks, StoreError> {
        let differing = store.differing_candles(MOST_DIFFERING).await?;
        let standing = self.checks.as_ref().filter(|(checks, counted_at)| {
            checks.differing == differing && counted_at.elapsed() < COUNTS_STAND
        });
        if let Some((checks, _)) = standing {
            return Ok(checks.clone());
        }
        let checks = CandleChecks { counts: store.check_counts().await?, differing };
        self.checks = Some((checks.clone(), Instant::now()));
        Ok(checks)
    }

    /// What people have altered is read once a minute.
    async fn read_differences(&mut self, store: &Store) -> Result<Vec<String>, StoreError> {
        if let Some((differences, read_at)) = &self.differences
            && read_at.elapsed() < COUNTS_STAND
        {
            return Ok(differences.clone());
        }
        let differences = store.differences().await?;
        self.differences = Some((differences.clone(), Instant::now()));
        Ok(differences)
    }

    /// Whether workers will get in, and who they are then; `None` where they are who the operator is.
    async fn try_as_worker(&self) -> Result<Option<String>, StoreError> {
        let Some(workers) = &self.key.workers else { return Ok(None) };
        let store = Store::connect(workers, &self.key.schema, CONNECT).await?;
        let user = store.user().await;
        store.close().await;
        user
    }

    async fn read(&mut self) -> Result<SchemaState, StoreError> {
        let store = match &self.store {
            Some(store) => {
                // Tells the cause where a query would only tell that it has waited long enough.
                store.ping().await?;
                store.clone()
            }
            None => {
                self.worker_user = self.try_as_worker().await?;
                let store = Store::connect(&self.key.connection, &self.key.schema, CONNECT).await?;
                self.store.insert(store).clone()
            }
        };
        let version = store.schema_version().await?;
        let mut state =
            SchemaState { version, worker_user: self.worker_user.clone(), ..SchemaState::default() };
        if version.is_some() {
            state.owner = store.owner().await?;
        }
        // The tables of another version may look otherwise.
        if version == Some(LATEST_SCHEMA_VERSION) {
            if let Some(user) = &self.worker_user {
                state.workers_may_write = store.may_write_rows(user).await?;
            }
            state.differences = self.read_differences(&store).await?;
            // Positions first: the ledgers then hold at least what they say was read.
            state.positions = store.positions(&self.key.topic).await?;
            state.ledgers = store.ledgers().await?;
            state.series = store.begun_series().await?;
            state.checks = self.read_checks(&store).await?;
        }
        Ok(state)
    }
}

impl Look for SchemaLook {
    type Seen = SchemaState;

    async fn look(&mut self) -> Result<SchemaState, Failure> {
        let read = self.read().await;
        // What a connection has prepared may no longer fit tables that somebody has altered.
        if read.is_err()
            && let Some(store) = self.store.take()
        {
            store.close().await;
        }
        read.map_err(|error| failure(&error))
    }

    fn is_news(before: &SchemaState, after: &SchemaState) -> bool {
        let figures = |state: &SchemaState| -> (i64, i64, usize) {
            let missing = state.ledgers.iter().map(|ledger| ledger.missing).sum();
            let refused = state.ledgers.iter().map(|ledger| ledger.refused.trades).sum();
            (missing, refused, state.ledgers.iter().filter(|ledger| ledger.restart.is_some()).count())
        };
        let known = |state: &SchemaState| (state.version, figures(state), state.checks.differing.clone());
        before.workers_may_write != after.workers_may_write
            || before.owner != after.owner
            || before.differences != after.differences
            || known(before) != known(after)
    }

    async fn close(self) {
        if let Some(store) = self.store {
            store.close().await;
        }
    }
}
