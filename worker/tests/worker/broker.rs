//! librdkafka's in-process broker, and what stands on its topic.

use std::collections::{BTreeMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use market::{Ticker, Trade};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::mocking::MockCluster;
use rdkafka::{ClientConfig, Message, Offset, TopicPartitionList};
use runtime::kafka::KafkaConnection;
use worker::record::{self, Content};

pub(crate) const TOPIC: &str = "crypto-trades";
pub(crate) const PARTITIONS: i32 = 3;

/// Long enough for a busy machine; nothing waits for it when all is well.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

enum Command {
    TakeDown,
    BringUp,
    FallSilent,
    Stop,
}

/// A broker with the topic [`TOPIC`]. The cluster must stay on the thread that made it.
pub(crate) struct TestBroker {
    pub(crate) bootstrap_servers: String,
    commands: mpsc::Sender<Command>,
    thread: Option<JoinHandle<()>>,
}

impl TestBroker {
    pub(crate) fn start() -> Self {
        let (commands, command_receiver) = mpsc::channel();
        let (address_sender, address) = mpsc::channel();
        let thread = thread::spawn(move || {
            let cluster = MockCluster::new(1).unwrap();
            cluster.create_topic(TOPIC, PARTITIONS, 1).unwrap();
            address_sender.send(cluster.bootstrap_servers()).unwrap();
            for command in command_receiver {
                match command {
                    Command::TakeDown => cluster.broker_down(1).unwrap(),
                    Command::BringUp => cluster.broker_up(1).unwrap(),
                    Command::FallSilent => {
                        cluster.broker_round_trip_time(1, Duration::from_secs(3600)).unwrap()
                    }
                    Command::Stop => break,
                }
            }
        });
        Self { bootstrap_servers: address.recv().unwrap(), commands, thread: Some(thread) }
    }

    pub(crate) fn take_down(&self) {
        self.commands.send(Command::TakeDown).unwrap();
    }

    pub(crate) fn bring_up(&self) {
        self.commands.send(Command::BringUp).unwrap();
    }

    /// It takes what is asked and does not answer any more.
    pub(crate) fn fall_silent(&self) {
        self.commands.send(Command::FallSilent).unwrap();
    }

    pub(crate) fn connection(&self) -> KafkaConnection {
        KafkaConnection { bootstrap_servers: self.bootstrap_servers.clone(), ..KafkaConnection::default() }
    }
}

impl Drop for TestBroker {
    fn drop(&mut self) {
        let _ = self.commands.send(Command::Stop);
        let _ = self.thread.take().unwrap().join();
    }
}

/// What has been read of the topic so far: per symbol in the order of its partition.
#[derive(Default)]
pub(crate) struct Read {
    pub(crate) trades: BTreeMap<String, Vec<Trade>>,
    pub(crate) tickers: BTreeMap<String, Vec<Ticker>>,
    pub(crate) record_bytes: usize,
}

/// Reads the topic from its beginning, in the background.
pub(crate) struct TopicReader {
    read: Arc<Mutex<Read>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl TopicReader {
    pub(crate) fn start(broker: &TestBroker) -> Self {
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", &broker.bootstrap_servers)
            .set("group.id", "test")
            .set("enable.auto.commit", "false")
            .set("fetch.wait.max.ms", "10")
            .create()
            .unwrap();
        let mut partitions = TopicPartitionList::new();
        for partition in 0..PARTITIONS {
            partitions.add_partition_offset(TOPIC, partition, Offset::Beginning).unwrap();
        }
        consumer.assign(&partitions).unwrap();
        let (read, stop) = (Arc::new(Mutex::new(Read::default())), Arc::new(AtomicBool::new(false)));
        let thread = thread::spawn({
            let (read, stop) = (Arc::clone(&read), Arc::clone(&stop));
            move || {
                while !stop.load(Ordering::Relaxed) {
                    if let Some(Ok(message)) = consumer.poll(Duration::from_millis(50)) {
                        take(&mut read.lock().unwrap(), message.key().unwrap(), message.payload().unwrap());
                    }
                }
            }
        });
        Self { read, stop, thread: Some(thread) }
    }

    pub(crate) fn look<T>(&self, look: impl FnOnce(&Read) -> T) -> T {
        look(&self.read.lock().unwrap())
    }

    /// The ids that were read of `symbol`, in their order on the topic.
    pub(crate) fn ids(&self, symbol: &str) -> Vec<i64> {
        let ids = |trades: &Vec<Trade>| trades.iter().map(|trade| trade.trade_id).collect();
        self.look(|read| read.trades.get(symbol).map_or_else(Vec::new, ids))
    }

    /// Waits until the trade `id` of `symbol` has been read.
    pub(crate) async fn wait_for(&self, symbol: &str, id: i64) {
        self.wait_until(|read| read.has(symbol, id), || ()).await;
    }

    /// Waits until what has been read is as wished, and again and again does something `meanwhile`.
    pub(crate) async fn wait_until(&self, wished: impl Fn(&Read) -> bool, mut meanwhile: impl FnMut()) {
        let reached = async {
            while !self.look(&wished) {
                meanwhile();
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        if tokio::time::timeout(PATIENCE, reached).await.is_err() {
            let read = self.read.lock().unwrap();
            let last = |trades: &Vec<Trade>| (trades.len(), trades.last().map(|trade| trade.trade_id));
            let read: BTreeMap<_, _> =
                read.trades.iter().map(|(symbol, trades)| (symbol, last(trades))).collect();
            panic!("waited in vain; count and last id by symbol: {read:?}");
        }
    }
}

impl Read {
    pub(crate) fn has(&self, symbol: &str, id: i64) -> bool {
        let is_it = |trade: &Trade| trade.trade_id == id;
        // The newest first: that is where it will be.
        self.trades.get(symbol).is_some_and(|trades| trades.iter().rev().take(2_000).any(is_it))
    }

    /// How many samples of its price there are of `symbol`.
    pub(crate) fn samples(&self, symbol: &str) -> usize {
        self.tickers.get(symbol).map_or(0, Vec::len)
    }

    /// How many different ids there are of `symbol`.
    pub(crate) fn distinct(&self, symbol: &str) -> usize {
        let ids = self.trades.get(symbol).into_iter().flatten().map(|trade| trade.trade_id);
        ids.collect::<HashSet<_>>().len()
    }
}

impl Drop for TopicReader {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = self.thread.take().unwrap().join();
    }
}

fn take(read: &mut Read, key: &[u8], value: &[u8]) {
    let decoded = record::decode_value(value).unwrap();
    assert_eq!(key, format!("{}:{}", decoded.venue, decoded.symbol).as_bytes());
    read.record_bytes += key.len() + value.len();
    let symbol = decoded.symbol.into_owned();
    match decoded.content {
        Content::Trade(trade) => read.trades.entry(symbol).or_default().push(trade),
        Content::Ticker(ticker) => read.tickers.entry(symbol).or_default().push(*ticker),
    }
}
