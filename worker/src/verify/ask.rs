//! One window, and what the exchange and the database say of it now.

use hashbrown::HashMap;
use market::{Interval, Market};
use store::{CheckableWindow, Store, StoreError};

use crate::exchange::{BinanceRest, Kline, RestError};

/// The name of one window: market, interval, open time.
pub(super) type WindowKey = (Market, Interval, i64);

/// The exchange's candles by open time; `None` where it does not list the symbol any more.
pub(super) async fn klines(
    rest: &mut BinanceRest,
    market: &Market,
    interval: Interval,
    from_us: i64,
    to_us: i64,
) -> Result<Option<HashMap<i64, Kline>>, RestError> {
    match rest.klines(&market.symbol, interval, from_us, to_us).await {
        Ok(klines) => Ok(Some(klines.into_iter().map(|kline| (kline.open_time_us, kline)).collect())),
        Err(error) if error.is_about_a_symbol() => Ok(None),
        Err(error) => Err(error),
    }
}

/// The window as it is now, if it is still complete and to be compared.
pub(super) async fn window_now(
    store: &Store,
    key: &WindowKey,
    checked_before_us: i64,
) -> Result<Option<CheckableWindow>, StoreError> {
    let (market, interval, open_time_us) = key;
    let until_us = open_time_us + interval.length_us();
    let windows = store.windows_to_check(market, *interval, *open_time_us, until_us, checked_before_us);
    Ok(windows.await?.pop())
}
