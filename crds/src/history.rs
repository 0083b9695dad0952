//! The rules of `sources[].history` that depend on the time: neither a pattern nor CEL knows it, so the operator and
//! `cryptopipeline run` check them when they plan.

use jiff::{SignedDuration, Timestamp};

use crate::rules::Violation;
use crate::spec::{CryptoPipeline, CryptoPipelineSpec, SourceSpec};

/// Every such rule that `pipeline` breaks at `now`. A start that was accepted once stays accepted while time passes and
/// retention moves on: it stands in the status.
#[must_use]
pub fn violations(pipeline: &CryptoPipeline, now: Timestamp) -> Vec<Violation> {
    let wished = pipeline.spec.sources.iter().enumerate();
    wished.filter_map(|(index, source)| violation(pipeline, index, source, now)).collect()
}

fn violation(
    pipeline: &CryptoPipeline,
    index: usize,
    source: &SourceSpec,
    now: Timestamp,
) -> Option<Violation> {
    let from = source.history.as_ref()?.from.0;
    let broken = |rule: String| Some(Violation::new(format!("spec.sources[{index}].history.from"), rule));
    if from > now {
        return broken(format!("{from} lies in the future: history begins in the past"));
    }
    let accepted = pipeline.status.iter().flat_map(|status| &status.history);
    let was_accepted =
        accepted.into_iter().any(|before| before.source == source.name && before.from.0 == from);
    let (kept, field) = longest_kept(&pipeline.spec)?;
    if was_accepted || now.duration_since(from) <= kept {
        return None;
    }
    broken(format!("{from} lies before what {field} keeps: nothing would be made of it"))
}

/// How long whatever is kept longest is kept, and the field that says so; `None` where something is kept for ever.
fn longest_kept(spec: &CryptoPipelineSpec) -> Option<(SignedDuration, String)> {
    let retention = &spec.database.as_ref()?.retention;
    let mut kept = vec![("candles", retention.candles.as_ref()?)];
    if spec.aggregation.store_trades {
        kept.push(("trades", retention.trades.as_ref()?));
    }
    let (output, period) = kept.into_iter().max_by_key(|(_, period)| period.seconds())?;
    let seconds = period.seconds()?;
    Some((SignedDuration::from_secs(seconds), format!("database.retention.{output} ({period})")))
}
