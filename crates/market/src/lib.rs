//! The pure heart of the pipeline: trades, candles, the ledger of trade ids, and the step that turns a
//! batch and what is stored into what is to be written. No I/O, no clock, no floating point.

mod fixed;
mod trade;
mod interval;

pub use fixed::{Fixed, Fixed8, Fixed16, Overflow, ParseFixedError};
pub use interval::{Interval, InvalidInterval};
pub use trade::{Market, Trade};
