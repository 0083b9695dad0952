//! The pipelines of a namespace, or of all.

use std::io::{self, Write};
use std::process::ExitCode;

use anyhow::Context as _;
use crds::CryptoPipeline;
use kube::Api;
use kube::api::ListParams;

use super::exit_code;
use super::health::{Health, Readiness};
use crate::cluster::Cluster;
use crate::output::{Format, or_unknown, print, tell, write_json};
use crate::table::{self, Column};

/// Prints a line for each; the exit code is that of the worst.
pub(super) async fn run(cluster: &Cluster, all_namespaces: bool, format: Format) -> anyhow::Result<ExitCode> {
    let pipelines: Api<CryptoPipeline> =
        if all_namespaces { Api::all(cluster.client.clone()) } else { cluster.pipelines() };
    let listed = pipelines.list(&ListParams::default()).await.context("cannot list the CryptoPipelines")?;
    let health: Vec<Health> = listed.iter().map(Health::of).collect();
    if health.is_empty() {
        tell(if all_namespaces {
            "there are no CryptoPipelines".to_owned()
        } else {
            format!("there are no CryptoPipelines in namespace {}", cluster.namespace)
        });
    }
    print(|out| match format {
        Format::Table if health.is_empty() => Ok(()),
        Format::Table => write_table(&health, all_namespaces, out),
        Format::Json => write_json(&health, out),
    })?;
    // Where there are none, none is Ready.
    let worst = health.iter().map(|health| health.readiness).max();
    Ok(exit_code(worst.unwrap_or(Readiness::Unknown)))
}

fn write_table(health: &[Health], all_namespaces: bool, mut out: &mut dyn Write) -> io::Result<()> {
    let namespace = all_namespaces.then_some(Column::Left("NAMESPACE"));
    let columns = [
        Column::Left("NAME"),
        Column::Left("READY"),
        Column::Left("REASON"),
        Column::Right("SYMBOLS"),
        Column::Right("PARTITIONS"),
        Column::Right("AGGREGATORS"),
        Column::Right("LAG"),
        Column::Right("MISSING"),
    ];
    let columns: Vec<Column> = namespace.into_iter().chain(columns).collect();
    let row = |health: &Health| {
        let ready = match health.readiness {
            Readiness::Ready => "True",
            Readiness::NotReady => "False",
            Readiness::Unknown => "Unknown",
        };
        let reason = match &health.outdated {
            Some(_) => Some("Outdated".to_owned()),
            None => health.reason.clone(),
        };
        let cells = [
            health.pipeline.clone(),
            ready.to_owned(),
            reason.unwrap_or_default(),
            or_unknown(health.symbols),
            or_unknown(health.partitions),
            format!("{}/{}", health.aggregators.ready, health.aggregators.desired),
            or_unknown(health.lag),
            or_unknown(health.missing_trades),
        ];
        all_namespaces.then(|| health.namespace.clone()).into_iter().chain(cells).collect()
    };
    table::write(&columns, &health.iter().map(row).collect::<Vec<Vec<String>>>(), &mut out)
}
