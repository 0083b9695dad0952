//! What is said of single trades: the same in whatever order they come, and the same on every database.

use std::collections::BTreeMap;

use market::{Fixed8, Fixed16, Trade, WhaleValues};

use super::database::{NOW_US, START_US, Sender, TestDatabase, market, trade, trades};
use crate::postgres::MOST_IN_ARRAYS;
use crate::{FlushSettings, Flusher, Retention};

/// What is asked for: of how many trades averages are, and what a whale's trade is worth at least.
#[derive(Clone, Copy)]
struct Asked {
    averaged: Option<usize>,
    whale: Option<&'static str>,
}

const BOTH: Asked = Asked { averaged: Some(5), whale: Some("600") };

impl TestDatabase {
    fn flusher_of_indicators(&self, asked: Asked) -> Flusher {
        let by_quote_asset = asked.whale.map(|value| ("USDT".into(), value.parse().unwrap()));
        let whale_values =
            WhaleValues { of_others: None, by_quote_asset: by_quote_asset.into_iter().collect() };
        let settings = FlushSettings {
            intervals: vec!["1m".parse().unwrap()],
            store_trades: true,
            moving_average_trades: asked.averaged,
            whale_values,
        };
        Flusher::new(self.store.clone(), settings)
    }

    /// By id: the moving average without zeros at its end, and whether it is a whale's.
    async fn said_of_trades(&self) -> BTreeMap<i64, (Option<Fixed8>, bool)> {
        let whale = "CASE WHEN is_whale THEN 'whale' ELSE 'fish' END";
        let average =
            if self.is_mysql() { "CAST(moving_average AS char)" } else { "CAST(moving_average AS text)" };
        let lines = self
            .texts(&format!(
                "SELECT concat_ws(' ', trade_id, {whale}, coalesce({average}, 'none')) FROM trades_by_symbol
                 WHERE symbol = 'BTCUSDT'"
            ))
            .await;
        let said = |line: &String| {
            let words: Vec<&str> = line.split(' ').collect();
            (words[0].parse().unwrap(), (words[2].parse().ok(), words[1] == "whale"))
        };
        lines.iter().map(said).collect()
    }

    /// First id, last id, side, quantity, value, and whether the order is final, by first id.
    async fn whale_orders(&self) -> Vec<(i64, i64, bool, Fixed8, Fixed16, bool)> {
        let flag = |column: &str| format!("CASE WHEN {column} THEN 'yes' ELSE 'no' END");
        let lines = self
            .texts(&format!(
                "SELECT concat_ws(' ', first_trade_id, last_trade_id, {}, quantity, quote_quantity, {}, trade_count)
                 FROM whale_orders_by_symbol ORDER BY first_trade_id",
                flag("buyer_is_maker"),
                flag("final")
            ))
            .await;
        let order = |line: &String| {
            let words: Vec<&str> = line.split(' ').collect();
            let (first_id, last_id): (i64, i64) = (words[0].parse().unwrap(), words[1].parse().unwrap());
            assert_eq!(words[6], (last_id - first_id + 1).to_string());
            let (quantity, value) = (words[3].parse().unwrap(), words[4].parse().unwrap());
            (first_id, last_id, words[2] == "yes", quantity, value, words[5] == "yes")
        };
        lines.iter().map(order).collect()
    }

    async fn totals(&self) -> (i64, Fixed8, Fixed16) {
        let line =
            self.texts("SELECT concat_ws(' ', trade_count, volume, quote_volume) FROM symbol_totals").await;
        let words: Vec<&str> = line[0].split(' ').collect();
        (words[0].parse().unwrap(), words[1].parse().unwrap(), words[2].parse().unwrap())
    }

    /// Everything against a computation that looks at all trades at once.
    async fn assert_said_of(&self, held: &[Trade], asked: Asked) {
        let mut held = held.to_vec();
        held.sort_by_key(|trade| trade.trade_id);
        held.dedup_by_key(|trade| trade.trade_id);
        let is_whale = |value: Fixed16| asked.whale.is_some_and(|least| value >= least.parse().unwrap());
        let value = |trade: &Trade| trade.price.checked_mul(trade.quantity).unwrap();
        let averages = held.iter().enumerate().map(|(index, trade)| {
            let average = asked.averaged.filter(|count| index + 1 >= *count).map(|count| {
                let prices = held[index + 1 - count..=index].iter().map(|trade| trade.price);
                let sum = prices.fold(Fixed8::ZERO, |sum, price| sum.checked_add(price).unwrap());
                sum.mean_of(i64::try_from(count).unwrap())
            });
            (trade.trade_id, (average, is_whale(value(trade))))
        });
        let said = self.said_of_trades().await;
        for (id, expected) in averages.clone() {
            assert_eq!(said[&id], expected, "trade {id}");
        }
        assert_eq!(said.len(), held.len());
        let ids: std::collections::HashSet<i64> = held.iter().map(|trade| trade.trade_id).collect();
        let orders = held.chunk_by(|left, right| {
            left.trade_id + 1 == right.trade_id
                && left.trade_time_us / 1_000 == right.trade_time_us / 1_000
                && left.buyer_is_maker == right.buyer_is_maker
        });
        let orders = orders.filter_map(|fills| {
            let (first, last) = (fills[0].trade_id, fills[fills.len() - 1].trade_id);
            let quantity =
                fills.iter().fold(Fixed8::ZERO, |sum, fill| sum.checked_add(fill.quantity).unwrap());
            let sum = fills.iter().fold(Fixed16::ZERO, |sum, fill| sum.checked_add(value(fill)).unwrap());
            let is_final = ids.contains(&(first - 1)) && ids.contains(&(last + 1));
            is_whale(sum).then_some((first, last, fills[0].buyer_is_maker, quantity, sum, is_final))
        });
        assert_eq!(self.whale_orders().await, orders.collect::<Vec<_>>());
        let volume = held.iter().fold(Fixed8::ZERO, |sum, trade| sum.checked_add(trade.quantity).unwrap());
        let quote = held.iter().fold(Fixed16::ZERO, |sum, trade| sum.checked_add(value(trade)).unwrap());
        assert_eq!(self.totals().await, (i64::try_from(held.len()).unwrap(), volume, quote));
        let of_whales = averages.filter(|(_, (_, is_whale))| *is_whale).count();
        let listed = self.number("SELECT count(*) FROM whale_trades").await;
        assert_eq!(listed, i64::try_from(of_whales).unwrap());
    }
}

/// The same numbers in every run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }

    fn shuffle<T>(&mut self, items: &mut [T]) {
        for end in (1..items.len()).rev() {
            let other = usize::try_from(self.below(u64::try_from(end).unwrap() + 1)).unwrap();
            items.swap(end, other);
        }
    }
}

/// Trades of which some are of one order, some step back in time, and some are whales'.
fn lively_trades(numbers: &mut Numbers, count: i64) -> Vec<Trade> {
    let mut time_us = START_US + 1_000_000;
    let mut buyer_is_maker = false;
    let trades = (1..=count).map(|id| {
        if numbers.below(3) == 0 {
            time_us += i64::try_from(numbers.below(20_000)).unwrap();
            buyer_is_maker = numbers.below(2) == 0;
        }
        let back_us = if numbers.below(9) == 0 { i64::try_from(numbers.below(5_000)).unwrap() } else { 0 };
        let trade_time_us = time_us - back_us;
        let price = format!("{}.{:03}", 100 + numbers.below(40), numbers.below(1_000));
        let quantity = format!("{}.{:02}", numbers.below(6), 1 + numbers.below(99));
        Trade {
            trade_id: id,
            price: price.parse().unwrap(),
            quantity: quantity.parse().unwrap(),
            trade_time_us,
            event_time_us: trade_time_us,
            received_time_us: trade_time_us,
            buyer_is_maker,
        }
    });
    trades.collect()
}

pub(super) async fn in_whatever_order_trades_come_the_same_is_said_of_them(database: TestDatabase) {
    come_in_disorder(database, BOTH, 240).await;
}

pub(super) async fn averages_alone_are_said_where_they_alone_are_asked_for(database: TestDatabase) {
    come_in_disorder(database, Asked { whale: None, ..BOTH }, 100).await;
}

pub(super) async fn whales_alone_are_said_where_they_alone_are_asked_for(database: TestDatabase) {
    come_in_disorder(database, Asked { averaged: None, ..BOTH }, 100).await;
}

async fn come_in_disorder(database: TestDatabase, asked: Asked, count: i64) {
    let mut numbers = Numbers(7);
    let all = lively_trades(&mut numbers, count);
    let (one, other) = (Sender::new(&database, 0).await, Sender::new(&database, 1).await);
    let (mut flusher, mut rival) =
        (database.flusher_of_indicators(asked), database.flusher_of_indicators(asked));
    // Pieces of the log, large and small, in a random order, some of them twice and with holes that close later.
    let mut pieces: Vec<Vec<Trade>> = Vec::new();
    let mut rest = all.as_slice();
    while !rest.is_empty() {
        let size = 1 + usize::try_from(numbers.below(17)).unwrap();
        let (piece, later) = rest.split_at(size.min(rest.len()));
        pieces.push(piece.iter().filter(|trade| trade.trade_id % 7 != 0).copied().collect());
        pieces.push(piece.iter().filter(|trade| trade.trade_id % 7 == 0).copied().collect());
        rest = later;
    }
    // The first of them in their order, as they mostly come.
    let (_, late) = pieces.split_at_mut(12);
    numbers.shuffle(late);
    let mut held: Vec<Trade> = Vec::new();
    for (index, pair) in pieces.chunks(2).enumerate() {
        let mut batch = pair.concat();
        numbers.shuffle(&mut batch);
        held.extend(&batch);
        let again = usize::try_from(numbers.below(20)).unwrap();
        batch.extend(held.iter().take(again).copied().collect::<Vec<_>>());
        // Mostly the one that remembers.
        let by = if index % 5 == 4 { (&other, &mut rival) } else { (&one, &mut flusher) };
        by.0.flush(by.1, "BTCUSDT", &batch).await;
        if index % 3 == 0 {
            database.assert_said_of(&held, asked).await;
        }
    }
    assert_eq!(held.len(), all.len());
    database.assert_said_of(&all, asked).await;
}

pub(super) async fn what_a_rebuild_removes_is_said_again(database: TestDatabase) {
    let (mut flusher, sender) = (database.flusher_of_indicators(BOTH), Sender::new(&database, 0).await);
    let whales: Vec<Trade> = trades(1..=60)
        .into_iter()
        .map(|trade| Trade {
            quantity: if trade.trade_id % 4 == 0 { "9".parse().unwrap() } else { trade.quantity },
            ..trade
        })
        .collect();
    sender.flush(&mut flusher, "BTCUSDT", &whales).await;
    database.assert_said_of(&whales, BOTH).await;
    database.probe(60, 3_000).await;
    let (from_us, to_us) = (START_US + 5 * 60_000_000, START_US + 6 * 60_000_000);
    let rebuilt = database.store.rebuild(&market("BTCUSDT"), from_us, to_us).await.unwrap();
    assert_eq!((rebuilt.first_id, rebuilt.last_id), (30, 35));
    assert_eq!(database.totals().await.0, 54);
    // Ids 28 and 36 are whales' beside the cut: the trade on one side of each is not known now.
    let orders = database.whale_orders().await;
    let ids: Vec<i64> = orders.iter().map(|order| order.0).filter(|id| (24..=40).contains(id)).collect();
    assert_eq!(ids, [24, 28, 36, 40]);
    assert!(!orders.iter().any(|order| order.0 == 36 && order.5));
    sender.flush(&mut flusher, "BTCUSDT", &whales[29..35]).await;
    database.assert_said_of(&whales, BOTH).await;
    // Totals that began behind what is removed begin anew.
    database
        .execute("UPDATE symbol_head SET total_trades = 50, total_volume = '3', version = version + 1")
        .await;
    database.store.rebuild(&market("BTCUSDT"), from_us, to_us).await.unwrap();
    sender.flush(&mut flusher, "BTCUSDT", &whales[29..31]).await;
    assert_eq!(database.totals().await.0, 2);
    assert_eq!(database.number("SELECT trades_held FROM symbol_totals").await, 56);
}

pub(super) async fn an_order_is_final_once_the_trades_beside_it_are_known(database: TestDatabase) {
    let (mut flusher, sender) = (database.flusher_of_indicators(BOTH), Sender::new(&database, 0).await);
    let fill = |id: i64| Trade { trade_time_us: START_US + 5_000 + id, buyer_is_maker: true, ..trade(id, 0) };
    let begin_and_end = |order: &(i64, i64, bool, Fixed8, Fixed16, bool)| (order.0, order.1, order.5);
    let orders = async || database.whale_orders().await.iter().map(begin_and_end).collect::<Vec<_>>();
    // Three fills of 220 each are a whale's order, and none of them is a whale's trade.
    sender.flush(&mut flusher, "BTCUSDT", &[fill(10), fill(11)]).await;
    assert_eq!(orders().await, []);
    sender.flush(&mut flusher, "BTCUSDT", &[fill(12)]).await;
    assert_eq!(orders().await, [(10, 12, false)]);
    sender.flush(&mut flusher, "BTCUSDT", &[fill(14), fill(15), fill(16)]).await;
    assert_eq!(orders().await, [(10, 12, false), (14, 16, false)]);
    // What was between makes one of two.
    sender.flush(&mut flusher, "BTCUSDT", &[fill(13)]).await;
    assert_eq!(orders().await, [(10, 16, false)]);
    sender.flush(&mut flusher, "BTCUSDT", &[trade(17, 1)]).await;
    assert_eq!(orders().await, [(10, 16, false)]);
    sender.flush(&mut flusher, "BTCUSDT", &[Trade { trade_time_us: START_US + 1, ..trade(9, 0) }]).await;
    assert_eq!(orders().await, [(10, 16, true)]);
    assert_eq!(database.number("SELECT count(*) FROM whale_trades").await, 0);
}

pub(super) async fn a_large_flush_stores_what_small_ones_do(database: TestDatabase) {
    let (mut flusher, sender) = (database.flusher_of_indicators(BOTH), Sender::new(&database, 0).await);
    // More than PostgreSQL gets as arrays.
    let all = lively_trades(&mut Numbers(3), i64::try_from(MOST_IN_ARRAYS).unwrap() + 100);
    sender.flush(&mut flusher, "BTCUSDT", &all).await;
    for part in all.chunks(1_500) {
        sender.flush(&mut flusher, "ETHUSDT", part).await;
    }
    let stored = async |symbol: &str| {
        let rows = format!(
            "SELECT concat_ws(' ', trade_id, trade_time, price, quantity, buyer_is_maker, is_whale, moving_average)
             FROM trades_by_symbol WHERE symbol = '{symbol}' ORDER BY trade_id"
        );
        database.texts(&rows).await
    };
    let large = stored("BTCUSDT").await;
    assert_eq!(large.len(), all.len());
    assert_eq!(large, stored("ETHUSDT").await);
}

pub(super) async fn a_late_trade_leaves_rows_alone_of_which_the_same_is_said(database: TestDatabase) {
    let asked = Asked { averaged: Some(3), whale: None };
    let (mut flusher, sender) = (database.flusher_of_indicators(asked), Sender::new(&database, 0).await);
    let at = |id: i64, price: &str| Trade { price: price.parse().unwrap(), ..trade(id, id) };
    let alike = |ids: &[i64]| ids.iter().map(|id| at(*id, "100.5")).collect::<Vec<Trade>>();
    let versions = "SELECT concat_ws(' ', trade_id, version) FROM trades ORDER BY trade_id";
    // Too few for an average, and then as many: the same price all along.
    sender.flush(&mut flusher, "BTCUSDT", &alike(&[2])).await;
    sender.flush(&mut flusher, "BTCUSDT", &alike(&[1])).await;
    assert_eq!(database.texts(versions).await, ["1 2", "2 1"]);
    sender.flush(&mut flusher, "BTCUSDT", &alike(&[4, 5, 6])).await;
    sender.flush(&mut flusher, "BTCUSDT", &alike(&[3])).await;
    assert_eq!(database.texts(versions).await, ["1 2", "2 1", "3 4", "4 3", "5 3", "6 3"]);
    // A price that moves the averages of the two after it by the least that there is.
    sender.flush(&mut flusher, "BTCUSDT", &alike(&[10, 11, 12])).await;
    sender.flush(&mut flusher, "BTCUSDT", &[at(9, "100.50000003")]).await;
    assert_eq!(database.texts(versions).await[6..], ["9 6", "10 6", "11 6", "12 5"]);
}

pub(super) async fn where_none_are_asked_for_nothing_is_said(database: TestDatabase) {
    let (mut flusher, sender) = (database.flusher(&["1m"]), Sender::new(&database, 0).await);
    sender.flush(&mut flusher, "BTCUSDT", &trades(1..=20)).await;
    let said = database.said_of_trades().await;
    assert!(said.len() == 20 && said.values().all(|said| *said == (None, false)));
    // Those that come then have an average once there are enough, of the trades before too.
    let mut flusher = database.flusher_of_indicators(BOTH);
    sender.flush(&mut flusher, "BTCUSDT", &trades(21..=22)).await;
    let said = database.said_of_trades().await;
    assert_eq!((said[&20].0, said[&21].0), (None, Some("119.5".parse().unwrap())));
    // Another quote asset has no value of its own.
    sender.flush(&mut flusher, "BTCEUR", &[Trade { quantity: "900".parse().unwrap(), ..trade(1, 1) }]).await;
    assert_eq!(database.number("SELECT count(*) FROM whale_orders").await, 0);
}

pub(super) async fn whales_go_with_the_candles_and_totals_stay(database: TestDatabase) {
    let (mut flusher, sender) = (database.flusher_of_indicators(BOTH), Sender::new(&database, 0).await);
    let day_s = 86_400;
    let whale = |id: i64| Trade { quantity: "9".parse().unwrap(), ..trade(id, id * day_s) };
    let whales: Vec<Trade> = (1..=5).map(whale).collect();
    sender.flush(&mut flusher, "BTCUSDT", &whales).await;
    // `NOW_US` is 30 days after the start.
    let retention = Retention { trades_s: Some(26 * day_s), candles_s: Some(27 * day_s) };
    database.store.retain(retention, NOW_US).await.unwrap();
    assert_eq!(database.number("SELECT count(*) FROM trades").await, 2);
    assert_eq!(database.number("SELECT count(*) FROM whale_orders").await, 3);
    assert_eq!(database.number("SELECT count(*) FROM whale_trades").await, 2);
    assert_eq!(database.totals().await.0, 5);
}
