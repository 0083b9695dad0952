//! How a cluster is reached: as kubectl does it.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;
use crds::CryptoPipeline;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config};

/// Where in which cluster.
#[derive(Args, Clone, Debug)]
pub(crate) struct ClusterArguments {
    /// The namespace; that of the context unless told.
    #[arg(short, long)]
    namespace: Option<String>,
    /// How to reach the cluster; as kubectl finds it unless told.
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// The context of the kubeconfig; its current one unless told.
    #[arg(long)]
    context: Option<String>,
}

/// A cluster, and the namespace that is meant.
#[derive(Clone)]
pub(crate) struct Cluster {
    pub(crate) client: Client,
    pub(crate) namespace: String,
}

impl ClusterArguments {
    /// Reads the kubeconfig; nothing is asked of the cluster yet.
    pub(crate) async fn connect(&self) -> anyhow::Result<Cluster> {
        let (client, default_namespace) =
            connect(self.kubeconfig.as_deref(), self.context.as_deref()).await?;
        Ok(Cluster { client, namespace: self.namespace.clone().unwrap_or(default_namespace) })
    }
}

impl Cluster {
    pub(crate) fn pipelines(&self) -> Api<CryptoPipeline> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// The resource.
    pub(crate) async fn pipeline(&self, name: &str) -> anyhow::Result<CryptoPipeline> {
        let found = self.pipelines().get_opt(name).await.context("cannot read the CryptoPipeline")?;
        found.with_context(|| format!("there is no CryptoPipeline {name} in namespace {}", self.namespace))
    }
}

/// A client, and the namespace of its context.
pub(crate) async fn connect(
    kubeconfig: Option<&Path>,
    context: Option<&str>,
) -> anyhow::Result<(Client, String)> {
    let connected = async {
        let config = config(kubeconfig, context).await?;
        let namespace = config.default_namespace.clone();
        anyhow::Ok((Client::try_from(config)?, namespace))
    };
    connected.await.context("cannot reach the cluster")
}

async fn config(kubeconfig: Option<&Path>, context: Option<&str>) -> anyhow::Result<Config> {
    let options = KubeConfigOptions { context: context.map(str::to_owned), ..KubeConfigOptions::default() };
    Ok(match kubeconfig {
        Some(path) => {
            let kubeconfig = Kubeconfig::read_from(path)
                .with_context(|| format!("--kubeconfig {} cannot be read", path.display()))?;
            Config::from_custom_kubeconfig(kubeconfig, &options).await?
        }
        None if context.is_some() => Config::from_kubeconfig(&options).await?,
        None => Config::infer().await?,
    })
}
