//! This machine in the place of a cluster: observe, plan, apply and describe with the operator's own steps.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use anyhow::ensure;
use crds::CryptoPipeline;
use crds::worker_status::SymbolState;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::runtime::reflector::ObjectRef;
use operator::reconcile::apply::{Applied, schema::apply_schema, schema::apply_views, topics::apply_topic};
use operator::reconcile::describe::{Findings, describe};
use operator::reconcile::holes::{HoleWatch, count_holes};
use operator::reconcile::lag::{LagReport, LagWatch, flush_interval};
use operator::reconcile::observe::database::{Databases, SchemaKey};
use operator::reconcile::observe::kafka::{Brokers, TopicKey};
use operator::reconcile::observe::{Failure, Observed, Reading, SecretState, TopicState};
use operator::reconcile::plan::{PipelinePlan, Place, plan};
use runtime::kafka_admin::TopicDescription;
use store::{ConnectOptions, Store};
use tokio::sync::mpsc;

use super::embedded_broker::EmbeddedBroker;
use super::progress::{Figures, HistoryFigures};
use super::workers::{Ground, Workers};
use crate::manifest::Manifest;
use crate::place::{DatabasePlace, not_in_the_file};

/// How long the end waits for what is in flight.
const LONGEST_DRAIN: Duration = Duration::from_secs(60);

/// How long a turn waits for fresh figures of broker and database; one that is away must not hold up the rest.
const LONGEST_LOOK: Duration = Duration::from_secs(1);

/// A pipeline on this machine.
pub(super) struct Machine {
    pipeline: CryptoPipeline,
    database: DatabasePlace,
    schema: SchemaKey,
    /// Where the manifest names a broker.
    topic_at_broker: Option<TopicKey>,
    ground: Ground,
    brokers: Brokers,
    databases: Databases,
    workers: Workers,
    holes: HoleWatch,
    lag_watch: LagWatch,
    lag: Option<LagReport>,
    writers_gone_since: Option<Timestamp>,
    observed: Observed,
    /// Trades held before this run.
    held_before: Option<i64>,
}

impl Machine {
    pub(super) fn new(manifest: Manifest, database: DatabasePlace) -> anyhow::Result<Self> {
        let topic_at_broker = topic_at_broker(&manifest)?;
        let mut pipeline = manifest.pipeline;
        let name = pipeline.metadata.name.clone().unwrap_or_default();
        pipeline.metadata.namespace.get_or_insert_with(|| "local".to_owned());
        // Without an API server nobody gives out uids: the same pipeline here is the same owner tomorrow.
        pipeline.metadata.uid = Some(format!("local-{name}"));
        pipeline.metadata.generation = Some(1);
        let place = Place::Machine { embedded_broker: "" };
        let planned = plan(&pipeline, &Observed::default(), place, Timestamp::now());
        let planned = planned.map_err(|broken| {
            anyhow::Error::msg(broken.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
        })?;
        let topic = planned.topic.wished;
        let (kafka, broker) = match &topic_at_broker {
            Some(key) => (key.connection.clone(), None),
            None => {
                let broker = EmbeddedBroker::start(&topic.name, topic.partitions)?;
                (broker.connection.clone(), Some(broker))
            }
        };
        // News wakes a controller; here somebody looks all the time.
        let (news, _) = mpsc::unbounded_channel();
        Ok(Self {
            schema: SchemaKey {
                connection: database.connection.clone(),
                workers: None,
                schema: planned.schema.name,
                topic: topic.name,
            },
            ground: Ground::new(database.connection.clone(), kafka, broker),
            topic_at_broker,
            pipeline,
            database,
            brokers: Brokers::new(news.clone()),
            databases: Databases::new(news),
            workers: Workers::default(),
            holes: HoleWatch::default(),
            lag_watch: LagWatch::default(),
            lag: None,
            writers_gone_since: None,
            observed: Observed::default(),
            held_before: None,
        })
    }

    /// What runs where, in a line.
    pub(super) fn describe_parts(&self) -> String {
        let name = self.pipeline.metadata.name.as_deref().unwrap_or_default();
        let broker = match &self.pipeline.spec.kafka {
            Some(kafka) => kafka.bootstrap_servers.clone(),
            None => {
                "an embedded broker (3 partitions that cannot grow, no replicas, nothing kept after the end)"
                    .into()
            }
        };
        let database = if self.database.is_own_file {
            self.database.connection.url.trim_start_matches("sqlite://").to_owned()
        } else {
            format!("schema {} of the manifest's database", self.schema.schema)
        };
        format!("{name} on this machine: {broker}, {database}")
    }

    /// Takes an edited manifest, and says what comes of it.
    /// `database` is where the edited manifest leads.
    pub(super) fn take_edit(&mut self, edited: Manifest, database: anyhow::Result<DatabasePlace>) -> String {
        let (topic_at_broker, database) = match (topic_at_broker(&edited), database) {
            (Ok(topic), Ok(database)) => (topic, database),
            (Err(error), _) | (_, Err(error)) => {
                return format!("the edited manifest is not used: {error:#}");
            }
        };
        let edited = edited.pipeline;
        let names = |pipeline: &CryptoPipeline| {
            let schema = pipeline.spec.database.as_ref().map(|database| database.schema.clone());
            (pipeline.metadata.name.clone(), schema)
        };
        if (names(&edited), &topic_at_broker, &database)
            != (names(&self.pipeline), &self.topic_at_broker, &self.database)
        {
            return "the edited manifest has another name, broker, topic or database: start anew to use it"
                .to_owned();
        }
        if edited.spec == self.pipeline.spec {
            return "the manifest was edited, its spec is the same".to_owned();
        }
        self.pipeline.spec = edited.spec;
        self.pipeline.metadata.generation =
            self.pipeline.metadata.generation.map(|generation| generation + 1);
        "the edited manifest is used".to_owned()
    }

    /// One turn of the operator's five steps; returns a line for each condition that changed.
    pub(super) async fn reconcile(&mut self, now: Timestamp) -> Vec<String> {
        self.observed = self.observe(now).await;
        let embedded_broker =
            self.ground.broker.as_ref().map_or("", |broker| &broker.connection.bootstrap_servers);
        let planned = plan(&self.pipeline, &self.observed, Place::Machine { embedded_broker }, now);
        let mut applied = Applied::default();
        if let Ok(planned) = &planned {
            self.apply(planned, &mut applied).await;
        }
        let holes = count_holes(&mut self.holes, &self.observed, now);
        self.lag = self.lag_watch.update(&self.observed, flush_interval(&self.pipeline.spec), now);
        let findings = Findings {
            pipeline: &self.pipeline,
            observed: &self.observed,
            plan: planned.as_ref().map_err(Vec::as_slice),
            applied: &applied,
            holes: holes.as_ref(),
            lag: self.lag.as_ref(),
        };
        let status = describe(&findings, now);
        let before = self.pipeline.status.as_ref().map(|status| status.conditions.as_slice());
        let mut lines = changes(before.unwrap_or_default(), &status.conditions);
        lines.extend(applied.deeds.into_iter().map(|deed| deed.message));
        self.pipeline.status = Some(status);
        lines
    }

    async fn observe(&mut self, now: Timestamp) -> Observed {
        let asker = ObjectRef::from_obj(&self.pipeline);
        let workloads = self.workers.workloads();
        self.writers_gone_since =
            if workloads.writers().next().is_none() { self.writers_gone_since.or(Some(now)) } else { None };
        // The readers look every few seconds; a person who watches wants figures sooner.
        let _ = tokio::time::timeout(LONGEST_LOOK, self.look_again()).await;
        let topic = match (&self.ground.broker, &self.topic_at_broker) {
            (Some(broker), _) => embedded_topic(broker, now).await,
            (None, Some(key)) => self.brokers.topic(key, &asker),
            (None, None) => Reading::Pending,
        };
        let schema = self.databases.schema(&self.schema, &asker);
        if let (None, Reading::Known { value, .. }) = (self.held_before, &schema) {
            self.held_before = Some(value.ledgers.iter().map(|ledger| ledger.trades_held).sum());
        }
        Observed {
            topic,
            topic_rival: None,
            kafka_secrets: SecretState::NotNeeded,
            database_secrets: SecretState::NotNeeded,
            schema,
            service_ports: BTreeMap::new(),
            workloads,
            workers: Reading::Known { value: self.workers.reports(), at: now },
            writers_gone_since: self.writers_gone_since,
        }
    }

    async fn look_again(&self) {
        self.databases.look_again(&self.schema).await;
        if let Some(key) = &self.topic_at_broker {
            self.brokers.look_again(key).await;
        }
    }

    async fn apply(&mut self, planned: &PipelinePlan, applied: &mut Applied) {
        if let Some(key) = &self.topic_at_broker {
            apply_topic(&planned.topic, self.observed.topic_state(), key, &self.brokers, applied).await;
        }
        let asker = ObjectRef::from_obj(&self.pipeline);
        apply_schema(&planned.schema, &self.schema, &self.databases, &asker, applied).await;
        if applied.topic_failure.is_none() && applied.schema_failure.is_none() {
            self.workers.apply(&planned.workloads, &self.ground).await;
        }
        apply_views(&planned.schema, &self.schema, &self.databases, applied).await;
    }

    /// The figures of the last turn.
    pub(super) fn figures(&self) -> Figures {
        let reports = self.workers.reports();
        let states = reports
            .answered_producers()
            .flat_map(|status| status.symbols.values().map(|symbol| symbol.state));
        let status = self.pipeline.status.as_ref();
        let symbols =
            status.and_then(|status| status.symbols).and_then(|symbols| usize::try_from(symbols).ok());
        let ledgers = self.observed.schema.value().map(|schema| schema.ledgers.as_slice());
        let live: u64 = reports.answered_aggregators().map(|status| status.trades_new).sum();
        let samples = reports.answered_aggregators().map(|status| status.samples_new).sum();
        let sources = || reports.answered_repairers().flat_map(|status| status.history.values());
        let of_history: u64 = sources().map(|source| source.trades_loaded).sum();
        Figures {
            trades: live + of_history,
            samples,
            lag: self.lag.as_ref().map(LagReport::total),
            streaming: states.filter(|state| *state == SymbolState::Streaming).count(),
            symbols: symbols.unwrap_or_default(),
            missing: ledgers.map(|ledgers| ledgers.iter().map(|ledger| ledger.missing).sum()),
            history: HistoryFigures::of(sources()),
        }
    }

    /// Stops the producers, waits until what they have read is committed, and stops the aggregator.
    pub(super) async fn drain(&mut self) -> anyhow::Result<()> {
        self.workers.stop_writers().await;
        let begun = Instant::now();
        let mut lag = self.lag_now().await;
        while lag != Some(0) && begun.elapsed() < LONGEST_DRAIN {
            tokio::time::sleep(Duration::from_millis(100)).await;
            lag = self.lag_now().await;
        }
        self.workers.stop_aggregator().await;
        ensure!(
            lag == Some(0) || self.ground.broker.is_none(),
            "records of the embedded broker were not committed within {} s and are lost with it; the ledger says \
             which trades are missing",
            LONGEST_DRAIN.as_secs()
        );
        Ok(())
    }

    /// The lag by looks that began after now.
    async fn lag_now(&mut self) -> Option<i64> {
        let now = Timestamp::now();
        let observed = self.observe(now).await;
        observed.schema.value_after(self.writers_gone_since?)?;
        let lag = observed.unread();
        self.observed = observed;
        lag
    }

    /// What was done, market by market.
    pub(super) async fn summary(&self) -> anyhow::Result<Vec<String>> {
        let store =
            Store::connect(&self.database.connection, &self.schema.schema, ConnectOptions::default()).await?;
        let (ledgers, samples) = (store.ledgers().await?, store.samples_held().await?);
        store.close().await;
        let held: i64 = ledgers.iter().map(|ledger| ledger.trades_held).sum();
        let missing: i64 = ledgers.iter().map(|ledger| ledger.missing).sum();
        let new = held - self.held_before.unwrap_or_default();
        let mut lines = vec![format!("{new} trades new, {held} held, {missing} missing")];
        lines.extend((samples > 0).then(|| format!("{samples} samples of prices held")));
        for ledger in ledgers {
            let last = ledger.last_trade_id.map_or("none".to_owned(), |id| id.to_string());
            let holes: Vec<String> = ledger
                .holes
                .iter()
                .take(3)
                .map(|hole| format!("{}..{}", hole.first_id, hole.last_id))
                .collect();
            let holes =
                if holes.is_empty() { String::new() } else { format!(", newest holes {}", holes.join(" ")) };
            lines.push(format!(
                "  {}: {} held, last id {last}, {} missing{holes}",
                ledger.market, ledger.trades_held, ledger.missing
            ));
        }
        Ok(lines)
    }
}

/// The topic that a manifest names, with the credentials that stand in the same file.
fn topic_at_broker(manifest: &Manifest) -> anyhow::Result<Option<TopicKey>> {
    let Some(kafka) = &manifest.pipeline.spec.kafka else { return Ok(None) };
    let security = manifest.secrets().kafka_security(kafka).map_err(not_in_the_file)?;
    Ok(Some(TopicKey::new(kafka, security)))
}

async fn embedded_topic(broker: &EmbeddedBroker, now: Timestamp) -> Reading<Option<TopicState>> {
    match broker.end_offsets().await {
        Ok(end_offsets) => {
            let description = TopicDescription {
                id: broker.topic_id.clone(),
                partitions: broker.partitions,
                replication_factor: 1,
            };
            let value = Some(TopicState {
                description,
                config: BTreeMap::new(),
                end_offsets,
                brokers: BTreeSet::new(),
            });
            Reading::Known { value, at: now }
        }
        Err(message) => Reading::Failed(Failure { message, is_transient: true }),
    }
}

/// A line for each condition whose status or reason is another than before.
fn changes(before: &[Condition], after: &[Condition]) -> Vec<String> {
    let is_new = |condition: &&Condition| {
        !before.iter().any(|old| {
            old.type_ == condition.type_ && old.status == condition.status && old.reason == condition.reason
        })
    };
    let line = |condition: &Condition| {
        format!("{}={} {}: {}", condition.type_, condition.status, condition.reason, condition.message)
    };
    after.iter().filter(is_new).map(line).collect()
}
