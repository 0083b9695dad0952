-- How far the exchange's own ids go: asked for every minute, so that silence can be told from loss. The comments on
-- its columns stand in PostgreSQL's migration of the same number.

CREATE TABLE head_probes (
    symbol_id        INTEGER PRIMARY KEY REFERENCES symbol_head,
    wished_after     INTEGER NOT NULL,
    last_id          INTEGER NOT NULL CHECK (last_id >= wished_after),
    probe_time_us    INTEGER NOT NULL,
    settled_time_us  INTEGER,
    probed_at_us     INTEGER NOT NULL
) STRICT;

-- A chain that reaches the last probe's id holds every trade until the probe before it, also where none came since.
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
LEFT JOIN head_probes AS probes ON probes.symbol_id = chains.symbol_id AND probes.last_id <= chains.last_id;

-- What is missing of the ids that are wished: between ranges, behind the newest one, and before the first one.
CREATE VIEW holes AS
WITH accounted AS (
    SELECT symbol_id, first_id, last_id FROM trade_ranges
    UNION ALL
    SELECT symbol_id, wished_after, wished_after FROM head_probes AS probes
    WHERE NOT EXISTS (SELECT 1 FROM trade_ranges AS ranges
                      WHERE ranges.symbol_id = probes.symbol_id AND ranges.first_id <= probes.wished_after)
    UNION ALL
    SELECT symbol_id, last_id + 1, last_id + 1 FROM head_probes AS probes
    WHERE NOT EXISTS (SELECT 1 FROM trade_ranges AS ranges
                      WHERE ranges.symbol_id = probes.symbol_id AND ranges.last_id > probes.last_id)
), neighbours AS (
    SELECT symbol_id, lag(last_id) OVER (PARTITION BY symbol_id ORDER BY first_id) + 1 AS first_id, first_id - 1 AS last_id
    FROM accounted
)
SELECT symbol_id, first_id, last_id FROM neighbours WHERE first_id <= last_id;
