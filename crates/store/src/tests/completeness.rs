//! What claims to be complete, and that nothing does without proof.

use market::Trade;

use super::database::{START_US, Sender, TestDatabase, trade, trades};
use crate::Hole;

pub(super) async fn only_windows_inside_an_unbroken_chain_are_complete(database: TestDatabase) {
    let (mut flusher, sender) = (database.flusher(&["1m"]), Sender::new(&database, 0).await);
    sender.flush(&mut flusher, "BTCUSDT", &trades(1..=23)).await;
    assert_eq!(database.complete_minutes().await, [1, 2]);
    // The first trade of the next minute proves that minute 3 is over.
    sender.flush(&mut flusher, "BTCUSDT", &trades(24..=24)).await;
    assert_eq!(database.complete_minutes().await, [1, 2, 3]);
}

pub(super) async fn a_hole_makes_exactly_the_windows_over_it_incomplete(database: TestDatabase) {
    let (mut flusher, sender) = (database.flusher(&["1m"]), Sender::new(&database, 0).await);
    sender.flush(&mut flusher, "BTCUSDT", &[trades(1..=20), trades(22..=60)].concat()).await;
    assert_eq!(database.complete_minutes().await, [1, 2, 4, 5, 6, 7, 8, 9]);
    sender.flush(&mut flusher, "BTCUSDT", &trades(21..=21)).await;
    assert_eq!(database.complete_minutes().await, (1..=9).collect::<Vec<_>>());
}

pub(super) async fn ids_that_the_exchange_never_gave_do_not_break_the_chain(database: TestDatabase) {
    let (mut flusher, sender) = (database.flusher(&["1m"]), Sender::new(&database, 0).await);
    sender.flush(&mut flusher, "BTCUSDT", &[trades(1..=13), trades(16..=30)].concat()).await;
    assert_eq!(database.complete_minutes().await, [1, 3, 4]);
    let times =
        if database.has_integer_times() { "first_time_us, last_time_us" } else { "first_time, last_time" };
    database
        .execute(&format!(
            "INSERT INTO trade_ranges (symbol_id, first_id, last_id, kind, {times})
             SELECT symbol_id, 14, 15, 'void', {times} FROM trade_ranges WHERE first_id = 1"
        ))
        .await;
    assert_eq!(database.complete_minutes().await, [1, 2, 3, 4]);
}

pub(super) async fn a_step_back_in_time_widens_both_ends(database: TestDatabase) {
    let (mut flusher, sender) = (database.flusher(&["1m"]), Sender::new(&database, 0).await);
    let mut inverted = trades(5..=31);
    inverted[10].trade_time_us -= 15_000_000;
    sender.flush(&mut flusher, "BTCUSDT", &inverted).await;
    // Without it: 1 (the chain begins at 50 s) to 4 (it goes on until 310 s). The step is 5 s beyond the trade
    // before, so 55 s still lies before minute 1, and 305 s still after minute 4.
    assert_eq!(database.number("SELECT max_inversion_us FROM symbol_head").await, 5_000_000);
    assert_eq!(database.complete_minutes().await, [1, 2, 3, 4]);
    let mut more_inverted = trades(32..=32);
    more_inverted[0].trade_time_us = START_US + 298_000_000;
    sender.flush(&mut flusher, "BTCUSDT", &more_inverted).await;
    assert_eq!(database.complete_minutes().await, [2, 3]);
}

pub(super) async fn an_interval_switched_off_and_on_does_not_claim_what_it_missed(database: TestDatabase) {
    let sender = Sender::new(&database, 0).await;
    sender.flush(&mut database.flusher(&["1m"]), "BTCUSDT", &trades(1..=15)).await;
    sender.flush(&mut database.flusher(&["5m"]), "BTCUSDT", &trades(16..=27)).await;
    sender.flush(&mut database.flusher(&["1m"]), "BTCUSDT", &trades(28..=45)).await;
    assert_eq!(database.complete_minutes().await, [5, 6]);
}

pub(super) async fn proven_empty_windows_are_shown_with_the_close_before_them(database: TestDatabase) {
    let (mut flusher, sender) = (database.flusher(&["1m"]), Sender::new(&database, 0).await);
    sender.flush(&mut flusher, "BTCUSDT", &[trade(1, 5), trade(2, 65), trade(3, 250), trade(5, 500)]).await;
    let candles = database.candles("1m").await;
    let seen: Vec<_> = candles
        .iter()
        .map(|candle| {
            (
                (candle.open_time_us - START_US) / 60_000_000,
                candle.trade_count,
                candle.close.to_string(),
                candle.complete,
            )
        })
        .collect();
    let row = |minute, count, close: &str, complete| (minute, count, close.to_owned(), complete);
    // Between ids 3 and 5 something is missing, so nothing is known of the minutes after 4.
    assert_eq!(
        seen,
        [
            row(0, 1, "101.5", false),
            row(1, 1, "102.5", true),
            row(2, 0, "102.5", true),
            row(3, 0, "102.5", true),
            row(4, 1, "103.5", false),
            row(8, 1, "105.5", false),
        ]
    );
    assert_eq!(
        (candles[2].open, candles[2].volume.units(), candles[2].first_trade_id),
        (candles[1].close, 0, None)
    );
}

pub(super) async fn holes_are_told_newest_first(database: TestDatabase) {
    let (mut flusher, sender) = (database.flusher(&["1m"]), Sender::new(&database, 0).await);
    let odd: Vec<Trade> = (0..30).map(|step| trade(1 + step * 3, step)).collect();
    sender.flush(&mut flusher, "BTCUSDT", &odd).await;
    let ledger = database.store.ledgers().await.unwrap().remove(0);
    assert_eq!(ledger.missing, 29 * 2);
    assert_eq!(ledger.holes.len(), crate::MAX_HOLES);
    assert_eq!(ledger.holes[0], Hole { first_id: 86, last_id: 87 });
    assert_eq!(ledger.holes[0].count(), 2);
    // The others page by page.
    let older =
        async |below_id, most| database.store.older_holes(&ledger.market, below_id, most).await.unwrap();
    let lowest_named = ledger.holes.last().unwrap().first_id;
    let first = older(lowest_named, 5).await;
    assert_eq!(first[0], Hole { first_id: lowest_named - 3, last_id: lowest_named - 2 });
    let second = older(first[4].first_id, 5).await;
    assert_eq!((first.len(), second.len()), (5, 4));
    assert_eq!(second[3], Hole { first_id: 2, last_id: 3 });
}

pub(super) async fn the_view_names_intervals_as_the_spec_does(database: TestDatabase) {
    let names = ["12h", "1d", "1h", "1s", "30s", "5m"];
    let (mut flusher, sender) = (database.flusher(&names), Sender::new(&database, 0).await);
    sender.flush(&mut flusher, "BTCUSDT", &trades(1..=1)).await;
    let found = database.texts("SELECT named.interval FROM candles_by_symbol AS named ORDER BY 1").await;
    assert_eq!(found, names);
}
