//! Which traces are kept. Where a trace begins that is decided once; whoever goes on with it follows.
//!
//! For the exchange's frames the decision is made before anything else is: most of them cost one comparison.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use opentelemetry::trace::{Link, SpanKind, TraceContextExt as _, TraceId};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::trace::{Sampler, SamplingDecision, SamplingResult, ShouldSample};

/// What a program traces, for all of its threads: like the subscriber, there is one in a process.
static IS_ON: AtomicBool = AtomicBool::new(false);
/// A frame is traced where a random number lies below; 0 while nothing is traced.
static FRAME_THRESHOLD: AtomicU64 = AtomicU64::new(0);

pub(super) fn begin(frame_ratio: f64) {
    FRAME_THRESHOLD.store(threshold(frame_ratio), Ordering::Relaxed);
    IS_ON.store(true, Ordering::Relaxed);
}

pub(super) fn end() {
    IS_ON.store(false, Ordering::Relaxed);
    FRAME_THRESHOLD.store(0, Ordering::Relaxed);
}

pub(super) fn is_on() -> bool {
    IS_ON.load(Ordering::Relaxed)
}

pub(super) fn draws_frame() -> bool {
    let threshold = FRAME_THRESHOLD.load(Ordering::Relaxed);
    threshold != 0 && (threshold == u64::MAX || rand::random::<u64>() < threshold)
}

#[expect(
    clippy::float_arithmetic,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a share of all numbers; a cast of what is too large gives the largest"
)]
fn threshold(ratio: f64) -> u64 {
    (ratio * u64::MAX as f64) as u64
}

/// Lies in the context that a trace begins in which is to be kept, whatever the ratio.
struct Kept;

/// The context in which to begin a trace that was drawn already.
pub(super) fn kept() -> Context {
    Context::new().with_value(Kept)
}

/// Follows whoever began the trace; keeps what was drawn; draws the rest by its trace id.
///
/// That holds for `traceidratio` too, which elsewhere draws again in every program: of a trace that was drawn here by another
/// number, parts would be missing.
#[derive(Clone, Debug)]
pub(super) struct OnceForAll(Sampler);

impl OnceForAll {
    pub(super) fn new(ratio: f64) -> Self {
        Self(Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(ratio))))
    }
}

impl ShouldSample for OnceForAll {
    fn should_sample(
        &self,
        parent: Option<&Context>,
        trace_id: TraceId,
        name: &str,
        kind: &SpanKind,
        attributes: &[KeyValue],
        links: &[Link],
    ) -> SamplingResult {
        let begins = parent.filter(|parent| !parent.span().span_context().is_valid());
        let mut result = self.0.should_sample(parent, trace_id, name, kind, attributes, links);
        if begins.is_some_and(|context| context.get::<Kept>().is_some()) {
            result.decision = SamplingDecision::RecordAndSample;
        }
        result
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry::trace::{SpanContext, SpanId, TraceFlags, TraceState};

    use super::*;

    fn is_kept(ratio: f64, context: &Context) -> bool {
        let trace_id = TraceId::from(u128::MAX);
        let result = OnceForAll::new(ratio).should_sample(
            Some(context),
            trace_id,
            "a span",
            &SpanKind::Internal,
            &[],
            &[],
        );
        result.decision == SamplingDecision::RecordAndSample
    }

    #[test]
    fn what_was_drawn_is_kept_and_what_goes_on_follows() {
        assert!(!is_kept(0.001, &Context::new()) && is_kept(1.0, &Context::new()));
        assert!(is_kept(0.0, &kept()));
        for (flags, expected) in [(TraceFlags::SAMPLED, true), (TraceFlags::default(), false)] {
            let ids = (TraceId::from(1), SpanId::from(1));
            let parent = SpanContext::new(ids.0, ids.1, flags, true, TraceState::default());
            assert_eq!(is_kept(0.5, &kept().with_remote_span_context(parent)), expected);
        }
    }

    #[test]
    fn the_threshold_is_the_ratios_share_of_all_numbers() {
        assert_eq!((threshold(0.0), threshold(1.0)), (0, u64::MAX));
        assert_eq!(threshold(0.5), 1 << 63);
        assert!((u64::MAX / 1001..u64::MAX / 999).contains(&threshold(0.001)));
    }
}
