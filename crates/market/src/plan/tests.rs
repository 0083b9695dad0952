//! The plan against a brute-force oracle, which knows nothing of ranges, batches or merging.

use proptest::prelude::*;

use super::*;
use crate::testing::trades;
use crate::{Fixed8, Fixed16, Overflow};

fn settings(intervals: &[&str]) -> PlanSettings {
    PlanSettings {
        intervals: intervals.iter().map(|text| text.parse().unwrap()).collect(),
        store_trades: true,
        trades_floor_us: i64::MIN,
        candles_floor_us: i64::MIN,
        latest_time_us: i64::MAX,
    }
}

fn record(trade: Trade) -> Record {
    Record { trade, partition: 0, offset: 0 }
}

fn trade(trade_id: i64, price: &str, trade_time_us: i64) -> Trade {
    Trade {
        trade_id,
        price: price.parse().unwrap(),
        quantity: "1".parse().unwrap(),
        trade_time_us,
        event_time_us: trade_time_us,
        received_time_us: trade_time_us,
        buyer_is_maker: false,
    }
}

fn plan(stored: &mut StoredMarket, trades: &[Trade], settings: &PlanSettings) -> MarketPlan {
    plan_market(trades.iter().copied().map(record).collect(), &[], stored, BuiltCandles::new(), settings)
}

/// What a database holds after the plans, and the market's state.
#[derive(Default)]
struct Database {
    market: StoredMarket,
    candles: HashMap<CandleKey, Candle>,
    trades: Vec<Trade>,
    ranges: BTreeMap<i64, TradeRange>,
}

impl Database {
    fn flush(&mut self, trades: &[Trade], settings: &PlanSettings) -> MarketPlan {
        let records: Vec<Record> = trades.iter().copied().map(record).collect();
        let windows = touched_windows(&records, &settings.intervals);
        self.market.candles =
            windows.iter().filter_map(|key| Some((*key, *self.candles.get(key)?))).collect();
        let plan = plan_market(records, &[], &mut self.market, BuiltCandles::new(), settings);
        self.candles.extend(
            plan.candles.iter().map(|(interval, candle)| ((*interval, candle.open_time_us), *candle)),
        );
        self.trades.extend(&plan.trades);
        self.ranges.retain(|first_id, _| !plan.ranges.deleted.contains(first_id));
        self.ranges.extend(plan.ranges.written.clone());
        plan
    }
}

/// All candles of the trades, by grouping and summing, trade by trade.
fn oracle(trades: &[Trade], intervals: &[Interval]) -> HashMap<CandleKey, Candle> {
    let mut sorted = trades.to_vec();
    sorted.sort_by_key(|trade| trade.trade_id);
    sorted.dedup_by_key(|trade| trade.trade_id);
    let mut groups: HashMap<CandleKey, Vec<Trade>> = HashMap::new();
    for trade in sorted {
        for interval in intervals {
            let open_time_us = trade.trade_time_us.div_euclid(interval.length_us()) * interval.length_us();
            groups.entry((*interval, open_time_us)).or_default().push(trade);
        }
    }
    groups.into_iter().map(|(key, group)| (key, summed(&group, key.1))).collect()
}

fn summed(group: &[Trade], open_time_us: i64) -> Candle {
    let taker_buys = || group.iter().filter(|trade| !trade.buyer_is_maker);
    let volume = |units: i128| Fixed8::from_units(units).unwrap();
    let value = |units: i128| Fixed16::from_units(units).unwrap();
    Candle {
        open_time_us,
        open: group[0].price,
        high: group.iter().map(|trade| trade.price).max().unwrap(),
        low: group.iter().map(|trade| trade.price).min().unwrap(),
        close: group[group.len() - 1].price,
        volume: volume(group.iter().map(|trade| trade.quantity.units()).sum()),
        quote_volume: value(group.iter().map(|trade| trade.price.units() * trade.quantity.units()).sum()),
        trade_count: i64::try_from(group.len()).unwrap(),
        taker_buy_volume: volume(taker_buys().map(|trade| trade.quantity.units()).sum()),
        taker_buy_quote_volume: value(
            taker_buys().map(|trade| trade.price.units() * trade.quantity.units()).sum(),
        ),
        first_trade_id: group[0].trade_id,
        last_trade_id: group[group.len() - 1].trade_id,
    }
}

proptest! {
    #[test]
    fn any_order_duplication_and_batching_give_the_oracles_candles(
        trades in trades(60),
        repeats in prop::collection::vec(0_usize..60, 0..40),
        batch_length in 1_usize..30,
    ) {
        let settings = settings(&["1m", "5m", "15s"]);
        let mut sent: Vec<Trade> = trades.clone();
        for repeat in &repeats {
            sent.insert(*repeat, trades[*repeat]);
        }
        let mut database = Database::default();
        let mut counts = RecordCounts::default();
        for batch in sent.chunks(batch_length) {
            let of_batch = database.flush(batch, &settings).counts[&0];
            counts.new += of_batch.new;
            counts.duplicate += of_batch.duplicate;
        }
        prop_assert_eq!(&database.candles, &oracle(&trades, &settings.intervals));
        prop_assert_eq!((counts.new, counts.duplicate), (60, i64::try_from(repeats.len()).unwrap()));
        let mut expected = trades;
        expected.sort_by_key(|trade| trade.trade_id);
        database.trades.sort_by_key(|trade| trade.trade_id);
        prop_assert_eq!(&database.trades, &expected);
        prop_assert_eq!(database.ranges.len(), 1);
        prop_assert_eq!(database.market.ledger.iter().copied().collect::<Vec<_>>(), database.ranges.values().copied().collect::<Vec<_>>());
        prop_assert_eq!(database.market.trades_held, 60);
        prop_assert_eq!(database.market.last_trade.map(|last| last.trade_id), expected.last().map(|trade| trade.trade_id));
    }

    #[test]
    fn an_interval_built_later_equals_one_folded_from_the_start(trades in trades(40), split in 1_usize..39) {
        let minute = settings(&["1m"]);
        let both = settings(&["1m", "5m"]);
        let mut database = Database::default();
        database.flush(&trades[..split], &minute);
        prop_assert_eq!(intervals_to_build(&database.market, &both), [(both.intervals[1], both.intervals[0])]);

        let finer: Vec<Candle> = database.candles.values().copied().collect();
        let built = build_coarser(&finer, both.intervals[1]).unwrap();
        let records: Vec<Record> = trades[split..].iter().copied().map(record).collect();
        database.market.candles = database.candles.clone();
        let plan = plan_market(records, &[], &mut database.market, BTreeMap::from([(both.intervals[1], built)]), &both);
        database.candles.extend(plan.candles.iter().map(|(interval, candle)| ((*interval, candle.open_time_us), *candle)));

        prop_assert_eq!(&database.candles, &oracle(&trades, &both.intervals));
        prop_assert_eq!(plan.opened_folds, [(Output::Candles(both.intervals[1]), Fold { incomplete_until_us: None })]);
    }
}

#[test]
fn an_output_switched_on_later_says_what_it_missed() {
    let mut stored = StoredMarket::default();
    let mut settings = settings(&["1m"]);
    settings.store_trades = false;
    plan(&mut stored, &[trade(1, "5", 1_000)], &settings);
    settings.store_trades = true;
    let switched_on = plan(&mut stored, &[trade(2, "5", 2_000)], &settings);
    assert_eq!(switched_on.opened_folds, [(Output::Trades, Fold { incomplete_until_us: Some(1_000) })]);
    settings.store_trades = false;
    let switched_off = plan(&mut stored, &[trade(3, "5", 3_000)], &settings);
    assert_eq!(switched_off.closed_folds, [Output::Trades]);
    assert_eq!(switched_off.trades, []);
}

#[test]
fn a_finer_interval_added_later_cannot_be_built_and_says_so() {
    let mut stored = StoredMarket::default();
    plan(&mut stored, &[trade(1, "5", 1_000)], &settings(&["5m"]));
    let both = settings(&["5m", "1m"]);
    assert_eq!(intervals_to_build(&stored, &both), []);
    let added = plan(&mut stored, &[trade(2, "5", 2_000)], &both);
    let minute = Output::Candles(both.intervals[1]);
    assert_eq!(added.opened_folds, [(minute, Fold { incomplete_until_us: Some(1_000) })]);
}

#[test]
fn an_interval_that_cannot_be_built_begins_now_and_says_so() {
    let mut stored = StoredMarket::default();
    let large = |trade_id, trade_time_us| Trade {
        quantity: "6000000000000000000000".parse().unwrap(),
        ..trade(trade_id, "1", trade_time_us)
    };
    plan(&mut stored, &[large(1, 1), large(2, 60_000_000)], &settings(&["1m"]));
    let both = settings(&["1m", "5m"]);
    let finer: Vec<Candle> = stored.candles.values().copied().collect();
    assert_eq!(build_coarser(&finer, both.intervals[1]), Err(Overflow));
    let added = plan(&mut stored, &[trade(3, "5", 60_000_001)], &both);
    let coarser = Output::Candles(both.intervals[1]);
    assert_eq!(added.opened_folds, [(coarser, Fold { incomplete_until_us: Some(60_000_000) })]);
}

fn kinds(stored: &StoredMarket) -> Vec<(i64, i64, RangeKind)> {
    stored.ledger.iter().map(|range| (range.first_id, range.last_id, range.kind)).collect()
}

const OVERFLOW: RangeKind = RangeKind::Refused(RefusalReason::Overflow);

#[test]
fn a_trade_whose_value_does_not_fit_is_refused_and_the_others_of_its_batch_are_held() {
    let mut stored = StoredMarket::default();
    let mut huge = trade(2, "9999999999999999999999", 1);
    huge.quantity = huge.price;
    let settings = settings(&["1m"]);
    let plan = plan(&mut stored, &[trade(1, "1", 1), huge, trade(3, "7", 1)], &settings);
    assert_eq!(plan.set_aside, [(record(huge), SetAsideReason::Overflow)]);
    assert_eq!(plan.counts[&0], RecordCounts { new: 2, duplicate: 0, set_aside: 1 });
    assert_eq!(kinds(&stored), [(1, 1, RangeKind::Held), (2, 2, OVERFLOW), (3, 3, RangeKind::Held)]);
    assert_eq!(
        plan.candles[0].1,
        oracle(&[trade(1, "1", 1), trade(3, "7", 1)], &settings.intervals)[&(settings.intervals[0], 0)]
    );
}

#[test]
fn a_trade_with_which_the_sum_of_a_window_does_not_fit_is_refused_from_all_of_them() {
    let mut stored = StoredMarket::default();
    let settings = settings(&["1m", "5m"]);
    let large = |trade_id, minute: i64| Trade {
        quantity: "6000000000000000000000".parse().unwrap(),
        ..trade(trade_id, "1", minute * 60_000_000 + 1)
    };
    plan(&mut stored, &[large(1, 0)], &settings);
    let second = plan(&mut stored, &[large(2, 1), trade(3, "1", 120_000_000)], &settings);
    assert_eq!(second.counts[&0], RecordCounts { new: 1, duplicate: 0, set_aside: 1 });
    assert_eq!(kinds(&stored), [(1, 1, RangeKind::Held), (2, 2, OVERFLOW), (3, 3, RangeKind::Held)]);
    let opens: Vec<_> =
        second.candles.iter().map(|(interval, candle)| (*interval, candle.open_time_us)).collect();
    assert_eq!(opens, [(settings.intervals[0], 120_000_000), (settings.intervals[1], 0)]);
}

#[test]
fn trades_that_could_not_be_decoded_are_accounted_for_until_one_comes_that_can() {
    let mut stored = StoredMarket::default();
    let settings = PlanSettings { latest_time_us: 100, ..settings(&["1m"]) };
    let refused = |trade_id, trade_time_us| RefusedTrade {
        trade_id,
        trade_time_us,
        reason: RefusalReason::TooManyDecimals,
    };
    let unbelievable = [refused(-1, 5), refused(HIGHEST_TRADE_ID + 1, 5), refused(7, 0), refused(8, 101)];
    let given = [&[refused(2, 20), refused(3, 30)][..], &unbelievable].concat();
    let records = vec![record(trade(1, "1", 10)), record(trade(4, "1", 40))];
    let first = plan_market(records, &given, &mut stored, BuiltCandles::new(), &settings);
    let too_many = RangeKind::Refused(RefusalReason::TooManyDecimals);
    assert_eq!(kinds(&stored), [(1, 1, RangeKind::Held), (2, 3, too_many), (4, 4, RangeKind::Held)]);
    assert_eq!((first.candles[0].1.trade_count, stored.trades_held), (2, 2));
    assert_eq!(plan(&mut stored, &[trade(2, "1", 20)], &settings).counts[&0].new, 1);
    assert_eq!(kinds(&stored), [(1, 2, RangeKind::Held), (3, 3, too_many), (4, 4, RangeKind::Held)]);
    // Held is held, whoever says otherwise later.
    let _ = plan_market(Vec::new(), &[refused(4, 40)], &mut stored, BuiltCandles::new(), &settings);
    assert_eq!(kinds(&stored).len(), 3);
}

#[test]
fn what_can_be_no_trade_is_set_aside() {
    let damages: [fn(&mut Trade); 7] = [
        |trade| trade.trade_id = -1,
        |trade| trade.trade_id = i64::MAX,
        |trade| trade.trade_time_us = 0,
        |trade| trade.trade_time_us = i64::MAX,
        |trade| trade.trade_time_us = i64::MIN,
        |trade| trade.price = Fixed8::ZERO,
        |trade| trade.quantity = "-1".parse().unwrap(),
    ];
    for damage in damages {
        let mut stored = StoredMarket::default();
        let mut damaged = trade(2, "1", 1);
        damage(&mut damaged);
        let plan = plan(&mut stored, &[trade(1, "1", 1), damaged], &settings(&["1m"]));
        assert_eq!(plan.set_aside, [(record(damaged), SetAsideReason::Impossible)]);
        assert_eq!(kinds(&stored), [(1, 1, RangeKind::Held)]);
    }
}

#[test]
fn an_id_that_the_exchange_cannot_have_reached_is_set_aside() {
    let mut stored = StoredMarket { highest_id: Some(1_000), ..StoredMarket::default() };
    let plan = plan(&mut stored, &[trade(1_000, "1", 1), trade(1_001, "1", 2)], &settings(&["1m"]));
    assert_eq!(plan.set_aside, [(record(trade(1_001, "1", 2)), SetAsideReason::IdBeyondExchange)]);
    assert_eq!(kinds(&stored), [(1_000, 1_000, RangeKind::Held)]);
}

proptest! {
    #[test]
    fn whatever_comes_every_record_is_counted_once_and_the_ledger_stays_sane(
        batches in prop::collection::vec(prop::collection::vec(wild_trade(), 0..12), 1..5)
    ) {
        let mut database = Database::default();
        for batch in batches {
            let counts = database.flush(&batch, &settings(&["1m", "1h"])).counts;
            let counted = counts.get(&0).map_or(0, |counts| counts.new + counts.duplicate + counts.set_aside);
            prop_assert_eq!(counted, i64::try_from(batch.len()).unwrap());
        }
        let held = database.market.ledger.iter().filter(|range| range.kind == RangeKind::Held);
        prop_assert_eq!(held.map(|range| range.last_id - range.first_id + 1).sum::<i64>(), database.market.trades_held);
        prop_assert!(database.market.ledger.iter().all(|range| is_trade_id(range.first_id) && is_trade_id(range.last_id)));
    }
}

/// Trades at and beyond every limit.
fn wild_trade() -> impl Strategy<Value = Trade> {
    let near =
        |value: i64| prop_oneof![Just(value), Just(value.saturating_sub(1)), Just(value.saturating_add(1))];
    let integer = || {
        prop_oneof![
            near(0),
            near(3),
            near(HIGHEST_TRADE_ID),
            near(i64::MIN),
            near(i64::MAX),
            near(253_370_764_800_000_000)
        ]
    };
    let amount =
        || prop_oneof![Just("0"), Just("-1"), Just("1"), Just("0.00000001"), Just("9999999999999999999999")];
    (integer(), integer(), amount(), amount()).prop_map(|(trade_id, trade_time_us, price, quantity)| Trade {
        quantity: quantity.parse().unwrap(),
        ..trade(trade_id, price, trade_time_us)
    })
}

#[test]
fn a_trade_of_the_future_is_set_aside() {
    let mut stored = StoredMarket::default();
    let settings = PlanSettings { latest_time_us: 10, ..settings(&["1m"]) };
    let plan = plan(&mut stored, &[trade(1, "1", 10), trade(2, "1", 11)], &settings);
    assert_eq!(plan.set_aside, [(record(trade(2, "1", 11)), SetAsideReason::TimeInFuture)]);
    assert!(stored.ledger.covering(2).is_none());
}

#[test]
fn ids_that_begin_anew_are_set_aside_not_taken_for_duplicates() {
    let mut stored = StoredMarket::default();
    let settings = settings(&["1m"]);
    plan(&mut stored, &[trade(1, "1", 10), trade(2, "1", 20)], &settings);
    let duplicate = plan(&mut stored, &[trade(1, "1", 10)], &settings);
    assert_eq!(duplicate.counts[&0], RecordCounts { duplicate: 1, ..RecordCounts::default() });
    let restarted = plan(&mut stored, &[trade(1, "1", 21)], &settings);
    assert_eq!(restarted.set_aside, [(record(trade(1, "1", 21)), SetAsideReason::IdsRestarted)]);
}

/// Ids 1000 to 1009 from second 0 on, a trade a millisecond.
fn with_old_ids() -> (StoredMarket, PlanSettings) {
    let (mut stored, settings) = (StoredMarket::default(), settings(&["1m"]));
    let old: Vec<Trade> = (0..10).map(|step| trade(1_000 + step, "1", step * 1_000)).collect();
    plan(&mut stored, &old, &settings);
    (stored, settings)
}

/// Trades that come a minute later, from `first_id` on.
fn new_ids(first_id: i64, count: i64) -> Vec<Trade> {
    (0..count).map(|step| trade(first_id + step, "2", 60_000_000 + step)).collect()
}

#[test]
fn ids_that_begin_anew_join_nothing_also_once_they_have_passed_the_old_ones() {
    let (mut stored, settings) = with_old_ids();
    let before = stored.clone();
    let restarted = plan(&mut stored, &new_ids(1, 9), &settings);
    assert_eq!((restarted.set_aside.len(), restarted.trades.len(), restarted.candles.len()), (9, 0, 0));
    assert_eq!(stored.restart, Some(IdRestart { since_us: 60_000_000, trades: 9 }));
    assert!(!stored.restart.unwrap().is_proven());
    plan(&mut stored, &new_ids(1_000, 10), &settings);
    assert!(stored.restart.unwrap().is_proven());
    let behind = plan(&mut stored, &[trade(1_010, "2", 60_000_500)], &settings);
    assert_eq!(behind.set_aside[0].1, SetAsideReason::IdsRestarted);
    assert_eq!((stored.ledger.clone(), stored.last_trade), (before.ledger, before.last_trade));
    // Trades of before still belong to the old ids.
    let late = plan(&mut stored, &[trade(1_010, "1", 10_000)], &settings);
    assert_eq!((late.trades.len(), late.set_aside.len()), (1, 0));
}

#[test]
fn evidence_that_proves_nothing_is_forgotten_once_the_ids_go_on() {
    let (mut stored, settings) = with_old_ids();
    plan(&mut stored, &new_ids(1, 9), &settings);
    plan(&mut stored, &[trade(1_010, "1", 10_000)], &settings);
    assert_eq!(stored.restart.map(|restart| restart.trades), Some(9), "that one was traded before");
    plan(&mut stored, &[trade(1_011, "1", 61_000_000)], &settings);
    assert_eq!(stored.restart, None);
}

#[test]
fn refused_trades_behind_a_restart_enter_no_ledger() {
    let (mut stored, settings) = with_old_ids();
    plan(&mut stored, &new_ids(1, 10), &settings);
    let before = stored.ledger.clone();
    let refused = |trade_id| RefusedTrade {
        trade_id,
        trade_time_us: 60_000_900,
        reason: RefusalReason::TooManyDecimals,
    };
    let _ =
        plan_market(Vec::new(), &[refused(11), refused(2_000)], &mut stored, BuiltCandles::new(), &settings);
    assert_eq!(stored.ledger, before);
}

#[test]
fn a_step_back_in_time_that_an_exchange_can_make_is_no_restart() {
    let (mut stored, settings) = with_old_ids();
    plan(&mut stored, &[trade(1_020, "1", 20_000)], &settings);
    let filled = plan(&mut stored, &[trade(1_015, "1", 20_000 + LARGEST_INVERSION_US)], &settings);
    assert_eq!((filled.trades.len(), stored.restart), (1, None));
    let other = plan(&mut stored, &[trade(1_012, "1", 20_000 + 3 * LARGEST_INVERSION_US)], &settings);
    assert_eq!((other.set_aside.len(), stored.restart.map(|restart| restart.trades)), (1, Some(1)));
}

#[test]
fn one_id_twice_in_a_batch_with_times_apart_is_no_repetition() {
    let (mut stored, settings) = with_old_ids();
    let both = [trade(1_010, "1", 10_000), trade(1_010, "2", 60_000_000), trade(1_010, "1", 10_000)];
    let planned = plan(&mut stored, &both, &settings);
    assert_eq!((planned.trades.len(), planned.counts[&0].duplicate), (1, 1));
    assert_eq!(planned.set_aside, [(record(both[1]), SetAsideReason::IdsRestarted)]);
}

#[test]
fn trades_below_a_floor_enter_the_ledger_only() {
    let mut stored = StoredMarket::default();
    let settings =
        PlanSettings { trades_floor_us: 60_000_000, candles_floor_us: 60_000_000, ..settings(&["1m"]) };
    let plan = plan(&mut stored, &[trade(1, "1", 59_999_999), trade(2, "1", 60_000_000)], &settings);
    assert_eq!(plan.trades.iter().map(|trade| trade.trade_id).collect::<Vec<_>>(), [2]);
    assert_eq!(plan.candles.iter().map(|(_, candle)| candle.open_time_us).collect::<Vec<_>>(), [60_000_000]);
    assert_eq!(
        stored.ledger.iter().map(|range| (range.first_id, range.last_id)).collect::<Vec<_>>(),
        [(1, 2)]
    );
}

#[test]
fn a_step_back_in_time_is_remembered() {
    let mut stored = StoredMarket::default();
    let settings = settings(&["1m"]);
    plan(&mut stored, &[trade(1, "1", 100), trade(2, "1", 70), trade(3, "1", 90)], &settings);
    assert_eq!(stored.max_inversion_us, 30);
    plan(&mut stored, &[trade(4, "1", 50)], &settings);
    assert_eq!(stored.max_inversion_us, 40);
    plan(&mut stored, &[trade(6, "1", 95)], &settings);
    plan(&mut stored, &[trade(5, "1", 200)], &settings);
    assert_eq!(stored.max_inversion_us, 105);
}

#[test]
fn what_was_said_of_an_id_before_its_trade_came_is_no_step_back_in_time() {
    let void =
        TradeRange { first_id: 2, last_id: 4, kind: RangeKind::Void, first_time_us: 10, last_time_us: 50 };
    let held = |id| TradeRange {
        first_id: id,
        last_id: id,
        kind: RangeKind::Held,
        first_time_us: 10 * id,
        last_time_us: 10 * id,
    };
    let ledger = [held(1), void, held(5)].into_iter().collect();
    let mut stored = StoredMarket { ledger, ..StoredMarket::default() };
    plan(&mut stored, &[trade(2, "1", 20), trade(4, "1", 40)], &settings(&["1m"]));
    assert_eq!(stored.max_inversion_us, 0);
}

#[test]
fn a_real_trade_replaces_the_word_that_there_is_none() {
    let void =
        TradeRange { first_id: 2, last_id: 4, kind: RangeKind::Void, first_time_us: 10, last_time_us: 40 };
    let mut stored = StoredMarket { ledger: [void].into_iter().collect(), ..StoredMarket::default() };
    let plan = plan(&mut stored, &[trade(3, "1", 20)], &settings(&["1m"]));
    assert_eq!(plan.counts[&0].new, 1);
    let kinds: Vec<_> = stored.ledger.iter().map(|range| (range.first_id, range.kind)).collect();
    assert_eq!(kinds, [(2, RangeKind::Void), (3, RangeKind::Held), (4, RangeKind::Void)]);
}
