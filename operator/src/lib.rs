//! The controller: it brings every CryptoPipeline, step by step, to what its spec says.
//!
//! [`reconcile::plan`] and [`reconcile::describe`] are pure and know nothing of a cluster: `cryptopipeline run`
//! uses them as they are, with an [`reconcile::observe::Observed`] of its own.

pub mod by_uid;
pub mod controller;
pub mod context;
pub mod copies;
pub mod leader;
pub mod metrics;
pub mod reconcile;
