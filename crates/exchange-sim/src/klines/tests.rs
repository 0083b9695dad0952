use super::*;

const MINUTE_US: i64 = 60 * SECOND_US;
const START_US: i64 = 1_767_225_600_000_000;

fn trade(id: i64, after_start_us: i64, price: &str, quantity: &str, buyer_is_maker: bool) -> Trade {
    Trade {
        id,
        price: price.parse().unwrap(),
        quantity: quantity.parse().unwrap(),
        time_us: START_US + after_start_us,
        aggregate_id: id,
        buyer_is_maker,
    }
}

fn history(trades: &[Trade]) -> KlineHistory {
    let mut history = KlineHistory::default();
    trades.iter().for_each(|trade| history.add(trade));
    history
}

fn query(name: &str, start_us: Option<i64>, end_us: Option<i64>, limit: usize) -> KlineQuery {
    KlineQuery { interval: Interval::named(name).unwrap(), start_us, end_us, limit }
}

/// Trades in the minutes 0 and 3.
fn two_minutes() -> KlineHistory {
    history(&[
        trade(1, 100, "10", "1", false),
        trade(2, 1_500_000, "12", "2", true),
        trade(3, 59_999_999, "11", "0.5", false),
        trade(4, 3 * MINUTE_US, "13", "1", true),
    ])
}

fn opens_in_minutes(rows: &[WindowKline]) -> Vec<i64> {
    rows.iter().map(|row| (row.open_us - START_US) / MINUTE_US).collect()
}

#[test]
fn a_window_has_the_sums_and_extremes_of_its_trades() {
    let rows = two_minutes().query(&query("1m", None, None, 500), START_US + 3 * MINUTE_US, &[]);
    let kline = rows[0].kline;
    assert_eq!(
        [kline.open, kline.high, kline.low, kline.close].map(|price| price.to_string()),
        ["10", "12", "10", "11"]
    );
    assert_eq!((kline.volume.to_string(), kline.quote_volume.to_string()), ("3.5".into(), "39.5".into()));
    assert_eq!(
        (kline.taker_buy_volume.to_string(), kline.taker_buy_quote_volume.to_string()),
        ("1.5".into(), "15.5".into())
    );
    assert_eq!((kline.trade_count, kline.first_trade_id, kline.last_trade_id), (3, 1, 3));
}

#[test]
fn windows_without_trades_repeat_the_close_before_them() {
    let rows = two_minutes().query(&query("1m", None, None, 500), START_US + 5 * MINUTE_US, &[]);
    assert_eq!(opens_in_minutes(&rows), [0, 1, 2, 3, 4, 5]);
    assert_eq!(rows[1].kline, Kline::without_trades("11".parse().unwrap()));
    assert_eq!(rows[5].kline, Kline::without_trades("13".parse().unwrap()));
}

#[test]
fn windows_inside_a_break_have_no_row() {
    let breaks = [(START_US + MINUTE_US, START_US + 3 * MINUTE_US)];
    let rows = two_minutes().query(&query("1m", None, None, 500), START_US + 3 * MINUTE_US, &breaks);
    assert_eq!(opens_in_minutes(&rows), [0, 3]);
}

#[test]
fn bounds_and_limit_choose_as_the_exchange_does() {
    let history = two_minutes();
    let now_us = START_US + 5 * MINUTE_US + 1;
    let minutes = |start: Option<i64>, end: Option<i64>, limit| {
        let us = |minute: Option<i64>| minute.map(|minute| START_US + minute * MINUTE_US);
        opens_in_minutes(&history.query(&query("1m", us(start), us(end), limit), now_us, &[]))
    };
    assert_eq!(minutes(None, None, 2), [4, 5]);
    assert_eq!(minutes(Some(1), None, 2), [1, 2]);
    assert_eq!(minutes(None, Some(3), 2), [2, 3]);
    assert_eq!(minutes(Some(1), Some(2), 500), [1, 2]);
    assert_eq!(minutes(Some(-9), Some(0), 500), [0]);
    assert_eq!(minutes(Some(6), None, 500), [0; 0]);
    assert_eq!(minutes(None, Some(-1), 500), [0; 0]);
    let after_open = query("1m", Some(START_US + 1), None, 1);
    assert_eq!(opens_in_minutes(&history.query(&after_open, now_us, &[])), [1]);
}

#[test]
fn nothing_is_there_before_the_first_trade() {
    assert_eq!(KlineHistory::default().query(&query("1m", None, None, 500), START_US, &[]), []);
}

#[test]
fn a_trade_with_an_earlier_time_enters_its_own_window() {
    let history = history(&[
        trade(1, 0, "10", "1", false),
        trade(2, MINUTE_US, "11", "1", false),
        trade(3, MINUTE_US - 1, "9", "1", false),
        trade(4, 500_000, "8", "1", false),
    ]);
    let rows = history.query(&query("1m", None, None, 500), START_US + MINUTE_US, &[]);
    let ids: Vec<_> = rows.iter().map(|row| (row.kline.trade_count, row.kline.low.to_string())).collect();
    assert_eq!(ids, [(3, "8".to_owned()), (1, "11".to_owned())]);
}
