//! The data plane: `produce` brings an exchange's trades to Kafka, `aggregate` makes rows of them.

pub mod amount;
mod json_text;
pub mod record;
