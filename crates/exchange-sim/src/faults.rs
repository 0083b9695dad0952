//! What is wrong with the exchange at the moment. Only [`crate::control`] changes it; the connections and the
//! REST interface ask here, in one place each.

use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// Faults of the exchange as a whole.
#[derive(Debug, Default)]
pub(crate) struct ExchangeFaults {
    state: Mutex<ExchangeFaultState>,
}

#[derive(Debug, Default)]
struct ExchangeFaultState {
    refuses_connections_until: Option<Instant>,
    rest_fails_until: Option<(Instant, u16)>,
}

impl ExchangeFaults {
    pub(crate) fn refuse_connections_until(&self, until: Instant) {
        lock(&self.state).refuses_connections_until = Some(until);
    }

    /// All REST requests are answered with the HTTP `status` until then.
    pub(crate) fn fail_rest_until(&self, until: Instant, status: u16) {
        lock(&self.state).rest_fails_until = Some((until, status));
    }

    pub(crate) fn refuses_connections(&self, now: Instant) -> bool {
        lock(&self.state).refuses_connections_until.is_some_and(|until| now < until)
    }

    /// With which HTTP status REST requests are refused, and for how many seconds yet.
    pub(crate) fn rest_failure(&self, now: Instant) -> Option<(u16, u64)> {
        let (until, status) = lock(&self.state).rest_fails_until?;
        (now < until).then(|| (status, until.duration_since(now).as_secs() + 1))
    }
}

/// How one trade's frame is delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Delivery {
    /// As it is.
    Whole,
    /// Not at all, though the trade exists.
    Withheld,
    /// Cut in the middle.
    Damaged,
    /// Two times.
    Twice,
}

/// Faults of one symbol's streams.
#[derive(Debug, Default)]
pub(crate) struct SymbolFaults {
    /// False as long as there is none, so that the usual case takes no lock.
    exist: AtomicBool,
    state: Mutex<SymbolFaultState>,
}

#[derive(Debug, Default)]
struct SymbolFaultState {
    is_stalled: bool,
    damaged_left: u32,
    doubled_left: u32,
    withheld_ids: Vec<RangeInclusive<i64>>,
}

impl SymbolFaults {
    /// Silences the symbol's streams, or lets them speak again.
    pub(crate) fn stall(&self, is_stalled: bool) {
        self.change(|state| state.is_stalled = is_stalled);
    }

    /// Damages the next `count` trade frames.
    pub(crate) fn damage(&self, count: u32) {
        self.change(|state| state.damaged_left = count);
    }

    /// Sends the next `count` trade frames twice.
    pub(crate) fn double(&self, count: u32) {
        self.change(|state| state.doubled_left = count);
    }

    /// Never sends the trades of these ids.
    pub(crate) fn withhold(&self, ids: RangeInclusive<i64>) {
        self.change(|state| state.withheld_ids.push(ids));
    }

    pub(crate) fn is_stalled(&self) -> bool {
        self.exist.load(Ordering::Relaxed) && lock(&self.state).is_stalled
    }

    /// How the frame of trade `id` is to be delivered; uses up one of the counted faults.
    pub(crate) fn delivery(&self, id: i64) -> Delivery {
        if self.exist.load(Ordering::Relaxed) { lock(&self.state).delivery(id) } else { Delivery::Whole }
    }

    fn change(&self, change: impl FnOnce(&mut SymbolFaultState)) {
        change(&mut lock(&self.state));
        self.exist.store(true, Ordering::Relaxed);
    }
}

impl SymbolFaultState {
    fn delivery(&mut self, id: i64) -> Delivery {
        if self.is_stalled || self.withheld_ids.iter().any(|ids| ids.contains(&id)) {
            Delivery::Withheld
        } else if self.damaged_left > 0 {
            self.damaged_left -= 1;
            Delivery::Damaged
        } else if self.doubled_left > 0 {
            self.doubled_left -= 1;
            Delivery::Twice
        } else {
            Delivery::Whole
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counted_faults_are_used_up_and_ranges_stay() {
        let faults = SymbolFaults::default();
        assert_eq!(faults.delivery(1), Delivery::Whole);
        faults.damage(1);
        faults.double(1);
        faults.withhold(3..=4);
        let deliveries: Vec<Delivery> = [3, 2, 5, 6, 4].map(|id| faults.delivery(id)).into();
        assert_eq!(
            deliveries,
            [Delivery::Withheld, Delivery::Damaged, Delivery::Twice, Delivery::Whole, Delivery::Withheld]
        );
    }

    #[test]
    fn a_stall_withholds_everything_until_it_ends() {
        let faults = SymbolFaults::default();
        faults.stall(true);
        assert_eq!((faults.is_stalled(), faults.delivery(1)), (true, Delivery::Withheld));
        faults.stall(false);
        assert_eq!((faults.is_stalled(), faults.delivery(1)), (false, Delivery::Whole));
    }
}
