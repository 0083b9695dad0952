//! Whether trades are missing: from the ledger.

use std::collections::BTreeSet;

use crds::condition::Reason;
use crds::status::UnhealthySymbol;
use jiff::Timestamp;
use market::{IdRestart, Market};
use store::{Hole, MarketLedger, PROBE_STANDS, RefusedIds, RefusedTrades, time_text};

use super::{Findings, Verdict, history, listed, resources, with_separators};
use crate::reconcile::holes::Missing;
use crate::reconcile::observe::{Reading, SchemaState, WorkerReports};
use crate::reconcile::plan::trade_markets;

/// How many holes of a market a message names, and how many of its refused trades.
const NAMED_HOLES: usize = 3;

pub(super) fn data_continuous(findings: &Findings<'_>, now: Timestamp) -> Verdict {
    let schema = match schema(findings) {
        Ok(schema) => schema,
        Err(unread) => return unread,
    };
    let Some(holes) = findings.holes else {
        return Verdict::unknown(Reason::NotReadYet, "not read yet");
    };
    let wished = trade_markets(&findings.pipeline.spec);
    if wished.is_empty() {
        let message = "tickers have no ids: nobody can tell whether one is missing";
        return Verdict::unknown(Reason::NotApplicable, message);
    }
    let missing = holes.missing.iter().filter(|(market, _)| wished.contains(market));
    let missing: Vec<String> =
        missing.map(|(market, missing)| format!("{market} misses {}", missing_text(missing))).collect();
    let refused: Vec<String> = refused(schema, &wished)
        .map(|ledger| format!("{}: {}", ledger.market, refused_text(&ledger.refused)))
        .collect();
    let restarted: Vec<String> = restarted(schema, &wished)
        .map(|(ledger, restart)| format!("{} {}", ledger.market, restart_text(ledger, restart)))
        .collect();
    if !restarted.is_empty() {
        return Verdict::no(Reason::IdsRestarted, listed(restarted));
    }
    if !missing.is_empty() {
        let why_open = why_open(findings, &wished);
        let refused = if refused.is_empty() { String::new() } else { format!("; {}", listed(refused)) };
        let message = format!("{}{why_open}{}{refused}", listed(missing), history::remark(findings));
        return Verdict::no(Reason::TradesMissing, message);
    }
    if !refused.is_empty() {
        // True would say that every trade is held, and no candle over these claims to be complete.
        return Verdict::no(Reason::TradesRefused, listed(refused));
    }
    let unconfirmed: Vec<_> = holes.unconfirmed.keys().filter(|market| wished.contains(market)).collect();
    if !unconfirmed.is_empty() {
        let message = format!("ids are missing of {} that may still wait in the topic", listed(unconfirmed));
        return Verdict::unknown(Reason::HoleUnconfirmed, message);
    }
    let without = wished.iter().filter(|market| {
        !schema.ledgers.iter().any(|ledger| ledger.market == **market && ledger.trades_held > 0)
    });
    let without: Vec<_> = without.collect();
    if !without.is_empty() {
        return Verdict::unknown(Reason::NoTradesYet, format!("no trade is held of {}", listed(without)));
    }
    let not_begun = history::not_begun(findings, &schema.ledgers);
    if !not_begun.is_empty() {
        let message = format!(
            "the exchange has not told yet which wished trade is the first of {}{}{}",
            listed(not_begun),
            why_not_told(findings),
            history::remark(findings)
        );
        return Verdict::unknown(Reason::HistoryNotBegun, message);
    }
    let not_probed = not_probed(schema, &wished, now);
    if !not_probed.is_empty() {
        let message = format!(
            "no trade is missing between the first and the last one held; {} the last id of {}",
            why_not_probed(findings),
            listed(not_probed)
        );
        return Verdict::unknown(Reason::HeadNotProbed, message);
    }
    Verdict::yes(Reason::ChainUnbroken, "no trade is missing up to the last id that the exchange has")
}

/// The database, or what is to be said while it cannot be read.
pub(super) fn schema<'a>(findings: &Findings<'a>) -> Result<&'a SchemaState, Verdict> {
    match &findings.observed.schema {
        Reading::Known { value, .. } => Ok(value),
        Reading::Pending => Err(Verdict::unknown(Reason::NotReadYet, "not read yet")),
        Reading::Failed(failure) => {
            let mut verdict =
                resources::unread(Some(failure), Reason::DatabaseUnreachable, Reason::DatabaseRefused);
            // A database that refuses says nothing of the data.
            verdict.status = super::Truth::Unknown;
            Err(verdict)
        }
    }
}

/// The markets whose last id nobody has asked the exchange for lately.
pub(super) fn not_probed<'a>(
    schema: &SchemaState,
    wished: &'a BTreeSet<Market>,
    now: Timestamp,
) -> Vec<&'a Market> {
    let is_probed = |market: &Market| {
        let ledger = schema.ledgers.iter().find(|ledger| ledger.market == *market);
        ledger.is_some_and(|ledger| is_probed(ledger, now))
    };
    wished.iter().filter(|market| !is_probed(market)).collect()
}

/// The wished markets of which trades exist that cannot be held.
fn refused<'a>(
    schema: &'a SchemaState,
    wished: &'a BTreeSet<Market>,
) -> impl Iterator<Item = &'a MarketLedger> {
    let refused = schema.ledgers.iter().filter(|ledger| ledger.refused.trades > 0);
    refused.filter(|ledger| wished.contains(&ledger.market))
}

/// The wished markets whose exchange numbers their trades anew, and what proves it.
fn restarted<'a>(
    schema: &'a SchemaState,
    wished: &'a BTreeSet<Market>,
) -> impl Iterator<Item = (&'a MarketLedger, IdRestart)> {
    let wished = schema.ledgers.iter().filter(|ledger| wished.contains(&ledger.market));
    wished.filter_map(|ledger| Some((ledger, ledger.restart?)))
}

fn is_probed(ledger: &MarketLedger, now: Timestamp) -> bool {
    let probed_at = ledger.head.and_then(|head| Timestamp::from_microsecond(head.probed_at_us).ok());
    probed_at.is_some_and(|probed_at| now.duration_since(probed_at).unsigned_abs() <= PROBE_STANDS)
}

/// Why nobody has asked for long, as far as it is known.
fn why_not_probed(findings: &Findings<'_>) -> String {
    if !findings.pipeline.spec.repair.enabled {
        return "without spec.repair.enabled nobody asks for".to_owned();
    }
    let cause = trouble_of_the_repairer(findings).map(|cause| format!("{cause}; ")).unwrap_or_default();
    format!("{cause}nobody has asked for")
}

fn why_not_told(findings: &Findings<'_>) -> String {
    trouble_of_the_repairer(findings).map(|cause| format!(": {cause}")).unwrap_or_default()
}

/// Why the repairer does not get on, where it or the cluster says so.
fn trouble_of_the_repairer(findings: &Findings<'_>) -> Option<String> {
    let problem = findings.observed.workloads.repairer.as_ref().and_then(|workload| workload.problem.clone());
    let reports = findings.observed.workers.value();
    let exchange = reports.into_iter().flat_map(WorkerReports::answered_repairers).find_map(|repairer| {
        repairer.exchanges.iter().find(|(_, exchange)| !exchange.available).map(|(source, exchange)| {
            format!("the repairer does not reach the exchange of source {source}: {}", exchange.message)
        })
    });
    problem.or(exchange)
}

/// What the repairer says of holes that stay open.
fn why_open(findings: &Findings<'_>, wished: &BTreeSet<Market>) -> String {
    let reports = findings.observed.workers.value();
    let mut unavailable = reports
        .into_iter()
        .flat_map(WorkerReports::answered_repairers)
        .flat_map(|repairer| &repairer.unavailable)
        .filter(|hole| wished.contains(&Market::new(hole.venue.as_str(), hole.symbol.as_str())));
    let Some(newest) = unavailable.next() else { return String::new() };
    format!("; repair of {}:{}: {}", newest.venue, newest.symbol, newest.reason)
}

pub(super) fn unhealthy_symbols(findings: &Findings<'_>) -> Vec<UnhealthySymbol> {
    let wished = trade_markets(&findings.pipeline.spec);
    let missing = findings.holes.into_iter().flat_map(|holes| &holes.missing);
    let missing = missing.filter(|(market, _)| wished.contains(market)).map(|(market, missing)| {
        unhealthy(market, Reason::TradesMissing, format!("misses {}", missing_text(missing)))
    });
    let refused = findings.observed.schema.value().into_iter().flat_map(|schema| refused(schema, &wished));
    let refused =
        refused.map(|ledger| unhealthy(&ledger.market, Reason::TradesRefused, refused_text(&ledger.refused)));
    let restarted =
        findings.observed.schema.value().into_iter().flat_map(|schema| restarted(schema, &wished));
    let restarted = restarted.map(|(ledger, restart)| {
        unhealthy(&ledger.market, Reason::IdsRestarted, restart_text(ledger, restart))
    });
    restarted.chain(missing).chain(refused).collect()
}

fn unhealthy(market: &Market, reason: Reason, message: String) -> UnhealthySymbol {
    UnhealthySymbol {
        venue: market.venue.to_string(),
        symbol: market.symbol.to_string(),
        reason: reason.to_string(),
        message,
    }
}

/// `1,203 trades (ids 5412300001..5412301203)`, the newest holes first.
fn missing_text(missing: &Missing) -> String {
    let holes = missing.holes.iter().rev().map(|Hole { first_id, last_id }| ids_text(*first_id, *last_id));
    format!("{} (ids {})", trades_text(missing.trades), first_few(holes))
}

/// `2 trades refused (ids 7 too_large, 3 overflow)`, the newest first.
fn refused_text(refused: &RefusedTrades) -> String {
    let ids = |ids: &RefusedIds| format!("{} {}", ids_text(ids.first_id, ids.last_id), ids.reason);
    format!("{} refused (ids {})", trades_text(refused.trades), first_few(refused.newest.iter().map(ids)))
}

/// What a person has to say so that it goes on.
fn restart_text(ledger: &MarketLedger, restart: IdRestart) -> String {
    let since_us = ledger.earliest_series_us.unwrap_or(restart.since_us);
    format!(
        "numbers its trades anew since {}: they are set aside until spec.sources[].series has {{symbol: {}, since: {}}}",
        time_text(restart.since_us),
        ledger.market.symbol,
        time_text(since_us)
    )
}

fn ids_text(first_id: i64, last_id: i64) -> String {
    if first_id == last_id { first_id.to_string() } else { format!("{first_id}..{last_id}") }
}

fn first_few(mut texts: impl Iterator<Item = String>) -> String {
    let mut named: Vec<String> = texts.by_ref().take(NAMED_HOLES).collect();
    if texts.next().is_some() {
        named.push("..".to_owned());
    }
    named.join(", ")
}

fn trades_text(trades: i64) -> String {
    format!("{} {}", with_separators(trades), if trades == 1 { "trade" } else { "trades" })
}

#[cfg(test)]
mod tests {
    use market::RefusalReason;

    use super::*;

    #[test]
    fn names_the_newest_holes_and_separates_thousands() {
        let hole = |first_id, last_id| Hole { first_id, last_id };
        let one = Missing { trades: 1_203, holes: vec![hole(5_412_300_001, 5_412_301_203)] };
        assert_eq!(missing_text(&one), "1,203 trades (ids 5412300001..5412301203)");
        let many = Missing { trades: 1_000_005, holes: vec![hole(1, 1), hole(3, 4), hole(6, 6), hole(8, 8)] };
        assert_eq!(missing_text(&many), "1,000,005 trades (ids 8, 6, 3..4, ..)");
        assert_eq!(missing_text(&Missing { trades: 1, holes: vec![hole(7, 7)] }), "1 trade (ids 7)");
    }

    #[test]
    fn a_restart_names_the_first_moment_that_can_begin_a_series() {
        let ledger = MarketLedger {
            earliest_series_us: Some(1_700_000_000_000_002),
            ..MarketLedger::of(Market::new("binance", "BTCUSDT"))
        };
        let text = restart_text(&ledger, IdRestart { since_us: 1_700_000_030_000_000, trades: 10 });
        assert_eq!(
            text,
            "numbers its trades anew since 2023-11-14T22:13:50Z: they are set aside until spec.sources[].series \
             has {symbol: BTCUSDT, since: 2023-11-14T22:13:20.000002Z}"
        );
    }

    #[test]
    fn names_the_newest_refused_trades_with_the_reason() {
        let ids = |first_id, last_id, reason| RefusedIds { first_id, last_id, reason };
        let newest = vec![ids(9, 9, RefusalReason::Overflow), ids(3, 4, RefusalReason::TooManyDecimals)];
        let refused = RefusedTrades { trades: 3, newest };
        assert_eq!(refused_text(&refused), "3 trades refused (ids 9 overflow, 3..4 too_many_decimals)");
    }
}
