//! A JSON string that is borrowed from the text it stands in.

use std::borrow::Cow;

use serde::Deserialize;

/// Borrowed unless escapes stand in it. A type of its own, since serde copies what stands in an
/// `Option<Cow<str>>`.
#[derive(Debug, Deserialize)]
#[serde(transparent)]
pub(crate) struct JsonText<'a>(#[serde(borrow)] pub(crate) Cow<'a, str>);
