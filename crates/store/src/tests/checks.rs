//! Comparisons with the exchange's own candles: what is to be compared, and what is told of it.

use market::Trade;

use super::database::{MINUTE_US, NOW_US, START_US, Sender, TestDatabase, market, trade, trades};
use crate::{CandleCheck, CandleQuery, CheckVerdict, CheckableWindow, Difference, WindowContent};

impl TestDatabase {
    /// The minutes that are to be compared, in the order in which they are told, with their versions.
    async fn to_check(&self) -> Vec<(i64, i64)> {
        let windows = self.windows_to_check().await;
        let minute = |window: &CheckableWindow| (window.open_time_us - START_US) / MINUTE_US;
        windows.iter().map(|window| (minute(window), window.version)).collect()
    }

    async fn windows_to_check(&self) -> Vec<CheckableWindow> {
        self.windows_checked_before(i64::MIN).await
    }

    async fn windows_checked_before(&self, before_us: i64) -> Vec<CheckableWindow> {
        let (from_us, to_us) = (START_US - 3 * MINUTE_US, START_US + 60 * MINUTE_US);
        let (market, minute) = (market("BTCUSDT"), "1m".parse().unwrap());
        self.store.windows_to_check(&market, minute, from_us, to_us, before_us).await.unwrap()
    }

    async fn note(&self, window: &CheckableWindow, verdict: CheckVerdict) {
        let differences = match verdict {
            CheckVerdict::Equal => vec![],
            _ => vec![difference()],
        };
        let CheckableWindow { open_time_us, version, .. } = *window;
        let check = CandleCheck { open_time_us, version, verdict, differences };
        let minute = "1m".parse().unwrap();
        self.store.note_checks(&market("BTCUSDT"), minute, &[check], NOW_US).await.unwrap();
    }

    async fn counts(&self) -> Vec<(&'static str, i64)> {
        let counts = self.store.check_counts().await.unwrap();
        counts.iter().map(|count| (count.verdict.as_str(), count.windows)).collect()
    }
}

fn difference() -> Difference {
    Difference { field: "volume".into(), ours: "12".into(), theirs: Some("12.5".into()) }
}

pub(super) async fn complete_windows_that_were_not_compared_are_told_newest_first(database: TestDatabase) {
    let (mut flusher, sender) = (database.flusher(&["1m", "5m"]), Sender::new(&database, 0).await);
    sender.flush(&mut flusher, "BTCUSDT", &trades(1..=24)).await;
    assert_eq!(database.to_check().await, [(3, 1), (2, 1), (1, 1)]);
    let windows = database.windows_to_check().await;
    let WindowContent::Candle(candle) = windows[2].content else { panic!("{:?}", windows[2]) };
    assert_eq!(
        (candle.first_trade_id, candle.trade_count, candle.volume.to_string()),
        (6, 6, "12".to_owned())
    );
    database.note(&windows[1], CheckVerdict::Equal).await;
    assert_eq!(database.to_check().await, [(3, 1), (1, 1)]);
    let first = database.store.first_candle_us(&market("BTCUSDT"), "1m".parse().unwrap()).await.unwrap();
    assert_eq!(first, Some(START_US));
    let kept = database.store.kept_intervals(&market("BTCUSDT")).await.unwrap();
    assert_eq!(kept.iter().map(ToString::to_string).collect::<Vec<_>>(), ["1m", "5m"]);
    assert_eq!(database.store.kept_intervals(&market("ETHUSDT")).await.unwrap(), []);
}

pub(super) async fn a_candle_that_changed_is_compared_again_and_its_verdict_is_no_longer_told(
    database: TestDatabase,
) {
    let (mut flusher, sender) = (database.flusher(&["1m"]), Sender::new(&database, 0).await);
    let late: Vec<Trade> = [trades(1..=40), trades(42..=60)].concat();
    sender.flush(&mut flusher, "BTCUSDT", &late).await;
    for window in database.windows_to_check().await {
        let wrong = window.open_time_us == START_US + 5 * MINUTE_US;
        database.note(&window, if wrong { CheckVerdict::OursWrong } else { CheckVerdict::Equal }).await;
    }
    assert_eq!(database.to_check().await, []);
    assert_eq!(database.counts().await, [("equal", 6), ("ours_wrong", 1)]);
    let told = database.store.differing_candles(10).await.unwrap().remove(0);
    assert_eq!((told.verdict, told.differences), (CheckVerdict::OursWrong, vec![difference()]));
    assert_eq!((told.open_time_us, told.market), (START_US + 5 * MINUTE_US, market("BTCUSDT")));
    // One that differs is compared again after a while: the exchange may mend its own.
    assert_eq!(database.windows_checked_before(NOW_US).await, []);
    let again = database.windows_checked_before(NOW_US + 1).await;
    assert_eq!(again.iter().map(|window| window.open_time_us).collect::<Vec<_>>(), [told.open_time_us]);
    // As a late trade does.
    database.execute("UPDATE candles SET version = 2 WHERE first_trade_id = 30").await;
    assert_eq!(database.counts().await, [("equal", 6)]);
    assert_eq!(database.store.differing_candles(10).await.unwrap(), []);
    assert_eq!(database.to_check().await, [(5, 2)]);
    sender.flush(&mut flusher, "BTCUSDT", &trades(41..=41)).await;
    assert_eq!(database.to_check().await, [(7, 1), (6, 2), (5, 2)]);
    let again = database.windows_to_check().await;
    database.note(&again[2], CheckVerdict::ExchangeDiffers).await;
    assert_eq!(database.counts().await, [("equal", 6), ("exchange_differs", 1)]);
}

pub(super) async fn windows_without_trades_are_compared_too(database: TestDatabase) {
    let (mut flusher, sender) = (database.flusher(&["1m"]), Sender::new(&database, 0).await);
    sender.flush(&mut flusher, "BTCUSDT", &[trade(1, 5), trade(2, 65), trade(4, 310), trade(5, 370)]).await;
    assert_eq!(database.to_check().await, []);
    sender.flush(&mut flusher, "BTCUSDT", &[trade(3, 250)]).await;
    assert_eq!(database.to_check().await, [(5, 1), (4, 2), (3, 0), (2, 0), (1, 1)]);
    let windows = database.windows_to_check().await;
    let empty = WindowContent::Empty { close: "102.5".parse().unwrap(), last_trade_id: 2 };
    assert_eq!((windows[2].content, windows[3].content), (empty, empty));
    for window in &windows {
        database.note(window, CheckVerdict::Equal).await;
    }
    assert_eq!(database.to_check().await, []);
}

pub(super) async fn candles_since_a_version_are_those_that_changed_after_it(database: TestDatabase) {
    let (mut flusher, sender) = (database.flusher(&["1m"]), Sender::new(&database, 0).await);
    sender.flush(&mut flusher, "BTCUSDT", &trades(1..=20)).await;
    sender.flush(&mut flusher, "BTCUSDT", &[trades(23..=30), vec![trade(40, 65)]].concat()).await;
    sender.flush(&mut flusher, "BTCUSDT", &trades(21..=21)).await;
    let since = async |version: i64| {
        let query = CandleQuery {
            symbol: Some("BTCUSDT".to_owned()),
            since_version: Some(version),
            ..CandleQuery::default()
        };
        let candles = database.store.candles(&query).await.unwrap();
        let minute = |open_time_us: i64| (open_time_us - START_US) / MINUTE_US;
        let seen = candles.iter().map(|candle| (minute(candle.open_time_us), candle.version.unwrap()));
        seen.collect::<Vec<_>>()
    };
    assert_eq!(since(0).await, [(0, 1), (1, 2), (2, 1), (3, 3), (4, 2), (5, 2)]);
    assert_eq!(since(1).await, [(1, 2), (3, 3), (4, 2), (5, 2)]);
    assert_eq!(since(2).await, [(3, 3)]);
    assert_eq!(since(3).await, []);
    let at_most = CandleQuery { most: Some(4), ..CandleQuery::default() };
    assert_eq!(database.store.candles(&at_most).await.unwrap().len(), 4);
}
