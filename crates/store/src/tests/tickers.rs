//! Price samples: known by their time, counted once, in candles that are a function of what is held.

use market::{RollingDay, Ticker, TickerRecord};

use super::database::{MINUTE_US, NOW_US, START_US, Sender, TestDatabase, market, trades};
use crate::{FlushReport, Retention, TickerBatch};

const DAY_US: i64 = 86_400_000_000;

/// A sample at so many seconds after [`START_US`].
pub(super) fn sample(seconds: i64, price: &str) -> Ticker {
    let sample_time_us = START_US + seconds * 1_000_000;
    Ticker { sample_time_us, price: price.parse().unwrap(), day: None, received_time_us: sample_time_us }
}

/// The next records of a sender, all of them samples.
pub(super) fn batch(sender: &Sender, symbol: &str, samples: &[Ticker]) -> crate::FlushBatch {
    // Of as many trades, so that the positions fit.
    let ids = 1..=i64::try_from(samples.len()).unwrap();
    let mut batch = sender.batch(symbol, &trades(ids));
    let offset = batch.partitions[0].expected_offset;
    let record = |(ticker, offset): (&Ticker, i64)| TickerRecord {
        ticker: *ticker,
        partition: batch.partitions[0].partition,
        offset,
    };
    let records = samples.iter().zip(offset..).map(record).collect();
    batch.tickers = vec![TickerBatch { market: market(symbol), records }];
    batch.markets.clear();
    batch
}

impl TestDatabase {
    /// The candles of an interval, one line each.
    async fn sample_candles(&self, interval: &str) -> Vec<String> {
        let interval: market::Interval = interval.parse().unwrap();
        let time = if self.has_integer_times() { "open_time_us" } else { "open_time" };
        let statement = format!(
            "SELECT concat_ws(' ', symbol, open, high, low, close, average, sample_count) FROM sample_candles_by_symbol
             WHERE interval_s = {} ORDER BY symbol, {time}",
            interval.seconds()
        );
        // SQLite shows the decimals that are there, the others all.
        let lines = self.texts(&statement).await;
        let short = |number: &str| match number.split_once('.') {
            Some(_) => number.trim_end_matches('0').trim_end_matches('.').to_owned(),
            None => number.to_owned(),
        };
        lines.iter().map(|line| line.split(' ').map(short).collect::<Vec<_>>().join(" ")).collect()
    }
}

pub(super) async fn samples_candles_and_offsets_are_committed_together(database: TestDatabase) {
    let (mut flusher, sender) = (database.flusher(&["1m", "5m"]), Sender::new(&database, 0).await);
    let samples = [sample(70, "3"), sample(61, "2.5"), sample(90, "1"), sample(130, "7")];
    let report = flusher.flush(batch(&sender, "BTCUSDT", &samples), NOW_US).await.unwrap();
    assert_eq!(report, FlushReport { records_read: 4, samples_new: 4, ..FlushReport::default() });
    assert_eq!(
        database.sample_candles("1m").await,
        ["BTCUSDT 2.5 3 1 1 2.16666667 3", "BTCUSDT 7 7 7 7 7 1"]
    );
    assert_eq!(database.sample_candles("5m").await, ["BTCUSDT 2.5 7 1 7 3.375 4"]);
    assert_eq!(database.number("SELECT next_offset FROM partition_offsets").await, 4);
    assert_eq!(database.number("SELECT samples_new FROM partition_offsets").await, 4);
    assert_eq!(database.number("SELECT samples_held FROM latest_tickers WHERE price = '7'").await, 4);
    assert_eq!(database.number("SELECT count(*) FROM tickers_by_symbol WHERE version = 1").await, 4);
}

pub(super) async fn a_sample_counts_once_whoever_sends_it_and_however_often(database: TestDatabase) {
    let (one, other) = (Sender::new(&database, 0).await, Sender::new(&database, 1).await);
    let (mut flusher, mut rival) = (database.flusher(&["1m"]), database.flusher(&["1m"]));
    let of_one = [sample(1, "10"), sample(2, "20"), sample(3, "30")];
    flusher.flush(batch(&one, "BTCUSDT", &of_one), NOW_US).await.unwrap();
    // Late, doubled, and with another price for a time that is taken.
    let of_other = [sample(3, "99"), sample(0, "40"), sample(2, "20"), sample(0, "40"), sample(4, "50")];
    let report = rival.flush(batch(&other, "BTCUSDT", &of_other), NOW_US).await.unwrap();
    assert_eq!((report.samples_new, report.samples_duplicate), (2, 3));
    let report = flusher.flush(batch(&one, "BTCUSDT", &of_other), NOW_US).await.unwrap();
    assert_eq!((report.samples_new, report.samples_duplicate), (0, 5));
    assert_eq!(database.sample_candles("1m").await, ["BTCUSDT 40 50 10 50 30 5"]);
    assert_eq!(database.number("SELECT count(*) FROM tickers").await, 5);
    assert_eq!(database.store.samples_held().await.unwrap(), 5);
}

pub(super) async fn an_interval_added_later_knows_the_samples_of_its_windows(database: TestDatabase) {
    let sender = Sender::new(&database, 0).await;
    let first = [sample(1, "1"), sample(61, "2"), sample(301, "3")];
    let mut flusher = database.flusher(&["1m"]);
    flusher.flush(batch(&sender, "BTCUSDT", &first), NOW_US).await.unwrap();
    let mut flusher = database.flusher(&["1m", "5m"]);
    flusher.flush(batch(&sender, "BTCUSDT", &[sample(299, "6")]), NOW_US).await.unwrap();
    // The window that is touched, whole; the one after it has its row with its next sample.
    assert_eq!(database.sample_candles("5m").await, ["BTCUSDT 1 6 1 6 3 3"]);
    flusher.flush(batch(&sender, "BTCUSDT", &[sample(302, "5")]), NOW_US).await.unwrap();
    assert_eq!(database.sample_candles("5m").await, ["BTCUSDT 1 6 1 6 3 3", "BTCUSDT 3 5 3 5 4 2"]);
}

pub(super) async fn what_the_exchange_says_of_the_day_is_kept_as_it_is(database: TestDatabase) {
    let (mut flusher, sender) = (database.flusher(&["1m"]), Sender::new(&database, 0).await);
    let [open, high, low, volume] =
        ["93800", "95010", "93550", "9999999999999999999999.99999999"].map(|text| text.parse().unwrap());
    let quote_volume = "1695600000.0000000000000001".parse().unwrap();
    let day = Some(RollingDay { open, high, low, volume, quote_volume, trade_count: 1_300_041 });
    let samples = [Ticker { day, ..sample(1, "94260") }, sample(2, "94261")];
    flusher.flush(batch(&sender, "BTCUSDT", &samples), NOW_US).await.unwrap();
    let columns = "concat_ws(' ', day_volume, day_quote_volume, day_trade_count)";
    assert_eq!(
        database.texts(&format!("SELECT {columns} FROM tickers_by_symbol WHERE day_open = '93800'")).await,
        ["9999999999999999999999.99999999 1695600000.0000000000000001 1300041"]
    );
    let without = "SELECT count(*) FROM tickers WHERE day_open IS NULL AND day_high IS NULL AND day_low IS NULL \
                   AND day_volume IS NULL AND day_quote_volume IS NULL AND day_trade_count IS NULL";
    assert_eq!(database.number(without).await, 1);
}

pub(super) async fn samples_and_their_candles_go_with_their_floors(database: TestDatabase) {
    let (mut flusher, sender) = (database.flusher(&["1m"]), Sender::new(&database, 0).await);
    let day_s = DAY_US / 1_000_000;
    let samples: Vec<Ticker> = (0..5).map(|day| sample(day * day_s, "1")).collect();
    flusher.flush(batch(&sender, "BTCUSDT", &samples), NOW_US).await.unwrap();
    // `NOW_US` is 30 days after the start.
    let retention = Retention { trades_s: Some(28 * day_s), candles_s: Some(29 * day_s) };
    database.store.retain(retention, NOW_US).await.unwrap();
    assert_eq!(database.number("SELECT count(*) FROM tickers").await, 3);
    assert_eq!(database.sample_candles("1m").await.len(), 4);
    // Whether one from below the floor was counted nobody can tell any more.
    flusher.forget();
    let late = [sample(day_s, "1"), sample(2 * day_s, "1"), sample(2 * day_s + 1, "1")];
    let report = flusher.flush(batch(&sender, "BTCUSDT", &late), NOW_US).await.unwrap();
    assert_eq!((report.samples_new, report.samples_duplicate), (1, 1));
    assert_eq!(report.set_aside, [("below_floor", 1)]);
    assert_eq!(database.number("SELECT count(*) FROM set_aside WHERE reason = 'below_floor'").await, 1);
}

pub(super) async fn trades_and_samples_of_one_batch_do_not_touch_each_other(database: TestDatabase) {
    let (mut flusher, sender) = (database.flusher(&["1m"]), Sender::new(&database, 0).await);
    let mut both = sender.batch("BTCUSDT", &trades(1..=5));
    let samples = batch(&sender, "BTCUSDT", &[sample(1, "7"), sample(2, "9")]);
    both.partitions[0].next_offset = samples.partitions[0].next_offset;
    both.partitions[0].records_read += samples.partitions[0].records_read;
    both.tickers = samples.tickers;
    let report = flusher.flush(both, NOW_US).await.unwrap();
    assert_eq!((report.trades_new, report.samples_new), (5, 2));
    assert_eq!(database.store.ledgers().await.unwrap()[0].trades_held, 5);
    assert_eq!(database.sample_candles("1m").await, ["BTCUSDT 7 9 7 9 8 2"]);
    let candles = database.candles("1m").await;
    assert_eq!((candles.len(), candles[0].open_time_us, candles[0].trade_count), (1, START_US, 5));
    assert_eq!(candles[0].open_time_us % MINUTE_US, 0);
}
