//! Which series are to begin: what the spec names and the database does not have.

use crds::CryptoPipelineSpec;
use market::Market;
use store::{BegunSeries, time_text};

use crate::reconcile::observe::SchemaState;

/// What the spec's series come to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SeriesPlan {
    /// Those that are to begin, in the order in which they do.
    pub to_begin: Vec<BegunSeries>,
    /// Those that cannot begin as they stand: field, value and rule.
    pub refused: Vec<String>,
}

/// What is left to do of the spec's series.
pub(super) fn plan_series(spec: &CryptoPipelineSpec, schema: &SchemaState) -> SeriesPlan {
    let mut plan = SeriesPlan::default();
    for (source_index, source) in spec.sources.iter().enumerate() {
        for (index, series) in source.series.iter().enumerate() {
            let market = Market::new(source.effective_venue(), series.symbol.as_str());
            let wished = BegunSeries { market, since_us: series.since.0.as_microsecond() };
            if schema.series.contains(&wished) {
                continue;
            }
            match why_not(&wished, schema) {
                Some(rule) => {
                    plan.refused.push(format!("spec.sources[{source_index}].series[{index}].since: {rule}"));
                }
                None => plan.to_begin.push(wished),
            }
        }
    }
    plan.to_begin.sort_by_key(|series| series.since_us);
    plan
}

/// Why a series cannot begin then. The database decides in the end; this says it with the field's name.
fn why_not(wished: &BegunSeries, schema: &SchemaState) -> Option<String> {
    let BegunSeries { market, since_us } = wished;
    let of_market = schema.series.iter().filter(|series| series.market == *market);
    let last_us = of_market.map(|series| series.since_us).max();
    if let Some(last_us) = last_us.filter(|last_us| last_us > since_us) {
        let last = time_text(last_us);
        return Some(format!("{} lies before the series that began at {last}", time_text(*since_us)));
    }
    let ledger = schema.ledgers.iter().find(|ledger| ledger.market == *market)?;
    let earliest_us = ledger.earliest_series_us?;
    if *since_us < earliest_us {
        return Some(format!(
            "{} is before {}: trades until then are held under the ids of before",
            time_text(*since_us),
            time_text(earliest_us)
        ));
    }
    let first_us = ledger.restart?.since_us.max(earliest_us);
    (*since_us > first_us).then(|| {
        format!(
            "{} is after {}: trades from then on would belong to neither numbering",
            time_text(*since_us),
            time_text(first_us)
        )
    })
}
