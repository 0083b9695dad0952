//! What is kept of each pipeline while it lives.

use std::collections::{HashMap, HashSet};

/// Values by the pipelines' uids. Those of pipelines that are gone are forgotten once they may be as many as the others: to
/// look who lives takes as long as there are pipelines.
#[derive(Debug)]
pub struct ByUid<V> {
    values: HashMap<String, V>,
    worth_a_look: usize,
}

impl<V> Default for ByUid<V> {
    fn default() -> Self {
        Self { values: HashMap::new(), worth_a_look: 0 }
    }
}

impl<V> ByUid<V> {
    /// The value of a pipeline.
    #[must_use]
    pub fn get(&self, uid: &str) -> Option<&V> {
        self.values.get(uid)
    }

    /// Takes a pipeline's value out.
    pub fn take(&mut self, uid: &str) -> Option<V> {
        self.values.remove(uid)
    }

    /// Puts a pipeline's value in; `alive` tells who lives, where that is worth a look.
    pub fn put(&mut self, uid: String, value: V, alive: impl FnOnce() -> HashSet<String>) {
        self.values.insert(uid, value);
        if self.values.len() > self.worth_a_look {
            let alive = alive();
            self.values.retain(|uid, _| alive.contains(uid));
            self.worth_a_look = self.values.len() * 2;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn the_dead_are_forgotten_by_looking_now_and_then() {
        let looks = Cell::new(0);
        let mut values = ByUid::default();
        for number in 0..1_000 {
            let alive = || {
                looks.set(looks.get() + 1);
                (number.max(9) - 9..=number).map(|number: i32| number.to_string()).collect()
            };
            values.put(number.to_string(), number, alive);
        }
        assert_eq!(values.get("999"), Some(&999));
        assert!(values.values.len() <= 20, "ten are alive, and {} are kept", values.values.len());
        assert!(looks.get() < 150, "{} looks at a thousand", looks.get());
    }
}
