//! Views of the tables under the names that people's queries know from the systems that this one replaces: their SQL stands in
//! `compatibility/`. They are made as wished and dropped when they are wished no longer, and nothing else of those names is touched.

use std::collections::BTreeSet;

use crate::error::StoreError;
use crate::{Backend, Store};

/// A system whose tables are shown as views.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Compatibility {
    /// `moving_averages`: the mean of sampled prices, by minute.
    MovingAverages,
    /// `real_time_prices`, `aggregated_prices_1min`, `aggregated_prices_5min` and `latest_prices`.
    Ohlc,
    /// `trades` and `trade_aggregates`.
    Trades,
}

/// The views that are wished; by default none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WishedViews {
    /// The schema that they are to stand in, the pipeline's own or another one.
    pub schema: String,
    /// Whose tables they are to look like.
    pub systems: BTreeSet<Compatibility>,
    /// Whether the prices are those of samples, not of trades.
    pub of_tickers: bool,
}

/// The views that there are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CompatibilityViews {
    dialect: Option<Dialect>,
    noted: Vec<NotedView>,
    /// The names of the indexes that serve them.
    indexes: BTreeSet<String>,
}

impl CompatibilityViews {
    /// Whether they are there as wished, and no others.
    #[must_use]
    pub fn are(&self, wished: &WishedViews) -> bool {
        let Some(dialect) = self.dialect else { return wished.systems.is_empty() };
        self.changes_to(dialect, wished).is_empty()
    }

    fn changes_to(&self, dialect: Dialect, wished: &WishedViews) -> ViewChanges {
        let mut changes = ViewChanges::default();
        let is_noted = |note: &NotedView, name: &str| note.schema == wished.schema && note.name == name;
        let mut wished_names = BTreeSet::new();
        let mut wished_indexes = BTreeSet::new();
        for statement in dialect.statements(wished) {
            match statement {
                Statement::Index(name, text) => {
                    if wished_indexes.insert(name) && !self.indexes.contains(name) {
                        changes.indexes_to_make.push(text);
                    }
                }
                Statement::View(view) => {
                    wished_names.insert(view.name);
                    let stands = |note: &NotedView| {
                        is_noted(note, view.name)
                            && note.now == Relation::OurView
                            && note.definition == view.definition
                    };
                    if !self.noted.iter().any(stands) {
                        changes.to_make.push(view);
                    }
                }
            }
        }
        let is_wished =
            |note: &NotedView| note.schema == wished.schema && wished_names.contains(note.name.as_str());
        changes.to_drop = self.noted.iter().filter(|note| !is_wished(note)).cloned().collect();
        let unwished = self.indexes.iter().filter(|index| !wished_indexes.contains(index.as_str()));
        changes.indexes_to_drop = unwished.cloned().collect();
        changes
    }
}

/// Why the views are not as wished.
#[derive(Debug, thiserror::Error)]
pub enum CompatibilityError {
    /// Something is there that was not made here, and it may be somebody's data.
    #[error(
        "{schema}.{name} is there and is not of this pipeline: rename or drop it, or name another schema for the views"
    )]
    NameTaken {
        /// The schema.
        schema: String,
        /// The name of the view that is wished.
        name: &'static str,
    },
    /// Somebody is making them already: an index of many trades takes its time, and its maker may have been given up on.
    #[error("they are being made: an index for them is built in the database, or somebody else is at it")]
    UnderWay,
    /// SQLite: nobody else's queries know a file.
    #[error("an SQLite file is not shown under other names")]
    NotInFiles,
    /// A statement failed, or the database could not be reached.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Whose SQL it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Dialect {
    Postgres,
    MySql,
}

/// A view that was noted when it was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NotedView {
    pub(crate) schema: String,
    pub(crate) name: String,
    /// The text of its query.
    pub(crate) definition: String,
    /// What has that name now.
    pub(crate) now: Relation,
}

/// What has the name of a view.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Relation {
    /// Nothing.
    None,
    /// A view of this schema's tables, that was made here.
    OurView,
    /// Something else.
    Foreign,
}

/// A view that is wished.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct View {
    pub(crate) name: &'static str,
    pub(crate) definition: &'static str,
}

/// What is done to the views, and to the indexes that make them fast.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct ViewChanges {
    /// What is somebody else's by now is only forgotten.
    pub(crate) to_drop: Vec<NotedView>,
    pub(crate) to_make: Vec<View>,
    /// Their names.
    pub(crate) indexes_to_drop: Vec<String>,
    /// Their statements.
    pub(crate) indexes_to_make: Vec<&'static str>,
}

impl ViewChanges {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl Store {
    /// The views that there are of these tables under other names.
    ///
    /// # Errors
    /// Where the database cannot be read.
    pub async fn compatibility_views(&self) -> Result<CompatibilityViews, StoreError> {
        match &self.backend {
            Backend::Postgres(database) => Ok(CompatibilityViews {
                dialect: Some(Dialect::Postgres),
                noted: database.noted_views().await?,
                indexes: database.existing_indexes(&Dialect::Postgres.index_names()).await?,
            }),
            Backend::MySql(database) => Ok(CompatibilityViews {
                dialect: Some(Dialect::MySql),
                noted: database.noted_views().await?,
                indexes: BTreeSet::new(),
            }),
            Backend::Sqlite(_) => Ok(CompatibilityViews::default()),
        }
    }

    /// Makes the views that are wished, and drops those that are no longer. A schema for them is made where it is not there.
    /// While an index is built for them nothing is flushed.
    ///
    /// # Errors
    /// [`CompatibilityError`]; some may have been made then, and the next call goes on.
    pub async fn make_compatibility_views(&self, wished: &WishedViews) -> Result<(), CompatibilityError> {
        let views = self.compatibility_views().await?;
        let Some(dialect) = views.dialect else {
            return if wished.systems.is_empty() { Ok(()) } else { Err(CompatibilityError::NotInFiles) };
        };
        let changes = views.changes_to(dialect, wished);
        for view in &changes.to_make {
            if self.relation(&wished.schema, view.name).await? == Relation::Foreign {
                return Err(CompatibilityError::NameTaken { schema: wished.schema.clone(), name: view.name });
            }
        }
        let is_done = match &self.backend {
            Backend::Postgres(database) => database.change_views(&wished.schema, &changes).await?,
            Backend::MySql(database) => database.change_views(&wished.schema, &changes).await?,
            Backend::Sqlite(_) => true,
        };
        if is_done { Ok(()) } else { Err(CompatibilityError::UnderWay) }
    }

    async fn relation(&self, schema: &str, name: &str) -> Result<Relation, StoreError> {
        match &self.backend {
            Backend::Postgres(database) => database.relation(schema, name).await,
            Backend::MySql(database) => database.relation(schema, name).await,
            Backend::Sqlite(_) => Ok(Relation::None),
        }
    }
}

/// A statement of the files in `compatibility/`.
#[derive(Clone, Copy, Debug)]
enum Statement {
    View(View),
    Index(&'static str, &'static str),
}

impl Dialect {
    fn statements(self, wished: &WishedViews) -> Vec<Statement> {
        let texts = wished.systems.iter().map(|system| self.text(*system, wished.of_tickers));
        texts.flat_map(statements_of).collect()
    }

    const fn text(self, system: Compatibility, of_tickers: bool) -> &'static str {
        match (self, system, of_tickers) {
            (Self::Postgres, Compatibility::MovingAverages, _) => {
                include_str!("../compatibility/postgres/moving_averages.sql")
            }
            (Self::Postgres, Compatibility::Ohlc, true) => {
                include_str!("../compatibility/postgres/ohlc_of_tickers.sql")
            }
            (Self::Postgres, Compatibility::Ohlc, false) => {
                include_str!("../compatibility/postgres/ohlc_of_trades.sql")
            }
            (Self::Postgres, Compatibility::Trades, _) => {
                include_str!("../compatibility/postgres/trades.sql")
            }
            (Self::MySql, Compatibility::MovingAverages, _) => {
                include_str!("../compatibility/mysql/moving_averages.sql")
            }
            (Self::MySql, Compatibility::Ohlc, true) => {
                include_str!("../compatibility/mysql/ohlc_of_tickers.sql")
            }
            (Self::MySql, Compatibility::Ohlc, false) => {
                include_str!("../compatibility/mysql/ohlc_of_trades.sql")
            }
            (Self::MySql, Compatibility::Trades, _) => include_str!("../compatibility/mysql/trades.sql"),
        }
    }

    /// Of every index that serves some view.
    fn index_names(self) -> Vec<&'static str> {
        let systems = [Compatibility::MovingAverages, Compatibility::Ohlc, Compatibility::Trades];
        let texts = systems
            .into_iter()
            .flat_map(|system| [true, false].map(|of_tickers| self.text(system, of_tickers)));
        texts
            .flat_map(statements_of)
            .filter_map(|statement| match statement {
                Statement::Index(name, _) => Some(name),
                Statement::View(_) => None,
            })
            .collect()
    }
}

fn statements_of(text: &'static str) -> impl Iterator<Item = Statement> {
    text.split(";\n").filter_map(|statement| {
        // Behind the comments that stand over it.
        let statement = &statement[statement.find("CREATE ")?..];
        if let Some(view) = statement.strip_prefix("CREATE VIEW ") {
            let (name, definition) = view.split_once(" AS\n")?;
            return Some(Statement::View(View { name, definition }));
        }
        let (name, _) = statement.strip_prefix("CREATE INDEX IF NOT EXISTS ")?.split_once(' ')?;
        Some(Statement::Index(name, statement))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVERYTHING: [Compatibility; 3] =
        [Compatibility::MovingAverages, Compatibility::Ohlc, Compatibility::Trades];

    fn names(dialect: Dialect, of_tickers: bool) -> Vec<&'static str> {
        let systems = BTreeSet::from(EVERYTHING);
        let statements =
            dialect.statements(&WishedViews { schema: "public".to_owned(), systems, of_tickers });
        let views = statements.iter().filter_map(|statement| match statement {
            Statement::View(view) => Some(view.name),
            Statement::Index(..) => None,
        });
        views.collect()
    }

    #[test]
    fn every_database_and_feed_has_the_same_views() {
        let expected = [
            "moving_averages",
            "real_time_prices",
            "aggregated_prices_1min",
            "aggregated_prices_5min",
            "latest_prices",
            "trades",
            "trade_aggregates",
        ];
        for dialect in [Dialect::Postgres, Dialect::MySql] {
            for of_tickers in [true, false] {
                assert_eq!(names(dialect, of_tickers), expected, "{dialect:?}");
            }
        }
    }

    #[test]
    fn no_statement_of_the_files_is_overlooked() {
        for dialect in [Dialect::Postgres, Dialect::MySql] {
            for system in EVERYTHING {
                for of_tickers in [true, false] {
                    let text = dialect.text(system, of_tickers);
                    assert_eq!(statements_of(text).count(), text.matches("CREATE ").count(), "{text}");
                    assert_eq!(statements_of(text).count(), text.matches(";\n").count(), "{text}");
                }
            }
        }
    }
}
