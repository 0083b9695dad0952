//! The words that stand in the columns of every database, and the names of schemas.

use jiff::civil::Date;
use market::{Interval, Output, RangeKind, RefusalReason};

use crate::error::StoreError;

/// The columns `kind` and `reason`.
pub(crate) const fn kind_names(kind: RangeKind) -> (&'static str, Option<&'static str>) {
    match kind {
        RangeKind::Held => ("held", None),
        RangeKind::Void => ("void", None),
        RangeKind::Refused(reason) => ("refused", Some(reason.as_str())),
    }
}

pub(crate) fn kind_of(name: &str, reason: Option<&str>) -> Result<RangeKind, StoreError> {
    match (name, reason) {
        ("held", None) => Ok(RangeKind::Held),
        ("void", None) => Ok(RangeKind::Void),
        ("refused", Some(reason)) => reason_of(reason).map(RangeKind::Refused),
        other => Err(StoreError::Unexpected(format!("trade_ranges.kind and reason are {other:?}"))),
    }
}

pub(crate) fn reason_of(name: &str) -> Result<RefusalReason, StoreError> {
    let reason = RefusalReason::ALL.into_iter().find(|reason| reason.as_str() == name);
    reason.ok_or_else(|| StoreError::Unexpected(format!("trade_ranges.reason is {name:?}")))
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

/// Refuses what would need quotes.
pub(crate) fn check_schema_name(schema: &str) -> Result<(), StoreError> {
    let is_plain = |character: char| character.is_ascii_lowercase() || character == '_';
    let valid = schema.len() <= 63
        && schema.starts_with(is_plain)
        && schema.chars().all(|character| is_plain(character) || character.is_ascii_digit());
    if valid { Ok(()) } else { Err(StoreError::InvalidSchemaName(schema.to_owned())) }
}
