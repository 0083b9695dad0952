-- Each trade is a price, and avg_price is what was paid for one unit on average.
CREATE VIEW real_time_prices AS
SELECT trades.trade_id * 1000 + trades.symbol_id AS id, CONVERT(head.symbol USING utf8mb4) COLLATE utf8mb4_bin AS symbol,
       trades.price, trades.trade_time_us DIV 1000 AS `timestamp`,
       TIMESTAMP'1970-01-01 00:00:00' + INTERVAL trades.trade_time_us MICROSECOND AS event_time, trades.quantity AS volume,
       TIMESTAMP'1970-01-01 00:00:00' + INTERVAL trades.trade_time_us MICROSECOND AS created_at
FROM trades JOIN symbol_head AS head ON head.symbol_id = trades.symbol_id;

CREATE VIEW aggregated_prices_1min AS
SELECT candles.open_time_us DIV 60000000 * 1000 + candles.symbol_id AS id, CONVERT(head.symbol USING utf8mb4) COLLATE utf8mb4_bin AS symbol,
       candles.open_time AS window_start, candles.open_time + INTERVAL 1 MINUTE AS window_end, candles.open AS open_price,
       candles.close AS close_price, candles.high AS high_price, candles.low AS low_price,
       CAST(candles.quote_volume / candles.volume AS DECIMAL(30, 8)) AS avg_price, candles.volume AS total_volume,
       candles.trade_count
FROM candles JOIN symbol_head AS head ON head.symbol_id = candles.symbol_id
WHERE candles.interval_s = 60 AND candles.kind = 'trades';

CREATE VIEW aggregated_prices_5min AS
SELECT candles.open_time_us DIV 60000000 * 1000 + candles.symbol_id AS id, CONVERT(head.symbol USING utf8mb4) COLLATE utf8mb4_bin AS symbol,
       candles.open_time AS window_start, candles.open_time + INTERVAL 5 MINUTE AS window_end, candles.open AS open_price,
       candles.close AS close_price, candles.high AS high_price, candles.low AS low_price,
       CAST(candles.quote_volume / candles.volume AS DECIMAL(30, 8)) AS avg_price, candles.volume AS total_volume,
       candles.trade_count
FROM candles JOIN symbol_head AS head ON head.symbol_id = candles.symbol_id
WHERE candles.interval_s = 300 AND candles.kind = 'trades';

CREATE VIEW latest_prices AS
SELECT CONVERT(head.symbol USING utf8mb4) COLLATE utf8mb4_bin AS symbol, head.last_price AS price,
       head.last_trade_time_us DIV 1000 AS `timestamp`,
       TIMESTAMP'1970-01-01 00:00:00' + INTERVAL head.last_trade_time_us MICROSECOND AS event_time, trades.quantity AS volume
FROM symbol_head AS head
LEFT JOIN trades ON trades.symbol_id = head.symbol_id AND trades.trade_time_us = head.last_trade_time_us
                AND trades.trade_id = head.last_trade_id
WHERE head.last_trade_time_us IS NOT NULL AND head.ended_at_us IS NULL;
