//! The candle lengths that a manifest may name.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A candle length that divides a day, so that windows never straddle midnight UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum CandleInterval {
    /// One second.
    #[serde(rename = "1s")]
    OneSecond,
    /// Five seconds.
    #[serde(rename = "5s")]
    FiveSeconds,
    /// Fifteen seconds.
    #[serde(rename = "15s")]
    FifteenSeconds,
    /// Thirty seconds.
    #[serde(rename = "30s")]
    ThirtySeconds,
    /// One minute.
    #[serde(rename = "1m")]
    OneMinute,
    /// Three minutes.
    #[serde(rename = "3m")]
    ThreeMinutes,
    /// Five minutes.
    #[serde(rename = "5m")]
    FiveMinutes,
    /// Fifteen minutes.
    #[serde(rename = "15m")]
    FifteenMinutes,
    /// Thirty minutes.
    #[serde(rename = "30m")]
    ThirtyMinutes,
    /// One hour.
    #[serde(rename = "1h")]
    OneHour,
    /// Two hours.
    #[serde(rename = "2h")]
    TwoHours,
    /// Four hours.
    #[serde(rename = "4h")]
    FourHours,
    /// Six hours.
    #[serde(rename = "6h")]
    SixHours,
    /// Eight hours.
    #[serde(rename = "8h")]
    EightHours,
    /// Twelve hours.
    #[serde(rename = "12h")]
    TwelveHours,
    /// One day.
    #[serde(rename = "1d")]
    OneDay,
}

impl CandleInterval {
    /// The name as it is written in a manifest, such as `1m`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::OneSecond => "1s",
            Self::FiveSeconds => "5s",
            Self::FifteenSeconds => "15s",
            Self::ThirtySeconds => "30s",
            Self::OneMinute => "1m",
            Self::ThreeMinutes => "3m",
            Self::FiveMinutes => "5m",
            Self::FifteenMinutes => "15m",
            Self::ThirtyMinutes => "30m",
            Self::OneHour => "1h",
            Self::TwoHours => "2h",
            Self::FourHours => "4h",
            Self::SixHours => "6h",
            Self::EightHours => "8h",
            Self::TwelveHours => "12h",
            Self::OneDay => "1d",
        }
    }
}
