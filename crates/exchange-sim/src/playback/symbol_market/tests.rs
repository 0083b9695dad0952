use super::*;
use crate::faults::Delivery;
use crate::klines::Interval;
use crate::log::tests::even_log;

const START_US: i64 = 1_767_225_600_000_000;

fn times_ms(market: &SymbolMarket) -> Vec<i64> {
    market.view().trades_from(0).map(|trade| (trade.time_us - START_US) / 1_000).collect()
}

#[test]
fn plays_what_is_due_and_says_when_the_next_is() {
    let market = SymbolMarket::new(even_log("TRXUSDT", 5), Placement::default(), None);
    assert_eq!(market.play_until(START_US), Some(START_US + 1_000));
    assert_eq!(market.play_until(START_US + 2_500), Some(START_US + 3_000));
    assert_eq!((market.played_count(), market.is_done()), (2, false));
    assert_eq!(market.play_until(START_US + 9_000), None);
    assert_eq!((market.played_count(), market.is_done()), (5, true));
    assert_eq!(market.last_played().unwrap().id, 5);
}

#[test]
fn a_clock_that_is_ahead_plays_a_later_log_at_once() {
    let placement = Placement { clock_ahead_us: 86_400_000_000, shift_us: 0 };
    let market = SymbolMarket::new(even_log("TRXUSDT", 5), placement, None);
    let clock_start_us = START_US - 86_400_000_000;
    assert_eq!(market.play_until(clock_start_us + 1_000), Some(clock_start_us + 2_000));
    assert_eq!(times_ms(&market), [1]);
}

#[test]
fn playing_to_an_index_never_goes_back() {
    let market = SymbolMarket::new(even_log("TRXUSDT", 5), Placement::default(), None);
    market.play_to(3);
    market.play_to(1);
    assert_eq!((market.played_count(), market.is_done()), (3, false));
    market.play_to(99);
    assert_eq!((market.played_count(), market.is_done()), (5, true));
}

#[test]
fn a_stop_moves_later_trades_and_leaves_no_hole() {
    let market = SymbolMarket::new(even_log("TRXUSDT", 4), Placement::default(), None);
    market.shift_all(0);
    market.play_until(START_US + 2_000);
    market.set_status(SymbolStatus::Halt, START_US + 2_500);
    assert_eq!(market.play_until(START_US + 4_000), None);
    assert_eq!(market.played_count(), 2);
    market.set_status(SymbolStatus::Trading, START_US + 10_500);
    assert_eq!(market.play_until(START_US + 10_500), Some(START_US + 11_000));
    market.play_until(START_US + 20_000);
    assert_eq!(times_ms(&market), [1, 2, 11, 12]);
}

#[test]
fn a_break_has_no_candles_and_a_halt_has() {
    for (status, expected) in [(SymbolStatus::Break, vec![0, 9]), (SymbolStatus::Halt, (0..=9).collect())] {
        let market = SymbolMarket::new(even_log("TRXUSDT", 4), Placement::default(), None);
        market.play_until(START_US + 1_000);
        market.set_status(status, START_US + 1_500);
        market.set_status(SymbolStatus::Trading, START_US + 9_000_000);
        market.play_until(START_US + 9_500_000);
        let seconds =
            KlineQuery { interval: Interval::named("1s").unwrap(), start_us: None, end_us: None, limit: 500 };
        let rows = market.klines(&seconds, START_US + 9_500_000);
        let opens: Vec<i64> = rows.iter().map(|row| (row.open_us - START_US) / 1_000_000).collect();
        assert_eq!(opens, expected, "{status:?}");
    }
}

#[test]
fn the_view_finds_trades_by_id_time_and_aggregate_and_ends_where_playing_does() {
    let market = SymbolMarket::new(even_log("TRXUSDT", 9), Placement::default(), None);
    market.shift_all(60_000_000);
    market.play_to(5);
    let view = market.view();
    assert_eq!((view.count(), view.unfinished_aggregate()), (5, None));
    assert_eq!((view.index_of_id(3), view.index_of_id(7), view.index_of_aggregate(2)), (2, 5, 1));
    assert_eq!(view.index_of_time(START_US + 60_003_000), 2);
    assert_eq!(view.trades_from(3).map(|trade| trade.id).collect::<Vec<_>>(), [4, 5]);
}

fn ids(market: &SymbolMarket) -> Vec<i64> {
    market.view().trades_from(0).map(|trade| trade.id).collect()
}

#[test]
fn after_a_restart_ids_count_anew_and_nothing_before_is_known() {
    let market = SymbolMarket::new(even_log("TRXUSDT", 9), Placement::default(), None);
    market.play_to(4);
    assert!(market.restart_ids(100));
    assert_eq!((ids(&market), market.last_played(), market.view().count()), (vec![], None, 0));
    assert_eq!(market.last_played_us(), Some(START_US + 4_000));
    assert_eq!(market.window(START_US, START_US + 1_000_000), None);
    assert_eq!(market.ends(), (Some(100), Some(104)));
    market.play_to(7);
    let view = market.view();
    assert_eq!((ids(&market), times_ms(&market)), (vec![100, 101, 102], vec![5, 6, 7]));
    assert_eq!((view.index_of_id(4), view.index_of_id(101), view.index_of_id(104)), (0, 1, 3));
    assert_eq!((view.index_of_aggregate(102), view.index_of_time(START_US + 6_000)), (2, 1));
    assert_eq!((view.until(START_US + 5_000).count(), market.view().until(START_US).count()), (1, 0));
    assert_eq!(market.window(START_US, START_US + 1_000_000).unwrap().first_trade_id, 100);
}

#[test]
fn ids_can_be_restarted_again_and_a_stop_leaves_them_alone() {
    let market = SymbolMarket::new(even_log("TRXUSDT", 9), Placement::default(), None);
    market.play_to(2);
    assert!(market.restart_ids(50));
    market.play_to(4);
    assert!(market.restart_ids(0));
    market.set_status(SymbolStatus::Halt, START_US + 4_000);
    market.set_status(SymbolStatus::Trading, START_US + 14_000);
    market.play_to(6);
    assert_eq!((ids(&market), times_ms(&market), market.id_restarts()), (vec![0, 1], vec![15, 16], 2));
    market.play_to(9);
    assert!(!market.restart_ids(1), "no trade is left that could have the id");
    assert_eq!((ids(&market), market.id_restarts()), ((0..=4).collect(), 2));
}

#[test]
fn an_aggregate_that_a_restart_cuts_has_no_first_part() {
    let trades = [1, 2, 3].map(|id| Trade { aggregate_id: 7, ..even_log("TRXUSDT", id).last().unwrap() });
    let market = SymbolMarket::new(TradeLog::recorded("TRXUSDT", &trades), Placement::default(), None);
    market.play_to(1);
    assert_eq!(market.view().unfinished_aggregate(), Some(7));
    assert!(market.restart_ids(1));
    assert_eq!(market.view().unfinished_aggregate(), None);
    market.play_to(2);
    assert_eq!(market.view().unfinished_aggregate(), Some(1));
}

#[test]
fn what_was_to_go_wrong_with_the_ids_before_a_restart_does_not() {
    let market = SymbolMarket::new(even_log("TRXUSDT", 9), Placement::default(), None);
    market.faults.withhold(1..=9);
    market.faults.forget_before(5);
    market.play_to(4);
    market.restart_ids(1);
    assert_eq!((market.faults.delivery(1), market.faults.first_known_id()), (Delivery::Whole, 0));
    market.faults.withhold(2..=2);
    assert_eq!([1, 2, 3].map(|id| market.faults.delivery(id) == Delivery::Withheld), [false, true, false]);
}
