-- What is wished from before the pipeline began, and the exchange's own files that were loaded for it. The comments on
-- the columns stand in PostgreSQL's migration of the same number.

CREATE TABLE history_starts (
    symbol_id     INTEGER PRIMARY KEY REFERENCES symbol_head,
    from_time_us  INTEGER,
    first_id      INTEGER,
    CHECK ((from_time_us IS NULL) = (first_id IS NULL))
) STRICT;

CREATE TABLE history_files (
    symbol_id         INTEGER NOT NULL REFERENCES symbol_head,
    day               TEXT NOT NULL,
    sha256            TEXT NOT NULL,
    rows_read         INTEGER NOT NULL DEFAULT 0,
    trades_new        INTEGER NOT NULL DEFAULT 0,
    trades_duplicate  INTEGER NOT NULL DEFAULT 0,
    rows_set_aside    INTEGER NOT NULL DEFAULT 0,
    loaded_at_us      INTEGER,
    PRIMARY KEY (symbol_id, day),
    CHECK (rows_read = trades_new + trades_duplicate + rows_set_aside)
) STRICT, WITHOUT ROWID;

-- As before; and where a start is wished, ids before it are not missing, and ids behind it are.
DROP VIEW holes;
CREATE VIEW holes AS
WITH wished AS (
    SELECT symbol_id, min(coalesce(probes.wished_after, starts.first_id - 1), coalesce(starts.first_id - 1, probes.wished_after)) AS after_id,
           starts.symbol_id IS NOT NULL AS is_explicit
    FROM head_probes AS probes FULL JOIN history_starts AS starts USING (symbol_id)
), accounted AS (
    SELECT symbol_id, first_id, last_id FROM trade_ranges
    UNION ALL
    SELECT symbol_id, after_id, after_id FROM wished
    WHERE after_id IS NOT NULL
      AND NOT EXISTS (SELECT 1 FROM trade_ranges AS ranges
                      WHERE ranges.symbol_id = wished.symbol_id AND ranges.first_id <= wished.after_id)
    UNION ALL
    SELECT symbol_id, last_id + 1, last_id + 1 FROM head_probes AS probes
    WHERE NOT EXISTS (SELECT 1 FROM trade_ranges AS ranges
                      WHERE ranges.symbol_id = probes.symbol_id AND ranges.last_id > probes.last_id)
), neighbours AS (
    SELECT symbol_id, lag(last_id) OVER (PARTITION BY symbol_id ORDER BY first_id) + 1 AS first_id, first_id - 1 AS last_id
    FROM accounted
), gaps AS (
    SELECT neighbours.symbol_id, max(neighbours.first_id, coalesce(wished.after_id + 1, neighbours.first_id)) AS first_id,
           neighbours.last_id
    FROM neighbours LEFT JOIN wished ON wished.symbol_id = neighbours.symbol_id AND wished.is_explicit
    WHERE neighbours.first_id IS NOT NULL
)
SELECT symbol_id, first_id, last_id FROM gaps WHERE first_id <= last_id;
