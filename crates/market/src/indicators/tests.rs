//! What is written bit by bit against a computation that looks at all trades at once and shares no code with it.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::testing::trades;

/// What a database holds of one market.
#[derive(Default)]
struct Rows {
    trades: BTreeMap<i64, (Trade, TradeIndicators)>,
    orders: BTreeMap<i64, TakerOrder>,
}

impl Rows {
    fn flush(&mut self, new: &[Trade], indicators: &Indicators) {
        let mut new = new.to_vec();
        new.sort_by_key(|trade| trade.trade_id);
        let mut plan = IndicatorPlan::default();
        plan.add(&new, &self.around(&new, indicators), indicators);
        assert_eq!(plan.of_trades.len(), new.len());
        for (trade, said) in new.iter().zip(plan.of_trades) {
            assert!(self.trades.insert(trade.trade_id, (*trade, said)).is_none());
        }
        for corrected in plan.corrected {
            let (trade, said) = self.trades.get_mut(&corrected.trade_id).unwrap();
            assert_eq!(trade.trade_time_us, corrected.trade_time_us);
            said.moving_average = corrected.moving_average;
        }
        self.orders.retain(|first_id, _| !plan.regrouped.contains(first_id));
        self.orders.extend(plan.whale_orders.into_iter().map(|order| (order.first_trade_id, order)));
    }

    /// No more than is promised to be there: what a moving average reaches, what lies between, and the orders.
    fn around(&self, new: &[Trade], indicators: &Indicators) -> Vec<Trade> {
        let (first, last) = (new[0], new[new.len() - 1]);
        let reach = indicators.reach();
        let beside = |trade: &Trade| {
            let (id, edge) = (trade.trade_id, if trade.trade_id < first.trade_id { &first } else { &last });
            let nearer = if id < first.trade_id {
                self.trades.range(id + 1..first.trade_id).count()
            } else {
                self.trades.range(last.trade_id + 1..id.max(last.trade_id + 1)).count()
            };
            nearer < reach || millisecond_of(trade) == millisecond_of(edge)
        };
        let between = first.trade_id..=last.trade_id;
        let stored = self.trades.values().map(|(trade, _)| *trade);
        stored.filter(|trade| between.contains(&trade.trade_id) || beside(trade)).collect()
    }
}

fn mean(prices: &[Fixed8]) -> Fixed8 {
    let sum = prices.iter().fold(Fixed8::ZERO, |sum, price| sum.checked_add(*price).unwrap());
    sum.mean_of(i64::try_from(prices.len()).unwrap())
}

/// What should stand of the trade at `index` of all trades by id.
fn said_of(all: &[Trade], index: usize, indicators: &Indicators) -> TradeIndicators {
    let before = indicators.moving_average_trades.and_then(|count| (index + 1).checked_sub(count));
    let prices = before.map(|from| all[from..=index].iter().map(|trade| trade.price).collect::<Vec<_>>());
    let value = all[index].price.checked_mul(all[index].quantity).unwrap();
    TradeIndicators {
        moving_average: prices.map(|prices| mean(&prices)),
        is_whale: indicators.whale_value.is_some_and(|least| value >= least),
    }
}

/// The orders that should stand of all trades by id.
fn orders_of(all: &[Trade], least: Fixed16) -> BTreeMap<i64, TakerOrder> {
    let mut orders: Vec<TakerOrder> = Vec::new();
    let mut last: Option<&Trade> = None;
    for trade in all {
        let value = trade.price.checked_mul(trade.quantity).unwrap();
        let goes_on = last.is_some_and(|last| {
            trade.trade_id - last.trade_id == 1
                && trade.trade_time_us / 1_000 == last.trade_time_us / 1_000
                && trade.buyer_is_maker == last.buyer_is_maker
        });
        match orders.last_mut() {
            Some(order) if goes_on => {
                order.last_trade_id = trade.trade_id;
                order.quantity = order.quantity.checked_add(trade.quantity).unwrap();
                order.quote_quantity = order.quote_quantity.checked_add(value).unwrap();
            }
            _ => orders.push(TakerOrder {
                first_trade_id: trade.trade_id,
                last_trade_id: trade.trade_id,
                trade_time_us: trade.trade_time_us,
                buyer_is_maker: trade.buyer_is_maker,
                quantity: trade.quantity,
                quote_quantity: value,
            }),
        }
        last = Some(trade);
    }
    let whales = orders.into_iter().filter(|order| order.quote_quantity >= least);
    whales.map(|order| (order.first_trade_id, order)).collect()
}

proptest! {
    #[test]
    fn in_whatever_order_trades_come_all_that_is_said_of_them_is_the_same(
        arrivals in trades(60),
        batches in prop::collection::vec(1_usize..12, 60),
        count in 1_usize..8,
        never_came in 0_usize..10,
        least in 0_i64..10_i64.pow(9),
    ) {
        // Their quantities lie below 10,000 and their prices below 100,000.
        let whale_value: Fixed16 = least.to_string().parse().unwrap();
        let indicators = Indicators { moving_average_trades: Some(count), whale_value: Some(whale_value) };
        let mut rows = Rows::default();
        let mut rest = &arrivals[never_came..];
        for size in batches {
            let (batch, later) = rest.split_at(size.min(rest.len()));
            if !batch.is_empty() {
                rows.flush(batch, &indicators);
            }
            rest = later;
        }
        let all: Vec<Trade> = rows.trades.values().map(|(trade, _)| *trade).collect();
        for (index, (trade, said)) in rows.trades.values().enumerate() {
            prop_assert_eq!(*said, said_of(&all, index, &indicators), "of {:?}", trade);
        }
        prop_assert_eq!(rows.orders, orders_of(&all, whale_value));
    }

    #[test]
    fn the_newest_trades_are_all_that_the_next_ones_need(all in trades(40), count in 1_usize..8) {
        let indicators = Indicators { moving_average_trades: Some(count), whale_value: Some(Fixed16::ZERO) };
        let mut all = all;
        all.sort_by_key(|trade| trade.trade_id);
        let mut rows = Rows::default();
        let mut newest: Vec<Trade> = Vec::new();
        for batch in all.chunks(7) {
            let mut plan = IndicatorPlan::default();
            newest = plan.add(batch, &newest, &indicators);
            let mut from_all = IndicatorPlan::default();
            from_all.add(batch, &rows.trades.values().map(|(trade, _)| *trade).collect::<Vec<_>>(), &indicators);
            prop_assert_eq!(plan, from_all);
            rows.flush(batch, &indicators);
        }
    }
}

#[test]
fn an_average_is_rounded_half_even_and_begins_once_there_are_enough() {
    let indicators = Indicators { moving_average_trades: Some(2), whale_value: None };
    let price = |units: i128| Fixed8::from_units(units).unwrap();
    let trade = |(trade_id, units): (i64, i128)| Trade {
        trade_id,
        price: price(units),
        quantity: price(1),
        trade_time_us: 1,
        event_time_us: 1,
        received_time_us: 1,
        buyer_is_maker: false,
    };
    let new: Vec<Trade> = [(1, 1), (2, 2), (3, 5), (9, 6)].into_iter().map(trade).collect();
    let mut plan = IndicatorPlan::default();
    plan.add(&new, &[], &indicators);
    let averages: Vec<Option<i128>> =
        plan.of_trades.iter().map(|said| said.moving_average.map(Fixed8::units)).collect();
    // 1.5 and 5.5 units are halfway, and go to the even neighbour; ids that are not there are passed over.
    assert_eq!(averages, [None, Some(2), Some(4), Some(6)]);
    assert!(plan.whale_orders.is_empty() && plan.of_trades.iter().all(|said| !said.is_whale));
}

#[test]
fn the_longest_quote_asset_that_a_symbol_ends_with_counts() {
    let values = WhaleValues {
        of_others: None,
        by_quote_asset: [("USDT", "100000"), ("BTC", "2"), ("USD", "3")]
            .into_iter()
            .map(|(asset, value)| (asset.into(), value.parse().unwrap()))
            .collect(),
    };
    let value = |symbol: &str| values.of(symbol).map(|value| value.to_string());
    assert_eq!(value("BTCUSDT"), Some("100000".parse::<Fixed16>().unwrap().to_string()));
    assert_eq!(value("ETHBTC"), Some("2".parse::<Fixed16>().unwrap().to_string()));
    assert_eq!(value("BTC/USD"), Some("3".parse::<Fixed16>().unwrap().to_string()));
    assert_eq!(value("BTCEUR"), None);
    let others = WhaleValues { of_others: Some(Fixed16::ZERO), ..values };
    assert_eq!(others.of("BTCEUR"), Some(Fixed16::ZERO));
}
