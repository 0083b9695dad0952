//! Finished spans -> a bounded queue -> the collector, on a thread of their own. A collector that is away costs what does not fit
//! into the queue, and a log line a minute.

use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use opentelemetry::KeyValue;
use opentelemetry_otlp::{Protocol, WithExportConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{SdkTracerProvider, SpanData, SpanExporter};

use super::sampling::OnceForAll;
use super::{Program, TelemetryError};
use crate::error_chain::error_chain;

/// How long the end of a program waits for the collector.
const LONGEST_END: Duration = Duration::from_secs(3);
/// How often it is said that the collector does not take what it is given.
const COMPLAINT_INTERVAL: Duration = Duration::from_secs(60);

const SERVICE_NAME: &str = "service.name";

pub(super) fn tracer_provider(program: &Program, ratio: f64) -> Result<SdkTracerProvider, TelemetryError> {
    // Endpoint, headers, timeout and compression are read from the environment by the exporter itself.
    let exporter = opentelemetry_otlp::SpanExporter::builder()
        .with_http()
        .with_protocol(Protocol::HttpBinary)
        .build()
        .map_err(TelemetryError::Exporter)?;
    Ok(SdkTracerProvider::builder()
        // As is the length of the queue.
        .with_batch_exporter(Quietly { exporter, lost: Mutex::default() })
        .with_sampler(OnceForAll::new(ratio))
        .with_resource(resource(program))
        .build())
}

/// What the environment says goes over what the program says of itself.
fn resource(program: &Program) -> Resource {
    let told = Resource::builder().build();
    let is_named =
        told.get(&SERVICE_NAME.into()).is_some_and(|name| !name.as_str().starts_with("unknown_service"));
    let service = (!is_named).then(|| KeyValue::new(SERVICE_NAME, program.service));
    let own = program.attributes.iter().map(|(name, value)| KeyValue::new(*name, value.clone()));
    let version = KeyValue::new("service.version", env!("CARGO_PKG_VERSION"));
    let missing = own.chain([version]).filter(|attribute| told.get(&attribute.key).is_none());
    Resource::builder().with_attributes(missing.chain(service)).build()
}

pub(super) fn shut_down(provider: &SdkTracerProvider) {
    if let Err(error) = provider.shutdown_with_timeout(LONGEST_END) {
        tracing::warn!(error = error_chain(&error), "the last traces may be lost");
    }
}

/// An exporter whose failures are told now and then: the SDK would tell each, every few seconds.
struct Quietly<E> {
    exporter: E,
    lost: Mutex<Lost>,
}

#[derive(Default)]
struct Lost {
    spans: usize,
    told_at: Option<Instant>,
}

impl Lost {
    /// How many spans to tell of, if it is time to.
    fn note(&mut self, spans: usize, now: Instant) -> Option<usize> {
        self.spans += spans;
        if self.told_at.is_some_and(|at| now.saturating_duration_since(at) < COMPLAINT_INTERVAL) {
            return None;
        }
        self.told_at = Some(now);
        Some(std::mem::take(&mut self.spans))
    }
}

impl<E: SpanExporter> SpanExporter for Quietly<E> {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let spans = batch.len();
        if let Err(error) = self.exporter.export(batch).await {
            let mut lost = self.lost.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(spans_lost) = lost.note(spans, Instant::now()) {
                tracing::warn!(error = error_chain(&error), spans_lost, "the collector takes no traces");
            }
        }
        Ok(())
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.exporter.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}

impl<E> fmt::Debug for Quietly<E> {
    /// Without the headers, which may hold credentials.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Quietly").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lost_spans_are_told_once_a_minute_and_none_is_left_out() {
        let (mut lost, start) = (Lost::default(), Instant::now());
        let second = Duration::from_secs(1);
        assert_eq!(lost.note(5, start), Some(5));
        assert_eq!(lost.note(7, start + second), None);
        assert_eq!(lost.note(2, start + 59 * second), None);
        assert_eq!(lost.note(1, start + 60 * second), Some(10));
    }
}
