//! The limit that the aggregator is measured against: a loop that polls and counts, and does nothing else.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::BorrowedMessage;
use rdkafka::{Message as _, Offset, TopicPartitionList};
use serde::Serialize;
use worker::aggregate::consumer_defaults;

use crate::topic::Topic;

const TIMEOUT: Duration = Duration::from_secs(60);

#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    topic: Topic,
}

/// What was read, and how long that took from the first record to the last.
#[derive(Serialize)]
pub(crate) struct Polled {
    records: i64,
    bytes: usize,
    seconds: f64,
}

pub(crate) fn poll(arguments: &Arguments) -> anyhow::Result<Polled> {
    read_whole(&arguments.topic, |_| Ok(()))
}

/// Reads what the topic holds at the beginning.
pub(crate) fn read_whole(
    topic: &Topic,
    mut each: impl FnMut(&BorrowedMessage<'_>) -> anyhow::Result<()>,
) -> anyhow::Result<Polled> {
    let consumer: BaseConsumer =
        topic.connection().client_config("bench", &consumer_defaults("bench-poll")).create()?;
    let Topic { topic, .. } = topic;
    let metadata = consumer.fetch_metadata(Some(topic), TIMEOUT)?;
    let described = metadata.topics().first().context("the topic is not there")?;
    let mut list = TopicPartitionList::new();
    // By partition.
    let mut ends = vec![0; described.partitions().len()];
    let mut left = 0;
    for partition in described.partitions() {
        list.add_partition_offset(topic, partition.id(), Offset::Beginning)?;
        let (low, high) = consumer.fetch_watermarks(topic, partition.id(), TIMEOUT)?;
        *ends.get_mut(usize::try_from(partition.id())?).context("partitions are not numbered from 0")? = high;
        left += high - low;
    }
    consumer.assign(&list)?;
    let mut polled = Polled { records: 0, bytes: 0, seconds: 0.0 };
    let mut begun = None;
    while polled.records < left {
        let message = consumer.poll(TIMEOUT).context("the broker gives no more records")??;
        begun.get_or_insert_with(Instant::now);
        // Who writes may go on.
        if ends.get(usize::try_from(message.partition())?).is_none_or(|end| message.offset() >= *end) {
            continue;
        }
        polled.records += 1;
        polled.bytes += message.payload_len();
        each(&message)?;
    }
    polled.seconds = begun.map_or(0.0, |begun| begun.elapsed().as_secs_f64());
    Ok(polled)
}
