//! Where a pipeline's database is: beside the manifest, where the manifest says, or where a cluster's Secret says.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use crds::CryptoPipeline;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config};
use operator::reconcile::observe::secrets::{SecretProblem, Secrets};
use store::{ConnectOptions, DatabaseConnection, LATEST_SCHEMA_VERSION, Store};

use crate::manifest::Manifest;

/// A manifest, and where the database is that it names.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct ManifestArguments {
    /// The manifest: YAML with one CryptoPipeline, and the Secrets of its broker and database if you like.
    #[arg(value_name = "FILE")]
    pub(crate) manifest: PathBuf,
    /// The database of a manifest that names one: postgres://USER:PASSWORD@HOST:PORT/DATABASE, with TLS as its sslmode and
    /// sslrootcert say. Without it, the Secrets that the manifest refers to must stand in the same file.
    #[arg(long, value_name = "URL", env = "DATABASE_URL", hide_env_values = true)]
    pub(crate) database_url: Option<String>,
}

/// A pipeline on this machine or in a cluster.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct PipelineArguments {
    /// The manifest: YAML with one CryptoPipeline, and the Secret of its database if you like. With -n: the name of a
    /// pipeline in a cluster.
    #[arg(value_name = "FILE|NAME")]
    pipeline: String,
    /// The namespace of a pipeline in a cluster; its database must be reachable from here.
    #[arg(short, long)]
    namespace: Option<String>,
    /// How to reach the cluster; as kubectl finds it unless told.
    #[arg(long, value_name = "FILE", requires = "namespace")]
    kubeconfig: Option<PathBuf>,
    /// The context of the kubeconfig; its current one unless told.
    #[arg(long, requires = "namespace")]
    context: Option<String>,
    /// The database, where the Secret's address is not to be reached from here, or there is no Secret:
    /// postgres://USER:PASSWORD@HOST:PORT/DATABASE, with TLS as its sslmode and sslrootcert say.
    #[arg(long, value_name = "URL", env = "DATABASE_URL", hide_env_values = true)]
    database_url: Option<String>,
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
pub(crate) async fn open_store(arguments: PipelineArguments) -> anyhow::Result<(CryptoPipeline, Store)> {
    let (pipeline, connection, hint) = match arguments.namespace.clone() {
        Some(namespace) => in_cluster(&arguments, &namespace).await?,
        None => {
            let PipelineArguments { pipeline, database_url, .. } = arguments;
            let manifest = ManifestArguments { manifest: pipeline.into(), database_url };
            let (manifest, place) = open(&manifest)?;
            (manifest.pipeline, place.connection, "has it run yet?".to_owned())
        }
    };
    let schema = pipeline.spec.database.as_ref().map_or("market", |database| &database.schema);
    let store = Store::connect(&connection, schema, ConnectOptions::default()).await;
    let store = store.with_context(|| format!("cannot open the pipeline's database; {hint}"))?;
    if !store.is_usable().await? {
        let version = store.schema_version().await?;
        bail!(
            "the schema is at version {}, this program needs {LATEST_SCHEMA_VERSION}: it is brought there when the pipeline runs",
            version.map_or_else(|| "none".to_owned(), |version| version.to_string())
        );
    }
    Ok((pipeline, store))
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

/// The resource, its database, and what to do where that does not answer.
async fn in_cluster(
    arguments: &PipelineArguments,
    namespace: &str,
) -> anyhow::Result<(CryptoPipeline, DatabaseConnection, String)> {
    let name = &arguments.pipeline;
    let client = cluster_client(arguments).await.context("cannot reach the cluster")?;
    let pipelines: Api<CryptoPipeline> = Api::namespaced(client.clone(), namespace);
    let found = pipelines.get_opt(name).await.context("cannot read the CryptoPipeline")?;
    let pipeline =
        found.with_context(|| format!("there is no CryptoPipeline {name} in namespace {namespace}"))?;
    let Some(database) = &pipeline.spec.database else {
        bail!("CryptoPipeline {name} in namespace {namespace} has no spec.database");
    };
    let connection = match &arguments.database_url {
        Some(url) => url.as_str().into(),
        None => {
            let secrets = Secrets::read(&client, namespace, &pipeline.spec).await;
            secrets.worker_connection(database).map_err(|problem| {
                anyhow::anyhow!("in namespace {namespace}: {}; or give --database-url", problem.message)
            })?
        }
    };
    let hint = "its address must be reachable from here: if it is one of the cluster's own, make it so with `kubectl \
                port-forward` and give --database-url";
    Ok((pipeline, connection, hint.to_owned()))
}

async fn cluster_client(arguments: &PipelineArguments) -> anyhow::Result<Client> {
    let options = KubeConfigOptions { context: arguments.context.clone(), ..KubeConfigOptions::default() };
    let config = match &arguments.kubeconfig {
        Some(path) => {
            let kubeconfig = Kubeconfig::read_from(path)
                .with_context(|| format!("--kubeconfig {} cannot be read", path.display()))?;
            Config::from_custom_kubeconfig(kubeconfig, &options).await?
        }
        None if arguments.context.is_some() => Config::from_kubeconfig(&options).await?,
        None => Config::infer().await?,
    };
    Ok(Client::try_from(config)?)
}
