//! A namespace of its own for one test, with an operator that watches it and pods that seem to run.

use std::fs::File;
use std::time::Duration;

use crds::CryptoPipeline;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Namespace, Secret};
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams, ValidationDirective};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::runtime::wait::{await_condition, conditions};
use kube::{Api, Client, CustomResourceExt, ResourceExt};
use operator::context::FirstLists;
use operator::controller::{self, Options};
use operator::metrics::Metrics;
use operator::reconcile::desired::{Installation, WorkerImage};
use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use runtime::kafka::KafkaConnection;
use runtime::kafka_admin::KafkaAdmin;
use runtime::telemetry::Program;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tokio::net::TcpSocket;
use tokio::task::AbortHandle;
use tokio_util::sync::CancellationToken;

use super::nodes::Nodes;

/// Longer than anything that these tests wait for.
const PATIENCE: Duration = Duration::from_secs(150);
const BETWEEN_LOOKS: Duration = Duration::from_millis(200);

/// What the testbed exports.
struct Testbed {
    kubeconfig: String,
    bootstrap: String,
    postgres_url: String,
}

impl Testbed {
    /// `None` where it is not up, which is said openly, or is a failure where it is required.
    fn find() -> Option<Self> {
        let variable = |name: &str| {
            let value = std::env::var(name).ok();
            if value.is_none() {
                assert!(std::env::var_os("REQUIRE_SERVICES").is_none(), "{name} is not set");
                eprintln!("skipped: {name} is not set");
            }
            value
        };
        Some(Self {
            kubeconfig: variable("KUBECONFIG_API")?,
            bootstrap: variable("KAFKA_BOOTSTRAP")?,
            postgres_url: variable("POSTGRES_URL")?,
        })
    }
}

pub(super) struct Lab {
    /// Where nobody answers: the port is taken and nothing listens.
    pub(super) nowhere: String,
    _nowhere: TcpSocket,
    pub(super) client: Client,
    pub(super) namespace: String,
    pub(super) bootstrap: String,
    pub(super) postgres_url: String,
    kubeconfig: String,
    stop: CancellationToken,
    /// Held as long as the test runs: shared by most, alone by the one that counts requests.
    _turn: File,
}

impl Lab {
    /// Beside other tests.
    pub(super) async fn enter() -> Option<Self> {
        Self::open(|turn| turn.lock_shared().unwrap()).await
    }

    /// While no other test runs, in this process or another.
    pub(super) async fn enter_alone() -> Option<Self> {
        Self::open(|turn| turn.lock().unwrap()).await
    }

    async fn open(take: fn(&File)) -> Option<Self> {
        runtime::tls::install_provider();
        // Silent unless RUST_LOG asks; only the first test of a process can start it.
        let _ = runtime::telemetry::init("off", &Program::default());
        let testbed = Testbed::find()?;
        let path = std::env::temp_dir().join("cryptopipeline-operator-tests.lock");
        let turn = File::create(path).unwrap();
        let turn = tokio::task::spawn_blocking(move || {
            take(&turn);
            turn
        });
        let turn = turn.await.unwrap();
        let client = client(&testbed.kubeconfig, None).await;
        install_crd(&client).await;
        let namespace = format!("test-{}", &uuid::Uuid::new_v4().simple().to_string()[..8]);
        let body = serde_json::from_value(json!({"metadata": {"name": namespace}})).unwrap();
        Api::<Namespace>::all(client.clone()).create(&PostParams::default(), &body).await.unwrap();
        let taken = TcpSocket::new_v4().unwrap();
        taken.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let lab = Self {
            nowhere: taken.local_addr().unwrap().to_string(),
            _nowhere: taken,
            client,
            namespace,
            kubeconfig: testbed.kubeconfig,
            bootstrap: testbed.bootstrap,
            postgres_url: testbed.postgres_url,
            stop: CancellationToken::new(),
            _turn: turn,
        };
        lab.create_secret("postgres", &lab.postgres_url).await;
        Some(lab)
    }

    /// Starts an operator for this namespace, and nodes on which its pods seem to run.
    pub(super) async fn start_operator(&self) {
        self.start_nodes();
        self.run_operator(self.operator_client().await).await;
    }

    /// Nodes on which pods seem to run.
    pub(super) fn start_nodes(&self) {
        tokio::spawn(Nodes::new(self.client.clone(), &self.namespace).run(self.stop.clone()));
    }

    /// Starts an operator for this namespace, and waits until it has seen what there is.
    pub(super) async fn run_operator(&self, client: Client) -> AbortHandle {
        let first_lists = FirstLists::default();
        let options = Options {
            namespaces: vec![self.namespace.clone()],
            installation: Installation {
                image: WorkerImage {
                    name: "cryptopipeline:test".to_owned(),
                    pull_policy: "Never".to_owned(),
                },
                namespace: None,
            },
        };
        let running =
            controller::run(client, options, Metrics::default(), first_lists.clone(), self.stop.clone());
        let running = tokio::spawn(running).abort_handle();
        self.eventually("the operator is ready", async || first_lists.have_arrived().then_some(())).await;
        running
    }

    /// A client that may do what the chart lets the operator do, and no more.
    pub(super) async fn operator_client(&self) -> Client {
        self.client_with_rules("operator", &chart_rules()).await
    }

    /// A client of a user who may do this and no more.
    pub(super) async fn client_with_rules(&self, name: &str, rules: &Value) -> Client {
        let (group, version) = ("rbac.authorization.k8s.io", "rbac.authorization.k8s.io/v1");
        let user = format!("{name}-of-{}", self.namespace);
        let about = json!({"name": name, "namespace": self.namespace});
        let role = json!({"apiVersion": version, "kind": "Role", "metadata": about, "rules": rules});
        let binding = json!({
            "apiVersion": version,
            "kind": "RoleBinding",
            "metadata": about,
            "roleRef": {"apiGroup": group, "kind": "Role", "name": name},
            "subjects": [{"apiGroup": group, "kind": "User", "name": user}],
        });
        let params = PatchParams::apply("somebody");
        let roles: Api<Role> = Api::namespaced(self.client.clone(), &self.namespace);
        roles.patch(name, &params, &Patch::Apply(role)).await.unwrap();
        self.role_bindings().patch(name, &params, &Patch::Apply(binding)).await.unwrap();
        client(&self.kubeconfig, Some(user)).await
    }

    /// Takes away what a client was allowed to do.
    pub(super) async fn take_rules_away(&self, name: &str) {
        self.role_bindings().delete(name, &DeleteParams::default()).await.unwrap();
    }

    fn role_bindings(&self) -> Api<RoleBinding> {
        Api::namespaced(self.client.clone(), &self.namespace)
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
        match found.await {
            Ok(found) => found,
            Err(_) => panic!("waited in vain: {what}; pipelines: {}", self.all_said().await),
        }
    }

    pub(super) fn pipelines(&self) -> Api<CryptoPipeline> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    pub(super) fn deployments(&self) -> Api<Deployment> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// A valid manifest; topic and schema are named after namespace and pipeline.
    pub(super) fn manifest(&self, name: &str) -> Value {
        json!({
            "apiVersion": "cryptopipeline.dev/v1alpha1",
            "kind": "CryptoPipeline",
            "metadata": {"name": name, "namespace": self.namespace},
            "spec": {
                "sources": [{"name": "binance", "exchange": "binance", "symbols": ["BTCUSDT", "ETHUSDT"]}],
                "kafka": {"bootstrapServers": self.bootstrap, "topic": {"name": self.topic(name), "partitions": 3}},
                "database": {"connectionSecret": {"name": "postgres"}, "schema": self.schema(name)},
            },
        })
    }

    pub(super) fn topic(&self, pipeline: &str) -> String {
        format!("{}-{pipeline}", self.namespace)
    }

    pub(super) fn schema(&self, pipeline: &str) -> String {
        format!("{}_{pipeline}", self.namespace.replace('-', "_"))
    }

    /// What `kubectl apply` does: creates, or patches what is there; unknown fields are refused.
    pub(super) async fn apply(&self, manifest: &Value) -> kube::Result<CryptoPipeline> {
        let name = manifest["metadata"]["name"].as_str().unwrap();
        if self.pipelines().get_opt(name).await?.is_some() {
            let params =
                PatchParams { field_validation: Some(ValidationDirective::Strict), ..PatchParams::default() };
            return self.pipelines().patch(name, &params, &Patch::Merge(manifest)).await;
        }
        let path = format!(
            "/apis/cryptopipeline.dev/v1alpha1/namespaces/{}/cryptopipelines?fieldValidation=Strict",
            self.namespace
        );
        let request = http::Request::post(path).header("content-type", "application/json");
        self.client.request(request.body(serde_json::to_vec(manifest).unwrap()).unwrap()).await
    }

    pub(super) async fn get(&self, name: &str) -> CryptoPipeline {
        self.pipelines().get(name).await.unwrap()
    }

    /// Waits for `status/reason` of a condition, and returns its message.
    pub(super) async fn said(&self, name: &str, kind: &str, expected: &str) -> String {
        let what = format!("{name}: {kind} is {expected}");
        self.eventually(&what, async || {
            let status = self.get(name).await.status?;
            let condition = status.conditions.into_iter().find(|condition| condition.type_ == kind)?;
            (format!("{}/{}", condition.status, condition.reason) == expected).then_some(condition.message)
        })
        .await
    }

    /// Waits for an Event about `name`, and returns its note.
    pub(super) async fn event(&self, name: &str, reason: &str) -> String {
        let events: Api<Event> = Api::namespaced(self.client.clone(), &self.namespace);
        self.eventually(&format!("{name}: event {reason}"), async || {
            let events = events.list(&ListParams::default()).await.unwrap();
            let about = |event: &Event| {
                event.regarding.as_ref().and_then(|about| about.name.as_deref()) == Some(name)
                    && event.reason.as_deref() == Some(reason)
            };
            events.into_iter().find(about).and_then(|event| event.note)
        })
        .await
    }

    pub(super) async fn create_secret(&self, name: &str, url: &str) {
        self.apply_secret(name, &json!({"uri": url})).await;
    }

    pub(super) async fn apply_secret(&self, name: &str, data: &Value) {
        let secrets: Api<Secret> = Api::namespaced(self.client.clone(), &self.namespace);
        let secret =
            json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": data});
        secrets.patch(name, &PatchParams::apply("somebody").force(), &Patch::Apply(secret)).await.unwrap();
    }

    pub(super) async fn replicas(&self, deployment: &str) -> Option<i32> {
        self.deployments().get_opt(deployment).await.unwrap()?.spec?.replicas
    }

    pub(super) async fn until_replicas(&self, deployment: &str, expected: i32) {
        let what = format!("{deployment} has {expected} replicas");
        self.eventually(&what, async || (self.replicas(deployment).await == Some(expected)).then_some(()))
            .await;
    }

    pub(super) async fn delete(&self, name: &str) {
        self.pipelines().delete(name, &DeleteParams::default()).await.unwrap();
    }

    /// Waits until the pipeline and everything made for it in the cluster is gone.
    pub(super) async fn until_gone(&self, name: &str) {
        self.eventually(&format!("{name} is gone"), async || {
            let is_gone = self.pipelines().get_opt(name).await.unwrap().is_none();
            let left = self.deployments().list(&ListParams::default()).await.unwrap();
            let has_name = |deployment: &Deployment| deployment.name_any().starts_with(&format!("{name}-"));
            (is_gone && !left.iter().any(has_name)).then_some(())
        })
        .await;
    }

    pub(super) fn kafka(&self) -> KafkaAdmin {
        let connection =
            KafkaConnection { bootstrap_servers: self.bootstrap.clone(), ..KafkaConnection::default() };
        KafkaAdmin::new(&connection, "test", Duration::from_secs(10)).unwrap()
    }

    pub(super) async fn topic_exists(&self, pipeline: &str) -> bool {
        self.kafka().describe_topic(&self.topic(pipeline)).await.unwrap().is_some()
    }

    pub(super) async fn schema_exists(&self, pipeline: &str) -> bool {
        let mut connection = PgConnection::connect(&self.postgres_url).await.unwrap();
        let query = sqlx::query_scalar("SELECT to_regnamespace($1) IS NOT NULL").bind(self.schema(pipeline));
        query.fetch_one(&mut connection).await.unwrap()
    }

    /// Runs a statement as the database's superuser.
    pub(super) async fn sql(&self, statement: &str) {
        let mut connection = PgConnection::connect(&self.postgres_url).await.unwrap();
        sqlx::query(AssertSqlSafe(statement)).execute(&mut connection).await.unwrap();
    }

    /// Publishes records that nobody can read; a real producer is no part of these tests.
    pub(super) fn publish(&self, topic: &str, partition: i32, records: usize) {
        let producer: BaseProducer =
            ClientConfig::new().set("bootstrap.servers", &self.bootstrap).create().unwrap();
        for _ in 0..records {
            producer.send(BaseRecord::<str, str>::to(topic).partition(partition).payload("{}")).unwrap();
        }
        producer.flush(Duration::from_secs(30)).unwrap();
    }

    async fn all_said(&self) -> String {
        let pipelines = self.pipelines().list(&ListParams::default()).await.unwrap();
        let statuses: Vec<_> = pipelines.into_iter().map(|p| (p.name_any(), p.status)).collect();
        format!("{statuses:#?}")
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

async fn client(kubeconfig: &str, impersonated: Option<String>) -> Client {
    let kubeconfig = Kubeconfig::read_from(kubeconfig).unwrap();
    let options = KubeConfigOptions::default();
    let mut config = kube::Config::from_custom_kubeconfig(kubeconfig, &options).await.unwrap();
    config.auth_info.impersonate = impersonated;
    Client::try_from(config).unwrap()
}

/// The rules of the chart's ClusterRole.
fn chart_rules() -> Value {
    let helpers = include_str!("../../../../charts/cryptopipeline/templates/_helpers.tpl");
    let (_, rules) = helpers.split_once("{{- define \"cryptopipeline.rules\" -}}").unwrap();
    let (rules, _) = rules.split_once("{{- end -}}").unwrap();
    serde_yaml::from_str(rules).unwrap()
}

async fn install_crd(client: &Client) {
    let crds: Api<CustomResourceDefinition> = Api::all(client.clone());
    let name = CryptoPipeline::crd_name();
    let params = PatchParams::apply("somebody").force();
    crds.patch(name, &params, &Patch::Apply(CryptoPipeline::crd())).await.unwrap();
    let established = await_condition(crds, name, conditions::is_crd_established());
    tokio::time::timeout(PATIENCE, established).await.unwrap().unwrap();
}
