//! Streams that speak on whole seconds of the market's time: candles and tickers.

use super::frames::{Format, Frames, write_kline, write_mini_ticker, write_ticker};
use super::stream_name::StreamKind;
use crate::exchange::Exchange;
use crate::klines::{Interval, WindowKline};
use crate::playback::{SymbolMarket, SymbolStatus};
use crate::ticker::Ticker;

const SECOND_US: i64 = 1_000_000;

/// One candle or ticker stream of a connection, and when it speaks next.
#[derive(Debug)]
pub(super) struct TimedStream {
    name: String,
    kind: StreamKind,
    period_us: i64,
    next_us: i64,
}

impl TimedStream {
    /// A stream that speaks for the first time after `now_us`.
    pub(super) fn new(name: &str, kind: StreamKind, now_us: i64) -> Self {
        let period_us = match kind {
            StreamKind::Kline(interval) if interval.name() != "1s" => 2 * SECOND_US,
            _ => SECOND_US,
        };
        Self {
            name: name.to_owned(),
            kind,
            period_us,
            next_us: now_us - now_us.rem_euclid(period_us) + period_us,
        }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn is_due(&self, now_us: i64) -> bool {
        self.next_us <= now_us
    }

    /// Writes what is due at `now_us`: the end of every window, and the state at the latest moment of speaking.
    pub(super) fn add_due_frames(
        &mut self,
        market: &SymbolMarket,
        now_us: i64,
        exchange: &Exchange,
        format: Format,
        frames: &mut Frames,
    ) {
        while self.is_due(now_us) {
            let slot_us = self.next_us;
            self.next_us += self.period_us;
            if market.status() == SymbolStatus::Break || market.faults.is_stalled() {
                continue;
            }
            let is_latest = !self.is_due(now_us);
            let event_us = exchange.event_time_us(slot_us, slot_us / SECOND_US);
            match self.kind {
                StreamKind::Kline(interval) => {
                    self.add_kline(interval, market, slot_us, is_latest, event_us, format, frames);
                }
                _ if is_latest => self.add_ticker(market, slot_us, event_us, format, frames),
                _ => {}
            }
        }
    }

    #[allow(clippy::too_many_arguments, reason = "the parts of one frame")]
    fn add_kline(
        &self,
        interval: Interval,
        market: &SymbolMarket,
        slot_us: i64,
        is_latest: bool,
        event_us: i64,
        format: Format,
        frames: &mut Frames,
    ) {
        // The window of the moment before: at its end it is still its own message that is due.
        let (open_us, end_us) = (interval.open_us(slot_us - 1), interval.end_us(slot_us - 1));
        let is_closed = end_us == slot_us;
        if !is_closed && !is_latest {
            return;
        }
        let Some(kline) = market.window(open_us, slot_us) else { return };
        let window = WindowKline { open_us, end_us, kline };
        frames.add(format, &self.name, |text| {
            write_kline(
                text,
                market.symbol(),
                interval.name(),
                &window,
                is_closed,
                event_us,
                format.time_unit,
            );
        });
    }

    fn add_ticker(
        &self,
        market: &SymbolMarket,
        slot_us: i64,
        event_us: i64,
        format: Format,
        frames: &mut Frames,
    ) {
        let Some(ticker) = Ticker::at(market, slot_us - 1) else { return };
        frames.add(format, &self.name, |text| match self.kind {
            StreamKind::MiniTicker => write_mini_ticker(text, &ticker, event_us, format.time_unit),
            _ => write_ticker(text, &ticker, event_us, format.time_unit),
        });
    }
}
