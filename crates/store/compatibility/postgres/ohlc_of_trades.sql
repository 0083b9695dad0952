-- Each trade is a price, and avg_price is what was paid for one unit on average.
CREATE INDEX IF NOT EXISTS compatibility_trades_by_time ON trades (trade_time);
CREATE INDEX IF NOT EXISTS compatibility_candles_by_time ON candles (interval_s, open_time);

CREATE VIEW real_time_prices AS
SELECT trades.trade_id * 1000 + trades.symbol_id AS id, head.symbol, trades.price,
       floor(extract(epoch FROM trades.trade_time) * 1000)::bigint AS "timestamp", trades.trade_time AS event_time,
       trades.quantity AS volume, trades.trade_time AS created_at
FROM trades JOIN symbol_head AS head USING (symbol_id);

CREATE VIEW aggregated_prices_1min AS
SELECT floor(extract(epoch FROM candles.open_time) / 60)::bigint * 1000 + candles.symbol_id AS id, head.symbol,
       candles.open_time AS window_start, candles.open_time + interval '1 minute' AS window_end,
       candles.open AS open_price, candles.close AS close_price, candles.high AS high_price, candles.low AS low_price,
       round(candles.quote_volume / candles.volume, 8)::numeric(30, 8) AS avg_price, candles.volume AS total_volume,
       candles.trade_count
FROM candles JOIN symbol_head AS head USING (symbol_id)
WHERE candles.interval_s = 60 AND candles.kind = 'trades';

CREATE VIEW aggregated_prices_5min AS
SELECT floor(extract(epoch FROM candles.open_time) / 60)::bigint * 1000 + candles.symbol_id AS id, head.symbol,
       candles.open_time AS window_start, candles.open_time + interval '5 minutes' AS window_end,
       candles.open AS open_price, candles.close AS close_price, candles.high AS high_price, candles.low AS low_price,
       round(candles.quote_volume / candles.volume, 8)::numeric(30, 8) AS avg_price, candles.volume AS total_volume,
       candles.trade_count
FROM candles JOIN symbol_head AS head USING (symbol_id)
WHERE candles.interval_s = 300 AND candles.kind = 'trades';

CREATE VIEW latest_prices AS
SELECT head.symbol, head.last_price AS price, floor(extract(epoch FROM head.last_trade_time) * 1000)::bigint AS "timestamp",
       head.last_trade_time AS event_time, trades.quantity AS volume
FROM symbol_head AS head
LEFT JOIN trades ON trades.symbol_id = head.symbol_id AND trades.trade_time = head.last_trade_time
                AND trades.trade_id = head.last_trade_id
WHERE head.last_trade_time IS NOT NULL AND head.ended_at IS NULL;
