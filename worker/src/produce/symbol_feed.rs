//! What a producer knows of each of its symbols, whichever connection brings its trades or the samples of its price.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crds::worker_settings::{RecordEncoding, SourceSettings};
use crds::worker_status::{SymbolState, SymbolStatus};
use hashbrown::HashMap;
use market::{Fixed8, Market};
use tokio::time::Instant;

use super::rhythm::{Rhythm, SilenceBounds};
use super::seen_ids::SeenIds;
use super::stream_watch::{Measure, StreamWatch};
use crate::exchange::Listing;
use crate::record::{Content, RecordEncoder};

/// A price that samples repeat for so long is worth a look: the exchange may say an old one.
const FROZEN_AFTER: Duration = Duration::from_mins(15);

/// One symbol: its records and what its streams did so far.
#[derive(Debug)]
pub(crate) struct SymbolFeed {
    pub(crate) symbol: String,
    pub(crate) encoder: RecordEncoder,
    progress: Mutex<Progress>,
}

#[derive(Debug, Default)]
struct Progress {
    listing: Listing,
    subscribed_at: Option<Instant>,
    seen: SeenIds,
    rhythm: Rhythm,
    watch: StreamWatch,
    /// Of trades the highest id, of samples the latest time.
    highest: Option<i64>,
    last_at: Option<Instant>,
    price: Option<UnchangedPrice>,
}

/// A price that samples repeat.
#[derive(Clone, Copy, Debug)]
struct UnchangedPrice {
    price: Fixed8,
    since: Instant,
}

impl SymbolFeed {
    fn new(venue: &str, symbol: &str, encoding: RecordEncoding) -> Self {
        let encoder = RecordEncoder::new(&Market::new(venue, symbol)).with(encoding);
        Self { symbol: symbol.to_owned(), encoder, progress: Mutex::default() }
    }

    /// Takes what came at `now`, and gives it to `publish` unless another connection has brought it; whether it was new.
    /// What comes of a symbol is published one after the other, also while two connections overlap.
    pub(crate) fn take(&self, content: Content, now: Instant, publish: impl FnOnce(Content)) -> bool {
        let mut progress = self.progress();
        progress.rhythm.observe(now);
        progress.last_at = Some(now);
        let is_new = progress.is_new(&content, now);
        progress.highest = progress.highest.max(Some(content.position()));
        if is_new {
            publish(content);
        }
        is_new
    }

    /// The exchange has said what it knows of the symbol. True where that is news.
    pub(crate) fn set_listing(&self, listing: Listing) -> bool {
        std::mem::replace(&mut self.progress().listing, listing) != listing
    }

    /// What the exchange said last.
    pub(crate) fn listing(&self) -> Listing {
        self.progress().listing
    }

    /// A connection had its subscription acknowledged at `now`.
    pub(crate) fn set_subscribed(&self, now: Instant) {
        self.progress().subscribed_at = Some(now);
    }

    /// No connection carries it any more.
    pub(crate) fn set_interrupted(&self) {
        let mut progress = self.progress();
        progress.subscribed_at = None;
        progress.rhythm.interrupt();
    }

    /// What is to be done at `now` about its stream, which could have delivered since `read_since`.
    pub(crate) fn judge(&self, read_since: Instant, bounds: SilenceBounds, now: Instant) -> Measure {
        let mut progress = self.progress();
        let Some(subscribed_at) = progress.subscribed_at.filter(|_| progress.listing == Listing::Trading)
        else {
            return Measure::None;
        };
        let allowed = progress.rhythm.allowed_silence(bounds);
        let last_at = progress.last_at;
        progress.watch.judge(last_at, subscribed_at.max(read_since), allowed, now)
    }

    /// How long ago at `now` the last trade or sample came.
    pub(crate) fn last_age(&self, now: Instant) -> Option<Duration> {
        self.progress().last_at.map(|at| now.saturating_duration_since(at))
    }

    /// What to tell about it at `now`.
    pub(crate) fn status(&self, now: Instant) -> SymbolStatus {
        let progress = self.progress();
        let age = progress.last_at.map(|at| now.saturating_duration_since(at));
        SymbolStatus {
            state: progress.state(now),
            last_trade_id: progress.highest.filter(|_| progress.price.is_none()),
            last_trade_age_ms: age.map(|age| u64::try_from(age.as_millis()).unwrap_or(u64::MAX)),
        }
    }

    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Progress {
    /// A trade that no connection has brought lately, or a sample that is later than all.
    fn is_new(&mut self, content: &Content, now: Instant) -> bool {
        match content {
            Content::Trade(trade) => {
                let is_new = !self.seen.contains(trade.trade_id, trade.trade_time_us);
                self.seen.insert(trade.trade_id, trade.trade_time_us);
                is_new
            }
            Content::Ticker(ticker) => {
                let price = ticker.price;
                if self.price.is_none_or(|unchanged| unchanged.price != price) {
                    self.price = Some(UnchangedPrice { price, since: now });
                }
                self.highest < Some(ticker.sample_time_us)
            }
        }
    }

    fn is_frozen(&self, now: Instant) -> bool {
        self.price.is_some_and(|unchanged| now.saturating_duration_since(unchanged.since) > FROZEN_AFTER)
    }

    fn state(&self, now: Instant) -> SymbolState {
        match self.listing {
            Listing::Unchecked => SymbolState::Unchecked,
            Listing::Unknown => SymbolState::Unknown,
            Listing::NotTrading => SymbolState::NotTrading,
            Listing::Trading if self.watch.is_silent() => SymbolState::Silent,
            Listing::Trading if self.is_frozen(now) => SymbolState::Frozen,
            Listing::Trading if self.last_at.is_some() => SymbolState::Streaming,
            Listing::Trading if self.subscribed_at.is_some() => SymbolState::Subscribed,
            // Listed, and about to be subscribed.
            Listing::Trading => SymbolState::Unchecked,
        }
    }
}

/// The symbols of a source, by their place in its settings.
#[derive(Debug)]
pub(crate) struct SymbolFeeds {
    feeds: Vec<SymbolFeed>,
    places: HashMap<String, usize>,
}

impl SymbolFeeds {
    pub(crate) fn new(source: &SourceSettings) -> Self {
        let SourceSettings { venue, symbols, encoding, .. } = source;
        let feeds = symbols.iter().map(|symbol| SymbolFeed::new(venue, symbol, *encoding)).collect();
        let places = symbols.iter().enumerate().map(|(place, symbol)| (symbol.clone(), place)).collect();
        Self { feeds, places }
    }

    pub(crate) fn all(&self) -> &[SymbolFeed] {
        &self.feeds
    }

    pub(crate) fn place_of(&self, symbol: &str) -> Option<usize> {
        self.places.get(symbol).copied()
    }
}

#[cfg(test)]
mod tests {
    use market::{Ticker, Trade};

    use super::*;

    const BOUNDS: SilenceBounds =
        SilenceBounds { floor: Duration::from_secs(20), ceiling: Duration::from_secs(600) };

    fn trade(trade_id: i64) -> Content {
        Content::Trade(Trade {
            trade_id,
            price: "1".parse().unwrap(),
            quantity: "1".parse().unwrap(),
            trade_time_us: 1,
            event_time_us: 1,
            received_time_us: 1,
            buyer_is_maker: false,
        })
    }

    fn sample(sample_time_us: i64, price: &str) -> Content {
        let price = price.parse().unwrap();
        Content::Ticker(Box::new(Ticker { sample_time_us, price, day: None, received_time_us: 1 }))
    }

    fn published(feed: &SymbolFeed, ids: &[i64]) -> Vec<i64> {
        let mut published = Vec::new();
        for id in ids {
            feed.take(trade(*id), Instant::now(), |_| published.push(*id));
        }
        published
    }

    #[test]
    fn overlapping_connections_publish_each_trade_once_and_lose_none() {
        let feed = SymbolFeed::new("binance", "BTCUSDT", RecordEncoding::Own);
        assert_eq!(published(&feed, &[7, 8, 8, 10, 7, 9, 10, 11]), [7, 8, 10, 9, 11]);
        assert_eq!(feed.status(Instant::now()).last_trade_id, Some(11));
    }

    #[test]
    fn samples_go_on_in_time_only_and_a_price_that_stays_is_told() {
        let feed = SymbolFeed::new("binance", "BTCUSDT", RecordEncoding::Own);
        let start = Instant::now();
        feed.set_listing(Listing::Trading);
        feed.set_subscribed(start);
        let taken = [(5, "1"), (5, "2"), (4, "2"), (6, "2")]
            .map(|(time, price)| feed.take(sample(time, price), start, |_| ()));
        assert_eq!(taken, [true, false, false, true]);
        assert_eq!(feed.status(start).last_trade_id, None);
        assert_eq!(feed.status(start + FROZEN_AFTER).state, SymbolState::Streaming);
        let later = start + FROZEN_AFTER + Duration::from_secs(1);
        feed.take(sample(7, "2"), later, |_| ());
        assert_eq!(feed.status(later).state, SymbolState::Frozen);
        feed.take(sample(8, "2.1"), later, |_| ());
        assert_eq!(feed.status(later).state, SymbolState::Streaming);
    }

    #[test]
    fn the_state_follows_listing_subscription_and_trades() {
        let feed = SymbolFeed::new("binance", "BTCUSDT", RecordEncoding::Own);
        let start = Instant::now();
        let state = || feed.status(start).state;
        assert_eq!(state(), SymbolState::Unchecked);
        assert!(feed.set_listing(Listing::Trading));
        assert!(!feed.set_listing(Listing::Trading));
        feed.set_subscribed(start);
        assert_eq!(state(), SymbolState::Subscribed);
        let silent = start + BOUNDS.ceiling + Duration::from_secs(1);
        assert_eq!(feed.judge(start, BOUNDS, silent), Measure::SubscribeAgain);
        assert_eq!(state(), SymbolState::Silent);
        feed.take(trade(1), silent + Duration::from_secs(1), |_| ());
        assert_eq!(feed.judge(start, BOUNDS, silent + Duration::from_secs(2)), Measure::None);
        assert_eq!(state(), SymbolState::Streaming);
        feed.set_listing(Listing::NotTrading);
        assert_eq!(state(), SymbolState::NotTrading);
        feed.set_listing(Listing::Unknown);
        assert_eq!(state(), SymbolState::Unknown);
    }

    #[test]
    fn a_halted_symbol_may_be_silent() {
        let feed = SymbolFeed::new("binance", "BTCUSDT", RecordEncoding::Own);
        let start = Instant::now();
        feed.set_listing(Listing::NotTrading);
        feed.set_subscribed(start);
        assert_eq!(feed.judge(start, BOUNDS, start + 10 * BOUNDS.ceiling), Measure::None);
    }
}
