//! A namespace of its own for one test, and the plugin as its user runs it.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use crds::CryptoPipeline;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Patch, PatchParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::runtime::wait::{await_condition, conditions};
use kube::{Api, Client, CustomResourceExt as _, Resource};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStderr, Command};

/// Longer than anything that these tests wait for.
const PATIENCE: Duration = Duration::from_secs(60);
const BETWEEN_LOOKS: Duration = Duration::from_millis(100);

pub(super) struct Lab {
    pub(super) client: Client,
    pub(super) namespace: String,
    pub(super) folder: TempDir,
    kubeconfig: PathBuf,
}

impl Lab {
    /// `None` where the testbed is not up, which is said openly, or is a failure where it is required.
    pub(super) async fn enter() -> Option<Self> {
        runtime::tls::install_provider();
        let Ok(kubeconfig) = std::env::var("KUBECONFIG_API") else {
            assert!(std::env::var_os("REQUIRE_SERVICES").is_none(), "KUBECONFIG_API is not set");
            eprintln!("skipped: KUBECONFIG_API is not set");
            return None;
        };
        let read = Kubeconfig::read_from(&kubeconfig).unwrap();
        let config = kube::Config::from_custom_kubeconfig(read, &KubeConfigOptions::default()).await.unwrap();
        let client = Client::try_from(config).unwrap();
        install_crd(&client).await;
        let namespace = format!("test-{}", &uuid::Uuid::new_v4().simple().to_string()[..8]);
        let body = serde_json::from_value(json!({"metadata": {"name": namespace}})).unwrap();
        Api::<Namespace>::all(client.clone()).create(&PostParams::default(), &body).await.unwrap();
        Some(Self { client, namespace, folder: tempfile::tempdir().unwrap(), kubeconfig: kubeconfig.into() })
    }

    pub(super) fn api<K>(&self) -> Api<K>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    pub(super) fn pipelines(&self) -> Api<CryptoPipeline> {
        self.api()
    }

    /// Creates an object of a kind; its status too, where it has one.
    pub(super) async fn create<K>(&self, object: Value) -> K
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
            + Clone
            + DeserializeOwned
            + serde::Serialize
            + std::fmt::Debug,
    {
        let status = object.get("status").cloned();
        let made: K = serde_json::from_value(object).unwrap();
        let made = self.api::<K>().create(&PostParams::default(), &made).await.unwrap();
        let Some(status) = status else { return made };
        let name = made.meta().name.clone().unwrap();
        let patch = Patch::Merge(json!({"status": status}));
        self.api::<K>().patch_status(&name, &PatchParams::default(), &patch).await.unwrap()
    }

    /// A pipeline that no operator looks at.
    pub(super) async fn create_pipeline(&self, name: &str) -> CryptoPipeline {
        let manifest = json!({
            "apiVersion": "cryptopipeline.dev/v1alpha1",
            "kind": "CryptoPipeline",
            "metadata": {"name": name},
            "spec": {
                "sources": [{"name": "binance", "exchange": "binance", "symbols": ["BTCUSDT"]}],
                "kafka": {"bootstrapServers": "kafka:9092", "topic": {"name": "trades", "partitions": 3}},
                "database": {"connectionSecret": {"name": "postgres"}, "schema": "market"},
            },
        });
        self.create(manifest).await
    }

    /// Says of a pipeline what an operator would say, of its newest generation: condition, status and reason.
    pub(super) async fn say(&self, name: &str, conditions: &[(&str, &str, &str)]) {
        let generation = self.pipelines().get(name).await.unwrap().metadata.generation;
        self.say_of_generation(name, generation, conditions).await;
    }

    pub(super) async fn say_of_generation(
        &self,
        name: &str,
        generation: Option<i64>,
        conditions: &[(&str, &str, &str)],
    ) {
        let condition = |(kind, status, reason): &(&str, &str, &str)| {
            json!({"type": kind, "status": status, "reason": reason, "message": format!("{kind} is {status}"),
                   "lastTransitionTime": "2026-01-01T00:00:00Z"})
        };
        let conditions: Vec<Value> = conditions.iter().map(condition).collect();
        let status = json!({"observedGeneration": generation, "conditions": conditions});
        let patch = Patch::Merge(json!({"status": status}));
        self.pipelines().patch_status(name, &PatchParams::default(), &patch).await.unwrap();
    }

    /// The plugin, as whoever has this kubeconfig.
    pub(super) fn plugin_as(&self, kubeconfig: &Path, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kubectl-cryptopipeline"));
        command.args(arguments).args(["-n", &self.namespace]).current_dir(self.folder.path());
        command.env("KUBECONFIG", kubeconfig).stdin(Stdio::null());
        command
    }

    pub(super) fn plugin(&self, arguments: &[&str]) -> Command {
        self.plugin_as(&self.kubeconfig, arguments)
    }

    /// The kubeconfig of another user.
    pub(super) fn kubeconfig_of(&self, user: &str) -> PathBuf {
        let mut kubeconfig = Kubeconfig::read_from(&self.kubeconfig).unwrap();
        for named in &mut kubeconfig.auth_infos {
            named.auth_info.as_mut().unwrap().impersonate = Some(user.to_owned());
        }
        let path = self.folder.path().join(format!("{user}.kubeconfig"));
        std::fs::write(&path, serde_yaml::to_string(&kubeconfig).unwrap()).unwrap();
        path
    }

    /// Waits until `look` finds something.
    pub(super) async fn eventually<T>(&self, what: &str, look: impl AsyncFn() -> Option<T>) -> T {
        let found = tokio::time::timeout(PATIENCE, async {
            loop {
                if let Some(found) = look().await {
                    return found;
                }
                tokio::time::sleep(BETWEEN_LOOKS).await;
            }
        });
        found.await.unwrap_or_else(|_| panic!("waited in vain: {what}"))
    }
}

/// How a command ended, and what it printed.
pub(super) struct Ended {
    pub(super) code: Option<i32>,
    pub(super) stdout: String,
    pub(super) stderr: String,
}

impl Ended {
    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {}", self.stdout))
    }
}

/// Runs a command to its end.
pub(super) async fn ended(command: Command) -> Ended {
    Running::start(command).end().await
}

/// A command that runs.
pub(super) struct Running {
    child: Child,
    stderr: Lines<BufReader<ChildStderr>>,
    told: String,
}

impl Running {
    pub(super) fn start(mut command: Command) -> Self {
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap()).lines();
        Self { child, stderr, told: String::new() }
    }

    /// Reads what it tells on standard error up to this text.
    pub(super) async fn until_it_tells(&mut self, text: &str) {
        while !self.told.contains(text) {
            let line = tokio::time::timeout(PATIENCE, self.stderr.next_line()).await;
            let line = line.unwrap_or_else(|_| panic!("waited in vain for {text}: {}", self.told)).unwrap();
            self.told += &line.unwrap_or_else(|| panic!("it ended without telling {text}: {}", self.told));
            self.told.push('\n');
        }
    }

    /// As Ctrl-C does.
    pub(super) fn interrupt(&self) {
        let id = self.child.id().unwrap().to_string();
        assert!(std::process::Command::new("kill").args(["-INT", &id]).status().unwrap().success());
    }

    pub(super) async fn end(mut self) -> Ended {
        let rest = async {
            while let Some(line) = self.stderr.next_line().await.unwrap() {
                self.told = format!("{}{line}\n", self.told);
            }
        };
        let ((), output) = tokio::join!(rest, self.child.wait_with_output());
        let output = output.unwrap();
        let stdout = String::from_utf8(output.stdout).unwrap();
        Ended { code: output.status.code(), stdout, stderr: self.told }
    }
}

async fn install_crd(client: &Client) {
    let crds: Api<CustomResourceDefinition> = Api::all(client.clone());
    let name = CryptoPipeline::crd_name();
    let params = PatchParams::apply("somebody").force();
    crds.patch(name, &params, &Patch::Apply(CryptoPipeline::crd())).await.unwrap();
    let established = await_condition(crds, name, conditions::is_crd_established());
    tokio::time::timeout(PATIENCE, established).await.unwrap().unwrap();
}
