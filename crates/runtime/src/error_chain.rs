//! An error with all its causes, for places that show one line: logs, `/status`, conditions.

use std::error::Error;

/// `error` and its causes, from the outside in, joined by colons.
#[must_use]
pub fn error_chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        // Some libraries repeat their cause in their own message.
        if !text.ends_with(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("the file cannot be read")]
    struct Outer(#[source] Middle);

    #[derive(Debug, thiserror::Error)]
    #[error("reading failed: {0}")]
    struct Middle(#[source] std::fmt::Error);

    #[test]
    fn names_every_cause_once() {
        let text = error_chain(&Outer(Middle(std::fmt::Error)));
        assert_eq!(text, format!("the file cannot be read: reading failed: {}", std::fmt::Error));
    }
}
