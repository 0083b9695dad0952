//! Whether our candle and the exchange's own say the same, field by field, as exact decimals. Pure.

use market::{Candle, Fixed8, Fixed16};
use store::{Difference, WindowContent};

use crate::exchange::Kline;

/// The exchange prints products of price and quantity with 8 decimals.
const PRINTED_DECIMALS: u32 = 8;
/// One unit of its last decimal, in units of ours.
const PRINTED_UNIT: i128 = 100_000_000;

/// How the exchange prints the quote volumes of a symbol.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct QuoteRule {
    /// How many decimals a price times a quantity has at most; `None` where the exchange does not say it.
    pub(super) decimals: Option<u32>,
}

impl QuoteRule {
    /// By how much a sum over `trade_count` trades that is `ours` exactly may differ from what the exchange prints.
    ///
    /// Products with 8 decimals at most are printed as they are, and so are their sums. Longer ones are cut or rounded,
    /// each by less than one unit of the last decimal; how, and whether before or after adding up, is not documented.
    fn tolerance(self, ours: Fixed16, trade_count: i64) -> i128 {
        let is_exact = self.decimals.is_some_and(|decimals| decimals <= PRINTED_DECIMALS);
        // The grid is that of today; a longer sum shows that it was finer then.
        if is_exact && ours.decimals() <= PRINTED_DECIMALS {
            0
        } else {
            i128::from(trade_count) * PRINTED_UNIT
        }
    }
}

/// The fields in which the exchange's candle is not ours; all of them are named as the columns are. The exchange may make no
/// candle where nothing was traded.
pub(super) fn compare(ours: &WindowContent, theirs: Option<&Kline>, rule: QuoteRule) -> Vec<Difference> {
    let candle = as_candle(ours, 0);
    let Some(theirs) = theirs else {
        return missing_kline(candle.trade_count).into_iter().collect();
    };
    let exact = [
        ("open", candle.open, theirs.open),
        ("high", candle.high, theirs.high),
        ("low", candle.low, theirs.low),
        ("close", candle.close, theirs.close),
        ("volume", candle.volume, theirs.volume),
        ("taker_buy_volume", candle.taker_buy_volume, theirs.taker_buy_volume),
    ];
    let sums = [
        ("quote_volume", candle.quote_volume, theirs.quote_volume),
        ("taker_buy_quote_volume", candle.taker_buy_quote_volume, theirs.taker_buy_quote_volume),
    ];
    let count = (candle.trade_count != theirs.trade_count)
        .then(|| difference("trade_count", candle.trade_count, theirs.trade_count));
    let exact = exact.into_iter().filter(|(_, ours, theirs)| ours != theirs);
    let sums = sums.into_iter().filter(|(_, ours, theirs)| {
        let apart = (ours.units() - Fixed16::from(*theirs).units()).abs();
        apart > rule.tolerance(*ours, candle.trade_count)
    });
    exact
        .map(|(field, ours, theirs)| difference(field, ours, theirs))
        .chain(sums.map(|(field, ours, theirs)| difference(field, ours, theirs)))
        .chain(count)
        .collect()
}

/// The fields in which ours is not what the exchange's own trades add up to: all of them, and every decimal.
pub(super) fn compare_with_trades(ours: &WindowContent, trades: Option<&Candle>) -> Vec<Difference> {
    let open_time_us = trades.map_or(0, |trades| trades.open_time_us);
    // Where nothing was traded, the close before goes on.
    let of_trades = trades.map_or_else(|| as_candle(&without_trades(ours), open_time_us), |trades| *trades);
    let (ours, theirs) = (texts(&as_candle(ours, open_time_us)), texts(&of_trades));
    ours.into_iter()
        .zip(theirs)
        .filter(|((_, ours), (_, theirs))| ours != theirs)
        .map(|((field, ours), (_, theirs))| difference(field, ours, theirs))
        .collect()
}

fn without_trades(ours: &WindowContent) -> WindowContent {
    match ours {
        WindowContent::Candle(candle) => {
            WindowContent::Empty { close: candle.open, last_trade_id: candle.first_trade_id - 1 }
        }
        empty @ WindowContent::Empty { .. } => *empty,
    }
}

/// A window without trades as the exchange shows it: nothing but the price before it.
fn as_candle(content: &WindowContent, open_time_us: i64) -> Candle {
    match *content {
        WindowContent::Candle(candle) => candle,
        WindowContent::Empty { close, .. } => Candle {
            open_time_us,
            open: close,
            high: close,
            low: close,
            close,
            volume: Fixed8::ZERO,
            quote_volume: Fixed16::ZERO,
            trade_count: 0,
            taker_buy_volume: Fixed8::ZERO,
            taker_buy_quote_volume: Fixed16::ZERO,
            first_trade_id: -1,
            last_trade_id: -1,
        },
    }
}

fn texts(candle: &Candle) -> [(&'static str, String); 11] {
    [
        ("open", candle.open.to_string()),
        ("high", candle.high.to_string()),
        ("low", candle.low.to_string()),
        ("close", candle.close.to_string()),
        ("volume", candle.volume.to_string()),
        ("quote_volume", candle.quote_volume.to_string()),
        ("trade_count", candle.trade_count.to_string()),
        ("taker_buy_volume", candle.taker_buy_volume.to_string()),
        ("taker_buy_quote_volume", candle.taker_buy_quote_volume.to_string()),
        ("first_trade_id", candle.first_trade_id.to_string()),
        ("last_trade_id", candle.last_trade_id.to_string()),
    ]
}

fn missing_kline(trade_count: i64) -> Option<Difference> {
    let ours = trade_count.to_string();
    (trade_count > 0).then(|| Difference { field: "trade_count".to_owned(), ours, theirs: None })
}

fn difference(field: &str, ours: impl ToString, theirs: impl ToString) -> Difference {
    Difference { field: field.to_owned(), ours: ours.to_string(), theirs: Some(theirs.to_string()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXACT: QuoteRule = QuoteRule { decimals: Some(8) };

    fn candle() -> Candle {
        Candle {
            open_time_us: 60_000_000,
            open: "10.5".parse().unwrap(),
            high: "12".parse().unwrap(),
            low: "9.5".parse().unwrap(),
            close: "11".parse().unwrap(),
            volume: "40".parse().unwrap(),
            quote_volume: "420.00000001".parse().unwrap(),
            trade_count: 7,
            taker_buy_volume: "30".parse().unwrap(),
            taker_buy_quote_volume: "330.5".parse().unwrap(),
            first_trade_id: 100,
            last_trade_id: 106,
        }
    }

    fn kline() -> Kline {
        Kline {
            open_time_us: 60_000_000,
            open: "10.5".parse().unwrap(),
            high: "12".parse().unwrap(),
            low: "9.5".parse().unwrap(),
            close: "11".parse().unwrap(),
            volume: "40".parse().unwrap(),
            quote_volume: "420.00000001".parse().unwrap(),
            trade_count: 7,
            taker_buy_volume: "30".parse().unwrap(),
            taker_buy_quote_volume: "330.5".parse().unwrap(),
        }
    }

    fn fields(ours: WindowContent, theirs: Option<Kline>, rule: QuoteRule) -> Vec<String> {
        compare(&ours, theirs.as_ref(), rule).into_iter().map(|difference| difference.field).collect()
    }

    #[test]
    fn every_field_is_compared_to_its_last_decimal() {
        let ours = WindowContent::Candle(candle());
        assert_eq!(compare(&ours, Some(&kline()), EXACT), []);
        let unit = |number: Fixed8| Fixed8::from_units(number.units() + 1).unwrap();
        let altered = |change: fn(&mut Kline, fn(Fixed8) -> Fixed8)| {
            let mut theirs = kline();
            change(&mut theirs, unit);
            fields(ours, Some(theirs), EXACT)
        };
        assert_eq!(altered(|kline, unit| kline.open = unit(kline.open)), ["open"]);
        assert_eq!(altered(|kline, unit| kline.high = unit(kline.high)), ["high"]);
        assert_eq!(altered(|kline, unit| kline.low = unit(kline.low)), ["low"]);
        assert_eq!(altered(|kline, unit| kline.close = unit(kline.close)), ["close"]);
        assert_eq!(altered(|kline, unit| kline.volume = unit(kline.volume)), ["volume"]);
        assert_eq!(altered(|kline, unit| kline.quote_volume = unit(kline.quote_volume)), ["quote_volume"]);
        assert_eq!(altered(|kline, _| kline.trade_count += 1), ["trade_count"]);
        assert_eq!(
            altered(|kline, unit| kline.taker_buy_volume = unit(kline.taker_buy_volume)),
            ["taker_buy_volume"]
        );
        assert_eq!(
            altered(|kline, unit| kline.taker_buy_quote_volume = unit(kline.taker_buy_quote_volume)),
            ["taker_buy_quote_volume"]
        );
    }

    #[test]
    fn products_that_the_exchange_cannot_print_may_differ_by_a_unit_a_trade() {
        let ours = |quote_volume: &str| {
            WindowContent::Candle(Candle { quote_volume: quote_volume.parse().unwrap(), ..candle() })
        };
        let theirs =
            |quote_volume: &str| Some(Kline { quote_volume: quote_volume.parse().unwrap(), ..kline() });
        let unknown = QuoteRule::default();
        let longer = QuoteRule { decimals: Some(9) };
        for rule in [unknown, longer] {
            // Seven trades: seven units, and not one unit of ours more.
            assert_eq!(fields(ours("420.00000007"), theirs("420"), rule), Vec::<String>::new());
            assert_eq!(fields(ours("419.99999993"), theirs("420"), rule), Vec::<String>::new());
            assert_eq!(fields(ours("420.0000000700000001"), theirs("420"), rule), ["quote_volume"]);
            assert_eq!(fields(ours("419.9999999299999999"), theirs("420"), rule), ["quote_volume"]);
        }
        // The grid was finer when this was traded.
        assert_eq!(fields(ours("420.000000001"), theirs("420"), EXACT), Vec::<String>::new());
        assert_eq!(fields(ours("420.00000001"), theirs("420"), EXACT), ["quote_volume"]);
    }

    #[test]
    fn a_window_without_trades_is_the_close_before_it_or_no_candle_at_all() {
        let ours = WindowContent::Empty { close: "11".parse().unwrap(), last_trade_id: 106 };
        let close: Fixed8 = "11".parse().unwrap();
        let zero = Fixed8::ZERO;
        let theirs = Kline {
            open: close,
            high: close,
            low: close,
            close,
            volume: zero,
            quote_volume: zero,
            trade_count: 0,
            taker_buy_volume: zero,
            taker_buy_quote_volume: zero,
            ..kline()
        };
        for rule in [EXACT, QuoteRule::default()] {
            assert_eq!(compare(&ours, None, rule), []);
            assert_eq!(compare(&ours, Some(&theirs), rule), []);
            let other_price = Kline { low: zero, ..theirs };
            assert_eq!(fields(ours, Some(other_price), rule), ["low"]);
            // All but the close.
            assert_eq!(fields(ours, Some(kline()), rule).len(), 8);
        }
    }

    #[test]
    fn a_candle_that_the_exchange_does_not_have_differs() {
        let missing = compare(&WindowContent::Candle(candle()), None, EXACT);
        assert_eq!(missing.len(), 1);
        assert_eq!(missing[0].to_string(), "trade_count is 7, the exchange has no candle");
    }

    #[test]
    fn against_trades_every_decimal_and_both_ids_count() {
        let ours = WindowContent::Candle(candle());
        assert_eq!(compare_with_trades(&ours, Some(&candle())), []);
        let other =
            Candle { quote_volume: "420.0000000100000001".parse().unwrap(), last_trade_id: 107, ..candle() };
        let fields: Vec<String> = compare_with_trades(&ours, Some(&other))
            .into_iter()
            .map(|difference| difference.to_string())
            .collect();
        assert_eq!(
            fields,
            [
                "quote_volume is 420.00000001, the exchange has 420.0000000100000001",
                "last_trade_id is 106, the exchange has 107"
            ]
        );
        let empty = WindowContent::Empty { close: "11".parse().unwrap(), last_trade_id: 99 };
        assert_eq!(compare_with_trades(&empty, None), []);
        assert_eq!(compare_with_trades(&empty, Some(&candle())).len(), 10);
        assert!(compare_with_trades(&ours, None).iter().any(|difference| difference.field == "trade_count"));
    }
}
