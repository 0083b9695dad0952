//! Which series are to begin: what the spec names and the database does not have.

use crds::CryptoPipelineSpec;
use crds::rules::Violation;
use crds::spec::{SeriesSpec, SourceSpec};
use jiff::Timestamp;
use market::Market;
use store::{BegunSeries, time_text};

use crate::reconcile::observe::SchemaState;

/// What the spec's series come to.
#[derive(Debug, Default)]
pub(super) struct SeriesPlan {
    /// In the order in which they begin.
    pub(super) to_begin: Vec<BegunSeries>,
    /// What breaks a rule whatever the database holds.
    pub(super) broken: Vec<Violation>,
    /// What cannot begin as it stands.
    pub(super) refused: Vec<String>,
}

/// Nothing is known of what has begun while `schema` is not read, and nothing is done.
pub(super) fn plan_series(
    spec: &CryptoPipelineSpec,
    schema: Option<&SchemaState>,
    now: Timestamp,
) -> SeriesPlan {
    let mut plan = SeriesPlan::default();
    for (source_index, source) in spec.sources.iter().enumerate() {
        for (index, series) in source.series.iter().enumerate() {
            let path = format!("spec.sources[{source_index}].series[{index}]");
            match check(source, series, &path, now) {
                Err(violation) => plan.broken.push(violation),
                Ok(wished) => {
                    if let Some(schema) = schema {
                        plan.add(wished, schema, &path);
                    }
                }
            }
        }
    }
    plan.to_begin.sort_by_key(|series| series.since_us);
    plan
}

fn check(
    source: &SourceSpec,
    series: &SeriesSpec,
    path: &str,
    now: Timestamp,
) -> Result<BegunSeries, Violation> {
    let SeriesSpec { symbol, since } = series;
    if !source.symbols.contains(symbol) {
        return Err(Violation::new(
            format!("{path}.symbol"),
            format!("{symbol} is none of the source's symbols"),
        ));
    }
    if since.0 > now {
        let rule = format!("{} lies in the future: a series begins once its trades are there", since.0);
        return Err(Violation::new(format!("{path}.since"), rule));
    }
    let market = Market::new(source.effective_venue(), symbol.as_str());
    Ok(BegunSeries { market, since_us: since.0.as_microsecond() })
}

impl SeriesPlan {
    fn add(&mut self, wished: BegunSeries, schema: &SchemaState, path: &str) {
        if schema.series.contains(&wished) {
            return;
        }
        match why_not(&wished, schema) {
            Some(rule) => self.refused.push(format!("{path}.since: {rule}")),
            None => self.to_begin.push(wished),
        }
    }
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
