//! What few may do at the same time at one server. Nobody waits for it: whoever finds no place is told when there is one.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crds::CryptoPipeline;
use kube::runtime::reflector::ObjectRef;

use super::reader::News;

/// The places, and who would like one.
#[derive(Debug)]
pub(super) struct Turns {
    state: Mutex<State>,
    news: News,
}

#[derive(Debug)]
struct State {
    free: usize,
    waiting: VecDeque<ObjectRef<CryptoPipeline>>,
}

/// A place; it is free again when this is dropped.
#[derive(Debug)]
pub struct Turn(Arc<Turns>);

impl Turns {
    pub(super) fn new(places: usize, news: News) -> Self {
        Self { state: Mutex::new(State { free: places, waiting: VecDeque::new() }), news }
    }

    /// A place, if there is one; else `asker` is told of the next one that nobody before it wants.
    pub(super) fn take(self: &Arc<Self>, asker: &ObjectRef<CryptoPipeline>) -> Option<Turn> {
        let mut state = self.state();
        state.waiting.retain(|waiting| waiting != asker);
        if state.free == 0 {
            state.waiting.push_back(asker.clone());
            return None;
        }
        state.free -= 1;
        Some(Turn(Arc::clone(self)))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let next = {
            let mut state = self.0.state();
            state.free += 1;
            state.waiting.pop_front()
        };
        if let Some(next) = next {
            // Nobody listens only while the program ends.
            let _ = self.0.news.send(next);
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;

    use super::*;

    #[test]
    fn who_finds_no_place_is_told_when_there_is_one_in_the_order_of_asking() {
        let (news, mut told) = mpsc::unbounded_channel();
        let turns = Arc::new(Turns::new(1, news));
        let take = |name: &str| turns.take(&ObjectRef::new(name));
        let first = take("a").unwrap();
        assert!(take("b").is_none() && take("c").is_none());
        assert!(told.try_recv().is_err());
        drop(first);
        assert_eq!(told.try_recv().unwrap().name, "b");
        // One who was not told may come before; the other one is told again.
        let other = take("d").unwrap();
        assert!(take("b").is_none());
        drop(other);
        assert_eq!(told.try_recv().unwrap().name, "c");
        assert!(take("c").is_some(), "and then it is free");
        assert_eq!(told.try_recv().unwrap().name, "b");
    }
}
