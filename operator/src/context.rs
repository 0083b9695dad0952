//! What every reconcile shares.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crds::CryptoPipeline;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Pod, ServiceAccount};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::Client;
use kube::runtime::events::{Recorder, Reporter};
use kube::runtime::reflector::Store;
use tokio_util::sync::CancellationToken;

use crate::copies::Copies;
use crate::metrics::Metrics;
use crate::reconcile::desired::Installation;
use crate::reconcile::memory::Memories;
use crate::reconcile::observe::database::Databases;
use crate::reconcile::observe::kafka::Brokers;
use crate::reconcile::observe::reader::News;
use crate::reconcile::observe::services::Services;
use crate::reconcile::observe::workers::WorkerPolls;

/// The copies of the cluster's objects that the watches keep.
#[derive(Clone, Default)]
pub struct Stores {
    /// Every pipeline: one store for each watched namespace, or one for all.
    pub pipelines: Vec<Store<CryptoPipeline>>,
    /// The operator's Deployments.
    pub deployments: Copies<Deployment>,
    /// The operator's ConfigMaps.
    pub config_maps: Copies<ConfigMap>,
    /// The operator's ServiceAccounts.
    pub service_accounts: Copies<ServiceAccount>,
    /// The operator's NetworkPolicies.
    pub network_policies: Copies<NetworkPolicy>,
    /// The operator's PodDisruptionBudgets.
    pub disruption_budgets: Copies<PodDisruptionBudget>,
    /// The workers' pods.
    pub pods: Copies<Pod>,
}

impl Stores {
    /// How many pipelines there are.
    #[must_use]
    pub fn pipeline_count(&self) -> usize {
        self.pipelines.iter().map(Store::len).sum()
    }

    /// Which pipelines there are.
    #[must_use]
    pub fn uids(&self) -> HashSet<String> {
        self.pipelines
            .iter()
            .flat_map(Store::state)
            .filter_map(|pipeline| pipeline.metadata.uid.clone())
            .collect()
    }
}

/// Whether the first list of every kind has arrived. Before, what exists would look as if it were not there. (A
/// store's own `wait_until_ready` wakes only one of several who wait.)
#[derive(Clone, Debug)]
pub struct FirstLists {
    awaited: Arc<AtomicUsize>,
    arrived: CancellationToken,
}

impl Default for FirstLists {
    /// Awaits nothing yet, and has not arrived before [`FirstLists::are_named`] either.
    fn default() -> Self {
        Self { awaited: Arc::new(AtomicUsize::new(1)), arrived: CancellationToken::new() }
    }
}

impl FirstLists {
    /// Names one more list; the returned function is to be called once it has arrived.
    pub fn name_one(&self) -> impl FnOnce() + Send + use<> {
        self.awaited.fetch_add(1, Ordering::Relaxed);
        let lists = self.clone();
        move || lists.note_arrival()
    }

    /// No more lists will be named.
    pub fn are_named(&self) {
        self.note_arrival();
    }

    fn note_arrival(&self) {
        if self.awaited.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.arrived.cancel();
        }
    }

    /// Whether all of them are there.
    #[must_use]
    pub fn have_arrived(&self) -> bool {
        self.arrived.is_cancelled()
    }

    /// Waits for all of them.
    pub async fn wait(&self) {
        self.arrived.cancelled().await;
    }
}

/// Everything that a reconcile needs beside the resource.
pub struct Context {
    /// The API server.
    pub client: Client,
    /// What this operator brings along.
    pub installation: Installation,
    /// The watched objects.
    pub stores: Stores,
    /// Whether they are all there.
    pub first_lists: FirstLists,
    /// The brokers.
    pub brokers: Brokers,
    /// The databases.
    pub databases: Databases,
    /// The workers.
    pub workers: WorkerPolls,
    /// The Services that pipelines name.
    pub services: Services,
    /// Publishes Events, and folds those that repeat.
    pub recorder: Recorder,
    /// What is remembered of each pipeline.
    pub memories: Memories,
    /// The operator's own figures.
    pub metrics: Metrics,
}

impl Context {
    /// A context that has seen nothing yet.
    ///
    /// # Errors
    /// Where no HTTP client can be made.
    pub fn new(
        client: Client,
        installation: Installation,
        stores: Stores,
        first_lists: FirstLists,
        news: News,
        metrics: Metrics,
    ) -> Result<Self, reqwest::Error> {
        let reporter = Reporter {
            controller: "cryptopipeline-operator".to_owned(),
            // The pod's own name, as every container has it.
            instance: std::env::var("HOSTNAME").ok(),
        };
        Ok(Self {
            recorder: Recorder::new(client.clone(), reporter),
            brokers: Brokers::new(news.clone()),
            databases: Databases::new(news.clone()),
            services: Services::new(client.clone(), news.clone()),
            workers: WorkerPolls::new(news, stores.pods.clone())?,
            memories: Memories::default(),
            client,
            installation,
            stores,
            first_lists,
            metrics,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::FirstLists;

    #[test]
    fn lists_have_arrived_once_all_are_named_and_there() {
        let lists = FirstLists::default();
        let first = lists.name_one();
        first();
        assert!(!lists.have_arrived(), "more may be named");
        let second = lists.name_one();
        lists.are_named();
        assert!(!lists.have_arrived());
        second();
        assert!(lists.have_arrived());
    }
}
