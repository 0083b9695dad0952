//! The rules of `sources[].series` that depend on the time or on other fields: the operator and `cryptopipeline run`
//! check them when they plan, as those of [`crate::history`].

use jiff::Timestamp;

use crate::rules::Violation;
use crate::spec::{CryptoPipelineSpec, SeriesSpec, SourceSpec};

/// Every such rule that `spec` breaks at `now`, whatever the database holds.
#[must_use]
pub fn violations(spec: &CryptoPipelineSpec, now: Timestamp) -> Vec<Violation> {
    let of_source = |(index, source): (usize, &SourceSpec)| -> Vec<Violation> {
        let path = format!("spec.sources[{index}].series");
        let named = source.series.iter().enumerate();
        named
            .filter_map(|(index, series)| violation(&format!("{path}[{index}]"), source, series, now))
            .collect()
    };
    spec.sources.iter().enumerate().flat_map(of_source).collect()
}

fn violation(path: &str, source: &SourceSpec, series: &SeriesSpec, now: Timestamp) -> Option<Violation> {
    let SeriesSpec { symbol, since } = series;
    if !source.symbols.contains(symbol) {
        let rule = format!("{symbol} is none of the source's symbols");
        return Some(Violation::new(format!("{path}.symbol"), rule));
    }
    (since.0 > now).then(|| {
        let rule = format!("{} lies in the future: a series begins once its trades are there", since.0);
        Violation::new(format!("{path}.since"), rule)
    })
}
