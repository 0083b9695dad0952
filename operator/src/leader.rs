//! One operator leads, the others wait: by a Lease that its holder renews.
//!
//! As client-go elects: whoever waits measures by its own clock how long the Lease has not changed, so that clocks need not
//! agree; every write names the version that it was read at, so that two never take it at the same time; and the holder gives
//! up, by itself, before the others may take it (docs/decisions/0009-an-election-of-our-own.md).

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::api::PostParams;
use kube::{Api, Client};
use runtime::error_chain::error_chain;
use tokio::time::{Instant, sleep, sleep_until, timeout, timeout_at};

/// How long a Lease stands, and how often it is looked at.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Others take a Lease that has not changed for so long. Whole seconds.
    pub stands: Duration,
    /// The holder gives up when it could not renew for so long; shorter than `stands`.
    pub renew_within: Duration,
    /// Between two attempts.
    pub retry: Duration,
}

impl Default for Pace {
    /// client-go's.
    fn default() -> Self {
        Self {
            stands: Duration::from_secs(15),
            renew_within: Duration::from_secs(10),
            retry: Duration::from_secs(2),
        }
    }
}

/// Why an operator no longer leads. It has to end: what it does may cross with what the next one does.
#[derive(Debug, thiserror::Error)]
pub enum LeadershipLost {
    /// Somebody else holds the Lease.
    #[error("the Lease {lease} is held by {holder}")]
    TakenOver {
        /// Its name.
        lease: String,
        /// By whom.
        holder: String,
    },
    /// The API server could not be told in time that this operator still leads.
    #[error("the Lease {lease} could not be renewed: {why}")]
    NotRenewed {
        /// Its name.
        lease: String,
        /// What went wrong last.
        why: String,
    },
}

/// A contender for a Lease.
#[derive(Debug)]
pub struct Contender {
    leases: Api<Lease>,
    name: String,
    identity: String,
    pace: Pace,
    /// The Lease as it was last seen, and when it was first seen so.
    seen: Option<(LeaseSpec, Instant)>,
    /// When the last attempt began that made it ours: the others count from then at the earliest.
    renewed: Instant,
}

/// What an attempt to take or renew the Lease came to.
#[derive(Debug, PartialEq, Eq)]
enum Attempt {
    /// It is ours.
    Held,
    /// It is somebody else's.
    HeldBy(String),
    /// Somebody else wrote it at the same time.
    Crossed,
}

impl Contender {
    /// Contends for the Lease `name` as `identity`, which no other has.
    #[must_use]
    pub fn new(client: Client, namespace: &str, name: &str, identity: String, pace: Pace) -> Self {
        let leases = Api::namespaced(client, namespace);
        Self { leases, name: name.to_owned(), identity, pace, seen: None, renewed: Instant::now() }
    }

    /// Waits until the Lease is ours.
    pub async fn lead(&mut self) {
        let mut told = None;
        loop {
            self.renewed = Instant::now();
            let why = match timeout(self.pace.renew_within, self.attempt()).await {
                Ok(Ok(Attempt::Held)) => return,
                Ok(Ok(Attempt::HeldBy(holder))) => format!("{holder} leads"),
                Ok(Ok(Attempt::Crossed)) => continue,
                Ok(Err(error)) => error_chain(&error),
                Err(_) => self.no_answer(),
            };
            if told.as_ref() != Some(&why) {
                tracing::info!(lease = self.name, why, "waits to lead");
                told = Some(why);
            }
            sleep(self.pace.retry).await;
        }
    }

    /// Renews the Lease for as long as that works; to be called when it is ours.
    pub async fn keep(&mut self) -> LeadershipLost {
        let mut why = self.no_answer();
        loop {
            let deadline = self.renewed + self.pace.renew_within;
            sleep_until(deadline.min(Instant::now() + self.pace.retry)).await;
            let begun = Instant::now();
            match timeout_at(deadline, self.attempt()).await {
                Ok(Ok(Attempt::Held)) => self.renewed = begun,
                Ok(Ok(Attempt::HeldBy(holder))) => {
                    return LeadershipLost::TakenOver { lease: self.name.clone(), holder };
                }
                Ok(Ok(Attempt::Crossed)) => {}
                Ok(Err(error)) => why = error_chain(&error),
                Err(_) => return LeadershipLost::NotRenewed { lease: self.name.clone(), why },
            }
        }
    }

    /// Gives the Lease back, so that the next one need not wait.
    ///
    /// # Errors
    /// Where the API server refuses or does not answer; the Lease then ends by itself.
    pub async fn give_back(&mut self) -> Result<(), kube::Error> {
        let Some(mut lease) = self.leases.get_opt(&self.name).await? else { return Ok(()) };
        let spec = lease.spec.get_or_insert_default();
        if spec.holder_identity.as_deref() == Some(&self.identity) {
            spec.holder_identity = None;
            self.leases.replace(&self.name, &PostParams::default(), &lease).await?;
        }
        Ok(())
    }

    /// Takes the Lease if nobody has it, or renews it if it is ours.
    async fn attempt(&mut self) -> Result<Attempt, kube::Error> {
        let Some(mut lease) = self.leases.get_opt(&self.name).await? else {
            let metadata = ObjectMeta { name: Some(self.name.clone()), ..ObjectMeta::default() };
            let lease = Lease { metadata, spec: Some(self.held_from_now(&LeaseSpec::default())) };
            return outcome(self.leases.create(&PostParams::default(), &lease).await);
        };
        let found = lease.spec.take().unwrap_or_default();
        if let Some(holder) = self.other_holder(&found) {
            return Ok(Attempt::HeldBy(holder));
        }
        lease.spec = Some(self.held_from_now(&found));
        // With the version that was read: refused where somebody has written it since.
        outcome(self.leases.replace(&self.name, &PostParams::default(), &lease).await)
    }

    /// Who else holds the Lease, and has shown a sign of life not too long ago.
    fn other_holder(&mut self, found: &LeaseSpec) -> Option<String> {
        if self.seen.as_ref().is_none_or(|(seen, _)| seen != found) {
            self.seen = Some((found.clone(), Instant::now()));
        }
        let holder = found.holder_identity.clone().filter(|holder| !holder.is_empty())?;
        let stands = found.lease_duration_seconds.and_then(|seconds| u64::try_from(seconds).ok());
        let stands = stands.map_or(self.pace.stands, Duration::from_secs);
        let unchanged = self.seen.as_ref().map(|(_, since)| since.elapsed()).unwrap_or_default();
        (holder != self.identity && unchanged < stands).then_some(holder)
    }

    /// The Lease as this operator's, taken over or renewed.
    fn held_from_now(&self, before: &LeaseSpec) -> LeaseSpec {
        let now = MicroTime(Timestamp::now());
        let is_ours = before.holder_identity.as_deref() == Some(&self.identity);
        let transitions = before.lease_transitions.unwrap_or_default();
        LeaseSpec {
            holder_identity: Some(self.identity.clone()),
            lease_duration_seconds: Some(i32::try_from(self.pace.stands.as_secs()).unwrap_or(i32::MAX)),
            acquire_time: if is_ours { before.acquire_time.clone() } else { Some(now.clone()) },
            renew_time: Some(now),
            lease_transitions: Some(if is_ours { transitions } else { transitions.saturating_add(1) }),
            ..before.clone()
        }
    }

    fn no_answer(&self) -> String {
        format!("the API server did not answer within {} s", self.pace.renew_within.as_secs())
    }
}

fn outcome(written: Result<Lease, kube::Error>) -> Result<Attempt, kube::Error> {
    match written {
        Ok(_) => Ok(Attempt::Held),
        Err(kube::Error::Api(refusal)) if refusal.code == 409 => Ok(Attempt::Crossed),
        Err(error) => Err(error),
    }
}
