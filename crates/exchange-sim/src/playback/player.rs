//! Moves the markets on: with the clock where there is a speed, and the written log to disk in any case.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::exchange::Exchange;
use crate::log::WriteLogError;

const SECOND_US: i64 = 1_000_000;
/// The timer's own resolution.
const SHORTEST_WAIT: Duration = Duration::from_millis(1);
/// How often the written log is handed to the system.
const FLUSH_EVERY: Duration = Duration::from_millis(500);

/// Plays by the clock until `stop`. Each round plays what is due in all symbols and wakes the connections.
pub(crate) async fn play(exchange: Arc<Exchange>, stop: CancellationToken) {
    tokio::select! {
        () = stop.cancelled() => return,
        () = exchange.begun() => {}
    }
    while let Some(now_us) = exchange.clock().now_us() {
        // Candles and tickers are sent on whole seconds, whether there are trades or not.
        let next_second_us = now_us - now_us.rem_euclid(SECOND_US) + SECOND_US;
        let next_us = exchange.play_until(now_us).map_or(next_second_us, |due_us| due_us.min(next_second_us));
        exchange.wake_connections();
        let wait = exchange.clock().waiting_time(next_us - now_us).max(SHORTEST_WAIT);
        tokio::select! {
            () = stop.cancelled() => return,
            () = exchange.player_woken() => {}
            () = tokio::time::sleep(wait) => {}
        }
    }
}

/// Flushes the written logs now and then until `stop`. What is played after the last time is not its affair.
///
/// # Errors
/// Where a log cannot be written: what is played can then no longer be compared with it.
pub(crate) async fn flush_written_logs(
    exchange: Arc<Exchange>,
    stop: CancellationToken,
) -> Result<(), WriteLogError> {
    loop {
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = tokio::time::sleep(FLUSH_EVERY) => {}
        }
        for market in exchange.markets() {
            market.flush_written_log()?;
        }
    }
}
