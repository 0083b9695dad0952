//! Whether trades come: from what the workers tell of themselves.

use std::collections::BTreeMap;

use crds::condition::Reason;
use crds::status::UnhealthySymbol;
use crds::worker_status::{DependencyStatus, ProducerStatus, SymbolState};
use market::Market;

use super::{Findings, Verdict, keeping_up, listed};
use crate::reconcile::observe::{Reading, WorkerReports};

/// The state of one market's stream: the best that any of its producers tells, worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum MarketState {
    /// No producer of it has answered.
    Untold,
    /// Not asked yet.
    Unchecked,
    /// The exchange does not list it.
    Unknown,
    /// The exchange does not trade it now.
    NotTrading,
    /// No trade or ticker for longer than its rhythm explains.
    Silent,
    /// Tickers come, and repeat one price for long.
    Frozen,
    /// Subscribed, no trade yet.
    Subscribed,
    /// Trades come.
    Streaming,
}

impl From<SymbolState> for MarketState {
    fn from(state: SymbolState) -> Self {
        match state {
            SymbolState::Unchecked => Self::Unchecked,
            SymbolState::Unknown => Self::Unknown,
            SymbolState::NotTrading => Self::NotTrading,
            SymbolState::Silent => Self::Silent,
            SymbolState::Frozen => Self::Frozen,
            SymbolState::Subscribed => Self::Subscribed,
            SymbolState::Streaming => Self::Streaming,
        }
    }
}

pub(super) fn data_flowing(findings: &Findings<'_>) -> Verdict {
    if findings.pipeline.spec.suspend {
        return Verdict::no(Reason::Suspended, "the producers are stopped, as spec.suspend asks");
    }
    let reports = match &findings.observed.workers {
        Reading::Pending => return Verdict::unknown(Reason::NotReadYet, "not read yet"),
        Reading::Failed(failure) => {
            return Verdict::unknown(Reason::WorkersNotAnswering, failure.message.clone());
        }
        Reading::Known { value, .. } => value,
    };
    if let Some(blocked) = blocked_aggregators(reports).or_else(|| blocked_producers(findings, reports)) {
        return blocked;
    }
    let markets_in = |state| self::markets_in(findings, state);
    let stops = [
        (MarketState::Unknown, Reason::UnknownSymbol, "the exchange does not list"),
        (MarketState::NotTrading, Reason::SymbolNotTrading, "the exchange does not trade now"),
        (MarketState::Silent, Reason::SymbolSilent, "nothing for longer than its rhythm explains from"),
        (MarketState::Frozen, Reason::PriceFrozen, "for long the same price from"),
    ];
    for (state, reason, what) in stops {
        let markets = markets_in(state);
        if !markets.is_empty() {
            return Verdict::no(reason, format!("{what} {}", listed(markets)));
        }
    }
    let untold = markets_in(MarketState::Untold);
    if !untold.is_empty() {
        return Verdict::unknown(
            Reason::WorkersNotAnswering,
            format!("no producer tells of {}", listed(untold)),
        );
    }
    let mut waiting = markets_in(MarketState::Unchecked);
    waiting.extend(markets_in(MarketState::Subscribed));
    if !waiting.is_empty() {
        return Verdict::unknown(Reason::WaitingForTrades, format!("no trade yet from {}", listed(waiting)));
    }
    keeping_up::worry(findings)
        .unwrap_or_else(|| Verdict::yes(Reason::TradesArriving, "trades come from every symbol"))
}

/// The markets in exactly this state.
pub(super) fn markets_in(findings: &Findings<'_>, state: MarketState) -> Vec<Market> {
    market_states(findings).into_iter().filter(|(_, is)| *is == state).map(|(market, _)| market).collect()
}

pub(super) fn unhealthy_symbols(findings: &Findings<'_>) -> Vec<UnhealthySymbol> {
    let unhealthy = |(market, state): (Market, MarketState)| {
        let (reason, message) = match state {
            MarketState::Unknown => (Reason::UnknownSymbol, "the exchange does not list it"),
            MarketState::NotTrading => (Reason::SymbolNotTrading, "the exchange does not trade it now"),
            MarketState::Silent => (Reason::SymbolSilent, "nothing for longer than its rhythm explains"),
            MarketState::Frozen => (Reason::PriceFrozen, "for long the same price"),
            _ => return None,
        };
        Some(UnhealthySymbol {
            venue: market.venue.to_string(),
            symbol: market.symbol.to_string(),
            reason: reason.to_string(),
            message: message.to_owned(),
        })
    };
    market_states(findings).into_iter().filter_map(unhealthy).collect()
}

fn market_states(findings: &Findings<'_>) -> BTreeMap<Market, MarketState> {
    let mut states = BTreeMap::new();
    for source in &findings.pipeline.spec.sources {
        let producers = producers_of(findings.observed.workers.value(), &source.name);
        for symbol in &source.symbols {
            let told = producers.iter().filter_map(|producer| producer.symbols.get(symbol));
            let best =
                told.map(|symbol| MarketState::from(symbol.state)).max().unwrap_or(MarketState::Untold);
            let market = Market::new(source.effective_venue().to_owned(), symbol.clone());
            states
                .entry(market)
                .and_modify(|state: &mut MarketState| *state = best.max(*state))
                .or_insert(best);
        }
    }
    states
}

fn producers_of<'a>(reports: Option<&'a WorkerReports>, source: &str) -> Vec<&'a ProducerStatus> {
    let answered = reports.into_iter().flat_map(WorkerReports::answered_producers);
    answered.filter(|producer| producer.source == source).collect()
}

/// Nothing is written while no aggregator has both broker and database.
fn blocked_aggregators(reports: &WorkerReports) -> Option<Verdict> {
    let answered: Vec<_> = reports.answered_aggregators().collect();
    let first = answered.first()?;
    let works =
        |broker: &DependencyStatus, database: &DependencyStatus| broker.available && database.available;
    if answered.iter().any(|aggregator| works(&aggregator.broker, &aggregator.database)) {
        return None;
    }
    let (what, message) = if first.database.available {
        ("the broker", &first.broker.message)
    } else {
        ("the database", &first.database.message)
    };
    Some(Verdict::no(Reason::WorkersBlocked, format!("no aggregator reaches {what}: {message}")))
}

/// A source is blocked while none of its producers reaches its exchange, or the broker.
fn blocked_producers(findings: &Findings<'_>, reports: &WorkerReports) -> Option<Verdict> {
    findings.pipeline.spec.sources.iter().find_map(|source| {
        let producers = producers_of(Some(reports), &source.name);
        let first = producers.first()?;
        if !producers.iter().any(|producer| producer.exchange.available) {
            let message = format!(
                "source {}: no producer reaches the exchange: {}",
                source.name, first.exchange.message
            );
            return Some(Verdict::no(Reason::ExchangeUnreachable, message));
        }
        if !producers.iter().any(|producer| producer.broker.available) {
            let message =
                format!("source {}: no producer reaches the broker: {}", source.name, first.broker.message);
            return Some(Verdict::no(Reason::WorkersBlocked, message));
        }
        None
    })
}
