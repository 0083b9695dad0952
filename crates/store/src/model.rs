//! What the store takes and gives, whichever the database.

use std::collections::BTreeMap;
use std::time::Duration;

use market::{
    IdRestart, Indicators, Interval, Market, Record, RefusalReason, RefusedTrade, TickerRecord, WhaleValues,
};

/// How to connect.
#[derive(Clone, Copy, Debug)]
pub struct ConnectOptions {
    /// Connections in the pool at most.
    pub max_connections: u32,
    /// How long to wait for a connection.
    pub acquire_timeout: Duration,
    /// Whether an SQLite file that does not exist is made.
    pub create: bool,
}

impl Default for ConnectOptions {
    fn default() -> Self {
        Self { max_connections: 4, acquire_timeout: Duration::from_secs(10), create: false }
    }
}

/// The pipeline that a schema belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The resource's namespace.
    pub namespace: String,
    /// The resource's name.
    pub name: String,
    /// The resource's uid.
    pub uid: String,
}

/// The answer to a claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claim {
    /// The schema belongs to the claimant.
    Ours,
    /// It belongs to somebody else.
    Other(Owner),
}

/// The position in one partition, and what became of the records before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionPosition {
    /// The partition.
    pub partition: i32,
    /// The id of the topic that the offset belongs to.
    pub topic_id: String,
    /// The offset of the next record.
    pub next_offset: i64,
    /// Records read: the next three, and the price samples.
    pub records_read: i64,
    /// Trades that were new to the ledger.
    pub trades_new: i64,
    /// Trades that the ledger held already.
    pub trades_duplicate: i64,
    /// Records set aside.
    pub records_set_aside: i64,
}

/// What is known of the ids of one market, in one of its series: the current one unless said otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MarketLedger {
    /// The market.
    pub market: Market,
    /// How often its exchange has begun to number its trades anew, as far as a person has said so.
    pub series: i32,
    /// Since when the series is: microseconds since 1970, UTC; `None` in the first one.
    pub series_since_us: Option<i64>,
    /// What proves that the ids began anew once more: since then everything is set aside.
    pub restart: Option<IdRestart>,
    /// When the next series can begin: after all that is held. Microseconds since 1970, UTC; `None` where nothing is.
    pub earliest_series_us: Option<i64>,
    /// Lowest id held.
    pub first_trade_id: Option<i64>,
    /// Highest id held.
    pub last_trade_id: Option<i64>,
    /// Its time, microseconds since 1970, UTC.
    pub last_trade_time_us: Option<i64>,
    /// How many trades are held.
    pub trades_held: i64,
    /// How far the exchange's own ids go, as far as it was asked.
    pub head: Option<HeadState>,
    /// Since when trades are wished, where the first one from then on is known: microseconds since 1970, UTC.
    pub history_from_us: Option<i64>,
    /// How many ids are wished and not accounted for.
    pub missing: i64,
    /// The newest holes, the newest first; at most [`MAX_HOLES`].
    pub holes: Vec<Hole>,
    /// What exists and cannot be held.
    pub refused: RefusedTrades,
}

impl MarketLedger {
    /// Of a market of which nothing is known yet.
    #[must_use]
    pub const fn of(market: Market) -> Self {
        Self {
            market,
            series: 0,
            series_since_us: None,
            restart: None,
            earliest_series_us: None,
            first_trade_id: None,
            last_trade_id: None,
            last_trade_time_us: None,
            trades_held: 0,
            head: None,
            history_from_us: None,
            missing: 0,
            holes: Vec::new(),
            refused: RefusedTrades { trades: 0, newest: Vec::new() },
        }
    }
}

/// Trades of one market that exist and cannot be held.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RefusedTrades {
    /// How many.
    pub trades: i64,
    /// The newest of them, the newest first; at most [`MAX_HOLES`] ranges.
    pub newest: Vec<RefusedIds>,
}

/// A run of refused trades.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RefusedIds {
    /// Lowest id.
    pub first_id: i64,
    /// Highest id.
    pub last_id: i64,
    /// Why they cannot be held.
    pub reason: RefusalReason,
}

/// What the exchange said of one market's newest trade.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeadProbe {
    /// The market.
    pub market: Market,
    /// The newest id.
    pub last_id: i64,
    /// As of when, by the exchange's clock: microseconds since 1970, UTC.
    pub time_us: i64,
}

/// What is known of how far the exchange's ids go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadState {
    /// The newest id that it told.
    pub last_id: i64,
    /// When it was asked, by the clock of whoever asked: microseconds since 1970, UTC.
    pub probed_at_us: i64,
}

/// How many holes a [`MarketLedger`] names, and how many ranges of refused trades.
pub const MAX_HOLES: usize = 20;

/// A run of missing ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hole {
    /// Lowest missing id.
    pub first_id: i64,
    /// Highest missing id.
    pub last_id: i64,
}

impl Hole {
    /// How many ids are missing.
    #[must_use]
    pub const fn count(self) -> i64 {
        self.last_id - self.first_id + 1
    }
}

/// Which candles to read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CandleQuery {
    /// Only this venue.
    pub venue: Option<String>,
    /// Only this symbol.
    pub symbol: Option<String>,
    /// Only this interval.
    pub interval: Option<Interval>,
    /// Only windows that open at or after this time, in microseconds.
    pub from_us: Option<i64>,
    /// Only windows that open before this time, in microseconds.
    pub to_us: Option<i64>,
    /// Only the newest so many windows of each symbol and interval.
    pub newest: Option<i64>,
    /// Only candles that were written by a flush after the one of this version.
    pub since_version: Option<i64>,
    /// At most so many, whatever else is asked for.
    pub most: Option<i64>,
}

/// A candle as it is read: decimals as exact text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CandleRow {
    /// The market.
    pub market: Market,
    /// The series of its trades; see [`MarketLedger::series`].
    pub series: i32,
    /// The interval.
    pub interval: Interval,
    /// First microsecond of the window, since 1970, UTC.
    pub open_time_us: i64,
    /// Prices of the first, highest, lowest and last trade.
    pub open: market::Fixed8,
    /// Highest price.
    pub high: market::Fixed8,
    /// Lowest price.
    pub low: market::Fixed8,
    /// Last price.
    pub close: market::Fixed8,
    /// Sum of the quantities.
    pub volume: market::Fixed8,
    /// Sum of price times quantity.
    pub quote_volume: market::Fixed16,
    /// Number of trades; zero in a window that is proven to have none.
    pub trade_count: i64,
    /// Volume of the trades whose taker bought.
    pub taker_buy_volume: market::Fixed8,
    /// Quote volume of the trades whose taker bought.
    pub taker_buy_quote_volume: market::Fixed16,
    /// Lowest trade id; none in an empty window.
    pub first_trade_id: Option<i64>,
    /// Highest trade id; none in an empty window.
    pub last_trade_id: Option<i64>,
    /// Whether it is proven that no trade is missing.
    pub complete: bool,
    /// The version of the flush that wrote it last; none in an empty window, which nobody wrote.
    pub version: Option<i64>,
}

/// What is made of the trades.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FlushSettings {
    /// The candle intervals, without repeats.
    pub intervals: Vec<Interval>,
    /// Whether the trades themselves are stored.
    pub store_trades: bool,
    /// A moving average is the mean price of so many trades; `None` where there is none. Only of trades that are stored.
    pub moving_average_trades: Option<usize>,
    /// From which value on trades and orders of takers are whales'. Only of trades that are stored.
    pub whale_values: WhaleValues,
}

impl FlushSettings {
    /// What is said of the trades of a market.
    pub(crate) fn indicators_of(&self, market: &Market) -> Indicators {
        Indicators {
            moving_average_trades: self.moving_average_trades,
            whale_value: self.whale_values.of(&market.symbol),
        }
    }
}

/// For how long outputs are kept, in seconds; `None` keeps them for ever.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retention {
    /// The trades.
    pub trades_s: Option<i64>,
    /// The candles.
    pub candles_s: Option<i64>,
}

impl Retention {
    /// The first microsecond kept: the midnight (UTC) at or before the retention's beginning, since whole
    /// days are dropped.
    pub(crate) fn floor_us(kept_s: Option<i64>, now_us: i64) -> Option<i64> {
        const DAY_US: i64 = 86_400_000_000;
        let oldest_us = now_us.saturating_sub(kept_s?.saturating_mul(1_000_000));
        Some(oldest_us - oldest_us.rem_euclid(DAY_US))
    }
}

/// Records of one or more partitions: what one flush commits.
#[derive(Clone, Debug, Default)]
pub struct FlushBatch {
    /// The topic.
    pub topic: String,
    /// The topic's own id, as it was when the positions were read.
    pub topic_id: String,
    /// How far each partition has come, by ascending partition.
    pub partitions: Vec<PartitionProgress>,
    /// The trades, by market; each market once.
    pub markets: Vec<MarketBatch>,
    /// The price samples, by market; each market once.
    pub tickers: Vec<TickerBatch>,
}

/// How far a batch moves one partition.
#[derive(Clone, Debug, Default)]
pub struct PartitionProgress {
    /// The partition.
    pub partition: i32,
    /// The position that the database must have for this batch to count.
    pub expected_offset: i64,
    /// The position after it.
    pub next_offset: i64,
    /// How many records were read.
    pub records_read: i64,
    /// Offsets between the expected one and the first record: the broker had them no more.
    pub offsets_skipped: i64,
    /// Records that could not be read.
    pub unreadable: Vec<UnreadableRecord>,
}

/// A record that is neither a trade nor a price sample.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnreadableRecord {
    /// Its offset.
    pub offset: i64,
    /// Why, in a word.
    pub reason: &'static str,
    /// Its value as it was read.
    pub payload: Vec<u8>,
}

/// The trades of one market in a batch.
#[derive(Clone, Debug)]
pub struct MarketBatch {
    /// The market.
    pub market: Market,
    /// Its trades, in no order.
    pub records: Vec<Record>,
    /// Trades that whoever decoded them could not hold. Their records are among the unreadable ones.
    pub refused: Vec<RefusedTrade>,
}

/// The price samples of one market in a batch.
#[derive(Clone, Debug)]
pub struct TickerBatch {
    /// The market.
    pub market: Market,
    /// Its samples, in no order.
    pub records: Vec<TickerRecord>,
}

/// What a committed flush did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FlushReport {
    /// Records read.
    pub records_read: i64,
    /// Trades that were new to the ledger.
    pub trades_new: i64,
    /// Trades that the ledger held already.
    pub trades_duplicate: i64,
    /// Price samples that were new.
    pub samples_new: i64,
    /// Price samples of times that were held already.
    pub samples_duplicate: i64,
    /// Records set aside, by reason.
    pub set_aside: Vec<(&'static str, i64)>,
}

/// How much room a database takes, since when it cannot give any back, and since when what is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DatabaseRoom {
    /// The whole database in bytes, other schemas included.
    pub database_bytes: u64,
    /// Each table of this schema in bytes, with its days, indexes and large values; empty where that cannot be told.
    pub table_bytes: BTreeMap<String, u64>,
    /// The age of the oldest transaction that keeps removed rows, zero if there is none; `None` where that cannot be told.
    pub oldest_snapshot: Option<Duration>,
    /// Trades and samples before it are no longer kept, in microseconds since 1970; `None` where all are.
    pub trades_kept_since_us: Option<i64>,
    /// Candles that open before it are no longer kept; `None` where all are.
    pub candles_kept_since_us: Option<i64>,
}

impl DatabaseRoom {
    /// What this schema takes of it; all of it, where the tables cannot be told apart.
    #[must_use]
    pub fn schema_bytes(&self) -> u64 {
        if self.table_bytes.is_empty() { self.database_bytes } else { self.table_bytes.values().sum() }
    }
}
