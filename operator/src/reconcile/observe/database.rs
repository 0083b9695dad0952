//! Looks at schemas: whose they are, their version, how far the topic is read and what is missing. However many schemas a
//! database holds, few connections look at them, one schema after the other.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crds::CryptoPipeline;
use futures::future::join_all;
use kube::runtime::reflector::ObjectRef;
use runtime::error_chain::error_chain;
use store::{ConnectOptions, DatabaseConnection, LATEST_SCHEMA_VERSION, Store, StoreError};

use super::door::{ByServer, Door};
use super::reader::{Look, News, Pace, Readers};
use super::turns::{Turn, Turns};
use super::{CandleChecks, Failure, Reading, SchemaState};

/// How many candles that differ are read.
const MOST_DIFFERING: i64 = 100;

/// For how many looks stands what takes long to read: a minute, and longer where there are very many schemas.
const LOOKS_THAT_STANDS: u32 = 12;

/// How many schemas of one database are looked at at the same time: so many connections are held.
const AT_ONCE: usize = 4;
/// How far apart where there are very many: a look is ten statements, and a thousand schemas take 50 seconds.
const SPACING: Duration = Duration::from_millis(50);
/// How many schemas of one database are migrated at the same time.
const MIGRATED_AT_ONCE: usize = 4;
/// A server keeps in each connection's memory what it has learnt of every table that was asked for there.
const CONNECTION_STANDS: Duration = Duration::from_secs(300);

/// How the operator connects: what it asks is a handful of small queries, one after the other.
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
    news: News,
    databases: ByServer<DatabaseConnection, Database>,
    schemas: Readers<SchemaKey, SchemaLook>,
}

/// A database, and the connections to it that nobody uses at the moment.
struct Database {
    connection: DatabaseConnection,
    door: Arc<Door>,
    migrations: Arc<Turns>,
    idle: Mutex<Vec<Connection>>,
}

/// Looks at one schema after the other.
struct Connection {
    store: Store,
    made_at: Instant,
}

impl Databases {
    /// Knows no database yet.
    #[must_use]
    pub fn new(news: News) -> Self {
        let schemas = Readers::new(news.clone(), Pace::default());
        Self { news, databases: ByServer::default(), schemas }
    }

    /// The last look at a schema.
    pub fn schema(&self, key: &SchemaKey, asker: &ObjectRef<CryptoPipeline>) -> Reading<SchemaState> {
        let database = self.database(&key.connection);
        let door = Arc::clone(&database.door);
        self.schemas.read(key, &door, asker, || SchemaLook::of(key.clone(), database))
    }

    /// Leave to change a schema, which takes long; where others are before it, `asker` is told of its turn.
    pub fn turn_to_migrate(&self, key: &SchemaKey, asker: &ObjectRef<CryptoPipeline>) -> Option<Turn> {
        self.database(&key.connection).migrations.take(asker)
    }

    /// Looks at a schema at once and waits for that look: it was just changed.
    pub async fn look_again(&self, key: &SchemaKey) {
        self.schemas.look_again(key).await;
    }

    fn database(&self, connection: &DatabaseConnection) -> Arc<Database> {
        let made = || Ok::<_, Infallible>(Database::of(connection.clone(), self.news.clone()));
        let Ok(database) = self.databases.share(connection, made);
        database
    }
}

impl Database {
    fn of(connection: DatabaseConnection, news: News) -> Self {
        Self {
            connection,
            door: Arc::new(Door::new(AT_ONCE, SPACING)),
            migrations: Arc::new(Turns::new(MIGRATED_AT_ONCE, news)),
            idle: Mutex::default(),
        }
    }

    /// A connection that looks at `schema`, and the same one to be given back.
    async fn connect(&self, schema: &str) -> Result<(Store, Connection), StoreError> {
        while let Some(connection) = self.take_idle() {
            if connection.made_at.elapsed() < CONNECTION_STANDS
                && let Ok(store) = connection.store.turned_to(schema).await
            {
                return Ok((store, connection));
            }
            // Too old, or cut off meanwhile.
            connection.store.close().await;
        }
        let store = Store::connect_to_turn(&self.connection, CONNECT.acquire_timeout).await?;
        let connection = Connection { store, made_at: Instant::now() };
        Ok((connection.store.turned_to(schema).await?, connection))
    }

    fn take_idle(&self) -> Option<Connection> {
        self.idle().pop()
    }

    fn give_back(&self, connection: Connection) {
        self.idle().push(connection);
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a database's error means for those who wait.
pub(crate) fn failure(error: &StoreError) -> Failure {
    Failure { message: error_chain(error), is_transient: error.is_transient() && !error.is_refusal() }
}

struct SchemaLook {
    key: SchemaKey,
    database: Arc<Database>,
    is_server_away: bool,
    /// Who the workers are, where the operator is somebody else; `None` until that is known.
    worker_user: Option<Option<String>>,
    workers_may_write: Standing<bool>,
    checks: Standing<CandleChecks>,
    differences: Standing<Vec<String>>,
}

/// What is not read by every look.
struct Standing<T>(Option<(T, u32)>);

impl<T: Clone> Standing<T> {
    const fn none() -> Self {
        Self(None)
    }

    /// What was read last, for so many looks.
    fn value(&mut self) -> Option<T> {
        let (value, looks) = self.0.as_mut()?;
        *looks += 1;
        (*looks < LOOKS_THAT_STANDS).then(|| value.clone())
    }

    fn read(&mut self, value: T) -> T {
        self.0 = Some((value.clone(), 0));
        value
    }
}

impl SchemaLook {
    const fn of(key: SchemaKey, database: Arc<Database>) -> Self {
        Self {
            key,
            database,
            is_server_away: false,
            worker_user: None,
            workers_may_write: Standing::none(),
            checks: Standing::none(),
            differences: Standing::none(),
        }
    }

    /// What differs is read every time, how much was compared when that is old or something else differs.
    async fn read_checks(&mut self, store: &Store) -> Result<CandleChecks, StoreError> {
        let differing = store.differing_candles(MOST_DIFFERING).await?;
        if let Some(checks) = self.checks.value().filter(|checks| checks.differing == differing) {
            return Ok(checks);
        }
        Ok(self.checks.read(CandleChecks { counts: store.check_counts().await?, differing }))
    }

    /// What people have altered.
    async fn read_differences(&mut self, store: &Store) -> Result<Vec<String>, StoreError> {
        match self.differences.value() {
            Some(differences) => Ok(differences),
            None => Ok(self.differences.read(store.differences().await?)),
        }
    }

    /// Rights that are there are seldom taken away.
    async fn read_rights(&mut self, store: &Store, user: &str) -> Result<bool, StoreError> {
        match self.workers_may_write.value() {
            Some(true) => Ok(true),
            Some(false) | None => Ok(self.workers_may_write.read(store.may_write_rows(user).await?)),
        }
    }

    /// Whether workers will get in, and who they are then; `None` where they are who the operator is.
    async fn try_as_worker(&self) -> Result<Option<String>, StoreError> {
        let Some(workers) = &self.key.workers else { return Ok(None) };
        // On MySQL a user has no way into a schema before it has rights there.
        let store = Store::connect_to_turn(workers, CONNECT.acquire_timeout).await?;
        let user = store.user().await;
        store.close().await;
        user
    }

    async fn read(&mut self, store: &Store) -> Result<SchemaState, StoreError> {
        let worker_user = match &self.worker_user {
            Some(user) => user.clone(),
            None => self.worker_user.insert(self.try_as_worker().await?).clone(),
        };
        let version = store.schema_version().await?;
        let mut state = SchemaState { version, worker_user, ..SchemaState::default() };
        if version.is_some() {
            state.owner = store.owner().await?;
        }
        // The tables of another version may look otherwise.
        if version == Some(LATEST_SCHEMA_VERSION) {
            if let Some(user) = &state.worker_user {
                state.workers_may_write = self.read_rights(store, user).await?;
            }
            state.differences = self.read_differences(store).await?;
            state.views = store.compatibility_views().await?;
            // Positions first: the ledgers then hold at least what they say was read.
            state.positions = store.positions(&self.key.topic).await?;
            state.ledgers = store.ledgers().await?;
            state.series = store.begun_series().await?;
            state.checks = self.read_checks(store).await?;
        }
        Ok(state)
    }
}

impl Look for SchemaLook {
    type Seen = SchemaState;

    async fn look(&mut self) -> Result<SchemaState, Failure> {
        let database = Arc::clone(&self.database);
        self.is_server_away = false;
        let (store, connection) = match database.connect(&self.key.schema).await {
            Ok(connected) => connected,
            Err(error) => {
                self.is_server_away = true;
                self.worker_user = None;
                return Err(failure(&error));
            }
        };
        let read = self.read(&store).await;
        if read.is_ok() {
            database.give_back(connection);
        } else {
            // What a connection has prepared may no longer fit tables that somebody has altered.
            connection.store.close().await;
            self.worker_user = None;
        }
        read.map_err(|error| failure(&error))
    }

    fn is_server_away(&self) -> bool {
        self.is_server_away
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
            || before.views != after.views
            || known(before) != known(after)
    }

    async fn close(self) {
        // The last to look at a database.
        if let Some(database) = Arc::into_inner(self.database) {
            let idle = database.idle.into_inner().unwrap_or_else(PoisonError::into_inner);
            join_all(idle.iter().map(|connection| connection.store.close())).await;
        }
    }
}
