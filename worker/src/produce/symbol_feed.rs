//! What a producer knows of each of its symbols, whichever connection brings its trades.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crds::worker_status::{SymbolState, SymbolStatus};
use hashbrown::HashMap;
use market::{Market, Trade};
use tokio::time::Instant;

use super::rhythm::{Rhythm, SilenceBounds};
use super::seen_ids::SeenIds;
use super::stream_watch::{Measure, StreamWatch};
use crate::exchange::Listing;
use crate::record::RecordEncoder;

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
    highest_trade_id: Option<i64>,
    last_trade_at: Option<Instant>,
}

impl SymbolFeed {
    fn new(venue: &str, symbol: &str) -> Self {
        let encoder = RecordEncoder::new(&Market::new(venue, symbol));
        Self { symbol: symbol.to_owned(), encoder, progress: Mutex::default() }
    }

    /// Takes a trade that came at `now`, and gives it to `publish` unless another connection has brought it.
    /// The trades of a symbol are published one after the other, also while two connections overlap.
    pub(crate) fn take(&self, trade: &Trade, now: Instant, publish: impl FnOnce()) {
        let mut progress = self.progress();
        progress.rhythm.observe(now);
        progress.last_trade_at = Some(now);
        progress.highest_trade_id = progress.highest_trade_id.max(Some(trade.trade_id));
        if !progress.seen.contains(trade.trade_id, trade.trade_time_us) {
            publish();
            progress.seen.insert(trade.trade_id, trade.trade_time_us);
        }
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
        let last_trade_at = progress.last_trade_at;
        progress.watch.judge(last_trade_at, subscribed_at.max(read_since), allowed, now)
    }

    /// How long ago at `now` the last trade came.
    pub(crate) fn last_trade_age(&self, now: Instant) -> Option<Duration> {
        self.progress().last_trade_at.map(|at| now.saturating_duration_since(at))
    }

    /// What to tell about it at `now`.
    pub(crate) fn status(&self, now: Instant) -> SymbolStatus {
        let progress = self.progress();
        let age = progress.last_trade_at.map(|at| now.saturating_duration_since(at));
        SymbolStatus {
            state: progress.state(),
            last_trade_id: progress.highest_trade_id,
            last_trade_age_ms: age.map(|age| u64::try_from(age.as_millis()).unwrap_or(u64::MAX)),
        }
    }

    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Progress {
    fn state(&self) -> SymbolState {
        match self.listing {
            Listing::Unchecked => SymbolState::Unchecked,
            Listing::Unknown => SymbolState::Unknown,
            Listing::NotTrading => SymbolState::NotTrading,
            Listing::Trading if self.watch.is_silent() => SymbolState::Silent,
            Listing::Trading if self.last_trade_at.is_some() => SymbolState::Streaming,
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
    pub(crate) fn new(venue: &str, symbols: &[String]) -> Self {
        let feeds = symbols.iter().map(|symbol| SymbolFeed::new(venue, symbol)).collect();
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
    use super::*;

    const BOUNDS: SilenceBounds =
        SilenceBounds { floor: Duration::from_secs(20), ceiling: Duration::from_secs(600) };

    fn trade(trade_id: i64) -> Trade {
        Trade {
            trade_id,
            price: "1".parse().unwrap(),
            quantity: "1".parse().unwrap(),
            trade_time_us: 1,
            event_time_us: 1,
            received_time_us: 1,
            buyer_is_maker: false,
        }
    }

    fn published(feed: &SymbolFeed, ids: &[i64]) -> Vec<i64> {
        let mut published = Vec::new();
        for id in ids {
            feed.take(&trade(*id), Instant::now(), || published.push(*id));
        }
        published
    }

    #[test]
    fn overlapping_connections_publish_each_trade_once_and_lose_none() {
        let feed = SymbolFeed::new("binance", "BTCUSDT");
        assert_eq!(published(&feed, &[7, 8, 8, 10, 7, 9, 10, 11]), [7, 8, 10, 9, 11]);
        assert_eq!(feed.status(Instant::now()).last_trade_id, Some(11));
    }

    #[test]
    fn the_state_follows_listing_subscription_and_trades() {
        let feed = SymbolFeed::new("binance", "BTCUSDT");
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
        feed.take(&trade(1), silent + Duration::from_secs(1), || ());
        assert_eq!(feed.judge(start, BOUNDS, silent + Duration::from_secs(2)), Measure::None);
        assert_eq!(state(), SymbolState::Streaming);
        feed.set_listing(Listing::NotTrading);
        assert_eq!(state(), SymbolState::NotTrading);
        feed.set_listing(Listing::Unknown);
        assert_eq!(state(), SymbolState::Unknown);
    }

    #[test]
    fn a_halted_symbol_may_be_silent() {
        let feed = SymbolFeed::new("binance", "BTCUSDT");
        let start = Instant::now();
        feed.set_listing(Listing::NotTrading);
        feed.set_subscribed(start);
        assert_eq!(feed.judge(start, BOUNDS, start + 10 * BOUNDS.ceiling), Measure::None);
    }
}
