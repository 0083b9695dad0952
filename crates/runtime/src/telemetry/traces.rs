//! What the code between frame and commit needs of traces. A span is one of `tracing`'s; here is what that does not know: where a
//! trace begins, how it goes through Kafka, and what is linked to what. All of it is nothing while nothing is traced.

use opentelemetry::Context;
use opentelemetry::propagation::{Extractor, Injector, TextMapPropagator as _};
use opentelemetry::trace::{SpanContext, Status, TraceContextExt as _};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use rdkafka::message::{Header, Headers, OwnedHeaders};
use tracing::subscriber::Interest;
use tracing::{Metadata, Span};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::{self, Filter};

use super::sampling;

/// The crates whose spans are traced: what libraries make of their own work is none of ours.
const OURS: [&str; 3] = ["worker", "operator", "runtime"];
const LEVEL: LevelFilter = LevelFilter::INFO;

/// Lets through what is traced.
pub(super) struct OurSpans;

impl OurSpans {
    fn has(metadata: &Metadata<'_>) -> bool {
        metadata.is_span()
            && *metadata.level() <= LEVEL
            && OURS.contains(&metadata.target().split("::").next().unwrap_or_default())
    }
}

impl<S> Filter<S> for OurSpans {
    fn enabled(&self, metadata: &Metadata<'_>, _: &layer::Context<'_, S>) -> bool {
        Self::has(metadata)
    }

    /// Asked anew for every span. A library that asks whether it may log, and then does not, leaves the answer behind in its thread;
    /// a span of which it is known that everybody wants it would take that for its own, and be lost.
    fn callsite_enabled(&self, metadata: &'static Metadata<'static>) -> Interest {
        if Self::has(metadata) { Interest::sometimes() } else { Interest::never() }
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(LEVEL)
    }
}

/// What a record belongs to.
#[derive(Clone, Debug)]
pub struct Parent(Context);

/// Whether anything is traced.
#[must_use]
pub fn are_on() -> bool {
    sampling::is_on()
}

/// Draws whether the next frame of an exchange is traced.
#[must_use]
pub fn draw_frame() -> bool {
    sampling::draws_frame()
}

/// Makes `span` the beginning of a trace that is kept. To be called before anything else is done with it.
pub fn begin(span: &Span) {
    // Refused only where there is nobody to trace it.
    let _ = span.set_parent(sampling::kept());
}

/// Makes `span` a part of what `parent` belongs to. To be called before anything else is done with it.
pub fn go_on(span: &Span, parent: Parent) {
    let _ = span.set_parent(parent.0);
}

/// Says in the headers of a record that it belongs to `span`.
#[must_use]
pub fn kafka_headers(span: &Span) -> OwnedHeaders {
    let mut headers = Written(Some(OwnedHeaders::new()));
    TraceContextPropagator::new().inject_context(&span.context(), &mut headers);
    headers.0.unwrap_or_default()
}

/// What a record belongs to, if its headers say that and that it is to be traced.
#[must_use]
pub fn parent_of_record(headers: &impl Headers) -> Option<Parent> {
    let context = TraceContextPropagator::new().extract_with_context(&Context::new(), &Read(headers));
    context.span().span_context().is_sampled().then_some(Parent(context))
}

/// Points from `span` to another trace's.
pub fn link(span: &Span, to: &Span) {
    span.add_link(span_context(to));
}

/// Notes on `span` that something happened now.
pub fn note(span: &Span, event: &'static str) {
    span.add_event(event, Vec::new());
}

/// Notes on `span` that what it stands for has failed, and why.
pub fn fail(span: &Span, reason: impl Into<String>) {
    span.set_status(Status::error(reason.into()));
}

fn span_context(span: &Span) -> SpanContext {
    span.context().span().span_context().clone()
}

struct Written(Option<OwnedHeaders>);

impl Injector for Written {
    fn set(&mut self, key: &str, value: String) {
        // An empty `tracestate` is the same as none.
        if !value.is_empty() {
            let headers = self.0.take().unwrap_or_default();
            self.0 = Some(headers.insert(Header { key, value: Some(&value) }));
        }
    }
}

struct Read<'a, H>(&'a H);

impl<H: Headers> Extractor for Read<'_, H> {
    fn get(&self, key: &str) -> Option<&str> {
        let header = self.0.iter().find(|header| header.key.eq_ignore_ascii_case(key))?;
        std::str::from_utf8(header.value?).ok()
    }

    fn keys(&self) -> Vec<&str> {
        self.0.iter().map(|header| header.key).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use opentelemetry::trace::TracerProvider as _;
    use opentelemetry_sdk::error::OTelSdkResult;
    use opentelemetry_sdk::trace::{SdkTracerProvider, SpanData, SpanExporter};
    use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};

    use super::*;

    fn headers(pairs: &[(&str, &[u8])]) -> OwnedHeaders {
        let insert = |headers: OwnedHeaders, (key, value): &(&str, &[u8])| {
            headers.insert(Header { key, value: Some(*value) })
        };
        pairs.iter().fold(OwnedHeaders::new(), insert)
    }

    #[derive(Clone, Debug, Default)]
    struct Finished(Arc<Mutex<Vec<SpanData>>>);

    impl SpanExporter for Finished {
        async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
            self.0.lock().unwrap().extend(batch);
            Ok(())
        }
    }

    /// Runs `work` as in a program that logs at `info`, and draws nothing; the spans that it has exported then.
    fn traced(work: impl FnOnce()) -> Vec<SpanData> {
        let finished = Finished::default();
        let provider = SdkTracerProvider::builder()
            .with_simple_exporter(finished.clone())
            .with_sampler(sampling::OnceForAll::new(0.0))
            .build();
        let spans = tracing_opentelemetry::layer().with_tracer(provider.tracer("test")).with_filter(OurSpans);
        let lines =
            tracing_subscriber::fmt::layer().with_writer(std::io::sink).with_filter(LevelFilter::INFO);
        tracing::subscriber::with_default(tracing_subscriber::registry().with(spans).with(lines), work);
        let spans = finished.0.lock().unwrap();
        spans.clone()
    }

    /// Begins and ends.
    fn pass(span: Span) {
        begin(&span);
        drop(span.entered());
    }

    #[test]
    fn only_our_own_spans_are_traced() {
        let spans = traced(|| {
            pass(tracing::info_span!(target: "kube_client::client", "a library's"));
            pass(tracing::debug_span!("for developers"));
            pass(tracing::info_span!(target: "worker::aggregate", "ours"));
        });
        assert_eq!(spans.iter().map(|span| span.name.as_ref()).collect::<Vec<_>>(), ["ours"]);
    }

    #[test]
    fn no_span_is_lost_to_a_library_that_only_asks_whether_it_may_log() {
        let asked = tracing::subscriber::with_default(tracing_subscriber::registry(), || {
            tracing::debug_span!(target: "sqlx::query", "a statement").metadata().unwrap()
        });
        let spans = traced(|| {
            for _ in 0..3 {
                pass(tracing::info_span!("flush"));
                tracing::dispatcher::get_default(|logs| logs.enabled(asked));
            }
        });
        assert_eq!(spans.len(), 3);
    }

    #[test]
    fn a_trace_goes_through_the_headers_of_a_record() {
        let spans = traced(|| {
            let publish = tracing::info_span!("publish");
            begin(&publish);
            let headers = kafka_headers(&publish);
            assert_eq!(headers.count(), 1);
            let process = tracing::info_span!("process");
            go_on(&process, parent_of_record(&headers).unwrap());
            let flush = tracing::info_span!("flush");
            begin(&flush);
            link(&flush, &process);
            // Nobody has drawn it, and of the others none is.
            drop(tracing::info_span!("reconcile"));
        });
        let named = |name: &str| spans.iter().find(|span| span.name == name).unwrap();
        let [publish, process, flush] = ["publish", "process", "flush"].map(named);
        assert_eq!(process.parent_span_id, publish.span_context.span_id());
        assert_eq!(process.span_context.trace_id(), publish.span_context.trace_id());
        assert_ne!(flush.span_context.trace_id(), publish.span_context.trace_id());
        assert_eq!(flush.links.links[0].span_context.span_id(), process.span_context.span_id());
        assert_eq!(spans.len(), 3);
    }

    #[test]
    fn headers_of_others_are_read_by_the_standard_and_damaged_ones_are_none() {
        let ids = "0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331";
        let traced = |value: &str| {
            let headers = headers(&[("other", b"\xff"), ("Traceparent", value.as_bytes())]);
            parent_of_record(&headers).map(|parent| parent.0.span().span_context().trace_id().to_string())
        };
        assert_eq!(traced(&format!("00-{ids}-01")).unwrap(), ids[..32]);
        assert_eq!(traced(&format!("00-{ids}-00")), None, "not to be traced");
        for damaged in ["", "00-0-0-01", "traceparent", &format!("00-{}-01", ids.replace('a', "g"))] {
            assert_eq!(traced(damaged), None, "{damaged}");
        }
        assert!(parent_of_record(&headers(&[("traceparent", b"\xff\xfe")])).is_none());
        assert!(parent_of_record(&headers(&[])).is_none());
    }
}
