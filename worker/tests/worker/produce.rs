//! What `worker produce` promises: every trade that the exchange sends is on the topic, once, in the order of
//! its symbol, whatever happens to connections, frames and the broker.

use std::time::Duration;

use crds::worker_status::SymbolState;
use exchange_sim::{Command, Limits, SimulatorConfig, SymbolStatus, TradeLog};
use runtime::health::Probes;
use worker::flow_gate::FlowGate;
use worker::produce::Timings;

use crate::broker::{TestBroker, TopicReader};
use crate::exchange::{as_fast_as_read, even_log, live, recording, start};
use crate::producer::{TestProducer, impatient_timings, short_timings};

const BTC: &str = "BTCUSDT";
const ETH: &str = "ETHUSDT";

/// The ids of an [`even_log`].
fn all_ids(count: i64) -> Vec<i64> {
    (1..=count).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_trade_arrives_once_and_in_order() {
    const COUNT: i64 = 30_000;
    let exchange =
        start(as_fast_as_read(vec![even_log(BTC, COUNT, 1_000), even_log(ETH, COUNT, 1_000)])).await;
    let broker = TestBroker::start();
    let topic = TopicReader::start(&broker);
    let producer = TestProducer::start(&exchange, &[BTC, ETH], broker.connection(), short_timings());
    for symbol in [BTC, ETH] {
        topic.wait_for(symbol, COUNT).await;
        assert_eq!(topic.ids(symbol), all_ids(COUNT));
    }
    assert!(producer.state.why_not_ready().is_empty());
    let status = producer.stop().await;
    let records = u64::try_from(2 * COUNT).unwrap();
    assert_eq!(
        (status.records_published, status.records_dropped, status.trades_received),
        (records, 0, records)
    );
    assert_eq!(status.symbols[BTC].last_trade_id, Some(COUNT));
    assert_eq!(status.symbols[BTC].state, SymbolState::Streaming);
    assert!(status.malformed_frames.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recorded_day_arrives_to_the_last_decimal() {
    let Some(log) = recording("TRXUSDT-trades-2025-03-04-part.csv.gz") else { return };
    let expected: Vec<exchange_sim::Trade> = (0..).map_while(|index| log.get(index)).collect();
    assert_eq!(expected.len(), 10_000);
    let exchange = start(as_fast_as_read(vec![log])).await;
    let broker = TestBroker::start();
    let topic = TopicReader::start(&broker);
    let producer = TestProducer::start(&exchange, &["TRXUSDT"], broker.connection(), short_timings());
    topic.wait_for("TRXUSDT", expected[9_999].id).await;
    producer.stop().await;
    topic.look(|read| {
        let trades = &read.trades["TRXUSDT"];
        assert_eq!(trades.len(), expected.len());
        for (found, expected) in trades.iter().zip(&expected) {
            assert_eq!(
                (found.trade_id, found.price, found.quantity, found.trade_time_us, found.buyer_is_maker),
                (expected.id, expected.price, expected.quantity, expected.time_us, expected.buyer_is_maker)
            );
        }
    });
}

/// A market of four seconds with a trade every millisecond.
fn four_seconds() -> Vec<TradeLog> {
    vec![even_log(BTC, 4_000, 1_000), even_log(ETH, 400, 10_000)]
}

/// Everything of [`four_seconds`] is on the topic once.
async fn four_seconds_arrived(topic: &TopicReader) {
    for (symbol, count) in [(BTC, 4_000), (ETH, 400)] {
        topic.wait_for(symbol, count).await;
        let mut ids = topic.ids(symbol);
        ids.sort_unstable();
        assert_eq!(ids, all_ids(count), "{symbol}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotation_loses_nothing_and_doubles_nothing() {
    let exchange = start(live(four_seconds())).await;
    let broker = TestBroker::start();
    let topic = TopicReader::start(&broker);
    let timings = Timings { rotate_after: Duration::from_millis(800), ..short_timings() };
    let producer = TestProducer::start(&exchange, &[BTC, ETH], broker.connection(), timings);
    four_seconds_arrived(&topic).await;
    let status = producer.stop().await;
    assert!(status.reconnects >= 2, "{status:#?}");
    assert!(
        status.trades_received > status.records_published,
        "the connections never overlapped: {status:#?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotation_under_full_load_loses_nothing() {
    const COUNT: i64 = 150_000;
    let exchange = start(as_fast_as_read(vec![even_log(BTC, COUNT, 1_000)])).await;
    let broker = TestBroker::start();
    let topic = TopicReader::start(&broker);
    let timings = Timings { rotate_after: Duration::from_millis(300), ..short_timings() };
    let gate = FlowGate::limited(1024 * 1024);
    let producer = TestProducer::start_with_gate(&exchange, &[BTC], broker.connection(), timings, gate);
    // The two connections may be too far apart to see each other's trades: then the ledger does.
    let count = usize::try_from(COUNT).unwrap();
    producer
        .commit_until(&topic, |read| {
            read.trades.get(BTC).is_some_and(|trades| trades.len() >= count) && read.distinct(BTC) == count
        })
        .await;
    assert!(producer.stop().await.reconnects >= 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_were_replaced_are_closed() {
    let exchange = start(live(vec![even_log(BTC, 60_000, 1_000)])).await;
    let broker = TestBroker::start();
    let timings = Timings { rotate_after: Duration::from_millis(500), ..short_timings() };
    let producer = TestProducer::start(&exchange, &[BTC], broker.connection(), timings);
    producer.wait_until(|status| status.reconnects >= 4).await;
    assert!(exchange.status().connections <= 2, "{:?}", exchange.status());
    producer.stop().await;
    assert_eq!(exchange.status().connections, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shutdown_notice_moves_the_streams_before_the_connection_is_closed() {
    let exchange = start(live(four_seconds())).await;
    let broker = TestBroker::start();
    let topic = TopicReader::start(&broker);
    let producer = TestProducer::start(&exchange, &[BTC, ETH], broker.connection(), short_timings());
    topic.wait_for(BTC, 500).await;
    exchange.control(&Command::ServerShutdown { lead_ms: 1_500 }).unwrap();
    four_seconds_arrived(&topic).await;
    let status = producer.stop().await;
    assert_eq!(status.reconnects, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_connection_is_opened_again_and_the_rest_arrives_once() {
    let exchange = start(live(four_seconds())).await;
    let broker = TestBroker::start();
    let topic = TopicReader::start(&broker);
    let producer = TestProducer::start(&exchange, &[BTC, ETH], broker.connection(), short_timings());
    topic.wait_for(BTC, 500).await;
    exchange.control(&Command::Disconnect).unwrap();
    topic.wait_for(BTC, 4_000).await;
    let mut ids = topic.ids(BTC);
    let count = ids.len();
    ids.dedup();
    assert_eq!(ids.len(), count);
    assert!(ids.is_sorted() && ids.starts_with(&all_ids(500)), "{ids:?}");
    assert_eq!(producer.stop().await.reconnects, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn unlisted_and_halted_symbols_are_named_and_the_others_stream() {
    let exchange = start(live(vec![even_log(BTC, 60_000, 1_000), even_log(ETH, 60_000, 1_000)])).await;
    exchange.control(&Command::SetStatus { symbol: ETH.into(), status: SymbolStatus::Halt }).unwrap();
    let broker = TestBroker::start();
    let symbols = ["AAAUSDT", BTC, ETH, "NOT A SYMBOL"];
    let producer = TestProducer::start(&exchange, &symbols, broker.connection(), short_timings());
    producer.wait_until(|status| status.symbols[BTC].state == SymbolState::Streaming).await;
    let status = producer.state.snapshot();
    assert_eq!(status.symbols["AAAUSDT"].state, SymbolState::Unknown);
    assert_eq!(status.symbols["NOT A SYMBOL"].state, SymbolState::Unknown);
    assert_eq!(status.symbols[ETH].state, SymbolState::NotTrading);
    // The exchange is asked again and again.
    exchange.control(&Command::SetStatus { symbol: ETH.into(), status: SymbolStatus::Trading }).unwrap();
    producer.wait_until(|status| status.symbols[ETH].state == SymbolState::Streaming).await;
    assert_eq!(exchange.status().subscriptions, 2);
    producer.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn damaged_frames_are_counted_and_stop_nothing() {
    const COUNT: i64 = 2_000;
    let exchange = start(as_fast_as_read(vec![even_log(BTC, COUNT, 1_000)])).await;
    exchange.control(&Command::DamageFrames { symbol: BTC.into(), count: 7 }).unwrap();
    let broker = TestBroker::start();
    let topic = TopicReader::start(&broker);
    let producer = TestProducer::start(&exchange, &[BTC], broker.connection(), short_timings());
    topic.wait_for(BTC, COUNT).await;
    assert_eq!(topic.ids(BTC), all_ids(COUNT)[7..]);
    let status = producer.stop().await;
    let damaged = &status.malformed_frames["not_json"];
    assert_eq!((damaged.count, status.reconnects), (7, 0));
    assert!(damaged.newest.contains("btcusdt@trade"), "{damaged:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn doubled_frames_are_published_once() {
    const COUNT: i64 = 2_000;
    let exchange = start(as_fast_as_read(vec![even_log(BTC, COUNT, 1_000)])).await;
    exchange.control(&Command::DuplicateFrames { symbol: BTC.into(), count: 50 }).unwrap();
    let broker = TestBroker::start();
    let topic = TopicReader::start(&broker);
    let producer = TestProducer::start(&exchange, &[BTC], broker.connection(), short_timings());
    topic.wait_for(BTC, COUNT).await;
    assert_eq!(topic.ids(BTC), all_ids(COUNT));
    let status = producer.stop().await;
    assert_eq!(status.trades_received, status.records_published + 50);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_stream_is_noticed_and_its_connection_replaced() {
    let exchange = start(live(vec![even_log(BTC, 60_000, 1_000), even_log(ETH, 60_000, 1_000)])).await;
    let broker = TestBroker::start();
    let topic = TopicReader::start(&broker);
    let producer = TestProducer::start(&exchange, &[BTC, ETH], broker.connection(), impatient_timings());
    topic.wait_for(ETH, 500).await;
    exchange.control(&Command::Stall { symbol: ETH.into(), stalled: true }).unwrap();
    producer.wait_until(|status| status.symbols[ETH].state == SymbolState::Silent).await;
    producer.wait_until(|status| status.reconnects == 1).await;
    exchange.control(&Command::Stall { symbol: ETH.into(), stalled: false }).unwrap();
    producer.wait_until(|status| status.symbols[ETH].state == SymbolState::Streaming).await;
    producer.stop().await;
    // The stream beside it has lost nothing by that; of two connections one may be read a moment later.
    let mut ids = topic.ids(BTC);
    ids.sort_unstable();
    assert_eq!(ids, all_ids(i64::try_from(ids.len()).unwrap()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_without_any_frame_is_given_up() {
    let config = SimulatorConfig {
        ping_interval: Duration::from_secs(3_600),
        ..live(vec![even_log(BTC, 60_000, 1_000)])
    };
    let exchange = start(config).await;
    let broker = TestBroker::start();
    let timings = Timings { connection_silence: Duration::from_millis(500), ..short_timings() };
    let producer = TestProducer::start(&exchange, &[BTC], broker.connection(), timings);
    producer.wait_until(|status| status.symbols[BTC].last_trade_id.is_some()).await;
    exchange.control(&Command::Stall { symbol: BTC.into(), stalled: true }).unwrap();
    producer.wait_until(|status| status.reconnects == 1).await;
    exchange.control(&Command::Stall { symbol: BTC.into(), stalled: false }).unwrap();
    let before = producer.state.snapshot().symbols[BTC].last_trade_id;
    producer.wait_until(|status| status.symbols[BTC].last_trade_id > before).await;
    producer.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn more_symbols_than_a_connection_carries_are_spread_over_several() {
    const SYMBOLS: usize = 1_005;
    let symbols: Vec<String> = (0..SYMBOLS).map(|number| format!("S{number}USDT")).collect();
    let exchange =
        start(as_fast_as_read(symbols.iter().map(|symbol| even_log(symbol, 3, 1_000)).collect())).await;
    let broker = TestBroker::start();
    let topic = TopicReader::start(&broker);
    let names: Vec<&str> = symbols.iter().map(String::as_str).collect();
    let producer = TestProducer::start(&exchange, &names, broker.connection(), short_timings());
    for symbol in &symbols {
        topic.wait_for(symbol, 3).await;
        assert_eq!(topic.ids(symbol), all_ids(3));
    }
    assert_eq!((exchange.status().connections, exchange.status().subscriptions), (2, SYMBOLS));
    assert_eq!(producer.stop().await.reconnects, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn pings_are_answered() {
    let config = SimulatorConfig {
        // The answers count among the five messages a second that the exchange allows.
        ping_interval: Duration::from_millis(300),
        pong_timeout: Duration::from_millis(600),
        ..live(vec![even_log(BTC, 3_000, 1_000)])
    };
    let exchange = start(config).await;
    let broker = TestBroker::start();
    let topic = TopicReader::start(&broker);
    let producer = TestProducer::start(&exchange, &[BTC], broker.connection(), short_timings());
    topic.wait_for(BTC, 3_000).await;
    assert_eq!(producer.stop().await.reconnects, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_while_the_broker_is_away_arrives_when_it_is_back() {
    let exchange = start(live(four_seconds())).await;
    let broker = TestBroker::start();
    broker.take_down();
    let topic = TopicReader::start(&broker);
    let producer = TestProducer::start(&exchange, &[BTC, ETH], broker.connection(), short_timings());
    producer.wait_until(|status| status.symbols[BTC].last_trade_id >= Some(2_000)).await;
    let reasons = producer.state.why_not_ready();
    assert!(reasons.iter().any(|reason| reason.starts_with("broker: ")), "{reasons:?}");
    broker.bring_up();
    four_seconds_arrived(&topic).await;
    producer.wait_until(|status| status.broker.available).await;
    assert_eq!(producer.stop().await.records_dropped, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_stays_away_costs_records_but_neither_memory_nor_the_stream() {
    const COUNT: i64 = 70_000;
    let exchange = start(live(vec![even_log(BTC, COUNT, 10)])).await;
    let broker = TestBroker::start();
    broker.take_down();
    let mut kafka = broker.connection();
    kafka.client_config.insert("queue.buffering.max.messages".into(), "100".into());
    let producer = TestProducer::start(&exchange, &[BTC], kafka, short_timings());
    producer.wait_until(|status| status.symbols[BTC].last_trade_id == Some(COUNT)).await;
    let kept = 65_536 + 100;
    producer.wait_until(|status| status.records_dropped == u64::try_from(COUNT).unwrap() - kept).await;
    // The newest are kept.
    let topic = TopicReader::start(&broker);
    broker.bring_up();
    topic.wait_for(BTC, COUNT).await;
    let ids = topic.ids(BTC);
    assert_eq!(ids[..100], all_ids(100));
    assert_eq!(ids[100..], all_ids(COUNT)[usize::try_from(COUNT).unwrap() - 65_536..]);
    producer.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_gate_holds_the_exchange_back_and_loses_nothing() {
    const COUNT: i64 = 100_000;
    const LIMIT_BYTES: u32 = 256 * 1024;
    let exchange = start(as_fast_as_read(vec![even_log(BTC, COUNT, 1_000)])).await;
    let broker = TestBroker::start();
    let topic = TopicReader::start(&broker);
    let gate = FlowGate::limited(LIMIT_BYTES);
    let producer =
        TestProducer::start_with_gate(&exchange, &[BTC], broker.connection(), short_timings(), gate);
    producer.wait_until(|_| !producer.gate.is_open()).await;
    producer.wait_until(|status| status.records_published == status.trades_received).await;
    let published = producer.state.snapshot().records_published;
    assert!(published < 3_000, "{published} records went through the closed gate");
    producer.commit_until(&topic, |read| read.has(BTC, COUNT)).await;
    assert_eq!(topic.ids(BTC), all_ids(COUNT));
    let status = producer.stop().await;
    assert_eq!((status.reconnects, status.records_dropped), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exchange_that_is_away_is_named_and_waited_for() {
    let exchange = start(live(vec![even_log(BTC, 60_000, 1_000)])).await;
    exchange.control(&Command::FailRest { status: 503, for_ms: 1_000 }).unwrap();
    exchange.control(&Command::RefuseConnections { for_ms: 2_000 }).unwrap();
    let broker = TestBroker::start();
    let producer = TestProducer::start(&exchange, &[BTC], broker.connection(), short_timings());
    producer.wait_until(|status| status.exchange.message.contains("exchangeInfo answered 503")).await;
    assert_eq!(producer.state.snapshot().symbols[BTC].state, SymbolState::Unchecked);
    producer.wait_until(|status| status.exchange.message.contains("connection 1: ")).await;
    producer.wait_until(|status| status.symbols[BTC].state == SymbolState::Streaming).await;
    assert!(producer.state.snapshot().exchange.available);
    producer.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exchange_that_asks_for_a_pause_gets_it() {
    let limits = Limits { connection_attempts: 0, ..Limits::default() };
    let exchange = start(SimulatorConfig { limits, ..live(vec![even_log(BTC, 1_000, 1_000)]) }).await;
    let broker = TestBroker::start();
    let producer = TestProducer::start(&exchange, &[BTC], broker.connection(), short_timings());
    let told = "answered 429, which asks for a pause of 300 s";
    producer.wait_until(|status| status.exchange.message.contains(told)).await;
    producer.stop().await;
}
