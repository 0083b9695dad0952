//! Keeps the symbols of one connection streaming: opens it, subscribes, watches, replaces it before it
//! is closed, and opens the next one where it was lost.

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use runtime::backoff::Backoff;
use runtime::error_chain::error_chain;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::task::TaskTracker;

use super::attempt_limiter::AttemptLimiter;
use super::connection::{ConnectError, Connection};
use super::frame_reader::{FrameReader, Notice};
use super::overlap::{Overlap, Verdict};
use super::publisher::Publisher;
use super::requests::Requests;
use super::state::ProducerState;
use super::stream_watch::Measure;
use super::symbol_feed::SymbolFeed;
use super::timings::Timings;
use crate::exchange::binance;

/// What the keepers of one producer share.
pub(crate) struct Shared {
    pub(crate) state: Arc<ProducerState>,
    pub(crate) publisher: Arc<Publisher>,
    pub(crate) timings: Timings,
    pub(crate) attempts: Mutex<AttemptLimiter>,
    /// The tasks that read connections.
    pub(crate) readers: TaskTracker,
}

/// Keeps one connection, and during a rotation two.
pub(crate) struct StreamKeeper {
    pub(crate) shared: Arc<Shared>,
    /// What its problems are told under.
    pub(crate) name: String,
    pub(crate) url: String,
    /// The places of its symbols among those of the source.
    pub(crate) places: Range<usize>,
    /// Changes whenever the exchange has told something new about a symbol.
    pub(crate) listed: watch::Receiver<()>,
    pub(crate) has_connected: bool,
}

/// A connection with what was asked on it.
struct Link {
    connection: Connection,
    requests: Requests,
    /// By place in the keeper's range: whether it was asked for on this connection.
    asked: Vec<bool>,
    rotate_at: Instant,
    shutdown_noticed: bool,
}

/// Why a connection is watched no longer.
enum Watched {
    /// It still streams, and another one must take its place.
    MustBeReplaced(String),
    /// It is gone.
    Lost(String),
}

/// There is no new connection.
struct NotRenewed {
    /// The one that is read on meanwhile.
    older: Option<Link>,
    /// How long the exchange wants to be left alone.
    pause: Duration,
}

/// Why there is no subscribed connection.
#[derive(Debug, thiserror::Error)]
enum OpenError {
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error("lost before everything was subscribed: {0}")]
    Lost(String),
}

impl OpenError {
    /// How long the exchange wants to be left alone.
    fn pause(&self) -> Duration {
        match self {
            Self::Connect(error) => error.pause().unwrap_or_default(),
            Self::Lost(_) => Duration::ZERO,
        }
    }
}

impl StreamKeeper {
    /// Runs until it is dropped; its connections are then closed in order.
    pub(crate) async fn keep_streaming(mut self) {
        let timings = self.shared.timings;
        let mut backoff = Backoff::new(timings.retry_shortest, timings.retry_longest);
        let mut active = None;
        loop {
            self.wait_until_listed().await;
            let pause = match self.renew(active.take()).await {
                Ok(mut link) => {
                    backoff.reset();
                    self.shared.state.clear_problem(&self.name);
                    match self.watch(&mut link).await {
                        Watched::MustBeReplaced(why) => {
                            tracing::info!(connection = self.name, why, "replacing the connection");
                            active = Some(link);
                            continue;
                        }
                        Watched::Lost(why) => self.note_lost(why),
                    }
                    Duration::ZERO
                }
                Err(NotRenewed { older, pause }) => {
                    active = older;
                    pause
                }
            };
            tokio::time::sleep(backoff.next_delay().max(pause)).await;
        }
    }

    /// Waits until there is a symbol to subscribe.
    async fn wait_until_listed(&mut self) {
        while self.subscribable().is_empty() {
            if self.listed.changed().await.is_err() {
                // Nothing new will ever be told: the producer is about to end.
                std::future::pending::<()>().await;
            }
        }
    }

    /// Opens a connection and makes it the one in use, in place of an `older` one.
    async fn renew(&mut self, older: Option<Link>) -> Result<Link, NotRenewed> {
        let error = match self.open().await {
            Ok(next) => return self.take_over(older, next).await,
            Err(error) => error,
        };
        let cause = error_chain(&error);
        let older = older.filter(|link| !link.connection.has_ended());
        if older.is_some() {
            tracing::warn!(connection = self.name, error = cause, "no new connection, keeping the old one");
        } else {
            self.note_lost(cause);
        }
        Err(NotRenewed { older, pause: error.pause() })
    }

    /// Opens a connection and subscribes everything on it.
    async fn open(&mut self) -> Result<Link, OpenError> {
        let shared = Arc::clone(&self.shared);
        let wait = shared.attempts.lock().unwrap_or_else(PoisonError::into_inner).reserve(Instant::now());
        tokio::time::sleep(wait).await;
        let places = self.places.clone();
        let make_reader = |progress| FrameReader {
            state: Arc::clone(&shared.state),
            publisher: Arc::clone(&shared.publisher),
            progress,
            places,
        };
        let timeout = shared.timings.answer_timeout;
        let connection =
            Connection::open(&self.url, timeout, self.places.len(), &shared.readers, make_reader).await?;
        if std::mem::replace(&mut self.has_connected, true) {
            shared.state.reconnects.add(1);
        }
        let requests = Requests::new(binance::STREAMS_PER_MESSAGE, binance::MESSAGE_INTERVAL, timeout);
        // Pods that started together must not all rotate together.
        let rotate_after = shared.timings.rotate_after;
        let earlier = rand::random_range(Duration::ZERO..=rotate_after / 32);
        let rotate_at = connection.opened_at + rotate_after - earlier;
        let asked = vec![false; self.places.len()];
        let mut link = Link { connection, requests, asked, rotate_at, shutdown_noticed: false };
        self.ask_for_new(&mut link);
        while !link.requests.is_settled() {
            self.advance(&mut link).await.map_err(OpenError::Lost)?;
        }
        Ok(link)
    }

    /// Makes `next` the connection in use. An `older` one is read until nothing can be missed on
    /// `next`; it is returned where `next` turns out to be dead.
    async fn take_over(&self, older: Option<Link>, mut next: Link) -> Result<Link, NotRenewed> {
        let Some(older) = older else { return Ok(next) };
        let timings = self.shared.timings;
        let began = Instant::now();
        let overlap = Overlap::new(
            &older.connection.progress.delivered(),
            timings.overlap_at_least,
            timings.overlap_at_most,
        );
        let mut ticks = tokio::time::interval(timings.watch_interval.min(timings.overlap_at_least));
        loop {
            tokio::select! {
                advanced = self.advance(&mut next) => if let Err(why) = advanced {
                    tracing::warn!(connection = self.name, why, "the new connection was lost");
                    return Err(NotRenewed { older: Some(older), pause: Duration::ZERO });
                },
                _ = ticks.tick() => {}
            }
            if older.connection.has_ended() {
                return Ok(next);
            }
            let [older_progress, next_progress] = [&older, &next].map(|link| &link.connection.progress);
            let read_since = older_progress.read_since().zip(next_progress.read_since());
            let read_for = read_since.map(|(older, next)| older.max(next).elapsed());
            let (older_delivered, next_delivered) = (older_progress.delivered(), next_progress.delivered());
            match overlap.judge(&older_delivered, &next_delivered, began.elapsed(), read_for) {
                Verdict::Wait => {}
                Verdict::HandedOver => return Ok(next),
                Verdict::NewerIsDead => {
                    tracing::warn!(connection = self.name, "the new connection delivers nothing");
                    return Err(NotRenewed { older: Some(older), pause: Duration::ZERO });
                }
            }
        }
    }

    /// Watches a connection in use until it must be replaced or is lost.
    async fn watch(&mut self, link: &mut Link) -> Watched {
        let mut ticks = tokio::time::interval(self.shared.timings.watch_interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut listed = self.listed.clone();
        loop {
            if link.shutdown_noticed {
                return Watched::MustBeReplaced("the exchange is about to close it".to_owned());
            }
            let end = tokio::select! {
                advanced = self.advance(link) => advanced.err().map(Watched::Lost),
                _ = ticks.tick() => self.look_at(link, Instant::now()),
                Ok(()) = listed.changed() => {
                    self.ask_for_new(link);
                    None
                }
            };
            if let Some(end) = end {
                return end;
            }
        }
    }

    /// Looks at age and silence, and asks again for streams that are silent for the first time.
    fn look_at(&self, link: &mut Link, now: Instant) -> Option<Watched> {
        if now >= link.rotate_at {
            return Some(Watched::MustBeReplaced("it has reached its age".to_owned()));
        }
        let silence = link.connection.progress.silence(now)?;
        if silence > self.shared.timings.connection_silence {
            return Some(Watched::Lost(format!("no frame for {} s, not even a ping", silence.as_secs())));
        }
        let read_since = link.connection.progress.read_since()?;
        let mut silent = Vec::new();
        for place in self.places.clone() {
            let feed = self.feed(place);
            match feed.judge(read_since, self.shared.timings.silence, now) {
                Measure::None => {}
                Measure::SubscribeAgain => {
                    tracing::warn!(symbol = feed.symbol, "no trade for long: subscribing again");
                    silent.push(place);
                }
                Measure::ReplaceConnection => {
                    return Some(Watched::MustBeReplaced(format!("{} stays silent", feed.symbol)));
                }
            }
        }
        link.requests.ask(&silent);
        None
    }

    /// Sends the request that is due, and takes the next answer or notice. Safe to cancel.
    ///
    /// # Errors
    /// Why the connection is of no use any more.
    async fn advance(&self, link: &mut Link) -> Result<(), String> {
        if let Some((id, places)) = link.requests.take_due(Instant::now()) {
            let symbols = places.iter().map(|place| self.feed(*place).symbol.as_str());
            link.connection.send(binance::subscribe_message(id, self.shared.state.feed, symbols));
        }
        let wake_at = link.requests.wake_at();
        let wake = async {
            match wake_at {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            notice = link.connection.next_notice() => self.take_notice(link, notice),
            () = wake => {
                let now = Instant::now();
                if !link.requests.is_overdue(now) {
                    return Ok(());
                }
                let read_since = link.connection.progress.read_since();
                if read_since.is_some_and(|since| now - since >= self.shared.timings.answer_timeout) {
                    return Err("a subscription was not answered in time".to_owned());
                }
                // The answer may wait behind trades that we ourselves do not read yet.
                link.requests.wait_longer(now);
                Ok(())
            }
        }
    }

    fn take_notice(&self, link: &mut Link, notice: Notice) -> Result<(), String> {
        match notice {
            Notice::Acknowledged(id) => {
                for place in link.requests.acknowledge(id) {
                    let feed = self.feed(place);
                    feed.set_subscribed(Instant::now());
                    self.shared.state.clear_problem(&refused_part(feed));
                }
            }
            Notice::Refused(Some(id), message) => {
                if let Some(place) = link.requests.refuse(id) {
                    let feed = self.feed(place);
                    tracing::warn!(symbol = feed.symbol, message, "subscription refused");
                    self.shared.state.set_problem(&refused_part(feed), message);
                }
            }
            Notice::Refused(None, message) => {
                return Err(format!("the exchange could not read us: {message}"));
            }
            Notice::Shutdown => link.shutdown_noticed = true,
            Notice::Ended(why) => return Err(why),
        }
        Ok(())
    }

    /// Asks for what the exchange lists and was not asked for on `link` yet.
    fn ask_for_new(&self, link: &mut Link) {
        let mut places = self.subscribable();
        places.retain(|place| !std::mem::replace(&mut link.asked[place - self.places.start], true));
        link.requests.ask(&places);
    }

    fn subscribable(&self) -> Vec<usize> {
        self.places.clone().filter(|place| self.feed(*place).listing().can_be_subscribed()).collect()
    }

    fn note_lost(&self, why: String) {
        tracing::warn!(connection = self.name, why, "nothing is streamed");
        for place in self.places.clone() {
            self.feed(place).set_interrupted();
        }
        self.shared.state.set_problem(&self.name, why);
    }

    fn feed(&self, place: usize) -> &SymbolFeed {
        &self.shared.state.feeds.all()[place]
    }
}

/// What the refusal of one symbol is told under.
fn refused_part(feed: &SymbolFeed) -> String {
    format!("subscription of {}", feed.symbol)
}
