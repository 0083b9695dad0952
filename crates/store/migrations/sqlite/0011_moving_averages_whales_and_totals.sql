-- See PostgreSQL's.
-- Older programs go on: a view gets more columns.
ALTER TABLE trades ADD COLUMN moving_average TEXT;
ALTER TABLE trades ADD COLUMN is_whale INTEGER NOT NULL DEFAULT 0 CHECK (is_whale IN (0, 1));

ALTER TABLE symbol_head ADD COLUMN total_trades INTEGER NOT NULL DEFAULT 0;
ALTER TABLE symbol_head ADD COLUMN total_volume TEXT NOT NULL DEFAULT '0';
ALTER TABLE symbol_head ADD COLUMN total_quote_volume TEXT NOT NULL DEFAULT '0';

CREATE TABLE whale_orders (
    symbol_id       INTEGER NOT NULL REFERENCES symbol_head,
    first_trade_id  INTEGER NOT NULL,
    last_trade_id   INTEGER NOT NULL CHECK (last_trade_id >= first_trade_id),
    trade_time_us   INTEGER NOT NULL,
    version         INTEGER NOT NULL,
    buyer_is_maker  INTEGER NOT NULL CHECK (buyer_is_maker IN (0, 1)),
    quantity        TEXT NOT NULL,
    quote_quantity  TEXT NOT NULL,
    PRIMARY KEY (symbol_id, first_trade_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX whale_orders_time ON whale_orders (symbol_id, trade_time_us);

DROP VIEW trades_by_symbol;
CREATE VIEW trades_by_symbol AS
SELECT head.venue, head.symbol, head.series, trades.trade_id, trades.trade_time_us,
       strftime('%Y-%m-%dT%H:%M:%S', trades.trade_time_us / 1000000, 'unixepoch')
           || printf('.%06dZ', trades.trade_time_us % 1000000) AS trade_time,
       trades.price, trades.quantity, trades.buyer_is_maker, trades.version, trades.moving_average, trades.is_whale
FROM trades JOIN symbol_head AS head USING (symbol_id);

CREATE VIEW whale_orders_by_symbol AS
SELECT head.venue, head.symbol, head.series, orders.first_trade_id, orders.last_trade_id,
       orders.last_trade_id - orders.first_trade_id + 1 AS trade_count, orders.trade_time_us,
       strftime('%Y-%m-%dT%H:%M:%S', orders.trade_time_us / 1000000, 'unixepoch')
           || printf('.%06dZ', orders.trade_time_us % 1000000) AS trade_time,
       orders.buyer_is_maker, orders.quantity, orders.quote_quantity, chains.symbol_id IS NOT NULL AS final, orders.version
FROM whale_orders AS orders
JOIN symbol_head AS head USING (symbol_id)
LEFT JOIN trade_chains AS chains
  ON chains.symbol_id = orders.symbol_id
 AND chains.first_id < orders.first_trade_id AND chains.last_id > orders.last_trade_id;

-- Without the value of the trade: SQLite has no decimals to multiply.
CREATE VIEW whale_trades AS
SELECT head.venue, head.symbol, head.series, trades.trade_id, trades.trade_time_us,
       strftime('%Y-%m-%dT%H:%M:%S', trades.trade_time_us / 1000000, 'unixepoch')
           || printf('.%06dZ', trades.trade_time_us % 1000000) AS trade_time,
       trades.price, trades.quantity, trades.buyer_is_maker, trades.version
FROM whale_orders AS orders
CROSS JOIN symbol_head AS head USING (symbol_id)
CROSS JOIN trades
  ON trades.symbol_id = orders.symbol_id AND trades.trade_id BETWEEN orders.first_trade_id AND orders.last_trade_id
 AND trades.trade_time_us >= orders.trade_time_us - orders.trade_time_us % 1000
 AND trades.trade_time_us < orders.trade_time_us - orders.trade_time_us % 1000 + 1000
WHERE trades.is_whale;

CREATE VIEW symbol_totals AS
SELECT head.venue, head.symbol, head.series, head.trades_held, head.total_trades AS trade_count, head.total_volume AS volume,
       head.total_quote_volume AS quote_volume, head.last_trade_id, head.last_trade_time_us,
       strftime('%Y-%m-%dT%H:%M:%S', head.last_trade_time_us / 1000000, 'unixepoch')
           || printf('.%06dZ', head.last_trade_time_us % 1000000) AS last_trade_time,
       head.last_price, trades.moving_average, head.version
FROM symbol_head AS head
LEFT JOIN trades ON trades.symbol_id = head.symbol_id AND trades.trade_time_us = head.last_trade_time_us
                AND trades.trade_id = head.last_trade_id
WHERE head.total_trades > 0;
