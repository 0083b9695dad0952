//! What a simulator is started with.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use crate::log::TradeLog;
use crate::playback::{Speed, Start};

/// What is played, how, and which limits hold. [`SimulatorConfig::new`] has the real exchange's values.
#[derive(Debug)]
pub struct SimulatorConfig {
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// One log per symbol.
    pub logs: Vec<TradeLog>,
    /// How fast they are played.
    pub speed: Speed,
    /// Which times the trades are given.
    pub start: Start,
    /// Whether the market begins with the first subscription to one of its symbols instead of at once. As fast
    /// as the reader takes, every symbol begins with the first subscription to it anyway.
    pub wait_for_subscriber: bool,
    /// How much of the logs, in their own time, lies in the past when playing begins: it is never streamed, but REST and
    /// the daily files have it. Then nobody is waited for.
    pub past: Duration,
    /// Where to write what is played: `SYMBOL-trades-YYYY-MM-DD.csv`.
    pub write_log: Option<PathBuf>,
    /// A connection that is this many trades of a symbol behind the market is cut off. Does not apply where the
    /// readers set the pace.
    pub max_backlog_trades: usize,
    /// How often the server pings.
    pub ping_interval: Duration,
    /// A ping that is not answered for this long ends the connection.
    pub pong_timeout: Duration,
    /// How long a connection lives at most.
    pub connection_lifetime: Duration,
    /// Whether REST lacks single trades by id, as the real host for market data only does.
    pub market_data_only: bool,
    /// What clients may do.
    pub limits: Limits,
}

/// What the exchange allows its clients.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Messages from a client in any second, pings and pongs included; one more closes the connection.
    pub messages_per_second: usize,
    /// Streams on one connection; one more closes it.
    pub streams_per_connection: usize,
    /// WebSocket connection attempts per address in [`Limits::CONNECTION_ATTEMPTS_WINDOW`].
    pub connection_attempts: usize,
    /// REST request weight per address and minute.
    pub weight_per_minute: u32,
    /// An address that was told this many times in a minute to slow down, and asks again, is banned.
    pub warnings_before_ban: u32,
    /// How long the first ban lasts; each further one lasts twice as long.
    pub first_ban: Duration,
}

impl Limits {
    /// The time in which connection attempts are counted.
    pub const CONNECTION_ATTEMPTS_WINDOW: Duration = Duration::from_secs(300);
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            messages_per_second: 5,
            streams_per_connection: 1_024,
            connection_attempts: 300,
            weight_per_minute: 6_000,
            warnings_before_ban: 10,
            first_ban: Duration::from_secs(120),
        }
    }
}

impl SimulatorConfig {
    /// Plays `logs` at their own speed and times, on a free port of the loopback interface.
    #[must_use]
    pub fn new(logs: Vec<TradeLog>) -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            logs,
            speed: Speed::from_factor(1),
            start: Start::Recorded,
            wait_for_subscriber: false,
            past: Duration::ZERO,
            write_log: None,
            max_backlog_trades: 500_000,
            ping_interval: Duration::from_secs(20),
            pong_timeout: Duration::from_secs(60),
            connection_lifetime: Duration::from_secs(24 * 3_600),
            market_data_only: false,
            limits: Limits::default(),
        }
    }
}
