//! Stands in for nodes and workers: every pod gets an address of its own on the loopback network, is marked as
//! running, and answers `GET /status` there as a worker of its role would whose world is well. Symbols that begin
//! with `NOSUCH` are not listed by the exchange.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;

use crds::worker_settings::ProducerSettings;
use crds::worker_status::{AggregatorStatus, ProducerStatus, RepairerStatus, SymbolState, SymbolStatus};
use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kube::api::{Patch, PatchParams};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, ResourceExt};
use operator::reconcile::desired::{ROLE_LABEL, Role};
use prometheus_client::registry::Registry;
use runtime::health::{self, Probes};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::world::fine;

pub(super) struct Nodes {
    pods: Api<Pod>,
    config_maps: Api<ConfigMap>,
    running: BTreeMap<String, CancellationToken>,
}

impl Nodes {
    pub(super) fn new(client: Client, namespace: &str) -> Self {
        Self {
            pods: Api::namespaced(client.clone(), namespace),
            config_maps: Api::namespaced(client, namespace),
            running: BTreeMap::new(),
        }
    }

    pub(super) async fn run(mut self, stop: CancellationToken) {
        let mut pods = watcher(self.pods.clone(), watcher::Config::default())
            .default_backoff()
            .touched_objects()
            .boxed();
        while let Some(Ok(Some(pod))) = stop.run_until_cancelled(pods.try_next()).await {
            let name = pod.name_any();
            if self.pods.get_opt(&name).await.unwrap().is_none() {
                self.running.remove(&name).inspect(CancellationToken::cancel);
            } else if !self.running.contains_key(&name) {
                self.start(&pod, stop.child_token()).await;
            }
        }
    }

    async fn start(&mut self, pod: &Pod, stop: CancellationToken) {
        let Some(status) = self.worker_status(pod).await else { return };
        let listener = listener().await;
        let address = listener.local_addr().unwrap().ip();
        let worker = Arc::new(Worker { status });
        tokio::spawn(health::serve(listener, worker, Registry::default(), stop.clone()));
        let now = jiff::Timestamp::now();
        let condition = |kind: &str| json!({"type": kind, "status": "True", "lastTransitionTime": now});
        let patch = json!({"status": {
            "phase": "Running",
            "podIP": address,
            "podIPs": [{"ip": address}],
            "conditions": [condition("ContainersReady"), condition("Ready")],
        }});
        // A pod may be gone again already.
        if self
            .pods
            .patch_status(&pod.name_any(), &PatchParams::default(), &Patch::Merge(patch))
            .await
            .is_ok()
        {
            self.running.insert(pod.name_any(), stop);
        }
    }

    async fn worker_status(&self, pod: &Pod) -> Option<Value> {
        if pod.labels().get(ROLE_LABEL)? == Role::Aggregator.label() {
            let status = AggregatorStatus { broker: fine(), database: fine(), ..AggregatorStatus::default() };
            return serde_json::to_value(status).ok();
        }
        if pod.labels().get(ROLE_LABEL)? == Role::Repairer.label() {
            let status = RepairerStatus { broker: fine(), database: fine(), ..RepairerStatus::default() };
            return serde_json::to_value(status).ok();
        }
        let volumes = pod.spec.as_ref()?.volumes.as_ref()?;
        let config_map = volumes.iter().find_map(|volume| volume.config_map.as_ref())?;
        let config_map = self.config_maps.get_opt(&config_map.name).await.unwrap()?;
        let settings: ProducerSettings = serde_yaml::from_str(&config_map.data?["settings.yaml"]).unwrap();
        let symbol = |name: &String| {
            let state =
                if name.starts_with("NOSUCH") { SymbolState::Unknown } else { SymbolState::Streaming };
            (name.clone(), SymbolStatus { state, ..SymbolStatus::default() })
        };
        let status = ProducerStatus {
            source: settings.source.name,
            exchange: fine(),
            broker: fine(),
            symbols: settings.source.symbols.iter().map(symbol).collect(),
            ..ProducerStatus::default()
        };
        serde_json::to_value(status).ok()
    }
}

/// The workers' port on an address that nobody uses.
async fn listener() -> TcpListener {
    loop {
        let [a, b, c, ..] = *uuid::Uuid::new_v4().as_bytes();
        if let Ok(listener) = TcpListener::bind((Ipv4Addr::new(127, a.max(1), b, c), 8080)).await {
            return listener;
        }
    }
}

struct Worker {
    status: Value,
}

impl Probes for Worker {
    type Status = Value;

    fn why_not_ready(&self) -> Vec<String> {
        Vec::new()
    }

    fn status(&self) -> Value {
        self.status.clone()
    }
}
