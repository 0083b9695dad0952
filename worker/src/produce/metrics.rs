//! A producer's figures for Prometheus, read from its state when they are asked for.
//!
//! | name | labels | what |
//! |---|---|---|
//! | `cryptopipeline_producer_trades_received_total` | | trades read, duplicates of overlapping connections included |
//! | `cryptopipeline_producer_records_published_total` | | records that the broker acknowledged |
//! | `cryptopipeline_producer_records_dropped_total` | | records that could not be delivered |
//! | `cryptopipeline_producer_malformed_frames_total` | `reason` | frames left out |
//! | `cryptopipeline_producer_reconnects_total` | | connections after the first, rotations included |
//! | `cryptopipeline_producer_last_trade_age_seconds` | `symbol` | since the symbol's last trade came |
//! | `cryptopipeline_producer_request_weight_used` | | as the exchange counted last, per minute and address |
//! | `cryptopipeline_producer_exchange_available` | | 1 while everything listed is streamed |
//! | `cryptopipeline_producer_broker_available` | | 1 while the broker answers |

use std::fmt::Error;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;
use tokio::time::Instant;

use super::state::ProducerState;

const PREFIX: &str = "cryptopipeline_producer";

/// Registers the figures of the producer whose state this is.
pub fn register(registry: &mut Registry, state: Arc<ProducerState>) {
    registry.sub_registry_with_prefix(PREFIX).register_collector(Box::new(Figures(state)));
}

#[derive(Debug)]
struct Figures(Arc<ProducerState>);

impl Collector for Figures {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), Error> {
        let state = &self.0;
        let mut counter =
            |name, help, value| encode_plain(&mut encoder, name, help, &ConstCounter::new(value));
        counter("trades_received", "Trades read, duplicates included", state.trades_received.get())?;
        counter("records_published", "Records that the broker acknowledged", state.records_published.get())?;
        counter("records_dropped", "Records that could not be delivered", state.records_dropped.get())?;
        counter("reconnects", "Connections after the first, rotations included", state.reconnects.get())?;
        let mut gauge = |name, help, value| encode_plain(&mut encoder, name, help, &ConstGauge::new(value));
        gauge("request_weight_used", "Request weight used in a minute", i64::from(state.weight_used()))?;
        let exchange_available = state.exchange_status().available;
        gauge("exchange_available", "Whether everything listed is streamed", i64::from(exchange_available))?;
        gauge("broker_available", "Whether the broker answers", i64::from(state.broker.is_available()))?;
        self.encode_malformed_frames(&mut encoder)?;
        self.encode_ages(&mut encoder)
    }
}

impl Figures {
    fn encode_malformed_frames(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), Error> {
        let mut family =
            encoder.encode_descriptor("malformed_frames", "Frames left out", None, MetricType::Counter)?;
        for (reason, frames) in self.0.malformed_frames() {
            let labels = [("reason", reason)];
            ConstCounter::new(frames.count).encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }

    fn encode_ages(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), Error> {
        let help = "Seconds since the symbol's last trade came";
        let mut family =
            encoder.encode_descriptor("last_trade_age_seconds", help, None, MetricType::Gauge)?;
        let now = Instant::now();
        for feed in self.0.feeds.all() {
            if let Some(age) = feed.last_trade_age(now) {
                let labels = [("symbol", feed.symbol.as_str())];
                ConstGauge::new(age.as_secs_f64()).encode(family.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }
}

fn encode_plain<M: EncodeMetric>(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    metric: &M,
) -> Result<(), Error> {
    metric.encode(encoder.encode_descriptor(name, help, None, metric.metric_type())?)
}
