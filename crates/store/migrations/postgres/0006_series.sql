-- Where an exchange numbers a symbol's trades anew: the evidence, and the series before and behind.

ALTER TABLE symbol_head
    ADD COLUMN began_at          timestamptz,
    ADD COLUMN ended_at          timestamptz,
    ADD COLUMN restarted_at      timestamptz,
    ADD COLUMN restart_evidence  bigint NOT NULL DEFAULT 0,
    ADD CHECK ((series = 0) = (began_at IS NULL)),
    ADD CHECK ((restart_evidence = 0) = (restarted_at IS NULL));
CREATE UNIQUE INDEX symbol_head_current ON symbol_head (venue, symbol) WHERE ended_at IS NULL;
COMMENT ON TABLE symbol_head IS 'One row a market and series: the lock of every flush that touches it, and what is newest.';
COMMENT ON COLUMN symbol_head.began_at IS 'Trades from this time on belong to the series; null in the first one.';
COMMENT ON COLUMN symbol_head.ended_at IS 'Trades from this time on belong to the next series; null in the current one.';
COMMENT ON COLUMN symbol_head.restarted_at IS 'The earliest trade that contradicts the ids held: an id that is not above them, and a later time.';
COMMENT ON COLUMN symbol_head.restart_evidence IS 'How many trades do; ten prove that the ids began anew, and what the exchange itself answers counts as ten.';

-- What a probe proves of silence ends where a trade contradicts the ids, and with the series.
CREATE OR REPLACE VIEW proven_spans AS
SELECT chains.symbol_id, folds.output, folds.interval_s,
       greatest(chains.first_time + head.max_inversion_us * interval '1 microsecond',
                folds.incomplete_until, floors.floor_time - interval '1 microsecond') AS proven_after,
       greatest(chains.last_time, CASE WHEN probes.settled_time IS NOT NULL
                                      THEN least(probes.settled_time, head.restarted_at, head.ended_at) END)
           - head.max_inversion_us * interval '1 microsecond' AS proven_until
FROM trade_chains AS chains
JOIN symbol_head AS head USING (symbol_id)
JOIN folds USING (symbol_id)
LEFT JOIN floors ON floors.output = folds.output
LEFT JOIN head_probes AS probes
  ON probes.symbol_id = chains.symbol_id AND probes.last_id BETWEEN chains.first_id AND chains.last_id;
