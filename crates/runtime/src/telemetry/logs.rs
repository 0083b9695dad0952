//! Log lines to standard error: filtered by `RUST_LOG`, as text for a person and as JSON for a collector. A JSON line that is
//! written inside a sampled span carries its `trace_id` and `span_id`, whether or not the filter shows the span itself.

use std::env;
use std::fmt;
use std::io::{IsTerminal, stderr};

use opentelemetry::Context;
use opentelemetry::trace::TraceContextExt as _;
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::layer::Layer;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::{EnvFilter, fmt as format};

use super::TelemetryError;

pub(super) const FILTER_ENV: &str = "RUST_LOG";
const FORMAT_ENV: &str = "LOG_FORMAT";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Text,
    Json,
}

/// What is written.
pub(super) fn filter(default_filter: &str) -> Result<EnvFilter, TelemetryError> {
    parse_filter(env::var(FILTER_ENV).ok(), default_filter)
}

/// The lines, as the environment wants them to look.
pub(super) fn lines<S>() -> Result<Box<dyn Layer<S> + Send + Sync>, TelemetryError>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    let layer = format::layer().with_writer(stderr);
    Ok(match parse_format(env::var(FORMAT_ENV).ok().as_deref(), stderr().is_terminal())? {
        Format::Text => layer.with_ansi(stderr().is_terminal()).boxed(),
        Format::Json => {
            let json = layer.json().flatten_event(true).with_span_list(false);
            json.map_event_format(|inner| WithTraceIds { inner }).boxed()
        }
    })
}

fn parse_filter(value: Option<String>, default_filter: &str) -> Result<EnvFilter, TelemetryError> {
    let value = value.filter(|value| !value.is_empty()).unwrap_or_else(|| default_filter.to_owned());
    // At its drop a consumer that has left its group says as an error that its queue is closed already.
    let directives = format!("{value},rdkafka::consumer::base_consumer=off");
    EnvFilter::builder().parse(directives).map_err(|source| TelemetryError::InvalidFilter { value, source })
}

fn parse_format(value: Option<&str>, is_terminal: bool) -> Result<Format, TelemetryError> {
    match value {
        Some("text") => Ok(Format::Text),
        Some("json") => Ok(Format::Json),
        None | Some("") => Ok(if is_terminal { Format::Text } else { Format::Json }),
        Some(other) => Err(TelemetryError::InvalidValue {
            variable: FORMAT_ENV,
            value: other.to_owned(),
            rule: "text or json",
        }),
    }
}

/// JSON objects of `inner`, a line each, to which the ids of the current span are added.
struct WithTraceIds<F> {
    inner: F,
}

impl<S, N, F> FormatEvent<S, N> for WithTraceIds<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let sampled = Context::map_current(|current| {
            let span_context = current.span().span_context().clone();
            span_context.is_sampled().then_some(span_context)
        });
        let Some(span_context) = sampled else { return self.inner.format_event(context, writer, event) };
        let mut line = String::new();
        self.inner.format_event(context, Writer::new(&mut line), event)?;
        let unclosed = line.trim_end().strip_suffix('}').ok_or(fmt::Error)?;
        let (trace_id, span_id) = (span_context.trace_id(), span_context.span_id());
        writeln!(writer, r#"{unclosed},"trace_id":"{trace_id}","span_id":"{span_id}"}}"#)
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use opentelemetry::trace::{SpanContext, SpanId, TraceFlags, TraceId, TraceState};
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    #[test]
    fn the_format_follows_the_variable_and_else_the_terminal() {
        assert_eq!(parse_format(None, true).unwrap(), Format::Text);
        assert_eq!(parse_format(None, false).unwrap(), Format::Json);
        assert_eq!(parse_format(Some("text"), false).unwrap(), Format::Text);
        assert_eq!(parse_format(Some("json"), true).unwrap(), Format::Json);
        let error = parse_format(Some("xml"), true).unwrap_err();
        assert_eq!(error.to_string(), "LOG_FORMAT=\"xml\" is not text or json");
    }

    #[test]
    fn an_unset_or_empty_filter_means_the_default() {
        for value in [None, Some(String::new())] {
            assert!(parse_filter(value, "warn").unwrap().to_string().ends_with(",warn"));
        }
        assert!(parse_filter(Some("worker=loud".to_owned()), "info").is_err());
    }

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// The one line that is written where `flags` are those of the current span.
    fn line_within(flags: TraceFlags) -> serde_json::Value {
        let lines = Lines::default();
        let writer = lines.clone();
        let json = format::layer().with_writer(move || writer.clone()).json().flatten_event(true);
        let subscriber =
            tracing_subscriber::registry().with(json.map_event_format(|inner| WithTraceIds { inner }));
        let (trace_id, span_id) = (TraceId::from(0xabc), SpanId::from(0x12));
        let span_context = SpanContext::new(trace_id, span_id, flags, false, TraceState::default());
        let _current = Context::new().with_remote_span_context(span_context).attach();
        tracing::subscriber::with_default(subscriber, || tracing::warn!(symbol = "BTC\"}", "said"));
        let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        assert_eq!(text.matches('\n').count(), 1, "{text}");
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn a_line_within_a_sampled_span_has_its_ids() {
        let line = line_within(TraceFlags::SAMPLED);
        assert_eq!(line["trace_id"], "00000000000000000000000000000abc");
        assert_eq!(line["span_id"], "0000000000000012");
        assert_eq!((&line["message"], &line["symbol"]), (&"said".into(), &"BTC\"}".into()));
        let line = line_within(TraceFlags::default());
        assert_eq!((line.get("trace_id"), &line["message"]), (None, &"said".into()));
    }
}
