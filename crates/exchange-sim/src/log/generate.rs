//! A generated market: what looks like trading, from a seed, on the symbol's grid.
//!
//! Taker orders arrive by a Poisson process whose rate alternates between calm and bursts. An order takes one or
//! more resting orders: its trades share time and side, and a larger one walks to worse prices. The middle
//! price walks at random and is drawn back to where it began; quantities are log-normal. Floating point makes
//! the choices only: every price, quantity and time that leaves this module is a whole number of grid units.
#![allow(
    clippy::float_arithmetic,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "random draws are made in floating point and then put on the grid"
)]

mod chunks;
mod profile;
mod random;

use std::time::Duration;

use market::Fixed8;
use smol_str::SmolStr;

use super::Trade;
pub(super) use chunks::GeneratedChunks;
use profile::Profile;
use random::Random;

/// The symbols that are played when none is named, with trades per second.
pub const DEFAULT_SYMBOLS: [(&str, f64); 5] =
    [("BTCUSDT", 20.0), ("ETHUSDT", 15.0), ("SOLUSDT", 10.0), ("BNBUSDT", 6.0), ("ADAUSDT", 4.0)];

/// Trades of a taker order, on average.
const TRADES_PER_ORDER: f64 = 2.5;
/// Calm and burst: how much of the mean rate, and for how many seconds on average. The mean is 1, and the phases
/// are short, so that a few minutes come close to it.
const CALM: (f64, f64) = (0.7, 4.0);
const BURST: (f64, f64) = (4.0, 0.4);
/// Which part of the price it moves in a second (standard deviation), and of the orders that move it.
const MOVE_PER_SECOND: f64 = 5e-5;
const MOVING_ORDERS: f64 = 0.25;
/// Which part of its distance from the start an order takes back.
const PULL: f64 = 1e-4;
/// Width of the log-normal quantities: one in some thousands is 500 times the median.
const QUANTITY_SIGMA: f64 = 1.8;
const SECOND_US: f64 = 1e6;

/// What a generated log is made from.
#[derive(Clone, Debug)]
pub struct GeneratorSettings {
    /// The symbol, in capitals.
    pub symbol: SmolStr,
    /// Trades per second on average.
    pub trades_per_second: f64,
    /// The same seed gives the same trades; each symbol makes its own of it.
    pub seed: u64,
    /// Before the first trade: microseconds since 1970, UTC.
    pub start_us: i64,
    /// How long trading lasts; `None` for ever.
    pub duration: Option<Duration>,
}

impl GeneratorSettings {
    /// Midnight of 2026-01-01: where generated logs begin unless told otherwise.
    pub const DEFAULT_START_US: i64 = 1_767_225_600_000_000;
}

/// A rate that is no number of trades per second.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("rate {0:?} is not a number of trades per second between 0.01 and 100000, such as 20/s")]
pub struct InvalidRate(String);

/// Reads `20/s` or `20` as trades per second.
///
/// # Errors
/// [`InvalidRate`] where it is no number, or too small or large to be played.
pub fn parse_rate(text: &str) -> Result<f64, InvalidRate> {
    let rate: f64 =
        text.strip_suffix("/s").unwrap_or(text).parse().map_err(|_| InvalidRate(text.to_owned()))?;
    if (0.01..=100_000.0).contains(&rate) { Ok(rate) } else { Err(InvalidRate(text.to_owned())) }
}

/// Makes the trades of a log one after another. A copy made before a trade makes the same trades again.
#[derive(Clone, Debug)]
struct Generator {
    random: Random,
    orders_per_second: f64,
    profile: Profile,
    end_us: i64,
    time_us: i64,
    is_burst: bool,
    phase_ends_us: i64,
    middle_ticks: i64,
    next_id: i64,
    next_aggregate_id: i64,
    order: Order,
}

/// The taker order that is being filled.
#[derive(Clone, Copy, Debug)]
struct Order {
    trades_left: u32,
    price_ticks: i64,
    taker_sells: bool,
}

impl Generator {
    fn new(settings: &GeneratorSettings) -> Self {
        let profile = profile::of(&settings.symbol);
        let duration_us = settings
            .duration
            .map_or(i64::MAX, |duration| i64::try_from(duration.as_micros()).unwrap_or(i64::MAX));
        Self {
            random: Random::new(settings.seed, &settings.symbol),
            orders_per_second: settings.trades_per_second / TRADES_PER_ORDER,
            end_us: settings.start_us.saturating_add(duration_us),
            time_us: settings.start_us,
            is_burst: true,
            phase_ends_us: settings.start_us,
            middle_ticks: profile.start_ticks,
            next_id: profile.first_trade_id,
            next_aggregate_id: profile.first_aggregate_id,
            order: Order { trades_left: 0, price_ticks: profile.start_ticks, taker_sells: false },
            profile,
        }
    }

    fn begin_order(&mut self) {
        self.let_time_pass();
        self.move_middle();
        let taker_sells = self.random.uniform() < 0.5;
        let half_spread_ticks = i64::from(!taker_sells);
        self.order = Order {
            trades_left: self.draw_order_length(),
            price_ticks: self.middle_ticks + half_spread_ticks,
            taker_sells,
        };
    }

    /// To the next order: exponential waiting times, drawn again from where a phase ends.
    fn let_time_pass(&mut self) {
        loop {
            let intensity = if self.is_burst { BURST.0 } else { CALM.0 };
            let waiting_us =
                (self.random.exponential() / (self.orders_per_second * intensity) * SECOND_US) as i64;
            if self.time_us.saturating_add(waiting_us) < self.phase_ends_us {
                self.time_us += waiting_us;
                return;
            }
            self.time_us = self.phase_ends_us;
            self.is_burst = !self.is_burst;
            let mean_seconds = if self.is_burst { BURST.1 } else { CALM.1 };
            self.phase_ends_us += (self.random.exponential() * mean_seconds * SECOND_US) as i64 + 1;
        }
    }

    fn move_middle(&mut self) {
        if self.random.uniform() >= MOVING_ORDERS {
            return;
        }
        let moves_per_second = self.orders_per_second * MOVING_ORDERS;
        let deviation_ticks =
            (self.profile.start_ticks as f64 * MOVE_PER_SECOND / moves_per_second.sqrt()).max(0.6);
        let pull_ticks = (self.profile.start_ticks - self.middle_ticks) as f64 * PULL;
        let step_ticks = (self.random.normal() * deviation_ticks + pull_ticks).round() as i64;
        self.set_middle(self.middle_ticks + step_ticks);
    }

    /// Never far from the start, so that no seed leads to a price of zero.
    fn set_middle(&mut self, ticks: i64) {
        let start = self.profile.start_ticks;
        self.middle_ticks = ticks.clamp(start - start / 2, start + start / 2);
    }

    /// Geometric, with the mean of [`TRADES_PER_ORDER`].
    fn draw_order_length(&mut self) -> u32 {
        let mut length = 1;
        while length < 200 && self.random.uniform() < 1.0 - 1.0 / TRADES_PER_ORDER {
            length += 1;
        }
        length
    }

    fn draw_quantity(&mut self) -> Fixed8 {
        let steps = self.profile.median_steps * (self.random.normal() * QUANTITY_SIGMA).exp();
        let steps = (steps.round() as i64).max(1);
        Fixed8::from_units(i128::from(steps) * self.profile.step_size.units()).unwrap_or_default()
    }

    /// One fill in three empties its level, and the next one is a tick worse.
    fn walk_the_book(&mut self) {
        if self.random.uniform() < 1.0 / 3.0 {
            self.order.price_ticks += if self.order.taker_sells { -1 } else { 1 };
            self.next_aggregate_id += 1;
        }
    }
}

impl Iterator for Generator {
    type Item = Trade;

    fn next(&mut self) -> Option<Trade> {
        if self.order.trades_left == 0 {
            self.begin_order();
        }
        if self.time_us >= self.end_us {
            return None;
        }
        let price_units = i128::from(self.order.price_ticks) * self.profile.tick_size.units();
        let trade = Trade {
            id: self.next_id,
            price: Fixed8::from_units(price_units).unwrap_or_default(),
            quantity: self.draw_quantity(),
            time_us: self.time_us,
            aggregate_id: self.next_aggregate_id,
            buyer_is_maker: self.order.taker_sells,
        };
        self.next_id += 1;
        self.order.trades_left -= 1;
        if self.order.trades_left == 0 {
            self.next_aggregate_id += 1;
            self.set_middle(self.order.price_ticks - i64::from(!self.order.taker_sells));
        } else {
            self.walk_the_book();
        }
        Some(trade)
    }
}

#[cfg(test)]
mod tests;
