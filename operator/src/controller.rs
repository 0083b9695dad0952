//! Which objects are watched, what wakes a reconcile, and how failures are tried again.

use std::fmt::Debug;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use crds::CryptoPipeline;
use futures::future::{join_all, ready};
use futures::{Stream, StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::Pod;
use kube::runtime::controller::{Action, Config, Error};
use kube::runtime::reflector::{self, ObjectRef};
use kube::runtime::{Controller, PredicateConfig, WatchStreamExt, watcher};
use kube::{Api, Client, ResourceExt as _};
use runtime::error_chain::error_chain;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::context::{Context, FirstLists, Stores};
use crate::copies::Copies;
use crate::metrics::Metrics;
use crate::reconcile::apply::kubernetes::Object;
use crate::reconcile::desired::{Installation, MANAGED_BY_SELECTOR};
use crate::reconcile::{ReconcileError, reconcile};

/// How many pipelines are reconciled at the same time.
const CONCURRENCY: u16 = 16;
/// How many objects come in one piece of a list: all of a piece are in memory at the same time, with everything that they carry.
const PAGE: u32 = 50;
const AFTER_FAILURE: Duration = Duration::from_secs(5);

/// Where and with what to work.
#[derive(Clone, Debug)]
pub struct Options {
    /// The namespaces to watch; all of them where none is named.
    pub namespaces: Vec<String>,
    /// What this operator brings along.
    pub installation: Installation,
}

/// Reconciles until `shutdown`. An API server that is away, or has no CRD yet, is waited for.
///
/// # Errors
/// Where no HTTP client can be made.
pub async fn run(
    client: Client,
    options: Options,
    metrics: Metrics,
    first_lists: FirstLists,
    shutdown: CancellationToken,
) -> Result<(), reqwest::Error> {
    let (news, mut news_receiver) = mpsc::unbounded_channel::<ObjectRef<CryptoPipeline>>();
    let mut scopes: Vec<Option<&str>> = options.namespaces.iter().map(|name| Some(name.as_str())).collect();
    if scopes.is_empty() {
        scopes.push(None);
    }
    let mut stores = Stores::default();
    let mut triggers = Vec::new();
    let controllers: Vec<_> = scopes
        .into_iter()
        .map(|namespace| {
            let (trigger, triggered) = mpsc::unbounded_channel();
            triggers.push((namespace.map(str::to_owned), trigger));
            watch(&client, namespace, &mut stores, &first_lists).reconcile_on(receiver_stream(triggered))
        })
        .collect();
    first_lists.are_named();
    metrics.pipelines.tell_of(stores.pipelines.clone());
    let context = Context::new(client, options.installation, stores, first_lists, news, metrics)?;
    let context = Arc::new(context);
    let controlling = controllers.into_iter().map(|controller| {
        controller
            .with_config(Config::default().concurrency(CONCURRENCY))
            .graceful_shutdown_on(shutdown.clone().cancelled_owned())
            .run(reconcile, on_failure, Arc::clone(&context))
            .for_each(|outcome| {
                log_queue_failure(outcome);
                ready(())
            })
    });
    let forwarding = async {
        while let Some(pipeline) = news_receiver.recv().await {
            let of_pipeline = |scope: &Option<String>| scope.is_none() || *scope == pipeline.namespace;
            for (_, trigger) in triggers.iter().filter(|(scope, _)| of_pipeline(scope)) {
                // Closed only while the program ends.
                let _ = trigger.send(pipeline.clone());
            }
        }
    };
    let noting = async {
        context.first_lists.wait().await;
        tracing::info!("reconciling");
        std::future::pending::<()>().await;
    };
    tokio::select! {
        _ = join_all(controlling) => {}
        () = forwarding => {}
        () = noting => {}
    }
    Ok(())
}

/// Watches one namespace, or all, and keeps copies of its objects in `stores`.
fn watch(
    client: &Client,
    namespace: Option<&str>,
    stores: &mut Stores,
    first_lists: &FirstLists,
) -> Controller<CryptoPipeline> {
    let watches = Watches { client, namespace, first_lists };
    let (pipelines_reader, mut pipelines_writer) = reflector::store();
    stores.pipelines.push(pipelines_reader.clone());
    let all = watcher::Config::default();
    let pipelines = watches.objects(all, |_| {}, move |event| pipelines_writer.apply_watcher_event(event));
    let pipelines = pipelines.applied_objects().predicate_filter(what_matters, PredicateConfig::default());
    // Nothing depends on a pod's every change; the copies only have to be kept.
    tokio::spawn(watches.managed(&mut stores.pods, keep_state_of_pod).for_each(|_| ready(())));
    Controller::for_stream(pipelines, pipelines_reader)
        .owns_stream(watches.managed(&mut stores.deployments, |_| {}).touched_objects())
        .owns_stream(watches.managed(&mut stores.config_maps, |_| {}).touched_objects())
        .owns_stream(watches.managed(&mut stores.service_accounts, |_| {}).touched_objects())
        .owns_stream(watches.managed(&mut stores.network_policies, |_| {}).touched_objects())
        .owns_stream(watches.managed(&mut stores.disruption_budgets, |_| {}).touched_objects())
}

type Events<K> = futures::stream::BoxStream<'static, watcher::Result<watcher::Event<K>>>;

/// The watches of one namespace, or of all.
struct Watches<'a> {
    client: &'a Client,
    namespace: Option<&'a str>,
    first_lists: &'a FirstLists,
}

impl Watches<'_> {
    /// The objects of a kind that are the operator's, kept in `copies` without what `slim` takes away.
    fn managed<K: Object>(&self, copies: &mut Copies<K>, slim: fn(&mut K)) -> Events<K> {
        let writer = copies.add_watch();
        let managed = watcher::Config::default().labels(MANAGED_BY_SELECTOR);
        self.objects(managed, slim, move |event| writer.take_in(event))
    }

    /// The objects of a kind, which `keep` takes in before anybody is told of them.
    fn objects<K: Object>(
        &self,
        config: watcher::Config,
        slim: fn(&mut K),
        mut keep: impl FnMut(&watcher::Event<K>) + Send + 'static,
    ) -> Events<K> {
        let api = match self.namespace {
            Some(namespace) => Api::namespaced(self.client.clone(), namespace),
            None => Api::all(self.client.clone()),
        };
        let mut arrival = Some(self.first_lists.name_one());
        let events = watcher(api, config.page_size(PAGE)).default_backoff().modify(move |object: &mut K| {
            // What every object carries for `kubectl apply` is most of its size and of no use here.
            object.managed_fields_mut().clear();
            slim(object);
        });
        let events = events.inspect_ok(move |event| {
            keep(event);
            if matches!(event, watcher::Event::InitDone)
                && let Some(note_arrival) = arrival.take()
            {
                note_arrival();
            }
        });
        events.boxed()
    }
}

/// What is asked of pods is whose they are, where they are and how they do.
fn keep_state_of_pod(pod: &mut Pod) {
    pod.spec = None;
    pod.metadata.annotations = None;
    pod.metadata.owner_references = None;
}

/// Changes of the status are our own and wake nobody.
fn what_matters(pipeline: &CryptoPipeline) -> Option<u64> {
    let metadata = &pipeline.metadata;
    let mut hasher = DefaultHasher::new();
    metadata.generation.hash(&mut hasher);
    metadata.annotations.hash(&mut hasher);
    metadata.finalizers.hash(&mut hasher);
    metadata.deletion_timestamp.is_some().hash(&mut hasher);
    Some(hasher.finish())
}

fn receiver_stream<T>(receiver: mpsc::UnboundedReceiver<T>) -> impl Stream<Item = T> {
    futures::stream::unfold(receiver, async |mut receiver| Some((receiver.recv().await?, receiver)))
}

fn on_failure(_: Arc<CryptoPipeline>, error: &ReconcileError, context: Arc<Context>) -> Action {
    context.metrics.reconcile_failed(error.reason());
    Action::requeue(AFTER_FAILURE)
}

/// What the reconciler itself met it has logged itself; an object that is gone needs nothing any more.
fn log_queue_failure<T>(outcome: Result<T, Error<ReconcileError, watcher::Error>>) {
    if let Err(Error::QueueError(error)) = outcome {
        tracing::warn!(error_text = error_chain(&error), "a watch was interrupted");
    }
}
