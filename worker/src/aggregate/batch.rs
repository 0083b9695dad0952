//! From records to a batch: decodes, sorts by market, and keeps the position of every partition.

use std::collections::BTreeMap;
use std::hash::Hash;
use std::time::Instant;

use hashbrown::{Equivalent, HashMap};
use market::{Market, Record, Ticker, TickerRecord, Trade};
use store::{FlushBatch, MarketBatch, PartitionPosition, PartitionProgress, TickerBatch, UnreadableRecord};

use super::batch_trace::BatchTrace;
use crate::record::{Content, DecodedRecord, RecordError, decode_value};

/// One record as the broker gave it.
#[derive(Clone, Copy, Debug)]
pub(super) struct RawRecord<'a> {
    pub(super) partition: i32,
    pub(super) offset: i64,
    pub(super) key_bytes: usize,
    pub(super) value: Option<&'a [u8]>,
}

/// What became of a record that was to be added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Added {
    /// It is in the batch.
    Yes,
    /// Its partition was given up, or its position was passed already: it is none of ours.
    NotOurs,
    /// Offsets between the position and this record did not come.
    Gap {
        /// The position.
        expected: i64,
    },
}

/// Records that one flush will commit.
#[derive(Debug)]
pub(super) struct TakenBatch {
    pub(super) batch: FlushBatch,
    /// Keys and values of its records together.
    pub(super) bytes: usize,
    /// Exchange's event time of its first and its last record, microseconds since 1970.
    pub(super) event_times_us: Option<(i64, i64)>,
    pub(super) trace: BatchTrace,
}

/// The records read since the last batch was taken, and where reading goes on.
#[derive(Debug)]
pub(super) struct BatchBuilder {
    topic: String,
    topic_id: String,
    partitions: BTreeMap<i32, PartitionProgress>,
    indexes: HashMap<Market, usize>,
    markets: Vec<MarketBatch>,
    /// Samples come once a second and market: nothing is made ready for the next ones.
    tickers: HashMap<Market, Vec<TickerRecord>>,
    /// Index of the market of the last record: the next one is often of the same.
    last_market: usize,
    records: usize,
    bytes: usize,
    begun: Option<Instant>,
    event_times_us: Option<(i64, i64)>,
    /// Of the records that are traced.
    pub(super) trace: BatchTrace,
}

impl BatchBuilder {
    pub(super) fn new(topic: String, topic_id: String) -> Self {
        Self {
            topic,
            topic_id,
            partitions: BTreeMap::new(),
            indexes: HashMap::new(),
            markets: Vec::new(),
            tickers: HashMap::new(),
            last_market: 0,
            records: 0,
            bytes: 0,
            begun: None,
            event_times_us: None,
            trace: BatchTrace::default(),
        }
    }

    /// Goes on in these partitions from these positions.
    pub(super) fn assign(&mut self, positions: &[PartitionPosition]) {
        for position in positions {
            let expected_offset = position.next_offset;
            let progress = PartitionProgress {
                partition: position.partition,
                expected_offset,
                next_offset: expected_offset,
                ..PartitionProgress::default()
            };
            self.partitions.insert(position.partition, progress);
        }
    }

    /// Gives these partitions up. Call it with an empty batch: take it first.
    pub(super) fn revoke(&mut self, partitions: &[i32]) {
        self.partitions.retain(|partition, _| !partitions.contains(partition));
    }

    /// The partitions that are ours, ascending.
    pub(super) fn assigned(&self) -> Vec<i32> {
        self.partitions.keys().copied().collect()
    }

    /// Where reading goes on, by partition.
    pub(super) fn positions(&self) -> impl Iterator<Item = (i32, i64)> {
        self.partitions.values().map(|progress| (progress.partition, progress.next_offset))
    }

    /// How many records are in the batch.
    pub(super) fn records(&self) -> usize {
        self.records
    }

    /// When the first record of the batch was added.
    pub(super) fn begun(&self) -> Option<Instant> {
        self.begun
    }

    /// Adds a record; one that is neither a trade nor a price sample becomes an unreadable one.
    pub(super) fn add(&mut self, record: RawRecord<'_>) -> Added {
        let Some(progress) = self.partitions.get_mut(&record.partition) else { return Added::NotOurs };
        if record.offset < progress.next_offset {
            return Added::NotOurs;
        }
        if record.offset > progress.next_offset {
            return Added::Gap { expected: progress.next_offset };
        }
        progress.next_offset += 1;
        progress.records_read += 1;
        let value = record.value.unwrap_or_default();
        match decode_value(value) {
            Ok(decoded) => self.add_decoded(&record, &decoded),
            Err(error) => {
                let reason = error.reason();
                progress.unreadable.push(UnreadableRecord {
                    offset: record.offset,
                    reason,
                    payload: value.to_vec(),
                });
                if let RecordError::Refused(refused, _) = error {
                    let Market { venue, symbol } = &refused.market;
                    let name = MarketName { venue, symbol };
                    self.batch_of(&name).refused.push(refused.trade);
                }
            }
        }
        self.records += 1;
        self.bytes += record.key_bytes + value.len();
        self.begun.get_or_insert_with(Instant::now);
        Added::Yes
    }

    /// Moves the position of a partition over offsets that the broker does not have any more.
    pub(super) fn skip_to(&mut self, partition: i32, offset: i64) {
        if let Some(progress) = self.partitions.get_mut(&partition) {
            progress.offsets_skipped += offset - progress.next_offset;
            progress.next_offset = offset;
        }
    }

    fn add_decoded(&mut self, record: &RawRecord<'_>, decoded: &DecodedRecord<'_>) {
        let name = MarketName { venue: &decoded.venue, symbol: &decoded.symbol };
        match &decoded.content {
            Content::Trade(trade) => self.add_trade(record, &name, *trade),
            Content::Ticker(ticker) => self.add_ticker(record, &name, **ticker),
        }
    }

    fn add_trade(&mut self, record: &RawRecord<'_>, name: &MarketName<'_>, trade: Trade) {
        let RawRecord { partition, offset, .. } = *record;
        self.batch_of(name).records.push(Record { trade, partition, offset });
        let event_time_us = trade.event_time_us;
        let first_us = self.event_times_us.map_or(event_time_us, |(first_us, _)| first_us);
        self.event_times_us = Some((first_us, event_time_us));
    }

    fn add_ticker(&mut self, record: &RawRecord<'_>, name: &MarketName<'_>, ticker: Ticker) {
        let RawRecord { partition, offset, .. } = *record;
        let record = TickerRecord { ticker, partition, offset };
        match self.tickers.get_mut(name) {
            Some(records) => records.push(record),
            None => drop(self.tickers.insert(Market::new(name.venue, name.symbol), vec![record])),
        }
    }

    fn batch_of(&mut self, name: &MarketName<'_>) -> &mut MarketBatch {
        if !self.markets.get(self.last_market).is_some_and(|batch| name.equivalent(&batch.market)) {
            self.last_market = self.indexes.get(name).copied().unwrap_or_else(|| {
                let market = Market::new(name.venue, name.symbol);
                self.indexes.insert(market.clone(), self.markets.len());
                self.markets.push(MarketBatch { market, records: Vec::new(), refused: Vec::new() });
                self.markets.len() - 1
            });
        }
        &mut self.markets[self.last_market]
    }

    /// The batch so far, if anything was read; reading goes on behind it.
    pub(super) fn take(&mut self) -> Option<TakenBatch> {
        let mut partitions = Vec::new();
        for progress in self.partitions.values_mut() {
            if progress.next_offset > progress.expected_offset {
                let next = PartitionProgress {
                    partition: progress.partition,
                    expected_offset: progress.next_offset,
                    next_offset: progress.next_offset,
                    ..PartitionProgress::default()
                };
                partitions.push(std::mem::replace(progress, next));
            }
        }
        if partitions.is_empty() {
            return None;
        }
        let has_any = |batch: &&mut MarketBatch| !batch.records.is_empty() || !batch.refused.is_empty();
        let moved = self.markets.iter_mut().filter(has_any).map(|batch| {
            // The next batch is most likely about as large.
            let room = Vec::with_capacity(batch.records.len());
            MarketBatch {
                market: batch.market.clone(),
                records: std::mem::replace(&mut batch.records, room),
                refused: std::mem::take(&mut batch.refused),
            }
        });
        let batch = FlushBatch {
            topic: self.topic.clone(),
            topic_id: self.topic_id.clone(),
            partitions,
            markets: moved.collect(),
            tickers: self.tickers.drain().map(|(market, records)| TickerBatch { market, records }).collect(),
        };
        self.records = 0;
        self.begun = None;
        Some(TakenBatch {
            batch,
            bytes: std::mem::take(&mut self.bytes),
            event_times_us: self.event_times_us.take(),
            trace: std::mem::take(&mut self.trace),
        })
    }

    /// Throws the records read since the last batch away, and the positions with them.
    pub(super) fn clear(&mut self) {
        let _ = self.take();
        self.partitions.clear();
    }
}

/// A market by borrowed names, so that finding one allocates nothing.
#[derive(Hash)]
struct MarketName<'a> {
    venue: &'a str,
    symbol: &'a str,
}

impl Equivalent<Market> for MarketName<'_> {
    fn equivalent(&self, market: &Market) -> bool {
        self.symbol == market.symbol && self.venue == market.venue
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::RecordEncoder;

    fn position(partition: i32, next_offset: i64) -> PartitionPosition {
        PartitionPosition {
            partition,
            topic_id: "topic-1".into(),
            next_offset,
            records_read: 0,
            trades_new: 0,
            trades_duplicate: 0,
            records_set_aside: 0,
        }
    }

    fn builder(positions: &[PartitionPosition]) -> BatchBuilder {
        let mut builder = BatchBuilder::new("trades".into(), "topic-1".into());
        builder.assign(positions);
        builder
    }

    fn value(symbol: &str, trade_id: i64) -> Vec<u8> {
        let trade = market::Trade {
            trade_id,
            price: "1".parse().unwrap(),
            quantity: "2".parse().unwrap(),
            trade_time_us: 3,
            event_time_us: 10 + trade_id,
            received_time_us: 5,
            buyer_is_maker: true,
        };
        let mut value = Vec::new();
        RecordEncoder::new(&Market::new("binance", symbol)).encode_value(&trade, &mut value);
        value
    }

    fn record(partition: i32, offset: i64, value: &[u8]) -> RawRecord<'_> {
        RawRecord { partition, offset, key_bytes: 3, value: Some(value) }
    }

    #[test]
    fn records_are_gathered_by_market_and_the_next_batch_goes_on_behind_them() {
        let mut builder = builder(&[position(0, 5), position(1, 0)]);
        let (btc, eth) = (value("BTCUSDT", 1), value("ETHUSDT", 2));
        assert_eq!(builder.add(record(0, 5, &btc)), Added::Yes);
        assert_eq!(builder.add(record(0, 6, &eth)), Added::Yes);
        assert_eq!(builder.add(record(0, 7, &value("BTCUSDT", 3))), Added::Yes);
        let taken = builder.take().unwrap();
        let markets: Vec<_> =
            taken.batch.markets.iter().map(|batch| (batch.market.to_string(), batch.records.len())).collect();
        assert_eq!(markets, [("binance:BTCUSDT".to_owned(), 2), ("binance:ETHUSDT".to_owned(), 1)]);
        assert_eq!(taken.batch.partitions.len(), 1);
        let progress = &taken.batch.partitions[0];
        assert_eq!((progress.expected_offset, progress.next_offset, progress.records_read), (5, 8, 3));
        assert_eq!(taken.bytes, 9 + btc.len() + 2 * eth.len());
        assert_eq!(taken.event_times_us, Some((11, 13)));

        assert!(builder.take().is_none());
        builder.add(record(0, 8, &btc));
        assert_eq!(builder.take().unwrap().batch.partitions[0].expected_offset, 8);
    }

    #[test]
    fn price_samples_are_gathered_beside_the_trades_of_their_market() {
        let mut builder = builder(&[position(0, 0)]);
        let ticker =
            Ticker { sample_time_us: 7, price: "5".parse().unwrap(), day: None, received_time_us: 8 };
        let mut sampled = Vec::new();
        RecordEncoder::new(&Market::new("binance", "BTCUSDT"))
            .encode(&Content::Ticker(Box::new(ticker)), &mut sampled);
        for (offset, value) in [(0, &value("BTCUSDT", 1)), (1, &sampled), (2, &sampled)] {
            assert_eq!(builder.add(record(0, offset, value)), Added::Yes);
        }
        let taken = builder.take().unwrap().batch;
        assert_eq!((taken.markets[0].records.len(), taken.tickers.len()), (1, 1));
        let expected = [1, 2].map(|offset| TickerRecord { ticker, partition: 0, offset });
        assert_eq!(
            (taken.tickers[0].market.to_string().as_str(), &taken.tickers[0].records[..]),
            ("binance:BTCUSDT", &expected[..])
        );
        assert!(builder.take().is_none(), "they are in one batch only");
    }

    #[test]
    fn a_record_that_is_no_trade_is_kept_with_its_reason() {
        let mut builder = builder(&[position(0, 0)]);
        builder.add(record(0, 0, b"{"));
        builder.add(RawRecord { value: None, ..record(0, 1, b"") });
        let taken = builder.take().unwrap().batch;
        let unreadable: Vec<_> =
            taken.partitions[0].unreadable.iter().map(|record| (record.offset, record.reason)).collect();
        assert_eq!(unreadable, [(0, "not_json"), (1, "not_json")]);
        assert!(taken.markets.is_empty());
    }

    #[test]
    fn a_trade_that_cannot_be_held_is_kept_and_refused_by_its_id() {
        let mut builder = builder(&[position(0, 0)]);
        let text =
            String::from_utf8(value("BTCUSDT", 7)).unwrap().replace(r#""price":"1""#, r#""price":"0""#);
        builder.add(record(0, 0, text.as_bytes()));
        let taken = builder.take().unwrap().batch;
        assert_eq!(taken.partitions[0].unreadable[0].reason, "price_not_positive");
        let reason = market::RefusalReason::PriceNotPositive;
        let refused = market::RefusedTrade { trade_id: 7, trade_time_us: 3, reason };
        assert_eq!((taken.markets[0].records.len(), &taken.markets[0].refused[..]), (0, &[refused][..]));
        assert!(builder.take().is_none());
    }

    #[test]
    fn records_of_other_partitions_and_of_the_past_are_left_alone() {
        let mut builder = builder(&[position(0, 5)]);
        assert_eq!(builder.add(record(1, 0, b"{}")), Added::NotOurs);
        assert_eq!(builder.add(record(0, 4, b"{}")), Added::NotOurs);
        assert!(builder.take().is_none());
    }

    #[test]
    fn a_gap_is_told_and_counted_only_once_it_is_accepted() {
        let mut builder = builder(&[position(0, 5)]);
        let btc = value("BTCUSDT", 1);
        assert_eq!(builder.add(record(0, 9, &btc)), Added::Gap { expected: 5 });
        builder.skip_to(0, 9);
        assert_eq!(builder.add(record(0, 9, &btc)), Added::Yes);
        let progress = builder.take().unwrap().batch.partitions.remove(0);
        assert_eq!((progress.expected_offset, progress.next_offset, progress.offsets_skipped), (5, 10, 4));
        assert_eq!(progress.records_read, 1);
    }

    #[test]
    fn what_is_cleared_leaves_no_position_behind() {
        let mut builder = builder(&[position(0, 5)]);
        builder.add(record(0, 5, b"{}"));
        builder.clear();
        assert!(builder.take().is_none() && builder.assigned().is_empty());
    }
}
