//! The words that stand in the columns of every database.

use jiff::civil::Date;
use market::{Interval, Output, RangeKind};

use crate::error::StoreError;

pub(crate) const fn kind_name(kind: RangeKind) -> &'static str {
    match kind {
        RangeKind::Held => "held",
        RangeKind::Void => "void",
        RangeKind::Refused => "refused",
    }
}

pub(crate) fn kind_of(name: &str) -> Result<RangeKind, StoreError> {
    match name {
        "held" => Ok(RangeKind::Held),
        "void" => Ok(RangeKind::Void),
        "refused" => Ok(RangeKind::Refused),
        other => Err(StoreError::Unexpected(format!("trade_ranges.kind is {other:?}"))),
    }
}

/// The columns `output` and `interval_s`; the trades have no interval, which is 0 there.
pub(crate) const fn output_names(output: Output) -> (&'static str, i32) {
    match output {
        Output::Trades => ("trades", 0),
        Output::Candles(interval) => ("candles", interval.seconds()),
    }
}

pub(crate) fn output_of(name: &str, interval_s: i32) -> Result<Output, StoreError> {
    match name {
        "trades" => Ok(Output::Trades),
        "candles" => Ok(Output::Candles(interval_of(interval_s)?)),
        other => Err(StoreError::Unexpected(format!("folds.output is {other:?}"))),
    }
}

pub(crate) fn interval_of(seconds: i32) -> Result<Interval, StoreError> {
    Interval::from_seconds(seconds).map_err(|error| StoreError::Unexpected(error.to_string()))
}

pub(crate) fn day_of(text: &str) -> Result<Date, StoreError> {
    text.parse().map_err(|error| StoreError::Unexpected(format!("history_files.day is {text:?}: {error}")))
}
