//! What a worker answers to `GET /status`: read by the operator, by `cryptopipeline run` and by people.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// A producer's answer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ProducerStatus {
    /// The source's name in the spec.
    pub source: String,
    /// The exchange connection.
    pub exchange: DependencyStatus,
    /// The broker.
    pub broker: DependencyStatus,
    /// By symbol; every symbol of the settings is here.
    pub symbols: BTreeMap<String, SymbolStatus>,
    /// Trades read from the exchange since the start, duplicates of overlapping connections included.
    pub trades_received: u64,
    /// Samples of prices read from the exchange since the start, duplicates of overlapping connections included.
    pub samples_received: u64,
    /// Records that the broker acknowledged since the start.
    pub records_published: u64,
    /// Records that could not be delivered since the start; the ids show up as a hole.
    pub records_dropped: u64,
    /// Frames that could not be read since the start, by reason.
    pub malformed_frames: BTreeMap<String, MalformedFrames>,
    /// Connections opened after the first since the start, planned rotations included.
    pub reconnects: u64,
}

/// What is known of one symbol's stream.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SymbolStatus {
    /// What the exchange says of the symbol, and what the stream does.
    pub state: SymbolState,
    /// The highest trade id seen; samples of prices have none.
    pub last_trade_id: Option<i64>,
    /// How long ago the last trade, or the last sample of the price, came, in milliseconds.
    pub last_trade_age_ms: Option<u64>,
}

/// The state of a symbol's stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum SymbolState {
    /// Not asked yet, or the exchange could not be asked.
    #[default]
    Unchecked,
    /// The exchange does not list the symbol: it is not subscribed.
    Unknown,
    /// Listed, but the exchange does not trade it now (halt, break, delisted).
    NotTrading,
    /// Subscribed, no trade or sample yet: an acknowledged stream is no proof of data.
    Subscribed,
    /// Trades or samples come.
    Streaming,
    /// Samples come, and say the same price for so long that the exchange may repeat an old one.
    Frozen,
    /// No trade or sample for longer than this symbol's own rhythm explains; the watchdog subscribes anew.
    Silent,
}

/// Frames that were counted and left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct MalformedFrames {
    /// How many since the start.
    pub count: u64,
    /// The beginning of the newest one, for a person to look at.
    pub newest: String,
}

/// An aggregator's answer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AggregatorStatus {
    /// The broker.
    pub broker: DependencyStatus,
    /// The database.
    pub database: DependencyStatus,
    /// The partitions that the group assigned to this worker.
    pub partitions: Vec<PartitionStatus>,
    /// Records read and committed since the start.
    pub records_read: u64,
    /// Trades that were new to the ledger since the start.
    pub trades_new: u64,
    /// Trades that the ledger held already since the start.
    pub trades_duplicate: u64,
    /// Samples of prices of times of which none was held since the start.
    pub samples_new: u64,
    /// Samples of prices of times that were held already since the start.
    pub samples_duplicate: u64,
    /// Records set aside since the start.
    pub records_set_aside: u64,
    /// Committed flushes since the start.
    pub flushes: u64,
    /// How long the last flush took, from begin to commit, in microseconds.
    pub last_flush_us: u64,
    /// Flushes thrown away and read again, by reason.
    pub flushes_retried: BTreeMap<String, u64>,
    /// Of the one that has the first partition, once it has asked.
    pub database_room: Option<DatabaseRoomStatus>,
}

/// How much room the pipeline's tables take, and since when what is kept in them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DatabaseRoomStatus {
    /// All tables of the schema on disk, in bytes.
    pub schema_bytes: u64,
    /// Trades and samples before it are no longer kept, in microseconds since 1970; `None` where all are.
    pub trades_kept_since_us: Option<i64>,
    /// Candles that open before it are no longer kept; `None` where all are.
    pub candles_kept_since_us: Option<i64>,
}

/// One assigned partition.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PartitionStatus {
    /// The partition.
    pub partition: i32,
    /// The offset that the database expects next.
    pub next_offset: i64,
    /// The end offset that the broker told last, where it did.
    pub end_offset: Option<i64>,
}

/// A repairer's answer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RepairerStatus {
    /// The broker.
    pub broker: DependencyStatus,
    /// The database.
    pub database: DependencyStatus,
    /// The exchanges, by source.
    pub exchanges: BTreeMap<String, DependencyStatus>,
    /// Request weight used in the current minute, as the exchange counts it, by source.
    pub weight_used: BTreeMap<String, u32>,
    /// Trades that were missing and published since the start.
    pub trades_repaired: u64,
    /// Ids that were found not to exist since the start.
    pub ids_voided: u64,
    /// Missing trades that were found to exist and cannot be held since the start.
    pub trades_refused: u64,
    /// Holes that were asked for in vain, and why they are still open.
    pub unavailable: Vec<UnavailableHole>,
    /// Candles compared with the exchange's own since the start, by verdict.
    pub candles_checked: BTreeMap<String, u64>,
    /// Candles that differ from the exchange's while it is not decided who is wrong.
    pub undecided: Vec<UndecidedCheck>,
    /// How far history is loaded, by source; sources without are not here.
    pub history: BTreeMap<String, SourceHistoryStatus>,
}

/// A candle that differs from the exchange's while it is not decided who is wrong.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct UndecidedCheck {
    /// Whose trades these are.
    pub venue: String,
    /// The symbol.
    pub symbol: String,
    /// The candle's length.
    pub interval: String,
    /// When it opens.
    pub open_time: String,
    /// Why it is not decided.
    pub reason: String,
}

/// How far the history of one source is loaded.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SourceHistoryStatus {
    /// The wished start.
    pub from: Timestamp,
    /// The host of the daily files.
    pub dumps: DependencyStatus,
    /// Trades that were new to the ledger since the start of the repairer.
    pub trades_loaded: u64,
    /// Trades that were new to the ledger, in a second, over the last minute.
    pub trades_per_second: u64,
    /// How many seconds the rest takes at that rate, where that can be told.
    pub seconds_left: Option<u64>,
    /// By symbol; those that have been looked at.
    pub symbols: BTreeMap<String, SymbolHistoryStatus>,
}

/// How far the history of one symbol is loaded.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SymbolHistoryStatus {
    /// How many whole days there are to load.
    pub days: u32,
    /// How many of them are loaded, or hold nothing that is missing.
    pub days_loaded: u32,
    /// How many trades the files that are still to be loaded will bring.
    pub trades_left: u64,
    /// Files that cannot be had or used, the newest first, at most 20.
    pub unavailable: Vec<UnavailableFile>,
}

/// A daily file that cannot be had or used.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct UnavailableFile {
    /// Its name.
    pub file: String,
    /// What is wrong with it.
    pub reason: String,
}

/// Missing trades that the exchange did not give.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct UnavailableHole {
    /// Whose ids these are.
    pub venue: String,
    /// The symbol.
    pub symbol: String,
    /// Lowest missing id.
    pub first_id: i64,
    /// Highest missing id.
    pub last_id: i64,
    /// Why it is still open.
    pub reason: String,
}

/// Whether something that a worker needs is there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DependencyStatus {
    /// True while it answers.
    pub available: bool,
    /// Why not, or since when; empty while all is well.
    pub message: String,
}
