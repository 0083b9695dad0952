-- What is said of single trades, and of all trades of a market together. The trades of before have no moving average and no
-- whales, and are in no total: symbol_totals says how many trades are.
-- First the table that every flush locks first: whoever waits for the other one then holds nothing that is wanted here.
ALTER TABLE symbol_head
    ADD COLUMN total_trades bigint NOT NULL DEFAULT 0,
    ADD COLUMN total_volume numeric(30, 8) NOT NULL DEFAULT 0,
    ADD COLUMN total_quote_volume numeric(38, 16) NOT NULL DEFAULT 0;
COMMENT ON COLUMN symbol_head.total_trades IS 'How many of the trades held are in the totals.';

ALTER TABLE trades
    ADD COLUMN moving_average numeric(30, 8),
    ADD COLUMN is_whale boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN trades.moving_average IS 'The mean price of it and the trades before it by id, half-even; null where too few are stored, or none is asked for.';
COMMENT ON COLUMN trades.is_whale IS 'Whether price times quantity was at least what the pipeline calls a whale''s, when it was stored.';

CREATE TABLE whale_orders (
    symbol_id       integer NOT NULL REFERENCES symbol_head,
    first_trade_id  bigint NOT NULL,
    last_trade_id   bigint NOT NULL CHECK (last_trade_id >= first_trade_id),
    trade_time      timestamptz NOT NULL,
    version         bigint NOT NULL,
    buyer_is_maker  boolean NOT NULL,
    quantity        numeric(30, 8) NOT NULL,
    quote_quantity  numeric(38, 16) NOT NULL,
    PRIMARY KEY (symbol_id, first_trade_id)
);
CREATE INDEX whale_orders_time ON whale_orders (symbol_id, trade_time);
COMMENT ON TABLE whale_orders IS 'Orders of takers that were worth a whale''s while: consecutive ids of one millisecond and one side. whale_orders_by_symbol has the names.';

CREATE OR REPLACE VIEW trades_by_symbol AS
SELECT head.venue, head.symbol, head.series, trades.trade_id, trades.trade_time, trades.price, trades.quantity,
       trades.buyer_is_maker, trades.version, trades.moving_average, trades.is_whale
FROM trades JOIN symbol_head AS head USING (symbol_id);

CREATE VIEW whale_orders_by_symbol AS
SELECT head.venue, head.symbol, head.series, orders.first_trade_id, orders.last_trade_id,
       orders.last_trade_id - orders.first_trade_id + 1 AS trade_count, orders.trade_time, orders.buyer_is_maker,
       orders.quantity, orders.quote_quantity, chains.symbol_id IS NOT NULL AS final, orders.version
FROM whale_orders AS orders
JOIN symbol_head AS head USING (symbol_id)
LEFT JOIN trade_chains AS chains
  ON chains.symbol_id = orders.symbol_id
 AND chains.first_id < orders.first_trade_id AND chains.last_id > orders.last_trade_id;
COMMENT ON VIEW whale_orders_by_symbol IS 'Orders of takers worth a whale''s while; final says that the trades on both sides are known, so that the order is no longer one.';

-- By way of their orders, which are few: each whale's trade is a part of one.
CREATE VIEW whale_trades AS
SELECT head.venue, head.symbol, head.series, trades.trade_id, trades.trade_time, trades.price, trades.quantity,
       trades.price * trades.quantity AS quote_quantity, trades.buyer_is_maker, trades.version
FROM whale_orders AS orders
JOIN symbol_head AS head USING (symbol_id)
JOIN trades
  ON trades.symbol_id = orders.symbol_id AND trades.trade_id BETWEEN orders.first_trade_id AND orders.last_trade_id
 AND trades.trade_time >= date_trunc('milliseconds', orders.trade_time)
 AND trades.trade_time < date_trunc('milliseconds', orders.trade_time) + interval '1 millisecond'
WHERE trades.is_whale;
COMMENT ON VIEW whale_trades IS 'Single trades that were worth a whale''s while.';

CREATE VIEW symbol_totals AS
SELECT head.venue, head.symbol, head.series, head.trades_held, head.total_trades AS trade_count, head.total_volume AS volume,
       head.total_quote_volume AS quote_volume, head.last_trade_id, head.last_trade_time, head.last_price,
       trades.moving_average, head.version
FROM symbol_head AS head
LEFT JOIN trades ON trades.symbol_id = head.symbol_id AND trades.trade_time = head.last_trade_time
                AND trades.trade_id = head.last_trade_id
WHERE head.total_trades > 0;
COMMENT ON VIEW symbol_totals IS 'One row a series of a symbol: its trades since the totals began, of those that are held, the last one, and its moving average.';
