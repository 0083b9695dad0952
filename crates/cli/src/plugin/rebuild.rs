//! `kubectl cryptopipeline rebuild`: by the repairer's pod, which brings back what is removed.

use std::process::ExitCode;

use clap::Args;
use operator::reconcile::desired::Role;

use super::exec::{capture, command_in_pod, pass_through};
use super::question::{Asked, pod_to_ask};
use super::worker_pods::pods_api;
use crate::confirm::{confirm, ensure_a_person};
use crate::output::tell;
use crate::rebuild::{self, Consent, QUESTION, RebuildOptions};

#[derive(Args)]
pub(super) struct RebuildArguments {
    #[command(flatten)]
    asked: Asked<RebuildOptions>,
    #[command(flatten)]
    consent: Consent,
}

/// Shows what would be removed, or removes it and says what it was.
pub(super) async fn run(arguments: RebuildArguments) -> anyhow::Result<ExitCode> {
    let RebuildArguments { asked: Asked { place, options }, consent } = arguments;
    options.check()?;
    let is_asked = !consent.yes && !consent.dry_run;
    if is_asked {
        ensure_a_person()?;
    }
    let (cluster, pipeline, opened) = place.find().await?;
    if let Some(opened) = opened {
        return rebuild::run(opened, options, consent).await;
    }
    let pod = pod_to_ask(&cluster, &pipeline, &[Role::Repairer]).await?;
    let pods = pods_api(&cluster);
    let command = |options: &RebuildOptions, consent: &str| {
        let mut arguments = options.to_arguments();
        arguments.push(consent.to_owned());
        command_in_pod("rebuild", arguments)
    };
    if is_asked {
        // For the person who is asked, whatever the answer is printed as.
        let preview = capture(&pods, &pod, command(&options.for_people(), "--dry-run")).await?;
        tell(format!("{}{}", preview.stdout, preview.stderr).trim_end());
        if preview.exit_code != 0 {
            return Ok(preview.exit_code.into());
        }
        confirm(QUESTION)?;
    }
    let consent = if consent.dry_run { "--dry-run" } else { "--yes" };
    Ok(pass_through(&pods, &pod, command(&options, consent)).await?.into())
}
