//! The market of one symbol: its log, how far it has been played, and what follows from that.

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use super::stretch::{Numbering, Stretch, stretch_at};
use super::view::PlayedView;
use crate::faults::SymbolFaults;
use crate::klines::{Kline, KlineHistory, KlineQuery, WindowKline};
use crate::log::{LogReader, LogWriter, Trade, TradeLog, WriteLogError};

/// Whether a symbol trades, in the exchange's words.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum SymbolStatus {
    /// It trades.
    #[default]
    Trading,
    /// An emergency stop: no trades; candles are made from the last price.
    Halt,
    /// A planned stop: no trades, no market data and no candles.
    Break,
}

/// Where a log stands in the time of the exchange.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Placement {
    /// By how much this symbol's clock is ahead of the exchange's.
    pub(crate) clock_ahead_us: i64,
    /// By how much its times are moved before all others are.
    pub(crate) shift_us: i64,
}

/// One symbol's log and how far it has been played.
#[derive(Debug)]
pub(crate) struct SymbolMarket {
    log: TradeLog,
    stream_symbol: String,
    clock_ahead_us: i64,
    played_count: AtomicUsize,
    pub(crate) faults: SymbolFaults,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    reader: LogReader,
    stretches: Arc<[Stretch]>,
    /// How often ids began anew.
    id_restarts: u32,
    history: KlineHistory,
    status: SymbolStatus,
    /// Since when it has not traded.
    stopped_since_us: Option<i64>,
    /// Past breaks: from, to.
    breaks: Vec<(i64, i64)>,
    /// The last trade that is known, and when the last one was, known or not.
    last_played: Option<Trade>,
    last_played_us: Option<i64>,
    is_done: bool,
    writer: Option<LogWriter>,
    write_error: Option<WriteLogError>,
}

impl SymbolMarket {
    /// The market of `log`, of which nothing has been played. What will be played is written to `write_directory`.
    pub(crate) fn new(log: TradeLog, placement: Placement, write_directory: Option<PathBuf>) -> Self {
        let writer = write_directory.map(|directory| LogWriter::new(directory, log.symbol().clone()));
        let state = State {
            reader: LogReader::default(),
            stretches: Arc::from([Stretch { shift_us: placement.shift_us, ..Stretch::default() }]),
            id_restarts: 0,
            history: KlineHistory::default(),
            status: SymbolStatus::Trading,
            stopped_since_us: None,
            breaks: Vec::new(),
            last_played: None,
            last_played_us: None,
            is_done: log.first().is_none(),
            writer,
            write_error: None,
        };
        Self {
            stream_symbol: log.symbol().to_lowercase(),
            clock_ahead_us: placement.clock_ahead_us,
            played_count: AtomicUsize::new(0),
            faults: SymbolFaults::default(),
            state: Mutex::new(state),
            log,
        }
    }

    /// `BTCUSDT`.
    pub(crate) fn symbol(&self) -> &SmolStr {
        self.log.symbol()
    }

    /// `btcusdt`, as it stands in stream names.
    pub(crate) fn stream_symbol(&self) -> &str {
        &self.stream_symbol
    }

    pub(crate) fn log(&self) -> &TradeLog {
        &self.log
    }

    /// How many trades have been played.
    pub(crate) fn played_count(&self) -> usize {
        self.played_count.load(Ordering::Acquire)
    }

    /// What the exchange knows of what has been played so far.
    pub(crate) fn view(&self) -> PlayedView<'_> {
        let state = self.lock();
        PlayedView::new(&self.log, self.played_count(), state.stretches.clone())
    }

    /// How which trades are played.
    pub(crate) fn stretches(&self) -> Arc<[Stretch]> {
        self.lock().stretches.clone()
    }

    /// How the trade that is played next is played.
    pub(crate) fn next_stretch(&self) -> Stretch {
        self.lock().next_stretch()
    }

    /// Moves the times of all trades; to be called before any is played.
    pub(crate) fn shift_all(&self, shift_us: i64) {
        let mut state = self.lock();
        let first = stretch_at(&state.stretches, 0);
        state.stretches = Arc::from([Stretch { shift_us: first.shift_us + shift_us, ..first }]);
    }

    /// The time of this symbol when the exchange's clock shows `clock_us`.
    pub(crate) fn time_us(&self, clock_us: i64) -> i64 {
        clock_us + self.clock_ahead_us
    }

    /// What the exchange's clock shows at this symbol's `time_us`.
    pub(crate) fn clock_us(&self, time_us: i64) -> i64 {
        time_us - self.clock_ahead_us
    }

    /// Plays all trades up to `clock_us`, inclusive. Returns when the next one is due. Both by the exchange's
    /// clock.
    pub(crate) fn play_until(&self, clock_us: i64) -> Option<i64> {
        let now_us = self.time_us(clock_us);
        let mut state = self.lock();
        if state.stopped_since_us.is_some() {
            return None;
        }
        let mut due_us = None;
        while let Some(trade) = state.peek(&self.log) {
            if trade.time_us > now_us {
                due_us = Some(trade.time_us);
                break;
            }
            state.play(&trade);
        }
        self.publish(&mut state, due_us.is_none());
        due_us.map(|due_us| self.clock_us(due_us))
    }

    /// Plays all trades before the one at `index`.
    pub(crate) fn play_to(&self, index: usize) {
        if index <= self.played_count() {
            return;
        }
        let mut state = self.lock();
        while state.reader.index() < index {
            let Some(trade) = state.peek(&self.log) else { break };
            state.play(&trade);
        }
        let is_done = state.peek(&self.log).is_none();
        self.publish(&mut state, is_done);
    }

    fn publish(&self, state: &mut State, is_done: bool) {
        state.is_done = is_done;
        self.played_count.store(state.reader.index(), Ordering::Release);
    }

    /// Whether the whole log has been played.
    pub(crate) fn is_done(&self) -> bool {
        self.lock().is_done
    }

    /// The last trade that the exchange knows of, as played.
    pub(crate) fn last_played(&self) -> Option<Trade> {
        self.lock().last_played
    }

    /// When the last trade was played, whether the exchange still knows of it or not.
    pub(crate) fn last_played_us(&self) -> Option<i64> {
        self.lock().last_played_us
    }

    /// The first and the last id of the log as they are numbered now; `None` of an empty log, and of an end that nobody
    /// has reached.
    pub(crate) fn ends(&self) -> (Option<i64>, Option<i64>) {
        let stretch = self.next_stretch();
        let id = |trade: Trade| stretch.played(trade).id;
        (self.log.get(stretch.numbering.from_index).map(id), self.log.last().map(id))
    }

    /// How often ids began anew.
    pub(crate) fn id_restarts(&self) -> u32 {
        self.lock().id_restarts
    }

    /// Numbers the trades from the next one on anew, from `first_id`; of those before, and of what was to go wrong with
    /// their ids, nothing is known any more. False where no trade follows.
    pub(crate) fn restart_ids(&self, first_id: i64) -> bool {
        let mut state = self.lock();
        let Some(next) = state.reader.peek(&self.log) else { return false };
        let from_index = state.reader.index();
        let numbering = Numbering::anew(from_index, &next, first_id);
        let restarted = Stretch { from_index, numbering, ..state.next_stretch() };
        state.begin_stretch(restarted);
        state.history = KlineHistory::default();
        state.last_played = None;
        state.id_restarts += 1;
        self.faults.forget_ids();
        true
    }

    pub(crate) fn status(&self) -> SymbolStatus {
        self.lock().status
    }

    /// Whether it trades, or is stopped.
    pub(crate) fn is_trading(&self) -> bool {
        self.lock().stopped_since_us.is_none()
    }

    /// Stops or resumes trading at `now_us`. What was not traded while it was stopped is traded later: ids go
    /// on without a hole, times jump.
    pub(crate) fn set_status(&self, status: SymbolStatus, now_us: i64) {
        let mut state = self.lock();
        let previous = std::mem::replace(&mut state.status, status);
        if previous == SymbolStatus::Break
            && status != SymbolStatus::Break
            && let Some(since_us) = state.stopped_since_us
        {
            state.breaks.push((since_us, now_us));
        }
        match (status, state.stopped_since_us) {
            (SymbolStatus::Trading, Some(since_us)) => state.resume(now_us - since_us),
            (SymbolStatus::Halt | SymbolStatus::Break, None) => state.stopped_since_us = Some(now_us),
            _ => {}
        }
    }

    /// The exchange's own candles at `now_us`.
    pub(crate) fn klines(&self, query: &KlineQuery, now_us: i64) -> Vec<WindowKline> {
        let state = self.lock();
        let running_break = match (state.status, state.stopped_since_us) {
            (SymbolStatus::Break, Some(since_us)) => Some((since_us, i64::MAX)),
            _ => None,
        };
        let breaks: Vec<(i64, i64)> = state.breaks.iter().copied().chain(running_break).collect();
        state.history.query(query, now_us, &breaks)
    }

    /// The candle of one window, without trades too; `None` before the first trade.
    pub(crate) fn window(&self, open_us: i64, end_us: i64) -> Option<Kline> {
        self.lock().history.window(open_us, end_us)
    }

    /// Hands the written log to the system, so that it can be read.
    ///
    /// # Errors
    /// The first thing that went wrong with writing since the last call.
    pub(crate) fn flush_written_log(&self) -> Result<(), WriteLogError> {
        let mut state = self.lock();
        if let Some(error) = state.write_error.take() {
            return Err(error);
        }
        state.writer.as_mut().map_or(Ok(()), LogWriter::flush)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The trade that is played next, with its time as it will be played.
    fn peek(&mut self, log: &TradeLog) -> Option<Trade> {
        let stretch = self.next_stretch();
        self.reader.peek(log).map(|trade| stretch.played(trade))
    }

    fn play(&mut self, trade: &Trade) {
        self.history.add(trade);
        if let Some(writer) = &mut self.writer
            && let Err(error) = writer.append(trade, trade.time_us)
        {
            self.write_error.get_or_insert(error);
        }
        self.last_played = Some(*trade);
        self.last_played_us = Some(trade.time_us);
        self.reader.advance();
    }

    fn resume(&mut self, stopped_for_us: i64) {
        self.stopped_since_us = None;
        let before = self.next_stretch();
        let shift_us = before.shift_us + stopped_for_us;
        self.begin_stretch(Stretch { from_index: self.reader.index(), shift_us, ..before });
    }

    fn next_stretch(&self) -> Stretch {
        stretch_at(&self.stretches, self.reader.index())
    }

    fn begin_stretch(&mut self, stretch: Stretch) {
        self.stretches = self.stretches.iter().copied().chain([stretch]).collect();
    }
}

#[cfg(test)]
mod tests;
