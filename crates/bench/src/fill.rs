//! A topic full of trades, as `worker produce` writes them.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use crds::worker_settings::RecordEncoding;
use exchange_sim::TradeLog;
use exchange_sim::log::{DEFAULT_SYMBOLS, GeneratorSettings};
use market::{Market, Trade};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer as _, ThreadedProducer};
use runtime::kafka_admin::{KafkaAdmin, TopicToCreate};
use serde::Serialize;
use worker::record::{RecordEncoder, client_settings};

use crate::topic::Topic;

const TIMEOUT: Duration = Duration::from_secs(60);

#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    topic: Topic,
    /// How many partitions it gets.
    #[arg(long, default_value_t = 3, value_name = "COUNT")]
    partitions: i32,
    /// How many trades it gets.
    #[arg(long, default_value_t = 2_000_000, value_name = "COUNT")]
    trades: usize,
    /// Trades per second of the market, all symbols together: how dense the candles are.
    #[arg(long, default_value_t = 5_000, value_name = "RATE")]
    rate: u32,
}

/// What was written.
#[derive(Serialize)]
pub(crate) struct Filled {
    records: usize,
    bytes: usize,
}

pub(crate) async fn fill(arguments: &Arguments) -> anyhow::Result<Filled> {
    let Topic { topic, .. } = &arguments.topic;
    let connection = arguments.topic.connection();
    let admin = KafkaAdmin::new(&connection, "bench", TIMEOUT)?;
    let config = BTreeMap::from([
        ("message.timestamp.type".to_owned(), "LogAppendTime".to_owned()),
        ("retention.ms".to_owned(), "-1".to_owned()),
    ]);
    let partitions = arguments.partitions;
    admin
        .create_topic(&TopicToCreate { name: topic, partitions, replication_factor: 1, config: &config })
        .await?;

    let producer: ThreadedProducer<DefaultProducerContext> =
        connection.client_config("bench", &client_settings(RecordEncoding::Own)).create()?;
    let mut markets: Vec<GeneratedMarket> = DEFAULT_SYMBOLS
        .iter()
        .map(|(symbol, weight)| GeneratedMarket::new(symbol, *weight, arguments.rate))
        .collect::<anyhow::Result<_>>()?;
    let mut filled = Filled { records: 0, bytes: 0 };
    let mut value = Vec::new();
    while filled.records < arguments.trades {
        let next = markets.iter_mut().min_by_key(|market| market.next.trade_time_us).context("no market")?;
        next.encoder.encode_value(&next.next, &mut value);
        send(&producer, topic, next.encoder.key(), &value)?;
        filled.records += 1;
        filled.bytes += value.len();
        next.advance()?;
    }
    producer.flush(TIMEOUT).context("the broker did not take everything")?;
    let ends = admin.end_offsets(topic, partitions).await?;
    let written: i64 = ends.iter().sum();
    ensure!(
        usize::try_from(written) == Ok(filled.records),
        "{written} records stand on the topic, not {}",
        filled.records
    );
    Ok(filled)
}

fn send(
    producer: &ThreadedProducer<DefaultProducerContext>,
    topic: &str,
    key: &[u8],
    value: &[u8],
) -> Result<(), KafkaError> {
    let mut record = BaseRecord::to(topic).key(key).payload(value);
    loop {
        match producer.send(record) {
            Ok(()) => return Ok(()),
            Err((error, unsent)) if error.rdkafka_error_code() == Some(RDKafkaErrorCode::QueueFull) => {
                record = unsent;
                std::thread::sleep(Duration::from_millis(1));
            }
            Err((error, _)) => return Err(error),
        }
    }
}

/// A generated log and the trade of it that comes next.
struct GeneratedMarket {
    encoder: RecordEncoder,
    log: TradeLog,
    index: usize,
    next: Trade,
}

impl GeneratedMarket {
    fn new(symbol: &str, weight: f64, rate: u32) -> anyhow::Result<Self> {
        let all: f64 = DEFAULT_SYMBOLS.iter().map(|(_, weight)| weight).sum();
        #[expect(clippy::float_arithmetic, reason = "the rate of a random process, no price")]
        let trades_per_second = f64::from(rate) * weight / all;
        let log = TradeLog::generated(&GeneratorSettings {
            symbol: symbol.into(),
            trades_per_second,
            seed: 1,
            start_us: GeneratorSettings::DEFAULT_START_US,
            duration: None,
        });
        let next = trade_at(&log, 0)?;
        Ok(Self { encoder: RecordEncoder::new(&Market::new("simulated", symbol)), log, index: 0, next })
    }

    fn advance(&mut self) -> anyhow::Result<()> {
        self.index += 1;
        self.next = trade_at(&self.log, self.index)?;
        Ok(())
    }
}

fn trade_at(log: &TradeLog, index: usize) -> anyhow::Result<Trade> {
    let trade = log.get(index).context("the generated market has ended")?;
    Ok(Trade {
        trade_id: trade.id,
        price: trade.price,
        quantity: trade.quantity,
        trade_time_us: trade.time_us,
        event_time_us: trade.time_us,
        received_time_us: trade.time_us,
        buyer_is_maker: trade.buyer_is_maker,
    })
}
