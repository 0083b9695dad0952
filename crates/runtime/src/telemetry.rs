//! Logs to standard error: filtered by `RUST_LOG`, as text for a person and as JSON for a collector.

use std::env;
use std::io::{IsTerminal, stderr};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;
use tracing_subscriber::util::TryInitError;

const FILTER_ENV: &str = "RUST_LOG";
const FORMAT_ENV: &str = "LOG_FORMAT";

/// Why logging cannot start.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// `RUST_LOG` is no filter.
    #[error("{FILTER_ENV}={value:?} is not a log filter such as info or warn,worker=debug")]
    InvalidFilter {
        /// What it holds.
        value: String,
        /// What is wrong with it.
        source: ParseError,
    },
    /// `LOG_FORMAT` is neither `text` nor `json`.
    #[error("{FORMAT_ENV}={0:?} is neither text nor json")]
    InvalidFormat(String),
    /// Somebody has set a subscriber already.
    #[error("logging has been started already")]
    AlreadyStarted(#[source] TryInitError),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Text,
    Json,
}

/// Starts logging to standard error. `default_filter` holds where `RUST_LOG` is not set; the format is
/// `LOG_FORMAT` (`text` or `json`), by default text on a terminal and JSON elsewhere.
///
/// # Errors
/// [`TelemetryError`] where one of the two variables cannot be understood.
pub fn init(default_filter: &str) -> Result<(), TelemetryError> {
    let filter = parse_filter(env::var(FILTER_ENV).ok(), default_filter)?;
    let format = parse_format(env::var(FORMAT_ENV).ok().as_deref(), stderr().is_terminal())?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(stderr);
    let subscriber: Box<dyn tracing::Subscriber + Send + Sync> = match format {
        Format::Text => Box::new(builder.with_ansi(stderr().is_terminal()).finish()),
        Format::Json => Box::new(builder.json().flatten_event(true).finish()),
    };
    tracing_subscriber::util::SubscriberInitExt::try_init(subscriber).map_err(TelemetryError::AlreadyStarted)
}

fn parse_filter(value: Option<String>, default_filter: &str) -> Result<EnvFilter, TelemetryError> {
    let value = value.filter(|value| !value.is_empty()).unwrap_or_else(|| default_filter.to_owned());
    EnvFilter::builder().parse(&value).map_err(|source| TelemetryError::InvalidFilter { value, source })
}

fn parse_format(value: Option<&str>, is_terminal: bool) -> Result<Format, TelemetryError> {
    match value {
        Some("text") => Ok(Format::Text),
        Some("json") => Ok(Format::Json),
        None | Some("") => Ok(if is_terminal { Format::Text } else { Format::Json }),
        Some(other) => Err(TelemetryError::InvalidFormat(other.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_format_follows_the_variable_and_else_the_terminal() {
        assert_eq!(parse_format(None, true).unwrap(), Format::Text);
        assert_eq!(parse_format(None, false).unwrap(), Format::Json);
        assert_eq!(parse_format(Some("text"), false).unwrap(), Format::Text);
        assert_eq!(parse_format(Some("json"), true).unwrap(), Format::Json);
        let error = parse_format(Some("xml"), true).unwrap_err();
        assert_eq!(error.to_string(), "LOG_FORMAT=\"xml\" is neither text nor json");
    }

    #[test]
    fn an_unset_or_empty_filter_means_the_default() {
        for value in [None, Some(String::new())] {
            assert_eq!(parse_filter(value, "warn").unwrap().to_string(), "warn");
        }
        assert!(parse_filter(Some("worker=loud".to_owned()), "info").is_err());
    }
}
