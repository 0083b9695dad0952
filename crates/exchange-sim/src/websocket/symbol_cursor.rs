//! Where one connection stands in the market of one symbol, and what it wants to hear of it.

use std::sync::Arc;

use super::frames::{Format, Frames, write_aggregate, write_false_trade, write_trade};
use super::stream_name::StreamKind;
use super::timed_stream::TimedStream;
use crate::exchange::Exchange;
use crate::faults::Delivery;
use crate::log::{AggregateTrade, LogReader, Trade, aggregates};
use crate::playback::{Stretch, SymbolMarket, stretch_at};

/// A connection's place in a symbol's log. All its streams of the symbol move together.
#[derive(Debug)]
pub(super) struct SymbolCursor {
    market: Arc<SymbolMarket>,
    reader: LogReader,
    trade_stream: Option<String>,
    aggregate_stream: Option<String>,
    timed_streams: Vec<TimedStream>,
    /// A trade frame that waits for the one after it.
    delayed: Option<String>,
    /// Trades from this index on are not for now.
    limit: usize,
    stretches: Arc<[Stretch]>,
}

impl SymbolCursor {
    /// At the place that has been played to.
    pub(super) fn new(market: Arc<SymbolMarket>) -> Self {
        Self {
            reader: LogReader::at(market.played_count()),
            trade_stream: None,
            aggregate_stream: None,
            timed_streams: Vec::new(),
            delayed: None,
            limit: 0,
            stretches: Arc::from([]),
            market,
        }
    }

    pub(super) fn market(&self) -> &SymbolMarket {
        &self.market
    }

    pub(super) fn is_of(&self, stream_symbol: &str) -> bool {
        self.market.stream_symbol() == stream_symbol
    }

    /// Whether no stream is left.
    pub(super) fn is_idle(&self) -> bool {
        self.trade_stream.is_none() && self.aggregate_stream.is_none() && self.timed_streams.is_empty()
    }

    pub(super) fn add_stream(&mut self, name: &str, kind: StreamKind, now_us: i64) {
        match kind {
            StreamKind::Trade => self.trade_stream = Some(name.to_owned()),
            StreamKind::AggregateTrade => self.aggregate_stream = Some(name.to_owned()),
            StreamKind::Kline(_) | StreamKind::MiniTicker | StreamKind::Ticker => {
                self.timed_streams.push(TimedStream::new(name, kind, now_us));
            }
        }
    }

    pub(super) fn remove_stream(&mut self, name: &str) {
        self.trade_stream.take_if(|stream| stream == name);
        self.aggregate_stream.take_if(|stream| stream == name);
        self.timed_streams.retain(|stream| stream.name() != name);
    }

    /// Looks how far this cursor may go now. Returns by how many trades it is behind the market.
    pub(super) fn refresh(&mut self, as_fast_as_read: bool) -> usize {
        let index = self.reader.index();
        self.limit = if !as_fast_as_read {
            self.market.played_count()
        } else if self.market.is_trading() && !self.market.faults.is_stalled() {
            usize::MAX
        } else {
            index
        };
        if self.limit > index {
            self.stretches = self.market.stretches();
        }
        self.market.played_count().saturating_sub(index)
    }

    /// The trade that comes next for this connection, as played.
    pub(super) fn peek(&mut self) -> Option<Trade> {
        let index = self.reader.index();
        let trade = (index < self.limit).then(|| self.reader.peek(self.market.log())).flatten()?;
        Some(stretch_at(&self.stretches, index).played(trade))
    }

    /// When that trade happens by the exchange's clock.
    pub(super) fn next_clock_us(&mut self) -> Option<i64> {
        self.peek().map(|trade| self.market.clock_us(trade.time_us))
    }

    /// Writes the frames of `trade`, which came next, and steps over it.
    pub(super) fn pass(&mut self, trade: &Trade, exchange: &Exchange, format: Format, frames: &mut Frames) {
        if self.timed_streams.iter().any(|stream| stream.is_due(trade.time_us)) {
            // So that the candles know all that came before.
            self.publish();
            self.add_timed_frames(trade.time_us, exchange, format, frames);
        }
        self.reader.advance();
        let delivery = self.market.faults.delivery(trade.id);
        if delivery == Delivery::Withheld {
            return;
        }
        let event_us = exchange.event_time_us(trade.time_us, trade.id);
        let symbol = self.market.symbol();
        if let Some(stream) = &self.trade_stream {
            if let Some(frame) = self.market.faults.false_frame() {
                frames.add(format, stream, |text| write_false_trade(text, symbol, trade, frame));
            }
            frames.add(format, stream, |text| write_trade(text, symbol, trade, event_us, format.time_unit));
            let delayed = self.delayed.take();
            match delivery {
                Delivery::Damaged => frames.damage_last(),
                Delivery::Twice => frames.repeat_last(),
                Delivery::Late if delayed.is_none() => self.delayed = Some(frames.withdraw_last()),
                Delivery::Whole | Delivery::Late | Delivery::Withheld => {}
            }
            if let Some(delayed) = delayed {
                frames.add_withdrawn(&delayed);
            }
        }
        if let Some(stream) = &self.aggregate_stream
            && let Some(aggregate) = self.aggregate_ended_by(trade)
        {
            frames.add(format, stream, |text| {
                write_aggregate(text, symbol, &aggregate, event_us, format.time_unit);
            });
        }
    }

    /// Writes the candles and tickers that are due at `now_us`.
    pub(super) fn add_timed_frames(
        &mut self,
        now_us: i64,
        exchange: &Exchange,
        format: Format,
        frames: &mut Frames,
    ) {
        for stream in &mut self.timed_streams {
            stream.add_due_frames(&self.market, now_us, exchange, format, frames);
        }
    }

    /// Where readers set the pace, the market has been played as far as this one has read.
    pub(super) fn publish(&self) {
        self.market.play_to(self.reader.index());
    }

    /// The aggregate whose last trade is `trade`, which has just been passed; `None` where it goes on.
    fn aggregate_ended_by(&self, trade: &Trade) -> Option<AggregateTrade> {
        let after = self.reader.index();
        if self.part_of(trade, after).is_some() {
            return None;
        }
        let first = (0..after).rev().take_while(|index| self.part_of(trade, *index).is_some()).last()?;
        let whole = aggregates((first..after).map_while(|index| self.part_of(trade, index))).next()?;
        Some(AggregateTrade { last: *trade, ..whole })
    }

    /// The trade at `index`, as played, if it belongs to the same aggregate as `trade`, which has just been passed.
    fn part_of(&self, trade: &Trade, index: usize) -> Option<Trade> {
        let stretch_of = |index| stretch_at(&self.stretches, index);
        let (own, stretch) = (stretch_of(self.reader.index().saturating_sub(1)), stretch_of(index));
        let part = stretch.played(self.market.log().get(index)?);
        let belongs = part.aggregate_id == trade.aggregate_id && stretch.numbering == own.numbering;
        belongs.then_some(part)
    }
}
