//! What the task that reads a connection has seen so far, for the connection's owner to judge.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use super::overlap::FirstAndHighest;

/// Written by the reader for every frame, without waiting for anybody.
#[derive(Debug)]
pub(crate) struct ConnectionProgress {
    began: Instant,
    /// When the last frame came, pings included, in milliseconds since `began`.
    last_frame_ms: AtomicU64,
    /// Whether the reader waits for the publisher, so that silence is ours.
    held_back: AtomicBool,
    /// When the reader last waited for the publisher, in milliseconds since `began`.
    last_held_back_ms: AtomicU64,
    /// By place in the connection's symbols: the first and the highest trade id it delivered.
    delivered: Box<[Delivered]>,
}

#[derive(Debug)]
struct Delivered {
    first_id: AtomicI64,
    highest_id: AtomicI64,
}

/// Stands for "none yet": trade ids are never negative.
const NO_ID: i64 = -1;

impl ConnectionProgress {
    /// Nothing yet, of a connection with so many symbols.
    pub(crate) fn new(symbols: usize) -> Self {
        let none = || Delivered { first_id: AtomicI64::new(NO_ID), highest_id: AtomicI64::new(NO_ID) };
        Self {
            began: Instant::now(),
            last_frame_ms: AtomicU64::new(0),
            held_back: AtomicBool::new(false),
            last_held_back_ms: AtomicU64::new(0),
            delivered: (0..symbols).map(|_| none()).collect(),
        }
    }

    /// The reader delivered trade `trade_id` of the symbol at `place`.
    pub(crate) fn note_trade(&self, place: usize, trade_id: i64) {
        let Delivered { first_id, highest_id } = &self.delivered[place];
        if first_id.load(Ordering::Relaxed) == NO_ID {
            first_id.store(trade_id, Ordering::Relaxed);
        }
        highest_id.fetch_max(trade_id, Ordering::Relaxed);
    }

    /// The first trade id of each symbol, and the highest.
    pub(crate) fn delivered(&self) -> Vec<FirstAndHighest> {
        let known = |id: &AtomicI64| Some(id.load(Ordering::Relaxed)).filter(|id| *id != NO_ID);
        self.delivered.iter().map(|one| (known(&one.first_id), known(&one.highest_id))).collect()
    }

    /// How long ago at `now` the last frame came; `None` while the reader itself does not read.
    pub(crate) fn silence(&self, now: Instant) -> Option<Duration> {
        if self.held_back.load(Ordering::Relaxed) {
            return None;
        }
        let last_ms =
            self.last_frame_ms.load(Ordering::Relaxed).max(self.last_held_back_ms.load(Ordering::Relaxed));
        Some(now.saturating_duration_since(self.began + Duration::from_millis(last_ms)))
    }

    /// Since when the reader has read without being held back; `None` while it is held back.
    pub(crate) fn read_since(&self) -> Option<Instant> {
        let held_back = self.held_back.load(Ordering::Relaxed);
        (!held_back)
            .then(|| self.began + Duration::from_millis(self.last_held_back_ms.load(Ordering::Relaxed)))
    }

    /// A frame came at `now`.
    pub(crate) fn note_frame(&self, now: Instant) {
        self.last_frame_ms.store(self.milliseconds(now), Ordering::Relaxed);
    }

    /// The reader waits for the publisher, as long as the answer lives.
    pub(crate) fn hold_back(&self) -> HeldBack<'_> {
        self.held_back.store(true, Ordering::Relaxed);
        HeldBack(self)
    }

    fn milliseconds(&self, now: Instant) -> u64 {
        u64::try_from(now.saturating_duration_since(self.began).as_millis()).unwrap_or(u64::MAX)
    }
}

/// Ends the waiting also where the wait is cancelled.
pub(crate) struct HeldBack<'a>(&'a ConnectionProgress);

impl Drop for HeldBack<'_> {
    fn drop(&mut self) {
        let ConnectionProgress { last_held_back_ms, held_back, .. } = self.0;
        last_held_back_ms.store(self.0.milliseconds(Instant::now()), Ordering::Relaxed);
        held_back.store(false, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_the_first_and_the_highest_id_of_each_symbol() {
        let progress = ConnectionProgress::new(2);
        for trade_id in [0, 5, 3] {
            progress.note_trade(1, trade_id);
        }
        assert_eq!(progress.delivered(), [(None, None), (Some(0), Some(5))]);
    }

    #[test]
    fn a_reader_that_is_held_back_is_not_silent_and_begins_anew_after_it() {
        let progress = ConnectionProgress::new(0);
        let later = progress.began + Duration::from_secs(60);
        assert_eq!(progress.silence(later), Some(Duration::from_secs(60)));
        assert_eq!(progress.read_since(), Some(progress.began));
        let held_back = progress.hold_back();
        assert_eq!((progress.silence(later), progress.read_since()), (None, None));
        drop(held_back);
        assert!(progress.silence(later).is_some() && progress.read_since().is_some());
        progress.note_frame(later);
        assert_eq!(progress.silence(later), Some(Duration::ZERO));
    }
}
