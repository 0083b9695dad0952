-- The mean price of each minute; a minute is there once a later price is.
CREATE VIEW moving_averages AS
SELECT candles.open_time_us DIV 60000000 * 1000 + candles.market_id AS id, candles.open_time AS start_time,
       candles.open_time + INTERVAL 1 MINUTE AS end_time, CONVERT(head.symbol USING utf8mb4) COLLATE utf8mb4_bin AS symbol,
       CAST(candles.average AS DECIMAL(20, 8)) AS average_price, candles.open_time + INTERVAL 1 MINUTE AS created_at
FROM sample_candles AS candles JOIN ticker_head AS head ON head.market_id = candles.market_id
WHERE candles.interval_s = 60 AND candles.open_time_us + 60000000 <= head.last_time_us;
