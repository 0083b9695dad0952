//! Lengths of time as people write them.

use std::time::Duration;

use jiff::SignedDuration;

/// Reads `5m` or `1h 30m`; longer than zero.
pub(crate) fn positive_duration(text: &str) -> Result<Duration, String> {
    let duration: SignedDuration = text.parse().map_err(|error| format!("{error}"))?;
    let duration = Duration::try_from(duration).map_err(|_| "must not be negative".to_owned())?;
    if duration.is_zero() { Err("must be longer than zero".to_owned()) } else { Ok(duration) }
}
