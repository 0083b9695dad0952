//! The exchange's WebSocket market streams.
//!
//! [`upgrade`] turns a request into a connection, [`connection`] runs it: what the client says goes to
//! [`requests`], what the market does comes from [`subscriptions`] as [`frames`].

mod connection;
mod frames;
mod heartbeat;
mod outbox;
mod requests;
mod stream_name;
mod subscriptions;
mod symbol_cursor;
mod timed_stream;
mod upgrade;

pub(crate) use upgrade::routes;
