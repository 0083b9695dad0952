//! The exactly-once flush and everything else that is asked of a database, one module per database.
//!
//! A [`Flusher`] commits the rows made from a batch, the ledger of trade ids and the Kafka offsets in one
//! transaction. [`Store`] is the rest: migrations, ownership, positions and queries.

use std::time::Duration;

mod checks;
mod compatibility;
mod connection;
mod differences;
mod error;
mod flush;
mod history;
mod hole_watch;
mod json_rows;
mod known_days;
mod ledgers;
mod model;
mod mysql;
mod names;
mod plain_rows;
mod postgres;
mod rebuild;
mod series;
mod sqlite;
#[cfg(test)]
mod tests;
mod unheld;

pub use checks::{
    CandleCheck, CheckCount, CheckVerdict, CheckableWindow, Difference, DifferingCandle, WindowContent,
};
pub use compatibility::{Compatibility, CompatibilityError, CompatibilityViews, WishedViews};
pub use connection::{DatabaseConnection, DatabaseTls};
pub use error::{FlushError, RebuildError, SeriesError, StoreError, time_text};
pub use flush::Flusher;
pub use history::{HistoryStart, HistoryStep, LoadedFile, MOST_HISTORY_TRADES, MarketHistory, TradeChain};
pub use hole_watch::{HoleReport, HoleWatch, LedgerLook, Missing, known_of_hole};
pub use model::{
    CandleQuery, CandleRow, Claim, ConnectOptions, DatabaseRoom, FlushBatch, FlushReport, FlushSettings,
    HeadProbe, HeadState, Hole, MAX_HOLES, MarketBatch, MarketLedger, Owner, PartitionPosition,
    PartitionProgress, RefusedIds, RefusedTrades, Retention, TickerBatch, UnreadableRecord,
};

pub use rebuild::Rebuilt;
pub use series::BegunSeries;
pub use unheld::IdsWithoutTrade;

use connection::Scheme;
use flush::DayTable;
use ledgers::HeadRow;
use market::{Interval, Market, RefusedTrade, TradeRange};
use mysql::MySqlDatabase;
use postgres::PostgresDatabase;
use rebuild::RebuildMode;
use sqlite::SqliteDatabase;

/// The newest schema version that this program knows.
pub const LATEST_SCHEMA_VERSION: i64 = 12;

/// How long the exchange's word of its newest id stands.
pub const PROBE_STANDS: Duration = Duration::from_mins(5);

/// A pipeline's schema in a database. Cheap to clone: clones share one pool.
#[derive(Clone)]
pub struct Store {
    backend: Backend,
}

#[derive(Clone)]
enum Backend {
    Postgres(PostgresDatabase),
    MySql(MySqlDatabase),
    Sqlite(SqliteDatabase),
}

/// Calls the same method of whichever database it is.
macro_rules! on_backend {
    ($store:expr, $database:ident => $call:expr) => {
        match &$store.backend {
            Backend::Postgres($database) => $call,
            Backend::MySql($database) => $call,
            Backend::Sqlite($database) => $call,
        }
    };
}

impl Store {
    /// Connects to `postgres://..`, `mysql://..` (MariaDB too) or `sqlite://PATH`. `schema` names the PostgreSQL schema, which
    /// is a database on MySQL; SQLite has none.
    ///
    /// # Errors
    /// [`StoreError::InvalidUrl`] for another scheme, [`StoreError::Database`] where the database does not answer.
    pub async fn connect(
        connection: &DatabaseConnection,
        schema: &str,
        options: ConnectOptions,
    ) -> Result<Self, StoreError> {
        let backend = match connection.scheme() {
            Some(Scheme::Postgres) => {
                Backend::Postgres(PostgresDatabase::connect(connection, schema, options)?)
            }
            Some(Scheme::MySql) => Backend::MySql(MySqlDatabase::connect(connection, schema, options)?),
            Some(Scheme::Sqlite) => Backend::Sqlite(SqliteDatabase::connect(&connection.url, options)?),
            None => return Err(connection.unknown_scheme()),
        };
        Self::reached(backend).await
    }

    async fn reached(backend: Backend) -> Result<Self, StoreError> {
        let store = Self { backend };
        store.ping().await?;
        Ok(store)
    }

    /// Connects as [`Store::connect`] does, for looking at one schema after the other: by itself at none.
    ///
    /// # Errors
    /// As [`Store::connect`].
    pub async fn connect_to_turn(
        connection: &DatabaseConnection,
        acquire_timeout: Duration,
    ) -> Result<Self, StoreError> {
        let backend = match connection.scheme() {
            Some(Scheme::Postgres) => {
                Backend::Postgres(PostgresDatabase::connect_to_turn(connection, acquire_timeout)?)
            }
            Some(Scheme::MySql) => {
                Backend::MySql(MySqlDatabase::connect_to_turn(connection, acquire_timeout)?)
            }
            Some(Scheme::Sqlite) => {
                let options = ConnectOptions { max_connections: 1, acquire_timeout, create: false };
                Backend::Sqlite(SqliteDatabase::connect(&connection.url, options)?)
            }
            None => return Err(connection.unknown_scheme()),
        };
        Self::reached(backend).await
    }

    /// The same connection, turned to another schema. Whoever looked at the one before must have ended, and where anything
    /// fails, nothing more may be asked of it: it may be another connection by then, which looks at none.
    ///
    /// # Errors
    /// Where the database does not answer, or the name is none of a schema.
    pub async fn turned_to(&self, schema: &str) -> Result<Self, StoreError> {
        let backend = match &self.backend {
            Backend::Postgres(database) => Backend::Postgres(database.turned_to(schema).await?),
            Backend::MySql(database) => Backend::MySql(database.turned_to(schema).await?),
            Backend::Sqlite(database) => Backend::Sqlite(database.clone()),
        };
        Ok(Self { backend })
    }

    /// Whether the database answers.
    ///
    /// # Errors
    /// Why it does not.
    pub async fn ping(&self) -> Result<(), StoreError> {
        on_backend!(self, database => database.ping().await)
    }

    /// Closes all connections of all clones.
    pub async fn close(&self) {
        on_backend!(self, database => database.close().await);
    }

    /// The version that the schema is migrated to; `None` where it was never.
    ///
    /// # Errors
    /// Where the database cannot be read.
    pub async fn schema_version(&self) -> Result<Option<i64>, StoreError> {
        on_backend!(self, database => database.schema_version().await)
    }

    /// Brings the schema to [`LATEST_SCHEMA_VERSION`] under a lock of the database and returns the version.
    ///
    /// # Errors
    /// [`StoreError::SchemaTooNew`] where a newer program has migrated it; nothing is changed then.
    pub async fn migrate(&self) -> Result<i64, StoreError> {
        if let Some(found) = self.schema_version().await?.filter(|found| *found > LATEST_SCHEMA_VERSION) {
            return Err(StoreError::SchemaTooNew { found, known: LATEST_SCHEMA_VERSION });
        }
        on_backend!(self, database => database.migrate().await)?;
        Ok(LATEST_SCHEMA_VERSION)
    }

    /// Whether this program can work with the tables: they are those that it knows, or a newer program has only added to
    /// them. `false` while they are older or not there.
    ///
    /// # Errors
    /// [`StoreError::SchemaTooNew`] where a newer program has changed what this one needs, or where the database cannot be
    /// read.
    pub async fn is_usable(&self) -> Result<bool, StoreError> {
        let Some(found) = self.schema_version().await? else { return Ok(false) };
        if found > LATEST_SCHEMA_VERSION {
            let oldest = on_backend!(self, database => database.oldest_known_version().await)?;
            if oldest > LATEST_SCHEMA_VERSION {
                return Err(StoreError::SchemaTooNew { found, known: LATEST_SCHEMA_VERSION });
            }
        }
        Ok(found >= LATEST_SCHEMA_VERSION)
    }

    /// What of the tables is not as the migrations leave them, in words; nothing of what was added. An SQLite file is nobody
    /// else's to alter: nothing is told of it.
    ///
    /// # Errors
    /// Where the database cannot be read.
    pub async fn differences(&self) -> Result<Vec<String>, StoreError> {
        match &self.backend {
            Backend::Postgres(database) => database.differences().await,
            Backend::MySql(database) => database.differences().await,
            Backend::Sqlite(_) => Ok(Vec::new()),
        }
    }

    /// The database's user that this connects as; SQLite has none.
    ///
    /// # Errors
    /// Where the database cannot be read.
    pub async fn user(&self) -> Result<Option<String>, StoreError> {
        match &self.backend {
            Backend::Postgres(database) => database.user().await.map(Some),
            Backend::MySql(database) => database.user().await.map(Some),
            Backend::Sqlite(_) => Ok(None),
        }
    }

    /// Whether the database's user `role` may do what a worker does.
    ///
    /// # Errors
    /// Where there is no such user, or the database cannot be read.
    pub async fn may_write_rows(&self, role: &str) -> Result<bool, StoreError> {
        match &self.backend {
            Backend::Postgres(database) => database.may_write_rows(role).await,
            Backend::MySql(database) => database.may_write_rows(role).await,
            Backend::Sqlite(_) => Ok(true),
        }
    }

    /// Lets the database's user `role` do what a worker does: read everything and write rows.
    ///
    /// # Errors
    /// Where there is no such user, or the database refuses.
    pub async fn grant_rows(&self, role: &str) -> Result<(), StoreError> {
        match &self.backend {
            Backend::Postgres(database) => database.grant_rows(role).await,
            Backend::MySql(database) => database.grant_rows(role).await,
            Backend::Sqlite(_) => Ok(()),
        }
    }

    /// The pipeline that the schema belongs to.
    ///
    /// # Errors
    /// Where the database cannot be read.
    pub async fn owner(&self) -> Result<Option<Owner>, StoreError> {
        on_backend!(self, database => database.owner().await)
    }

    /// Takes the schema for `claimant` unless it belongs to another pipeline, by uid.
    ///
    /// # Errors
    /// Where the database cannot be read or written.
    pub async fn claim(&self, claimant: &Owner) -> Result<Claim, StoreError> {
        on_backend!(self, database => database.claim(claimant).await)
    }

    /// Hands the schema over from `predecessor` to `successor`, if it still belongs to the former: a pipeline that
    /// is made anew has another uid. Whether that is right is for the caller to judge.
    ///
    /// # Errors
    /// Where the database cannot be written.
    pub async fn hand_over(&self, predecessor: &Owner, successor: &Owner) -> Result<(), StoreError> {
        on_backend!(self, database => database.hand_over(predecessor, successor).await)
    }

    /// Drops the schema, all that it holds and the views that were made of it elsewhere, if it belongs to `owner`; says whether it
    /// did.
    ///
    /// # Errors
    /// Where the database cannot be read or written.
    pub async fn drop_schema(&self, owner: &Owner) -> Result<bool, StoreError> {
        if self.schema_version().await?.is_none() {
            return Ok(false);
        }
        let is_ours = self.owner().await?.is_some_and(|found| found.uid == owner.uid);
        if is_ours {
            on_backend!(self, database => database.drop_schema().await)?;
        }
        Ok(is_ours)
    }

    /// The stored positions of a topic's partitions, ascending.
    ///
    /// # Errors
    /// Where the database cannot be read.
    pub async fn positions(&self, topic: &str) -> Result<Vec<PartitionPosition>, StoreError> {
        on_backend!(self, database => database.positions(topic).await)
    }

    /// The positions to go on from in these partitions. Partitions that are not known begin at offset 0, and
    /// so do all where the topic has another id than before: it was deleted and made anew.
    ///
    /// # Errors
    /// Where the database cannot be read or written.
    pub async fn assign(
        &self,
        topic: &str,
        topic_id: &str,
        partitions: &[i32],
    ) -> Result<Vec<PartitionPosition>, StoreError> {
        on_backend!(self, database => database.assign(topic, topic_id, partitions).await)
    }

    /// What is held and what is missing, by market.
    ///
    /// # Errors
    /// Where the database cannot be read.
    pub async fn ledgers(&self) -> Result<Vec<MarketLedger>, StoreError> {
        self.ledgers_of(|head| !head.has_ended).await
    }

    /// How many samples of prices are held, of all markets.
    ///
    /// # Errors
    /// Where the database cannot be read.
    pub async fn samples_held(&self) -> Result<i64, StoreError> {
        on_backend!(self, database => database.samples_held().await)
    }

    /// Holes of a market below those that its ledger names: with ids below `below_id`, the newest first, `most` of them.
    ///
    /// # Errors
    /// Where the database cannot be read.
    pub async fn older_holes(
        &self,
        market: &Market,
        below_id: i64,
        most: usize,
    ) -> Result<Vec<Hole>, StoreError> {
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        on_backend!(self, database => database.older_holes(market, below_id, most).await)
    }

    /// The ledgers of series that have ended: what is missing there, the exchange has no more.
    ///
    /// # Errors
    /// Where the database cannot be read.
    pub async fn ended_ledgers(&self) -> Result<Vec<MarketLedger>, StoreError> {
        self.ledgers_of(|head| head.has_ended).await
    }

    async fn ledgers_of(&self, is_wanted: fn(&HeadRow) -> bool) -> Result<Vec<MarketLedger>, StoreError> {
        // Heads first: a hole that opens in between is not yet known, which the next look mends.
        let mut heads = on_backend!(self, database => database.heads().await)?;
        heads.retain(is_wanted);
        let holes = on_backend!(self, database => database.holes().await)?;
        let refused = on_backend!(self, database => database.refused().await)?;
        Ok(ledgers::ledgers(heads, holes, refused))
    }

    /// Keeps what the exchange says of its newest trades. `now_us` is the clock of whoever asked, microseconds since
    /// 1970. An answer that lies less than `distance` of the exchange's time after the one before is passed
    /// over, and so is one with a lower id: it lags behind.
    ///
    /// # Errors
    /// Where the database cannot be written.
    pub async fn note_head_probes(
        &self,
        probes: &[HeadProbe],
        now_us: i64,
        distance: Duration,
    ) -> Result<(), StoreError> {
        let distance_us = i64::try_from(distance.as_micros()).unwrap_or(i64::MAX);
        on_backend!(self, database => database.note_head_probes(probes, now_us, distance_us).await)
    }

    /// Enters ids that the exchange says it never gave into the ledger, where they are not accounted for. `void` has
    /// the trade times of the ids just below and above.
    ///
    /// # Errors
    /// Where the database cannot be read or written; trying again is safe.
    pub async fn void(&self, market: &Market, void: IdsWithoutTrade) -> Result<(), StoreError> {
        let range = std::iter::once(void.into());
        on_backend!(self, database => unheld::enter(database, market, range).await)
    }

    /// Enters trades that exist and cannot be held into the ledger, where they are not held after all.
    ///
    /// # Errors
    /// Where the database cannot be read or written; trying again is safe.
    pub async fn refuse(&self, market: &Market, refused: &[RefusedTrade]) -> Result<(), StoreError> {
        let ranges = refused.iter().copied().map(TradeRange::from);
        on_backend!(self, database => unheld::enter(database, market, ranges).await)
    }

    /// The lengths of candles that are kept of `market`, the shortest first.
    ///
    /// # Errors
    /// Where the database cannot be read.
    pub async fn kept_intervals(&self, market: &Market) -> Result<Vec<Interval>, StoreError> {
        on_backend!(self, database => match database.find_symbol(market).await? {
            Some(symbol_id) => database.kept_intervals(symbol_id).await,
            None => Ok(Vec::new()),
        })
    }

    /// When the first candle of `market` and `interval` opens: microseconds since 1970, UTC.
    ///
    /// # Errors
    /// Where the database cannot be read.
    pub async fn first_candle_us(
        &self,
        market: &Market,
        interval: Interval,
    ) -> Result<Option<i64>, StoreError> {
        on_backend!(self, database => match database.find_symbol(market).await? {
            Some(symbol_id) => database.first_candle_us(symbol_id, interval).await,
            None => Ok(None),
        })
    }

    /// The windows between `from_us` and `to_us` (both beginnings of windows) that are complete and have not been compared
    /// with the exchange's own candles as they are now, or were found to differ before `checked_before_us` (microseconds
    /// since 1970), newest first.
    ///
    /// # Errors
    /// Where the database cannot be read.
    pub async fn windows_to_check(
        &self,
        market: &Market,
        interval: Interval,
        from_us: i64,
        to_us: i64,
        checked_before_us: i64,
    ) -> Result<Vec<CheckableWindow>, StoreError> {
        on_backend!(self, database => match database.find_symbol(market).await? {
            Some(symbol_id) => {
                database.windows_to_check(symbol_id, interval, from_us, to_us, checked_before_us).await
            }
            None => Ok(Vec::new()),
        })
    }

    /// Keeps what comparisons found. `now_us` is the wall clock, microseconds since 1970.
    ///
    /// # Errors
    /// Where the database cannot be written; trying again is safe.
    pub async fn note_checks(
        &self,
        market: &Market,
        interval: Interval,
        checks: &[CandleCheck],
        now_us: i64,
    ) -> Result<(), StoreError> {
        on_backend!(self, database => match database.find_symbol(market).await? {
            Some(symbol_id) => database.note_checks(symbol_id, interval, checks, now_us).await,
            None => Ok(()),
        })
    }

    /// How many windows have been compared, by market, interval and verdict. It reads all of them.
    ///
    /// # Errors
    /// Where the database cannot be read.
    pub async fn check_counts(&self) -> Result<Vec<CheckCount>, StoreError> {
        on_backend!(self, database => database.check_counts().await)
    }

    /// The candles that are not equal to the exchange's, those that are wrong here first, then the newest; at most so many.
    ///
    /// # Errors
    /// Where the database cannot be read.
    pub async fn differing_candles(&self, most: i64) -> Result<Vec<DifferingCandle>, StoreError> {
        on_backend!(self, database => database.differing_candles(most).await)
    }

    /// Removes the trades and candles of `market` from `from_us` to `to_us` and their ids from the ledger, so that the
    /// repairer asks the exchange for them again. The range is widened to whole windows of every interval, and further
    /// where ids reach over its edges.
    ///
    /// # Errors
    /// [`RebuildError`]; nothing is changed then, unless the connection failed during the commit.
    pub async fn rebuild(&self, market: &Market, from_us: i64, to_us: i64) -> Result<Rebuilt, RebuildError> {
        self.rebuild_in_mode(market, from_us, to_us, RebuildMode::Remove).await
    }

    /// What [`Store::rebuild`] would remove now. Nothing is changed; flushes of this market wait meanwhile.
    ///
    /// # Errors
    /// [`RebuildError`]
    pub async fn preview_rebuild(
        &self,
        market: &Market,
        from_us: i64,
        to_us: i64,
    ) -> Result<Rebuilt, RebuildError> {
        self.rebuild_in_mode(market, from_us, to_us, RebuildMode::Preview).await
    }

    async fn rebuild_in_mode(
        &self,
        market: &Market,
        from_us: i64,
        to_us: i64,
        mode: RebuildMode,
    ) -> Result<Rebuilt, RebuildError> {
        on_backend!(self, database => match database.find_symbol(market).await? {
            Some(symbol_id) => rebuild::remove(database, market, symbol_id, from_us, to_us, mode).await,
            None => Err(RebuildError::UnknownMarket(market.clone())),
        })
    }

    /// The exchange says that `market` has a trade `trade_id` of `trade_time_us`. Where one with that id is held and is
    /// older, its ids began anew, and that is noted; says whether it is so.
    ///
    /// # Errors
    /// Where the database cannot be read or written.
    pub async fn note_trade_of_exchange(
        &self,
        market: &Market,
        trade_id: i64,
        trade_time_us: i64,
    ) -> Result<bool, StoreError> {
        on_backend!(self, database => match database.find_symbol(market).await? {
            Some(symbol_id) => database.note_restart(symbol_id, trade_id, trade_time_us).await,
            None => Ok(false),
        })
    }

    /// From `since_us` on the trades of `market` are a series of their own, numbered anew. Nothing changes where they
    /// are already.
    ///
    /// # Errors
    /// [`SeriesError`] where trades from then on are held already, or the database fails.
    pub async fn begin_series(&self, market: &Market, since_us: i64) -> Result<(), SeriesError> {
        on_backend!(self, database => series::begin(database, market, since_us).await)
    }

    /// All series that people have begun.
    ///
    /// # Errors
    /// Where the database cannot be read.
    pub async fn begun_series(&self) -> Result<Vec<BegunSeries>, StoreError> {
        on_backend!(self, database => database.begun_series().await)
    }

    /// What is known of the history of `market`.
    ///
    /// # Errors
    /// Where the database cannot be read.
    pub async fn history(&self, market: &Market) -> Result<MarketHistory, StoreError> {
        on_backend!(self, database => database.history(market).await)
    }

    /// From now on the chain of `market` is wished to begin at `start`: every id from there on that is not accounted for
    /// is missing.
    ///
    /// # Errors
    /// Where the database cannot be written.
    pub async fn wish_history(&self, market: &Market, start: HistoryStart) -> Result<(), StoreError> {
        on_backend!(self, database => database.wish_history(market, start).await)
    }

    /// No history of `markets` is wished any more: their chains are wished from where the pipeline began. What is held
    /// stays.
    ///
    /// # Errors
    /// Where the database cannot be written.
    pub async fn retract_history(&self, markets: &[Market]) -> Result<(), StoreError> {
        on_backend!(self, database => database.retract_history(markets).await)
    }

    /// The file of `day` with this hash was read to its end.
    ///
    /// # Errors
    /// Where the database cannot be written.
    pub async fn note_history_file(
        &self,
        market: &Market,
        file: &LoadedFile,
        now_us: i64,
    ) -> Result<(), StoreError> {
        on_backend!(self, database => database.note_history_file(market, file, now_us).await)
    }

    /// The candles that `query` asks for, by market, interval and time. Windows that are proven to have no
    /// trade are among them, with the close before them.
    ///
    /// # Errors
    /// Where the database cannot be read.
    pub async fn candles(&self, query: &CandleQuery) -> Result<Vec<CandleRow>, StoreError> {
        on_backend!(self, database => database.candles(query).await)
    }

    /// Makes ready what the trades and tickers of today and the next day need, so that no flush has to wait for it.
    ///
    /// # Errors
    /// Where the database cannot be written.
    pub async fn prepare_days(&self, now_us: i64) -> Result<(), StoreError> {
        const DAY_US: i64 = 86_400_000_000;
        for table in DayTable::ALL {
            let mut times_us = [now_us, now_us.saturating_add(DAY_US)].into_iter();
            on_backend!(self, database => database.make_days(table, &mut times_us).await)?;
        }
        Ok(())
    }

    /// Moves the floors up to what `retention` keeps, first, and then drops what lies below them.
    ///
    /// # Errors
    /// Where the database cannot be written; trying again is safe.
    pub async fn retain(&self, retention: Retention, now_us: i64) -> Result<(), StoreError> {
        on_backend!(self, database => database.retain(retention, now_us).await)
    }

    /// How much room the database takes, and since when what is kept in it. Of other users' transactions only those that this one may see count.
    ///
    /// # Errors
    /// Where the database cannot be read.
    pub async fn room(&self) -> Result<DatabaseRoom, StoreError> {
        let floors = on_backend!(self, database => database.read_floors().await)?;
        let since = |floor_us| Some(floor_us).filter(|floor_us| *floor_us > i64::MIN);
        let room = on_backend!(self, database => database.room().await)?;
        Ok(DatabaseRoom {
            trades_kept_since_us: since(floors.trades_us),
            candles_kept_since_us: since(floors.candles_us),
            ..room
        })
    }
}
