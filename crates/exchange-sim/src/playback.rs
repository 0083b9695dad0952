//! Playing the logs: one market for all who look at it, whatever they have subscribed to.
//!
//! A symbol's market is its log and how far it has been played. At a given speed the [`Clock`] decides that and
//! the [`player`] moves all symbols on; as fast as the reader takes, the connections do. Connections read the
//! log by themselves, each from its own place, so a slow reader holds nothing up and needs no buffer.

mod clock;
pub(crate) mod player;
mod sessions;
mod stretch;
mod symbol_market;
mod view;

pub(crate) use clock::{Clock, wall_now_us};
pub use clock::{Speed, Start};
pub(crate) use sessions::clocks_ahead_us;
pub(crate) use stretch::{Stretch, stretch_at};
pub use symbol_market::SymbolStatus;
pub(crate) use symbol_market::{Placement, SymbolMarket};
pub(crate) use view::PlayedView;
