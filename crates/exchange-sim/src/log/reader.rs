//! Reading a log from a position on, a trade at a time, without asking for a chunk each time.

use super::{CHUNK_TRADES, Chunk, Trade, TradeLog};

/// A position in a log, with the chunk it lies in.
#[derive(Debug, Default)]
pub(crate) struct LogReader {
    index: usize,
    chunk: Option<Chunk>,
}

impl LogReader {
    /// A reader that stands before the trade at `index`.
    pub(crate) fn at(index: usize) -> Self {
        Self { index, chunk: None }
    }

    /// The index of the trade that comes next.
    pub(crate) fn index(&self) -> usize {
        self.index
    }

    /// The trade that comes next; `None` at the end of the log.
    pub(crate) fn peek(&mut self, log: &TradeLog) -> Option<Trade> {
        if self.chunk.is_none() {
            self.chunk = log.chunk(self.index / CHUNK_TRADES);
        }
        self.chunk.as_ref()?.get(self.index % CHUNK_TRADES).copied()
    }

    /// Steps over the trade that came next.
    pub(crate) fn advance(&mut self) {
        self.index += 1;
        if self.index.is_multiple_of(CHUNK_TRADES) {
            self.chunk = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::tests::even_log;

    #[test]
    fn reads_every_trade_once_in_order_then_ends() {
        let log = even_log("TRXUSDT", 9_000);
        let mut reader = LogReader::default();
        for id in 1..=9_000 {
            assert_eq!(reader.peek(&log).unwrap().id, id);
            reader.advance();
        }
        assert_eq!(reader.peek(&log), None);
    }

    #[test]
    fn begins_anywhere() {
        let log = even_log("TRXUSDT", 9_000);
        for (index, id) in [(0, 1), (4_095, 4_096), (4_096, 4_097), (8_999, 9_000)] {
            assert_eq!(LogReader::at(index).peek(&log).unwrap().id, id);
        }
    }
}
