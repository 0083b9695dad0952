CREATE INDEX IF NOT EXISTS compatibility_trades_by_time ON trades (trade_time);
CREATE INDEX IF NOT EXISTS compatibility_whales_by_time ON trades (trade_time) WHERE is_whale;

CREATE VIEW trades AS
SELECT trades.trade_id * 1000 + trades.symbol_id AS id, head.symbol, trades.price, trades.quantity, trades.trade_time,
       (trades.price * trades.quantity)::numeric(38, 16) AS trade_value, trades.buyer_is_maker AS is_buyer_maker,
       trades.moving_average, trades.is_whale AS is_whale_trade, trades.trade_time AS created_at
FROM trades JOIN symbol_head AS head USING (symbol_id);

CREATE VIEW trade_aggregates AS
SELECT head.symbol, trades.moving_average, head.total_trades AS trade_count, head.total_volume,
       head.last_trade_time AS updated_at
FROM symbol_head AS head
LEFT JOIN trades ON trades.symbol_id = head.symbol_id AND trades.trade_time = head.last_trade_time
                AND trades.trade_id = head.last_trade_id
WHERE head.last_trade_time IS NOT NULL AND head.ended_at IS NULL;
