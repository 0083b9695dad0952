//! What a program tells of its work while it works: logs to standard error (`logs`), and traces to an OpenTelemetry collector
//! where the environment names one (`trace_settings`, `export`). [`traces`] is what the code between uses.

mod export;
mod logs;
mod sampling;
mod trace_settings;
pub mod traces;

use std::env;

use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::ExporterBuildError;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing_subscriber::filter::ParseError;
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
use tracing_subscriber::registry;
use tracing_subscriber::util::{SubscriberInitExt as _, TryInitError};

use trace_settings::TraceSettings;
use traces::OurSpans;

/// Why telemetry cannot start.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// `RUST_LOG` is no filter.
    #[error("{}={value:?} is not a log filter such as info or warn,worker=debug", logs::FILTER_ENV)]
    InvalidFilter {
        /// What it holds.
        value: String,
        /// What is wrong with it.
        source: ParseError,
    },
    /// A variable has a value that it cannot have.
    #[error("{variable}={value:?} is not {rule}")]
    InvalidValue {
        /// The variable.
        variable: &'static str,
        /// What it holds.
        value: String,
        /// What it may hold.
        rule: &'static str,
    },
    /// The endpoint or another setting of the exporter is refused.
    #[error("traces cannot be exported as the variables OTEL_EXPORTER_OTLP_* say")]
    Exporter(#[source] ExporterBuildError),
    /// Somebody has set a subscriber already.
    #[error("logging has been started already")]
    AlreadyStarted(#[source] TryInitError),
}

/// What a program calls itself in its traces, unless `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES` say otherwise.
#[derive(Clone, Debug, Default)]
pub struct Program {
    /// The `service.name`.
    pub service: &'static str,
    /// Further attributes of everything that it tells.
    pub attributes: Vec<(&'static str, String)>,
}

/// Holds what has to be ended with the program.
#[must_use = "traces that are not exported yet are lost unless it is ended"]
pub struct Telemetry {
    provider: Option<SdkTracerProvider>,
}

/// Starts logging to standard error, and traces where a collector is named. `default_filter` holds where `RUST_LOG` is not set;
/// the format is `LOG_FORMAT` (`text` or `json`), by default text on a terminal and JSON elsewhere. Traces follow the
/// standard's `OTEL_*` variables; `docs/concepts/traces.md` lists those that are read.
///
/// # Errors
/// [`TelemetryError`] where a variable cannot be understood.
pub fn init(default_filter: &str, program: &Program) -> Result<Telemetry, TelemetryError> {
    let filter = logs::filter(default_filter)?;
    let Some(settings) = TraceSettings::read(|name| env::var(name).ok())? else {
        let started = registry().with(logs::lines()?).with(filter).try_init();
        started.map_err(TelemetryError::AlreadyStarted)?;
        return Ok(Telemetry { provider: None });
    };
    let provider = export::tracer_provider(program, settings.other_ratio)?;
    let spans = tracing_opentelemetry::layer()
        .with_tracer(provider.tracer(env!("CARGO_PKG_NAME")))
        .with_location(false)
        .with_threads(false)
        .with_target(false);
    // The layer of the spans goes first: it looks for itself directly on the registry. Each of the two has a filter of its own, so that
    // a trace is whole whatever is logged of it.
    registry()
        .with(spans.with_filter(OurSpans))
        .with(logs::lines()?.with_filter(filter))
        .try_init()
        .map_err(TelemetryError::AlreadyStarted)?;
    sampling::begin(settings.frame_ratio);
    Ok(Telemetry { provider: Some(provider) })
}

impl Telemetry {
    /// Exports what is left, for a few seconds at most. Nothing is traced afterwards.
    pub async fn end(self) {
        let Some(provider) = self.provider else { return };
        sampling::end();
        // It blocks, and what it drops may not be dropped by a task.
        let ended = tokio::task::spawn_blocking(move || export::shut_down(&provider)).await;
        if let Err(error) = ended {
            tracing::warn!(%error, "the last traces may be lost");
        }
    }
}
