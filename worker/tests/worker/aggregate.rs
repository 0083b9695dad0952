//! The aggregator against librdkafka's in-process broker and SQLite, and against a real Kafka, PostgreSQL and
//! MariaDB where `KAFKA_BOOTSTRAP`, `POSTGRES_URL` and `MYSQL_URL` say where they are (`REQUIRE_SERVICES=1`: they must).

use market::{Market, Trade};
use rdkafka::ClientConfig;
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};
use runtime::health::Probes;
use worker::aggregate::TopicId;
use worker::record::RecordEncoder;

use crate::broker::{PATIENCE, TestBroker};
use crate::exchange::START_US;
use crate::lab::{Lab, create_topic, wait_until};
use crate::proxy::Proxy;

/// Writes records as a producer would.
struct Publisher {
    producer: ThreadedProducer<DefaultProducerContext>,
    topic: String,
}

impl Publisher {
    fn new(lab: &Lab) -> Self {
        let producer = ClientConfig::new()
            .set("bootstrap.servers", &lab.connection.bootstrap_servers)
            .set("partitioner", "murmur2_random")
            .create()
            .unwrap();
        Self { producer, topic: lab.topic.clone() }
    }

    /// One trade a second of one symbol.
    fn publish(&self, symbol: &str, ids: std::ops::Range<i64>) {
        let encoder = RecordEncoder::new(&Market::new("binance", symbol));
        let mut value = Vec::new();
        for trade_id in ids {
            encoder.encode_value(&trade(trade_id), &mut value);
            self.send(encoder.key(), &value);
        }
        self.flush();
    }

    fn send(&self, key: &[u8], value: &[u8]) {
        let record = BaseRecord::to(&self.topic).key(key).payload(value);
        self.producer.send(record).map_err(|(error, _)| error).unwrap();
    }

    fn flush(&self) {
        self.producer.flush(PATIENCE).unwrap();
    }
}

fn trade(trade_id: i64) -> Trade {
    let trade_time_us = START_US + trade_id * 1_000_000;
    Trade {
        trade_id,
        price: "100.5".parse().unwrap(),
        quantity: "0.25".parse().unwrap(),
        trade_time_us,
        event_time_us: trade_time_us,
        received_time_us: trade_time_us,
        buyer_is_maker: false,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn commits_every_record_once_and_keeps_those_that_are_no_trades() {
    let broker = TestBroker::start();
    let lab = Lab::embedded(&broker).await;
    let publisher = Publisher::new(&lab);
    publisher.publish("BTCUSDT", 0..500);
    publisher.publish("ETHUSDT", 0..500);
    publisher.send(b"binance:BTCUSDT", b"{\"venue\":1}");
    publisher.flush();
    publisher.publish("BTCUSDT", 400..600);

    let aggregator = lab.aggregate();
    lab.wait_for_held(1_100).await;
    aggregator.wait_until_ready().await;
    // The database has a flush a moment before its aggregator counts it.
    wait_until("the last flush is counted", async || aggregator.state.status().records_read == 1_201).await;
    let status = aggregator.state.status();
    assert_eq!((status.records_read, status.trades_new), (1_201, 1_100));
    assert_eq!((status.trades_duplicate, status.records_set_aside), (100, 1));
    lab.assert_counted_once(1_100).await;
    aggregator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_aggregator_has_committed_what_it_read_and_the_next_one_goes_on_behind_it() {
    let broker = TestBroker::start();
    let lab = Lab::embedded(&broker).await;
    let publisher = Publisher::new(&lab);
    let first = lab.aggregate();
    publisher.publish("BTCUSDT", 0..300);
    lab.wait_for_held(1).await;
    first.stop().await;
    publisher.publish("BTCUSDT", 300..400);

    let second = lab.aggregate();
    lab.wait_for_held(400).await;
    assert_eq!(second.state.status().trades_duplicate, 0);
    second.stop().await;
    lab.assert_counted_once(400).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_is_away_is_said_and_waited_for() {
    let broker = TestBroker::start();
    let lab = Lab::embedded(&broker).await;
    let publisher = Publisher::new(&lab);
    let aggregator = lab.aggregate();
    publisher.publish("BTCUSDT", 0..100);
    lab.wait_for_held(100).await;
    broker.take_down();
    wait_until("the broker's absence is told", async || aggregator.complains_of("broker")).await;
    broker.bring_up();
    publisher.publish("BTCUSDT", 100..200);
    lab.wait_for_held(200).await;
    aggregator.wait_until_ready().await;
    aggregator.stop().await;
    lab.assert_counted_once(200).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_is_away_holds_nobody_who_stops() {
    let broker = TestBroker::start();
    let lab = Lab::embedded(&broker).await;
    let publisher = Publisher::new(&lab);
    let aggregator = lab.aggregate();
    // The first positions are told to the group at once; the next are untold when the broker goes away.
    publisher.publish("BTCUSDT", 0..100);
    lab.wait_for_held(100).await;
    publisher.publish("BTCUSDT", 100..200);
    lab.wait_for_held(200).await;
    // Before its absence is noticed: the untold ones are under way then, and tried again without an end.
    broker.fall_silent();
    aggregator.stop().await;
    lab.assert_counted_once(200).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_begins_anew_is_read_from_its_beginning_and_counts_nothing_twice() {
    let broker = TestBroker::start();
    let mut lab = Lab::embedded(&broker).await;
    let aggregator = lab.aggregate();
    Publisher::new(&lab).publish("BTCUSDT", 0..100);
    lab.wait_for_held(100).await;
    aggregator.stop().await;

    let another = TestBroker::start();
    lab.connection.bootstrap_servers.clone_from(&another.bootstrap_servers);
    lab.topic_id = TopicId::Fixed("second".to_owned());
    Publisher::new(&lab).publish("BTCUSDT", 50..150);
    let aggregator = lab.aggregate();
    lab.wait_for_held(150).await;
    assert_eq!(aggregator.state.status().trades_duplicate, 50);
    aggregator.stop().await;
    lab.assert_counted_once(150).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn real_aggregators_share_growing_partitions_and_lose_nothing_when_one_leaves() {
    Lab::on_each_server(2, async |lab: Lab| {
        let publisher = Publisher::new(&lab);
        let symbols = ["BTCUSDT", "ETHUSDT", "SOLUSDT", "BNBUSDT", "ADAUSDT"];
        let publish = |ids: std::ops::Range<i64>| {
            symbols.iter().for_each(|symbol| publisher.publish(symbol, ids.clone()))
        };
        let first = lab.aggregate();
        publish(0..200);
        lab.wait_for_held(1_000).await;
        let second = lab.aggregate();
        wait_until("both have a partition", async || first.partitions() == 1 && second.partitions() == 1)
            .await;
        publish(200..400);
        lab.admin().grow_topic(&lab.topic, 6).await.unwrap();
        publish(400..600);
        wait_until("all partitions are assigned", async || first.partitions() + second.partitions() == 6)
            .await;
        publish(600..800);
        first.stop().await;
        publish(800..1_000);
        lab.wait_for_held(5_000).await;
        wait_until("the second has them all", async || second.partitions() == 6).await;
        second.stop().await;
        lab.assert_counted_once(5_000).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_topic_deleted_and_made_anew_is_noticed() {
    let Some(lab) = Lab::real(1).await else { return };
    let aggregator = lab.aggregate();
    Publisher::new(&lab).publish("BTCUSDT", 0..100);
    lab.wait_for_held(100).await;
    let admin = lab.admin();
    admin.delete_topic(&lab.topic).await.unwrap();
    wait_until("the topic is gone", async || {
        admin.describe_topic(&lab.topic).await.is_ok_and(|topic| topic.is_none())
    })
    .await;
    create_topic(&lab.connection, &lab.topic, 1).await;
    Publisher::new(&lab).publish("BTCUSDT", 50..120);
    lab.wait_for_held(120).await;
    aggregator.stop().await;
    lab.assert_counted_once(120).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_database_that_is_away_is_said_and_waited_for() {
    Lab::on_each_server(1, async |mut lab: Lab| {
        let (address, rest) = split_address(&lab.database_url);
        let proxy = Proxy::start(address).await;
        lab.database_url = rest.replace("{}", &proxy.address.to_string());
        let aggregator = lab.aggregate();
        let publisher = Publisher::new(&lab);
        publisher.publish("BTCUSDT", 0..100);
        lab.wait_for_held(100).await;
        proxy.cut();
        publisher.publish("BTCUSDT", 100..200);
        wait_until("the database's absence is told", async || aggregator.complains_of("database")).await;
        assert_eq!(lab.held().await, 100);
        proxy.mend();
        lab.wait_for_held(200).await;
        aggregator.wait_until_ready().await;
        aggregator.stop().await;
        lab.assert_counted_once(200).await;
    })
    .await;
}

/// `HOST:PORT` of a database URL, and the URL with `{}` in its place.
fn split_address(url: &str) -> (String, String) {
    let (scheme, rest) = url.split_once("://").unwrap();
    let (authority, path) = rest.split_once('/').unwrap();
    let (user, address) =
        authority.rsplit_once('@').map_or(("", authority), |(user, address)| (user, address));
    let at = if user.is_empty() { "" } else { "@" };
    (address.to_owned(), format!("{scheme}://{user}{at}{{}}/{path}"))
}
