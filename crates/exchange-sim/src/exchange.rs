//! The simulated exchange as a whole: its symbols, its clock, who is connected and what is wrong with it.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use tokio::sync::{Notify, watch};
use tokio_util::task::TaskTracker;

use crate::config::{Limits, SimulatorConfig};
use crate::connections::Connections;
use crate::dumps::DumpCache;
use crate::faults::ExchangeFaults;
use crate::log::TradeLog;
use crate::playback::{Clock, Placement, Speed, Start, SymbolMarket, clocks_ahead_us, wall_now_us};
use crate::rest::WeightLimiter;
use crate::sliding_window::SlidingWindow;

/// What all requests and connections share.
#[derive(Debug)]
pub(crate) struct Exchange {
    pub(crate) config: SimulatorConfig,
    pub(crate) connections: Connections,
    pub(crate) connection_tasks: TaskTracker,
    pub(crate) faults: ExchangeFaults,
    pub(crate) weights: WeightLimiter,
    pub(crate) dumps: DumpCache,
    clock: Clock,
    markets: Vec<Arc<SymbolMarket>>,
    by_stream_symbol: HashMap<String, Arc<SymbolMarket>>,
    played_until_us: AtomicI64,
    has_begun: watch::Sender<bool>,
    wake: watch::Sender<()>,
    player_wake: Notify,
    connection_attempts: Mutex<HashMap<IpAddr, SlidingWindow>>,
}

impl Exchange {
    /// The exchange of `config`, whose logs it takes. Playing begins at once where nobody is waited for.
    pub(crate) fn new(mut config: SimulatorConfig) -> Self {
        let logs = std::mem::take(&mut config.logs);
        let ahead_us = clocks_ahead_us(&logs.iter().map(span_us).collect::<Vec<_>>());
        let starts = logs.iter().zip(&ahead_us).map(|(log, ahead_us)| span_us(log).0 - ahead_us);
        let clock_start_us = starts.min().unwrap_or_else(wall_now_us);
        let placements = ahead_us.iter().map(|ahead_us| match config.start {
            // Every session is moved to the present, by its own distance.
            Start::Now => Placement { clock_ahead_us: 0, shift_us: -ahead_us },
            Start::Recorded => Placement { clock_ahead_us: *ahead_us, shift_us: 0 },
        });
        let markets: Vec<Arc<SymbolMarket>> = logs
            .into_iter()
            .zip(placements)
            .map(|(log, placement)| Arc::new(SymbolMarket::new(log, placement, config.write_log.clone())))
            .collect();
        let exchange = Self {
            clock: Clock::new(config.speed, config.start, clock_start_us, config.past),
            by_stream_symbol: markets
                .iter()
                .map(|market| (market.stream_symbol().to_owned(), market.clone()))
                .collect(),
            markets,
            connections: Connections::default(),
            connection_tasks: TaskTracker::new(),
            faults: ExchangeFaults::default(),
            weights: WeightLimiter::new(&config.limits),
            dumps: DumpCache::default(),
            played_until_us: AtomicI64::new(0),
            has_begun: watch::Sender::new(false),
            wake: watch::Sender::new(()),
            player_wake: Notify::new(),
            connection_attempts: Mutex::default(),
            config,
        };
        let config = &exchange.config;
        if !config.wait_for_subscriber || !config.past.is_zero() || config.speed == Speed::AsFastAsRead {
            exchange.begin();
        }
        exchange
    }

    pub(crate) fn clock(&self) -> &Clock {
        &self.clock
    }

    /// All symbols, in the order of the logs.
    pub(crate) fn markets(&self) -> &[Arc<SymbolMarket>] {
        &self.markets
    }

    /// The market of a symbol in capitals.
    pub(crate) fn market(&self, symbol: &str) -> Option<&Arc<SymbolMarket>> {
        self.market_of_stream(&symbol.to_lowercase()).filter(|market| market.symbol() == symbol)
    }

    /// The market of a symbol as it stands in stream names.
    pub(crate) fn market_of_stream(&self, stream_symbol: &str) -> Option<&Arc<SymbolMarket>> {
        self.by_stream_symbol.get(stream_symbol)
    }

    /// The time that the exchange tells: the latest of its symbols' times.
    pub(crate) fn server_time_us(&self) -> i64 {
        self.markets.iter().map(|market| self.time_us(market)).max().unwrap_or_else(wall_now_us)
    }

    /// The time of `market`. Where only readers move it, that of its last trade.
    pub(crate) fn time_us(&self, market: &SymbolMarket) -> i64 {
        match self.clock.now_us() {
            Some(clock_us) => market.time_us(clock_us),
            None => self.played_until_us(market),
        }
    }

    /// Up to when all trades of `market` have been played: a little behind its time, so that what is said about
    /// a moment never lacks a trade of that moment.
    pub(crate) fn played_until_us(&self, market: &SymbolMarket) -> i64 {
        let start_us = market.time_us(self.clock.start_us());
        if self.clock.is_as_fast_as_read() {
            market.last_played_us().unwrap_or(start_us)
        } else {
            market.time_us(self.played_until_us.load(Ordering::Acquire)).max(start_us)
        }
    }

    /// Until when REST tells of the trades of `market`: for ever, unless it is made to lag.
    pub(crate) fn rest_knows_until_us(&self, market: &SymbolMarket) -> i64 {
        let lag = self.faults.rest_lag(Instant::now());
        if lag.is_zero() {
            return i64::MAX;
        }
        self.time_us(market).saturating_sub(i64::try_from(lag.as_micros()).unwrap_or(i64::MAX))
    }

    /// Plays what is due in all symbols at `clock_us`. Returns when the next trade is due.
    pub(crate) fn play_until(&self, clock_us: i64) -> Option<i64> {
        let next_us = self.markets.iter().filter_map(|market| market.play_until(clock_us)).min();
        self.played_until_us.store(clock_us, Ordering::Release);
        next_us
    }

    /// When the message about something at `time_us` was made; `id` makes the delay vary.
    pub(crate) fn event_time_us(&self, time_us: i64, id: i64) -> i64 {
        if self.clock.follows_wall_clock() {
            // Then it is the moment of sending, so that the way from here to a database can be measured.
            return wall_now_us();
        }
        time_us + 150 + id.wrapping_mul(2_654_435_761).rem_euclid(900)
    }

    /// Begins to play, unless that has happened already.
    pub(crate) fn begin(&self) {
        self.has_begun.send_if_modified(|has_begun| {
            if *has_begun {
                return false;
            }
            let shift_us = self.clock.begin();
            self.markets.iter().for_each(|market| market.shift_all(shift_us));
            if !self.config.past.is_zero() {
                self.play_until(self.clock.start_us());
            }
            *has_begun = true;
            true
        });
    }

    /// Waits until playing has begun.
    pub(crate) async fn begun(&self) {
        // The sender lives as long as self, so waiting cannot fail.
        let _ = self.has_begun.subscribe().wait_for(|has_begun| *has_begun).await;
    }

    /// Makes every connection look for what is new in the market.
    pub(crate) fn wake_connections(&self) {
        self.wake.send_replace(());
    }

    /// Sees every [`Exchange::wake_connections`].
    pub(crate) fn wakes(&self) -> watch::Receiver<()> {
        self.wake.subscribe()
    }

    /// Makes the player look at the markets before the next trade that it knows of is due.
    pub(crate) fn wake_player(&self) {
        self.player_wake.notify_one();
    }

    /// Waits for the next [`Exchange::wake_player`].
    pub(crate) async fn player_woken(&self) {
        self.player_wake.notified().await;
    }

    /// Whether every log has been played to its end.
    pub(crate) fn is_done(&self) -> bool {
        self.markets.iter().all(|market| market.is_done())
    }

    /// Counts a connection attempt from `address`; false where there were too many.
    pub(crate) fn admits_connection(&self, address: IpAddr, now: Instant) -> bool {
        let limit = self.config.limits.connection_attempts;
        let mut attempts = self.connection_attempts.lock().unwrap_or_else(PoisonError::into_inner);
        attempts
            .entry(address)
            .or_insert_with(|| SlidingWindow::new(limit, Limits::CONNECTION_ATTEMPTS_WINDOW))
            .admits(now)
    }
}

/// When a log, which is not empty, begins, and ends if that is known.
fn span_us(log: &TradeLog) -> (i64, Option<i64>) {
    let time_us = |trade: crate::log::Trade| trade.time_us;
    (log.first().map_or(0, time_us), log.last().map(time_us))
}
