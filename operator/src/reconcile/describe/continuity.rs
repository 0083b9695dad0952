//! Whether trades are missing: from the ledger.

use std::collections::BTreeSet;

use crds::condition::Reason;
use crds::status::UnhealthySymbol;
use jiff::{SignedDuration, Timestamp};
use market::Market;
use store::{Hole, MarketLedger};

use super::{Findings, Verdict, history, listed, resources, with_separators};
use crate::reconcile::holes::Missing;
use crate::reconcile::observe::{Reading, SchemaState, WorkerReports};
use crate::reconcile::plan::markets;

/// How many holes of a market a message names.
const NAMED_HOLES: usize = 3;

/// How long the exchange's word of its newest id stands.
const PROBE_STANDS: SignedDuration = SignedDuration::from_mins(5);

pub(super) fn data_continuous(findings: &Findings<'_>, now: Timestamp) -> Verdict {
    let schema = match schema(findings) {
        Ok(schema) => schema,
        Err(unread) => return unread,
    };
    let Some(holes) = findings.holes else {
        return Verdict::unknown(Reason::NotReadYet, "not read yet");
    };
    let wished = markets(&findings.pipeline.spec);
    let missing = holes.missing.iter().filter(|(market, _)| wished.contains(market));
    let missing: Vec<String> =
        missing.map(|(market, missing)| format!("{market} misses {}", missing_text(missing))).collect();
    if !missing.is_empty() {
        let message =
            format!("{}{}{}", listed(missing), why_open(findings, &wished), history::remark(findings));
        return Verdict::no(Reason::TradesMissing, message);
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
            "the exchange has not told yet where the history begins of {}{}{}",
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

fn is_probed(ledger: &MarketLedger, now: Timestamp) -> bool {
    let probed_at = ledger.head.and_then(|head| Timestamp::from_microsecond(head.probed_at_us).ok());
    probed_at.is_some_and(|probed_at| now.duration_since(probed_at) <= PROBE_STANDS)
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
    let wished = markets(&findings.pipeline.spec);
    let missing = findings.holes.into_iter().flat_map(|holes| &holes.missing);
    missing
        .filter(|(market, _)| wished.contains(market))
        .map(|(market, missing)| UnhealthySymbol {
            venue: market.venue.to_string(),
            symbol: market.symbol.to_string(),
            reason: Reason::TradesMissing.to_string(),
            message: format!("misses {}", missing_text(missing)),
        })
        .collect()
}

/// `1,203 trades (ids 5412300001..5412301203)`, the newest holes first.
fn missing_text(missing: &Missing) -> String {
    let named = missing.holes.iter().rev().take(NAMED_HOLES).map(|Hole { first_id, last_id }| {
        if first_id == last_id { first_id.to_string() } else { format!("{first_id}..{last_id}") }
    });
    let mut named: Vec<String> = named.collect();
    if missing.holes.len() > NAMED_HOLES {
        named.push("..".to_owned());
    }
    let trades = if missing.trades == 1 { "trade" } else { "trades" };
    format!("{} {trades} (ids {})", with_separators(missing.trades), named.join(", "))
}

#[cfg(test)]
mod tests {
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
}
