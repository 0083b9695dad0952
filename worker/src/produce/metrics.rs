//! A producer's figures for Prometheus, read from its state when they are asked for.

use std::fmt::Error;
use std::sync::Arc;

use crds::worker_settings::Feed;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::registry::Registry;
use runtime::metrics::{Metric, count, one_if};
use tokio::time::Instant;

use super::state::ProducerState;

const TRADES_RECEIVED: Metric = Metric::counter(
    "cryptopipeline_producer_trades_received_total",
    &[],
    "Trades read from the exchange, those that two overlapping connections both brought included",
);
const SAMPLES_RECEIVED: Metric = Metric::counter(
    "cryptopipeline_producer_samples_received_total",
    &[],
    "Samples of prices read from the exchange, those that two overlapping connections both brought included",
);
const RECORDS_PUBLISHED: Metric = Metric::counter(
    "cryptopipeline_producer_records_published_total",
    &[],
    "Records that the broker acknowledged",
);
const RECORDS_DROPPED: Metric = Metric::counter(
    "cryptopipeline_producer_records_dropped_total",
    &[],
    "Records that could not be delivered, because the broker was away for longer than they could be kept; the repairer fetches their trades",
);
const RECORDS_BUFFERED: Metric = Metric::gauge(
    "cryptopipeline_producer_records_buffered",
    &[],
    "Records that wait for the broker's acknowledgement",
);
const MALFORMED_FRAMES: Metric = Metric::counter(
    "cryptopipeline_producer_malformed_frames_total",
    &["reason"],
    "Frames that could not be read and were left out",
);
const RECONNECTS: Metric = Metric::counter(
    "cryptopipeline_producer_reconnects_total",
    &[],
    "Connections to the exchange after the first, those that replace one before its time included",
);
const LAST_FRAME_AGE: Metric = Metric::gauge(
    "cryptopipeline_producer_last_frame_age_seconds",
    &[],
    "Seconds since the last frame of any connection, pings included; none before the first",
);
const LAST_TRADE_AGE: Metric = Metric::gauge(
    "cryptopipeline_producer_last_trade_age_seconds",
    &["symbol"],
    "Seconds since the symbol's last trade, or the last sample of its price, came; none before the first",
);
const REQUEST_WEIGHT: Metric = Metric::gauge(
    "cryptopipeline_producer_request_weight_used",
    &[],
    "Request weight of this address in the current minute, as the exchange counted it last",
);
const EXCHANGE_AVAILABLE: Metric = Metric::gauge(
    "cryptopipeline_producer_exchange_available",
    &[],
    "1 while every listed symbol is streamed, else 0",
);
const BROKER_AVAILABLE: Metric =
    Metric::gauge("cryptopipeline_producer_broker_available", &[], "1 while the broker answers, else 0");

/// What a producer exposes.
pub const METRICS: &[Metric] = &[
    TRADES_RECEIVED,
    SAMPLES_RECEIVED,
    RECORDS_PUBLISHED,
    RECORDS_DROPPED,
    RECORDS_BUFFERED,
    MALFORMED_FRAMES,
    RECONNECTS,
    LAST_FRAME_AGE,
    LAST_TRADE_AGE,
    REQUEST_WEIGHT,
    EXCHANGE_AVAILABLE,
    BROKER_AVAILABLE,
];

/// Registers the figures of the producer whose state this is.
pub fn register(registry: &mut Registry, state: Arc<ProducerState>) {
    registry.register_collector(Box::new(Figures(state)));
}

#[derive(Debug)]
struct Figures(Arc<ProducerState>);

impl Collector for Figures {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), Error> {
        let (state, now) = (&self.0, Instant::now());
        TRADES_RECEIVED.tell_one(&mut encoder, count(state.received_of(Feed::Trades)))?;
        SAMPLES_RECEIVED.tell_one(&mut encoder, count(state.received_of(Feed::Tickers)))?;
        RECORDS_PUBLISHED.tell_one(&mut encoder, count(state.records_published.get()))?;
        RECORDS_DROPPED.tell_one(&mut encoder, count(state.records_dropped.get()))?;
        RECORDS_BUFFERED.tell_one(&mut encoder, count(state.records_buffered()))?;
        let malformed = state.malformed_frames();
        let malformed = malformed.iter().map(|(reason, frames)| ([reason], count(frames.count)));
        MALFORMED_FRAMES.tell(&mut encoder, malformed)?;
        RECONNECTS.tell_one(&mut encoder, count(state.reconnects.get()))?;
        let age = state.last_frame_age(now).map(|age| ([""; 0], age.as_secs_f64()));
        LAST_FRAME_AGE.tell(&mut encoder, age)?;
        let ages = state.feeds.all().iter();
        let ages = ages.filter_map(|feed| Some(([feed.symbol.as_str()], feed.last_age(now)?.as_secs_f64())));
        LAST_TRADE_AGE.tell(&mut encoder, ages)?;
        REQUEST_WEIGHT.tell_one(&mut encoder, f64::from(state.weight_used()))?;
        EXCHANGE_AVAILABLE.tell_one(&mut encoder, one_if(state.exchange_status().available))?;
        BROKER_AVAILABLE.tell_one(&mut encoder, one_if(state.broker.is_available()))
    }
}
