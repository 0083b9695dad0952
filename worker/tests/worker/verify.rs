//! Candles compared with those of a simulated exchange: equal ones, altered ones, late ones, and ours altered.

use exchange_sim::control::KlineField;
use exchange_sim::{Command, Running, SimulatorConfig, Speed, Trade, TradeLog};
use store::{CheckVerdict, DifferingCandle};

use crate::broker::TestBroker;
use crate::exchange::{START_US, even_log, live, start};
use crate::lab::{Lab, wait_until};
use crate::producer::TestProducer;
use crate::repair::{Repairer, SYMBOL, market, quick_timings};

const MINUTE_US: i64 = 60_000_000;

/// How many candles have this verdict.
async fn count(lab: &Lab, verdict: CheckVerdict) -> i64 {
    let counts = lab.store.check_counts().await.unwrap();
    counts.iter().filter(|count| count.verdict == verdict).map(|count| count.windows).sum()
}

async fn differing(lab: &Lab) -> Vec<DifferingCandle> {
    lab.store.differing_candles(100).await.unwrap()
}

/// When the window opens that holds the moment so many minutes after the first trade, as it is played now.
async fn window_us(exchange: &Running, minutes: i64) -> i64 {
    wait_until("trades are played", async || exchange.status().symbols[0].played > 0).await;
    let time_us = START_US + exchange.status().symbols[0].shift_us + minutes * MINUTE_US;
    time_us - time_us.rem_euclid(MINUTE_US)
}

#[tokio::test(flavor = "multi_thread")]
async fn candles_with_and_without_trades_equal_the_exchanges() {
    let broker = TestBroker::start();
    let lab = Lab::embedded(&broker).await;
    // Nothing is traded from minute 3 to minute 5.
    let busy = even_log(SYMBOL, 6_000, 100_000);
    let trades: Vec<Trade> = (0..)
        .map_while(|index| busy.get(index))
        .filter(|trade| !(3..6).contains(&((trade.time_us - START_US) / MINUTE_US)))
        .zip(1..)
        .map(|(trade, id)| Trade { id, ..trade })
        .collect();
    let log = TradeLog::recorded(SYMBOL, &trades);
    let exchange = start(SimulatorConfig { speed: Speed::from_factor(100), ..live(vec![log]) }).await;
    let (aggregator, producer) = (lab.aggregate(), TestProducer::start_in(&lab, &exchange, &[SYMBOL]));
    let repairer = Repairer::start(&lab, &exchange, quick_timings());
    wait_until("every whole minute is compared", async || count(&lab, CheckVerdict::Equal).await >= 9).await;
    assert_eq!(differing(&lab).await, []);
    assert_eq!(repairer.status().candles_checked.keys().collect::<Vec<_>>(), ["equal"]);
    repairer.stop().await;
    producer.stop().await;
    aggregator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_candle_that_the_exchange_has_otherwise_is_the_exchanges_fault() {
    let broker = TestBroker::start();
    let lab = Lab::embedded(&broker).await;
    let exchange = start(market(6_000)).await;
    let (aggregator, producer) = (lab.aggregate(), TestProducer::start_in(&lab, &exchange, &[SYMBOL]));
    let open_time_us = window_us(&exchange, 4).await;
    let alter = |field, value: &str| {
        let (symbol, interval, value) = (SYMBOL.into(), "1m".into(), value.into());
        exchange.control(&Command::AlterKline { symbol, interval, open_time_us, field, value }).unwrap();
    };
    alter(KlineField::Volume, "151");
    alter(KlineField::TradeCount, "601");
    let repairer = Repairer::start(&lab, &exchange, quick_timings());
    wait_until("it is decided", async || count(&lab, CheckVerdict::ExchangeDiffers).await == 1).await;
    wait_until("all others are equal", async || count(&lab, CheckVerdict::Equal).await >= 8).await;
    let differing = differing(&lab).await;
    let named: Vec<String> = differing[0].differences.iter().map(ToString::to_string).collect();
    assert_eq!(named, ["volume is 150, the exchange has 151", "trade_count is 600, the exchange has 601"]);
    assert_eq!((differing.len(), differing[0].open_time_us), (1, open_time_us));
    wait_until("nothing is left to decide", async || repairer.status().undecided.is_empty()).await;
    // The exchange mends its candle.
    alter(KlineField::Volume, "150");
    alter(KlineField::TradeCount, "600");
    wait_until("it is compared again", async || count(&lab, CheckVerdict::ExchangeDiffers).await == 0).await;
    assert!(count(&lab, CheckVerdict::Equal).await >= 9);
    repairer.stop().await;
    producer.stop().await;
    aggregator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn klines_that_are_late_are_not_believed() {
    let broker = TestBroker::start();
    let lab = Lab::embedded(&broker).await;
    let exchange = start(market(6_000)).await;
    exchange.control(&Command::DelayKlines { symbol: SYMBOL.into(), lag_us: MINUTE_US }).unwrap();
    let (aggregator, producer) = (lab.aggregate(), TestProducer::start_in(&lab, &exchange, &[SYMBOL]));
    let repairer = Repairer::start(&lab, &exchange, quick_timings());
    wait_until("every whole minute is compared", async || count(&lab, CheckVerdict::Equal).await >= 9).await;
    assert_eq!(differing(&lab).await, []);
    repairer.stop().await;
    producer.stop().await;
    aggregator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_candle_of_ours_that_is_wrong_is_found_and_rebuilt_while_trades_flow() {
    Lab::on_each_server(3, async |lab: Lab| {
        let exchange = start(market(12_000)).await;
        let (aggregator, producer) = (lab.aggregate(), TestProducer::start_in(&lab, &exchange, &[SYMBOL]));
        lab.wait_for_held(4_000).await;
        let open_time_us = window_us(&exchange, 3).await;
        let table = format!("{}.candles", lab.schema);
        let of_window = if lab.is_mysql() {
            format!("open_time_us = {open_time_us}")
        } else {
            format!("open_time = to_timestamp({open_time_us}::numeric / 1000000)")
        };
        lab.execute(&format!(
            "UPDATE {table} SET volume = volume + 0.00000001, high = high + 1
             WHERE {of_window}"
        ))
        .await;
        let repairer = Repairer::start(&lab, &exchange, quick_timings());
        wait_until("it is found", async || count(&lab, CheckVerdict::OursWrong).await == 1).await;
        let found = differing(&lab).await.remove(0);
        assert_eq!((found.verdict, found.open_time_us), (CheckVerdict::OursWrong, open_time_us));
        let named: Vec<String> = found.differences.iter().map(ToString::to_string).collect();
        assert_eq!(
            named,
            ["high is 110.5, the exchange has 109.5", "volume is 150.00000001, the exchange has 150"]
        );

        let until_us = open_time_us + MINUTE_US;
        let rebuilt = lab.store.rebuild(&found.market, open_time_us, until_us).await.unwrap();
        assert_eq!((rebuilt.from_us, rebuilt.to_us, rebuilt.trades), (open_time_us, until_us, 600));
        assert_eq!(differing(&lab).await, []);
        lab.wait_for_held(12_000).await;
        wait_until("every whole minute is equal", async || count(&lab, CheckVerdict::Equal).await >= 19)
            .await;
        assert_eq!((differing(&lab).await, lab.missing().await), (vec![], 0));
        let candles = lab.store.candles(&Default::default()).await.unwrap();
        assert_eq!(candles.iter().map(|candle| candle.trade_count).sum::<i64>(), 12_000);
        let positions = lab.store.positions(&lab.topic).await.unwrap();
        assert_eq!(positions.iter().map(|position| position.trades_new).sum::<i64>(), 12_600);
        repairer.stop().await;
        producer.stop().await;
        aggregator.stop().await;
    })
    .await;
}
