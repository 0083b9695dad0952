//! The trade log of one symbol: what the simulated market is made of, sorted by trade id.
//!
//! A log is read from recordings or generated from a seed. Either way it is served in chunks of
//! [`CHUNK_TRADES`]: a recorded log holds all of them, a generated one keeps only how each chunk begins and
//! makes it again when it is asked for, so that hours of a busy market fit into little memory.

mod aggregate;
mod files;
mod generate;
mod reader;
mod write;

use std::sync::Arc;

use market::Fixed8;
use smol_str::SmolStr;

pub(crate) use aggregate::{AggregateTrade, aggregates};
pub use files::{ReadLogError, read_files};
use generate::GeneratedChunks;
pub use generate::{DEFAULT_SYMBOLS, GeneratorSettings, InvalidRate, parse_rate};
pub(crate) use reader::LogReader;
pub use write::WriteLogError;
pub(crate) use write::{LogWriter, write_row};

/// How many trades a chunk holds; only the last one may hold fewer.
pub(crate) const CHUNK_TRADES: usize = 4_096;

/// A run of [`CHUNK_TRADES`] trades of one log.
pub(crate) type Chunk = Arc<[Trade]>;

/// One trade as the exchange made it. Its time is the log's; playing may shift it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trade {
    /// The exchange's id; rises within a log, usually by one.
    pub id: i64,
    /// Price in quote currency.
    pub price: Fixed8,
    /// Quantity in base currency.
    pub quantity: Fixed8,
    /// When it was matched: microseconds since 1970, UTC.
    pub time_us: i64,
    /// Which aggregate it belongs to: trades of one taker order, time and price share the id.
    pub aggregate_id: i64,
    /// True where the buyer's order was in the book, so that the taker sold.
    pub buyer_is_maker: bool,
}

impl Trade {
    /// Price times quantity, cut at the 8 decimals that the exchange prints.
    pub(crate) fn quote_quantity(&self) -> Fixed8 {
        let units = self.price.units().saturating_mul(self.quantity.units());
        Fixed8::from_units(units / 100_000_000).unwrap_or_default()
    }
}

/// The trades of one symbol in the order of their ids, and the grid their numbers lie on.
#[derive(Debug)]
pub struct TradeLog {
    symbol: SmolStr,
    tick_size: Fixed8,
    step_size: Fixed8,
    chunks: Chunks,
}

#[derive(Debug)]
enum Chunks {
    Recorded(Vec<Chunk>),
    Generated(GeneratedChunks),
}

impl TradeLog {
    /// The log of `trades`, which must be sorted by id. Tick and step size are taken from their decimals.
    #[must_use]
    pub fn recorded(symbol: impl Into<SmolStr>, trades: &[Trade]) -> Self {
        Self {
            symbol: symbol.into(),
            tick_size: finest_decimal(trades.iter().map(|trade| trade.price)),
            step_size: finest_decimal(trades.iter().map(|trade| trade.quantity)),
            chunks: Chunks::Recorded(trades.chunks(CHUNK_TRADES).map(Arc::from).collect()),
        }
    }

    /// The log that `settings` describe; the same settings give the same trades.
    #[must_use]
    pub fn generated(settings: &GeneratorSettings) -> Self {
        let chunks = GeneratedChunks::new(settings);
        Self {
            symbol: settings.symbol.clone(),
            tick_size: chunks.tick_size(),
            step_size: chunks.step_size(),
            chunks: Chunks::Generated(chunks),
        }
    }

    /// The symbol in capitals, e.g. `BTCUSDT`.
    #[must_use]
    pub fn symbol(&self) -> &SmolStr {
        &self.symbol
    }

    /// The first trade; `None` of an empty log.
    #[must_use]
    pub fn first(&self) -> Option<Trade> {
        self.get(0)
    }

    /// The last trade; `None` of an empty log, and of a generated one whose end nobody has reached yet.
    #[must_use]
    pub fn last(&self) -> Option<Trade> {
        match &self.chunks {
            Chunks::Recorded(chunks) => chunks.last()?.last().copied(),
            Chunks::Generated(chunks) => chunks.known_last(),
        }
    }

    /// The trade at `index`, counted from 0; `None` past the end.
    #[must_use]
    pub fn get(&self, index: usize) -> Option<Trade> {
        self.chunk(index / CHUNK_TRADES)?.get(index % CHUNK_TRADES).copied()
    }

    /// The grid of prices.
    pub(crate) fn tick_size(&self) -> Fixed8 {
        self.tick_size
    }

    /// The grid of quantities.
    pub(crate) fn step_size(&self) -> Fixed8 {
        self.step_size
    }

    /// The chunk with the trades from `number * CHUNK_TRADES` on; `None` past the end.
    pub(crate) fn chunk(&self, number: usize) -> Option<Chunk> {
        match &self.chunks {
            Chunks::Recorded(chunks) => chunks.get(number).cloned(),
            Chunks::Generated(chunks) => chunks.chunk(number),
        }
    }

    /// The index of the first of the first `count` trades for which `is_before` is false; `count` if there is
    /// none. `is_before` gets index and trade, and must be true for a prefix only.
    pub(crate) fn partition_point(&self, count: usize, is_before: impl Fn(usize, &Trade) -> bool) -> usize {
        let is_chunk_before = |number: usize| {
            let first = match &self.chunks {
                Chunks::Recorded(chunks) => chunks.get(number).and_then(|chunk| chunk.first().copied()),
                Chunks::Generated(chunks) => chunks.first_of(number),
            };
            first.is_some_and(|first| is_before(number * CHUNK_TRADES, &first))
        };
        // Only the first trade of each chunk is looked at, so that a generated log makes one chunk at most.
        let chunks_before = partition(count.div_ceil(CHUNK_TRADES), is_chunk_before);
        let Some(number) = chunks_before.checked_sub(1) else { return 0 };
        let start = number * CHUNK_TRADES;
        let Some(chunk) = self.chunk(number) else { return start };
        start + partition(chunk.len().min(count - start), |at| is_before(start + at, &chunk[at]))
    }
}

/// The first of `0..count` for which `is_before` is false.
fn partition(count: usize, is_before: impl Fn(usize) -> bool) -> usize {
    let (mut low, mut high) = (0, count);
    while low < high {
        let middle = low.midpoint(high);
        if is_before(middle) { low = middle + 1 } else { high = middle }
    }
    low
}

/// The largest power of ten, at most 1, that divides all `numbers`.
fn finest_decimal(numbers: impl Iterator<Item = Fixed8>) -> Fixed8 {
    let mut unit = 100_000_000;
    for number in numbers {
        while number.units() % unit != 0 {
            unit /= 10;
        }
    }
    Fixed8::from_units(unit).unwrap_or_default()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A log of `count` trades at 0.2 with ids from 1, a millisecond apart, each an aggregate of its own.
    pub(crate) fn even_log(symbol: &str, count: i64) -> TradeLog {
        let trades: Vec<Trade> = (1..=count)
            .map(|id| Trade {
                id,
                price: "0.2".parse().unwrap(),
                quantity: "3".parse().unwrap(),
                time_us: 1_767_225_600_000_000 + id * 1_000,
                aggregate_id: id,
                buyer_is_maker: id % 2 == 0,
            })
            .collect();
        TradeLog::recorded(symbol, &trades)
    }

    #[test]
    fn partition_point_finds_every_id_across_chunks() {
        let log = even_log("TRXUSDT", 10_000);
        for (id, expected) in [(0, 0), (1, 0), (2, 1), (4_096, 4_095), (4_097, 4_096), (9_000, 8_999)] {
            assert_eq!(log.partition_point(10_000, |_, trade| trade.id < id), expected, "{id}");
        }
        assert_eq!(log.partition_point(10_000, |_, trade| trade.id < 99_999), 10_000);
        assert_eq!(log.partition_point(5_000, |_, trade| trade.id < 99_999), 5_000);
        assert_eq!(log.partition_point(0, |_, _| true), 0);
    }

    #[test]
    fn grids_come_from_the_decimals_in_use() {
        let log = even_log("TRXUSDT", 3);
        assert_eq!((log.tick_size().to_string(), log.step_size().to_string()), ("0.1".into(), "1".into()));
    }
}
