//! The workers against a simulated exchange and librdkafka's in-process broker.

mod aggregate;
mod broker;
mod exchange;
mod produce;
mod producer;
mod program;
mod proxy;
