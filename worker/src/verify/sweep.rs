//! Which windows are looked at next: the newest ones of every market and interval again and again, and between them the
//! older ones, from the newest to the oldest, market by market. Pure: time is an argument.

use market::{Interval, Market};
use tokio::time::Instant;

use super::VerifyTimings;
use crate::exchange::MOST_KLINES;

/// Consecutive windows that one question to the exchange covers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stretch {
    pub(super) market: Market,
    pub(super) interval: Interval,
    pub(super) from_us: i64,
    pub(super) to_us: i64,
}

/// Where the look at one market's candles of one interval has come to.
#[derive(Clone, Debug)]
struct Lane {
    market: Market,
    interval: Interval,
    newest_due: Instant,
    /// Where the next older stretch ends, while the older ones are gone through.
    older_than_us: Option<i64>,
    older_due: Instant,
}

/// All of them, the one that was served last at the end.
#[derive(Debug, Default)]
pub(super) struct Sweep {
    lanes: Vec<Lane>,
}

impl Sweep {
    /// Takes the markets and intervals that there are at `now`; what is known of the others stays.
    pub(super) fn update(&mut self, wished: &[(Market, Interval)], now: Instant) {
        let is = |lane: &Lane, (market, interval): &(Market, Interval)| {
            lane.market == *market && lane.interval == *interval
        };
        self.lanes.retain(|lane| wished.iter().any(|wish| is(lane, wish)));
        for wish in wished {
            if !self.lanes.iter().any(|lane| is(lane, wish)) {
                let (market, interval) = wish.clone();
                self.lanes.push(Lane {
                    market,
                    interval,
                    newest_due: now,
                    older_than_us: None,
                    older_due: now,
                });
            }
        }
    }

    /// The next stretch of windows that are over at the time that `over_until_us` tells of their market, if it is known.
    pub(super) fn next(
        &mut self,
        over_until_us: impl Fn(&Market) -> Option<i64>,
        timings: &VerifyTimings,
        now: Instant,
    ) -> Option<Stretch> {
        let known = |lane: &Lane| over_until_us(&lane.market).is_some();
        let newest = self.lanes.iter().position(|lane| lane.newest_due <= now && known(lane));
        let at = newest.or_else(|| {
            self.lanes.iter().position(|lane| lane.older_than_us.is_some() && lane.older_due <= now)
        })?;
        let mut lane = self.lanes.remove(at);
        let end_us = match newest {
            Some(_) => {
                lane.newest_due = now + timings.newest_interval;
                lane.interval.open_time_us(over_until_us(&lane.market)?)
            }
            None => lane.older_than_us?,
        };
        let stretch = Stretch {
            market: lane.market.clone(),
            interval: lane.interval,
            from_us: end_us - MOST_KLINES * lane.interval.length_us(),
            to_us: end_us,
        };
        let waits_for_older = lane.older_than_us.is_none() || lane.older_due > now;
        if newest.is_none() || waits_for_older {
            lane.older_than_us = Some(stretch.from_us);
        }
        self.lanes.push(lane);
        Some(stretch)
    }

    /// `stretch` was looked at; nothing is older than `first_candle_us`.
    pub(super) fn note_first(
        &mut self,
        stretch: &Stretch,
        first_candle_us: Option<i64>,
        timings: &VerifyTimings,
        now: Instant,
    ) {
        let of_stretch =
            |lane: &&mut Lane| lane.market == stretch.market && lane.interval == stretch.interval;
        if let Some(lane) = self.lanes.iter_mut().find(of_stretch)
            && lane
                .older_than_us
                .is_none_or(|end_us| first_candle_us.is_none_or(|first_us| end_us <= first_us))
        {
            lane.older_than_us = None;
            lane.older_due = now + timings.older_pause;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const MINUTE_US: i64 = 60_000_000;
    const TIMINGS: VerifyTimings = VerifyTimings {
        newest_interval: Duration::from_secs(30),
        older_pause: Duration::from_secs(3_600),
        grace: Duration::ZERO,
        second_look: Duration::ZERO,
        differing_again: Duration::ZERO,
    };

    fn lanes(names: &[(&str, &str)]) -> Vec<(Market, Interval)> {
        let lane =
            |(symbol, interval): &(&str, &str)| (Market::new("binance", *symbol), interval.parse().unwrap());
        names.iter().map(lane).collect()
    }

    /// Symbol, interval, and the minutes.
    fn seen(stretch: &Stretch) -> (String, String, i64, i64) {
        let Stretch { market, interval, from_us, to_us } = stretch;
        (market.symbol.to_string(), interval.to_string(), from_us / MINUTE_US, to_us / MINUTE_US)
    }

    #[tokio::test(start_paused = true)]
    async fn the_newest_windows_of_all_come_first_and_then_the_older_ones_in_turn() {
        let now = Instant::now();
        let mut sweep = Sweep::default();
        sweep.update(&lanes(&[("BTCUSDT", "1m"), ("ETHUSDT", "5m")]), now);
        let over = |_: &Market| Some(10_003 * MINUTE_US + 17);
        let mut order = Vec::new();
        for _ in 0..6 {
            let stretch = sweep.next(over, &TIMINGS, now).unwrap();
            sweep.note_first(&stretch, Some(2_000 * MINUTE_US), &TIMINGS, now);
            order.push(seen(&stretch));
        }
        let row = |symbol: &str, interval: &str, from, to| (symbol.to_owned(), interval.to_owned(), from, to);
        assert_eq!(
            order,
            [
                row("BTCUSDT", "1m", 9_003, 10_003),
                row("ETHUSDT", "5m", 5_000, 10_000),
                row("BTCUSDT", "1m", 8_003, 9_003),
                row("ETHUSDT", "5m", 0, 5_000),
                row("BTCUSDT", "1m", 7_003, 8_003),
                row("BTCUSDT", "1m", 6_003, 7_003),
            ]
        );
    }

    #[tokio::test(start_paused = true)]
    async fn after_the_oldest_there_is_a_pause_and_then_all_are_looked_at_again() {
        let mut now = Instant::now();
        let mut sweep = Sweep::default();
        sweep.update(&lanes(&[("BTCUSDT", "1m")]), now);
        let over = |_: &Market| Some(2_500 * MINUTE_US);
        let mut next = |now: Instant| {
            let stretch = sweep.next(over, &TIMINGS, now)?;
            sweep.note_first(&stretch, Some(900 * MINUTE_US), &TIMINGS, now);
            Some(stretch.to_us / MINUTE_US)
        };
        assert_eq!([next(now), next(now), next(now)], [Some(2_500), Some(1_500), None]);
        now += TIMINGS.newest_interval;
        assert_eq!([next(now), next(now)], [Some(2_500), None]);
        now += TIMINGS.older_pause;
        assert_eq!([next(now), next(now), next(now)], [Some(2_500), Some(1_500), None]);
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_looked_at_while_the_exchanges_time_is_not_known() {
        let now = Instant::now();
        let mut sweep = Sweep::default();
        sweep.update(&lanes(&[("BTCUSDT", "1m"), ("ETHUSDT", "1m")]), now);
        let of_eth = |market: &Market| (market.symbol == "ETHUSDT").then_some(5_000 * MINUTE_US);
        assert_eq!(sweep.next(of_eth, &TIMINGS, now).unwrap().market.symbol, "ETHUSDT");
        sweep.update(&lanes(&[("BTCUSDT", "1m")]), now);
        assert_eq!(sweep.next(of_eth, &TIMINGS, now), None);
    }
}
