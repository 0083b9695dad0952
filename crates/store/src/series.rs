//! Series: one market, numbered anew by its exchange, has several rows of `symbol_head`, and each trade belongs to one of
//! them by its time.
//!
//! Nobody but a person can say when a series begins. Until one does, what contradicts the ids held is set aside, by the
//! plan of a flush or by the word of the exchange itself.

use hashbrown::HashMap;
use market::{Market, Record, RefusedTrade};

use crate::error::{SeriesError, StoreError};
use crate::flush::{FlushDatabase, FlushTransaction, StoredHead};
use crate::model::MarketBatch;

/// The times whose trades belong to a series: microseconds since 1970, UTC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct SeriesSpan {
    /// The first of them; `None` in the first series.
    pub(crate) from_us: Option<i64>,
    /// The first that belongs to the next series; `None` in the current one.
    pub(crate) until_us: Option<i64>,
}

impl SeriesSpan {
    fn contains(self, time_us: i64) -> bool {
        self.from_us.is_none_or(|from_us| from_us <= time_us)
            && self.until_us.is_none_or(|until_us| time_us < until_us)
    }
}

/// A row of `symbol_head`: one series of one market.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Series {
    pub(crate) symbol_id: i32,
    pub(crate) market: Market,
    pub(crate) span: SeriesSpan,
}

/// A series that a person has begun.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BegunSeries {
    /// The market.
    pub market: Market,
    /// Its trades from this time on are numbered anew: microseconds since 1970, UTC.
    pub since_us: i64,
}

/// The part of a market's batch that belongs to one series.
pub(crate) struct SeriesBatch {
    pub(crate) symbol_id: i32,
    pub(crate) market: Market,
    pub(crate) span: SeriesSpan,
    pub(crate) records: Vec<Record>,
    pub(crate) refused: Vec<RefusedTrade>,
}

/// What a flusher knows of series.
#[derive(Debug, Default)]
pub(crate) struct SeriesOfMarkets(HashMap<Market, Vec<Series>>);

impl SeriesOfMarkets {
    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    pub(crate) fn knows(&self, market: &Market) -> bool {
        self.0.contains_key(market)
    }

    pub(crate) fn learn(&mut self, series: Vec<Series>) {
        for series in series {
            self.0.entry(series.market.clone()).or_default().push(series);
        }
    }

    /// The batch by series. Nearly every market has only one.
    pub(crate) fn divide(&self, batch: MarketBatch) -> Vec<SeriesBatch> {
        let MarketBatch { market, records, refused } = batch;
        let of_series = |series: &Series, records, refused| SeriesBatch {
            symbol_id: series.symbol_id,
            market: market.clone(),
            span: series.span,
            records,
            refused,
        };
        match self.0.get(&market).map(Vec::as_slice) {
            None => Vec::new(),
            Some([only]) => vec![of_series(only, records, refused)],
            Some(several) => several
                .iter()
                .map(|series| {
                    let records =
                        records.iter().filter(|record| series.span.contains(record.trade.trade_time_us));
                    let refused = refused.iter().filter(|trade| series.span.contains(trade.trade_time_us));
                    of_series(series, records.copied().collect(), refused.copied().collect())
                })
                .filter(|batch| !batch.records.is_empty() || !batch.refused.is_empty())
                .collect(),
        }
    }
}

/// When the series behind the newest trade held can begin: no trade held is later than the newest one by more than the
/// largest step back in time.
pub(crate) const fn earliest_series(newest_us: i64, max_inversion_us: i64) -> i64 {
    newest_us + max_inversion_us + 1
}

/// The statement of a new series beside those of a flush.
pub(crate) trait SeriesTransaction: FlushTransaction {
    /// Ends the series of `symbol_id` at `since_us` and adds the one that begins then.
    async fn end_series(&mut self, symbol_id: i32, since_us: i64) -> Result<(), StoreError>;
}

/// A transaction that has locked the current series of `market`, and what is stored of it.
pub(crate) async fn lock_current<D: FlushDatabase>(
    database: &D,
    market: &Market,
) -> Result<(D::Transaction, StoredHead), StoreError> {
    let symbol_ids = database.symbol_ids(std::slice::from_ref(market)).await?;
    let mut transaction = database.begin().await?;
    transaction.lock_heads(&symbol_ids).await?;
    match transaction.read_heads(&symbol_ids).await?.pop() {
        Some(head) if head.span.until_us.is_none() => Ok((transaction, head)),
        // It has ended since it was looked up, or the schema was made anew.
        _ => Err(StoreError::SeriesMoved),
    }
}

/// Begins a series of `market`, unless it has begun already.
pub(crate) async fn begin<D>(database: &D, market: &Market, since_us: i64) -> Result<(), SeriesError>
where
    D: FlushDatabase<Transaction: SeriesTransaction>,
{
    let (mut transaction, head) = lock_current(database, market).await?;
    match head.span.from_us {
        Some(from_us) if from_us == since_us => return Ok(()),
        Some(from_us) if from_us > since_us => return Err(SeriesError::BeforeLastSeries { from_us }),
        _ => {}
    }
    let newest_us = head.last_trade.map(|newest| newest.trade_time_us);
    let earliest_us = newest_us.map(|newest_us| earliest_series(newest_us, head.max_inversion_us));
    if let Some(earliest_us) = earliest_us.filter(|earliest_us| since_us < *earliest_us) {
        return Err(SeriesError::BeforeNewestTrade { earliest_us });
    }
    transaction.end_series(head.symbol_id, since_us).await?;
    transaction.commit().await.map_err(StoreError::database("begin a series"))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use market::Trade;

    use super::*;

    fn record(trade_time_us: i64) -> Record {
        let trade = Trade {
            trade_id: trade_time_us,
            price: "1".parse().unwrap(),
            quantity: "1".parse().unwrap(),
            trade_time_us,
            event_time_us: trade_time_us,
            received_time_us: trade_time_us,
            buyer_is_maker: false,
        };
        Record { trade, partition: 0, offset: 0 }
    }

    #[test]
    fn every_trade_belongs_to_the_series_of_its_time() {
        let market = Market::new("binance", "BTCUSDT");
        let series = |symbol_id, from_us, until_us| Series {
            symbol_id,
            market: market.clone(),
            span: SeriesSpan { from_us, until_us },
        };
        let mut known = SeriesOfMarkets::default();
        known.learn(vec![
            series(3, None, Some(10)),
            series(7, Some(10), Some(20)),
            series(9, Some(20), None),
        ]);
        let divided = |times: &[i64]| -> Vec<(i32, Vec<i64>)> {
            let records = times.iter().copied().map(record).collect();
            let batch = MarketBatch { market: market.clone(), records, refused: Vec::new() };
            let times =
                |batch: &SeriesBatch| batch.records.iter().map(|one| one.trade.trade_time_us).collect();
            known.divide(batch).iter().map(|batch| (batch.symbol_id, times(batch))).collect()
        };
        assert_eq!(
            divided(&[i64::MIN, 9, 10, 19, 20, i64::MAX]),
            [(3, vec![i64::MIN, 9]), (7, vec![10, 19]), (9, vec![20, i64::MAX])]
        );
        assert_eq!(divided(&[25]), [(9, vec![25])]);
    }
}
