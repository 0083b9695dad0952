//! Trades of the exchange's own files: the same plan, the same ledger, counted beside the topic's; and what a wished start
//! says is missing.

use jiff::civil::{Date, date};
use market::Trade;

use super::database::{MINUTE_US, NOW_US, START_US, Sender, TestDatabase, market, trade, trades};
use super::head::PROBE_DISTANCE;
use crate::{
    FlushReport, Flusher, HeadProbe, HistoryStart, HistoryStep, Hole, LoadedFile, Retention, TradeChain,
};

const DAY: Date = date(2026, 1, 1);

async fn flush_file(flusher: &mut Flusher, sha256: &str, trades: Vec<Trade>) -> FlushReport {
    let step = HistoryStep {
        market: market("BTCUSDT"),
        day: DAY,
        file_name: "BTCUSDT-trades-2026-01-01.zip".to_owned(),
        sha256: sha256.to_owned(),
        trades,
    };
    flusher.flush_history(step, NOW_US).await.unwrap()
}

impl TestDatabase {
    async fn holes_of_btc(&self) -> Vec<(i64, i64)> {
        let ledger = self.store.ledgers().await.unwrap().remove(0);
        let holes: Vec<(i64, i64)> =
            ledger.holes.iter().map(|Hole { first_id, last_id }| (*first_id, *last_id)).collect();
        assert_eq!(ledger.missing, holes.iter().map(|(first, last)| last - first + 1).sum::<i64>());
        holes
    }

    async fn wish(&self, from_us: i64, first_id: i64) {
        self.store.wish_history(&market("BTCUSDT"), HistoryStart { from_us, first_id }).await.unwrap();
    }

    async fn assert_conserved_with_files(&self) {
        self.assert_conserved().await;
        let sum = "SELECT CAST(coalesce(sum(trades_new), 0) AS bigint) FROM history_files";
        let of_files = self.store.history(&market("BTCUSDT")).await.unwrap().trades_brought;
        assert_eq!(of_files, self.number(sum).await);
    }
}

pub(super) async fn trades_of_a_file_join_the_live_ones_and_are_counted_with_the_file(
    database: TestDatabase,
) {
    let (mut live, sender) = (database.flusher(&["1m"]), Sender::new(&database, 0).await);
    let mut loader = database.flusher(&["1m"]);
    sender.flush(&mut live, "BTCUSDT", &trades(25..=40)).await;
    assert_eq!(database.complete_minutes().await, [5]);
    let report = flush_file(&mut loader, "aa", trades(1..=15)).await;
    assert_eq!((report.trades_new, report.trades_duplicate), (15, 0));
    // Two chains, and the hole between them is named.
    assert_eq!(database.holes_of_btc().await, [(16, 24)]);
    assert_eq!(database.complete_minutes().await, [1, 5]);
    let report = flush_file(&mut loader, "aa", trades(12..=27)).await;
    assert_eq!((report.trades_new, report.trades_duplicate), (9, 7));
    sender.flush(&mut live, "BTCUSDT", &trades(20..=50)).await;
    assert_eq!(database.holes_of_btc().await, []);
    assert_eq!(database.complete_minutes().await, (1..=7).collect::<Vec<_>>());
    assert_eq!(database.candles("1m").await.iter().map(|candle| candle.trade_count).sum::<i64>(), 50);
    assert_eq!(database.number("SELECT count(*) FROM trades").await, 50);
    assert_eq!(database.number("SELECT CAST(sum(trades_duplicate) AS bigint) FROM history_files").await, 7);
    database.assert_conserved_with_files().await;
    let chains = database.store.history(&market("BTCUSDT")).await.unwrap().chains;
    let whole = TradeChain {
        first_id: 1,
        last_id: 50,
        first_time_us: START_US + 10_000_000,
        last_time_us: START_US + 500_000_000,
    };
    assert_eq!(chains, [whole]);
}

pub(super) async fn a_file_is_loaded_until_it_is_read_anew(database: TestDatabase) {
    let mut loader = database.flusher(&["1m"]);
    flush_file(&mut loader, "aa", trades(1..=15)).await;
    let loaded = async || database.store.history(&market("BTCUSDT")).await.unwrap().loaded;
    assert_eq!(loaded().await, []);
    let file = LoadedFile { day: DAY, sha256: "aa".to_owned() };
    database.store.note_history_file(&market("BTCUSDT"), &file, NOW_US).await.unwrap();
    assert_eq!(loaded().await, [file]);
    // The exchange issued it anew, with more in it.
    flush_file(&mut loader, "bb", trades(1..=20)).await;
    assert_eq!(loaded().await, []);
    let file = LoadedFile { day: DAY, sha256: "bb".to_owned() };
    database.store.note_history_file(&market("BTCUSDT"), &file, NOW_US).await.unwrap();
    assert_eq!(loaded().await, [file]);
    assert_eq!(database.number("SELECT rows_read FROM history_files").await, 35);
    database.assert_conserved_with_files().await;
}

pub(super) async fn a_wished_start_says_what_is_missing_behind_it_and_nothing_before_it(
    database: TestDatabase,
) {
    let (mut live, sender) = (database.flusher(&["1m"]), Sender::new(&database, 0).await);
    let probe = HeadProbe { market: market("BTCUSDT"), last_id: 100, time_us: START_US + 1_000_000_000 };
    database.store.note_head_probes(&[probe], NOW_US, PROBE_DISTANCE).await.unwrap();
    assert_eq!(database.holes_of_btc().await, []);
    database.wish(START_US, 50).await;
    assert_eq!(database.holes_of_btc().await, [(50, 100)]);
    assert_eq!(database.store.ledgers().await.unwrap()[0].history_from_us, Some(START_US));
    sender.flush(&mut live, "BTCUSDT", &trades(101..=110)).await;
    assert_eq!(database.holes_of_btc().await, [(50, 100)]);
    // Further back.
    database.wish(START_US - 1, 10).await;
    assert_eq!(database.holes_of_btc().await, [(10, 100)]);
    let mut loader = database.flusher(&["1m"]);
    flush_file(&mut loader, "aa", trades(9..=20)).await;
    assert_eq!(database.holes_of_btc().await, [(21, 100)]);
    // Later than before: what is held stays, what is missing before the start is no longer wished.
    database.wish(START_US + 1, 60).await;
    assert_eq!(database.holes_of_btc().await, [(60, 100)]);
    // Later than the live trades began: those stay wished.
    database.wish(START_US + 2, 105).await;
    assert_eq!(database.holes_of_btc().await, []);
    sender.flush(&mut live, "BTCUSDT", &trades(113..=113)).await;
    assert_eq!(database.holes_of_btc().await, [(111, 112)]);
    // None any more.
    database.wish(START_US, 10).await;
    database.store.retract_history(&[market("BTCUSDT"), market("NEWUSDT")]).await.unwrap();
    assert_eq!(database.holes_of_btc().await, [(111, 112)]);
    let ledger = database.store.ledgers().await.unwrap().remove(0);
    assert_eq!((ledger.history_from_us, ledger.trades_held), (None, 23));
}

pub(super) async fn a_start_is_wished_without_a_probe_too(database: TestDatabase) {
    database.wish(START_US, 50).await;
    assert_eq!(database.holes_of_btc().await, []);
    let (mut live, sender) = (database.flusher(&["1m"]), Sender::new(&database, 0).await);
    sender.flush(&mut live, "BTCUSDT", &trades(60..=61)).await;
    assert_eq!(database.holes_of_btc().await, [(50, 59)]);
}

pub(super) async fn history_below_a_floor_enters_the_ledger_only(database: TestDatabase) {
    let days_29 = Some(29 * 86_400);
    database.store.retain(Retention { trades_s: days_29, candles_s: None }, NOW_US).await.unwrap();
    let mut loader = database.flusher(&["1m"]);
    flush_file(&mut loader, "aa", trades(1..=30)).await;
    assert_eq!(database.number("SELECT count(*) FROM trades").await, 0);
    assert_eq!(database.complete_minutes().await, [1, 2, 3, 4]);
    database.assert_conserved_with_files().await;
}

pub(super) async fn what_cannot_be_held_of_a_file_is_set_aside_under_its_name(database: TestDatabase) {
    let mut loader = database.flusher(&["1m"]);
    let future = Trade { trade_time_us: NOW_US + 61 * MINUTE_US, ..trade(3, 30) };
    flush_file(&mut loader, "aa", vec![trade(1, 10), trade(2, 20), future]).await;
    let named = database.texts("SELECT topic || ' ' || topic_id || ' ' || reason FROM set_aside").await;
    assert_eq!(named, ["BTCUSDT-trades-2026-01-01.zip aa time_in_future"]);
    assert_eq!(database.number("SELECT rows_set_aside FROM history_files").await, 1);
    assert_eq!(database.number("SELECT rows_read FROM history_files").await, 3);
    database.assert_conserved_with_files().await;
}
