-- The name of an interval was a number: || binds closer than / here.
-- Older programs go on: the view has the columns that it had.
DROP VIEW candles_by_symbol;
CREATE VIEW candles_by_symbol AS
SELECT head.venue, head.symbol, head.series,
       CASE WHEN candles.interval_s % 86400 = 0 THEN (candles.interval_s / 86400) || 'd'
            WHEN candles.interval_s % 3600 = 0 THEN (candles.interval_s / 3600) || 'h'
            WHEN candles.interval_s % 60 = 0 THEN (candles.interval_s / 60) || 'm'
            ELSE candles.interval_s || 's' END AS interval,
       candles.interval_s, candles.open_time_us,
       strftime('%Y-%m-%dT%H:%M:%SZ', candles.open_time_us / 1000000, 'unixepoch') AS open_time,
       candles.open, candles.high, candles.low, candles.close, candles.volume, candles.quote_volume,
       candles.trade_count, candles.taker_buy_volume, candles.taker_buy_quote_volume, candles.first_trade_id,
       candles.last_trade_id, candles.version, spans.symbol_id IS NOT NULL AS complete
FROM candles
JOIN symbol_head AS head USING (symbol_id)
LEFT JOIN proven_spans AS spans
  ON spans.symbol_id = candles.symbol_id AND spans.output = 'candles' AND spans.interval_s = candles.interval_s
 AND spans.proven_after_us < candles.open_time_us
 AND spans.proven_until_us >= candles.open_time_us + candles.interval_s * 1000000
WHERE candles.kind = 'trades';
