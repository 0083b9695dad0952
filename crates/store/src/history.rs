//! History: the trades of the exchange's own daily files, committed by the same plan and under the same locks as those of
//! the topic, and what is remembered of the files and of where a chain is wished to begin.

use jiff::civil::Date;
use market::{Market, Record, Trade};

use crate::flush::{FILE_PARTITION, PartitionWrite};
use crate::model::{FlushBatch, MarketBatch};

/// How many trades of a file are committed under one lock at most, so that live trades never wait for long.
pub const MOST_HISTORY_TRADES: usize = 2_000;

/// Some trades of one file.
#[derive(Clone, Debug)]
pub struct HistoryStep {
    /// The market.
    pub market: Market,
    /// The day of the file.
    pub day: Date,
    /// The file's name, for those who look at what was set aside.
    pub file_name: String,
    /// The hash of the file.
    pub sha256: String,
    /// The trades, [`MOST_HISTORY_TRADES`] at most.
    pub trades: Vec<Trade>,
}

/// Where the chain of a market is wished to begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HistoryStart {
    /// The wished start: microseconds since 1970, UTC.
    pub from_us: i64,
    /// The first trade from then on, as the exchange says.
    pub first_id: i64,
}

/// What is known of the history of one market.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MarketHistory {
    /// Since when its trades are numbered as they are: microseconds since 1970, UTC; `None` in the first series.
    pub series_since_us: Option<i64>,
    /// Where the chain is wished to begin, once the exchange has named the first trade.
    pub start: Option<HistoryStart>,
    /// The files that were read to their end.
    pub loaded: Vec<LoadedFile>,
    /// How many trades that were new to the ledger came from files: all others came through the topic.
    pub trades_brought: i64,
    /// Unbroken chains of trade ids.
    pub chains: Vec<TradeChain>,
}

/// A file that was read to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoadedFile {
    /// Its day.
    pub day: Date,
    /// Its hash then.
    pub sha256: String,
}

/// Trade ids without a hole between them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TradeChain {
    /// Lowest id.
    pub first_id: i64,
    /// Highest id.
    pub last_id: i64,
    /// Trade time of the lowest id: microseconds since 1970, UTC.
    pub first_time_us: i64,
    /// Trade time of the highest id: microseconds since 1970, UTC.
    pub last_time_us: i64,
}

/// A file and its market, while a step of it is committed.
pub(crate) struct FileOfStep {
    day: Date,
    sha256: String,
}

/// What becomes of a row of `history_files`.
#[derive(Debug)]
pub(crate) struct HistoryWrite {
    pub(crate) symbol_id: i32,
    pub(crate) day: Date,
    pub(crate) sha256: String,
    pub(crate) trades_new: i64,
    pub(crate) trades_duplicate: i64,
    pub(crate) rows_set_aside: i64,
}

impl HistoryStep {
    /// The step as a batch of no partition. What is set aside of it is named by the file, its hash and the trade's id.
    pub(crate) fn into_batch(self) -> (FlushBatch, FileOfStep) {
        let Self { market, day, file_name, sha256, trades } = self;
        let record = |trade: Trade| Record { trade, partition: FILE_PARTITION, offset: trade.trade_id };
        let records = trades.into_iter().map(record).collect();
        let batch = FlushBatch {
            topic: file_name,
            topic_id: sha256.clone(),
            partitions: Vec::new(),
            tickers: Vec::new(),
            markets: vec![MarketBatch { market, records, refused: Vec::new() }],
        };
        (batch, FileOfStep { day, sha256 })
    }
}

impl HistoryWrite {
    /// What the counters of a step's records make of the row of its file.
    pub(crate) fn new(symbol_id: i32, file: FileOfStep, counted: &PartitionWrite) -> Self {
        Self {
            symbol_id,
            day: file.day,
            sha256: file.sha256,
            trades_new: counted.trades_new,
            trades_duplicate: counted.trades_duplicate,
            rows_set_aside: counted.records_set_aside,
        }
    }

    pub(crate) const fn rows_read(&self) -> i64 {
        self.trades_new + self.trades_duplicate + self.rows_set_aside
    }
}
