-- How far the exchange's own ids go: asked for every minute, so that silence can be told from loss.

CREATE TABLE head_probes (
    symbol_id     integer PRIMARY KEY REFERENCES symbol_head,
    wished_after  bigint NOT NULL,
    last_id       bigint NOT NULL CHECK (last_id >= wished_after),
    probe_time    timestamptz NOT NULL,
    settled_time  timestamptz,
    probed_at     timestamptz NOT NULL
) WITH (fillfactor = 50);
COMMENT ON TABLE head_probes IS 'The newest id that the exchange has given, by market: ids up to it are wished.';
COMMENT ON COLUMN head_probes.wished_after IS 'What the first probe found newest: where nothing older is held, the chain begins behind it.';
COMMENT ON COLUMN head_probes.probe_time IS 'By the exchange''s clock: its answer is as of this moment.';
COMMENT ON COLUMN head_probes.settled_time IS 'The time of the probe before. Ids that an answer of then lagged behind are in the last one.';
COMMENT ON COLUMN head_probes.probed_at IS 'By the clock of whoever asked.';

-- A chain that reaches the last probe's id holds every trade until the probe before it, also where none came since.
CREATE OR REPLACE VIEW proven_spans AS
SELECT chains.symbol_id, folds.output, folds.interval_s,
       greatest(chains.first_time + head.max_inversion_us * interval '1 microsecond',
                folds.incomplete_until, floors.floor_time - interval '1 microsecond') AS proven_after,
       greatest(chains.last_time, probes.settled_time) - head.max_inversion_us * interval '1 microsecond' AS proven_until
FROM trade_chains AS chains
JOIN symbol_head AS head USING (symbol_id)
JOIN folds USING (symbol_id)
LEFT JOIN floors ON floors.output = folds.output
LEFT JOIN head_probes AS probes ON probes.symbol_id = chains.symbol_id AND probes.last_id <= chains.last_id;

-- What is missing of the ids that are wished: between ranges, behind the newest one, and before the first one.
CREATE VIEW holes AS
WITH accounted AS (
    SELECT symbol_id, first_id, last_id FROM trade_ranges
    UNION ALL
    SELECT symbol_id, wished_after, wished_after FROM head_probes AS probes
    WHERE NOT EXISTS (SELECT FROM trade_ranges AS ranges
                      WHERE ranges.symbol_id = probes.symbol_id AND ranges.first_id <= probes.wished_after)
    UNION ALL
    SELECT symbol_id, last_id + 1, last_id + 1 FROM head_probes AS probes
    WHERE NOT EXISTS (SELECT FROM trade_ranges AS ranges
                      WHERE ranges.symbol_id = probes.symbol_id AND ranges.last_id > probes.last_id)
), neighbours AS (
    SELECT symbol_id, lag(last_id) OVER (PARTITION BY symbol_id ORDER BY first_id) + 1 AS first_id, first_id - 1 AS last_id
    FROM accounted
)
SELECT symbol_id, first_id, last_id FROM neighbours WHERE first_id <= last_id;
COMMENT ON VIEW holes IS 'Ids that are wished and not accounted for. They may still wait in the topic.';
