use super::*;
use crate::log::{CHUNK_TRADES, TradeLog};

fn settings(symbol: &str, rate: f64, seconds: u64) -> GeneratorSettings {
    GeneratorSettings {
        symbol: symbol.into(),
        trades_per_second: rate,
        seed: 7,
        start_us: GeneratorSettings::DEFAULT_START_US,
        duration: Some(Duration::from_secs(seconds)),
    }
}

fn trades(settings: &GeneratorSettings) -> Vec<Trade> {
    Generator::new(settings).collect()
}

#[test]
fn the_same_seed_gives_the_same_trades_and_another_seed_others() {
    let settings = settings("BTCUSDT", 20.0, 60);
    assert_eq!(trades(&settings), trades(&settings));
    let other = GeneratorSettings { seed: 8, ..settings.clone() };
    assert_ne!(trades(&settings), trades(&other));
}

#[test]
fn ids_are_consecutive_and_times_rise_within_the_duration() {
    let settings = settings("ADAUSDT", 50.0, 600);
    let trades = trades(&settings);
    assert!(trades.windows(2).all(|pair| pair[1].id == pair[0].id + 1));
    assert!(trades.windows(2).all(|pair| pair[1].time_us >= pair[0].time_us));
    assert!(trades[0].time_us >= settings.start_us);
    assert!(trades.last().unwrap().time_us < settings.start_us + 600_000_000);
}

#[test]
fn the_rate_is_met_on_average() {
    for rate in [20.0, 5_000.0] {
        let count = trades(&settings("BTCUSDT", rate, 600)).len() as f64;
        let expected = rate * 600.0;
        assert!((count - expected).abs() < expected * 0.1, "{count} trades at {rate}/s");
    }
}

#[test]
fn orders_sweep_in_one_microsecond_and_bursts_stand_out() {
    let trades = trades(&settings("BTCUSDT", 100.0, 600));
    let same_time = trades.windows(2).filter(|pair| pair[0].time_us == pair[1].time_us).count();
    assert!(same_time * 4 > trades.len(), "{same_time} of {}", trades.len());
    let mut seconds = std::collections::BTreeMap::<i64, u32>::new();
    for trade in &trades {
        *seconds.entry(trade.time_us / 1_000_000).or_default() += 1;
    }
    assert!(*seconds.values().max().unwrap() > 300, "{:?}", seconds.values().max());
}

#[test]
fn numbers_lie_on_the_grid_and_prices_move_like_a_market() {
    for (symbol, _) in DEFAULT_SYMBOLS {
        let settings = settings(symbol, 50.0, 1_800);
        let profile = profile::of(symbol);
        let trades = trades(&settings);
        assert!(trades.iter().all(|trade| trade.quantity.is_positive() && trade.price.is_positive()));
        assert!(trades.iter().all(|trade| trade.price.units() % profile.tick_size.units() == 0));
        assert!(trades.iter().all(|trade| trade.quantity.units() % profile.step_size.units() == 0));
        let prices = trades.iter().map(|trade| trade.price);
        let range_units = prices.clone().max().unwrap().units() - prices.min().unwrap().units();
        let start_units = i128::from(profile.start_ticks) * profile.tick_size.units();
        assert!(range_units > start_units / 2_000, "{symbol} moved by {range_units}");
        assert!(range_units < start_units / 5, "{symbol} moved by {range_units}");
    }
}

#[test]
fn aggregates_share_time_price_and_side() {
    let trades = trades(&settings("ETHUSDT", 100.0, 120));
    for pair in trades.windows(2) {
        let is_same = pair[0].aggregate_id == pair[1].aggregate_id;
        assert!(is_same || pair[1].aggregate_id == pair[0].aggregate_id + 1);
        if is_same {
            assert_eq!(pair[0].price, pair[1].price);
            assert_eq!(pair[0].time_us, pair[1].time_us);
            assert_eq!(pair[0].buyer_is_maker, pair[1].buyer_is_maker);
        }
    }
}

#[test]
fn a_chunked_log_holds_what_the_generator_makes_in_any_order_of_reading() {
    let settings = settings("BTCUSDT", 1_000.0, 60);
    let expected = trades(&settings);
    assert!(expected.len() > 8 * CHUNK_TRADES);
    let log = TradeLog::generated(&settings);
    assert_eq!(log.last(), None);
    for index in [40_000, 0, 4_095, 4_096, 20_000, 3, expected.len() - 1] {
        assert_eq!(log.get(index), expected.get(index).copied(), "{index}");
    }
    assert_eq!(log.get(expected.len()), None);
    assert_eq!(log.last(), expected.last().copied());
    let id = expected[9_000].id;
    assert_eq!(log.partition_point(expected.len(), |_, trade| trade.id < id), 9_000);
}

#[test]
fn reads_rates() {
    assert_eq!(parse_rate("20/s"), Ok(20.0));
    assert_eq!(parse_rate("0.5"), Ok(0.5));
    for text in ["", "x/s", "0", "-1/s", "1e9", "NaN", "20/m"] {
        assert!(parse_rate(text).is_err(), "{text}");
    }
}
