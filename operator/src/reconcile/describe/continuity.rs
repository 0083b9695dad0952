//! Whether trades are missing: from the ledger.

use crds::condition::Reason;
use crds::status::UnhealthySymbol;
use store::Hole;

use super::{Findings, Verdict, listed, resources};
use crate::reconcile::holes::Missing;
use crate::reconcile::observe::Reading;
use crate::reconcile::plan::markets;

/// How many holes of a market a message names.
const NAMED_HOLES: usize = 3;

pub(super) fn data_continuous(findings: &Findings<'_>) -> Verdict {
    let schema = match &findings.observed.schema {
        Reading::Known { value, .. } => value,
        Reading::Pending => return Verdict::unknown(Reason::NotReadYet, "not read yet"),
        Reading::Failed(failure) => {
            let mut verdict =
                resources::unread(Some(failure), Reason::DatabaseUnreachable, Reason::DatabaseRefused);
            // A database that refuses says nothing of the data.
            verdict.status = super::Truth::Unknown;
            return verdict;
        }
    };
    let Some(holes) = findings.holes else {
        return Verdict::unknown(Reason::NotReadYet, "not read yet");
    };
    let wished = markets(&findings.pipeline.spec);
    let missing = holes.missing.iter().filter(|(market, _)| wished.contains(market));
    let missing: Vec<String> =
        missing.map(|(market, missing)| format!("{market} misses {}", missing_text(missing))).collect();
    if !missing.is_empty() {
        return Verdict::no(Reason::TradesMissing, listed(missing));
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
    let message = "no trade is missing between the first and the last one held; \
                   this version does not ask the exchange for its last id";
    Verdict::unknown(Reason::HeadNotProbed, message)
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

fn with_separators(count: i64) -> String {
    let digits = count.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
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
