//! Looks at outside systems in the background: one task for each thing looked at, however many pipelines ask
//! for it. A reconcile takes the last look and never waits, so that a dead broker or database delays nobody. Looks at one
//! server go by its door. One that fails is repeated with growing pauses; one that nobody asks for any more is closed.

use std::collections::{HashMap, HashSet};
use std::hash::Hash;
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use crds::CryptoPipeline;
use jiff::Timestamp;
use kube::runtime::reflector::ObjectRef;
use runtime::backoff::Backoff;
use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;

use super::door::{Door, Looked, lock};
use super::{Failure, Reading};

/// Where pipelines are named that should be reconciled because something new was seen.
pub type News = mpsc::UnboundedSender<ObjectRef<CryptoPipeline>>;

/// How often and how long.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Between two looks that succeed, at least.
    pub interval: Duration,
    /// Between two looks that fail, at most.
    pub longest_pause: Duration,
    /// For one look, at most.
    pub limit: Duration,
    /// After which a thing that nobody asks for is no longer looked at.
    pub idle: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(5),
            longest_pause: Duration::from_secs(30),
            limit: Duration::from_secs(20),
            idle: Duration::from_secs(300),
        }
    }
}

/// One thing to look at, with whatever connection that takes.
pub trait Look: Send + 'static {
    /// What a look sees.
    type Seen: Clone + Send + 'static;

    /// Looks once.
    fn look(&mut self) -> impl Future<Output = Result<Self::Seen, Failure>> + Send;

    /// Whether the last look failed because the server was not reached: a look at anything else there would fail too.
    fn is_server_away(&self) -> bool {
        false
    }

    /// Whether a reconcile should come at once because of the difference.
    fn is_news(before: &Self::Seen, after: &Self::Seen) -> bool;

    /// Gives the connection back; may block a thread, not an executor.
    fn close(self) -> impl Future<Output = ()> + Send;
}

/// Everything of one kind that is being looked at, by key.
pub struct Readers<K, L: Look> {
    entries: Arc<Mutex<Entries<K, L::Seen>>>,
    news: News,
    pace: Pace,
}

type Entries<K, S> = HashMap<K, Entry<S>>;

struct Entry<S> {
    reading: Reading<S>,
    last_asked: Instant,
    askers: HashSet<ObjectRef<CryptoPipeline>>,
    /// When the last look that has ended began.
    looked_at: Option<Timestamp>,
    /// Asks for a look.
    wake: Arc<Notify>,
    /// Tells that a look has ended.
    looked: Arc<Notify>,
}

impl<K, L> Readers<K, L>
where
    K: Clone + Eq + Hash + Send + 'static,
    L: Look,
{
    /// Looks at nothing yet; what is new will be told to `news`.
    pub fn new(news: News, pace: Pace) -> Self {
        Self { entries: Arc::default(), news, pace }
    }

    /// The last look at `key`, which is behind `door`. The first to ask gets [`Reading::Pending`] and starts it with
    /// `start`; every asker is told of what is new from then on.
    pub fn read(
        &self,
        key: &K,
        door: &Arc<Door>,
        asker: &ObjectRef<CryptoPipeline>,
        start: impl FnOnce() -> L,
    ) -> Reading<L::Seen> {
        let mut entries = lock(&self.entries);
        let entry = entries.entry(key.clone()).or_insert_with(|| {
            let entry = Entry::new();
            let task = Task {
                entries: Arc::downgrade(&self.entries),
                key: key.clone(),
                door: Arc::clone(door),
                look: start(),
                wake: Arc::clone(&entry.wake),
                news: self.news.clone(),
                pace: self.pace,
            };
            tokio::spawn(task.run());
            entry
        });
        entry.last_asked = Instant::now();
        entry.askers.insert(asker.clone());
        entry.reading.clone()
    }

    /// Looks at `key` now rather than at its next turn, and waits for that look: it was just changed, and whoever
    /// took an older look for the truth would change it again.
    pub async fn look_again(&self, key: &K) {
        let changed_at = Timestamp::now();
        let until_seen = async {
            loop {
                let Some((wake, looked)) = self.signals(key, changed_at) else { return };
                let mut looked = std::pin::pin!(looked.notified());
                looked.as_mut().enable();
                // A look may have ended between the check and the subscription.
                if self.signals(key, changed_at).is_none() {
                    return;
                }
                wake.notify_one();
                looked.await;
            }
        };
        // A look that takes longer than it may is given up by its own task.
        let _ = tokio::time::timeout(2 * self.pace.limit, until_seen).await;
    }

    /// How to ask for a look at `key` and to hear of its end; `None` once one has begun after `time`.
    fn signals(&self, key: &K, time: Timestamp) -> Option<(Arc<Notify>, Arc<Notify>)> {
        let entries = lock(&self.entries);
        let entry = entries.get(key)?;
        let is_seen = entry.looked_at.is_some_and(|looked_at| looked_at > time);
        (!is_seen).then(|| (Arc::clone(&entry.wake), Arc::clone(&entry.looked)))
    }
}

impl<S> Entry<S> {
    fn new() -> Self {
        Self {
            reading: Reading::Pending,
            last_asked: Instant::now(),
            askers: HashSet::new(),
            looked_at: None,
            wake: Arc::default(),
            looked: Arc::default(),
        }
    }
}

struct Task<K, L: Look> {
    entries: Weak<Mutex<Entries<K, L::Seen>>>,
    key: K,
    door: Arc<Door>,
    look: L,
    wake: Arc<Notify>,
    news: News,
    pace: Pace,
}

impl<K: Eq + Hash, L: Look> Task<K, L> {
    async fn run(mut self) {
        let mut backoff = Backoff::new(Duration::from_secs(1), self.pace.longest_pause);
        loop {
            let Looked { at, seen } = self.door.look(&mut self.look, self.pace.limit).await;
            let (reading, next_turn) = match seen {
                Ok(value) => {
                    backoff.reset();
                    (Reading::Known { value, at }, self.door.next_turn(self.pace.interval))
                }
                Err(failure) => (Reading::Failed(failure), Instant::now() + backoff.next_delay()),
            };
            if !self.publish(reading, at) {
                return self.look.close().await;
            }
            tokio::select! {
                () = tokio::time::sleep_until(next_turn) => {}
                () = self.wake.notified() => {}
            }
        }
    }

    /// Leaves the reading for those who ask. False once nobody has asked for long: the entry is gone then.
    fn publish(&self, reading: Reading<L::Seen>, looked_at: Timestamp) -> bool {
        let Some(entries) = self.entries.upgrade() else { return false };
        let mut entries = lock(&entries);
        let Some(entry) = entries.get_mut(&self.key) else { return false };
        if entry.last_asked.elapsed() > self.pace.idle {
            entries.remove(&self.key);
            return false;
        }
        if is_news::<L>(&entry.reading, &reading) {
            for asker in &entry.askers {
                // Nobody listens only while the program ends.
                let _ = self.news.send(asker.clone());
            }
        }
        entry.reading = reading;
        entry.looked_at = Some(looked_at);
        entry.looked.notify_waiters();
        true
    }
}

fn is_news<L: Look>(before: &Reading<L::Seen>, after: &Reading<L::Seen>) -> bool {
    match (before, after) {
        (Reading::Known { value: before, .. }, Reading::Known { value: after, .. }) => {
            L::is_news(before, after)
        }
        (Reading::Failed(before), Reading::Failed(after)) => before != after,
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    /// Sees the values that the test sends, in turn; then waits for ever.
    struct Scripted {
        values: mpsc::UnboundedReceiver<Result<u32, Failure>>,
        closed: Arc<AtomicBool>,
    }

    impl Look for Scripted {
        type Seen = u32;

        async fn look(&mut self) -> Result<u32, Failure> {
            match self.values.recv().await {
                Some(value) => value,
                None => std::future::pending().await,
            }
        }

        fn is_news(before: &u32, after: &u32) -> bool {
            before != after
        }

        async fn close(self) {
            self.closed.store(true, Ordering::Relaxed);
        }
    }

    struct Bench {
        readers: Readers<&'static str, Scripted>,
        values: mpsc::UnboundedSender<Result<u32, Failure>>,
        news: mpsc::UnboundedReceiver<ObjectRef<CryptoPipeline>>,
        closed: Arc<AtomicBool>,
        door: Arc<Door>,
        script: Option<Scripted>,
    }

    impl Bench {
        fn new() -> Self {
            let (news_sender, news) = mpsc::unbounded_channel();
            let (values, receiver) = mpsc::unbounded_channel();
            let closed = Arc::default();
            let script = Some(Scripted { values: receiver, closed: Arc::clone(&closed) });
            let door = Arc::new(Door::new(1, Duration::ZERO));
            Self { readers: Readers::new(news_sender, Pace::default()), values, news, closed, door, script }
        }

        fn read(&mut self, asker: &str) -> Reading<u32> {
            self.readers.read(&"key", &self.door, &ObjectRef::new(asker), || self.script.take().unwrap())
        }

        async fn told(&mut self) -> String {
            self.news.recv().await.unwrap().name
        }
    }

    fn failure(message: &str) -> Failure {
        Failure { message: message.to_owned(), is_transient: true }
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_and_every_asker_is_told_of_what_is_new() {
        let mut bench = Bench::new();
        assert_eq!(bench.read("a"), Reading::Pending);
        assert_eq!(bench.read("b"), Reading::Pending);
        bench.values.send(Ok(1)).unwrap();
        let mut told = [bench.told().await, bench.told().await];
        told.sort();
        assert_eq!(told, ["a", "b"]);
        assert_eq!(bench.read("a").value(), Some(&1));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_not_new_is_kept_and_not_told() {
        let mut bench = Bench::new();
        bench.read("a");
        for value in [1, 1, 2] {
            bench.values.send(Ok(value)).unwrap();
        }
        bench.told().await;
        bench.told().await;
        assert_eq!(bench.read("a").value(), Some(&2));
        assert!(bench.news.try_recv().is_err(), "two changes were told, not three looks");
    }

    #[tokio::test(start_paused = true)]
    async fn a_failure_is_told_once_and_tried_again() {
        let mut bench = Bench::new();
        bench.read("a");
        for value in [Ok(1), Err(failure("away")), Err(failure("away")), Ok(1)] {
            bench.values.send(value).unwrap();
        }
        for expected in [Some(1), None, Some(1)] {
            bench.told().await;
            assert_eq!(bench.read("a").value().copied(), expected);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_look_without_an_answer_is_given_up() {
        let mut bench = Bench::new();
        bench.read("a");
        bench.told().await;
        assert_eq!(bench.read("a"), Reading::Failed(failure("no answer within 20 s")));
    }

    #[tokio::test(start_paused = true)]
    async fn who_changed_something_sees_it_as_it_is_now() {
        let mut bench = Bench::new();
        bench.read("a");
        bench.values.send(Ok(1)).unwrap();
        bench.told().await;
        let values = bench.values.clone();
        let (_, sent) = tokio::join!(bench.readers.look_again(&"key"), async move { values.send(Ok(2)) });
        sent.unwrap();
        assert_eq!(bench.read("a").value(), Some(&2));
        bench.readers.look_again(&"nobody looks at this").await;
    }

    #[tokio::test(start_paused = true)]
    async fn what_nobody_asks_for_is_closed() {
        let mut bench = Bench::new();
        bench.read("a");
        let values = bench.values.clone();
        while !bench.closed.load(Ordering::Relaxed) {
            values.send(Ok(1)).unwrap();
            tokio::time::sleep(Pace::default().interval).await;
        }
        assert!(lock(&bench.readers.entries).is_empty());
    }
}
