//! Candles and the exchange's own: which windows are to be compared, and what came of it.

use std::fmt;

use market::{Candle, Fixed8, Interval, Market};
use serde::{Deserialize, Serialize};

use crate::error::StoreError;

/// A complete window that has not been compared as it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckableWindow {
    /// First microsecond, since 1970, UTC.
    pub open_time_us: i64,
    /// The version of its candle; 0 where it has none.
    pub version: i64,
    /// What it holds.
    pub content: WindowContent,
}

/// What a window holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WindowContent {
    /// Trades.
    Candle(Candle),
    /// No trade, which is proven.
    Empty {
        /// The close before it.
        close: Fixed8,
        /// The last trade id before it.
        last_trade_id: i64,
    },
}

/// What a comparison with the exchange's own candle found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckVerdict {
    /// Every field is equal.
    Equal,
    /// Ours follows from the exchange's own trades; its candle does not.
    ExchangeDiffers,
    /// Ours does not follow from the exchange's own trades.
    OursWrong,
}

impl CheckVerdict {
    /// The word that tables, metrics and JSON use.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Equal => "equal",
            Self::ExchangeDiffers => "exchange_differs",
            Self::OursWrong => "ours_wrong",
        }
    }

    pub(crate) fn named(name: &str) -> Result<Self, StoreError> {
        [Self::Equal, Self::ExchangeDiffers, Self::OursWrong]
            .into_iter()
            .find(|verdict| verdict.as_str() == name)
            .ok_or_else(|| StoreError::Unexpected(format!("candle_checks.verdict is {name:?}")))
    }
}

/// A field that is not equal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// Its name, as the columns of `candles` have it.
    pub field: String,
    /// What we have.
    pub ours: String,
    /// What the exchange has; nothing where it has no candle at all.
    pub theirs: Option<String>,
}

impl fmt::Display for Difference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { field, ours, theirs } = self;
        match theirs {
            Some(theirs) => write!(formatter, "{field} is {ours}, the exchange has {theirs}"),
            None => write!(formatter, "{field} is {ours}, the exchange has no candle"),
        }
    }
}

/// What came of comparing one window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CandleCheck {
    /// First microsecond of the window, since 1970, UTC.
    pub open_time_us: i64,
    /// The version that was compared.
    pub version: i64,
    /// What was found.
    pub verdict: CheckVerdict,
    /// What is not equal.
    pub differences: Vec<Difference>,
}

/// How many windows have a verdict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckCount {
    /// The market.
    pub market: Market,
    /// The interval.
    pub interval: Interval,
    /// The verdict.
    pub verdict: CheckVerdict,
    /// How many.
    pub windows: i64,
}

/// A candle that is not equal to the exchange's, and is still the one that was compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DifferingCandle {
    /// The market.
    pub market: Market,
    /// The interval.
    pub interval: Interval,
    /// First microsecond of the window, since 1970, UTC.
    pub open_time_us: i64,
    /// Who is wrong.
    pub verdict: CheckVerdict,
    /// What is not equal.
    pub differences: Vec<Difference>,
}

/// Differences as the column holds them.
pub(crate) fn differences_to_json(differences: &[Difference]) -> Result<String, StoreError> {
    serde_json::to_string(differences).map_err(|error| StoreError::Unexpected(error.to_string()))
}

pub(crate) fn differences_of_json(text: &str) -> Result<Vec<Difference>, StoreError> {
    serde_json::from_str(text)
        .map_err(|error| StoreError::Unexpected(format!("candle_checks.differences: {error}")))
}

/// A window's content from the columns of its candle, if it has one, and of the candle before it.
pub(crate) fn content_of(
    candle: Option<Candle>,
    before: Option<(Fixed8, i64)>,
) -> Result<WindowContent, StoreError> {
    match (candle, before) {
        (Some(candle), _) => Ok(WindowContent::Candle(candle)),
        (None, Some((close, last_trade_id))) => Ok(WindowContent::Empty { close, last_trade_id }),
        (None, None) => {
            Err(StoreError::Unexpected("a window without a candle and none before it".to_owned()))
        }
    }
}
