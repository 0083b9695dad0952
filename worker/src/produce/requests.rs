//! The subscriptions asked for on one connection: sent no faster than the exchange allows, matched with
//! their answers by id, and split where one of several was refused. Pure.

use std::collections::VecDeque;
use std::time::Duration;

use hashbrown::HashMap;
use tokio::time::Instant;

/// Requests by the places of the symbols that they subscribe.
#[derive(Debug)]
pub(crate) struct Requests {
    per_message: usize,
    spacing: Duration,
    answer_timeout: Duration,
    next_id: i64,
    next_send_at: Option<Instant>,
    queue: VecDeque<Vec<usize>>,
    unanswered: HashMap<i64, Unanswered>,
}

#[derive(Debug)]
struct Unanswered {
    places: Vec<usize>,
    deadline: Instant,
}

impl Requests {
    /// No requests yet: each will name at most `per_message` symbols, they leave `spacing` apart, and
    /// each must be answered within `answer_timeout`.
    pub(crate) fn new(per_message: usize, spacing: Duration, answer_timeout: Duration) -> Self {
        let (queue, unanswered) = (VecDeque::new(), HashMap::new());
        Self { per_message, spacing, answer_timeout, next_id: 1, next_send_at: None, queue, unanswered }
    }

    /// Asks for the symbols at `places`.
    pub(crate) fn ask(&mut self, places: &[usize]) {
        self.queue.extend(places.chunks(self.per_message).map(<[usize]>::to_vec));
    }

    /// The request that may be sent at `now`, with its id. It counts as sent.
    pub(crate) fn take_due(&mut self, now: Instant) -> Option<(i64, &[usize])> {
        if self.next_send_at.is_some_and(|next| now < next) {
            return None;
        }
        let places = self.queue.pop_front()?;
        let id = self.next_id;
        self.next_id += 1;
        self.next_send_at = Some(now + self.spacing);
        let unanswered = Unanswered { places, deadline: now + self.answer_timeout };
        Some((id, &self.unanswered.entry(id).insert(unanswered).into_mut().places))
    }

    /// When there is something to do without any answer: to send the next, or to give up waiting.
    pub(crate) fn wake_at(&self) -> Option<Instant> {
        let send_at = self.next_send_at.filter(|_| !self.queue.is_empty());
        let give_up_at = self.unanswered.values().map(|unanswered| unanswered.deadline).min();
        [send_at, give_up_at].into_iter().flatten().min()
    }

    /// The request `id` was carried out: the places it subscribed. Empty for an id that is not ours.
    pub(crate) fn acknowledge(&mut self, id: i64) -> Vec<usize> {
        self.unanswered.remove(&id).map_or_else(Vec::new, |unanswered| unanswered.places)
    }

    /// The request `id` was refused. Several symbols are asked for again one by one; for a single
    /// one its place is returned, and it is not asked for again.
    pub(crate) fn refuse(&mut self, id: i64) -> Option<usize> {
        match *self.acknowledge(id) {
            [] => None,
            [place] => Some(place),
            ref places => {
                self.queue.extend(places.iter().map(|place| vec![*place]));
                None
            }
        }
    }

    /// Whether an answer is overdue at `now`.
    pub(crate) fn is_overdue(&self, now: Instant) -> bool {
        self.unanswered.values().any(|unanswered| unanswered.deadline <= now)
    }

    /// Gives every answer the whole time again, from `now` on.
    pub(crate) fn wait_longer(&mut self, now: Instant) {
        for unanswered in self.unanswered.values_mut() {
            unanswered.deadline = now + self.answer_timeout;
        }
    }

    /// Whether everything was sent and answered.
    pub(crate) fn is_settled(&self) -> bool {
        self.queue.is_empty() && self.unanswered.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPACING: Duration = Duration::from_millis(300);
    const TIMEOUT: Duration = Duration::from_secs(10);

    fn requests() -> Requests {
        Requests::new(2, SPACING, TIMEOUT)
    }

    fn take(requests: &mut Requests, now: Instant) -> Option<(i64, Vec<usize>)> {
        requests.take_due(now).map(|(id, places)| (id, places.to_vec()))
    }

    #[test]
    fn leave_in_batches_and_no_faster_than_allowed() {
        let mut requests = requests();
        let now = Instant::now();
        requests.ask(&[0, 1, 2]);
        assert_eq!(take(&mut requests, now), Some((1, vec![0, 1])));
        assert_eq!(take(&mut requests, now), None);
        assert_eq!(requests.wake_at(), Some(now + SPACING));
        assert_eq!(take(&mut requests, now + SPACING), Some((2, vec![2])));
        requests.ask(&[3]);
        assert_eq!(take(&mut requests, now + SPACING), None);
    }

    #[test]
    fn answers_come_in_any_order_and_settle_it() {
        let mut requests = requests();
        let now = Instant::now();
        requests.ask(&[0, 1, 2]);
        take(&mut requests, now);
        take(&mut requests, now + SPACING);
        assert_eq!(requests.acknowledge(2), [2]);
        assert!(!requests.is_settled());
        assert_eq!(requests.acknowledge(1), [0, 1]);
        assert!(requests.is_settled());
        assert_eq!(requests.wake_at(), None);
    }

    #[test]
    fn foreign_and_repeated_answers_mean_nothing() {
        let mut requests = requests();
        requests.ask(&[0]);
        take(&mut requests, Instant::now());
        assert_eq!(requests.acknowledge(77), Vec::<usize>::new());
        assert_eq!(requests.refuse(77), None);
        assert!(!requests.is_settled());
        assert_eq!(requests.acknowledge(1), [0]);
        assert_eq!(requests.acknowledge(1), Vec::<usize>::new());
    }

    #[test]
    fn one_bad_symbol_does_not_keep_the_others_out() {
        let mut requests = requests();
        let now = Instant::now();
        requests.ask(&[4, 5]);
        take(&mut requests, now);
        assert_eq!(requests.refuse(1), None);
        assert_eq!(take(&mut requests, now + SPACING), Some((2, vec![4])));
        assert_eq!(take(&mut requests, now + 2 * SPACING), Some((3, vec![5])));
        assert_eq!(requests.acknowledge(3), [5]);
        assert_eq!(requests.refuse(2), Some(4));
        assert!(requests.is_settled());
    }

    #[test]
    fn a_missing_answer_is_noticed() {
        let mut requests = requests();
        let now = Instant::now();
        requests.ask(&[0]);
        take(&mut requests, now);
        assert_eq!(requests.wake_at(), Some(now + TIMEOUT));
        assert!(!requests.is_overdue(now + TIMEOUT - Duration::from_millis(1)));
        assert!(requests.is_overdue(now + TIMEOUT));
        requests.wait_longer(now + TIMEOUT);
        assert!(!requests.is_overdue(now + TIMEOUT));
        assert!(requests.is_overdue(now + 2 * TIMEOUT));
    }
}
