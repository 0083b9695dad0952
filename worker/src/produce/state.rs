//! Everything that a running producer tells about itself: counters that the hot path only adds to, and
//! what is wrong at the moment, in words.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use crds::worker_settings::{Feed, RecordEncoding, SourceSettings};
use crds::worker_status::{DependencyStatus, MalformedFrames, ProducerStatus};
use runtime::broker_health::BrokerHealth;
use runtime::health::Probes;
use tokio::time::Instant;

use super::symbol_feed::SymbolFeeds;
use crate::exchange::FrameError;

/// How much of a malformed frame is shown.
const SAMPLE_BYTES: usize = 300;

/// The live state of one producer. Whoever holds it can read it while the producer runs.
#[derive(Debug)]
pub struct ProducerState {
    source: String,
    pub(crate) feed: Feed,
    pub(crate) encoding: RecordEncoding,
    pub(crate) feeds: SymbolFeeds,
    pub(crate) broker: BrokerHealth,
    /// Trades or samples read from the exchange.
    pub(crate) received: Counter,
    /// Records that were given to the publisher; those not published nor dropped wait.
    pub(crate) records_accepted: Counter,
    pub(crate) records_published: Counter,
    pub(crate) records_dropped: Counter,
    pub(crate) reconnects: Counter,
    began: Instant,
    /// In milliseconds since `began`, one more so that 0 is none.
    last_frame_ms: AtomicU64,
    weight_used: AtomicU32,
    malformed_frames: Mutex<BTreeMap<&'static str, MalformedFrames>>,
    /// What is wrong with the exchange, by the part that it is wrong with.
    exchange_problems: Mutex<BTreeMap<String, String>>,
    fatal: OnceLock<String>,
}

/// Counts up from the start of the program.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl ProducerState {
    /// The state of a producer of `source` that has not begun.
    #[must_use]
    pub fn new(source: &SourceSettings) -> Self {
        Self {
            source: source.name.clone(),
            feed: source.feed,
            encoding: source.encoding,
            feeds: SymbolFeeds::new(source),
            broker: BrokerHealth::default(),
            received: Counter::default(),
            records_accepted: Counter::default(),
            records_published: Counter::default(),
            records_dropped: Counter::default(),
            reconnects: Counter::default(),
            began: Instant::now(),
            last_frame_ms: AtomicU64::new(0),
            weight_used: AtomicU32::new(0),
            malformed_frames: Mutex::default(),
            exchange_problems: Mutex::default(),
            fatal: OnceLock::new(),
        }
    }

    /// The state at this moment.
    #[must_use]
    pub fn snapshot(&self) -> ProducerStatus {
        let now = Instant::now();
        let feeds = self.feeds.all().iter();
        ProducerStatus {
            source: self.source.clone(),
            exchange: self.exchange_status(),
            broker: self.broker_status(),
            symbols: feeds.map(|feed| (feed.symbol.clone(), feed.status(now))).collect(),
            trades_received: self.received_of(Feed::Trades),
            samples_received: self.received_of(Feed::Tickers),
            records_published: self.records_published.get(),
            records_dropped: self.records_dropped.get(),
            malformed_frames: self.malformed_frames(),
            reconnects: self.reconnects.get(),
        }
    }

    /// How many trades or samples were read from the exchange.
    pub(crate) fn received_of(&self, feed: Feed) -> u64 {
        if feed == self.feed { self.received.get() } else { 0 }
    }

    pub(crate) fn exchange_status(&self) -> DependencyStatus {
        let problems = lock(&self.exchange_problems);
        let message = problems.iter().map(|(part, problem)| format!("{part}: {problem}")).collect::<Vec<_>>();
        DependencyStatus { available: problems.is_empty(), message: message.join("; ") }
    }

    pub(crate) fn broker_status(&self) -> DependencyStatus {
        DependencyStatus { available: self.broker.is_available(), message: self.broker.message() }
    }

    pub(crate) fn malformed_frames(&self) -> BTreeMap<String, MalformedFrames> {
        let malformed = lock(&self.malformed_frames);
        malformed.iter().map(|(reason, frames)| ((*reason).to_owned(), frames.clone())).collect()
    }

    /// A frame was left out because of `error`.
    pub(crate) fn note_malformed(&self, error: &FrameError, frame: &str) {
        let mut malformed = lock(&self.malformed_frames);
        let frames = malformed.entry(error.reason()).or_default();
        frames.count += 1;
        frames.newest.clear();
        frames.newest.push_str(&frame[..frame.floor_char_boundary(SAMPLE_BYTES)]);
        tracing::debug!(reason = error.reason(), %error, frame = %frames.newest, "frame left out");
    }

    /// Something is wrong with `part` of the exchange.
    pub(crate) fn set_problem(&self, part: &str, problem: String) {
        lock(&self.exchange_problems).insert(part.to_owned(), problem);
    }

    /// Nothing is wrong with `part` any more.
    pub(crate) fn clear_problem(&self, part: &str) {
        lock(&self.exchange_problems).remove(part);
    }

    /// Records that wait for the broker.
    pub(crate) fn records_buffered(&self) -> u64 {
        // What has left is read first: of what comes meanwhile there may be too many, but never fewer than none.
        let left = self.records_published.get() + self.records_dropped.get();
        self.records_accepted.get().saturating_sub(left)
    }

    /// A frame came at `now`, of whatever connection.
    pub(crate) fn note_frame(&self, now: Instant) {
        let since = now.saturating_duration_since(self.began).as_millis();
        self.last_frame_ms
            .store(u64::try_from(since).unwrap_or(u64::MAX).saturating_add(1), Ordering::Relaxed);
    }

    /// How long ago at `now` the last frame came, if one has.
    pub(crate) fn last_frame_age(&self, now: Instant) -> Option<Duration> {
        let at_ms = self.last_frame_ms.load(Ordering::Relaxed).checked_sub(1)?;
        Some(now.saturating_duration_since(self.began + Duration::from_millis(at_ms)))
    }

    /// The request weight that the exchange counted last.
    pub(crate) fn set_weight_used(&self, weight: u32) {
        self.weight_used.store(weight, Ordering::Relaxed);
    }

    pub(crate) fn weight_used(&self) -> u32 {
        self.weight_used.load(Ordering::Relaxed)
    }

    /// The Kafka client has said that it will never work again.
    pub(crate) fn set_fatal(&self, message: String) {
        // The first one is the cause; what follows are its consequences.
        let _ = self.fatal.set(message);
    }
}

impl Probes for ProducerState {
    type Status = ProducerStatus;

    fn why_not_alive(&self) -> Vec<String> {
        self.fatal.get().cloned().into_iter().collect()
    }

    fn why_not_ready(&self) -> Vec<String> {
        let [exchange, broker] = [("exchange", self.exchange_status()), ("broker", self.broker_status())]
            .map(|(name, dependency)| {
                (!dependency.available).then(|| format!("{name}: {}", dependency.message))
            });
        exchange.into_iter().chain(broker).chain(self.fatal.get().cloned()).collect()
    }

    fn status(&self) -> ProducerStatus {
        self.snapshot()
    }
}

/// What a thread that panicked left behind is still counters and words.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use crds::worker_settings::ExchangeKind;

    use super::*;

    fn state() -> ProducerState {
        ProducerState::new(&SourceSettings {
            name: "spot".into(),
            exchange: ExchangeKind::Binance,
            venue: "binance".into(),
            symbols: vec!["BTCUSDT".into(), "ETHUSDT".into()],
            feed: Feed::Trades,
            encoding: RecordEncoding::Own,
            poll_interval_ms: None,
            websocket_url: "ws://localhost".into(),
            rest_url: "http://localhost".into(),
        })
    }

    #[test]
    fn every_symbol_of_the_settings_is_in_the_status() {
        let status = state().snapshot();
        assert_eq!(status.source, "spot");
        assert_eq!(status.symbols.keys().collect::<Vec<_>>(), ["BTCUSDT", "ETHUSDT"]);
    }

    #[test]
    fn malformed_frames_show_how_many_and_the_newest() {
        let state = state();
        let long = format!("second {}", "ä".repeat(500));
        for frame in ["first", &long] {
            state.note_malformed(&FrameError::MissingField("t"), frame);
        }
        let frames = &state.snapshot().malformed_frames["missing_field"];
        assert_eq!(frames.count, 2);
        assert!(frames.newest.starts_with("second ä") && frames.newest.len() <= SAMPLE_BYTES);
    }

    #[test]
    fn unready_until_exchange_and_broker_work() {
        let state = state();
        state.set_problem("symbols", "not asked yet".into());
        assert_eq!(state.why_not_ready().len(), 2);
        assert!(state.why_not_ready()[0].starts_with("exchange: symbols: not asked yet"));
        state.clear_problem("symbols");
        state.broker.note_success();
        assert!(state.why_not_ready().is_empty());
        assert!(state.why_not_alive().is_empty());
        state.set_fatal("the producer was fenced".into());
        assert_eq!(state.why_not_alive(), ["the producer was fenced"]);
        assert_eq!(state.why_not_ready(), ["the producer was fenced"]);
    }
}
