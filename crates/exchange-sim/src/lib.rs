//! A scripted exchange: the WebSocket and REST protocol of Binance Spot over recorded or generated trade logs,
//! with faults on request.
//!
//! It is developed against the exchange's documentation and observed behaviour, since our adapter is developed
//! against it. In reading order: [`log`] holds the trades, `playback` moves through them, `klines` and `ticker`
//! sum them up, `websocket`, `rest` and `dumps` tell clients, [`control`] makes things go wrong, [`simulator`]
//! starts it all.

mod config;
mod connections;
pub mod control;
mod dumps;
mod exchange;
mod faults;
mod klines;
pub mod log;
mod playback;
mod rest;
pub mod simulator;
mod sliding_window;
mod ticker;
mod time_unit;
mod websocket;

pub use config::{Limits, SimulatorConfig};
pub use control::Command;
pub use dumps::DumpFault;
pub use faults::FalseFrame;
pub use log::{Trade, TradeLog};
pub use playback::{Speed, Start, SymbolStatus};
pub use simulator::{Running, Simulator};
