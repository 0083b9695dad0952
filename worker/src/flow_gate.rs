//! Holds the producer back where the broker itself cannot: the embedded broker keeps little, so it must
//! never hold much more than the aggregator has committed.

use std::sync::atomic::{AtomicI64, Ordering};

use tokio::sync::Notify;

/// Counts the record bytes (key and value) that were published and not yet committed.
#[derive(Debug)]
pub struct FlowGate {
    /// Can fall below zero for a moment: a record may be committed before its producer counts it.
    outstanding_bytes: AtomicI64,
    limit_bytes: i64,
    opened: Notify,
}

impl FlowGate {
    /// A gate that closes while more than `limit_bytes` are outstanding.
    #[must_use]
    pub fn limited(limit_bytes: u32) -> Self {
        Self::with_limit(limit_bytes.into())
    }

    /// A gate that never closes: real brokers keep what they are sent.
    #[must_use]
    pub fn unlimited() -> Self {
        Self::with_limit(i64::MAX)
    }

    fn with_limit(limit_bytes: i64) -> Self {
        Self { outstanding_bytes: AtomicI64::new(0), limit_bytes, opened: Notify::new() }
    }

    /// The producer has handed `bytes` to the broker's client.
    pub fn published(&self, bytes: usize) {
        self.outstanding_bytes.fetch_add(signed(bytes), Ordering::Relaxed);
    }

    /// The aggregator has committed `bytes`, or they will never reach it.
    pub fn committed(&self, bytes: usize) {
        let bytes = signed(bytes);
        let before = self.outstanding_bytes.fetch_sub(bytes, Ordering::AcqRel);
        if before > self.limit_bytes && before - bytes <= self.limit_bytes {
            self.opened.notify_waiters();
        }
    }

    /// Whether more may be published now.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.outstanding_bytes.load(Ordering::Acquire) <= self.limit_bytes
    }

    /// Waits until more may be published.
    pub async fn open(&self) {
        while !self.is_open() {
            let opened = self.opened.notified();
            tokio::pin!(opened);
            // Registered before the second look, so that a commit in between is not missed.
            opened.as_mut().enable();
            if self.is_open() {
                return;
            }
            opened.await;
        }
    }
}

fn signed(bytes: usize) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use futures::FutureExt;

    use super::*;

    #[test]
    fn closes_above_the_limit_and_opens_at_it() {
        let gate = FlowGate::limited(100);
        gate.published(100);
        assert!(gate.open().now_or_never().is_some());
        gate.published(1);
        assert!(gate.open().now_or_never().is_none());
        gate.committed(1);
        assert!(gate.open().now_or_never().is_some());
    }

    #[test]
    fn a_commit_that_comes_before_its_publish_is_not_lost() {
        let gate = FlowGate::limited(10);
        gate.committed(50);
        gate.published(50);
        gate.published(10);
        assert!(gate.is_open());
        gate.published(1);
        assert!(!gate.is_open());
    }

    #[test]
    fn the_unlimited_gate_never_closes() {
        let gate = FlowGate::unlimited();
        gate.published(usize::MAX);
        assert!(gate.is_open());
    }

    #[tokio::test]
    async fn everybody_who_waits_goes_on() {
        let gate = Arc::new(FlowGate::limited(0));
        gate.published(2);
        let waiting = [(); 2].map(|()| {
            let gate = Arc::clone(&gate);
            tokio::spawn(async move { gate.open().await })
        });
        tokio::task::yield_now().await;
        gate.committed(1);
        gate.committed(1);
        for task in waiting {
            task.await.unwrap();
        }
    }
}
