//! A repairer's figures for Prometheus, and those of the database that only one has to ask for.

use std::fmt::Error;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::registry::Registry;
use runtime::health::Probes as _;
use runtime::metrics::{Metric, count, one_if};

use super::state::RepairerState;

const TRADES_REPAIRED: Metric = Metric::counter(
    "cryptopipeline_repairer_trades_repaired_total",
    &[],
    "Missing trades that the exchange still had, published to the topic",
);
const IDS_VOIDED: Metric = Metric::counter(
    "cryptopipeline_repairer_ids_voided_total",
    &[],
    "Missing ids that the exchange never gave to a trade",
);
const TRADES_REFUSED: Metric = Metric::counter(
    "cryptopipeline_repairer_trades_refused_total",
    &[],
    "Missing trades that cannot be held, such as those with an amount that has too many digits",
);
const QUEUE: Metric = Metric::gauge(
    "cryptopipeline_repairer_queue_trades",
    &["source"],
    "Trades that the ledger misses, those that daily files are about to bring included",
);
const UNAVAILABLE: Metric = Metric::gauge(
    "cryptopipeline_repairer_unavailable_holes",
    &["source"],
    "Holes that were asked for and not brought: they are asked for again, ever more seldom",
);
const CANDLES_CHECKED: Metric = Metric::counter(
    "cryptopipeline_repairer_candles_checked_total",
    &["verdict"],
    "Candles that were compared with the exchange's own",
);
const CANDLES_UNDECIDED: Metric = Metric::gauge(
    "cryptopipeline_repairer_undecided_candles",
    &["source"],
    "Candles that differ from the exchange's, where it is not decided yet who is wrong",
);
const HISTORY_LOADED: Metric = Metric::counter(
    "cryptopipeline_repairer_history_trades_loaded_total",
    &[],
    "Trades of daily files that were new to the ledger",
);
const HISTORY_LEFT: Metric = Metric::gauge(
    "cryptopipeline_repairer_history_trades_left",
    &["source"],
    "Trades of the wished history that are still to be loaded, as far as that is known",
);
const REQUEST_WEIGHT: Metric = Metric::gauge(
    "cryptopipeline_repairer_request_weight_used",
    &["source"],
    "Request weight of this address in the current minute, as the exchange counted it last",
);
const EXCHANGE_AVAILABLE: Metric = Metric::gauge(
    "cryptopipeline_repairer_exchange_available",
    &["source"],
    "1 while the exchange answers requests, else 0",
);
const DATABASE_AVAILABLE: Metric =
    Metric::gauge("cryptopipeline_repairer_database_available", &[], "1 while the database answers, else 0");
/// What a repairer exposes.
pub const METRICS: &[Metric] = &[
    TRADES_REPAIRED,
    IDS_VOIDED,
    TRADES_REFUSED,
    QUEUE,
    UNAVAILABLE,
    CANDLES_CHECKED,
    CANDLES_UNDECIDED,
    HISTORY_LOADED,
    HISTORY_LEFT,
    REQUEST_WEIGHT,
    EXCHANGE_AVAILABLE,
    DATABASE_AVAILABLE,
];

/// Registers the figures of the repairer whose state this is.
pub fn register(registry: &mut Registry, state: Arc<RepairerState>) {
    registry.register_collector(Box::new(Figures(state)));
}

#[derive(Debug)]
struct Figures(Arc<RepairerState>);

impl Collector for Figures {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), Error> {
        let encoder = &mut encoder;
        let status = self.0.status();
        TRADES_REPAIRED.tell_one(encoder, count(status.trades_repaired))?;
        IDS_VOIDED.tell_one(encoder, count(status.ids_voided))?;
        TRADES_REFUSED.tell_one(encoder, count(status.trades_refused))?;
        let checked = status.candles_checked.iter();
        CANDLES_CHECKED.tell(encoder, checked.map(|(verdict, candles)| ([verdict], count(*candles))))?;
        HISTORY_LOADED.tell_one(encoder, count(self.0.history_trades()))?;
        let left = status.history.iter();
        let left = left.map(|(source, history)| {
            let trades = history.symbols.values().map(|symbol| symbol.trades_left).sum();
            ([source], count(trades))
        });
        HISTORY_LEFT.tell(encoder, left)?;
        let weights = status.weight_used.iter();
        REQUEST_WEIGHT.tell(encoder, weights.map(|(source, weight)| ([source], f64::from(*weight))))?;
        let exchanges = status.exchanges.iter();
        let available = exchanges.map(|(source, exchange)| ([source], one_if(exchange.available)));
        EXCHANGE_AVAILABLE.tell(encoder, available)?;
        DATABASE_AVAILABLE.tell_one(encoder, one_if(status.database.available))?;
        self.tell_open(encoder)
    }
}

impl Figures {
    /// What is not done yet, by source.
    fn tell_open(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), Error> {
        let open = self.0.open();
        QUEUE.tell(encoder, open.iter().map(|(source, open)| ([source], count(open.queued))))?;
        UNAVAILABLE.tell(encoder, open.iter().map(|(source, open)| ([source], count(open.unavailable))))?;
        CANDLES_UNDECIDED.tell(encoder, open.iter().map(|(source, open)| ([source], count(open.undecided))))
    }
}
