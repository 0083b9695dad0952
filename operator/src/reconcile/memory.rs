//! What the operator remembers of a pipeline between two reconciles. Nothing of it is needed for correctness: a
//! restarted operator waits a little longer before it counts a hole, and applies every object once.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crds::{CryptoPipeline, CryptoPipelineStatus};
use jiff::Timestamp;
use kube::ResourceExt;
use tokio::time::Instant;

use crate::by_uid::ByUid;

use super::apply::Marks;
use super::holes::HoleWatch;
use super::lag::LagWatch;
use super::observe::secrets::Credentials;
use super::observe::{Workload, Workloads};

/// How often Secrets are looked at.
const SECRETS_STAND: Duration = Duration::from_secs(60);
/// How often while one of them is missing.
const MISSING_SECRETS_STAND: Duration = Duration::from_secs(5);

/// What is remembered of one pipeline.
#[derive(Debug, Default)]
pub struct Memory {
    /// The holes seen so far.
    pub holes: HoleWatch,
    /// How far each partition was behind so far.
    pub lag: LagWatch,
    /// The objects as they were last applied.
    pub marks: Marks,
    writers_gone_since: Option<Timestamp>,
    credentials: Option<CredentialsMemory>,
    written: Option<WrittenStatus>,
}

#[derive(Debug)]
struct WrittenStatus {
    /// The version of the resource that our own watch showed when the status was written.
    seen_version: Option<String>,
    status: CryptoPipelineStatus,
}

#[derive(Debug)]
struct CredentialsMemory {
    generation: Option<i64>,
    read_at: Instant,
    credentials: Credentials,
}

impl Memory {
    /// Since when nobody who writes to the topic has been there, given what is there at `now`.
    pub fn writers_gone_since(&mut self, workloads: &Workloads, now: Timestamp) -> Option<Timestamp> {
        let gone = workloads.writers().all(Workload::is_gone);
        self.writers_gone_since = if gone { self.writers_gone_since.or(Some(now)) } else { None };
        self.writers_gone_since
    }

    /// The pipeline with the status that was last written, where our own watch does not show it yet: who forgot it
    /// would say everything twice.
    pub fn with_written_status(&self, pipeline: &CryptoPipeline) -> CryptoPipeline {
        let mut pipeline = pipeline.clone();
        if let Some(written) = &self.written
            && written.seen_version == pipeline.resource_version()
        {
            pipeline.status = Some(written.status.clone());
        }
        pipeline
    }

    /// Remembers the status that was written over `pipeline`.
    pub fn note_written_status(&mut self, pipeline: &CryptoPipeline, status: CryptoPipelineStatus) {
        self.written = Some(WrittenStatus { seen_version: pipeline.resource_version(), status });
    }

    /// What the Secrets gave as they were read for this generation of the spec, if that was not too long ago.
    pub fn credentials(&self, generation: Option<i64>) -> Option<Credentials> {
        let memory = self.credentials.as_ref().filter(|memory| memory.generation == generation)?;
        let stands = if memory.credentials.are_complete() { SECRETS_STAND } else { MISSING_SECRETS_STAND };
        (memory.read_at.elapsed() < stands).then(|| memory.credentials.clone())
    }

    /// Remembers what the Secrets gave as they were just read.
    pub fn note_credentials(&mut self, generation: Option<i64>, credentials: Credentials) {
        self.credentials = Some(CredentialsMemory { generation, read_at: Instant::now(), credentials });
    }
}

/// The memories of all pipelines, by uid.
#[derive(Debug, Default)]
pub struct Memories(Mutex<ByUid<Memory>>);

impl Memories {
    /// Takes out what is remembered of a pipeline; a pipeline is never reconciled twice at the same time.
    pub fn take(&self, uid: &str) -> Memory {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take(uid).unwrap_or_default()
    }

    /// Puts it back; `alive` tells which pipelines there are.
    pub fn put(&self, uid: String, memory: Memory, alive: impl FnOnce() -> HashSet<String>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).put(uid, memory, alive);
    }
}
