//! Binance Spot: where its trade streams are, how they are subscribed and what it allows.

use std::time::Duration;

use crds::worker_settings::Feed;
use serde_json::json;

/// Streams of one connection. The exchange allows 1024.
pub(crate) const STREAMS_PER_CONNECTION: usize = 1_000;

/// Streams in one SUBSCRIBE message: 2 kB of text.
pub(crate) const STREAMS_PER_MESSAGE: usize = 100;

/// The exchange allows five messages a second, its own pings' answers included, and counts them more
/// strictly than that: one per 300 ms is what has been seen to be safe.
pub(crate) const MESSAGE_INTERVAL: Duration = Duration::from_millis(300);

/// The address of a connection that carries any number of streams, each frame in an envelope that
/// names its stream, all times in microseconds.
pub(crate) fn stream_url(websocket_url: &str) -> String {
    format!("{}/stream?timeUnit=MICROSECOND", websocket_url.trim_end_matches('/'))
}

/// The message that subscribes the `feed` of `symbols`; the answer carries `id`.
pub(crate) fn subscribe_message<'a>(id: i64, feed: Feed, symbols: impl Iterator<Item = &'a str>) -> String {
    let stream = match feed {
        Feed::Trades => "trade",
        Feed::Tickers => "ticker",
    };
    let streams: Vec<String> = symbols.map(|symbol| format!("{}@{stream}", symbol.to_lowercase())).collect();
    json!({"method": "SUBSCRIBE", "params": streams, "id": id}).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stream_names_are_lowercase_and_times_in_microseconds() {
        assert_eq!(
            subscribe_message(7, Feed::Trades, ["BTCUSDT", "ETHUSDT"].into_iter()),
            r#"{"id":7,"method":"SUBSCRIBE","params":["btcusdt@trade","ethusdt@trade"]}"#
        );
        assert_eq!(
            subscribe_message(8, Feed::Tickers, ["BTCUSDT"].into_iter()),
            r#"{"id":8,"method":"SUBSCRIBE","params":["btcusdt@ticker"]}"#
        );
        assert_eq!(
            stream_url("wss://stream.binance.com:9443/"),
            "wss://stream.binance.com:9443/stream?timeUnit=MICROSECOND"
        );
    }
}
