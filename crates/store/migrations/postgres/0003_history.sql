-- What is wished from before the pipeline began, and the exchange's own files that were loaded for it.

CREATE TABLE history_starts (
    symbol_id  integer PRIMARY KEY REFERENCES symbol_head,
    from_time  timestamptz,
    first_id   bigint,
    CHECK ((from_time IS NULL) = (first_id IS NULL))
);
COMMENT ON TABLE history_starts IS 'Where the chain of a market is wished to begin; nulls where no history is wished any more.';
COMMENT ON COLUMN history_starts.from_time IS 'The wished start, as the resource names it.';
COMMENT ON COLUMN history_starts.first_id IS 'The first trade from then on, as the exchange says: ids from it on are wished.';

CREATE TABLE history_files (
    symbol_id         integer NOT NULL REFERENCES symbol_head,
    day               date NOT NULL,
    sha256            text NOT NULL,
    rows_read         bigint NOT NULL DEFAULT 0,
    trades_new        bigint NOT NULL DEFAULT 0,
    trades_duplicate  bigint NOT NULL DEFAULT 0,
    rows_set_aside    bigint NOT NULL DEFAULT 0,
    loaded_at         timestamptz,
    PRIMARY KEY (symbol_id, day),
    CHECK (rows_read = trades_new + trades_duplicate + rows_set_aside)
);
COMMENT ON TABLE history_files IS 'What came of the exchange''s daily files. Trades that are held came through the topic or are counted here.';
COMMENT ON COLUMN history_files.sha256 IS 'Of the file that was read last: the exchange issues some anew.';
COMMENT ON COLUMN history_files.loaded_at IS 'When that file was read to its end; null before.';

-- As before; and where a start is wished, ids before it are not missing, and ids behind it are.
CREATE OR REPLACE VIEW holes AS
WITH wished AS (
    SELECT symbol_id, least(probes.wished_after, starts.first_id - 1) AS after_id, starts.symbol_id IS NOT NULL AS is_explicit
    FROM head_probes AS probes FULL JOIN history_starts AS starts USING (symbol_id)
), accounted AS (
    SELECT symbol_id, first_id, last_id FROM trade_ranges
    UNION ALL
    SELECT symbol_id, after_id, after_id FROM wished
    WHERE after_id IS NOT NULL
      AND NOT EXISTS (SELECT FROM trade_ranges AS ranges
                      WHERE ranges.symbol_id = wished.symbol_id AND ranges.first_id <= wished.after_id)
    UNION ALL
    SELECT symbol_id, last_id + 1, last_id + 1 FROM head_probes AS probes
    WHERE NOT EXISTS (SELECT FROM trade_ranges AS ranges
                      WHERE ranges.symbol_id = probes.symbol_id AND ranges.last_id > probes.last_id)
), neighbours AS (
    SELECT symbol_id, lag(last_id) OVER (PARTITION BY symbol_id ORDER BY first_id) + 1 AS first_id, first_id - 1 AS last_id
    FROM accounted
), gaps AS (
    SELECT neighbours.symbol_id, greatest(neighbours.first_id, wished.after_id + 1) AS first_id, neighbours.last_id
    FROM neighbours LEFT JOIN wished ON wished.symbol_id = neighbours.symbol_id AND wished.is_explicit
    WHERE neighbours.first_id IS NOT NULL
)
SELECT symbol_id, first_id, last_id FROM gaps WHERE first_id <= last_id;
