-- Trades that exist and cannot be held are accounted for, with the reason.

ALTER TABLE trade_ranges ADD COLUMN reason text,
    ADD CHECK ((kind = 'refused') = (reason IS NOT NULL));
COMMENT ON COLUMN trade_ranges.reason IS 'Why refused trades cannot be held.';

-- What a probe proves belongs to the chain that holds the probe's id: one that lies beyond it has not reached it.
CREATE OR REPLACE VIEW proven_spans AS
SELECT chains.symbol_id, folds.output, folds.interval_s,
       greatest(chains.first_time + head.max_inversion_us * interval '1 microsecond',
                folds.incomplete_until, floors.floor_time - interval '1 microsecond') AS proven_after,
       greatest(chains.last_time, probes.settled_time) - head.max_inversion_us * interval '1 microsecond' AS proven_until
FROM trade_chains AS chains
JOIN symbol_head AS head USING (symbol_id)
JOIN folds USING (symbol_id)
LEFT JOIN floors ON floors.output = folds.output
LEFT JOIN head_probes AS probes
  ON probes.symbol_id = chains.symbol_id AND probes.last_id BETWEEN chains.first_id AND chains.last_id;
