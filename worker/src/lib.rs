//! The data plane: `produce` brings an exchange's trades to Kafka, `aggregate` makes rows of them, `repair` brings
//! what was missed and compares candles with the exchange's own (`verify`), `history` brings what was before.

pub mod produce;

pub mod aggregate;

pub mod repair;

mod history;

pub mod credentials;
mod database;
pub mod verify;
pub mod exchange;
pub mod flow_gate;
pub mod record;

pub mod amount;
mod json_text;
pub mod outputs;
#[cfg(feature = "test-switches")]
mod test_switches;
mod utc_day;
