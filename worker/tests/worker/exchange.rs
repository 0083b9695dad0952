//! The simulated exchange and what it plays.

use std::path::PathBuf;

use exchange_sim::log::read_files;
use exchange_sim::{Running, Simulator, SimulatorConfig, Speed, Trade, TradeLog};

pub(crate) const START_US: i64 = 1_767_225_600_000_000;

/// A log of `count` trades with ids from 1, one every `apart_us`.
pub(crate) fn even_log(symbol: &str, count: i64, apart_us: i64) -> TradeLog {
    let trades: Vec<Trade> = (1..=count)
        .map(|id| Trade {
            id,
            price: format!("{}.5", 100 + id % 10).parse().unwrap(),
            quantity: "0.25".parse().unwrap(),
            time_us: START_US + id * apart_us,
            aggregate_id: id,
            buyer_is_maker: id % 2 == 0,
        })
        .collect();
    TradeLog::recorded(symbol, &trades)
}

/// Played as fast as it is read.
pub(crate) fn as_fast_as_read(logs: Vec<TradeLog>) -> SimulatorConfig {
    SimulatorConfig { speed: Speed::AsFastAsRead, ..SimulatorConfig::new(logs) }
}

/// Played by the clock, from the first subscription on.
pub(crate) fn live(logs: Vec<TradeLog>) -> SimulatorConfig {
    SimulatorConfig { speed: Speed::from_factor(1), wait_for_subscriber: true, ..SimulatorConfig::new(logs) }
}

pub(crate) async fn start(config: SimulatorConfig) -> Running {
    runtime::tls::install_provider();
    Simulator::start(config).await.unwrap()
}

/// The log of a recording, or `None`, said openly, where it is absent.
pub(crate) fn recording(name: &str) -> Option<TradeLog> {
    let folder = std::env::var("MARKET_DATA").map_or_else(
        |_| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/market-data"),
        PathBuf::from,
    );
    if !folder.is_dir() {
        println!("SKIPPED: no recordings in {}; set MARKET_DATA", folder.display());
        return None;
    }
    read_files(&[folder.join(name)]).unwrap().pop()
}
