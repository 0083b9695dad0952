-- Where an exchange numbers a symbol's trades anew: the evidence, and the series before and behind. The comments on
-- its columns stand in PostgreSQL's migration of the same number.

ALTER TABLE symbol_head ADD COLUMN began_at_us INTEGER;
ALTER TABLE symbol_head ADD COLUMN ended_at_us INTEGER;
ALTER TABLE symbol_head ADD COLUMN restarted_at_us INTEGER;
ALTER TABLE symbol_head ADD COLUMN restart_evidence INTEGER NOT NULL DEFAULT 0;
CREATE UNIQUE INDEX symbol_head_current ON symbol_head (venue, symbol) WHERE ended_at_us IS NULL;

-- What a probe proves of silence ends where a trade contradicts the ids, and with the series.
DROP VIEW proven_spans;
CREATE VIEW proven_spans AS
SELECT chains.symbol_id, folds.output, folds.interval_s,
       max(chains.first_time_us + head.max_inversion_us,
           coalesce(folds.incomplete_until_us, chains.first_time_us),
           coalesce(floors.floor_time_us - 1, chains.first_time_us)) AS proven_after_us,
       max(chains.last_time_us,
           coalesce(min(probes.settled_time_us, coalesce(head.restarted_at_us, probes.settled_time_us),
                        coalesce(head.ended_at_us, probes.settled_time_us)),
                    chains.last_time_us)) - head.max_inversion_us AS proven_until_us
FROM trade_chains AS chains
JOIN symbol_head AS head USING (symbol_id)
JOIN folds USING (symbol_id)
LEFT JOIN floors ON floors.output = folds.output
LEFT JOIN head_probes AS probes
  ON probes.symbol_id = chains.symbol_id AND probes.last_id BETWEEN chains.first_id AND chains.last_id;
