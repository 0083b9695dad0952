//! What a user writes: the CryptoPipeline resource. Every rule that can be told from the manifest alone
//! stands here, as a list type, a bound, a pattern or a CEL rule, so that `kubectl apply` refuses what can
//! never work and names the field. `rules.rs` says the CEL rules again in Rust, for `cryptopipeline run`.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, Time};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::byte_size::ByteSize;
use crate::candle_interval::CandleInterval;
use crate::network_policy::NetworkPolicySpec;
use crate::period::Period;
use crate::roles::{AggregatorsSpec, PodDisruptionBudgetSpec, ProducersSpec, RepairSpec};
use crate::rules::{self, compatibility};
use crate::security::{SaslSpec, SecretKey, TlsSpec};
use crate::status::CryptoPipelineStatus;
use crate::worker_settings::{ExchangeKind, Feed, RecordEncoding};

/// A pipeline from exchanges through Kafka into a database, whose wished state is an unbroken chain of trade ids.
#[derive(CustomResource, KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "cryptopipeline.dev",
    version = "v1alpha1",
    kind = "CryptoPipeline",
    shortname = "cpl",
    namespaced,
    doc = "A pipeline of exchange trades through Kafka into candles and trades in a database, each counted exactly once.",
    status = "CryptoPipelineStatus",
    annotation("helm.sh/resource-policy", "keep"),
    derive = "PartialEq",
    derive = "Default",
    validation = Rule::new(rules::name_cel()).message(rules::NAME),
    scale(
        spec_replicas_path = ".spec.aggregators.replicas",
        status_replicas_path = ".status.aggregators.replicas",
        label_selector_path = ".status.selector"
    ),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].reason"),
    printcolumn(name = "Symbols", type_ = "integer", json_path = ".status.symbols"),
    printcolumn(name = "Partitions", type_ = "integer", json_path = ".status.partitions"),
    printcolumn(name = "Aggregators", type_ = "integer", json_path = ".status.aggregators.ready"),
    printcolumn(name = "Lag", type_ = "integer", json_path = ".status.lag"),
    printcolumn(name = "Missing", type_ = "integer", json_path = ".status.missingTrades"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[x_kube(
    validation = Rule::new("!has(oldSelf.kafka) || has(self.kafka)").message(rules::KAFKA_REMOVED).field_path(".kafka"),
    validation = Rule::new("!has(oldSelf.database) || has(self.database)").message(rules::DATABASE_REMOVED).field_path(".database"),
    validation = Rule::new(rules::HISTORY_WITHOUT_REPAIR_CEL).message(rules::HISTORY_WITHOUT_REPAIR).field_path(".repair"),
    validation = Rule::new(compatibility::ENCODING_OF_FEED_CEL).message(compatibility::ENCODING_OF_FEED).field_path(".kafka.topic.encoding"),
    validation = Rule::new(compatibility::TICKER_OF_STREAM_CEL).message(compatibility::TICKER_OF_STREAM).field_path(".kafka.topic.encoding"),
    validation = Rule::new(compatibility::ONE_SOURCE_CEL).message(compatibility::ONE_SOURCE).field_path(".database.compatibility"),
    validation = Rule::new(compatibility::FEED_CEL).message(compatibility::FEED).field_path(".database.compatibility"),
    validation = Rule::new(compatibility::INTERVALS_CEL).message(compatibility::INTERVALS).field_path(".database.compatibility"),
    validation = Rule::new(compatibility::STORED_CEL).message(compatibility::STORED).field_path(".database.compatibility")
)]
#[serde(rename_all = "camelCase")]
pub struct CryptoPipelineSpec {
    /// Stops the pipeline without loss: the producers stop, the aggregators read what is left, then they stop. Default
    /// false.
    #[serde(default)]
    pub suspend: bool,

    /// What becomes of the topic and the tables that this resource created once it is deleted. Default `Retain`.
    #[serde(default)]
    pub deletion_policy: DeletionPolicy,

    /// The exchanges to read, each with its own producer, such as
    /// `[{name: binance, exchange: binance, symbols: [BTCUSDT]}]`.
    #[schemars(length(min = 1, max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub sources: Vec<SourceSpec>,

    /// The broker and the topic. Required in a cluster; `cryptopipeline run` uses an embedded broker without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kafka: Option<KafkaSpec>,

    /// What is made of the trades.
    #[serde(default)]
    pub aggregation: AggregationSpec,

    /// The database. Required in a cluster; `cryptopipeline run` uses an SQLite file without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub database: Option<DatabaseSpec>,

    /// The pods that read the topic and write the database.
    #[serde(default)]
    pub aggregators: AggregatorsSpec,

    /// The pods that read the exchanges.
    #[serde(default)]
    pub producers: ProducersSpec,

    /// The pod that asks the exchanges for missing trades.
    #[serde(default)]
    pub repair: RepairSpec,

    /// Who may reach these pods, and whom they may reach.
    #[serde(default)]
    pub network_policy: NetworkPolicySpec,

    /// What a drain of nodes may take of these pods at once.
    #[serde(default)]
    pub pod_disruption_budget: PodDisruptionBudgetSpec,
}

/// What becomes of what lives outside the cluster.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum DeletionPolicy {
    /// The topic and the tables stay; a pipeline of the same namespace and name takes them up again.
    #[default]
    Retain,
    /// The topic and the schema go too, where this resource created them.
    Delete,
}

/// One exchange and the symbols to read from it.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[x_kube(
    validation = Rule::new(rules::venue_required_cel()).message(rules::VENUE_REQUIRED).field_path(".venue"),
    validation = Rule::new(rules::VENUE_IMMUTABLE_CEL).message(rules::VENUE_IMMUTABLE).field_path(".venue"),
    validation = Rule::new(rules::dumps_required_cel()).message(rules::DUMPS_REQUIRED).field_path(".endpoints"),
    validation = Rule::new(rules::REST_OF_TICKERS_CEL).message(rules::REST_OF_TICKERS).field_path(".transport"),
    validation = Rule::new(rules::POLL_INTERVAL_OF_REST_CEL).message(rules::POLL_INTERVAL_OF_REST).field_path(".pollInterval"),
    validation = Rule::new(rules::HISTORY_OF_TRADES_CEL).message(rules::HISTORY_OF_TRADES).field_path(".history"),
    validation = Rule::new(rules::SERIES_OF_TRADES_CEL).message(rules::SERIES_OF_TRADES).field_path(".series")
)]
#[serde(rename_all = "camelCase")]
pub struct SourceSpec {
    /// Names the source, such as `binance`; part of its producer's name.
    #[schemars(length(min = 1, max = 20), regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub name: String,

    /// Which adapter speaks to the exchange, such as `binance`.
    pub exchange: ExchangeKind,

    /// Whose trade ids these are, such as `binance-testnet`: part of every key. By default the exchange's name;
    /// required where the endpoints are not the exchange's own; fixed once set.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 30), regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub venue: Option<String>,

    /// The symbols as the exchange writes them, such as `BTCUSDT`.
    #[schemars(
        length(min = 1, max = 1000),
        inner(length(min = 1, max = 30), regex(pattern = r"^[0-9A-Z\p{Lo}]+$"))
    )]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub symbols: Vec<String>,

    /// What is read of the symbols: `trades`, every one of them, or `tickers`, the price now and then. Tickers have no ids,
    /// so nobody can tell whether one is missing; their samples and candles stand in tables of their own. Default `trades`.
    #[serde(default)]
    pub feed: Feed,

    /// How tickers come: `websocket`, as a stream of one a second, or `rest`, by asking again and again for the prices of all
    /// symbols at once. Default `websocket`, and trades come by nothing else.
    #[serde(default)]
    pub transport: Transport,

    /// How often prices are asked for with `transport: rest`, from 500ms to 1h, such as `5s`; 1s without. Each sample has the time
    /// of its turn: a whole multiple of this since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 2, max = 8), regex(pattern = r"^[1-9][0-9]{0,4}(ms|s|m|h)$"))]
    #[x_kube(validation = Rule::new(rules::POLL_INTERVAL_CEL).message(rules::POLL_INTERVAL))]
    pub poll_interval: Option<String>,

    /// How many producers read the exchange at the same time. With two, a trade is missed only if both miss it;
    /// what both bring counts once. Default 1, such as 2.
    #[serde(default = "default_redundancy")]
    #[schemars(range(min = 1, max = 2))]
    pub redundancy: i32,

    /// Where the exchange answers, if not at its own addresses: a simulator, a proxy, a testnet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endpoints: Option<Endpoints>,

    /// What is wished from before the pipeline began: nothing without.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub history: Option<HistorySpec>,

    /// Where the exchange began to number a symbol's trades anew, after a testnet was wiped or a symbol was listed again.
    /// Until that is said here, its trades are set aside. What has begun stays, also when it is no longer named; such as
    /// `[{symbol: BTCUSDT, since: 2026-11-21T10:00:00.000001Z}]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 1000))]
    pub series: Vec<SeriesSpec>,
}

fn default_redundancy() -> i32 {
    1
}

/// The addresses of an exchange.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Endpoints {
    /// Base of the WebSocket endpoint, such as `wss://stream.binance.com:9443`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256), regex(pattern = r"^wss?://[^/\s?#@]+(/[^\s?#]*)?$"))]
    pub websocket: Option<String>,

    /// Base of the REST endpoint, such as `https://api.binance.com`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256), regex(pattern = r"^https?://[^/\s?#@]+(/[^\s?#]*)?$"))]
    pub rest: Option<String>,

    /// Base of the exchange's daily files, such as `https://data.binance.vision`; read for history only.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256), regex(pattern = r"^https?://[^/\s?#@]+(/[^\s?#]*)?$"))]
    pub dumps: Option<String>,
}

/// What is wished from before the pipeline began.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HistorySpec {
    /// Every trade from this moment on is wished, such as `2026-01-01T00:00:00Z`. It may be moved back later; moved
    /// forward, what is held stays.
    pub from: Time,
}

/// The moment from which a symbol's trades are numbered anew.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SeriesSpec {
    /// The symbol, one of the source's, such as `BTCUSDT`.
    #[schemars(length(min = 1, max = 30))]
    pub symbol: String,

    /// Its trades from this moment on are a series of their own, such as `2026-11-21T10:00:00.000001Z`: later than the
    /// newest trade held of before, and not later than the first of the new ones.
    pub since: MicroTime,
}

/// The broker and the topic.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KafkaSpec {
    /// Comma-separated `host:port` list, such as `kafka-0:9092,kafka-1:9092`.
    #[schemars(
        length(min = 3, max = 1024),
        regex(pattern = r"^[^\s,:]+:[0-9]{1,5}(,[^\s,:]+:[0-9]{1,5})*$")
    )]
    pub bootstrap_servers: String,

    /// The topic of this pipeline's trades.
    pub topic: TopicSpec,

    /// TLS to the brokers; without it the connection is plain.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsSpec>,

    /// A name and a password, where the brokers ask for them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sasl: Option<SaslSpec>,

    /// librdkafka settings that go over the workers' own, for those who must, such as `socket.keepalive.enable: "true"`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 64, "additionalProperties" = {"type": "string", "maxLength": 1024}))]
    #[x_kube(validation = Rule::new(rules::client_config_cel()).message(rules::CLIENT_CONFIG))]
    pub client_config: BTreeMap<String, String>,
}

/// A topic as it should be.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TopicSpec {
    /// The topic's name, such as `crypto-trades`; fixed.
    #[schemars(length(min = 1, max = 249), regex(pattern = r"^[a-zA-Z0-9._-]+$"))]
    #[x_kube(
        validation = Rule::new("self == oldSelf").message(rules::TOPIC_RENAMED),
        validation = Rule::new("self != '.' && self != '..'").message(rules::TOPIC_DOTS)
    )]
    pub name: String,

    /// How many partitions; may grow while trades flow, may not shrink. Default 3, such as 12.
    #[serde(default = "default_partitions")]
    #[schemars(range(min = 1, max = 1000))]
    #[x_kube(validation = Rule::new("self >= oldSelf").message(rules::PARTITIONS_SHRUNK))]
    pub partitions: i32,

    /// On how many brokers each record is kept; taken when the topic is created. Default 1, such as 3.
    #[serde(default = "default_replication_factor")]
    #[schemars(range(min = 1, max = 9))]
    pub replication_factor: i32,

    /// How long records are kept, such as `12h`. Default `7d`.
    #[serde(default = "default_topic_retention")]
    pub retention: Period,

    /// Further settings of the topic, kept as declared, such as `segment.bytes: "1048576"`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 64, "additionalProperties" = {"type": "string", "maxLength": 1024}))]
    #[x_kube(
        validation = Rule::new(rules::topic_config_repeats_cel()).message(rules::TOPIC_CONFIG_REPEATS),
        validation = Rule::new(rules::TOPIC_COMPACTED_CEL).message(rules::TOPIC_COMPACTED)
    )]
    pub config: BTreeMap<String, String>,

    /// Whose consumers can read the records too: every record has the fields of the pipeline, and besides them those of the
    /// encoding. Default `own`, such as `trade`.
    #[serde(default)]
    pub encoding: RecordEncoding,

    /// False where somebody else keeps the topic: it is then only checked. Default true.
    #[serde(default = "yes")]
    pub managed: bool,
}

fn default_partitions() -> i32 {
    3
}

fn default_replication_factor() -> i32 {
    1
}

fn default_topic_retention() -> Period {
    "7d".into()
}

pub(crate) fn yes() -> bool {
    true
}

/// What is made of the trades.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new(rules::MOVING_AVERAGE_OF_STORED_CEL).message(rules::MOVING_AVERAGE_OF_STORED).field_path(".movingAverage"),
    validation = Rule::new(rules::WHALE_TRADE_OF_STORED_CEL).message(rules::WHALE_TRADE_OF_STORED).field_path(".whaleTrade"),
)]
pub struct AggregationSpec {
    /// Candle lengths that divide a day, such as `[1s, 1m, 1h]`. Default `[1m, 5m]`.
    #[serde(default = "default_intervals")]
    #[schemars(length(min = 1, max = 16))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub intervals: Vec<CandleInterval>,

    /// Whether the trades themselves are stored, or candles and the ledger only. Default true.
    #[serde(default = "yes")]
    pub store_trades: bool,

    /// A batch is written once it is older than this, from 10ms to 60s, such as `1s`. Default `100ms`.
    #[serde(default = "default_flush_interval")]
    #[schemars(length(min = 2, max = 8), regex(pattern = r"^[1-9][0-9]{0,5}(ms|s)$"))]
    #[x_kube(validation = Rule::new(rules::FLUSH_INTERVAL_CEL).message(rules::FLUSH_INTERVAL))]
    pub flush_interval: String,

    /// A moving average of the price, stored with every trade. Default none. A change is of trades that come from then on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub moving_average: Option<MovingAverageSpec>,

    /// Which trades, and which orders of takers, are whales'. Default none. A change is of trades that come from then on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub whale_trade: Option<WhaleTradeSpec>,
}

impl Default for AggregationSpec {
    fn default() -> Self {
        Self {
            intervals: default_intervals(),
            store_trades: yes(),
            flush_interval: default_flush_interval(),
            moving_average: None,
            whale_trade: None,
        }
    }
}

fn default_intervals() -> Vec<CandleInterval> {
    vec![CandleInterval::OneMinute, CandleInterval::FiveMinutes]
}

fn default_flush_interval() -> String {
    "100ms".into()
}

/// A moving average of the price.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MovingAverageSpec {
    /// How many trades it is the mean of, such as `20`: the trade itself and those stored before it, by id.
    #[schemars(range(min = 2, max = 1000))]
    pub trades: i32,
}

/// From which value on a trade, or all that one order of a taker bought or sold at once, is a whale's.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new(rules::WHALE_TRADE_VALUE_CEL).message(rules::WHALE_TRADE_VALUE))]
pub struct WhaleTradeSpec {
    /// Price times quantity, in quote currency, such as `"100000"`; not negative. Without it only trades in the `quoteAssets` are
    /// looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 30))]
    #[x_kube(validation = Rule::new(rules::min_value_cel()).message(rules::MIN_VALUE))]
    pub min_value: Option<String>,

    /// Quote assets with a value of their own, such as `[{asset: BTC, minValue: "2"}]`. A symbol is quoted in the longest of them
    /// that it ends with.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["asset".into()]))]
    pub quote_assets: Vec<QuoteAssetValue>,
}

/// From which value on a trade in one quote asset is a whale's.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct QuoteAssetValue {
    /// The asset as the exchange writes it at the end of its symbols, such as `BTC`.
    #[schemars(length(min = 1, max = 20), regex(pattern = r"^[A-Za-z0-9]+$"))]
    pub asset: String,

    /// Price times quantity, in this asset, such as `"2"`; not negative.
    #[schemars(length(min = 1, max = 30))]
    #[x_kube(validation = Rule::new(rules::min_value_cel()).message(rules::MIN_VALUE))]
    pub min_value: String,
}

/// Where the rows go.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[x_kube(
    validation = Rule::new(compatibility::SCHEMA_CEL).message(compatibility::SCHEMA).field_path(".compatibilitySchema"),
    validation = Rule::new(compatibility::MANAGED_CEL).message(compatibility::MANAGED).field_path(".managed")
)]
#[serde(rename_all = "camelCase")]
pub struct DatabaseSpec {
    /// The Secret, in the resource's namespace, that holds the URL: `postgres://user:password@host:port/database`, or `mysql://..`.
    pub connection_secret: SecretKey,

    /// A Secret like `connectionSecret`, of a user who may create the schema and its tables. The operator alone uses it; the
    /// workers' user then needs no such right and is granted what it needs: reading and writing rows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub admin_secret: Option<SecretKey>,

    /// TLS to the database, whose certificate is verified, its name too (`verify-full`). Without it, the URL decides.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsSpec>,

    /// The database schema that belongs to this pipeline alone, such as `binance_spot`. Default `market`.
    #[serde(default = "default_schema")]
    #[schemars(length(min = 1, max = 63), regex(pattern = r"^[a-z_][a-z0-9_]*$"))]
    #[x_kube(validation = Rule::new("!self.startsWith('pg_')").message(rules::SCHEMA_RESERVED))]
    pub schema: String,

    /// False where somebody else runs the migrations: the schema's version is then only checked. Default true.
    #[serde(default = "yes")]
    pub managed: bool,

    /// Whose tables people's queries know: they are there as views of this pipeline's own tables, made and dropped as named here,
    /// such as `[ohlc]`. None by default.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 3))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub compatibility: Vec<Compatibility>,

    /// The schema in which those views stand, such as `public`; made where it is not there. Default `schema`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), regex(pattern = r"^[a-z_][a-z0-9_]*$"))]
    #[x_kube(validation = Rule::new("!self.startsWith('pg_')").message(rules::SCHEMA_RESERVED))]
    pub compatibility_schema: Option<String>,

    /// How much room the tables may take on disk, such as `100Gi`: `StorageWithinLimit` becomes false at 80 % of it. Nothing is
    /// deleted for it. No limit by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub storage_limit: Option<ByteSize>,

    /// How long rows are kept, such as `{trades: 7d, candles: 365d}`; by default for ever.
    #[serde(default)]
    pub retention: RetentionSpec,
}

fn default_schema() -> String {
    "market".into()
}

/// Tables that people's queries know from elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Compatibility {
    /// `moving_averages`: the mean of sampled prices, by minute.
    MovingAverages,
    /// `real_time_prices`, `aggregated_prices_1min`, `aggregated_prices_5min` and `latest_prices`.
    Ohlc,
    /// `trades` and `trade_aggregates`.
    Trades,
}

/// How long rows are kept; what is absent is kept for ever.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RetentionSpec {
    /// Single trades, such as `7d`; for ever where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trades: Option<Period>,

    /// Candles, such as `365d`; for ever where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub candles: Option<Period>,
}

impl CryptoPipelineSpec {
    /// The sources of which every trade is wished.
    pub fn trade_sources(&self) -> impl Iterator<Item = &SourceSpec> {
        self.sources.iter().filter(|source| source.reads_trades())
    }

    /// Whether somebody asks the exchanges for what is missing: of tickers nothing can be.
    #[must_use]
    pub fn has_repairer(&self) -> bool {
        self.repair.enabled && self.trade_sources().next().is_some()
    }
}

/// How a feed comes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// As a stream.
    #[default]
    Websocket,
    /// By asking again and again.
    Rest,
}

impl SourceSpec {
    /// Whether it reads trades, which can be missing, be repaired and be compared with the exchange's candles.
    #[must_use]
    pub const fn reads_trades(&self) -> bool {
        self.feed.is_trades()
    }

    /// How often prices are asked for, in milliseconds; `None` where they come as a stream, or the text is no such length.
    #[must_use]
    pub fn poll_interval_ms(&self) -> Option<u64> {
        if self.transport == Transport::Websocket {
            return None;
        }
        let text = self.poll_interval.as_deref().unwrap_or("1s");
        match text.strip_suffix("ms") {
            Some(count) => count.parse().ok(),
            None => u64::try_from(Period::from(text).seconds()?).ok()?.checked_mul(1_000),
        }
    }

    /// Whose trade ids these are: the venue, or the exchange's name where none is set.
    #[must_use]
    pub fn effective_venue(&self) -> &str {
        self.venue.as_deref().unwrap_or_else(|| self.exchange.as_str())
    }
}
