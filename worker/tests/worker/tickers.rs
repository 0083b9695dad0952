//! What `worker produce` promises of tickers: each sample once, in the order of its symbol, with the exchange's own time
//! or that of its turn, whatever happens to connections and answers; and what the aggregator makes of them.

use crds::worker_settings::{Feed, ProducerSettings};
use crds::worker_status::SymbolState;
use exchange_sim::{Command, Running, SimulatorConfig, Speed, SymbolStatus};
use runtime::health::Probes;
use sqlx::{Connection as _, SqliteConnection};

use crate::broker::{TestBroker, TopicReader};
use crate::exchange::{START_US, even_log, start};
use crate::lab::{Lab, wait_until};
use crate::producer::{TestProducer, settings, short_timings};

const BTC: &str = "BTCUSDT";
const ETH: &str = "ETHUSDT";
/// Far shorter than the spec allows.
const POLL_MS: u64 = 50;

/// Fifty minutes of a market that are played in two and a half.
fn fast_market() -> SimulatorConfig {
    let logs = vec![even_log(BTC, 30_000, 100_000), even_log(ETH, 30_000, 100_000)];
    SimulatorConfig { speed: Speed::from_factor(20), ..SimulatorConfig::new(logs) }
}

fn of_stream(exchange: &Running, broker: &TestBroker) -> ProducerSettings {
    let mut settings = settings(exchange, &[BTC, ETH], &broker.bootstrap_servers);
    settings.source.feed = Feed::Tickers;
    settings
}

fn of_poll(exchange: &Running, broker: &TestBroker, symbols: &[&str]) -> ProducerSettings {
    let mut settings = settings(exchange, symbols, &broker.bootstrap_servers);
    settings.source.feed = Feed::Tickers;
    settings.source.poll_interval_ms = Some(POLL_MS);
    settings
}

#[tokio::test(flavor = "multi_thread")]
async fn streamed_tickers_arrive_once_and_in_order_over_a_cut_connection() {
    let exchange = start(fast_market()).await;
    let broker = TestBroker::start();
    let topic = TopicReader::start(&broker);
    let producer =
        TestProducer::start_with(of_stream(&exchange, &broker), broker.connection(), short_timings());
    topic.wait_until(|read| read.samples(BTC) >= 20 && read.samples(ETH) >= 20, || ()).await;
    exchange.control(&Command::Disconnect).unwrap();
    producer.wait_until(|status| status.reconnects == 1).await;
    let before = topic.look(|read| read.samples(BTC));
    topic.wait_until(|read| read.samples(BTC) >= before + 20, || ()).await;
    let status = producer.stop().await;
    topic.look(|read| {
        let tickers = &read.tickers[BTC];
        assert!(tickers.is_sorted_by(|one, next| one.sample_time_us < next.sample_time_us));
        for ticker in tickers {
            let day = ticker.day.unwrap();
            assert!(ticker.sample_time_us >= START_US && day.trade_count > 0, "{ticker:?}");
            assert!(day.low <= ticker.price && ticker.price <= day.high, "{ticker:?}");
        }
    });
    assert_eq!((status.trades_received, status.records_dropped), (0, 0));
    assert!(status.samples_received >= status.records_published);
    assert_eq!(status.symbols[BTC].state, SymbolState::Streaming);
    assert_eq!(status.symbols[BTC].last_trade_id, None);
    assert!(status.malformed_frames.is_empty(), "{:?}", status.malformed_frames);
}

#[tokio::test(flavor = "multi_thread")]
async fn polled_prices_are_samples_of_their_turn() {
    let exchange = start(fast_market()).await;
    let broker = TestBroker::start();
    let topic = TopicReader::start(&broker);
    let settings = of_poll(&exchange, &broker, &[BTC, ETH, "NOSUCHUSDT"]);
    let producer = TestProducer::start_with(settings, broker.connection(), short_timings());
    topic.wait_until(|read| read.samples(BTC) >= 20 && read.samples(ETH) >= 20, || ()).await;
    let status = producer.state.snapshot();
    assert_eq!(status.symbols["NOSUCHUSDT"].state, SymbolState::Unknown);
    assert_eq!(status.symbols[ETH].state, SymbolState::Streaming);
    assert!(producer.state.why_not_ready().is_empty(), "{:?}", producer.state.why_not_ready());
    producer.stop().await;
    topic.look(|read| {
        let (btc, eth) = (&read.tickers[BTC], &read.tickers[ETH]);
        assert!(btc.is_sorted_by(|one, next| one.sample_time_us < next.sample_time_us));
        let turn_us = i64::try_from(POLL_MS * 1_000).unwrap();
        assert!(btc.iter().all(|ticker| ticker.sample_time_us % turn_us == 0 && ticker.day.is_none()));
        // One answer tells of both.
        let times = |tickers: &[market::Ticker]| -> Vec<i64> {
            tickers.iter().take(20).map(|ticker| ticker.sample_time_us).collect()
        };
        assert_eq!(times(btc), times(eth));
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exchange_that_does_not_answer_is_told_and_asked_again() {
    let exchange = start(fast_market()).await;
    let broker = TestBroker::start();
    let topic = TopicReader::start(&broker);
    let settings = of_poll(&exchange, &broker, &[BTC]);
    let producer = TestProducer::start_with(settings, broker.connection(), short_timings());
    topic.wait_until(|read| read.samples(BTC) >= 3, || ()).await;
    exchange.control(&Command::FailRest { status: 503, for_ms: 1_000 }).unwrap();
    producer.wait_until(|status| status.exchange.message.contains("prices: ")).await;
    let message = producer.state.snapshot().exchange.message;
    assert!(message.contains("/api/v3/ticker/price answered 503"), "{message}");
    let before = topic.look(|read| read.samples(BTC));
    topic.wait_until(|read| read.samples(BTC) >= before + 5, || ()).await;
    assert!(producer.state.why_not_ready().is_empty(), "{:?}", producer.state.why_not_ready());
    producer.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_price_of_a_halted_symbol_is_no_sample() {
    let exchange = start(fast_market()).await;
    let broker = TestBroker::start();
    let topic = TopicReader::start(&broker);
    let settings = of_poll(&exchange, &broker, &[BTC, ETH]);
    let producer = TestProducer::start_with(settings, broker.connection(), short_timings());
    topic.wait_until(|read| read.samples(ETH) >= 3, || ()).await;
    exchange.control(&Command::SetStatus { symbol: ETH.into(), status: SymbolStatus::Halt }).unwrap();
    producer.wait_until(|status| status.symbols[ETH].state == SymbolState::NotTrading).await;
    let (btc, eth) = topic.look(|read| (read.samples(BTC), read.samples(ETH)));
    topic.wait_until(|read| read.samples(BTC) >= btc + 20, || ()).await;
    // The request that was under way may still have told it.
    assert!(topic.look(|read| read.samples(ETH)) <= eth + 2);
    exchange.control(&Command::SetStatus { symbol: ETH.into(), status: SymbolStatus::Trading }).unwrap();
    let eth = topic.look(|read| read.samples(ETH));
    topic.wait_until(|read| read.samples(ETH) >= eth + 3, || ()).await;
    producer.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_who_poll_one_source_bring_one_sample_a_turn() {
    let exchange = start(fast_market()).await;
    let broker = TestBroker::start();
    let lab = Lab::embedded(&broker).await;
    let aggregator = lab.aggregate();
    let [one, other] = [(); 2].map(|()| {
        TestProducer::start_with(of_poll(&exchange, &broker, &[BTC]), broker.connection(), short_timings())
    });
    wait_until("samples are stored, and some of them came twice", async || {
        let status = aggregator.state.status();
        status.samples_new >= 40 && status.samples_duplicate >= 20
    })
    .await;
    one.stop().await;
    other.stop().await;
    aggregator.stop().await;
    let mut database = SqliteConnection::connect(&lab.database_url).await.unwrap();
    let (samples, times, turns): (i64, i64, i64) = sqlx::query_as(
        "SELECT count(*), count(DISTINCT sample_time_us), sum(sample_time_us % 50000 = 0) FROM tickers_by_symbol
         WHERE symbol = 'BTCUSDT'",
    )
    .fetch_one(&mut database)
    .await
    .unwrap();
    assert!(samples >= 40 && times == samples && turns == samples, "{samples} {times} {turns}");
    let (in_candles, held): (i64, i64) = sqlx::query_as(
        "SELECT (SELECT sum(sample_count) FROM sample_candles_by_symbol), (SELECT samples_held FROM latest_tickers)",
    )
    .fetch_one(&mut database)
    .await
    .unwrap();
    assert_eq!((in_candles, held), (samples, samples));
    database.close().await.unwrap();
}
