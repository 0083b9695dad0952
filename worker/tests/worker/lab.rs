//! A topic, a database and aggregators on them, embedded or real: where `KAFKA_BOOTSTRAP`, `POSTGRES_URL` and `MYSQL_URL`
//! say where they are (`REQUIRE_SERVICES=1`: they must).

use std::sync::Arc;
use std::time::Duration;

use crds::worker_settings::{
    AggregationSettings, AggregatorSettings, DatabaseSettings, KafkaSettings, PipelineId,
};
use runtime::health::Probes;
use runtime::kafka::KafkaConnection;
use runtime::kafka_admin::{KafkaAdmin, TopicToCreate};
use sqlx::{AssertSqlSafe, Connection as _, MySqlConnection, PgConnection};
use store::{CandleQuery, ConnectOptions, Store};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use worker::aggregate::{self, AggregateContext, AggregateError, AggregatorState, TopicId};
use worker::flow_gate::FlowGate;

use crate::broker::{PATIENCE, TOPIC, TestBroker};

const POSTGRES: &str = "POSTGRES_URL";
const MYSQL: &str = "MYSQL_URL";

/// Where trades come from and go to in one test.
pub(crate) struct Lab {
    pub(crate) connection: KafkaConnection,
    pub(crate) topic: String,
    pub(crate) topic_id: TopicId,
    pub(crate) database_url: String,
    pub(crate) schema: String,
    pub(crate) store: Store,
    _folder: Option<tempfile::TempDir>,
}

impl Lab {
    pub(crate) async fn embedded(broker: &TestBroker) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let database_url = format!("sqlite://{}", folder.path().join("market.db").display());
        let mut connection = broker.connection();
        connection.client_config.insert("fetch.wait.max.ms".to_owned(), "10".to_owned());
        let lab =
            Self::new(connection, TOPIC.to_owned(), TopicId::Fixed("first".to_owned()), database_url, "none")
                .await;
        Self { _folder: Some(folder), ..lab }
    }

    /// A topic and a schema of their own on a real broker and PostgreSQL.
    pub(crate) async fn real(partitions: i32) -> Option<Self> {
        Self::on(POSTGRES, partitions).await
    }

    async fn on(database: &str, partitions: i32) -> Option<Self> {
        let (Ok(bootstrap_servers), Ok(url)) = (std::env::var("KAFKA_BOOTSTRAP"), std::env::var(database))
        else {
            assert!(
                std::env::var_os("REQUIRE_SERVICES").is_none(),
                "KAFKA_BOOTSTRAP or {database} is not set"
            );
            eprintln!("skipped: KAFKA_BOOTSTRAP or {database} is not set");
            return None;
        };
        let connection = KafkaConnection { bootstrap_servers, ..KafkaConnection::default() };
        let name = format!("test_{}", uuid::Uuid::new_v4().simple());
        create_topic(&connection, &name, partitions).await;
        Some(Self::new(connection, name.clone(), TopicId::AskBroker, url, &name).await)
    }

    /// The same on a real broker and each of the servers, one after the other.
    pub(crate) async fn on_each_server(partitions: i32, test: impl AsyncFn(Self)) {
        for database in [POSTGRES, MYSQL] {
            if let Some(lab) = Self::on(database, partitions).await {
                eprintln!("on the server of {database}");
                test(lab).await;
            }
        }
    }

    pub(crate) fn is_mysql(&self) -> bool {
        self.database_url.starts_with("mysql:")
    }

    pub(crate) async fn new(
        connection: KafkaConnection,
        topic: String,
        topic_id: TopicId,
        url: String,
        schema: &str,
    ) -> Self {
        runtime::tls::install_provider();
        let options = ConnectOptions { create: true, ..ConnectOptions::default() };
        let store = Store::connect(&url.as_str().into(), schema, options).await.unwrap();
        store.migrate().await.unwrap();
        Self {
            connection,
            topic,
            topic_id,
            database_url: url,
            schema: schema.to_owned(),
            store,
            _folder: None,
        }
    }

    pub(crate) fn admin(&self) -> KafkaAdmin {
        KafkaAdmin::new(&self.connection, "test", Duration::from_secs(20)).unwrap()
    }

    /// Starts an aggregator.
    pub(crate) fn aggregate(&self) -> Aggregator {
        let settings = AggregatorSettings {
            pipeline: PipelineId { namespace: "test".into(), name: self.topic.clone(), uid: "1".into() },
            kafka: KafkaSettings {
                bootstrap_servers: self.connection.bootstrap_servers.clone(),
                topic: self.topic.clone(),
                tls: None,
                sasl: None,
                client_config: Default::default(),
            },
            database: DatabaseSettings {
                schema: self.schema.clone(),
                tls: None,
                trades_retention_s: None,
                candles_retention_s: None,
            },
            aggregation: AggregationSettings {
                intervals: vec!["1m".to_owned()],
                store_trades: true,
                indicators: None,
                flush_interval_ms: 20,
            },
        };
        let state = Arc::new(AggregatorState::default());
        let context = AggregateContext {
            kafka: self.connection.clone(),
            database: self.database_url.as_str().into(),
            topic_id: self.topic_id.clone(),
            gate: Arc::new(FlowGate::unlimited()),
            state: state.clone(),
        };
        let stop = CancellationToken::new();
        let task = tokio::spawn(aggregate::run(settings, context, stop.clone()));
        Aggregator { state, stop, task }
    }

    /// Changes something behind everybody's back; on a real server only.
    pub(crate) async fn execute(&self, statement: &str) {
        let query = AssertSqlSafe(statement);
        let changed = if self.is_mysql() {
            let mut connection = MySqlConnection::connect(&self.database_url).await.unwrap();
            sqlx::query(query).execute(&mut connection).await.unwrap().rows_affected()
        } else {
            let mut connection = PgConnection::connect(&self.database_url).await.unwrap();
            sqlx::query(query).execute(&mut connection).await.unwrap().rows_affected()
        };
        assert!(changed > 0, "nothing was changed by {statement}");
    }

    pub(crate) async fn held(&self) -> i64 {
        self.store.ledgers().await.unwrap().iter().map(|ledger| ledger.trades_held).sum()
    }

    pub(crate) async fn missing(&self) -> i64 {
        self.store.ledgers().await.unwrap().iter().map(|ledger| ledger.missing).sum()
    }

    pub(crate) async fn wait_for_held(&self, count: i64) {
        wait_until(&format!("{count} trades are held"), async || self.held().await >= count).await;
    }

    /// Every trade is in exactly one candle, and every record in exactly one counter.
    pub(crate) async fn assert_counted_once(&self, trades: i64) {
        let candles = self.store.candles(&CandleQuery::default()).await.unwrap();
        assert_eq!(candles.iter().map(|candle| candle.trade_count).sum::<i64>(), trades);
        let positions = self.store.positions(&self.topic).await.unwrap();
        assert_eq!(positions.iter().map(|position| position.trades_new).sum::<i64>(), trades);
        assert_eq!((self.held().await, self.missing().await), (trades, 0));
    }
}

pub(crate) async fn create_topic(connection: &KafkaConnection, name: &str, partitions: i32) {
    let admin = KafkaAdmin::new(connection, "test", Duration::from_secs(20)).unwrap();
    let topic = TopicToCreate { name, partitions, replication_factor: 1, config: &Default::default() };
    admin.create_topic(&topic).await.unwrap();
    wait_until("the topic is there", async || {
        admin.describe_topic(name).await.is_ok_and(|topic| topic.is_some())
    })
    .await;
}

pub(crate) struct Aggregator {
    pub(crate) state: Arc<AggregatorState>,
    pub(crate) stop: CancellationToken,
    pub(crate) task: JoinHandle<Result<(), AggregateError>>,
}

impl Aggregator {
    pub(crate) async fn stop(mut self) {
        self.stop.cancel();
        let ended = tokio::time::timeout(PATIENCE, &mut self.task).await;
        ended.expect("the drain takes too long").unwrap().unwrap();
    }

    pub(crate) fn complains_of(&self, what: &str) -> bool {
        self.state.why_not_ready().iter().any(|reason| reason.starts_with(what))
    }

    pub(crate) fn partitions(&self) -> usize {
        self.state.status().partitions.len()
    }

    pub(crate) async fn wait_until_ready(&self) {
        wait_until("the aggregator is ready", async || self.state.why_not_ready().is_empty()).await;
    }
}

impl Drop for Aggregator {
    /// Its reader has a thread of its own, which the end of a failed test would wait for.
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// Waits until `holds`, and fails after [`PATIENCE`].
pub(crate) async fn wait_until(what: &str, holds: impl AsyncFn() -> bool) {
    let waiting = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    assert!(tokio::time::timeout(PATIENCE, waiting).await.is_ok(), "it did not happen that {what}");
}
