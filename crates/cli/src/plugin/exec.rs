//! Runs `cryptopipeline` in a worker's pod: with its settings, its credentials and its rights in the database, and with
//! output and exit code passed on.

use std::io;

use anyhow::{Context as _, bail};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Status;
use kube::Api;
use kube::api::AttachParams;
use operator::reconcile::desired::{WORKER_CONTAINER, settings_path};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};

/// Bytes on their way from the pod.
const BUFFER: usize = 64 * 1024;

/// What a command in a pod has printed, and how it ended.
pub(super) struct Captured {
    pub(super) stdout: String,
    pub(super) stderr: String,
    pub(super) exit_code: u8,
}

/// `cryptopipeline VERB`, for the pipeline of the worker beside it.
pub(super) fn command_in_pod(verb: &str, arguments: Vec<String>) -> Vec<String> {
    let beginning = ["cryptopipeline", verb, "--settings", &settings_path()].map(str::to_owned);
    beginning.into_iter().chain(arguments).collect()
}

/// Runs a command and passes on what it prints; the exit code is the command's own.
pub(super) async fn pass_through(pods: &Api<Pod>, pod: &str, command: Vec<String>) -> anyhow::Result<u8> {
    run(pods, pod, command, tokio::io::stdout(), tokio::io::stderr()).await
}

/// Runs a command and keeps what it prints.
pub(super) async fn capture(pods: &Api<Pod>, pod: &str, command: Vec<String>) -> anyhow::Result<Captured> {
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    let exit_code = run(pods, pod, command, &mut stdout, &mut stderr).await?;
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Ok(Captured { stdout: text(stdout), stderr: text(stderr), exit_code })
}

async fn run(
    pods: &Api<Pod>,
    pod: &str,
    command: Vec<String>,
    stdout: impl AsyncWrite + Unpin,
    stderr: impl AsyncWrite + Unpin,
) -> anyhow::Result<u8> {
    let params = AttachParams {
        container: Some(WORKER_CONTAINER.to_owned()),
        max_stdout_buf_size: Some(BUFFER),
        max_stderr_buf_size: Some(BUFFER),
        ..AttachParams::default()
    };
    let process = pods.exec(pod, command, &params).await;
    let mut process = process.with_context(|| format!("cannot run a command in pod {pod}"))?;
    let (from_stdout, from_stderr) = (process.stdout(), process.stderr());
    let status = process.take_status();
    // Side by side: a command that waits for one of them to be read would stop.
    let copied = tokio::try_join!(copy(from_stdout, stdout), copy(from_stderr, stderr));
    match copied {
        // Whoever reads may have seen enough, as `head` does.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(0),
        copied => copied.with_context(|| format!("the output of pod {pod} cannot be passed on"))?,
    };
    let status = match status {
        Some(status) => status.await,
        None => None,
    };
    let status =
        status.with_context(|| format!("the connection to pod {pod} ended before the command did"))?;
    exit_code(&status).with_context(|| format!("pod {pod} did not run the command"))
}

async fn copy(from: Option<impl AsyncRead + Unpin>, mut to: impl AsyncWrite + Unpin) -> io::Result<()> {
    if let Some(mut from) = from {
        tokio::io::copy(&mut from, &mut to).await?;
    }
    to.flush().await
}

/// How the command ended, as the kubelet tells it.
fn exit_code(status: &Status) -> anyhow::Result<u8> {
    if status.status.as_deref() == Some("Success") {
        return Ok(0);
    }
    let causes = status.details.iter().flat_map(|details| details.causes.iter().flatten());
    let mut codes = causes.filter(|cause| cause.reason.as_deref() == Some("ExitCode"));
    match codes.next().and_then(|cause| cause.message.as_ref()?.parse::<i32>().ok()) {
        Some(code) => Ok(u8::try_from(code).unwrap_or(1)),
        None => bail!("{}", status.message.as_deref().unwrap_or("it does not say why")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn ended(status: serde_json::Value) -> Result<u8, String> {
        exit_code(&serde_json::from_value(status).unwrap()).map_err(|error| error.to_string())
    }

    #[test]
    fn the_exit_code_is_the_commands_own() {
        assert_eq!(ended(json!({"metadata": {}, "status": "Success"})), Ok(0));
        let failure = json!({
            "metadata": {},
            "status": "Failure",
            "reason": "NonZeroExitCode",
            "message": "command terminated with non-zero exit code",
            "details": {"causes": [{"reason": "ExitCode", "message": "3"}]},
        });
        assert_eq!(ended(failure), Ok(3));
        let missing =
            json!({"metadata": {}, "status": "Failure", "message": "executable file not found in $PATH"});
        assert_eq!(ended(missing), Err("executable file not found in $PATH".to_owned()));
    }
}
