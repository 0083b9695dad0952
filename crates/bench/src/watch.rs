//! How long trades, or samples of prices, take from the exchange to a row that can be read, and with which program: seen by a
//! reader that asks for rows all the time, and by what the topic says of each record.

use std::collections::HashMap;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, ensure};
use crds::worker_settings::Feed;
use rdkafka::Message as _;
use rdkafka::message::BorrowedMessage;
use serde::Serialize;
use worker::record::{Content, decode_value};

use crate::database::{Database, Heads};
use crate::poll::read_whole;
use crate::topic::Topic;

/// How often the reader looks. What it sees is at most this much older than it was when it became visible.
const LOOK_INTERVAL: Duration = Duration::from_millis(5);

#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    database: Database,
    /// The topic behind the rows, whose records have the time at which the broker got them.
    #[command(flatten)]
    topic: Topic,
    /// Rows of samples of prices, not of trades.
    #[arg(long)]
    tickers: bool,
    /// How long to look.
    #[arg(long, value_name = "SECONDS")]
    seconds: u64,
    /// How much of the beginning does not count.
    #[arg(long, default_value_t = 0, value_name = "SECONDS")]
    skip_seconds: u64,
}

/// Of the records whose rows became visible.
#[derive(Serialize)]
pub(crate) struct Watched {
    records: usize,
    records_per_second: f64,
    /// From the exchange's own time to the producer's read of the frame: the exchange and the network.
    to_producer: Spread,
    /// From there to the broker, which counts whole milliseconds.
    producer_to_broker: Spread,
    /// From the broker to the first look that sees the row.
    broker_to_row: Spread,
    /// From the exchange's own time to that look.
    exchange_to_row: Spread,
}

/// Of times, in milliseconds.
#[derive(Serialize)]
struct Spread {
    median_ms: f64,
    p99_ms: f64,
    largest_ms: f64,
}

/// Until when the rows of one market could be read, and when a look saw it.
struct Seen {
    position: i64,
    at_us: i64,
}

/// One record of the topic: where it stands among its market's, and its times.
struct Written {
    position: i64,
    exchange_us: i64,
    received_us: i64,
    appended_us: i64,
}

pub(crate) async fn watch(arguments: Arguments) -> anyhow::Result<Watched> {
    ensure!(arguments.skip_seconds < arguments.seconds, "--skip-seconds must be less than --seconds");
    let feed = if arguments.tickers { Feed::Tickers } else { Feed::Trades };
    let (looks, counted_from_us) = look(&arguments, feed).await?;
    let seconds = arguments.seconds - arguments.skip_seconds;
    let written = tokio::task::spawn_blocking(move || read_records(&arguments.topic)).await??;
    let mut stages: [Vec<i64>; 4] = Default::default();
    for (market, records) in &written {
        let mut looks = looks.get(market).map_or(&[][..], Vec::as_slice).iter().peekable();
        for record in records {
            // They come in order here, so the first look that saw this position or a later one was the first that could see the row.
            while looks.next_if(|look| look.position < record.position).is_some() {}
            if let Some(look) = looks.peek().filter(|look| look.at_us >= counted_from_us) {
                let Written { exchange_us, received_us, appended_us, .. } = record;
                let of_record = [
                    received_us - exchange_us,
                    appended_us - received_us,
                    look.at_us - appended_us,
                    look.at_us - exchange_us,
                ];
                stages.iter_mut().zip(of_record).for_each(|(stage, took_us)| stage.push(took_us));
            }
        }
    }
    watched(stages, seconds)
}

/// What could be read when, by market, and from which moment on it counts.
async fn look(arguments: &Arguments, feed: Feed) -> anyhow::Result<(HashMap<String, Vec<Seen>>, i64)> {
    let mut heads = Heads::connect(&arguments.database, feed).await?;
    let begun = Instant::now();
    let mut turns = tokio::time::interval(LOOK_INTERVAL);
    let mut looks: HashMap<String, Vec<Seen>> = HashMap::new();
    while begun.elapsed() < Duration::from_secs(arguments.seconds) {
        turns.tick().await;
        let newest = heads.newest().await?;
        let at_us = now_us()?;
        for (market, position) in newest {
            let of_market = looks.entry(market).or_default();
            if of_market.last().is_none_or(|last| last.position != position) {
                of_market.push(Seen { position, at_us });
            }
        }
    }
    let counted_us = i64::try_from((arguments.seconds - arguments.skip_seconds) * 1_000_000)?;
    Ok((looks, now_us()? - counted_us))
}

/// The records of each market, by where they stand.
fn read_records(topic: &Topic) -> anyhow::Result<HashMap<String, Vec<Written>>> {
    let mut records: HashMap<String, Vec<Written>> = HashMap::new();
    read_whole(topic, |message| {
        let (market, record) = written(message)?;
        records.entry(market).or_default().push(record);
        Ok(())
    })?;
    for of_market in records.values_mut() {
        of_market.sort_unstable_by_key(|record| record.position);
    }
    Ok(records)
}

fn written(message: &BorrowedMessage<'_>) -> anyhow::Result<(String, Written)> {
    let record = decode_value(message.payload().context("a record without a value")?)?;
    let appended_ms = message.timestamp().to_millis().context("a record without a time")?;
    let (exchange_us, received_us) = match &record.content {
        Content::Trade(trade) => (trade.trade_time_us, trade.received_time_us),
        Content::Ticker(ticker) => (ticker.sample_time_us, ticker.received_time_us),
    };
    let written = Written {
        position: record.content.position(),
        exchange_us,
        received_us,
        appended_us: appended_ms * 1_000,
    };
    Ok((format!("{}:{}", record.venue, record.symbol), written))
}

#[expect(
    clippy::cast_precision_loss,
    clippy::float_arithmetic,
    reason = "figures for people, far below the numbers that a float cannot hold"
)]
fn watched(stages: [Vec<i64>; 4], seconds: u64) -> anyhow::Result<Watched> {
    let records = stages[0].len();
    ensure!(records > 0, "no row became visible");
    let [to_producer, producer_to_broker, broker_to_row, exchange_to_row] = stages.map(|mut took_us| {
        took_us.sort_unstable();
        let at = |percent: usize| took_us[(records - 1) * percent / 100] as f64 / 1e3;
        Spread { median_ms: at(50), p99_ms: at(99), largest_ms: at(100) }
    });
    Ok(Watched {
        records,
        records_per_second: records as f64 / seconds as f64,
        to_producer,
        producer_to_broker,
        broker_to_row,
        exchange_to_row,
    })
}

fn now_us() -> anyhow::Result<i64> {
    Ok(i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_micros())?)
}
