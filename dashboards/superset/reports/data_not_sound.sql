SELECT count(*) AS markets
FROM market.symbol_head AS head
WHERE head.ended_at IS NULL
  AND (head.last_trade_time < now() - interval '5 minutes'
       OR EXISTS (
         SELECT 1 FROM market.holes AS holes
         JOIN market.trade_ranges AS before ON before.symbol_id = holes.symbol_id AND before.last_id = holes.first_id - 1
         WHERE holes.symbol_id = head.symbol_id AND before.last_time < now() - interval '1 minute'))
