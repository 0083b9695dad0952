//! The recorded trades of Kraken's XBT/USDT and that exchange's own one-minute candles, read without a float on the way.
//! `store` has its databases tested with the same recording.

use std::fs::File;
use std::io::read_to_string;
use std::ops::Range;
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;
use market::{Fixed8, Trade};
use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::value::RawValue;

pub(crate) const MINUTE_US: i64 = 60_000_000;

/// Trades in the order of their ids, and the exchange's candles of the same hours.
pub(crate) struct Recording {
    pub(crate) trades: Vec<Trade>,
    pub(crate) candles: Vec<ExchangeCandle>,
}

/// A minute as the exchange has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ExchangeCandle {
    pub(crate) open_time_us: i64,
    pub(crate) open: Fixed8,
    pub(crate) high: Fixed8,
    pub(crate) low: Fixed8,
    pub(crate) close: Fixed8,
    pub(crate) volume: Fixed8,
    pub(crate) trade_count: i64,
}

#[derive(Deserialize)]
struct Answer<Row> {
    result: OfPair<Row>,
}

#[derive(Deserialize)]
struct OfPair<Row> {
    #[serde(rename = "XBTUSDT")]
    rows: Vec<Row>,
}

/// `["105433.60000", "0.00027625", 1762795433.9717445, "b", "l", "", 10218208]`: price, volume, seconds, the taker's
/// side, order type, nothing, id.
type TradeRow = (Fixed8, Fixed8, Box<RawValue>, String, IgnoredAny, IgnoredAny, i64);

/// `[1762777020, "106038.2", "106038.2", "106038.2", "106038.2", "0.0", "0.00000000", 0]`: seconds, open, high, low,
/// close, mean price, volume, count.
type CandleRow = (i64, Fixed8, Fixed8, Fixed8, Fixed8, IgnoredAny, Fixed8, i64);

impl Recording {
    /// The recording, or none, said openly, where it is absent.
    pub(crate) fn read() -> Option<Self> {
        let folder = std::env::var("MARKET_DATA").map_or_else(
            |_| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/market-data"),
            PathBuf::from,
        );
        if !folder.is_dir() {
            println!("SKIPPED: no recordings in {}; set MARKET_DATA", folder.display());
            return None;
        }
        let trades = rows(&folder.join("kraken-spot-XBTUSDT-trades-2025-11-10.json.gz"));
        let candles = rows(&folder.join("kraken-spot-XBTUSDT-ohlc-1m-2025-11-10.json.gz"));
        Some(Self {
            trades: trades.into_iter().map(trade_of).collect(),
            candles: candles.into_iter().map(candle_of).collect(),
        })
    }

    /// The exchange's candles of the minutes that the trades cover wholly: the first and the last one are cut.
    pub(crate) fn whole_minutes(&self) -> impl Iterator<Item = &ExchangeCandle> {
        let minute = |trade: &Trade| trade.trade_time_us - trade.trade_time_us % MINUTE_US;
        let whole: Range<i64> =
            minute(&self.trades[0]) + MINUTE_US..minute(&self.trades[self.trades.len() - 1]);
        self.candles.iter().filter(move |candle| whole.contains(&candle.open_time_us))
    }

    /// Batches in which the trades stand in no order, every one of them twice.
    pub(crate) fn batches(&self) -> impl Iterator<Item = Vec<Trade>> {
        // A step that shares no factor with their number meets each of them once in a round.
        let shuffled = (0..self.trades.len() * 2).map(|step| self.trades[step * 389 % self.trades.len()]);
        let shuffled: Vec<Trade> = shuffled.collect();
        (0..20).map(move |batch| shuffled.iter().skip(batch).step_by(20).copied().collect())
    }
}

fn rows<Row: DeserializeOwned>(path: &Path) -> Vec<Row> {
    let text = read_to_string(GzDecoder::new(File::open(path).unwrap())).unwrap();
    serde_json::from_str::<Answer<Row>>(&text).unwrap().result.rows
}

fn trade_of((price, quantity, seconds, side, _, _, trade_id): TradeRow) -> Trade {
    let trade_time_us = microseconds(seconds.get());
    Trade {
        trade_id,
        price,
        quantity,
        trade_time_us,
        event_time_us: trade_time_us,
        received_time_us: trade_time_us,
        buyer_is_maker: side == "s",
    }
}

fn candle_of((seconds, open, high, low, close, _, volume, trade_count): CandleRow) -> ExchangeCandle {
    ExchangeCandle { open_time_us: seconds * 1_000_000, open, high, low, close, volume, trade_count }
}

/// Seconds with decimals as text; what is finer than a microsecond is cut off, so that no trade leaves its minute.
fn microseconds(seconds: &str) -> i64 {
    let (whole, decimals) = seconds.split_once('.').unwrap_or((seconds, ""));
    format!("{whole}{decimals:0<6.6}").parse().unwrap()
}
