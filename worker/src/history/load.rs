//! The file of one day, from the host to the store: verified as a whole, then committed in small steps.

use std::time::Instant as WallInstant;

use jiff::Timestamp;
use jiff::civil::Date;
use market::{Market, Trade};
use runtime::error_chain::error_chain;
use store::{HistoryStart, HistoryStep, LoadedFile, MOST_HISTORY_TRADES, MarketHistory};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::days::{is_covered, wished_from_us};
use super::source::{SourceHistory, StepError};
use crate::exchange::{DumpError, WantedRows, dump_name, read_dump_steps};

/// Steps that are read ahead while one is committed.
const STEPS_AHEAD: usize = 2;

/// A file that is being loaded.
struct OpenFile {
    market: Market,
    day: Date,
    sha256: String,
    /// What was held when it was begun.
    history: MarketHistory,
    /// Where the trades begin that are wished of the series that is numbered now.
    from_us: i64,
    first_id: i64,
}

impl SourceHistory {
    /// Loads the file of the next day of a symbol. A file that cannot be had or used is noted with the day, and the next
    /// day has its turn.
    pub(super) async fn load_next(&mut self, index: usize, now: Instant) -> Result<(), StepError> {
        let Some(symbol) = self.symbols.get(index) else { return Ok(()) };
        let Some(day) = symbol.days.next(now) else { return Ok(()) };
        let market = symbol.market.clone();
        let outcome = match self.load(index, &market, day).await {
            Err(StepError::Dumps(error)) if error.is_about_the_file() => Err(error),
            other => Ok(other?),
        };
        let pauses = self.pauses();
        let Some(symbol) = self.symbols.get_mut(index) else { return Ok(()) };
        match outcome {
            Ok(()) => symbol.days.note_done(day),
            Err(error) => {
                tracing::warn!(%market, error = error_chain(&error), "a daily file cannot be used");
                symbol.days.note_failed(day, error_chain(&error), Instant::now(), pauses);
            }
        }
        if symbol.days.next(Instant::now()).is_none() {
            // What is still missing, no file has for now.
            self.claims.release(&market);
        }
        self.show(index);
        Ok(())
    }

    async fn load(&mut self, index: usize, market: &Market, day: Date) -> Result<(), StepError> {
        let history = self.store.history(market).await?;
        let from_us = wished_from_us(self.from_us, &history);
        if is_covered(day, from_us, &history) {
            return Ok(());
        }
        let symbol = market.symbol.as_str();
        let sha256 = self.dumps.checksum(symbol, day).await?;
        self.state.note_dumps(&self.name, Ok(()));
        if history.loaded.iter().any(|file| file.day == day && file.sha256 == sha256) {
            // Not issued anew: it has brought what it has.
            return Ok(());
        }
        let file = self.dumps.file(symbol, day, &sha256).await?;
        let first_id = history.start.map_or(i64::MAX, |start| start.first_id);
        let mut open = OpenFile { market: market.clone(), day, sha256, history, from_us, first_id };
        self.commit(index, &mut open, file).await?;
        let OpenFile { sha256, .. } = open;
        let loaded = LoadedFile { day, sha256 };
        self.store.note_history_file(market, &loaded, Timestamp::now().as_microsecond()).await?;
        tracing::info!(%market, %day, "a day of history is loaded");
        Ok(())
    }

    /// Reads on a thread of its own and commits step by step.
    async fn commit(
        &mut self,
        index: usize,
        open: &mut OpenFile,
        file: std::fs::File,
    ) -> Result<(), StepError> {
        let (sender, mut steps) = mpsc::channel(STEPS_AHEAD);
        let wanted = WantedRows {
            name: dump_name(&open.market.symbol, open.day),
            day: open.day,
            from_us: self.from_us,
            received_time_us: Timestamp::now().as_microsecond(),
            most: MOST_HISTORY_TRADES,
        };
        let reading = tokio::task::spawn_blocking(move || {
            let take = |step| sender.blocking_send(step).is_ok();
            read_dump_steps(file, &wanted, take)
        });
        while let Some(trades) = steps.recv().await {
            self.commit_step(index, open, trades).await?;
        }
        let read = reading.await.map_err(|error| StepError::Database(error.to_string()))?;
        read.map_err(DumpError::into)
    }

    async fn commit_step(
        &mut self,
        index: usize,
        open: &mut OpenFile,
        trades: Vec<Trade>,
    ) -> Result<(), StepError> {
        let ids = || trades.iter().map(|trade| trade.trade_id);
        let (Some(lowest), Some(highest)) = (ids().min(), ids().max()) else { return Ok(()) };
        self.wish_what_the_file_tells(open, &trades).await?;
        // Ids of a series that has ended mean other trades.
        let has_begun = |since_us| trades.iter().all(|trade| trade.trade_time_us >= since_us);
        let is_of_series = open.history.series_since_us.is_none_or(has_begun);
        let is_held = |chain: &store::TradeChain| chain.first_id <= lowest && highest <= chain.last_id;
        if is_of_series && open.history.chains.iter().any(is_held) {
            self.claims.pass(&open.market, highest);
            return Ok(());
        }
        let step = HistoryStep {
            market: open.market.clone(),
            day: open.day,
            file_name: dump_name(&open.market.symbol, open.day),
            sha256: open.sha256.clone(),
            trades,
        };
        let begun = WallInstant::now();
        let report = self.flusher.flush_history(step, Timestamp::now().as_microsecond()).await?;
        self.state.note_database(Ok(()));
        if is_of_series {
            self.claims.pass(&open.market, highest);
        }
        let loaded = u64::try_from(report.trades_new).unwrap_or_default();
        self.progress.note(loaded, Instant::now());
        self.state.count_history(loaded);
        self.show(index);
        // The locks are free for as long as they were held: live trades come first.
        tokio::time::sleep(begun.elapsed()).await;
        Ok(())
    }

    /// The files know of trades that the exchange may no longer answer for: the first wished one is theirs to tell.
    async fn wish_what_the_file_tells(
        &mut self,
        open: &mut OpenFile,
        trades: &[Trade],
    ) -> Result<(), StepError> {
        let wished = trades.iter().filter(|trade| trade.trade_time_us >= open.from_us);
        let Some(first_id) = wished.map(|trade| trade.trade_id).min() else { return Ok(()) };
        if first_id < open.first_id {
            let start = HistoryStart { from_us: open.from_us, first_id };
            self.store.wish_history(&open.market, start).await?;
            open.first_id = first_id;
        }
        Ok(())
    }
}
