//! What can go wrong between us and a database. No text here carries a URL or a credential.

use std::io::ErrorKind;

use jiff::Timestamp;
use market::Market;
use sqlx::migrate::MigrateError;
use sqlx::mysql::MySqlDatabaseError;

/// Why the database could not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The URL cannot be used; the text says why without repeating it.
    #[error("the database URL is not usable: {0}")]
    InvalidUrl(String),
    /// The certificates or keys for TLS cannot be used; the text says which without repeating them.
    #[error("the TLS settings of the database are not usable: {0}")]
    InvalidPem(&'static str),
    /// The schema name is not one that needs no quoting.
    #[error(
        "schema {0:?} must be a letter or underscore followed by at most 62 letters, digits and underscores, in lower case"
    )]
    InvalidSchemaName(String),
    /// The schema name is that of a database of the server itself (MySQL).
    #[error("schema {0:?} is a database of the server's own: choose another name")]
    ReservedSchemaName(String),
    /// The schema was migrated by a newer program.
    #[error("the schema is at version {found}, this program knows only version {known}: use a newer program")]
    SchemaTooNew {
        /// The version that the schema has.
        found: i64,
        /// The newest version that this program knows.
        known: i64,
    },
    /// A migration could not be applied.
    #[error("cannot migrate the schema")]
    Migration(#[source] MigrateError),
    /// A statement failed, or the database could not be reached.
    #[error("cannot {action}")]
    Database {
        /// What was attempted.
        action: &'static str,
        /// What the database or the connection said.
        source: sqlx::Error,
    },
    /// A series has begun since it was last looked, or the schema was made anew.
    #[error("the numbering of a symbol's trades has changed hands: it is looked at again")]
    SeriesMoved,
    /// The database holds something that this program cannot have written.
    #[error("the database holds an unexpected value: {0}")]
    Unexpected(String),
}

impl StoreError {
    /// For `map_err`: names what was attempted.
    pub(crate) fn database(action: &'static str) -> impl FnOnce(sqlx::Error) -> Self {
        move |source| Self::Database { action, source }
    }

    /// Whether the database, or the proof of who it is, turned us down: another password, another CA, no such database, no
    /// right to what was asked. A worker waits for that to be mended; who tells people how things are should not call it an outage.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        let (Self::Database { source, .. }
        | Self::Migration(MigrateError::Execute(source) | MigrateError::ExecuteMigration(source, _))) = self
        else {
            return false;
        };
        match source {
            sqlx::Error::Tls(_) => true,
            // What rustls makes of a certificate that it does not trust.
            sqlx::Error::Io(error) => error.kind() == ErrorKind::InvalidData,
            // Invalid authorization, no such database, no such right (PostgreSQL's appendix A).
            sqlx::Error::Database(error) => {
                let is_refused = |code: &str| code.starts_with("28") || ["3D000", "42501"].contains(&code);
                error.code().is_some_and(|code| is_refused(&code))
                    || mysql_number(source).is_some_and(|number| MYSQL_REFUSALS.contains(&number))
            }
            _ => false,
        }
    }

    /// Whether the database has understood a statement and will refuse it the next time too.
    #[must_use]
    pub fn is_refused_statement(&self) -> bool {
        let (Self::Database { source, .. }
        | Self::Migration(MigrateError::Execute(source) | MigrateError::ExecuteMigration(source, _))) = self
        else {
            return false;
        };
        is_refused_statement(source)
    }

    /// Whether trying again may help without anybody changing anything.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Database { source, .. } => !matches!(source, sqlx::Error::Configuration(_)),
            Self::Migration(MigrateError::Execute(source) | MigrateError::ExecuteMigration(source, _)) => {
                !is_refused_statement(source)
            }
            Self::SeriesMoved => true,
            _ => false,
        }
    }
}

/// No right to the database, to a table, a column, a procedure or a statement; a user who may do nothing from here.
const MYSQL_REFUSALS: [u16; 7] = [1044, 1130, 1142, 1143, 1227, 1370, 1698];

/// What MySQL calls the error: its SQLSTATE is the same for many.
pub(crate) fn mysql_number(error: &sqlx::Error) -> Option<u16> {
    let error = error.as_database_error()?.try_downcast_ref::<MySqlDatabaseError>()?;
    Some(error.number())
}

/// Whether the database has understood a statement and will refuse it the next time too: PostgreSQL's classes for what may pass are
/// those of connections, transactions, resources, locks, operators and the system (appendix A of its manual), and MySQL's
/// for all that has no class of its own is HY.
fn is_refused_statement(error: &sqlx::Error) -> bool {
    const MAY_PASS: [&str; 7] = ["08", "40", "53", "55", "57", "58", "HY"];
    let sqlx::Error::Database(error) = error else { return false };
    error.code().is_some_and(|code| code.len() == 5 && !MAY_PASS.iter().any(|class| code.starts_with(class)))
}

/// Why a flush did not commit, or may not have. The batch and everything cached is then worthless:
/// read the positions again and go on from there.
#[derive(Debug, thiserror::Error)]
pub enum FlushError {
    /// Somebody else moved the position, or it was set back.
    #[error("partition {partition} was expected at offset {expected}, the database has {found:?}")]
    OffsetMoved {
        /// The partition.
        partition: i32,
        /// What the batch began with.
        expected: i64,
        /// What the database has; nothing where the row is gone or belongs to another topic id.
        found: Option<i64>,
    },
    /// The connection failed during the commit: it may have happened or not.
    #[error("the outcome of the commit is unknown")]
    OutcomeUnknown(#[source] sqlx::Error),
    /// The transaction failed before its commit and was rolled back.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl FlushError {
    /// Every reason that there is.
    pub const REASONS: [&str; 3] = ["offset_moved", "outcome_unknown", "database_error"];

    /// The word that metrics and the status use.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::OffsetMoved { .. } => "offset_moved",
            Self::OutcomeUnknown(_) => "outcome_unknown",
            Self::Store(_) => "database_error",
        }
    }
}

/// Why windows were not removed. Nothing was changed then.
#[derive(Debug, thiserror::Error)]
pub enum RebuildError {
    /// No trade of it was ever held.
    #[error("{0} has no trades here")]
    UnknownMarket(Market),
    /// Nobody would ask for what is removed.
    #[error("nobody has asked the exchange yet how far the ids of {0} go: the repairer has to run first")]
    NotProbed(Market),
    /// What is removed would never come back: its ids mean other trades.
    #[error(
        "the exchange numbers the trades of {0} anew and has those of before no more: nothing can be rebuilt"
    )]
    IdsRestarted(Market),
    /// What was asked for is not kept any more.
    #[error("candles before {} are no longer kept", time_text(*.0))]
    BelowFloor(i64),
    /// The candles do not tell which ids are theirs.
    #[error(
        "from {} to {} there are no candles that tell which trade ids are theirs: give another range",
        time_text(*.from_us),
        time_text(*.to_us)
    )]
    NoCleanEdge {
        /// How far back was looked: microseconds since 1970, UTC.
        from_us: i64,
        /// How far on.
        to_us: i64,
    },
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a series did not begin. Nothing was changed then.
#[derive(Debug, thiserror::Error)]
pub enum SeriesError {
    /// Trades from then on are held under the ids of before.
    #[error("trades before {} are held under the ids of before: a series begins then at the earliest", time_text(*.earliest_us))]
    BeforeNewestTrade {
        /// When it can begin: microseconds since 1970, UTC.
        earliest_us: i64,
    },
    /// A later one has begun already.
    #[error("the last series began at {}: another one begins after it", time_text(*.from_us))]
    BeforeLastSeries {
        /// When it began: microseconds since 1970, UTC.
        from_us: i64,
    },
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Microseconds since 1970, UTC, as people write them.
#[must_use]
pub fn time_text(time_us: i64) -> String {
    Timestamp::from_microsecond(time_us).map_or_else(|_| format!("{time_us} us"), |time| time.to_string())
}
