-- The mean price of each minute; a minute is there once a later price is.
CREATE INDEX IF NOT EXISTS compatibility_sample_candles_by_time ON sample_candles (interval_s, open_time);

CREATE VIEW moving_averages AS
SELECT floor(extract(epoch FROM candles.open_time) / 60)::bigint * 1000 + candles.market_id AS id,
       candles.open_time AS start_time, candles.open_time + interval '1 minute' AS end_time, head.symbol,
       candles.average::numeric(20, 8) AS average_price, candles.open_time + interval '1 minute' AS created_at
FROM sample_candles AS candles JOIN ticker_head AS head USING (market_id)
WHERE candles.interval_s = 60 AND candles.open_time + interval '1 minute' <= head.last_time;
