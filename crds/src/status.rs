//! What the operator says of a pipeline. Conditions carry the meaning; the figures beside them are for
//! people and printer columns, and are renewed at most once a minute.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// The state of a pipeline. There is no phase: it would be a second truth beside the conditions.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CryptoPipelineStatus {
    /// The generation of the spec that this status speaks of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,

    /// Resources: SpecValid, TopicReady, SchemaReady, ProducersReady, AggregatorsReady. Data: DataFlowing,
    /// DataContinuous, DataVerified; StorageWithinLimit where the spec sets a limit. Summary by the kstatus convention: Ready, Reconciling, Stalled.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,

    /// How many markets (symbol at a venue) the spec names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub symbols: Option<i32>,

    /// How many partitions the topic has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub partitions: Option<i32>,

    /// The producers of all sources together.
    #[serde(default)]
    pub producers: RoleStatus,

    /// The aggregators.
    #[serde(default)]
    pub aggregators: RoleStatus,

    /// Label selector of the aggregators' pods, for the scale subresource.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub selector: Option<String>,

    /// Records that the broker holds and the database does not yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lag: Option<i64>,

    /// Trades that are missing between the first and the last one held, all markets together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub missing_trades: Option<i64>,

    /// Markets that need a look, at most 20.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unhealthy_symbols: Vec<UnhealthySymbol>,

    /// How far history is loaded, by source.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["source".into()]))]
    pub history: Vec<HistoryStatus>,

    /// The topic as it was found or made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub topic: Option<TopicStatus>,

    /// The schema as it was found or made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schema: Option<SchemaStatus>,

    /// What is kept in the database, as an aggregator has told it last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub storage: Option<StorageStatus>,

    /// When the figures were last renewed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub figures_time: Option<Time>,
}

/// How many pods of a role there are.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RoleStatus {
    /// How many there should be.
    #[serde(default)]
    pub desired: i32,
    /// How many there are.
    #[serde(default)]
    pub replicas: i32,
    /// How many are ready.
    #[serde(default)]
    pub ready: i32,
}

/// A market that needs a look.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UnhealthySymbol {
    /// Whose trade ids these are.
    pub venue: String,
    /// The symbol.
    pub symbol: String,
    /// What is wrong, in one word.
    pub reason: String,
    /// What is wrong, in a sentence.
    pub message: String,
}

/// How far the history of a source is loaded. Figures are absent while nobody tells them.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HistoryStatus {
    /// The source.
    pub source: String,
    /// The wished start, as it was accepted.
    pub from: Time,
    /// How many daily files there are to load, all symbols together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub files: Option<i32>,
    /// How many of them are loaded, or hold nothing that is missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub files_loaded: Option<i32>,
    /// When the rest will be loaded at the present rate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub estimated_end: Option<Time>,
}

/// The topic that the pipeline uses.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TopicStatus {
    /// Its name.
    pub name: String,
    /// The id that the broker gave it: another topic of the same name has another. Absent while it is about to be created.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// True if this resource created it, or was about to, so that `deletionPolicy: Delete` may delete it.
    #[serde(default)]
    pub created: bool,
}

impl TopicStatus {
    /// Whether this resource created the topic that has `id` now. One that was about to be created when the operator died
    /// was not there before.
    #[must_use]
    pub fn has_created(&self, id: &str) -> bool {
        self.created && self.id.as_deref().is_none_or(|created| created == id)
    }
}

/// The database schema that the pipeline uses.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SchemaStatus {
    /// Its name.
    pub name: String,
    /// The version of its tables.
    pub version: i64,
}

/// How much room the tables take, and since when what is kept in them.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StorageStatus {
    /// All tables of the schema on disk with their indexes, in bytes, to two digits.
    pub bytes: i64,
    /// Trades and samples before it are no longer kept; absent where all are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trades_kept_since: Option<Time>,
    /// Candles that open before it are no longer kept; absent where all are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub candles_kept_since: Option<Time>,
}
