//! An amount of bytes as Kubernetes writes it: a whole number and a unit, such as `100Gi`.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// An amount of bytes such as `500M`, `100Gi` or `2T`; positive, without sign or fraction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ByteSize(String);

impl ByteSize {
    /// The amount, or `None` where the text is not one.
    #[must_use]
    pub fn bytes(&self) -> Option<i64> {
        let digits = self.0.bytes().take_while(u8::is_ascii_digit).count();
        let (count, unit) = self.0.split_at(digits);
        let power = |letters: &str| {
            letters.find(unit.chars().next()?).and_then(|power| u32::try_from(power + 1).ok())
        };
        let unit_bytes = match unit.len() {
            0 => 1,
            1 => 1_000_i64.checked_pow(power("kMGT")?)?,
            2 if unit.ends_with('i') => 1_024_i64.checked_pow(power("KMGT")?)?,
            _ => return None,
        };
        count.parse::<i64>().ok()?.checked_mul(unit_bytes).filter(|bytes| *bytes > 0)
    }
}

impl From<&str> for ByteSize {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl JsonSchema for ByteSize {
    fn schema_name() -> Cow<'static, str> {
        "ByteSize".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "minLength": 1, "maxLength": 18, "pattern": "^([1-9][0-9]{0,17}|[1-9][0-9]{0,5}([kMGT]|[KMGT]i))$"})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_a_number_with_a_unit_or_none() {
        for (text, bytes) in [
            ("5", 5),
            ("500M", 500_000_000),
            ("1k", 1_000),
            ("1Ki", 1_024),
            ("100Gi", 107_374_182_400),
            ("2T", 2_000_000_000_000),
        ] {
            assert_eq!(ByteSize::from(text).bytes(), Some(bytes), "{text}");
        }
    }

    #[test]
    fn refuses_signs_fractions_zero_and_overflow() {
        for text in ["", "-1", "0", "0Gi", "1.5Gi", "Gi", "1K", "1ki", "1GB", "1µ", "5P"] {
            assert_eq!(ByteSize::from(text).bytes(), None, "{text:?}");
        }
    }
}
