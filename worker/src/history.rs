//! History: what is wished from before the pipeline began. Whole days come from the exchange's daily files, straight into
//! the store and in small steps; what no file has, the seam to the live trades above all, is a hole in the ledger like any
//! other and left to the repairer.
//!
//! One [`SourceHistory`] a source finds out where a symbol's trades begin (`plan`), goes through its days, the oldest first
//! (`days`), loads their files (`load`) and tells how far it is (`progress`). Meanwhile the repairer leaves alone what is
//! claimed in `claims`. Nothing has to be remembered but which files were loaded: the ledger says what is missing.

mod claims;
mod days;
mod load;
mod plan;
mod progress;
mod source;

pub(crate) use claims::HistoryClaims;
pub(crate) use source::SourceHistory;
