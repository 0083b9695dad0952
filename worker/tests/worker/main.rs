//! The workers against a simulated exchange and librdkafka's in-process broker.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, clippy::print_stderr)]

mod aggregate;
mod broker;
mod exchange;
mod history;
mod lab;
mod produce;
mod producer;
mod program;
mod proxy;
mod repair;
mod tickers;
mod verify;
