//! The repairer with a producer, an aggregator and a simulated exchange that does not send everything.

use std::sync::Arc;
use std::time::Duration;

use crds::worker_settings::{
    ExchangeKind, Feed, HistorySettings, KafkaSettings, LedgerSettings, PipelineId, RecordEncoding,
    RepairerSettings, SourceSettings,
};
use crds::worker_status::RepairerStatus;
use exchange_sim::{Command, Running, SimulatorConfig, Speed, SymbolStatus, Trade, TradeLog};
use runtime::health::Probes;
use serde_json::{Value, json};
use store::{CandleQuery, HeadProbe, RefusedIds};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use wiremock::matchers::path;
use wiremock::{Mock, MockServer, ResponseTemplate};
use worker::flow_gate::FlowGate;
use worker::repair::{self, RepairContext, RepairError, RepairTimings, RepairerState};
use worker::verify::VerifyTimings;

use crate::broker::{PATIENCE, TestBroker};
use crate::exchange::{even_log, live, start};
use crate::lab::{Lab, wait_until};
use crate::producer::{TestProducer, settings, short_timings};

pub(crate) const SYMBOL: &str = "TRXUSDT";

pub(crate) struct Repairer {
    state: Arc<RepairerState>,
    stop: CancellationToken,
    task: JoinHandle<Result<(), RepairError>>,
}

impl Repairer {
    pub(crate) fn start(lab: &Lab, exchange: &Running, timings: RepairTimings) -> Self {
        Self::with_history(lab, exchange, timings, None)
    }

    pub(crate) fn with_history(
        lab: &Lab,
        exchange: &Running,
        timings: RepairTimings,
        history: Option<HistorySettings>,
    ) -> Self {
        let producer = settings(exchange, &[SYMBOL], &lab.connection.bootstrap_servers);
        Self::of_source(lab, producer.source, timings, history)
    }

    fn of_source(
        lab: &Lab,
        source: SourceSettings,
        timings: RepairTimings,
        history: Option<HistorySettings>,
    ) -> Self {
        let settings = RepairerSettings {
            pipeline: PipelineId { namespace: "test".into(), name: lab.topic.clone(), uid: "1".into() },
            sources: vec![source],
            kafka: KafkaSettings {
                bootstrap_servers: lab.connection.bootstrap_servers.clone(),
                topic: lab.topic.clone(),
                tls: None,
                sasl: None,
                client_config: Default::default(),
            },
            database: LedgerSettings { schema: lab.schema.clone(), tls: None },
            history,
        };
        let state = Arc::new(RepairerState::new(["spot"].into_iter()));
        let context = RepairContext {
            kafka: lab.connection.clone(),
            database: lab.database_url.as_str().into(),
            gate: Arc::new(FlowGate::unlimited()),
            state: state.clone(),
            timings,
        };
        let stop = CancellationToken::new();
        let task = tokio::spawn(repair::run(settings, context, stop.clone()));
        Self { state, stop, task }
    }

    pub(crate) fn status(&self) -> RepairerStatus {
        self.state.status()
    }

    pub(crate) async fn stop(self) {
        self.stop.cancel();
        tokio::time::timeout(PATIENCE, self.task).await.expect("it does not end").unwrap().unwrap();
    }

    /// Ends it as a kill would, in the middle of whatever it does.
    pub(crate) async fn kill(self) {
        self.task.abort();
        assert!(self.task.await.unwrap_err().is_cancelled());
    }
}

/// Probes as often as the exchange's clock allows, which runs a hundred times as fast here.
pub(crate) fn quick_timings() -> RepairTimings {
    RepairTimings {
        look_interval: Duration::from_millis(100),
        probe_interval: Duration::from_millis(400),
        void_age: Duration::ZERO,
        verify: VerifyTimings {
            grace: Duration::from_secs(1),
            newest_interval: Duration::from_millis(200),
            older_pause: Duration::from_millis(500),
            second_look: Duration::from_millis(300),
            differing_again: Duration::from_secs(3),
        },
        history_plan_interval: Duration::from_secs(1),
        file_retry: Duration::from_millis(200),
        longest_file_retry: Duration::from_millis(400),
        ..RepairTimings::default()
    }
}

/// A market of so many trades, ten a second of its time.
pub(crate) fn market(trades: i64) -> SimulatorConfig {
    SimulatorConfig { speed: Speed::from_factor(100), ..live(vec![even_log(SYMBOL, trades, 100_000)]) }
}

async fn complete_minutes(lab: &Lab) -> usize {
    let candles = lab.store.candles(&CandleQuery::default()).await.unwrap();
    candles.iter().filter(|candle| candle.complete).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_exchange_did_not_send_is_asked_for() {
    let broker = TestBroker::start();
    let lab = Lab::embedded(&broker).await;
    let exchange = start(market(6_000)).await;
    exchange
        .control(&Command::WithholdTrades { symbol: SYMBOL.into(), first_id: 1_000, last_id: 3_500 })
        .unwrap();
    let aggregator = lab.aggregate();
    let producer = TestProducer::start(&exchange, &[SYMBOL], lab.connection.clone(), short_timings());
    wait_until("the hole is there", async || lab.missing().await > 0).await;
    assert_eq!(complete_minutes(&lab).await, 0, "the chain breaks before its first whole minute is over");
    let repairer = Repairer::start(&lab, &exchange, quick_timings());
    lab.wait_for_held(6_000).await;
    lab.assert_counted_once(6_000).await;
    // Ten minutes of market, and the probes prove that the last one is over.
    wait_until("every whole minute is complete", async || complete_minutes(&lab).await >= 9).await;
    // More, where it looked again before the first answer was stored.
    assert!(repairer.status().trades_repaired >= 2_501);
    repairer.stop().await;
    producer.stop().await;
    aggregator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_that_dies_is_a_hole_at_the_end_and_repaired() {
    let broker = TestBroker::start();
    let lab = Lab::embedded(&broker).await;
    let exchange = start(market(3_000)).await;
    let last_ids = Command::WithholdTrades { symbol: SYMBOL.into(), first_id: 1_500, last_id: 3_000 };
    exchange.control(&last_ids).unwrap();
    let aggregator = lab.aggregate();
    let repairer = Repairer::start(&lab, &exchange, quick_timings());
    let producer = TestProducer::start(&exchange, &[SYMBOL], lab.connection.clone(), short_timings());
    lab.wait_for_held(3_000).await;
    lab.assert_counted_once(3_000).await;
    repairer.stop().await;
    producer.stop().await;
    aggregator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ids_that_the_exchange_never_gave_are_void_once_it_has_said_so_twice() {
    let broker = TestBroker::start();
    let lab = Lab::embedded(&broker).await;
    let trades: Vec<Trade> = {
        let log = even_log(SYMBOL, 3_000, 100_000);
        let all = (0..).map_while(|index| log.get(index));
        all.filter(|trade| !(1_000..=1_009).contains(&trade.id)).collect()
    };
    let log = TradeLog::recorded(SYMBOL, &trades);
    let exchange = start(SimulatorConfig { speed: Speed::from_factor(100), ..live(vec![log]) }).await;
    let aggregator = lab.aggregate();
    let producer = TestProducer::start(&exchange, &[SYMBOL], lab.connection.clone(), short_timings());
    let repairer = Repairer::start(&lab, &exchange, quick_timings());
    lab.wait_for_held(2_990).await;
    wait_until("it is told why the hole is open", async || {
        repairer.status().unavailable.iter().any(|hole| (hole.first_id, hole.last_id) == (1_000, 1_009))
    })
    .await;
    assert_eq!(repairer.status().ids_voided, 0, "once is not enough");
    wait_until("nothing is missing", async || lab.missing().await == 0).await;
    let status = repairer.status();
    assert_eq!((status.ids_voided, status.trades_repaired), (10, 0));
    lab.assert_counted_once(2_990).await;
    repairer.stop().await;
    producer.stop().await;
    aggregator.stop().await;
}

/// Stops trading, waits until all that was traded is held, and has the exchange number anew from `first_id` on.
async fn restart_ids(lab: &Lab, exchange: &Running, first_id: i64) -> i64 {
    let status = |status| Command::SetStatus { symbol: SYMBOL.into(), status };
    exchange.control(&status(SymbolStatus::Halt)).unwrap();
    let played = i64::try_from(exchange.status().symbols[0].played).unwrap();
    lab.wait_for_held(played).await;
    exchange.control(&Command::RestartIds { symbol: SYMBOL.into(), first_id }).unwrap();
    // The stop lasts for longer than an exchange steps back in time: its clock runs a hundred times as fast.
    let halted_at_us = exchange.status().server_time_us;
    wait_until("the exchange has stopped for long enough", async || {
        exchange.status().server_time_us > halted_at_us + 2 * market::LARGEST_INVERSION_US
    })
    .await;
    exchange.control(&status(SymbolStatus::Trading)).unwrap();
    played
}

#[tokio::test(flavor = "multi_thread")]
async fn trades_that_are_numbered_anew_are_a_series_of_their_own_and_none_is_missing() {
    let broker = TestBroker::start();
    let lab = Lab::embedded(&broker).await;
    let exchange = start(market(6_000)).await;
    let aggregator = lab.aggregate();
    let producer = TestProducer::start(&exchange, &[SYMBOL], lab.connection.clone(), short_timings());
    let repairer = Repairer::start(&lab, &exchange, quick_timings());
    lab.wait_for_held(1_500).await;
    // The ids of before were seen just now.
    let old = restart_ids(&lab, &exchange, 1).await;
    wait_until("the restart is noticed", async || lab.store.ledgers().await.unwrap()[0].restart.is_some())
        .await;
    let ledger = lab.store.ledgers().await.unwrap().remove(0);
    assert_eq!((ledger.trades_held, ledger.last_trade_id), (old, Some(old)));
    let since_us = ledger.last_trade_time_us.unwrap() + 1;
    lab.store.begin_series(&ledger.market, since_us).await.unwrap();
    lab.wait_for_held(6_000 - old).await;
    wait_until("nothing is missing", async || lab.missing().await == 0).await;
    let ended = lab.store.ended_ledgers().await.unwrap().remove(0);
    assert_eq!((ended.trades_held, ended.missing), (old, 0));
    let ledger = lab.store.ledgers().await.unwrap().remove(0);
    assert_eq!((ledger.first_trade_id, ledger.last_trade_id), (Some(1), Some(6_000 - old)));
    let candles = lab.store.candles(&CandleQuery::default()).await.unwrap();
    assert_eq!(candles.iter().map(|candle| candle.trade_count).sum::<i64>(), 6_000);
    assert!(candles.iter().any(|candle| candle.series == 1 && candle.complete));
    repairer.stop().await;
    producer.stop().await;
    aggregator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pipeline_that_slept_while_new_ids_passed_the_old_ones_joins_no_chain_over_the_hole() {
    let broker = TestBroker::start();
    let lab = Lab::embedded(&broker).await;
    // A minute: it must not end before the second producer listens, however busy the machine is.
    let exchange = start(market(60_000)).await;
    let aggregator = lab.aggregate();
    let producer = TestProducer::start(&exchange, &[SYMBOL], lab.connection.clone(), short_timings());
    lab.wait_for_held(500).await;
    let status = |status| Command::SetStatus { symbol: SYMBOL.into(), status };
    let last_played = || exchange.status().symbols[0].last_played_id.unwrap_or_default();
    exchange.control(&status(SymbolStatus::Halt)).unwrap();
    // All that was played: were the new ids above what was heard, they would be those that follow.
    wait_until("all is held", async || lab.held().await == last_played()).await;
    producer.stop().await;
    let held = last_played();
    // Trades go on while nobody listens, until the new ids lie well above the old ones.
    exchange.control(&Command::RestartIds { symbol: SYMBOL.into(), first_id: held - 100 }).unwrap();
    exchange.control(&status(SymbolStatus::Trading)).unwrap();
    wait_until("the new ids are far above", async || last_played() > held + 500).await;
    let producer = TestProducer::start(&exchange, &[SYMBOL], lab.connection.clone(), short_timings());
    wait_until("the hole is there", async || lab.missing().await > 0).await;
    let hole = lab.store.ledgers().await.unwrap()[0].holes[0];
    let repairer = Repairer::start(&lab, &exchange, quick_timings());
    wait_until("the restart is noticed", async || lab.store.ledgers().await.unwrap()[0].restart.is_some())
        .await;
    let ledger = lab.store.ledgers().await.unwrap().remove(0);
    assert!(ledger.holes.iter().any(|left| left.first_id == hole.first_id), "{ledger:?}");
    repairer.stop().await;
    producer.stop().await;
    aggregator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exchange_that_refuses_leaves_the_hole_and_says_why() {
    let broker = TestBroker::start();
    let lab = Lab::embedded(&broker).await;
    let exchange = start(market(3_000)).await;
    let some_ids = Command::WithholdTrades { symbol: SYMBOL.into(), first_id: 1_000, last_id: 1_499 };
    exchange.control(&some_ids).unwrap();
    let aggregator = lab.aggregate();
    let producer = TestProducer::start(&exchange, &[SYMBOL], lab.connection.clone(), short_timings());
    wait_until("the hole is there", async || lab.missing().await > 0).await;
    exchange.control(&Command::FailRest { status: 503, for_ms: 3_600_000 }).unwrap();
    let repairer = Repairer::start(&lab, &exchange, quick_timings());
    wait_until("it is told", async || repairer.status().exchanges["spot"].message.contains("503")).await;
    assert!(!repairer.status().exchanges["spot"].available);
    lab.wait_for_held(2_500).await;
    assert_eq!(lab.missing().await, 500);
    exchange.control(&Command::FailRest { status: 503, for_ms: 1 }).unwrap();
    lab.wait_for_held(3_000).await;
    lab.assert_counted_once(3_000).await;
    wait_until("it is told", async || repairer.status().exchanges["spot"].available).await;
    repairer.stop().await;
    producer.stop().await;
    aggregator.stop().await;
}

/// A market in which every tenth trade is one of an order with the trade before it.
fn market_with_pairs(trades: i64) -> SimulatorConfig {
    let log = even_log(SYMBOL, trades, 100_000);
    let mut paired: Vec<Trade> = (0..).map_while(|index| log.get(index)).collect();
    for first in (8..paired.len()).step_by(10) {
        paired[first + 1] = Trade { id: paired[first + 1].id, ..paired[first] };
    }
    let mut aggregate_id = 0;
    for trade in &mut paired {
        aggregate_id += i64::from(trade.id % 10 != 0);
        trade.aggregate_id = aggregate_id;
    }
    let log = TradeLog::recorded(SYMBOL, &paired);
    SimulatorConfig { speed: Speed::from_factor(100), market_data_only: true, ..live(vec![log]) }
}

#[tokio::test(flavor = "multi_thread")]
async fn where_a_host_has_only_aggregates_those_of_one_trade_are_used_and_the_others_named() {
    let broker = TestBroker::start();
    let lab = Lab::embedded(&broker).await;
    let exchange = start(market_with_pairs(6_000)).await;
    let hole = Command::WithholdTrades { symbol: SYMBOL.into(), first_id: 1_000, last_id: 3_500 };
    exchange.control(&hole).unwrap();
    let aggregator = lab.aggregate();
    let producer = TestProducer::start(&exchange, &[SYMBOL], lab.connection.clone(), short_timings());
    let repairer = Repairer::start(&lab, &exchange, quick_timings());
    // Trade 1,000 and the pairs up to trade 3,500: many more holes than a ledger names.
    let merged = 1 + 2 * 250;
    lab.wait_for_held(6_000 - merged).await;
    assert_eq!(lab.missing().await, merged);
    wait_until("it is told why", async || {
        let named = repairer.status().unavailable;
        named.len() >= 20 && named.iter().all(|hole| hole.reason.contains("historicalTrades"))
    })
    .await;
    let newest = lab.store.ledgers().await.unwrap()[0].holes[0];
    assert_eq!((newest.first_id, newest.last_id), (3_499, 3_500));
    assert!(repairer.status().exchanges["spot"].available);
    repairer.stop().await;
    producer.stop().await;
    aggregator.stop().await;
}

/// An exchange whose trade 12 has more decimals than can be held, and whose clock stands at `now_us`.
async fn exchange_with_a_trade_too_fine(now_us: i64) -> MockServer {
    let row = |id: i64| {
        let quantity = if id == 12 { "0.000000001" } else { "1" };
        json!({"id": id, "price": "2", "qty": quantity, "time": now_us - 1_000_000 + id, "isBuyerMaker": true})
    };
    let server = MockServer::start().await;
    let answer = |at: &'static str, body: Value| {
        Mock::given(path(at)).respond_with(ResponseTemplate::new(200).set_body_json(body)).mount(&server)
    };
    answer("/api/v3/historicalTrades", (10..=13).map(row).collect()).await;
    answer("/api/v3/ticker/24hr", json!([{"symbol": SYMBOL, "lastId": 13, "closeTime": now_us}])).await;
    server
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trade_that_cannot_be_held_is_refused_and_keeps_no_other_from_being_repaired() {
    let broker = TestBroker::start();
    let lab = Lab::embedded(&broker).await;
    let now_us = jiff::Timestamp::now().as_microsecond();
    // As if the exchange had been asked a minute ago, when its newest trade was number 10.
    let market = market::Market::new("spot", SYMBOL);
    let probe = HeadProbe { market, last_id: 10, time_us: now_us - 60_000_000 };
    lab.store.note_head_probes(&[probe], now_us, Duration::from_secs(30)).await.unwrap();
    let exchange = exchange_with_a_trade_too_fine(now_us).await;
    let source = SourceSettings {
        encoding: RecordEncoding::Own,
        name: "spot".into(),
        exchange: ExchangeKind::Binance,
        venue: "spot".into(),
        symbols: vec![SYMBOL.into()],
        feed: Feed::Trades,
        poll_interval_ms: None,
        websocket_url: "ws://nowhere".into(),
        rest_url: exchange.uri(),
    };
    let aggregator = lab.aggregate();
    let repairer = Repairer::of_source(&lab, source, quick_timings(), None);
    lab.wait_for_held(2).await;
    wait_until("nothing is missing", async || lab.missing().await == 0).await;
    let refused = lab.store.ledgers().await.unwrap().remove(0).refused;
    let reason = market::RefusalReason::TooManyDecimals;
    assert_eq!(refused.newest, [RefusedIds { first_id: 12, last_id: 12, reason }]);
    assert_eq!((repairer.status().trades_repaired, repairer.status().trades_refused), (2, 1));
    repairer.stop().await;
    aggregator.stop().await;
}
