//! Errors of the REST interface, numbered and worded as the exchange does.

use serde_json::Value;

/// `{"code":..,"msg":..}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ApiError {
    code: i32,
    message: String,
}

impl ApiError {
    fn new(code: i32, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    pub(super) fn unknown() -> Self {
        Self::new(-1000, "An unknown error occurred while processing the request.")
    }

    pub(super) fn too_much_weight(limit: u32) -> Self {
        Self::new(
            -1003,
            format!(
                "Too much request weight used; current limit is {limit} request weight per 1 MINUTE. \
                 Please use WebSocket Streams for live updates to avoid polling the API."
            ),
        )
    }

    pub(super) fn banned(until_ms: i64) -> Self {
        Self::new(
            -1003,
            format!(
                "Way too much request weight used; IP banned until {until_ms}. \
                 Please use WebSocket Streams for live updates to avoid bans."
            ),
        )
    }

    pub(super) fn illegal_characters(name: &str, legal: &str) -> Self {
        Self::new(-1100, format!("Illegal characters found in parameter '{name}'; legal range is '{legal}'."))
    }

    pub(super) fn duplicate(name: &str) -> Self {
        Self::new(-1101, format!("Duplicate values for parameter '{name}'."))
    }

    pub(super) fn mandatory(name: &str) -> Self {
        Self::new(-1102, format!("Mandatory parameter '{name}' was not sent, was empty/null, or malformed."))
    }

    pub(super) fn unread(read: usize, sent: usize) -> Self {
        Self::new(
            -1104,
            format!("Not all sent parameters were read; read '{read}' parameter(s) but was sent '{sent}'."),
        )
    }

    pub(super) fn empty(name: &str) -> Self {
        Self::new(-1105, format!("Parameter '{name}' was empty."))
    }

    pub(super) fn invalid_interval() -> Self {
        Self::new(-1120, "Invalid interval.")
    }

    pub(super) fn invalid_symbol() -> Self {
        Self::new(-1121, "Invalid symbol.")
    }

    pub(super) fn invalid_combination() -> Self {
        Self::new(-1128, "Combination of optional parameters invalid.")
    }

    pub(super) fn invalid_value(name: &str) -> Self {
        Self::new(-1130, format!("Data sent for parameter '{name}' is not valid."))
    }

    pub(super) fn repeated_symbol() -> Self {
        Self::new(-1151, "Symbol is present multiple times in the list.")
    }

    pub(super) fn symbol_status_mismatch() -> Self {
        Self::new(-1220, "The symbol's status does not match the requested symbolStatus.")
    }

    /// The body of the answer.
    pub(super) fn body(&self) -> String {
        format!(r#"{{"code":{},"msg":{}}}"#, self.code, Value::from(self.message.as_str()))
    }

    #[cfg(test)]
    pub(super) fn code(&self) -> i32 {
        self.code
    }
}
