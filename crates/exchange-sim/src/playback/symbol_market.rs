//! The market of one symbol: its log, how far it has been played, and what follows from that.

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use super::view::{PlayedView, Shift, shift_at};
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
    shifts: Arc<[Shift]>,
    history: KlineHistory,
    status: SymbolStatus,
    /// Since when it has not traded.
    stopped_since_us: Option<i64>,
    /// Past breaks: from, to.
    breaks: Vec<(i64, i64)>,
    last_played: Option<Trade>,
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
            shifts: Arc::from([Shift { from_index: 0, shift_us: placement.shift_us }]),
            history: KlineHistory::default(),
            status: SymbolStatus::Trading,
            stopped_since_us: None,
            breaks: Vec::new(),
            last_played: None,
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

    /// What has been played so far.
    pub(crate) fn view(&self) -> PlayedView<'_> {
        let state = self.lock();
        PlayedView::new(&self.log, self.played_count(), state.shifts.clone())
    }

    /// By how much the times from which trades on are moved.
    pub(crate) fn shifts(&self) -> Arc<[Shift]> {
        self.lock().shifts.clone()
    }

    /// By how much the time of the trade that is played next is moved.
    pub(crate) fn shift_us(&self) -> i64 {
        let state = self.lock();
        shift_at(&state.shifts, state.reader.index())
    }

    /// Moves the times of all trades; to be called before any is played.
    pub(crate) fn shift_all(&self, shift_us: i64) {
        let mut state = self.lock();
        let shift_us = shift_at(&state.shifts, 0) + shift_us;
        state.shifts = Arc::from([Shift { from_index: 0, shift_us }]);
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

    /// The last trade played, with its time as played.
    pub(crate) fn last_played(&self) -> Option<Trade> {
        self.lock().last_played
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
        let shift_us = shift_at(&self.shifts, self.reader.index());
        self.reader.peek(log).map(|trade| Trade { time_us: trade.time_us + shift_us, ..trade })
    }

    fn play(&mut self, trade: &Trade) {
        self.history.add(trade);
        if let Some(writer) = &mut self.writer
            && let Err(error) = writer.append(trade, trade.time_us)
        {
            self.write_error.get_or_insert(error);
        }
        self.last_played = Some(*trade);
        self.reader.advance();
    }

    fn resume(&mut self, stopped_for_us: i64) {
        self.stopped_since_us = None;
        let index = self.reader.index();
        let resumed = Shift { from_index: index, shift_us: shift_at(&self.shifts, index) + stopped_for_us };
        self.shifts = self.shifts.iter().copied().chain([resumed]).collect();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::klines::Interval;
    use crate::log::tests::even_log;

    const START_US: i64 = 1_767_225_600_000_000;

    fn times_ms(market: &SymbolMarket) -> Vec<i64> {
        market.view().trades_from(0).map(|trade| (trade.time_us - START_US) / 1_000).collect()
    }

    #[test]
    fn plays_what_is_due_and_says_when_the_next_is() {
        let market = SymbolMarket::new(even_log("TRXUSDT", 5), Placement::default(), None);
        assert_eq!(market.play_until(START_US), Some(START_US + 1_000));
        assert_eq!(market.play_until(START_US + 2_500), Some(START_US + 3_000));
        assert_eq!((market.played_count(), market.is_done()), (2, false));
        assert_eq!(market.play_until(START_US + 9_000), None);
        assert_eq!((market.played_count(), market.is_done()), (5, true));
        assert_eq!(market.last_played().unwrap().id, 5);
    }

    #[test]
    fn a_clock_that_is_ahead_plays_a_later_log_at_once() {
        let placement = Placement { clock_ahead_us: 86_400_000_000, shift_us: 0 };
        let market = SymbolMarket::new(even_log("TRXUSDT", 5), placement, None);
        let clock_start_us = START_US - 86_400_000_000;
        assert_eq!(market.play_until(clock_start_us + 1_000), Some(clock_start_us + 2_000));
        assert_eq!(times_ms(&market), [1]);
    }

    #[test]
    fn playing_to_an_index_never_goes_back() {
        let market = SymbolMarket::new(even_log("TRXUSDT", 5), Placement::default(), None);
        market.play_to(3);
        market.play_to(1);
        assert_eq!((market.played_count(), market.is_done()), (3, false));
        market.play_to(99);
        assert_eq!((market.played_count(), market.is_done()), (5, true));
    }

    #[test]
    fn a_stop_moves_later_trades_and_leaves_no_hole() {
        let market = SymbolMarket::new(even_log("TRXUSDT", 4), Placement::default(), None);
        market.shift_all(0);
        market.play_until(START_US + 2_000);
        market.set_status(SymbolStatus::Halt, START_US + 2_500);
        assert_eq!(market.play_until(START_US + 4_000), None);
        assert_eq!(market.played_count(), 2);
        market.set_status(SymbolStatus::Trading, START_US + 10_500);
        assert_eq!(market.play_until(START_US + 10_500), Some(START_US + 11_000));
        market.play_until(START_US + 20_000);
        assert_eq!(times_ms(&market), [1, 2, 11, 12]);
    }

    #[test]
    fn a_break_has_no_candles_and_a_halt_has() {
        for (status, expected) in [(SymbolStatus::Break, vec![0, 9]), (SymbolStatus::Halt, (0..=9).collect())]
        {
            let market = SymbolMarket::new(even_log("TRXUSDT", 4), Placement::default(), None);
            market.play_until(START_US + 1_000);
            market.set_status(status, START_US + 1_500);
            market.set_status(SymbolStatus::Trading, START_US + 9_000_000);
            market.play_until(START_US + 9_500_000);
            let seconds = KlineQuery {
                interval: Interval::named("1s").unwrap(),
                start_us: None,
                end_us: None,
                limit: 500,
            };
            let rows = market.klines(&seconds, START_US + 9_500_000);
            let opens: Vec<i64> = rows.iter().map(|row| (row.open_us - START_US) / 1_000_000).collect();
            assert_eq!(opens, expected, "{status:?}");
        }
    }

    #[test]
    fn the_view_finds_trades_by_id_time_and_aggregate_and_ends_where_playing_does() {
        let market = SymbolMarket::new(even_log("TRXUSDT", 9), Placement::default(), None);
        market.shift_all(60_000_000);
        market.play_to(5);
        let view = market.view();
        assert_eq!((view.count(), view.unfinished_aggregate()), (5, None));
        assert_eq!((view.index_of_id(3), view.index_of_id(7), view.index_of_aggregate(2)), (2, 5, 1));
        assert_eq!(view.index_of_time(START_US + 60_003_000), 2);
        assert_eq!(view.trades_from(3).map(|trade| trade.id).collect::<Vec<_>>(), [4, 5]);
    }
}
