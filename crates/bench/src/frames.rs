//! The limit that the producer is measured against: a loop that reads the exchange's frames and counts, and does nothing else.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use futures::StreamExt as _;
use serde::Serialize;
use tokio::time::timeout;
use tokio_tungstenite::connect_async;

const LONGEST_SILENCE: Duration = Duration::from_secs(60);

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Base of the exchange's WebSocket endpoint, e.g. <ws://127.0.0.1:9080>.
    #[arg(long, value_name = "URL")]
    exchange: String,
    /// The symbols whose trades are read.
    #[arg(long, value_name = "SYMBOL", num_args = 1.., required = true)]
    symbols: Vec<String>,
    /// How many frames are read.
    #[arg(long, value_name = "COUNT")]
    count: usize,
}

/// What was read, and how long that took from the first frame to the last.
#[derive(Serialize)]
pub(crate) struct FramesRead {
    frames: usize,
    bytes: usize,
    seconds: f64,
}

pub(crate) async fn read(arguments: &Arguments) -> anyhow::Result<FramesRead> {
    let Arguments { exchange, symbols, count } = arguments;
    let streams: Vec<String> =
        symbols.iter().map(|symbol| format!("{}@trade", symbol.to_lowercase())).collect();
    let (mut frames, _) = connect_async(format!("{exchange}/stream?streams={}", streams.join("/"))).await?;
    let mut read = FramesRead { frames: 0, bytes: 0, seconds: 0.0 };
    let mut begun = None;
    while read.frames < *count {
        let frame = timeout(LONGEST_SILENCE, frames.next()).await.context("the exchange is silent")?;
        let frame = frame.context("the exchange has closed the connection")??;
        begun.get_or_insert_with(Instant::now);
        if frame.is_text() {
            read.frames += 1;
            read.bytes += frame.len();
        }
    }
    read.seconds = begun.map_or(0.0, |begun| begun.elapsed().as_secs_f64());
    Ok(read)
}
