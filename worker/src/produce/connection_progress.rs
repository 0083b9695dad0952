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
    /// By place in the connection's symbols: the first and the highest position it delivered, of trades their ids, of
    /// samples their times.
    delivered: Box<[Delivered]>,
}

#[derive(Debug)]
struct Delivered {
    first: AtomicI64,
    highest: AtomicI64,
}

/// Stands for "none yet": neither ids nor times are negative.
const NONE: i64 = -1;

impl ConnectionProgress {
    /// Nothing yet, of a connection with so many symbols.
    pub(crate) fn new(symbols: usize) -> Self {
        let none = || Delivered { first: AtomicI64::new(NONE), highest: AtomicI64::new(NONE) };
        Self {
            began: Instant::now(),
            last_frame_ms: AtomicU64::new(0),
            held_back: AtomicBool::new(false),
            last_held_back_ms: AtomicU64::new(0),
            delivered: (0..symbols).map(|_| none()).collect(),
        }
    }

    /// The reader delivered what stands at `position` of the symbol at `place`.
    pub(crate) fn note_delivered(&self, place: usize, position: i64) {
        let Delivered { first, highest } = &self.delivered[place];
        if first.load(Ordering::Relaxed) == NONE {
            first.store(position, Ordering::Relaxed);
        }
        highest.fetch_max(position, Ordering::Relaxed);
    }

    /// The first position of each symbol, and the highest.
    pub(crate) fn delivered(&self) -> Vec<FirstAndHighest> {
        let known = |position: &AtomicI64| {
            Some(position.load(Ordering::Relaxed)).filter(|position| *position != NONE)
        };
        self.delivered.iter().map(|one| (known(&one.first), known(&one.highest))).collect()
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
    fn knows_the_first_and_the_highest_of_each_symbol() {
        let progress = ConnectionProgress::new(2);
        for position in [0, 5, 3] {
            progress.note_delivered(1, position);
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
