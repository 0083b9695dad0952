-- An exchange says the volume of the last 24 hours with a price, and not that of a minute: total_volume is not known.
CREATE INDEX IF NOT EXISTS compatibility_tickers_by_time ON tickers (sample_time);
CREATE INDEX IF NOT EXISTS compatibility_sample_candles_by_time ON sample_candles (interval_s, open_time);

CREATE VIEW real_time_prices AS
SELECT floor(extract(epoch FROM tickers.sample_time) * 1000)::bigint * 1000 + tickers.market_id AS id, head.symbol,
       tickers.price, floor(extract(epoch FROM tickers.sample_time) * 1000)::bigint AS "timestamp",
       tickers.sample_time AS event_time, tickers.day_volume AS volume, tickers.received_time AS created_at
FROM tickers JOIN ticker_head AS head USING (market_id);

CREATE VIEW aggregated_prices_1min AS
SELECT floor(extract(epoch FROM candles.open_time) / 60)::bigint * 1000 + candles.market_id AS id, head.symbol,
       candles.open_time AS window_start, candles.open_time + interval '1 minute' AS window_end,
       candles.open AS open_price, candles.close AS close_price, candles.high AS high_price, candles.low AS low_price,
       candles.average AS avg_price, NULL::numeric(30, 8) AS total_volume, candles.sample_count AS trade_count
FROM sample_candles AS candles JOIN ticker_head AS head USING (market_id)
WHERE candles.interval_s = 60;

CREATE VIEW aggregated_prices_5min AS
SELECT floor(extract(epoch FROM candles.open_time) / 60)::bigint * 1000 + candles.market_id AS id, head.symbol,
       candles.open_time AS window_start, candles.open_time + interval '5 minutes' AS window_end,
       candles.open AS open_price, candles.close AS close_price, candles.high AS high_price, candles.low AS low_price,
       candles.average AS avg_price, NULL::numeric(30, 8) AS total_volume, candles.sample_count AS trade_count
FROM sample_candles AS candles JOIN ticker_head AS head USING (market_id)
WHERE candles.interval_s = 300;

CREATE VIEW latest_prices AS
SELECT head.symbol, head.last_price AS price, floor(extract(epoch FROM head.last_time) * 1000)::bigint AS "timestamp",
       head.last_time AS event_time, tickers.day_volume AS volume
FROM ticker_head AS head
LEFT JOIN tickers ON tickers.market_id = head.market_id AND tickers.sample_time = head.last_time
WHERE head.last_time IS NOT NULL;
