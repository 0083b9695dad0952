//! The 24-hour rolling ticker of a symbol, for streams and REST alike.

use market::Fixed8;
use smol_str::SmolStr;

use crate::klines::Kline;
use crate::playback::SymbolMarket;

const SECOND_US: i64 = 1_000_000;
const DAY_US: i64 = 86_400 * SECOND_US;

/// What happened in the 24 hours before a moment.
#[derive(Clone, Debug)]
pub(crate) struct Ticker {
    pub(crate) symbol: SmolStr,
    pub(crate) open_us: i64,
    pub(crate) close_us: i64,
    pub(crate) kline: Kline,
    /// The price before the first trade; the open where there was none.
    pub(crate) previous_close: Fixed8,
    pub(crate) last_quantity: Fixed8,
    /// What a buyer would pay: there is no order book, so a tick above the last price.
    pub(crate) ask_price: Fixed8,
}

impl Ticker {
    /// The ticker of `market` at `now_us`; `None` before its first trade.
    pub(crate) fn at(market: &SymbolMarket, now_us: i64) -> Option<Self> {
        let (from_us, to_us) = (now_us - DAY_US, now_us - now_us.rem_euclid(SECOND_US) + SECOND_US);
        let kline = market.window(from_us, to_us)?;
        let last = market.last_played()?;
        Some(Self {
            symbol: market.symbol().clone(),
            open_us: from_us,
            close_us: now_us,
            previous_close: market.window(from_us, from_us).map_or(kline.open, |before| before.close),
            last_quantity: last.quantity,
            ask_price: kline.close.checked_add(market.log().tick_size()).unwrap_or(kline.close),
            kline,
        })
    }

    /// The last price less the first.
    pub(crate) fn price_change(&self) -> Fixed8 {
        decimal(self.kline.close.units() - self.kline.open.units())
    }

    /// The change in percent of the open, three decimals, e.g. `-0.490`.
    pub(crate) fn price_change_percent(&self) -> String {
        let open_units = self.kline.open.units().max(1);
        let thousandths = self.price_change().units() * 100_000 / open_units;
        let sign = if thousandths < 0 { "-" } else { "" };
        let thousandths = thousandths.unsigned_abs();
        format!("{sign}{}.{:03}", thousandths / 1_000, thousandths % 1_000)
    }

    /// The mean price, weighted by quantity.
    pub(crate) fn weighted_average_price(&self) -> Fixed8 {
        let volume_units = self.kline.volume.units();
        if volume_units == 0 { Fixed8::ZERO } else { decimal(self.kline.quote_volume.units() / volume_units) }
    }
}

fn decimal(units: i128) -> Fixed8 {
    Fixed8::from_units(units).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::{Trade, TradeLog};
    use crate::playback::Placement;

    const START_US: i64 = 1_767_225_600_000_000;

    fn market() -> SymbolMarket {
        let trade = |id, after_us, price: &str| Trade {
            id,
            price: price.parse().unwrap(),
            quantity: "2".parse().unwrap(),
            time_us: START_US + after_us,
            aggregate_id: id,
            buyer_is_maker: false,
        };
        let trades = [trade(1, 0, "90"), trade(2, SECOND_US, "100"), trade(3, DAY_US / 2, "99.51")];
        SymbolMarket::new(TradeLog::recorded("TRXUSDT", &trades), Placement::default(), None)
    }

    #[test]
    fn the_window_rolls_and_remembers_the_price_before_it() {
        let market = market();
        assert!(Ticker::at(&market, START_US).is_none());
        market.play_to(3);
        let ticker = Ticker::at(&market, START_US + DAY_US + SECOND_US).unwrap();
        assert_eq!((ticker.kline.first_trade_id, ticker.kline.trade_count), (2, 2));
        assert_eq!(ticker.previous_close.to_string(), "90");
        assert_eq!(ticker.price_change().to_string(), "-0.49");
        assert_eq!(ticker.price_change_percent(), "-0.490");
        assert_eq!(ticker.weighted_average_price().to_string(), "99.755");
    }
}
