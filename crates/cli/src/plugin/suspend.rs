//! `kubectl cryptopipeline suspend` and `resume`: sets one field, and waits until it has come true.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use crds::condition::{ConditionKind, Reason};
use crds::{CryptoPipeline, CryptoPipelineStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::Api;
use kube::api::{Patch, PatchParams};
use runtime::error_chain::error_chain;
use runtime::shutdown;
use serde_json::json;

use super::Target;
use super::status::{condition, speaks_of_this_generation};
use crate::duration::positive_duration;
use crate::output::{FOUND_WRONG, Format, FormatOptions, print, tell, write_json};

/// Who sets the field, as `metadata.managedFields` shows it.
const FIELD_MANAGER: &str = "kubectl-cryptopipeline";
const BETWEEN_LOOKS: Duration = Duration::from_millis(500);
/// What a shell reports of a program that Ctrl-C ended.
const INTERRUPTED: u8 = 130;

#[derive(Args)]
pub(super) struct SuspendArguments {
    #[command(flatten)]
    target: Target,
    /// Whether to wait until it has come true.
    #[arg(long, value_name = "true|false", default_value_t = true, action = clap::ArgAction::Set)]
    wait: bool,
    /// How long to wait at most; what was asked for stays asked for.
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = positive_duration)]
    timeout: Duration,
    #[command(flatten)]
    format: FormatOptions,
}

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    Suspend,
    Resume,
}

/// How the wait ended.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Outcome {
    /// As was asked for.
    Reached,
    /// Nobody waited.
    NotWaited,
    /// It does not go on by itself.
    Stalled(String),
    TimedOut,
    Interrupted,
}

/// Sets the field and waits.
pub(super) async fn run(arguments: SuspendArguments, wish: Wish) -> anyhow::Result<ExitCode> {
    let SuspendArguments { target, wait, timeout, format } = arguments;
    let cluster = target.cluster.connect().await?;
    let before = cluster.pipeline(&target.name).await?;
    let pipelines = cluster.pipelines();
    let patched = wish.set(&pipelines, &target.name).await?;
    if before.spec.suspend == patched.spec.suspend {
        tell(format!("spec.suspend was {} already", patched.spec.suspend));
    }
    let outcome = if wait {
        let interrupted = shutdown::on_signals().context("signal handlers cannot be installed")?;
        let waited = tokio::time::timeout(timeout, wish.until_true(&pipelines, &target.name, &patched));
        match interrupted.run_until_cancelled(waited).await {
            Some(Ok(outcome)) => outcome?,
            Some(Err(_)) => Outcome::TimedOut,
            None => Outcome::Interrupted,
        }
    } else {
        Outcome::NotWaited
    };
    let name = format!("{} in namespace {}", target.name, cluster.namespace);
    let text = wish.describe(&outcome, &name);
    print(|out| match format.output {
        Format::Table => writeln!(out, "{text}"),
        Format::Json => {
            let answer = json!({
                "namespace": cluster.namespace,
                "pipeline": target.name,
                "suspend": wish.value(),
                "reached": outcome == Outcome::Reached,
                "message": text,
            });
            write_json(&answer, out)
        }
    })?;
    Ok(match outcome {
        Outcome::Reached | Outcome::NotWaited => ExitCode::SUCCESS,
        Outcome::Stalled(_) | Outcome::TimedOut => FOUND_WRONG.into(),
        Outcome::Interrupted => INTERRUPTED.into(),
    })
}

impl Wish {
    const fn value(self) -> bool {
        matches!(self, Self::Suspend)
    }

    /// This field and no other, so that whoever keeps the manifest elsewhere sees what was changed and by whom.
    async fn set(self, pipelines: &Api<CryptoPipeline>, name: &str) -> anyhow::Result<CryptoPipeline> {
        let params = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
        let patch = json!({"spec": {"suspend": self.value()}});
        let patched = pipelines.patch(name, &params, &Patch::Merge(patch)).await;
        patched.context("cannot set spec.suspend")
    }

    async fn until_true(
        self,
        pipelines: &Api<CryptoPipeline>,
        name: &str,
        patched: &CryptoPipeline,
    ) -> anyhow::Result<Outcome> {
        let mut last_told = None;
        loop {
            let found = match pipelines.get_opt(name).await {
                Err(error) if !matches!(error, kube::Error::Api(_)) => {
                    // The API server may be back before the time is over.
                    let trouble = Some(format!("the API server does not answer: {}", error_chain(&error)));
                    tell_news(trouble, &mut last_told);
                    tokio::time::sleep(BETWEEN_LOOKS).await;
                    continue;
                }
                found => found.context("cannot read the CryptoPipeline")?,
            };
            let pipeline = found
                .filter(|found| found.metadata.uid == patched.metadata.uid)
                .context("the CryptoPipeline was deleted meanwhile")?;
            anyhow::ensure!(
                pipeline.spec.suspend == self.value(),
                "somebody has set spec.suspend to {} meanwhile",
                pipeline.spec.suspend
            );
            if let Some(status) = pipeline.status.as_ref().filter(|_| speaks_of_this_generation(&pipeline)) {
                if self.is_true(status) {
                    return Ok(Outcome::Reached);
                }
                if let Some(stalled) =
                    condition(status, ConditionKind::Stalled).filter(|it| it.status == "True")
                {
                    return Ok(Outcome::Stalled(said(stalled)));
                }
                tell_news(self.progress(status), &mut last_told);
            }
            tokio::time::sleep(BETWEEN_LOOKS).await;
        }
    }

    fn is_true(self, status: &CryptoPipelineStatus) -> bool {
        let has_stopped =
            |kind| condition(status, kind).is_some_and(|it| it.reason == Reason::Suspended.to_string());
        match self {
            Self::Suspend => {
                has_stopped(ConditionKind::ProducersReady) && has_stopped(ConditionKind::AggregatorsReady)
            }
            Self::Resume => condition(status, ConditionKind::Ready).is_some_and(|it| it.status == "True"),
        }
    }

    /// What it waits for.
    fn progress(self, status: &CryptoPipelineStatus) -> Option<String> {
        let kinds: &[ConditionKind] = match self {
            Self::Suspend => &[ConditionKind::AggregatorsReady, ConditionKind::ProducersReady],
            Self::Resume => &[ConditionKind::Ready],
        };
        let mut waits_for = kinds.iter().filter_map(|kind| condition(status, *kind));
        waits_for.find(|it| it.reason != Reason::Suspended.to_string()).map(said)
    }

    fn describe(self, outcome: &Outcome, name: &str) -> String {
        let (done, asked, wished) = match self {
            Self::Suspend => {
                ("is suspended: everything is read, and its workers have stopped", "suspended", "has stopped")
            }
            Self::Resume => ("is Ready", "resumed", "is Ready"),
        };
        let value = self.value();
        match outcome {
            Outcome::Reached => format!("{name} {done}"),
            Outcome::NotWaited => format!("{name} is asked to be {asked}"),
            Outcome::Stalled(why) => {
                format!("{name} is asked to be {asked}, and that does not go on by itself: {why}")
            }
            Outcome::TimedOut => format!(
                "{name} is asked to be {asked}; it was not waited any longer until it {wished}, spec.suspend stays {value}"
            ),
            Outcome::Interrupted => format!(
                "{name} is left as asked: spec.suspend stays {value}, and the operator goes on until it {wished}"
            ),
        }
    }
}

fn tell_news(news: Option<String>, last_told: &mut Option<String>) {
    if let Some(text) = news.as_ref().filter(|_| news != *last_told) {
        tell(text);
        *last_told = news;
    }
}

fn said(condition: &Condition) -> String {
    format!("{}={} ({}): {}", condition.type_, condition.status, condition.reason, condition.message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(conditions: &[(&str, &str, &str, &str)]) -> CryptoPipelineStatus {
        let condition = |(kind, status, reason, message): &(&str, &str, &str, &str)| {
            json!({"type": kind, "status": status, "reason": reason, "message": message,
                   "lastTransitionTime": "2026-01-01T00:00:00Z"})
        };
        let conditions: Vec<_> = conditions.iter().map(condition).collect();
        serde_json::from_value(json!({"conditions": conditions})).unwrap()
    }

    #[test]
    fn it_is_suspended_once_both_roles_have_stopped() {
        let draining = status(&[
            ("ProducersReady", "False", "Suspended", "stopped"),
            (
                "AggregatorsReady",
                "False",
                "Draining",
                "3 pods go on until everything is read: 1,203 records are left",
            ),
            ("Ready", "False", "Suspended", "stopped"),
        ]);
        assert!(!Wish::Suspend.is_true(&draining));
        let progress = Wish::Suspend.progress(&draining).unwrap();
        assert!(
            progress.ends_with("(Draining): 3 pods go on until everything is read: 1,203 records are left"),
            "{progress}"
        );
        let stopped = status(&[
            ("ProducersReady", "False", "Suspended", "stopped"),
            ("AggregatorsReady", "False", "Suspended", "stopped"),
        ]);
        assert!(Wish::Suspend.is_true(&stopped));
        assert_eq!(Wish::Suspend.progress(&stopped), None);
        assert!(!Wish::Suspend.is_true(&CryptoPipelineStatus::default()));
    }

    #[test]
    fn it_is_resumed_once_it_is_ready() {
        let starting = status(&[("Ready", "False", "PodsStarting", "0 of 3 pods are ready")]);
        assert!(!Wish::Resume.is_true(&starting));
        assert_eq!(
            Wish::Resume.progress(&starting).as_deref(),
            Some("Ready=False (PodsStarting): 0 of 3 pods are ready")
        );
        assert!(Wish::Resume.is_true(&status(&[("Ready", "True", "AllReady", "all is ready")])));
    }
}
