//! What the tables need from time to time, on connections of its own: days made ahead, old days dropped.

use std::time::Duration;

use crds::worker_settings::DatabaseSettings;
use runtime::error_chain::error_chain;
use store::{Retention, Store};
use tokio_util::sync::CancellationToken;

use jiff::Timestamp;

const INTERVAL: Duration = Duration::from_secs(300);

/// Keeps the tables in order until `shutdown`. What fails is tried again the next time.
pub(super) async fn keep_in_order(store: Store, settings: DatabaseSettings, shutdown: CancellationToken) {
    let retention =
        Retention { trades_s: settings.trades_retention_s, candles_s: settings.candles_retention_s };
    let mut next_turn = tokio::time::interval(INTERVAL);
    while shutdown.run_until_cancelled(next_turn.tick()).await.is_some() {
        let now_us = Timestamp::now().as_microsecond();
        if let Err(error) = store.prepare_days(now_us).await {
            tracing::warn!(error = error_chain(&error), "cannot make days ahead");
        }
        if let Err(error) = store.retain(retention, now_us).await {
            tracing::warn!(error = error_chain(&error), "cannot drop what is older than the retention");
        }
    }
}
