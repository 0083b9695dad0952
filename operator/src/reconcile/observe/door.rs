//! The way to one server, for all who look at something there: few look at the same time, the looks of very many follow one
//! another at a distance, and who finds the server away has found it out for all who wait.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::Failure;
use super::reader::Look;

/// The looks at one server.
#[derive(Debug)]
pub struct Door {
    places: Semaphore,
    spacing: Duration,
    /// When the last look that was given a time begins.
    last_turn: Mutex<Option<Instant>>,
    away: Mutex<Option<Away>>,
}

/// A look that did not reach the server.
#[derive(Debug)]
struct Away {
    began: Instant,
    failure: Failure,
}

/// How a look has ended.
pub(super) struct Looked<S> {
    /// When it began.
    pub(super) at: Timestamp,
    /// What was seen.
    pub(super) seen: Result<S, Failure>,
}

impl Door {
    /// Lets so many look `at_once`, and keeps their repeated looks `spacing` apart.
    #[must_use]
    pub fn new(at_once: usize, spacing: Duration) -> Self {
        Self { places: Semaphore::new(at_once), spacing, last_turn: Mutex::default(), away: Mutex::default() }
    }

    /// Looks once there is a place, for so long at most. Whoever waits while another tries in vain has tried too.
    pub(super) async fn look<L: Look>(&self, look: &mut L, limit: Duration) -> Looked<L::Seen> {
        let asked = Instant::now();
        let _place = self.places.acquire().await;
        let at = Timestamp::now();
        if let Some(away) = lock(&self.away).as_ref().filter(|away| away.began >= asked) {
            return Looked { at, seen: Err(away.failure.clone()) };
        }
        let began = Instant::now();
        // On the heap, and gone when it has ended: very many tasks wait for their next look.
        let looking = tokio::time::timeout(limit, Box::pin(look.look()));
        let seen = looking.await.unwrap_or_else(|_| Err(no_answer(limit)));
        match &seen {
            Ok(_) => *lock(&self.away) = None,
            Err(failure) if look.is_server_away() => {
                *lock(&self.away) = Some(Away { began, failure: failure.clone() });
            }
            // Of this one thing alone.
            Err(_) => {}
        }
        Looked { at, seen }
    }

    /// When to look again: after `interval`, or later where very many look here.
    pub(super) fn next_turn(&self, interval: Duration) -> Instant {
        let mut last_turn = lock(&self.last_turn);
        let earliest = Instant::now() + interval;
        let turn = last_turn.map_or(earliest, |last| earliest.max(last + self.spacing));
        *last_turn = Some(turn);
        turn
    }
}

/// What all share who look at one server, by server. It lives as long as somebody has it.
#[derive(Debug)]
pub(super) struct ByServer<S, T>(Mutex<HashMap<S, Weak<T>>>);

impl<S, T> Default for ByServer<S, T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<S: Clone + Eq + Hash, T> ByServer<S, T> {
    /// What is shared at `server`; made where nobody has it.
    pub(super) fn share<E>(&self, server: &S, make: impl FnOnce() -> Result<T, E>) -> Result<Arc<T>, E> {
        let mut shared = lock(&self.0);
        if let Some(found) = shared.get(server).and_then(Weak::upgrade) {
            return Ok(found);
        }
        shared.retain(|_, one| one.strong_count() > 0);
        let made = Arc::new(make()?);
        shared.insert(server.clone(), Arc::downgrade(&made));
        Ok(made)
    }
}

fn no_answer(limit: Duration) -> Failure {
    Failure { message: format!("no answer within {} s", limit.as_secs()), is_transient: true }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures::future::join_all;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(20);
    const AT_ONCE: usize = 4;

    /// Takes a second, and counts who is there with it.
    #[derive(Default)]
    struct Counted {
        here: Arc<AtomicUsize>,
        most: Arc<AtomicUsize>,
        looks: Arc<AtomicUsize>,
        is_away: bool,
    }

    impl Counted {
        fn beside(&self) -> Self {
            Self {
                here: Arc::clone(&self.here),
                most: Arc::clone(&self.most),
                looks: Arc::clone(&self.looks),
                is_away: self.is_away,
            }
        }
    }

    impl Look for Counted {
        type Seen = ();

        async fn look(&mut self) -> Result<(), Failure> {
            self.looks.fetch_add(1, Ordering::Relaxed);
            let here = self.here.fetch_add(1, Ordering::Relaxed) + 1;
            self.most.fetch_max(here, Ordering::Relaxed);
            tokio::time::sleep(Duration::from_secs(1)).await;
            self.here.fetch_sub(1, Ordering::Relaxed);
            if self.is_away { Err(no_answer(LIMIT)) } else { Ok(()) }
        }

        fn is_server_away(&self) -> bool {
            self.is_away
        }

        fn is_news((): &(), (): &()) -> bool {
            false
        }

        async fn close(self) {}
    }

    async fn all_look(door: &Door, one: &Counted, count: usize) -> usize {
        let looks = (0..count).map(async |_| door.look(&mut one.beside(), LIMIT).await.seen.is_ok());
        join_all(looks).await.into_iter().filter(|is_ok| *is_ok).count()
    }

    #[tokio::test(start_paused = true)]
    async fn few_look_at_the_same_time_and_waiting_is_not_failing() {
        let (door, one) = (Door::new(AT_ONCE, Duration::ZERO), Counted::default());
        assert_eq!(all_look(&door, &one, 200).await, 200);
        assert_eq!(one.most.load(Ordering::Relaxed), AT_ONCE);
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_for_a_server_that_is_away_hears_it_from_who_tried() {
        let (door, mut one) =
            (Door::new(AT_ONCE, Duration::ZERO), Counted { is_away: true, ..Counted::default() });
        let began = Instant::now();
        assert_eq!(all_look(&door, &one, 200).await, 0);
        assert_eq!(one.looks.load(Ordering::Relaxed), AT_ONCE);
        assert_eq!(began.elapsed(), Duration::from_secs(1));
        // Who comes later tries for himself.
        one.is_away = false;
        assert_eq!(all_look(&door, &one, 1).await, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn the_looks_of_very_many_come_one_after_the_other() {
        let (interval, spacing) = (Duration::from_secs(5), Duration::from_millis(50));
        let door = Door::new(AT_ONCE, spacing);
        let began = Instant::now();
        let turns: Vec<Duration> = (0..200).map(|_| door.next_turn(interval) - began).collect();
        assert_eq!(turns[0], interval);
        assert!(turns.windows(2).all(|pair| pair[1] - pair[0] == spacing));
        tokio::time::advance(Duration::from_secs(60)).await;
        assert_eq!(
            door.next_turn(interval) - began,
            Duration::from_secs(65),
            "what was long ago delays nobody"
        );
    }
}
