//! Which holes of the ledger count, from the last looks at broker and database.

use jiff::Timestamp;
use store::LedgerLook;

pub use store::{HoleReport, HoleWatch, Missing};

use super::observe::{Observed, Reading};

/// Takes in the last looks and tells what counts at `now`. Where the database could not be read, nothing is known and
/// nothing is forgotten.
pub fn count_holes(watch: &mut HoleWatch, observed: &Observed, now: Timestamp) -> Option<HoleReport> {
    let Reading::Known { value: schema, at: read_at } = &observed.schema else { return None };
    let ends = match &observed.topic {
        Reading::Known { value: Some(topic), at } => Some((topic.end_offsets.as_slice(), *at)),
        _ => None,
    };
    let look = LedgerLook { ledgers: &schema.ledgers, positions: &schema.positions, read_at: *read_at, ends };
    Some(watch.update(&look, now))
}
