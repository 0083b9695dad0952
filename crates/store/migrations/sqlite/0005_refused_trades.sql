-- Trades that exist and cannot be held are accounted for, with the reason.

ALTER TABLE trade_ranges ADD COLUMN reason TEXT CHECK ((kind = 'refused') = (reason IS NOT NULL));

-- What a probe proves belongs to the chain that holds the probe's id: one that lies beyond it has not reached it.
DROP VIEW proven_spans;
CREATE VIEW proven_spans AS
SELECT chains.symbol_id, folds.output, folds.interval_s,
       max(chains.first_time_us + head.max_inversion_us,
           coalesce(folds.incomplete_until_us, chains.first_time_us),
           coalesce(floors.floor_time_us - 1, chains.first_time_us)) AS proven_after_us,
       max(chains.last_time_us, coalesce(probes.settled_time_us, chains.last_time_us)) - head.max_inversion_us AS proven_until_us
FROM trade_chains AS chains
JOIN symbol_head AS head USING (symbol_id)
JOIN folds USING (symbol_id)
LEFT JOIN floors ON floors.output = folds.output
LEFT JOIN head_probes AS probes
  ON probes.symbol_id = chains.symbol_id AND probes.last_id BETWEEN chains.first_id AND chains.last_id;
