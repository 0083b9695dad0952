//! What is gathered, piece by piece. A piece that cannot be had is noted with its reason, and the others go on.

use std::time::Duration;

use anyhow::Context as _;
use crds::CryptoPipeline;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::{CustomResourceExt as _, ResourceExt as _};
use operator::reconcile::desired::OPERATOR_LABEL;
use runtime::error_chain::error_chain;
use serde_json::{Value, json};

use super::bundle::Bundle;
use crate::cluster::Cluster;
use crate::output::FormatOptions;
use crate::plugin::exec::{capture, command_in_pod};
use crate::plugin::question::ASKED_ROLES;
use crate::plugin::status::as_text;
use crate::plugin::worker_pods::{ask_text, choose, is_running, pods_api, selector, why_none};

/// Of each container's log: so many lines from its end, and no more bytes than this.
const LOG_LINES: u32 = 2_000;
const LOG_BYTES: u32 = 1024 * 1024;
/// For each request, and for each command in a pod.
const PATIENCE: Duration = Duration::from_secs(30);

/// Gathers into a bundle.
pub(super) struct Gatherer<'a> {
    cluster: &'a Cluster,
    pipeline: &'a CryptoPipeline,
    operator_namespace: Option<&'a str>,
    bundle: &'a mut Bundle,
}

impl<'a> Gatherer<'a> {
    pub(super) const fn new(
        cluster: &'a Cluster,
        pipeline: &'a CryptoPipeline,
        operator_namespace: Option<&'a str>,
        bundle: &'a mut Bundle,
    ) -> Self {
        Self { cluster, pipeline, operator_namespace, bundle }
    }

    /// Everything, the objects first: what they hide must be known before the logs are written.
    pub(super) async fn gather(mut self, now: Timestamp) {
        let status = as_text(self.pipeline, now).context("the status cannot be written");
        self.bundle.add("status.txt", status);
        let namespace = self.cluster.namespace.clone();
        let pipeline = self.pipeline.name_any();
        let pipelines = format!("/apis/cryptopipeline.dev/v1alpha1/namespaces/{namespace}/cryptopipelines");
        self.objects("pipeline.yaml", &format!("{pipelines}/{pipeline}")).await;
        let labelled = format!("labelSelector={}", selector(&pipeline));
        for (name, group) in [
            ("deployments", "apis/apps/v1"),
            ("networkpolicies", "apis/networking.k8s.io/v1"),
            ("poddisruptionbudgets", "apis/policy/v1"),
        ] {
            self.objects(
                &format!("{name}.yaml"),
                &format!("/{group}/namespaces/{namespace}/{name}?{labelled}"),
            )
            .await;
        }
        let pods = self.pods("pods.yaml", &namespace, &labelled).await;
        self.events(&namespace, &pipeline).await;
        self.versions().await;
        for pod in &pods {
            self.logs("pods", &namespace, pod).await;
            if is_running(pod) {
                self.answers_of(pod).await;
            }
        }
        self.operator().await;
        self.questions(&pods).await;
    }

    /// The objects at a path, as YAML.
    async fn objects(&mut self, name: &str, path: &str) -> Option<Value> {
        let found = self.get(path).await;
        let object = found.as_ref().ok().cloned();
        self.bundle.add_object(name, found);
        object
    }

    async fn pods(&mut self, name: &str, namespace: &str, query: &str) -> Vec<Pod> {
        let found = self.objects(name, &format!("/api/v1/namespaces/{namespace}/pods?{query}")).await;
        found.and_then(|mut list| serde_json::from_value(list["items"].take()).ok()).unwrap_or_default()
    }

    /// Those about the pipeline and about what is called after it.
    async fn events(&mut self, namespace: &str, pipeline: &str) {
        let found = self.get(&format!("/api/v1/namespaces/{namespace}/events")).await;
        let events = found.map(|mut list| {
            let is_about = |event: &Value| {
                let name = event["involvedObject"]["name"].as_str().unwrap_or_default();
                name == pipeline || name.starts_with(&format!("{pipeline}-"))
            };
            if let Some(events) = list["items"].as_array_mut() {
                events.retain(is_about);
            }
            list
        });
        self.bundle.add_object("events.yaml", events);
    }

    /// Of this program, of the cluster and of the definition. Those of the images stand in the pods.
    async fn versions(&mut self) {
        let kubernetes = self.get("/version").await;
        let name = CryptoPipeline::crd_name();
        let definition =
            self.get(&format!("/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{name}")).await;
        let mut versions = json!({"kubectl-cryptopipeline": env!("CARGO_PKG_VERSION")});
        match kubernetes {
            Ok(version) => versions["kubernetes"] = version["gitVersion"].clone(),
            Err(error) => self.bundle.leave_out("the version of Kubernetes", &format!("{error:#}")),
        }
        match definition {
            Ok(definition) => versions["definition"] = version_of(&definition),
            Err(error) => self.bundle.leave_out("the version of the definition", &format!("{error:#}")),
        }
        self.bundle.add_object("versions.yaml", Ok(versions));
    }

    /// Of every container, and of its life before.
    async fn logs(&mut self, folder: &str, namespace: &str, pod: &Pod) {
        let name = pod.name_any();
        let containers = pod.spec.iter().flat_map(|spec| &spec.containers);
        for container in containers.map(|container| &container.name) {
            let path = format!(
                "/api/v1/namespaces/{namespace}/pods/{name}/log?container={container}&timestamps=true&tailLines={LOG_LINES}&limitBytes={LOG_BYTES}"
            );
            let log = self.get_text(&path).await;
            self.bundle.add(&format!("{folder}/{name}/{container}.log"), log);
            if restarts(pod, container) > 0 {
                let before = self.get_text(&format!("{path}&previous=true")).await;
                self.bundle.add(&format!("{folder}/{name}/{container}-before-restart.log"), before);
            }
        }
    }

    /// What the worker in a pod says of itself.
    async fn answers_of(&mut self, pod: &Pod) {
        let name = pod.name_any();
        for (path, file) in [("status", "status.json"), ("metrics", "metrics.txt")] {
            let answer = ask_text(self.cluster, &name, path).await;
            self.bundle.add(&format!("pods/{name}/{file}"), answer);
        }
    }

    /// Wherever it runs, or in the pipeline's own namespace where one may look nowhere else.
    async fn operator(&mut self) {
        let labelled = format!("labelSelector={}={}", OPERATOR_LABEL.0, OPERATOR_LABEL.1);
        let in_namespace =
            |namespace: &str| format!("/apis/apps/v1/namespaces/{namespace}/deployments?{labelled}");
        let path = match self.operator_namespace {
            Some(namespace) => in_namespace(namespace),
            None => {
                let everywhere = format!("/apis/apps/v1/deployments?{labelled}");
                match self.get(&everywhere).await {
                    Ok(_) => everywhere,
                    Err(_) => in_namespace(&self.cluster.namespace),
                }
            }
        };
        let Some(deployments) = self.objects("operator/deployments.yaml", &path).await else { return };
        let deployments = deployments["items"].as_array().cloned().unwrap_or_default();
        if deployments.is_empty() {
            let why = "no operator was found where you may look: --operator-namespace says where it is";
            self.bundle.leave_out("operator", why);
        }
        let mut namespaces: Vec<&str> = deployments
            .iter()
            .filter_map(|deployment| deployment["metadata"]["namespace"].as_str())
            .collect();
        namespaces.dedup();
        for namespace in namespaces {
            let file = format!("operator/{namespace}/pods.yaml");
            for pod in self.pods(&file, namespace, &labelled).await {
                self.logs(&format!("operator/{namespace}"), namespace, &pod).await;
            }
        }
    }

    /// What the database says, where a pod can be asked.
    async fn questions(&mut self, pods: &[Pod]) {
        let Some(pod) = choose(pods, &ASKED_ROLES) else {
            let why = why_none(self.pipeline, &ASKED_ROLES);
            return self.bundle.leave_out("gaps and verify", &why);
        };
        let pod = pod.name_any();
        for verb in ["gaps", "verify"] {
            let options = FormatOptions { output: crate::output::Format::Json };
            let command = command_in_pod(verb, options.to_arguments());
            let pods = pods_api(self.cluster);
            let answer = tokio::time::timeout(PATIENCE, capture(&pods, &pod, command)).await;
            let answer = answer.context("it takes too long").flatten();
            let text = answer.and_then(|answer| {
                anyhow::ensure!(
                    !answer.stdout.is_empty(),
                    "it ended with {}: {}",
                    answer.exit_code,
                    answer.stderr
                );
                Ok(answer.stdout)
            });
            self.bundle.add(&format!("{verb}.json"), text);
        }
    }

    async fn get(&self, path: &str) -> anyhow::Result<Value> {
        serde_json::from_str(&self.get_text(path).await?).context("the answer is no JSON")
    }

    async fn get_text(&self, path: &str) -> anyhow::Result<String> {
        let request = http::Request::get(path).body(Vec::new())?;
        let answer = tokio::time::timeout(PATIENCE, self.cluster.client.request_text(request)).await;
        let answer = answer.with_context(|| format!("no answer within {} s", PATIENCE.as_secs()))?;
        answer.map_err(|error| anyhow::Error::msg(error_chain(&error)))
    }
}

/// Which versions are served and stored, and which release brought the definition.
fn version_of(definition: &Value) -> Value {
    let versions = definition["spec"]["versions"].as_array().cloned().unwrap_or_default();
    let of = |version: Value| json!({"name": version["name"], "served": version["served"], "stored": version["storage"]});
    json!({
        "labels": definition["metadata"]["labels"],
        "generation": definition["metadata"]["generation"],
        "versions": versions.into_iter().map(of).collect::<Vec<_>>(),
    })
}

fn restarts(pod: &Pod, container: &str) -> i32 {
    let statuses = pod.status.iter().flat_map(|status| status.container_statuses.iter().flatten());
    statuses.filter(|status| status.name == container).map(|status| status.restart_count).sum()
}
