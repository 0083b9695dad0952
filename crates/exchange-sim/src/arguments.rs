//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, anyhow, ensure};
use clap::Parser;
use exchange_sim::log::{DEFAULT_SYMBOLS, GeneratorSettings, parse_rate, read_files};
use exchange_sim::{Limits, SimulatorConfig, Speed, Start, TradeLog};

/// Plays trade logs as Binance Spot would: WebSocket streams, REST and faults on request, on one port.
///
/// `ws://ADDRESS/ws/<streams>` and `ws://ADDRESS/stream?streams=<streams>` are the streams,
/// `http://ADDRESS/api/v3/*` is REST, `http://ADDRESS/data/spot/daily/trades/*` are the daily files,
/// `POST /control/command` takes faults as JSON and `GET /control/status` says what has been played.
#[derive(Debug, Parser)]
#[command(version, after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// Where to listen; port 0 takes a free one, which is printed.
    #[arg(long, default_value = "127.0.0.1:9080", value_name = "ADDRESS")]
    listen: SocketAddr,

    /// Recordings to play: SYMBOL-trades-*.csv and SYMBOL-aggTrades-*.csv, also as .gz or .zip.
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,

    /// Symbols to generate, with trades per second. Without this and without files, five symbols with 55
    /// trades per second together.
    #[arg(long, value_name = "SYMBOL=RATE", num_args = 1..)]
    generate: Vec<String>,

    /// Seed of generated logs: the same seed gives the same trades.
    #[arg(long, default_value_t = 1)]
    seed: u64,

    /// How long generated logs are, in their own time; for ever unless given. E.g. 90s, 5m, 2h.
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    duration: Option<Duration>,

    /// How many times faster than recorded; 0 is as fast as the subscribers read, losing nothing.
    #[arg(long, default_value_t = 1, value_name = "FACTOR")]
    speed: u32,

    /// Shift all times by whole minutes so that the log begins in the current minute, or leave them.
    #[arg(long, value_enum, default_value_t = StartArgument::Now)]
    start: StartArgument,

    /// Begin with the first subscription to a played symbol instead of at once.
    #[arg(long)]
    wait: bool,

    /// How much of the logs lies in the past when playing begins, in their own time: never streamed, but to be had by
    /// REST and, for whole days, as daily files. E.g. 3d.
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    history: Option<Duration>,

    /// Write what is played to this folder: SYMBOL-trades-YYYY-MM-DD.csv, with the times as played.
    #[arg(long, value_name = "FOLDER")]
    write_log: Option<PathBuf>,

    /// How long a connection lives at most.
    #[arg(long, default_value = "24h", value_name = "TIME", value_parser = parse_duration)]
    connection_lifetime: Duration,

    /// How often the server pings.
    #[arg(long, default_value = "20s", value_name = "TIME", value_parser = parse_duration)]
    ping_interval: Duration,

    /// How long a ping may stay unanswered.
    #[arg(long, default_value = "60s", value_name = "TIME", value_parser = parse_duration)]
    pong_timeout: Duration,

    /// Cut off connections that are this many trades of a symbol behind (not at speed 0).
    #[arg(long, default_value_t = 500_000, value_name = "TRADES")]
    max_backlog: usize,

    /// Lack historicalTrades, as https://data-api.binance.vision does: 404.
    #[arg(long)]
    market_data_only: bool,

    /// Messages that a client may send in any second.
    #[arg(long, default_value_t = 5, value_name = "COUNT")]
    messages_per_second: usize,

    /// Streams on one connection.
    #[arg(long, default_value_t = 1_024, value_name = "COUNT")]
    streams_per_connection: usize,

    /// WebSocket connection attempts per address in 5 minutes.
    #[arg(long, default_value_t = 300, value_name = "COUNT")]
    connection_attempts: usize,

    /// REST request weight per address and minute.
    #[arg(long, default_value_t = 6_000, value_name = "WEIGHT")]
    weight_per_minute: u32,

    /// Answers with 429 in a minute before an address is banned with 418.
    #[arg(long, default_value_t = 10, value_name = "COUNT")]
    warnings_before_ban: u32,

    /// How long the first ban lasts; each further one lasts twice as long.
    #[arg(long, default_value = "120s", value_name = "TIME", value_parser = parse_duration)]
    first_ban: Duration,
}

const EXAMPLES: &str = "\
Examples:
  exchange-sim                                            five generated symbols, live
  exchange-sim --generate BTCUSDT=5000/s --duration 2m    one busy symbol
  exchange-sim --speed 0 --start recorded TRXUSDT-trades-2025-03-04.csv.gz
  curl -d '{\"command\":\"disconnect\"}' http://127.0.0.1:9080/control/command

Faults, each an object with \"command\" and:
  disconnect
  server_shutdown     lead_ms
  restart             down_ms
  refuse_connections  for_ms
  fail_rest           status, for_ms
  slow_rest           delay_ms, for_ms
  lag_rest            lag_ms, for_ms
  stall               symbol, stalled
  damage_frames       symbol, count
  duplicate_frames    symbol, count
  delay_frames        symbol, count
  false_frames        symbol, frame (oversized, wrong_types, absurd_id, absurd_time, absurd_price), count
  withhold_trades     symbol, first_id, last_id
  forget_trades       symbol, before_id
  spoil_dump          symbol, date, fault (none, absent, no_checksum, corrupt, header, short)
  restart_ids         symbol, first_id (1 unless given)
  set_status          symbol, status (TRADING, HALT, BREAK)";

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum StartArgument {
    Now,
    Recorded,
}

impl Arguments {
    /// Reads the files and resolves everything that can be wrong.
    pub(crate) fn into_config(self) -> anyhow::Result<SimulatorConfig> {
        let mut config = SimulatorConfig::new(self.logs()?);
        config.listen = self.listen;
        config.speed = Speed::from_factor(self.speed);
        config.start = match self.start {
            StartArgument::Now => Start::Now,
            StartArgument::Recorded => Start::Recorded,
        };
        config.wait_for_subscriber = self.wait;
        config.past = self.history.unwrap_or_default();
        config.write_log = self.write_log;
        config.max_backlog_trades = self.max_backlog;
        config.ping_interval = self.ping_interval;
        config.pong_timeout = self.pong_timeout;
        config.connection_lifetime = self.connection_lifetime;
        config.market_data_only = self.market_data_only;
        config.limits = Limits {
            messages_per_second: self.messages_per_second,
            streams_per_connection: self.streams_per_connection,
            connection_attempts: self.connection_attempts,
            weight_per_minute: self.weight_per_minute,
            warnings_before_ban: self.warnings_before_ban,
            first_ban: self.first_ban,
        };
        Ok(config)
    }

    fn logs(&self) -> anyhow::Result<Vec<TradeLog>> {
        let mut logs = read_files(&self.files).context("cannot read the recordings")?;
        for (symbol, trades_per_second) in self.generated_symbols()? {
            ensure!(
                logs.iter().all(|log| log.symbol() != symbol.as_str()),
                "symbol {symbol} is to be played twice"
            );
            logs.push(TradeLog::generated(&GeneratorSettings {
                symbol: symbol.into(),
                trades_per_second,
                seed: self.seed,
                start_us: GeneratorSettings::DEFAULT_START_US,
                duration: self.duration,
            }));
        }
        Ok(logs)
    }

    fn generated_symbols(&self) -> anyhow::Result<Vec<(String, f64)>> {
        if self.generate.is_empty() && self.files.is_empty() {
            return Ok(DEFAULT_SYMBOLS.map(|(symbol, rate)| (symbol.to_owned(), rate)).into());
        }
        self.generate.iter().map(|text| parse_generated(text)).collect()
    }
}

/// `BTCUSDT=20/s`.
fn parse_generated(text: &str) -> anyhow::Result<(String, f64)> {
    let (symbol, rate) =
        text.split_once('=').ok_or_else(|| anyhow!("--generate {text:?} is not of the form SYMBOL=RATE"))?;
    let is_symbol =
        !symbol.is_empty() && symbol.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit());
    ensure!(is_symbol, "--generate {text:?}: the symbol must be capital letters and digits");
    Ok((symbol.to_owned(), parse_rate(rate).with_context(|| format!("--generate {text:?}"))?))
}

/// `90s`, `5m`, `2h`, `3d`, `500ms`.
fn parse_duration(text: &str) -> Result<Duration, String> {
    let units = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];
    units
        .into_iter()
        .find_map(|(unit, unit_ms)| text.strip_suffix(unit)?.parse::<u64>().ok()?.checked_mul(unit_ms))
        .filter(|ms| *ms > 0)
        .map(Duration::from_millis)
        .ok_or_else(|| format!("{text:?} is not a time such as 500ms, 90s, 5m, 2h or 3d"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn logs(arguments: &[&str]) -> anyhow::Result<Vec<String>> {
        let arguments = Arguments::try_parse_from(["exchange-sim"].iter().chain(arguments))?;
        Ok(arguments.logs()?.iter().map(|log| log.symbol().to_string()).collect())
    }

    #[test]
    fn plays_five_symbols_unless_told() {
        assert_eq!(logs(&[]).unwrap(), ["BTCUSDT", "ETHUSDT", "SOLUSDT", "BNBUSDT", "ADAUSDT"]);
        assert_eq!(logs(&["--generate", "AUSDT=5/s", "BUSDT=0.5"]).unwrap(), ["AUSDT", "BUSDT"]);
    }

    #[test]
    fn refuses_what_it_cannot_generate() {
        for wrong in ["AUSDT", "AUSDT=fast", "ausdt=5", "=5", "AUSDT=0"] {
            assert!(logs(&["--generate", wrong]).is_err(), "{wrong}");
        }
        assert!(logs(&["--generate", "AUSDT=5", "AUSDT=6"]).is_err());
    }

    #[test]
    fn reads_times() {
        assert_eq!(parse_duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(parse_duration("2h"), Ok(Duration::from_secs(7_200)));
        assert_eq!(parse_duration("3d"), Ok(Duration::from_secs(259_200)));
        for wrong in ["", "5", "s", "0s", "-1s", "1.5s", "5 m"] {
            assert!(parse_duration(wrong).is_err(), "{wrong}");
        }
    }
}
