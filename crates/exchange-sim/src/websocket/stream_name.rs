//! The names of streams: `btcusdt@trade`, `btcusdt@kline_1m`, `btcusdt@kline_1d@+08:00`.

use crate::klines::Interval;

/// What a stream carries. Only the streams that are simulated have a kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StreamKind {
    Trade,
    AggregateTrade,
    Kline(Interval),
    MiniTicker,
    Ticker,
}

/// A stream's symbol, in small letters, and kind.
///
/// `None` of a name that the exchange would accept and that stays silent: another kind of stream, or letters in
/// the wrong case, which name no symbol.
pub(super) fn parse(name: &str) -> Option<(&str, StreamKind)> {
    let (symbol, kind) = name.split_once('@')?;
    let kind = match kind {
        "trade" => StreamKind::Trade,
        "aggTrade" => StreamKind::AggregateTrade,
        "miniTicker" => StreamKind::MiniTicker,
        "ticker" => StreamKind::Ticker,
        _ => StreamKind::Kline(parse_interval(kind.strip_prefix("kline_")?)?),
    };
    Some((symbol, kind))
}

/// Whether the exchange takes `name` for a stream at all, existing or not.
pub(super) fn is_well_formed(name: &str) -> bool {
    let is_printable = name.chars().all(|character| !character.is_whitespace() && !character.is_control());
    is_printable
        && (name.starts_with('!') || name.split_once('@').is_some_and(|(symbol, _)| !symbol.is_empty()))
}

fn parse_interval(text: &str) -> Option<Interval> {
    match text.split_once('@') {
        None => Interval::named(text),
        // The only zone in which the exchange has streams.
        Some((name, "+08:00")) => Interval::named(name).map(|interval| interval.in_zone(8 * 60)),
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_simulated_streams() {
        assert_eq!(parse("btcusdt@trade"), Some(("btcusdt", StreamKind::Trade)));
        assert_eq!(parse("btcusdt@aggTrade"), Some(("btcusdt", StreamKind::AggregateTrade)));
        let minute = Interval::named("1m").unwrap();
        assert_eq!(parse("btcusdt@kline_1m"), Some(("btcusdt", StreamKind::Kline(minute))));
        let day = Interval::named("1d").unwrap().in_zone(480);
        assert_eq!(parse("btcusdt@kline_1d@+08:00"), Some(("btcusdt", StreamKind::Kline(day))));
        for silent in ["btcusdt", "btcusdt@depth", "btcusdt@kline_7m", "!miniTicker@arr", "btcusdt@Trade"] {
            assert_eq!(parse(silent), None, "{silent}");
        }
    }

    #[test]
    fn well_formed_is_more_than_existing() {
        for name in ["btcusdt@trade", "nosuch@trade", "btcusdt@depth5@100ms", "!miniTicker@arr"] {
            assert!(is_well_formed(name), "{name}");
        }
        for name in ["", "btcusdt", "@trade", "btc usdt@trade"] {
            assert!(!is_well_formed(name), "{name}");
        }
    }
}
