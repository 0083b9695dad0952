//! Rows as JSON arrays, one statement for any number of them: SQLite and MySQL take them apart themselves.

use market::{
    Candle, CandleKey, CorrectedAverage, Fold, Interval, Market, Output, SampleCandle, TakerOrder, Ticker,
    Trade, TradeIndicators, TradeRange,
};
use serde_json::{Value, json};

use crate::checks::{CandleCheck, differences_to_json};
use crate::error::StoreError;
use crate::flush::{MarketWrite, PartitionWrite, SampleSpan, TickerWrite};
use crate::model::HeadProbe;
use crate::names::{kind_names, output_names};

/// Venue and symbol.
pub(crate) fn market_rows(markets: &[Market]) -> Vec<Value> {
    markets.iter().map(|market| json!([market.venue, market.symbol])).collect()
}

/// Symbol id, interval and time.
pub(crate) fn window_rows(windows: &[(i32, CandleKey)]) -> Vec<Value> {
    let row = |(symbol_id, (interval, open_time_us)): &(i32, CandleKey)| {
        json!([symbol_id, interval.seconds(), open_time_us])
    };
    windows.iter().map(row).collect()
}

/// Symbol id, id, time, version, price, quantity, whether the buyer is the maker, moving average, and whether it is a whale's.
pub(crate) fn trade_rows(markets: &[MarketWrite]) -> Vec<Value> {
    let row = |market: &MarketWrite, trade: &Trade, said: TradeIndicators| {
        json!([
            market.symbol_id,
            trade.trade_id,
            trade.trade_time_us,
            market.version,
            trade.price,
            trade.quantity,
            i32::from(trade.buyer_is_maker),
            said.moving_average,
            i32::from(said.is_whale)
        ])
    };
    markets
        .iter()
        .flat_map(|market| market.trades().map(move |(trade, said)| row(market, trade, said)))
        .collect()
}

/// Symbol id, id, time, version and moving average.
pub(crate) fn corrected_average_rows(markets: &[MarketWrite]) -> Vec<Value> {
    let row = |market: &MarketWrite, corrected: &CorrectedAverage| {
        let CorrectedAverage { trade_id, trade_time_us, moving_average } = corrected;
        json!([market.symbol_id, trade_id, trade_time_us, market.version, moving_average])
    };
    let of_market = |market: &MarketWrite| -> Vec<Value> {
        market.indicators.corrected.iter().map(|corrected| row(market, corrected)).collect()
    };
    markets.iter().flat_map(of_market).collect()
}

/// Symbol id and the id that an order may begin with.
pub(crate) fn regrouped_rows(markets: &[MarketWrite]) -> Vec<Value> {
    let of_market = |market: &MarketWrite| -> Vec<Value> {
        market.indicators.regrouped.iter().map(|id| json!([market.symbol_id, id])).collect()
    };
    markets.iter().flat_map(of_market).collect()
}

/// Symbol id, first and last id, time, version, whether the buyer is the maker, quantity and quote quantity.
pub(crate) fn whale_order_rows(markets: &[MarketWrite]) -> Vec<Value> {
    let row = |market: &MarketWrite, order: &TakerOrder| {
        json!([
            market.symbol_id,
            order.first_trade_id,
            order.last_trade_id,
            order.trade_time_us,
            market.version,
            i32::from(order.buyer_is_maker),
            order.quantity,
            order.quote_quantity
        ])
    };
    let of_market = |market: &MarketWrite| -> Vec<Value> {
        market.indicators.whale_orders.iter().map(|order| row(market, order)).collect()
    };
    markets.iter().flat_map(of_market).collect()
}

/// Symbol id, version, interval, and the candle in the order of its fields.
pub(crate) fn candle_rows(markets: &[MarketWrite]) -> Vec<Value> {
    let row = |market: &MarketWrite, interval: Interval, candle: &Candle| {
        json!([
            market.symbol_id,
            market.version,
            interval.seconds(),
            candle.open_time_us,
            candle.open,
            candle.high,
            candle.low,
            candle.close,
            candle.volume,
            candle.quote_volume,
            candle.trade_count,
            candle.taker_buy_volume,
            candle.taker_buy_quote_volume,
            candle.first_trade_id,
            candle.last_trade_id
        ])
    };
    let of_market = |market| -> Vec<Value> {
        MarketWrite::candles(market).map(|(interval, candle)| row(market, interval, candle)).collect()
    };
    markets.iter().flat_map(of_market).collect()
}

/// Symbol id, version, trades held, the last trade's id, time and price, the largest step back, the evidence of a restart, and
/// the totals.
pub(crate) fn head_rows(markets: &[MarketWrite]) -> Vec<Value> {
    let row = |market: &MarketWrite| {
        json!([
            market.symbol_id,
            market.version,
            market.trades_held,
            market.last_trade.map(|trade| trade.trade_id),
            market.last_trade.map(|trade| trade.trade_time_us),
            market.last_trade.map(|trade| trade.price),
            market.max_inversion_us,
            market.restart.map(|restart| restart.since_us),
            market.restart.map_or(0, |restart| restart.trades),
            market.totals.trades,
            market.totals.volume,
            market.totals.quote_volume
        ])
    };
    markets.iter().map(row).collect()
}

/// Symbol id and first id of the ranges that go.
pub(crate) fn deleted_range_rows(markets: &[MarketWrite]) -> Vec<Value> {
    let of_market = |market: &MarketWrite| -> Vec<Value> {
        market.plan.ranges.deleted.iter().map(|first_id| json!([market.symbol_id, first_id])).collect()
    };
    markets.iter().flat_map(of_market).collect()
}

/// Symbol id, first and last id, kind, first and last time, and reason of the ranges that come or change.
pub(crate) fn written_range_rows(markets: &[MarketWrite]) -> Vec<Value> {
    let row = |symbol_id: i32, range: &TradeRange| {
        let TradeRange { first_id, last_id, kind, first_time_us, last_time_us } = *range;
        let (kind, reason) = kind_names(kind);
        json!([symbol_id, first_id, last_id, kind, first_time_us, last_time_us, reason])
    };
    let of_market = |market: &MarketWrite| -> Vec<Value> {
        market.plan.ranges.written.values().map(|range| row(market.symbol_id, range)).collect()
    };
    markets.iter().flat_map(of_market).collect()
}

/// Symbol id, output and interval.
pub(crate) fn closed_fold_rows(markets: &[MarketWrite]) -> Vec<Value> {
    let of_market = |market: &MarketWrite| -> Vec<Value> {
        let names = market.plan.closed_folds.iter().map(|output| output_names(*output));
        names.map(|(name, interval_s)| json!([market.symbol_id, name, interval_s])).collect()
    };
    markets.iter().flat_map(of_market).collect()
}

/// Symbol id, output, interval, and until when it is incomplete.
pub(crate) fn opened_fold_rows(markets: &[MarketWrite]) -> Vec<Value> {
    let of_market = |market: &MarketWrite| -> Vec<Value> {
        let row = |(output, fold): &(Output, Fold)| {
            let (name, interval_s) = output_names(*output);
            json!([market.symbol_id, name, interval_s, fold.incomplete_until_us])
        };
        market.plan.opened_folds.iter().map(row).collect()
    };
    markets.iter().flat_map(of_market).collect()
}

/// Symbol id, the newest id that the exchange has, and as of when.
pub(crate) fn probe_rows(probes: &[HeadProbe], symbol_ids: &[i32]) -> Vec<Value> {
    let row = |(probe, symbol_id): (&HeadProbe, &i32)| json!([symbol_id, probe.last_id, probe.time_us]);
    probes.iter().zip(symbol_ids).map(row).collect()
}

/// Time, version, verdict and differences.
pub(crate) fn check_rows(checks: &[CandleCheck]) -> Result<Vec<Value>, StoreError> {
    let row = |check: &CandleCheck| {
        let differences = differences_to_json(&check.differences)?;
        Ok(json!([check.open_time_us, check.version, check.verdict.as_str(), differences]))
    };
    checks.iter().map(row).collect()
}

/// Partition, next offset, how many records were read, new, duplicate, set aside and skipped, and how many samples were new and
/// duplicate.
pub(crate) fn offset_rows(partitions: &[PartitionWrite]) -> Vec<Value> {
    let row = |write: &PartitionWrite| {
        json!([
            write.partition,
            write.next_offset,
            write.records_read,
            write.trades_new,
            write.trades_duplicate,
            write.records_set_aside,
            write.offsets_skipped,
            write.samples_new,
            write.samples_duplicate
        ])
    };
    partitions.iter().map(row).collect()
}

/// Market id, first and last moment: from the one to before the other.
pub(crate) fn span_rows(spans: &[SampleSpan]) -> Vec<Value> {
    spans.iter().map(|span| json!([span.market_id, span.from_us, span.until_us])).collect()
}

/// Market id, time, version, price, time of receipt, and what the exchange says of the day before: open, high, low, volume, quote
/// volume and how many trades.
pub(crate) fn ticker_rows(markets: &[TickerWrite]) -> Vec<Value> {
    let row = |market: &TickerWrite, ticker: &Ticker| {
        let Ticker { sample_time_us, price, day, received_time_us } = ticker;
        json!([
            market.market_id,
            sample_time_us,
            market.version,
            price,
            received_time_us,
            day.map(|day| day.open),
            day.map(|day| day.high),
            day.map(|day| day.low),
            day.map(|day| day.volume),
            day.map(|day| day.quote_volume),
            day.map(|day| day.trade_count)
        ])
    };
    markets
        .iter()
        .flat_map(|market| market.plan.tickers.iter().map(move |ticker| row(market, ticker)))
        .collect()
}

/// Market id, version, interval, and the candle in the order of its fields, its average behind the sum.
pub(crate) fn sample_candle_rows(markets: &[TickerWrite]) -> Vec<Value> {
    let row = |market: &TickerWrite, interval: Interval, candle: &SampleCandle| {
        json!([
            market.market_id,
            market.version,
            interval.seconds(),
            candle.open_time_us,
            candle.open,
            candle.high,
            candle.low,
            candle.close,
            candle.price_sum,
            candle.average(),
            candle.sample_count,
            candle.first_time_us,
            candle.last_time_us
        ])
    };
    let of_market = |market| -> Vec<Value> {
        TickerWrite::candles(market).map(|(interval, candle)| row(market, interval, candle)).collect()
    };
    markets.iter().flat_map(of_market).collect()
}

/// Market id, version, samples held, and the last sample's time and price.
pub(crate) fn ticker_head_rows(markets: &[TickerWrite]) -> Vec<Value> {
    let row = |market: &TickerWrite| {
        let TickerWrite { market_id, version, samples_held, last, .. } = market;
        json!([market_id, version, samples_held, last.map(|last| last.time_us), last.map(|last| last.price)])
    };
    markets.iter().map(row).collect()
}
