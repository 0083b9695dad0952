//! What only a pipeline's database knows: asked in one of its pods, or at an address that can be reached from here.

use std::process::ExitCode;

use clap::Args;
use crds::CryptoPipeline;
use kube::ResourceExt as _;
use operator::reconcile::desired::Role;

use super::Target;
use super::exec::{command_in_pod, pass_through};
use super::worker_pods::{choose, pods_api, why_none, worker_pods};
use crate::candles::{self, CandlesOptions};
use crate::cluster::Cluster;
use crate::output::FormatOptions;
use crate::place::{Opened, REACHABLE_FROM_HERE, open_at};
use crate::{gaps, verify};

/// Who can be asked: both roles know the database; a repairer that runs out of memory delays nobody.
pub(super) const ASKED_ROLES: [Role<'static>; 2] = [Role::Repairer, Role::Aggregator];

/// A pipeline, and where its database is to be asked.
#[derive(Args)]
pub(super) struct DatabasePlace {
    #[command(flatten)]
    pub(super) target: Target,
    /// Ask the database from here, not in a pod: postgres://USER:PASSWORD@HOST:PORT/DATABASE, with TLS as its sslmode and
    /// sslrootcert say, or mysql:// with ssl-mode and ssl-ca.
    #[arg(long, value_name = "URL", env = "CRYPTOPIPELINE_DATABASE_URL", hide_env_values = true)]
    database_url: Option<String>,
}

/// What is asked, and of which pipeline.
#[derive(Args)]
pub(super) struct Asked<Options: Args> {
    #[command(flatten)]
    pub(super) place: DatabasePlace,
    #[command(flatten)]
    pub(super) options: Options,
}

/// What can be asked.
pub(super) enum Question {
    Gaps(FormatOptions),
    Candles(CandlesOptions),
    Verify(FormatOptions),
}

impl Question {
    fn command(&self) -> Vec<String> {
        match self {
            Self::Gaps(options) => command_in_pod("gaps", options.to_arguments()),
            Self::Candles(options) => command_in_pod("candles", options.to_arguments()),
            Self::Verify(options) => command_in_pod("verify", options.to_arguments()),
        }
    }

    async fn ask_from_here(self, opened: Opened) -> anyhow::Result<ExitCode> {
        match self {
            Self::Gaps(options) => gaps::run(opened, options).await,
            Self::Candles(options) => candles::run(opened, options).await,
            Self::Verify(options) => verify::run(opened, options).await,
        }
    }
}

impl DatabasePlace {
    /// The pipeline, and its database where that is to be asked from here.
    pub(super) async fn find(&self) -> anyhow::Result<(Cluster, CryptoPipeline, Option<Opened>)> {
        let cluster = self.target.cluster.connect().await?;
        let pipeline = cluster.pipeline(&self.target.name).await?;
        let opened = match &self.database_url {
            Some(url) => Some(open_at(&pipeline.spec, &url.as_str().into(), REACHABLE_FROM_HERE).await?),
            None => None,
        };
        Ok((cluster, pipeline, opened))
    }
}

/// Asks, and prints the answer.
pub(super) async fn run(place: DatabasePlace, question: Question) -> anyhow::Result<ExitCode> {
    let (cluster, pipeline, opened) = place.find().await?;
    match opened {
        Some(opened) => question.ask_from_here(opened).await,
        None => {
            let pod = pod_to_ask(&cluster, &pipeline, &ASKED_ROLES).await?;
            Ok(pass_through(&pods_api(&cluster), &pod, question.command()).await?.into())
        }
    }
}

/// The name of a pod of these roles that runs.
pub(super) async fn pod_to_ask(
    cluster: &Cluster,
    pipeline: &CryptoPipeline,
    roles: &[Role<'_>],
) -> anyhow::Result<String> {
    let pods = worker_pods(cluster, &pipeline.name_any()).await?;
    let pod = choose(&pods, roles).ok_or_else(|| anyhow::Error::msg(why_none(pipeline, roles)))?;
    Ok(pod.name_any())
}
