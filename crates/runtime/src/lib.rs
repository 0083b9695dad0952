//! What every program shares: how the broker is reached, how a program is watched, and how it ends.

pub mod backoff;
pub mod broker_health;
pub mod broker_reminder;
pub mod error_chain;
pub mod health;
pub mod kafka;
pub mod kafka_admin;
pub mod metrics;
pub mod shutdown;
pub mod telemetry;
pub mod tls;
