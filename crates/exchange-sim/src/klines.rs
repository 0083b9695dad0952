//! The exchange's own candles, computed from the trades as they are played.
//!
//! This is deliberately code of its own: our candles are judged by these, so nothing is shared with theirs but
//! the exact numbers. Seconds with trades are kept; every other interval is added up from them when asked for.

mod interval;

use market::{Fixed8, Fixed16};

use crate::log::Trade;
pub(crate) use interval::Interval;

const SECOND_US: i64 = 1_000_000;

/// A candle of trades, whatever its window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Kline {
    pub(crate) open: Fixed8,
    pub(crate) high: Fixed8,
    pub(crate) low: Fixed8,
    pub(crate) close: Fixed8,
    pub(crate) volume: Fixed8,
    pub(crate) quote_volume: Fixed16,
    pub(crate) trade_count: i64,
    pub(crate) taker_buy_volume: Fixed8,
    pub(crate) taker_buy_quote_volume: Fixed16,
    /// -1 where there is no trade.
    pub(crate) first_trade_id: i64,
    /// -1 where there is no trade.
    pub(crate) last_trade_id: i64,
}

/// A candle and the window it describes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WindowKline {
    pub(crate) open_us: i64,
    /// Where the next window opens.
    pub(crate) end_us: i64,
    pub(crate) kline: Kline,
}

/// Which candles are asked for. The bounds are those of open times, both inclusive.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KlineQuery {
    pub(crate) interval: Interval,
    pub(crate) start_us: Option<i64>,
    pub(crate) end_us: Option<i64>,
    pub(crate) limit: usize,
}

impl Kline {
    fn of_trade(trade: &Trade) -> Self {
        let quote = trade.price.checked_mul(trade.quantity).unwrap_or_default();
        let taker_buys = !trade.buyer_is_maker;
        Self {
            open: trade.price,
            high: trade.price,
            low: trade.price,
            close: trade.price,
            volume: trade.quantity,
            quote_volume: quote,
            trade_count: 1,
            taker_buy_volume: if taker_buys { trade.quantity } else { Fixed8::ZERO },
            taker_buy_quote_volume: if taker_buys { quote } else { Fixed16::ZERO },
            first_trade_id: trade.id,
            last_trade_id: trade.id,
        }
    }

    /// The candle of a window without trades: nothing but the price before it.
    fn without_trades(price: Fixed8) -> Self {
        Self {
            open: price,
            high: price,
            low: price,
            close: price,
            volume: Fixed8::ZERO,
            quote_volume: Fixed16::ZERO,
            trade_count: 0,
            taker_buy_volume: Fixed8::ZERO,
            taker_buy_quote_volume: Fixed16::ZERO,
            first_trade_id: -1,
            last_trade_id: -1,
        }
    }

    /// The quote volume as the exchange prints it, cut at 8 decimals.
    pub(crate) fn printed_quote_volume(&self) -> Fixed8 {
        cut(self.quote_volume)
    }

    /// The taker's buys in quote currency as the exchange prints them, cut at 8 decimals.
    pub(crate) fn printed_taker_buy_quote_volume(&self) -> Fixed8 {
        cut(self.taker_buy_quote_volume)
    }

    /// This candle followed by `later`, whose trades all have higher ids.
    fn followed_by(self, later: &Self) -> Self {
        Self {
            open: self.open,
            high: self.high.max(later.high),
            low: self.low.min(later.low),
            close: later.close,
            volume: sum(self.volume, later.volume),
            quote_volume: sum(self.quote_volume, later.quote_volume),
            trade_count: self.trade_count + later.trade_count,
            taker_buy_volume: sum(self.taker_buy_volume, later.taker_buy_volume),
            taker_buy_quote_volume: sum(self.taker_buy_quote_volume, later.taker_buy_quote_volume),
            first_trade_id: self.first_trade_id,
            last_trade_id: later.last_trade_id,
        }
    }
}

fn cut(number: Fixed16) -> Fixed8 {
    Fixed8::from_units(number.units() / 100_000_000).unwrap_or_default()
}

/// Recordings whose sums do not fit are refused when they are read, so no sum here can overflow.
fn sum<const SCALE: u32>(left: market::Fixed<SCALE>, right: market::Fixed<SCALE>) -> market::Fixed<SCALE> {
    left.checked_add(right).unwrap_or(left)
}

/// All trades played so far, by seconds.
#[derive(Debug, Default)]
pub(crate) struct KlineHistory {
    /// Seconds with trades, by their open time.
    seconds: Vec<(i64, Kline)>,
}

impl KlineHistory {
    /// Adds a trade whose id is higher than all before. Its time may lie a little before theirs.
    pub(crate) fn add(&mut self, trade: &Trade) {
        let second_us = trade.time_us - trade.time_us.rem_euclid(SECOND_US);
        let kline = Kline::of_trade(trade);
        match self.seconds.last_mut() {
            Some((last_us, last)) if *last_us == second_us => *last = last.followed_by(&kline),
            Some((last_us, _)) if *last_us > second_us => self.add_late(second_us, &kline),
            _ => self.seconds.push((second_us, kline)),
        }
    }

    fn add_late(&mut self, second_us: i64, kline: &Kline) {
        match self.seconds.binary_search_by_key(&second_us, |(open_us, _)| *open_us) {
            Ok(at) => self.seconds[at].1 = self.seconds[at].1.followed_by(kline),
            Err(at) => self.seconds.insert(at, (second_us, *kline)),
        }
    }

    /// The candle of the trades from `from_us` up to, not including, `to_us` (whole seconds); `None` without any.
    pub(crate) fn between(&self, from_us: i64, to_us: i64) -> Option<Kline> {
        let range =
            self.seconds_before(from_us)..self.seconds_before(to_us).max(self.seconds_before(from_us));
        let (first, rest) = self.seconds[range].split_first()?;
        Some(rest.iter().fold(first.1, |kline, (_, second)| kline.followed_by(second)))
    }

    /// The candle of a window, also where it has no trades; `None` before the first trade.
    pub(crate) fn window(&self, open_us: i64, end_us: i64) -> Option<Kline> {
        self.between(open_us, end_us).or_else(|| {
            let before = self.seconds_before(open_us).checked_sub(1)?;
            Some(Kline::without_trades(self.seconds[before].1.close))
        })
    }

    /// The candles that `query` asks for as of `now_us`, ascending, the running one included. Windows that lie wholly in one of
    /// `breaks` (from, to) have no row, as the exchange makes none while a symbol is stopped.
    pub(crate) fn query(&self, query: &KlineQuery, now_us: i64, breaks: &[(i64, i64)]) -> Vec<WindowKline> {
        let Some((first_us, _)) = self.seconds.first() else { return Vec::new() };
        let interval = query.interval;
        let earliest_us = interval.open_us(*first_us);
        let latest_us = query.end_us.unwrap_or(now_us).min(now_us.max(*first_us));
        let row = |open_us: i64| {
            let end_us = interval.end_us(open_us);
            let is_stopped = breaks.iter().any(|(from_us, to_us)| *from_us <= open_us && end_us <= *to_us);
            // Of a moment that has passed, what was traded later is not in them yet.
            let until_us = end_us.min(now_us - now_us.rem_euclid(SECOND_US) + SECOND_US);
            let kline =
                if is_stopped { self.between(open_us, until_us) } else { self.window(open_us, until_us) };
            kline.map(|kline| WindowKline { open_us, end_us, kline })
        };
        if let Some(start_us) = query.start_us {
            let first_open_us = interval.first_open_at_or_after(start_us).max(earliest_us);
            let opens = std::iter::successors(Some(first_open_us), |open_us| Some(interval.end_us(*open_us)));
            opens.take_while(|open_us| *open_us <= latest_us).filter_map(row).take(query.limit).collect()
        } else {
            let last_open_us = interval.open_us(latest_us);
            let opens =
                std::iter::successors(Some(last_open_us), |open_us| Some(interval.open_us(open_us - 1)));
            let mut rows: Vec<WindowKline> = opens
                .take_while(|open_us| *open_us >= earliest_us)
                .filter_map(row)
                .take(query.limit)
                .collect();
            rows.reverse();
            rows
        }
    }

    fn seconds_before(&self, time_us: i64) -> usize {
        self.seconds.partition_point(|(open_us, _)| *open_us < time_us)
    }
}

#[cfg(test)]
mod tests;
