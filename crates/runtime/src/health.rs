//! What a program tells about itself over HTTP: whether it lives, whether it is ready and why not,
//! its figures for Prometheus and a snapshot of its state. A program that listens nowhere asks its
//! [`Probes`] directly.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use serde::Serialize;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const JSON: &str = "application/json";

/// What a program knows about itself. All of it is read from memory: asking costs no I/O.
pub trait Probes: Send + Sync + 'static {
    /// The snapshot that `/status` prints.
    type Status: Serialize;

    /// What keeps the program from ever working again without a restart; empty while it lives.
    fn why_not_alive(&self) -> Vec<String> {
        Vec::new()
    }

    /// What the program waits for; empty once it works.
    fn why_not_ready(&self) -> Vec<String>;

    /// The state at this moment.
    fn status(&self) -> Self::Status;
}

/// Answers `GET /livez`, `/readyz`, `/metrics` and `/status` on `listener` until `shutdown`.
///
/// # Errors
/// Where the listener fails.
pub async fn serve<P: Probes>(
    listener: TcpListener,
    probes: Arc<P>,
    registry: Registry,
    shutdown: CancellationToken,
) -> std::io::Result<()> {
    axum::serve(listener, router(probes, registry)).with_graceful_shutdown(shutdown.cancelled_owned()).await
}

fn router<P: Probes>(probes: Arc<P>, registry: Registry) -> Router {
    let registry = Arc::new(registry);
    Router::new()
        .route("/livez", get(async |State(probes): State<Arc<P>>| probe_answer(&probes.why_not_alive())))
        .route("/readyz", get(async |State(probes): State<Arc<P>>| probe_answer(&probes.why_not_ready())))
        .route("/status", get(async |State(probes): State<Arc<P>>| status_answer(&probes.status())))
        .route("/metrics", get(async move || metrics_answer(&registry)))
        .with_state(probes)
}

/// 200 without a reason against it, else 503 with one reason a line.
fn probe_answer(reasons: &[String]) -> Response {
    if reasons.is_empty() {
        "ok\n".into_response()
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, reasons.join("\n") + "\n").into_response()
    }
}

fn status_answer(status: &impl Serialize) -> Response {
    match serde_json::to_vec_pretty(status) {
        Ok(body) => ([(header::CONTENT_TYPE, JSON)], body).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

fn metrics_answer(registry: &Registry) -> Response {
    let mut body = String::new();
    match encode(&mut body, registry) {
        Ok(()) => ([(header::CONTENT_TYPE, OPENMETRICS)], body).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use prometheus_client::metrics::counter::Counter;

    use super::*;

    struct Fixed {
        waits_for: Vec<String>,
    }

    impl Probes for Fixed {
        type Status = BTreeMap<&'static str, u64>;

        fn why_not_ready(&self) -> Vec<String> {
            self.waits_for.clone()
        }

        fn status(&self) -> Self::Status {
            BTreeMap::from([("trades", 7)])
        }
    }

    struct Answer {
        status: u16,
        content_type: String,
        body: String,
    }

    /// What a server with these probes answers to GET `path`.
    async fn ask(waits_for: &[&str], path: &str) -> Answer {
        crate::tls::install_provider();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}{path}", listener.local_addr().unwrap());
        let mut registry = Registry::default();
        let counter = Counter::<u64>::default();
        counter.inc_by(3);
        registry.register("trades", "trades seen", counter);
        let probes = Arc::new(Fixed { waits_for: waits_for.iter().map(ToString::to_string).collect() });
        let shutdown = CancellationToken::new();
        let server = tokio::spawn(serve(listener, probes, registry, shutdown.clone()));
        let response = reqwest::get(url).await.unwrap();
        let answer = Answer {
            status: response.status().as_u16(),
            content_type: response.headers()["content-type"].to_str().unwrap().to_owned(),
            body: response.text().await.unwrap(),
        };
        shutdown.cancel();
        server.await.unwrap().unwrap();
        answer
    }

    #[tokio::test]
    async fn unready_names_every_reason_and_stays_alive() {
        let ready = ask(&["the broker does not answer", "no symbol streams"], "/readyz").await;
        assert_eq!(
            (ready.status, ready.body.as_str()),
            (503, "the broker does not answer\nno symbol streams\n")
        );
        assert_eq!(ask(&["the broker does not answer"], "/livez").await.status, 200);
    }

    #[tokio::test]
    async fn ready_without_a_reason_against_it() {
        assert_eq!(ask(&[], "/readyz").await.status, 200);
    }

    #[tokio::test]
    async fn status_is_json_and_metrics_are_openmetrics() {
        let status = ask(&[], "/status").await;
        assert_eq!((status.status, status.content_type.as_str()), (200, "application/json"));
        assert_eq!(serde_json::from_str::<serde_json::Value>(&status.body).unwrap()["trades"], 7);
        let metrics = ask(&[], "/metrics").await;
        assert!(metrics.content_type.starts_with("application/openmetrics-text"));
        assert!(metrics.body.contains("trades_total 3"), "{}", metrics.body);
    }
}
