//! A JSON string that is borrowed from the text it stands in.

use std::borrow::Cow;

use serde::{Deserialize, Deserializer, de};
use serde_json::value::RawValue;

/// Borrowed unless escapes stand in it. A type of its own, since serde copies what stands in an
/// `Option<Cow<str>>`.
#[derive(Debug, Deserialize)]
#[serde(transparent)]
pub(crate) struct JsonText<'a>(#[serde(borrow)] pub(crate) Cow<'a, str>);

/// A decimal as it is written, in quotes or not: a number is never read as a float.
#[derive(Debug)]
pub(crate) struct JsonDecimal<'a>(pub(crate) Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for JsonDecimal<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <&RawValue>::deserialize(deserializer)?.get();
        match text.as_bytes() {
            [b'"', inner @ .., b'"'] if !inner.contains(&b'\\') => {
                Ok(Self(Cow::Borrowed(&text[1..text.len() - 1])))
            }
            [b'"', ..] => {
                serde_json::from_str(text).map(|JsonText(text)| Self(text)).map_err(de::Error::custom)
            }
            [b'-' | b'0'..=b'9', ..] => Ok(Self(Cow::Borrowed(text))),
            _ => Err(de::Error::custom(format_args!("{text} is no decimal"))),
        }
    }
}
