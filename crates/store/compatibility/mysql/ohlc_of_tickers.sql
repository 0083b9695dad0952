-- An exchange says the volume of the last 24 hours with a price, and not that of a minute: total_volume is not known.
CREATE VIEW real_time_prices AS
SELECT tickers.sample_time_us DIV 1000 * 1000 + tickers.market_id AS id, CONVERT(head.symbol USING utf8mb4) COLLATE utf8mb4_bin AS symbol,
       tickers.price, tickers.sample_time_us DIV 1000 AS `timestamp`,
       TIMESTAMP'1970-01-01 00:00:00' + INTERVAL tickers.sample_time_us MICROSECOND AS event_time,
       tickers.day_volume AS volume,
       TIMESTAMP'1970-01-01 00:00:00' + INTERVAL tickers.received_time_us MICROSECOND AS created_at
FROM tickers JOIN ticker_head AS head ON head.market_id = tickers.market_id;

CREATE VIEW aggregated_prices_1min AS
SELECT candles.open_time_us DIV 60000000 * 1000 + candles.market_id AS id, CONVERT(head.symbol USING utf8mb4) COLLATE utf8mb4_bin AS symbol,
       candles.open_time AS window_start, candles.open_time + INTERVAL 1 MINUTE AS window_end, candles.open AS open_price,
       candles.close AS close_price, candles.high AS high_price, candles.low AS low_price, candles.average AS avg_price,
       CAST(NULL AS DECIMAL(30, 8)) AS total_volume, candles.sample_count AS trade_count
FROM sample_candles AS candles JOIN ticker_head AS head ON head.market_id = candles.market_id
WHERE candles.interval_s = 60;

CREATE VIEW aggregated_prices_5min AS
SELECT candles.open_time_us DIV 60000000 * 1000 + candles.market_id AS id, CONVERT(head.symbol USING utf8mb4) COLLATE utf8mb4_bin AS symbol,
       candles.open_time AS window_start, candles.open_time + INTERVAL 5 MINUTE AS window_end, candles.open AS open_price,
       candles.close AS close_price, candles.high AS high_price, candles.low AS low_price, candles.average AS avg_price,
       CAST(NULL AS DECIMAL(30, 8)) AS total_volume, candles.sample_count AS trade_count
FROM sample_candles AS candles JOIN ticker_head AS head ON head.market_id = candles.market_id
WHERE candles.interval_s = 300;

CREATE VIEW latest_prices AS
SELECT CONVERT(head.symbol USING utf8mb4) COLLATE utf8mb4_bin AS symbol, head.last_price AS price,
       head.last_time_us DIV 1000 AS `timestamp`,
       TIMESTAMP'1970-01-01 00:00:00' + INTERVAL head.last_time_us MICROSECOND AS event_time, tickers.day_volume AS volume
FROM ticker_head AS head
LEFT JOIN tickers ON tickers.market_id = head.market_id AND tickers.sample_time_us = head.last_time_us
WHERE head.last_time_us IS NOT NULL;
