//! A length of time as users write it: a whole number and one unit, such as `7d`.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// A length of time such as `30s`, `15m`, `12h` or `7d`; positive, without sign or fraction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Period(String);

impl Period {
    /// The length in seconds, or `None` where the text is not such a length.
    #[must_use]
    pub fn seconds(&self) -> Option<i64> {
        let (count, unit) = self.0.split_at_checked(self.0.len().checked_sub(1)?)?;
        if count.is_empty() || !count.bytes().all(|digit| digit.is_ascii_digit()) {
            return None;
        }
        let unit_seconds = match unit {
            "s" => 1,
            "m" => 60,
            "h" => 3_600,
            "d" => 86_400,
            _ => return None,
        };
        count.parse::<i64>().ok()?.checked_mul(unit_seconds).filter(|seconds| *seconds > 0)
    }
}

impl From<&str> for Period {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl fmt::Display for Period {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl JsonSchema for Period {
    fn schema_name() -> Cow<'static, str> {
        "Period".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "minLength": 2, "maxLength": 10, "pattern": "^[1-9][0-9]*[smhd]$"})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_a_number_with_one_unit() {
        for (text, seconds) in [("45s", 45), ("15m", 900), ("12h", 43_200), ("7d", 604_800)] {
            assert_eq!(Period::from(text).seconds(), Some(seconds), "{text}");
        }
    }

    #[test]
    fn refuses_signs_fractions_zero_and_overflow() {
        for text in ["-7d", "+7d", "0d", "1.5h", "d", "", "7", "7w", "7 d", "7µ", "999999999999999999d"] {
            assert_eq!(Period::from(text).seconds(), None, "{text:?}");
        }
    }
}
