//! What the generated market of a symbol is like: its price, its grid, the size of its trades.

use market::Fixed8;

/// The measures of one symbol.
#[derive(Clone, Debug)]
pub(super) struct Profile {
    pub(super) tick_size: Fixed8,
    pub(super) step_size: Fixed8,
    /// The price at the start, in ticks.
    pub(super) start_ticks: i64,
    /// The median quantity, in steps.
    pub(super) median_steps: f64,
    pub(super) first_trade_id: i64,
    pub(super) first_aggregate_id: i64,
}

/// The profile of `symbol`; one that is not known trades around 10.
pub(super) fn of(symbol: &str) -> Profile {
    // tick, step in units of 10^-8, start in ticks, median in steps, first trade id.
    let (tick, step, start_ticks, median_steps, first_trade_id) = match symbol {
        "BTCUSDT" => (1_000_000, 1_000, 9_425_015, 150.0, 5_723_703_861),
        "ETHUSDT" => (1_000_000, 10_000, 312_040, 400.0, 3_290_114_530),
        "SOLUSDT" => (1_000_000, 100_000, 18_530, 900.0, 1_650_220_101),
        "BNBUSDT" => (1_000_000, 100_000, 86_210, 150.0, 1_240_550_007),
        "ADAUSDT" => (10_000, 10_000_000, 8_122, 1_500.0, 620_300_411),
        _ => (10_000, 1_000_000, 100_000, 2_000.0, 1_000_001),
    };
    Profile {
        tick_size: Fixed8::from_units(tick).unwrap_or_default(),
        step_size: Fixed8::from_units(step).unwrap_or_default(),
        start_ticks,
        median_steps,
        first_trade_id,
        first_aggregate_id: first_trade_id / 2,
    }
}
