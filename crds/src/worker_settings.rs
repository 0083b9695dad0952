//! The files that the operator writes and the workers read: one for each producer, one for the
//! aggregators, one for the repairer. A worker restarts only when its own file changes, so nothing stands here that its role
//! does not use. Credentials never do: they reach a worker as files, which are named here, and
//! the database's URL through its environment.

use std::collections::BTreeMap;
use std::path::PathBuf;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::security::SaslMechanism;

/// The environment variable that holds the database URL of a worker.
pub const DATABASE_URL_ENV: &str = "DATABASE_URL";

/// What `worker produce` reads: one source and where its records go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ProducerSettings {
    /// The pipeline this worker belongs to.
    pub pipeline: PipelineId,
    /// The source that this producer reads.
    pub source: SourceSettings,
    /// The topic that it writes.
    pub kafka: KafkaSettings,
}

/// What `worker aggregate` reads: the topic, the database and what is made of the trades.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AggregatorSettings {
    /// The pipeline this worker belongs to.
    pub pipeline: PipelineId,
    /// The topic that it reads; the consumer group is named after the pipeline.
    pub kafka: KafkaSettings,
    /// Where the rows go. The URL comes from [`DATABASE_URL_ENV`].
    pub database: DatabaseSettings,
    /// What is made of the trades.
    pub aggregation: AggregationSettings,
}

/// What `worker repair` reads: where missing trades are asked for, and the topic and the ledger that they belong to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RepairerSettings {
    /// The pipeline this worker belongs to.
    pub pipeline: PipelineId,
    /// The exchanges.
    pub sources: Vec<SourceSettings>,
    /// The topic that repaired trades are published on.
    pub kafka: KafkaSettings,
    /// The schema that holds the ledger. The URL comes from [`DATABASE_URL_ENV`].
    pub database: LedgerSettings,
    /// What is wished from before the pipeline began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub history: Option<HistorySettings>,
}

/// What is wished from before the pipeline began, and what is made of it: the same as of live trades.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HistorySettings {
    /// By the name of the source; sources without history are not here.
    pub sources: BTreeMap<String, SourceHistorySettings>,
    /// Candle intervals, as the aggregators have them.
    pub intervals: Vec<String>,
    /// Whether the trades themselves are stored.
    pub store_trades: bool,
    /// What is said of single trades; nothing where it is not there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub indicators: Option<IndicatorSettings>,
}

/// The history of one source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SourceHistorySettings {
    /// The wished start.
    pub from: Timestamp,
    /// Base of the exchange's daily files, e.g. `https://data.binance.vision`.
    pub dumps_url: String,
}

/// Where the ledger is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LedgerSettings {
    /// The schema's name (on MySQL a database's); SQLite has none and ignores it.
    pub schema: String,
    /// TLS to the database; without it, the URL decides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsFiles>,
}

/// Which CryptoPipeline a worker or a database schema belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PipelineId {
    /// The resource's namespace; `local` where there is no cluster.
    pub namespace: String,
    /// The resource's name.
    pub name: String,
    /// The resource's uid, which outlives neither deletion nor re-creation.
    pub uid: String,
}

/// One source: an exchange, its symbols and where it answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SourceSettings {
    /// The source's name in the spec.
    pub name: String,
    /// Which adapter speaks to it.
    pub exchange: ExchangeKind,
    /// Whose trade ids these are: part of every key.
    pub venue: String,
    /// The symbols as the exchange writes them, sorted.
    pub symbols: Vec<String>,
    /// What is read of them.
    #[serde(default, skip_serializing_if = "Feed::is_trades")]
    pub feed: Feed,
    /// Whose consumers can read its records too.
    #[serde(default, skip_serializing_if = "RecordEncoding::is_own")]
    pub encoding: RecordEncoding,
    /// Prices are asked for so often, in milliseconds; without it they come as a stream. Of tickers only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub poll_interval_ms: Option<u64>,
    /// Base of the WebSocket endpoint, e.g. `wss://stream.binance.com:9443`.
    pub websocket_url: String,
    /// Base of the REST endpoint, e.g. `https://api.binance.com`.
    pub rest_url: String,
}

/// Which fields stand in a record besides those that this pipeline reads itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum RecordEncoding {
    /// None.
    #[default]
    Own,
    /// Of tickers: `symbol`, `price` as text, and `timestamp` in seconds, with decimals.
    PriceTick,
    /// Of tickers that come as a stream: `symbol`, `price`, `timestamp` in milliseconds, `event_time` (ISO 8601), and of the 24 hours
    /// before `volume`, `high`, `low`, `open` and `trades`; all but the symbol and the event time as numbers.
    Ticker,
    /// Of trades, as Binance's trade streams have them: `s`, `p`, `q`, `T` in milliseconds, and `m`.
    Trade,
}

impl RecordEncoding {
    /// Whether it is the pipeline's own.
    #[must_use]
    pub fn is_own(&self) -> bool {
        *self == Self::Own
    }
}

/// What is read of a symbol.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Feed {
    /// Every trade: they are numbered, so that a missing one shows.
    #[default]
    Trades,
    /// The price now and then, as the exchange's ticker says it: without ids, so that nobody can tell whether one is missing.
    Tickers,
}

impl Feed {
    /// Whether it is the trades.
    #[must_use]
    pub const fn is_trades(&self) -> bool {
        matches!(self, Self::Trades)
    }
}

/// The exchange adapters there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ExchangeKind {
    /// Binance Spot, and whatever speaks its protocol.
    Binance,
}

impl ExchangeKind {
    /// The name as it is written in a manifest: also the venue of its own trade ids.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Binance => "binance",
        }
    }

    /// Whether the exchange has candles of its own of this length, such as `1m`.
    #[must_use]
    pub fn has_candles_of(self, interval: &str) -> bool {
        match self {
            Self::Binance => BINANCE_INTERVALS.contains(&interval),
        }
    }
}

/// Those that divide a day.
const BINANCE_INTERVALS: [&str; 13] =
    ["1s", "1m", "3m", "5m", "15m", "30m", "1h", "2h", "4h", "6h", "8h", "12h", "1d"];

/// How to reach the broker, and the topic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct KafkaSettings {
    /// Comma-separated `host:port` list.
    pub bootstrap_servers: String,
    /// The topic's name.
    pub topic: String,
    /// TLS to the brokers; plain without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsFiles>,
    /// A name and a password for the brokers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sasl: Option<SaslFiles>,
    /// librdkafka settings that go over ours.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub client_config: BTreeMap<String, String>,
}

/// TLS to a server whose certificate is verified, its name too.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TlsFiles {
    /// The certificates of those who are trusted (PEM); those of the machine without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
    /// A certificate of the worker's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_certificate: Option<CertificateFiles>,
}

/// A certificate and its private key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CertificateFiles {
    /// The certificate, those that it was signed with after it (PEM).
    pub certificate_file: PathBuf,
    /// The private key (PEM).
    pub key_file: PathBuf,
}

/// A name and a password for the brokers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SaslFiles {
    /// How the password is proven.
    pub mechanism: SaslMechanism,
    /// The user's name.
    pub username_file: PathBuf,
    /// The user's name where there is no such file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username_without_file: Option<String>,
    /// The password.
    pub password_file: PathBuf,
}

/// Where in the database the rows go, and for how long.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DatabaseSettings {
    /// The schema's name (on MySQL a database's); SQLite has none and ignores it.
    pub schema: String,
    /// TLS to the database; without it, the URL decides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsFiles>,
    /// How long trades are kept, in seconds; `None` keeps them for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trades_retention_s: Option<i64>,
    /// How long candles are kept, in seconds; `None` keeps them for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub candles_retention_s: Option<i64>,
}

/// What is made of the trades.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AggregationSettings {
    /// Candle intervals such as `1m`, each dividing a day, sorted by length.
    pub intervals: Vec<String>,
    /// Whether the trades themselves are stored.
    pub store_trades: bool,
    /// What is said of single trades; nothing where it is not there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub indicators: Option<IndicatorSettings>,
    /// A batch is flushed once it is older than this.
    pub flush_interval_ms: u64,
}

/// What is said of single trades.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct IndicatorSettings {
    /// How many trades a moving average is the mean of; `None` where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub moving_average_trades: Option<usize>,
    /// From which value on a trade is a whale's, in any quote asset that is not in the others: a decimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub whale_value: Option<String>,
    /// The same by quote asset.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub whale_values: BTreeMap<String, String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_that_the_exchange_has_no_candles_of_are_known() {
        let has = |interval| ExchangeKind::Binance.has_candles_of(interval);
        assert_eq!(["1s", "1m", "12h", "1d"].map(has), [true; 4]);
        assert_eq!(["5s", "15s", "30s", "3h"].map(has), [false; 4]);
    }
}
