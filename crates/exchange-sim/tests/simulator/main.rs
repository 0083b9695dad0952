//! The simulator from outside: an in-process exchange, a WebSocket and an HTTP client.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test ends at the first surprise, and says openly what it cannot do"
)]

mod common;
mod dumps;
mod faults;
mod limits;
mod recordings;
mod rest;
mod restarts;
mod streams;
