//! What a flush needs of a database: its statements in their order, and the rows that it reads.

use hashbrown::HashMap;
use market::{CandleKey, Fold, IdRestart, Interval, LastTrade, Market, Output, TradeRange, TradeTotals};

use super::{FlushWrites, TickerTransaction, TradeTransaction};
use crate::error::StoreError;
use crate::model::HeadState;
use crate::series::{Series, SeriesSpan};

/// A database that flushes can be committed to.
pub(crate) trait FlushDatabase {
    /// Its transaction; dropping one rolls it back.
    type Transaction: FlushTransaction;

    /// All series of the markets; markets that are not known yet are added.
    async fn series(&self, markets: &[Market]) -> Result<Vec<Series>, StoreError>;
    /// The markets' current series, in the order of the markets; markets that are not known yet are added.
    async fn current_series(&self, markets: &[Market]) -> Result<Vec<Series>, StoreError> {
        let series = self.series(markets).await?;
        let current = series.into_iter().filter(|series| series.span.until_us.is_none());
        let current: HashMap<Market, Series> =
            current.map(|series| (series.market.clone(), series)).collect();
        let of = |market: &Market| {
            current.get(market).cloned().ok_or_else(|| StoreError::Unexpected(format!("{market} has no id")))
        };
        markets.iter().map(of).collect()
    }
    /// The ids of [`Self::current_series`].
    async fn symbol_ids(&self, markets: &[Market]) -> Result<Vec<i32>, StoreError> {
        Ok(self.current_series(markets).await?.iter().map(|series| series.symbol_id).collect())
    }
    /// The ids of markets with tickers; markets that are not known yet are added.
    async fn ticker_markets(&self, markets: &[Market]) -> Result<Vec<(Market, i32)>, StoreError>;
    /// Makes what rows of these times need and a flush must not make itself.
    async fn prepare_days(
        &self,
        table: DayTable,
        times_us: &mut (dyn Iterator<Item = i64> + Send),
    ) -> Result<(), StoreError>;
    /// Below which time each output may have been dropped.
    async fn floors(&self) -> Result<Floors, StoreError>;
    /// Begins a transaction that can wait for locks and sees what others commit meanwhile.
    async fn begin(&self) -> Result<Self::Transaction, StoreError>;
}

/// The statements of a flush, in the order in which they are called.
pub(crate) trait FlushTransaction: TickerTransaction + TradeTransaction {
    async fn lock_partitions(&mut self, topic: &str, partitions: &[i32]) -> Result<(), StoreError>;
    async fn lock_heads(&mut self, symbol_ids: &[i32]) -> Result<(), StoreError>;
    async fn read_offsets(
        &mut self,
        topic: &str,
        partitions: &[i32],
    ) -> Result<Vec<StoredOffset>, StoreError>;
    async fn read_heads(&mut self, symbol_ids: &[i32]) -> Result<Vec<StoredHead>, StoreError>;
    async fn read_ranges(&mut self, symbol_ids: &[i32]) -> Result<Vec<(i32, TradeRange)>, StoreError>;
    async fn read_folds(&mut self, symbol_ids: &[i32]) -> Result<Vec<(i32, Output, Fold)>, StoreError>;
    async fn read_candles(&mut self, windows: &[(i32, CandleKey)]) -> Result<Vec<StoredCandle>, StoreError>;
    async fn read_all_candles(
        &mut self,
        symbol_id: i32,
        interval: Interval,
    ) -> Result<Vec<StoredCandle>, StoreError>;
    async fn write(&mut self, writes: &FlushWrites) -> Result<(), StoreError>;
    /// An error means that the outcome is unknown.
    async fn commit(self) -> Result<(), sqlx::Error>;
}

/// From where rows are read by their time, in microseconds since 1970, UTC, and in which direction.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Reach {
    /// The newest so many before the second time, and from the first on.
    Newest(i64, i64, i64),
    /// All from the first time to before the second.
    Between(i64, i64),
    /// The oldest so many from the first time to before the second.
    Oldest(i64, i64, i64),
}

/// A table that is divided by days where the database can do that.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum DayTable {
    Trades,
    Tickers,
}

impl DayTable {
    pub(crate) const ALL: [Self; 2] = [Self::Trades, Self::Tickers];

    /// The table's name.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Trades => "trades",
            Self::Tickers => "tickers",
        }
    }
}

/// Below which time each output may have been dropped: microseconds since 1970, UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Floors {
    pub(crate) trades_us: i64,
    pub(crate) candles_us: i64,
}

impl Floors {
    /// Below which nothing is kept at all.
    pub(crate) fn lowest_us(self) -> i64 {
        self.trades_us.min(self.candles_us)
    }
}

impl Default for Floors {
    fn default() -> Self {
        Self { trades_us: i64::MIN, candles_us: i64::MIN }
    }
}

/// A row of `partition_offsets`.
#[derive(Clone, Debug)]
pub(crate) struct StoredOffset {
    pub(crate) partition: i32,
    pub(crate) topic_id: String,
    pub(crate) next_offset: i64,
}

/// A row of `symbol_head`.
#[derive(Clone, Debug)]
pub(crate) struct StoredHead {
    pub(crate) symbol_id: i32,
    pub(crate) market: Market,
    pub(crate) span: SeriesSpan,
    pub(crate) version: i64,
    pub(crate) trades_held: i64,
    pub(crate) last_trade: Option<LastTrade>,
    pub(crate) max_inversion_us: i64,
    /// What speaks for it that the ids began anew.
    pub(crate) restart: Option<IdRestart>,
    pub(crate) totals: TradeTotals,
    /// How far the exchange's own ids go, as far as it was asked.
    pub(crate) exchange: Option<HeadState>,
}

/// A row of `candles`.
#[derive(Clone, Debug)]
pub(crate) struct StoredCandle {
    pub(crate) symbol_id: i32,
    pub(crate) interval: Interval,
    pub(crate) candle: market::Candle,
}
