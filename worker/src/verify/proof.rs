//! Who is wrong: the exchange's own trades of a window, asked for by id and folded by the code that makes every candle.
//! Pure: answers come in, the next question comes out.

use market::{Candle, Interval, Overflow, Trade};
use store::{CheckableWindow, WindowContent};

use crate::exchange::MOST_TRADES;

/// How far a trade's time may step back against its id. None was ever recorded that did at all.
const LARGEST_INVERSION_US: i64 = 1_000_000;

/// How many ids before ours are asked for first: enough, mostly, to see that the window begins behind them.
const IDS_BEFORE: i64 = 100;

/// The trades of one window, as far as they have been asked for.
#[derive(Clone, Debug)]
pub(super) struct Proof {
    open_time_us: i64,
    close_time_us: i64,
    next_id: i64,
    /// Whether a trade before the window was seen.
    has_begun: bool,
    folded: Option<Candle>,
}

/// What an answer led to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// More trades are needed, from [`Proof::next_id`] on.
    More,
    /// These are all trades of the window.
    Folded(Option<Candle>),
    /// The exchange does not tell.
    Impossible(&'static str),
}

impl Proof {
    pub(super) fn new(window: &CheckableWindow, interval: Interval) -> Self {
        let nearest_id = match window.content {
            WindowContent::Candle(candle) => candle.first_trade_id,
            WindowContent::Empty { last_trade_id, .. } => last_trade_id,
        };
        Self {
            open_time_us: window.open_time_us,
            close_time_us: window.open_time_us + interval.length_us(),
            next_id: (nearest_id - IDS_BEFORE).max(0),
            has_begun: false,
            folded: None,
        }
    }

    /// The id from which trades are needed.
    pub(super) const fn next_id(&self) -> i64 {
        self.next_id
    }

    /// Takes the answer to the question for trades from [`Self::next_id`] on: ascending, [`MOST_TRADES`] at most.
    pub(super) fn take(&mut self, trades: &[Trade]) -> Progress {
        if !self.has_begun {
            let Some(first) = trades.first() else {
                return Progress::Impossible("the exchange has no trades of that time");
            };
            if first.trade_time_us >= self.open_time_us - LARGEST_INVERSION_US {
                return self.step_back(first);
            }
            self.has_begun = true;
        }
        let mut is_over = i64::try_from(trades.len()).is_ok_and(|count| count < MOST_TRADES);
        for trade in trades {
            is_over |= trade.trade_time_us >= self.close_time_us + LARGEST_INVERSION_US;
            if self.fold(trade).is_err() {
                return Progress::Impossible("the exchange's trades do not fit a candle");
            }
        }
        if is_over {
            return Progress::Folded(self.folded);
        }
        self.next_id = trades.last().map_or(self.next_id, |last| last.trade_id + 1);
        Progress::More
    }

    fn step_back(&mut self, first: &Trade) -> Progress {
        if first.trade_id > self.next_id || self.next_id == 0 {
            return Progress::Impossible("the exchange does not have the trades before it (any more)");
        }
        self.next_id = (self.next_id - MOST_TRADES).max(0);
        Progress::More
    }

    fn fold(&mut self, trade: &Trade) -> Result<(), Overflow> {
        if (self.open_time_us..self.close_time_us).contains(&trade.trade_time_us) {
            let candle = Candle::of_trade(trade, self.open_time_us)?;
            self.folded = Some(match self.folded {
                Some(folded) => folded.merge(&candle)?,
                None => candle,
            });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE_US: i64 = 60_000_000;

    /// One trade a second with ids from 1.
    fn trade(trade_id: i64) -> Trade {
        Trade {
            trade_id,
            price: "2".parse().unwrap(),
            quantity: "1".parse().unwrap(),
            trade_time_us: trade_id * 1_000_000,
            event_time_us: 0,
            received_time_us: 0,
            buyer_is_maker: trade_id % 2 == 0,
        }
    }

    /// As the exchange answers that has the trades from `oldest` on, up to the newest of them.
    fn answer(from_id: i64, oldest: i64, newest: i64) -> Vec<Trade> {
        (from_id.max(oldest)..=newest).take(usize::try_from(MOST_TRADES).unwrap()).map(trade).collect()
    }

    fn window(first_trade_id: Option<i64>, last_before: i64) -> CheckableWindow {
        let content = match first_trade_id {
            Some(first_trade_id) => WindowContent::Candle(Candle {
                first_trade_id,
                ..Candle::of_trade(&trade(first_trade_id), 60 * MINUTE_US).unwrap()
            }),
            None => WindowContent::Empty { close: "2".parse().unwrap(), last_trade_id: last_before },
        };
        CheckableWindow { open_time_us: 60 * MINUTE_US, version: 1, content }
    }

    fn prove(window: &CheckableWindow, interval: &str, oldest: i64, newest: i64) -> (Progress, usize) {
        let mut proof = Proof::new(window, interval.parse().unwrap());
        for asked in 1..100 {
            let progress = proof.take(&answer(proof.next_id(), oldest, newest));
            if progress != Progress::More {
                return (progress, asked);
            }
        }
        panic!("it does not end");
    }

    fn folded(window: &CheckableWindow, interval: &str) -> (i64, i64, i64, usize) {
        let (Progress::Folded(Some(candle)), asked) = prove(window, interval, 1, 1_000_000) else {
            panic!("nothing folded");
        };
        (candle.first_trade_id, candle.last_trade_id, candle.trade_count, asked)
    }

    #[test]
    fn a_window_is_folded_from_its_first_to_its_last_trade_whatever_we_hold() {
        assert_eq!(folded(&window(Some(3_600), 0), "1m"), (3_600, 3_659, 60, 1));
        // A day takes as many questions as there are thousands of trades in it.
        let (first, last, count, asked) = folded(&window(Some(3_600), 0), "6h");
        assert_eq!((first, last, count), (3_600, 3_600 + 21_599, 21_600));
        assert_eq!(asked, 22);
        for ours in [window(Some(3_610), 0), window(None, 3_599), window(None, 100)] {
            let (first, last, count, _) = folded(&ours, "1m");
            assert_eq!((first, last, count), (3_600, 3_659, 60), "{ours:?}");
        }
    }

    #[test]
    fn a_window_without_trades_is_nothing() {
        let mut proof = Proof::new(&window(None, 7), "1m".parse().unwrap());
        let later = Trade { trade_time_us: 62 * MINUTE_US, ..trade(8) };
        assert_eq!(proof.take(&[trade(7), later]), Progress::Folded(None));
    }

    #[test]
    fn what_the_exchange_does_not_tell_proves_nothing() {
        let (progress, _) = prove(&window(Some(3_600), 0), "1m", 3_600, 1_000_000);
        assert_eq!(
            progress,
            Progress::Impossible("the exchange does not have the trades before it (any more)")
        );
        let (progress, _) = prove(&window(Some(3_600), 0), "1m", 1, 10);
        assert_eq!(progress, Progress::Impossible("the exchange has no trades of that time"));
    }

    #[test]
    fn the_end_of_the_exchanges_ids_is_the_end_of_a_window_that_is_over() {
        let (progress, _) = prove(&window(Some(3_600), 0), "1m", 1, 3_620);
        let Progress::Folded(Some(candle)) = progress else { panic!("{progress:?}") };
        assert_eq!((candle.trade_count, candle.last_trade_id), (21, 3_620));
    }
}
