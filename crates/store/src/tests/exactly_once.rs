//! What a flush writes, and that it writes it once.

use market::{Fixed8, PlanSettings, Record, StoredMarket, Trade, plan_market};

use super::database::{MINUTE_US, NOW_US, START_US, Sender, TOPIC, TestDatabase, market, trade};
use crate::{FlushReport, UnreadableRecord};

pub(super) async fn rows_candles_ledger_and_offsets_are_committed_together(database: TestDatabase) {
    let (mut flusher, sender) = (database.flusher(&["1m"]), Sender::new(&database, 0).await);
    let report = sender.flush(&mut flusher, "BTCUSDT", &[trade(7, 1), trade(8, 2), trade(9, 61)]).await;
    assert_eq!(report, FlushReport { records_read: 3, trades_new: 3, ..FlushReport::default() });

    let candles = database.candles("1m").await;
    assert_eq!(candles.len(), 2);
    let first = &candles[0];
    assert_eq!((&first.market, first.open_time_us, first.complete), (&market("BTCUSDT"), START_US, false));
    let decimals = [first.open, first.high, first.low, first.close, first.volume, first.taker_buy_volume];
    assert_eq!(decimals.map(|decimal| decimal.to_string()), ["107.5", "108.5", "107.5", "108.5", "4", "2"]);
    assert_eq!(first.quote_volume.to_string(), "432");
    assert_eq!(first.taker_buy_quote_volume.to_string(), "215");
    assert_eq!((first.trade_count, first.first_trade_id, first.last_trade_id), (2, Some(7), Some(8)));

    let position = &database.store.positions(TOPIC).await.unwrap()[0];
    assert_eq!((position.next_offset, position.records_read, position.trades_new), (3, 3, 3));
    let ledger = &database.store.ledgers().await.unwrap()[0];
    assert_eq!((ledger.last_trade_id, ledger.trades_held, ledger.missing), (Some(9), 3, 0));
    assert_eq!(ledger.last_trade_time_us, Some(START_US + MINUTE_US + 1_000_000));
    assert_eq!(database.number("SELECT count(*) FROM trades_by_symbol WHERE symbol = 'BTCUSDT'").await, 3);
    assert_eq!(database.number("SELECT max(version) FROM trades").await, 1);
}

pub(super) async fn any_order_repetition_and_batching_by_two_writers_gives_one_result(
    database: TestDatabase,
) {
    let intervals = ["15s", "1m", "5m"];
    let trades: Vec<Trade> = (0..600).map(|id| trade(1_000 + id, id * 7 / 5)).collect();
    let mut writers = [database.flusher(&intervals), database.flusher(&intervals)];
    let senders = [Sender::new(&database, 0).await, Sender::new(&database, 1).await];
    // Every trade twice, strided so that each batch is full of holes that later batches fill.
    let mut duplicates = 0;
    for round in 0..2_usize {
        for stride in 0..8_usize {
            let batch: Vec<Trade> = trades.iter().skip((stride * 5) % 8).step_by(8).rev().copied().collect();
            let turn = (round + stride) % 2;
            duplicates += senders[turn].flush(&mut writers[turn], "BTCUSDT", &batch).await.trades_duplicate;
        }
    }
    assert_eq!(duplicates, 600);
    assert_eq!(database.number("SELECT count(*) FROM trades").await, 600);
    assert_eq!(database.number("SELECT count(*) FROM trade_ranges").await, 1);

    let settings = PlanSettings {
        intervals: intervals.iter().map(|text| text.parse().unwrap()).collect(),
        store_trades: false,
        trades_floor_us: i64::MIN,
        candles_floor_us: i64::MIN,
        latest_time_us: i64::MAX,
    };
    let records = trades.iter().map(|trade| Record { trade: *trade, partition: 0, offset: 0 }).collect();
    let expected =
        plan_market(records, &[], &mut StoredMarket::default(), Default::default(), &settings).candles;
    let mut found = Vec::new();
    for interval in intervals {
        for row in database.candles(interval).await {
            found.push((
                row.interval,
                row.open_time_us,
                row.open,
                row.close,
                row.volume,
                row.quote_volume,
                row.trade_count,
            ));
        }
    }
    let expected: Vec<_> = expected
        .iter()
        .map(|(interval, candle)| {
            let market::Candle { open_time_us, open, close, volume, quote_volume, trade_count, .. } = *candle;
            (*interval, open_time_us, open, close, volume, quote_volume, trade_count)
        })
        .collect();
    assert_eq!(found, expected);
}

pub(super) async fn largest_and_smallest_decimals_survive_the_round_trip(database: TestDatabase) {
    let (mut flusher, sender) = (database.flusher(&["1m"]), Sender::new(&database, 0).await);
    let smallest: Fixed8 = "0.00000001".parse().unwrap();
    let large: Fixed8 = "99999999999.99999999".parse().unwrap();
    let mut tiny = trade(1, 1);
    (tiny.price, tiny.quantity) = (smallest, smallest);
    let mut huge = trade(2, 2);
    (huge.price, huge.quantity) = (large, large);
    sender.flush(&mut flusher, "SHIBUSDT", &[tiny, huge]).await;
    // A second flush reads the candle back and merges into it.
    flusher.forget();
    sender.flush(&mut flusher, "SHIBUSDT", &[Trade { trade_id: 3, ..tiny }]).await;

    let candle = &database.candles("1m").await[0];
    assert_eq!((candle.low, candle.high), (smallest, large));
    assert_eq!(candle.volume.to_string(), "100000000000.00000001");
    assert_eq!(candle.quote_volume.to_string(), "9999999999999999998000.0000000000000003");
    let stored = database.texts("SELECT quantity || '' FROM trades ORDER BY trade_id").await;
    assert_eq!(
        stored.iter().map(|text| text.parse::<Fixed8>().unwrap()).collect::<Vec<_>>(),
        [smallest, large, smallest]
    );
}

pub(super) async fn unreadable_and_future_records_are_set_aside_and_counted(database: TestDatabase) {
    let (mut flusher, sender) = (database.flusher(&["1m"]), Sender::new(&database, 0).await);
    let future = Trade { trade_time_us: NOW_US + 3_600_000_001, ..trade(2, 0) };
    let mut batch = sender.batch("BTCUSDT", &[trade(1, 1), future]);
    batch.partitions[0].records_read += 1;
    batch.partitions[0].next_offset += 1;
    batch.partitions[0].unreadable.push(UnreadableRecord {
        offset: 2,
        reason: "not_json",
        payload: b"\xff{".to_vec(),
    });
    let report = flusher.flush(batch, NOW_US).await.unwrap();
    assert_eq!((report.records_read, report.trades_new), (3, 1));
    assert_eq!(report.set_aside, [("not_json", 1), ("time_in_future", 1)]);

    let reasons = database.texts("SELECT reason FROM set_aside ORDER BY record_offset").await;
    assert_eq!(reasons, ["time_in_future", "not_json"]);
    let position = &database.store.positions(TOPIC).await.unwrap()[0];
    assert_eq!((position.next_offset, position.records_read, position.records_set_aside), (3, 3, 2));
    assert_eq!(database.store.ledgers().await.unwrap()[0].trades_held, 1);
}

pub(super) async fn an_interval_added_later_is_built_from_a_finer_one(database: TestDatabase) {
    let sender = Sender::new(&database, 0).await;
    let trades: Vec<Trade> = (1..=40).map(|id| trade(id, id * 30)).collect();
    sender.flush(&mut database.flusher(&["1m"]), "BTCUSDT", &trades[..30]).await;
    sender.flush(&mut database.flusher(&["1m", "5m"]), "BTCUSDT", &trades[30..]).await;

    let coarse = database.candles("5m").await;
    assert_eq!(coarse.iter().map(|candle| candle.trade_count).sum::<i64>(), 40);
    let fine = database.candles("1m").await;
    assert_eq!(
        coarse[1].high,
        fine.iter()
            .filter(|candle| candle.open_time_us < START_US + 10 * MINUTE_US)
            .map(|candle| candle.high)
            .max()
            .unwrap()
    );
    assert_eq!(
        coarse.iter().map(|candle| candle.complete).collect::<Vec<_>>(),
        [false, true, true, true, false]
    );
}

pub(super) async fn offsets_beyond_the_expected_one_are_counted_as_skipped(database: TestDatabase) {
    let (mut flusher, sender) = (database.flusher(&["1m"]), Sender::new(&database, 0).await);
    let mut batch = sender.batch("BTCUSDT", &[trade(1, 1)]);
    batch.partitions[0].offsets_skipped = 40;
    batch.partitions[0].next_offset = 41;
    flusher.flush(batch, NOW_US).await.unwrap();
    let position = &database.store.positions(TOPIC).await.unwrap()[0];
    assert_eq!((position.next_offset, position.records_read), (41, 1));
    assert_eq!(database.number("SELECT offsets_skipped FROM partition_offsets").await, 40);
}
