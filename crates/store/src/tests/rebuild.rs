//! Windows that are removed to be folded again: nothing is counted twice, nothing claims too much, nothing is forgotten.

use market::Trade;

use super::database::{MINUTE_US, START_US, Sender, TestDatabase, market, trade, trades};
use crate::{CandleRow, RebuildError, Rebuilt};

/// The minutes that a rebuild went over, and its ids.
type Seen = (i64, i64, i64, i64);

impl TestDatabase {
    async fn rebuild(&self, from_minute: i64, to_minute: i64) -> Result<Seen, RebuildError> {
        let (from_us, to_us) = (START_US + from_minute * MINUTE_US, START_US + to_minute * MINUTE_US);
        let Rebuilt { from_us, to_us, first_id, last_id, .. } =
            self.store.rebuild(&market("BTCUSDT"), from_us, to_us).await?;
        let minute = |time_us: i64| (time_us - START_US) / MINUTE_US;
        Ok((minute(from_us), minute(to_us), first_id, last_id))
    }

    /// The exchange was asked twice, and had this id.
    async fn probed(&self, last_id: i64) {
        self.probe(last_id, 3_000).await;
    }

    async fn rows(&self) -> Vec<String> {
        let time =
            if self.has_integer_times() { "trade_time_us" } else { "extract(epoch FROM trade_time)::bigint" };
        self.texts(&format!(
            "SELECT trade_id || ' ' || {time} || ' ' || price || ' ' || quantity FROM trades ORDER BY trade_id"
        ))
        .await
    }
}

/// Everything of a candle but when it was written.
fn without_version(candles: Vec<CandleRow>) -> Vec<CandleRow> {
    candles.into_iter().map(|candle| CandleRow { version: None, ..candle }).collect()
}

pub(super) async fn what_is_removed_is_missing_and_comes_back_equal(database: TestDatabase) {
    let (mut flusher, sender) = (database.flusher(&["1m", "5m"]), Sender::new(&database, 0).await);
    sender.flush(&mut flusher, "BTCUSDT", &trades(1..=120)).await;
    database.probed(120).await;
    let before = (database.candles("1m").await, database.candles("5m").await, database.rows().await);
    // Minutes 5 to 9 hold the ids 30 to 59; 7 lies in the middle of them.
    assert_eq!(database.rebuild(7, 8).await.unwrap(), (5, 10, 30, 59));
    assert_eq!(database.holes().await, [(30, 59)]);
    assert_eq!(database.number("SELECT count(*) FROM trades").await, 90);
    assert_eq!(database.number("SELECT trades_held FROM symbol_head").await, 90);
    database.assert_conserved().await;
    // In another order than before, and by a flusher that has cached what was there.
    sender.flush(&mut flusher, "BTCUSDT", &[trades(50..=59), trades(30..=41)].concat()).await;
    sender.flush(&mut flusher, "BTCUSDT", &trades(40..=49)).await;
    assert_eq!(without_version(database.candles("1m").await), without_version(before.0));
    assert_eq!(without_version(database.candles("5m").await), without_version(before.1));
    assert_eq!(database.rows().await, before.2);
    assert_eq!(database.number("SELECT count(*) FROM trade_ranges").await, 1);
    database.assert_conserved().await;
}

pub(super) async fn what_would_be_removed_is_told_and_stays(database: TestDatabase) {
    let (mut flusher, sender) = (database.flusher(&["1m", "5m"]), Sender::new(&database, 0).await);
    sender.flush(&mut flusher, "BTCUSDT", &trades(1..=90)).await;
    database.probed(90).await;
    let before = (database.candles("1m").await, database.rows().await);
    let (from_us, to_us) = (START_US + 7 * MINUTE_US, START_US + 8 * MINUTE_US);
    let told = database.store.preview_rebuild(&market("BTCUSDT"), from_us, to_us).await.unwrap();
    assert_eq!((database.candles("1m").await, database.rows().await), before);
    assert_eq!(database.holes().await, []);
    assert_eq!(database.number("SELECT count(*) FROM rebuilds").await, 0);
    // Whoever writes next waits for nobody, and what was told is what is removed.
    sender.flush(&mut flusher, "BTCUSDT", &trades(91..=120)).await;
    assert_eq!(database.store.rebuild(&market("BTCUSDT"), from_us, to_us).await.unwrap(), told);
}

pub(super) async fn nothing_claims_to_be_complete_over_what_was_removed(database: TestDatabase) {
    let (mut flusher, sender) = (database.flusher(&["1m"]), Sender::new(&database, 0).await);
    sender.flush(&mut flusher, "BTCUSDT", &trades(1..=80)).await;
    database.probed(80).await;
    assert_eq!(database.rebuild(5, 7).await.unwrap(), (5, 7, 30, 41));
    // Minute 4 was followed by a trade of minute 5, and minute 7 began after one of minute 6.
    assert_eq!(database.complete_minutes().await, [1, 2, 3, 8, 9, 10, 11, 12]);
    assert_eq!(database.number("SELECT last_trade_id FROM symbol_head").await, 80);
    let version = database.number("SELECT version FROM symbol_head").await;
    assert_eq!(version, database.number("SELECT version FROM rebuilds").await);
    // What was held and comes again is a duplicate, also just beside the cut.
    let report = sender.flush(&mut flusher, "BTCUSDT", &trades(25..=45)).await;
    assert_eq!((report.trades_new, report.trades_duplicate, report.set_aside), (12, 9, vec![]));
    assert_eq!(database.complete_minutes().await, (1..=12).collect::<Vec<_>>());
}

pub(super) async fn the_first_and_the_newest_ids_are_wished_for_too(database: TestDatabase) {
    let (mut flusher, sender) = (database.flusher(&["1m"]), Sender::new(&database, 0).await);
    sender.flush(&mut flusher, "BTCUSDT", &trades(3..=27)).await;
    database.probed(20).await;
    assert_eq!(database.rebuild(0, 1).await.unwrap(), (0, 1, 3, 5));
    assert_eq!(database.holes().await, [(3, 5)]);
    assert_eq!(database.rebuild(4, 5).await.unwrap(), (4, 5, 24, 27));
    assert_eq!(database.holes().await, [(24, 27), (3, 5)]);
    let ledger = database.store.ledgers().await.unwrap().remove(0);
    assert_eq!((ledger.last_trade_id, ledger.trades_held), (Some(23), 18));
    assert_eq!(database.texts("SELECT last_price || '' FROM symbol_head").await[0].parse(), Ok(123.5));
    assert_eq!(database.rebuild(0, 9).await.unwrap(), (0, 9, 6, 23));
    let ledger = database.store.ledgers().await.unwrap().remove(0);
    assert_eq!((ledger.last_trade_id, ledger.trades_held), (None, 0));
    assert_eq!(database.holes().await, [(3, 27)]);
    database.assert_conserved().await;
    sender.flush(&mut flusher, "BTCUSDT", &trades(3..=27)).await;
    assert_eq!(database.holes().await, []);
    database.assert_conserved().await;
}

pub(super) async fn ids_that_reach_over_an_edge_widen_the_windows(database: TestDatabase) {
    let (mut flusher, sender) = (database.flusher(&["1m"]), Sender::new(&database, 0).await);
    let mut inverted = trades(1..=60);
    // Id 31 is a trade of minute 4, as the exchange has it: 30 of minute 5 was numbered before it.
    inverted[30] = trade(31, 299);
    sender.flush(&mut flusher, "BTCUSDT", &inverted).await;
    database.probed(60).await;
    let before = without_version(database.candles("1m").await);
    assert_eq!(database.rebuild(5, 6).await.unwrap(), (4, 6, 24, 35));
    sender.flush(&mut flusher, "BTCUSDT", &inverted).await;
    assert_eq!(without_version(database.candles("1m").await), before);
    assert_eq!(database.number("SELECT count(*) FROM trades").await, 60);
}

pub(super) async fn altered_ids_at_an_edge_widen_the_windows(database: TestDatabase) {
    let (mut flusher, sender) = (database.flusher(&["1m"]), Sender::new(&database, 0).await);
    sender.flush(&mut flusher, "BTCUSDT", &trades(1..=90)).await;
    database.probed(90).await;
    let before = without_version(database.candles("1m").await);
    for (column, was, is, widened) in [
        // In minute 5 itself, which is asked for: ids 30 to 35.
        ("first_trade_id", 30, 29, (4, 6, 24, 35)),
        ("first_trade_id", 30, 31, (4, 6, 24, 35)),
        ("last_trade_id", 35, 36, (5, 7, 30, 41)),
        ("last_trade_id", 35, 34, (5, 7, 30, 41)),
        // In its neighbours.
        ("last_trade_id", 29, 28, (4, 6, 24, 35)),
        ("last_trade_id", 29, 30, (4, 6, 24, 35)),
        ("first_trade_id", 36, 35, (5, 7, 30, 41)),
        ("first_trade_id", 36, 37, (5, 7, 30, 41)),
    ] {
        database.execute(&format!("UPDATE candles SET {column} = {is} WHERE {column} = {was}")).await;
        assert_eq!(database.rebuild(5, 6).await.unwrap(), widened, "{column} {was} -> {is}");
        sender.flush(&mut flusher, "BTCUSDT", &trades(1..=90)).await;
        assert_eq!(without_version(database.candles("1m").await), before, "{column} {was} -> {is}");
        assert_eq!(database.number("SELECT count(*) FROM trades").await, 90);
    }
    database.assert_conserved().await;
}

pub(super) async fn a_rebuild_that_nobody_would_repair_is_refused(database: TestDatabase) {
    let (mut flusher, sender) = (database.flusher(&["1m"]), Sender::new(&database, 0).await);
    let refused = database.rebuild(5, 6).await.unwrap_err();
    assert_eq!(refused.to_string(), "binance:BTCUSDT has no trades here");
    sender.flush(&mut flusher, "BTCUSDT", &trades(1..=60)).await;
    let refused = database.rebuild(5, 6).await.unwrap_err();
    assert!(matches!(refused, RebuildError::NotProbed(_)), "{refused}");
    assert_eq!(database.number("SELECT count(*) FROM trades").await, 60);
    assert_eq!(database.holes().await, []);
    database.probed(60).await;
    let refused = database.rebuild(50_000, 50_001).await.unwrap_err();
    assert_eq!(
        refused.to_string(),
        "from 2026-02-04T15:40:00Z to 2026-02-04T19:01:00Z there are no candles that tell which trade ids are theirs: \
         give another range"
    );
}

pub(super) async fn empty_windows_are_rebuilt_with_their_neighbours(database: TestDatabase) {
    let (mut flusher, sender) = (database.flusher(&["1m"]), Sender::new(&database, 0).await);
    let quiet: Vec<Trade> = vec![trade(1, 5), trade(2, 65), trade(3, 310), trade(4, 370), trade(5, 430)];
    sender.flush(&mut flusher, "BTCUSDT", &quiet).await;
    database.probed(5).await;
    assert_eq!(database.rebuild(3, 4).await.unwrap(), (1, 6, 2, 3));
    assert_eq!(database.holes().await, [(2, 3)]);
}

pub(super) async fn intervals_that_do_not_divide_each_other_are_removed_whole(database: TestDatabase) {
    let (mut flusher, sender) = (database.flusher(&["2m", "3m"]), Sender::new(&database, 0).await);
    sender.flush(&mut flusher, "BTCUSDT", &trades(1..=120)).await;
    database.probed(120).await;
    let before = without_version(database.candles("3m").await);
    assert_eq!(database.rebuild(8, 9).await.unwrap(), (6, 12, 36, 71));
    sender.flush(&mut flusher, "BTCUSDT", &trades(36..=71)).await;
    assert_eq!(without_version(database.candles("3m").await), before);
}
