-- Candles compared with the exchange's own, and windows that were removed to be folded again. The comments on the columns
-- stand in PostgreSQL's migration of the same number.

CREATE TABLE candle_checks (
    symbol_id      INTEGER NOT NULL REFERENCES symbol_head,
    interval_s     INTEGER NOT NULL,
    open_time_us   INTEGER NOT NULL,
    version        INTEGER NOT NULL,
    verdict        TEXT NOT NULL CHECK (verdict IN ('equal', 'exchange_differs', 'ours_wrong')),
    differences    TEXT NOT NULL,
    checked_at_us  INTEGER NOT NULL,
    PRIMARY KEY (symbol_id, interval_s, open_time_us)
) STRICT, WITHOUT ROWID;
CREATE INDEX candle_checks_not_equal ON candle_checks (verdict) WHERE verdict <> 'equal';

CREATE TABLE rebuilds (
    symbol_id       INTEGER NOT NULL REFERENCES symbol_head,
    version         INTEGER NOT NULL,
    from_time_us    INTEGER NOT NULL,
    to_time_us      INTEGER NOT NULL,
    first_id        INTEGER NOT NULL,
    last_id         INTEGER NOT NULL,
    trades_removed  INTEGER NOT NULL,
    PRIMARY KEY (symbol_id, version)
) STRICT, WITHOUT ROWID;

CREATE VIEW candle_checks_by_symbol AS
SELECT head.venue, head.symbol, head.series, checks.interval_s, checks.open_time_us, checks.verdict, checks.differences,
       checks.version, checks.checked_at_us,
       checks.version = coalesce((SELECT candles.version FROM candles
                                  WHERE candles.symbol_id = checks.symbol_id AND candles.kind = 'trades'
                                    AND candles.interval_s = checks.interval_s AND candles.open_time_us = checks.open_time_us),
                                 0) AS is_current
FROM candle_checks AS checks JOIN symbol_head AS head USING (symbol_id);
