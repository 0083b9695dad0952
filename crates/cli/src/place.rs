//! Where a pipeline's database is: beside the manifest, where the manifest says, where a cluster's Secret says, or, in a
//! worker's pod, where the worker finds it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use crds::worker_settings::{SourceSettings, TlsFiles};
use crds::{CryptoPipeline, CryptoPipelineSpec};
use market::Market;
use operator::reconcile::observe::secrets::{SecretProblem, Secrets};
use operator::reconcile::plan::trade_markets;
use serde::Deserialize;
use store::{ConnectOptions, DatabaseConnection, LATEST_SCHEMA_VERSION, Store};

use crate::cluster::{self, Cluster};
use crate::manifest::Manifest;

/// A manifest, and where the database is that it names.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct ManifestArguments {
    /// The manifest: YAML with one CryptoPipeline, and the Secrets of its broker and database if you like.
    #[arg(value_name = "FILE")]
    pub(crate) manifest: PathBuf,
    /// The database of a manifest that names one: postgres://USER:PASSWORD@HOST:PORT/DATABASE, with TLS as its sslmode and
    /// sslrootcert say, or mysql:// with ssl-mode and ssl-ca. Without it, the Secrets that the manifest refers to must stand in the same file.
    #[arg(long, value_name = "URL", env = "DATABASE_URL", hide_env_values = true)]
    pub(crate) database_url: Option<String>,
}

/// A pipeline on this machine or in a cluster.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct PipelineArguments {
    /// The manifest: YAML with one CryptoPipeline, and the Secret of its database if you like. With -n: the name of a
    /// pipeline in a cluster.
    #[arg(value_name = "FILE|NAME", required_unless_present = "settings")]
    pipeline: Option<String>,
    /// The namespace of a pipeline in a cluster; its database must be reachable from here.
    #[arg(short, long)]
    namespace: Option<String>,
    /// How to reach the cluster; as kubectl finds it unless told.
    #[arg(long, value_name = "FILE", requires = "namespace")]
    kubeconfig: Option<PathBuf>,
    /// The context of the kubeconfig; its current one unless told.
    #[arg(long, requires = "namespace")]
    context: Option<String>,
    /// In a worker's pod, in place of a name: the worker's own settings. The kubectl plugin asks so.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["pipeline", "namespace"], requires = "database_url")]
    settings: Option<PathBuf>,
    /// The database, where the Secret's address is not to be reached from here, or there is no Secret:
    /// postgres://USER:PASSWORD@HOST:PORT/DATABASE, with TLS as its sslmode and sslrootcert say, or mysql:// with ssl-mode and ssl-ca.
    #[arg(long, value_name = "URL", env = "DATABASE_URL", hide_env_values = true)]
    database_url: Option<String>,
}

/// A pipeline whose database answers.
pub(crate) struct Opened {
    pub(crate) store: Store,
    /// Its symbols at their venues.
    pub(crate) markets: BTreeSet<Market>,
    /// Whether anybody asks the exchange for what is missing.
    pub(crate) has_repairer: bool,
    /// Whether this program runs beside a worker, and shares its memory.
    pub(crate) is_in_a_pod: bool,
}

/// A database, and whether it is a file of ours to make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DatabasePlace {
    pub(crate) connection: DatabaseConnection,
    pub(crate) is_own_file: bool,
}

/// The manifest and its database.
pub(crate) fn open(arguments: &ManifestArguments) -> anyhow::Result<(Manifest, DatabasePlace)> {
    let manifest = Manifest::read(&arguments.manifest)?;
    let place = database(arguments, &manifest).context("the database cannot be found")?;
    Ok((manifest, place))
}

/// The pipeline and its database, whose tables are those that this program knows.
pub(crate) async fn open_store(arguments: PipelineArguments) -> anyhow::Result<Opened> {
    if let (Some(settings), Some(url)) = (&arguments.settings, &arguments.database_url) {
        return in_a_pod(settings, url).await;
    }
    let name = arguments.pipeline.clone().unwrap_or_default();
    let (pipeline, connection, hint) = match &arguments.namespace {
        Some(namespace) => in_cluster(&arguments, namespace, &name).await?,
        None => {
            let PipelineArguments { database_url, .. } = arguments;
            let manifest = ManifestArguments { manifest: name.into(), database_url };
            let (manifest, place) = open(&manifest)?;
            (manifest.pipeline, place.connection, "has it run yet?")
        }
    };
    open_at(&pipeline.spec, &connection, hint).await
}

/// A pipeline whose database is at `connection`.
pub(crate) async fn open_at(
    spec: &CryptoPipelineSpec,
    connection: &DatabaseConnection,
    hint: &str,
) -> anyhow::Result<Opened> {
    let schema = spec.database.as_ref().map_or("market", |database| &database.schema);
    Ok(Opened {
        store: connect_store(connection, schema, hint).await?,
        markets: trade_markets(spec),
        has_repairer: spec.has_repairer(),
        is_in_a_pod: false,
    })
}

/// What of the settings of an aggregator and of a repairer matters here.
#[derive(Deserialize)]
struct WorkerSettings {
    database: LedgerOf,
    /// A repairer's alone.
    sources: Option<Vec<SourceSettings>>,
}

#[derive(Deserialize)]
struct LedgerOf {
    schema: String,
    tls: Option<TlsFiles>,
}

/// The pipeline of the worker in whose pod this runs.
async fn in_a_pod(settings: &Path, url: &str) -> anyhow::Result<Opened> {
    let problem = || format!("--settings {} cannot be used", settings.display());
    let text = std::fs::read_to_string(settings).with_context(problem)?;
    let WorkerSettings { database, sources } = serde_yaml::from_str(&text).with_context(problem)?;
    let connection = worker::credentials::database_connection(url.to_owned(), database.tls.as_ref())?;
    let market_of = |source: SourceSettings| {
        let venue = source.venue;
        source.symbols.into_iter().map(move |symbol| Market::new(venue.clone(), symbol))
    };
    Ok(Opened {
        store: connect_store(&connection, &database.schema, "does the worker reach it?").await?,
        has_repairer: sources.is_some(),
        markets: sources.into_iter().flatten().flat_map(market_of).collect(),
        is_in_a_pod: true,
    })
}

async fn connect_store(connection: &DatabaseConnection, schema: &str, hint: &str) -> anyhow::Result<Store> {
    let store = Store::connect(connection, schema, ConnectOptions::default()).await;
    let store = store.with_context(|| format!("cannot open the pipeline's database; {hint}"))?;
    if !store.is_usable().await? {
        let version = store.schema_version().await?;
        bail!(
            "the schema is at version {}, this program needs {LATEST_SCHEMA_VERSION}: it is brought there when the pipeline runs",
            version.map_or_else(|| "none".to_owned(), |version| version.to_string())
        );
    }
    Ok(store)
}

/// The database that the manifest names, or the SQLite file `NAME.db` beside it.
pub(crate) fn database(arguments: &ManifestArguments, manifest: &Manifest) -> anyhow::Result<DatabasePlace> {
    let Some(database) = &manifest.pipeline.spec.database else {
        let name = manifest.pipeline.metadata.name.as_deref().unwrap_or("market");
        let folder = arguments.manifest.parent().filter(|folder| !folder.as_os_str().is_empty());
        let path = folder.unwrap_or(Path::new(".")).join(format!("{name}.db"));
        let connection = format!("sqlite://{}", path.display()).into();
        return Ok(DatabasePlace { connection, is_own_file: true });
    };
    let connection = match &arguments.database_url {
        Some(url) => url.as_str().into(),
        // The tables are made by the same process that fills them.
        None => manifest.secrets().database_access(database).map_err(not_in_the_file)?.admin,
    };
    Ok(DatabasePlace { connection, is_own_file: false })
}

/// What can be done where a manifest names a Secret and there is no cluster to read it from.
pub(crate) fn not_in_the_file(problem: SecretProblem) -> anyhow::Error {
    anyhow::anyhow!(
        "{}; there is no cluster to read it from: put the Secret into the same file, or give --database-url if it is the \
         database's",
        problem.message
    )
}

/// What to do where the database of a cluster's pipeline does not answer.
pub(crate) const REACHABLE_FROM_HERE: &str = "its address must be reachable from here: if it is one of the cluster's own, make it \
     so with `kubectl port-forward` and give --database-url";

/// The resource, its database, and what to do where that does not answer.
async fn in_cluster(
    arguments: &PipelineArguments,
    namespace: &str,
    name: &str,
) -> anyhow::Result<(CryptoPipeline, DatabaseConnection, &'static str)> {
    let (client, _) = cluster::connect(arguments.kubeconfig.as_deref(), arguments.context.as_deref()).await?;
    let cluster = Cluster { client, namespace: namespace.to_owned() };
    let pipeline = cluster.pipeline(name).await?;
    let Some(database) = &pipeline.spec.database else {
        bail!("CryptoPipeline {name} in namespace {namespace} has no spec.database");
    };
    let connection = match &arguments.database_url {
        Some(url) => url.as_str().into(),
        None => {
            let secrets = Secrets::read(&cluster.client, namespace, &pipeline.spec).await;
            secrets.worker_connection(database).map_err(|problem| {
                anyhow::anyhow!("in namespace {namespace}: {}; or give --database-url", problem.message)
            })?
        }
    };
    Ok((pipeline, connection, REACHABLE_FROM_HERE))
}

#[cfg(test)]
mod tests {
    use crds::worker_settings::{AggregatorSettings, RepairerSettings};

    use super::*;

    const KAFKA: &str = "kafka: {bootstrapServers: 'kafka:9092', topic: trades}";
    const PIPELINE: &str = "pipeline: {namespace: a, name: b, uid: c}";

    /// Of what the operator writes.
    fn read<S: serde::Serialize + serde::de::DeserializeOwned>(text: &str) -> WorkerSettings {
        let settings: S = serde_yaml::from_str(text).unwrap();
        serde_yaml::from_str(&serde_yaml::to_string(&settings).unwrap()).unwrap()
    }

    #[test]
    fn the_settings_of_both_roles_say_where_the_schema_is() {
        let aggregator = read::<AggregatorSettings>(&format!(
            "{PIPELINE}\n{KAFKA}\ndatabase: {{schema: market, tradesRetentionS: 5, tls: {{caFile: /ca.pem}}}}\n\
             aggregation: {{intervals: [1m], storeTrades: true, flushIntervalMs: 100}}\n"
        ));
        assert_eq!(aggregator.database.schema, "market");
        assert_eq!(aggregator.database.tls.unwrap().ca_file, Some("/ca.pem".into()));
        assert!(aggregator.sources.is_none());
        let repairer = read::<RepairerSettings>(&format!(
            "{PIPELINE}\n{KAFKA}\ndatabase: {{schema: market}}\nsources:\n- {{name: a, exchange: binance, venue: spot, \
             symbols: [BTCUSDT], websocketUrl: 'ws://a', restUrl: 'http://a'}}\n"
        ));
        assert_eq!(repairer.sources.unwrap()[0].venue, "spot");
    }
}
