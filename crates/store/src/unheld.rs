//! Ids of which no trade is held: entered into the ledger under the same lock as a flush. Either the exchange never gave
//! them, or their trades cannot be held.

use std::ops::RangeInclusive;

use market::{Market, RangeChanges, RangeKind, TradeRange, TradeRanges};

use crate::error::StoreError;
use crate::flush::{FlushDatabase, FlushTransaction, FlushWrites, MarketWrite};
use crate::series::lock_current;

/// Ids without a trade, and the trades around them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct IdsWithoutTrade {
    /// The ids.
    pub ids: RangeInclusive<i64>,
    /// Time of the trade just below: microseconds since 1970, UTC.
    pub below_us: i64,
    /// Time of the trade just above: microseconds since 1970, UTC.
    pub above_us: i64,
}

impl From<IdsWithoutTrade> for TradeRange {
    fn from(void: IdsWithoutTrade) -> Self {
        Self {
            first_id: *void.ids.start(),
            last_id: *void.ids.end(),
            kind: RangeKind::Void,
            first_time_us: void.below_us,
            last_time_us: void.above_us,
        }
    }
}

/// Enters what of `ranges` is not accounted for, or less strongly. The version moves as with every change.
pub(crate) async fn enter<D: FlushDatabase>(
    database: &D,
    market: &Market,
    ranges: impl Iterator<Item = TradeRange>,
) -> Result<(), StoreError> {
    let (mut transaction, head) = lock_current(database, market).await?;
    let stored = transaction.read_ranges(&[head.symbol_id]).await?;
    let mut ledger: TradeRanges = stored.into_iter().map(|(_, range)| range).collect();
    let mut changes = RangeChanges::default();
    for range in ranges {
        ledger.insert(range, &mut changes);
    }
    let writes = FlushWrites::of_market(MarketWrite::of_ledger(head, changes));
    transaction.write(&writes).await?;
    transaction.commit().await.map_err(StoreError::database("enter ids into the ledger"))
}
