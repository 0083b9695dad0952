//! Step 2: from the resource and what is known of the world to what should be. Pure. The same code plans for a
//! cluster and for `cryptopipeline run`.

mod network;
mod schema;
mod secrets;
mod series;
mod settings;
mod topic;
mod workloads;

use std::collections::{BTreeMap, BTreeSet};

use crds::condition::Reason;
use crds::history;
use crds::pod_template::PodTemplate;
use crds::rules::{Violation, violations};
use crds::security::SecretKey;
use crds::spec::SourceSpec;
use crds::worker_settings::{AggregatorSettings, PipelineId, ProducerSettings, RepairerSettings};
use crds::{CryptoPipeline, CryptoPipelineSpec};
use jiff::Timestamp;
use k8s_openapi::api::networking::v1::{NetworkPolicyEgressRule, NetworkPolicyPeer};
use kube::ResourceExt;
use market::Market;

use super::observe::Observed;
use super::observe::secrets::SecretProblem;

pub use network::servers;
pub use schema::{SchemaPlan, SchemaStep};
pub use secrets::{DATABASE_FOLDER, KAFKA_FOLDER};
pub use series::SeriesPlan;
pub use topic::{TopicPlan, TopicStep, WishedTopic};

/// Where the pipeline is to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place<'a> {
    /// A cluster: the manifest names broker and database.
    Cluster,
    /// This machine: what the manifest does not name is embedded.
    Machine {
        /// Where the embedded broker answers.
        embedded_broker: &'a str,
    },
}

/// What should be, and the next step towards it.
#[derive(Clone, Debug, PartialEq)]
pub struct PipelinePlan {
    /// Whose plan it is.
    pub id: PipelineId,
    /// Every market that the spec names, sorted.
    pub markets: BTreeSet<Market>,
    /// The topic.
    pub topic: TopicPlan,
    /// The schema.
    pub schema: SchemaPlan,
    /// The pods.
    pub workloads: WorkloadsPlan,
    /// Who may reach the pods, and whom they may reach.
    pub network: NetworkPlan,
    /// Whether drains are to be held back from taking more than one pod of a role.
    pub disruption_budgets: bool,
}

/// The pods that should run.
#[derive(Clone, Debug, PartialEq)]
pub struct WorkloadsPlan {
    /// Whether they are to be brought to this state now.
    pub step: WorkloadStep,
    /// One for each source, by the source's order.
    pub producers: Vec<ProducerPlan>,
    /// The aggregators.
    pub aggregator: AggregatorPlan,
    /// The repairer; `None` where it is switched off.
    pub repairer: Option<RepairerPlan>,
    /// Where the pods find what the Secrets hold; `None` where there is no cluster.
    pub secrets: Option<SecretsPlan>,
}

/// What is to become of the pods' NetworkPolicies.
#[derive(Clone, Debug, PartialEq)]
pub enum NetworkPlan {
    /// They stay as they are: it is not known whom the pods have to reach. Pods that have none are not made.
    Unknown,
    /// There are none.
    Open,
    /// They say this.
    Closed(Box<PipelineNetwork>),
}

/// Who may reach the pods, and whom they may reach.
#[derive(Clone, Debug, PartialEq)]
pub struct PipelineNetwork {
    /// Who may read the metrics beside the operator.
    pub metrics_from: Vec<NetworkPolicyPeer>,
    /// The brokers.
    pub brokers: Reach,
    /// The database.
    pub database: Reach,
    /// What the producer of each source asks of its exchange, by the source's name.
    pub streams: BTreeMap<String, Reach>,
    /// What the repairer asks of all of them.
    pub rest: Reach,
    /// Where the pods send their traces, wherever that is.
    pub collector: Reach,
    /// Whom every pod may reach besides.
    pub further_egress: Vec<NetworkPolicyEgressRule>,
}

/// Servers that pods have to reach.
#[derive(Clone, Debug, PartialEq)]
pub struct Reach {
    /// By which ports.
    pub ports: BTreeSet<u16>,
    /// Where they may be; anywhere where empty.
    pub peers: Vec<NetworkPolicyPeer>,
}

/// What the pods are given of Secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretsPlan {
    /// The database's URL.
    pub database_url: SecretKey,
    /// Files with what the broker is shown.
    pub kafka_files: Vec<SecretFile>,
    /// Files with what the database is shown.
    pub database_files: Vec<SecretFile>,
    /// Changes when the broker's credentials do; `None` where there are none.
    pub kafka_checksum: Option<String>,
    /// Changes when the database's credentials do.
    pub database_checksum: String,
}

/// A key of a Secret as a file of a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretFile {
    /// Its name.
    pub file: &'static str,
    /// The Secret's name.
    pub secret: String,
    /// The key.
    pub key: String,
    /// Whether the file may be absent.
    pub optional: bool,
}

/// Whether to touch the pods.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WorkloadStep {
    /// Bring them to the planned state.
    Apply,
    /// Leave them as they are: what they need is not known or not granted.
    Hold,
}

/// The producer of one source.
#[derive(Clone, Debug, PartialEq)]
pub struct ProducerPlan {
    /// What it reads and where it writes.
    pub settings: ProducerSettings,
    /// How many pods.
    pub replicas: i32,
    /// How they differ from the operator's own template.
    pub pod_template: PodTemplate,
}

/// The aggregators.
#[derive(Clone, Debug, PartialEq)]
pub struct AggregatorPlan {
    /// What they read and make.
    pub settings: AggregatorSettings,
    /// How many pods.
    pub replicas: i32,
    /// How they differ from the operator's own template.
    pub pod_template: PodTemplate,
}

/// The repairer.
#[derive(Clone, Debug, PartialEq)]
pub struct RepairerPlan {
    /// What it asks, and where the ledger is.
    pub settings: RepairerSettings,
    /// How many pods: one, or none while the pipeline is suspended.
    pub replicas: i32,
    /// How it differs from the operator's own template.
    pub pod_template: PodTemplate,
}

/// Something that keeps a part of the pipeline from being ready, and what a person can do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Complaint {
    /// In a word.
    pub reason: Reason,
    /// In a sentence.
    pub message: String,
}

impl Complaint {
    /// `message`, under `reason`.
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self { reason, message: message.into() }
    }
}

impl From<SecretProblem> for Complaint {
    fn from(SecretProblem { reason, message }: SecretProblem) -> Self {
        Self { reason, message }
    }
}

/// What should be at `now`, for a pipeline in `place` of which `observed` is known.
///
/// # Errors
/// Every rule that the spec breaks: nothing is done for such a pipeline.
pub fn plan(
    pipeline: &CryptoPipeline,
    observed: &Observed,
    place: Place<'_>,
    now: Timestamp,
) -> Result<PipelinePlan, Vec<Violation>> {
    let mut broken = violations(pipeline);
    broken.extend(history::violations(pipeline, now));
    broken.extend(missing_in(&pipeline.spec, place));
    broken.extend(crds::series::violations(&pipeline.spec, now));
    if !broken.is_empty() {
        return Err(broken);
    }
    let id = PipelineId {
        namespace: pipeline.namespace().unwrap_or_else(|| "local".to_owned()),
        name: pipeline.name_any(),
        uid: pipeline.uid().unwrap_or_default(),
    };
    let wished_topic = topic::wished_topic(&id, &pipeline.spec);
    let topic = topic::plan_topic(wished_topic, pipeline.status.as_ref(), observed);
    let schema = schema::plan_schema(&id, &pipeline.spec, pipeline.status.as_ref(), observed);
    let network = network::plan_network(&pipeline.spec, observed, place);
    let workloads = workloads::plan_workloads(&id, &pipeline.spec, observed, place, &topic, &schema);
    Ok(PipelinePlan {
        markets: markets(&pipeline.spec),
        network,
        disruption_budgets: pipeline.spec.pod_disruption_budget.enabled,
        id,
        topic,
        schema,
        workloads,
    })
}

/// The markets that `spec` names.
#[must_use]
pub fn markets(spec: &CryptoPipelineSpec) -> BTreeSet<Market> {
    spec.sources.iter().flat_map(markets_of).collect()
}

/// The markets of which `spec` wishes every trade.
#[must_use]
pub fn trade_markets(spec: &CryptoPipelineSpec) -> BTreeSet<Market> {
    spec.trade_sources().flat_map(markets_of).collect()
}

fn markets_of(source: &SourceSpec) -> impl Iterator<Item = Market> {
    source.symbols.iter().map(|symbol| Market::new(source.effective_venue(), symbol.as_str()))
}

/// What a cluster needs and this machine has built in.
fn missing_in(spec: &CryptoPipelineSpec, place: Place<'_>) -> Vec<Violation> {
    let mut missing = Vec::new();
    if place == Place::Cluster {
        let mut require = |is_there: bool, field: &str, what: &str| {
            if !is_there {
                let rule = format!("required in a cluster: only cryptopipeline run has {what} built in");
                missing.push(Violation::new(field, rule));
            }
        };
        require(spec.kafka.is_some(), "spec.kafka", "a broker");
        require(spec.database.is_some(), "spec.database", "a database");
    }
    missing
}
