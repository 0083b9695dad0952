CREATE VIEW trades AS
SELECT trades.trade_id * 1000 + trades.symbol_id AS id, CONVERT(head.symbol USING utf8mb4) COLLATE utf8mb4_bin AS symbol,
       trades.price, trades.quantity,
       TIMESTAMP'1970-01-01 00:00:00' + INTERVAL trades.trade_time_us MICROSECOND AS trade_time,
       CAST(trades.price * trades.quantity AS DECIMAL(38, 16)) AS trade_value, trades.buyer_is_maker AS is_buyer_maker,
       trades.moving_average, trades.is_whale AS is_whale_trade,
       TIMESTAMP'1970-01-01 00:00:00' + INTERVAL trades.trade_time_us MICROSECOND AS created_at
FROM trades JOIN symbol_head AS head ON head.symbol_id = trades.symbol_id;

CREATE VIEW trade_aggregates AS
SELECT CONVERT(head.symbol USING utf8mb4) COLLATE utf8mb4_bin AS symbol, trades.moving_average, head.total_trades AS trade_count,
       head.total_volume, TIMESTAMP'1970-01-01 00:00:00' + INTERVAL head.last_trade_time_us MICROSECOND AS updated_at
FROM symbol_head AS head
LEFT JOIN trades ON trades.symbol_id = head.symbol_id AND trades.trade_time_us = head.last_trade_time_us
                AND trades.trade_id = head.last_trade_id
WHERE head.last_trade_time_us IS NOT NULL AND head.ended_at_us IS NULL;
