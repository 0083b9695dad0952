-- Candles compared with the exchange's own, and windows that were removed to be folded again.

CREATE TABLE candle_checks (
    symbol_id    integer NOT NULL REFERENCES symbol_head,
    interval_s   integer NOT NULL,
    open_time    timestamptz NOT NULL,
    version      bigint NOT NULL,
    verdict      text NOT NULL CHECK (verdict IN ('equal', 'exchange_differs', 'ours_wrong')),
    differences  jsonb NOT NULL,
    checked_at   timestamptz NOT NULL,
    PRIMARY KEY (symbol_id, interval_s, open_time)
);
CREATE INDEX candle_checks_not_equal ON candle_checks (verdict) WHERE verdict <> 'equal';
COMMENT ON TABLE candle_checks IS 'Complete candles compared with the exchange''s own: the newest comparison of each window.';
COMMENT ON COLUMN candle_checks.version IS 'The candle''s version that was compared; 0 for a window without trades. Another version is compared again.';
COMMENT ON COLUMN candle_checks.differences IS 'The fields that differ: field, ours, theirs; theirs is null where the exchange has no candle.';

CREATE TABLE rebuilds (
    symbol_id       integer NOT NULL REFERENCES symbol_head,
    version         bigint NOT NULL,
    from_time       timestamptz NOT NULL,
    to_time         timestamptz NOT NULL,
    first_id        bigint NOT NULL,
    last_id         bigint NOT NULL,
    trades_removed  bigint NOT NULL,
    rebuilt_at      timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (symbol_id, version)
);
COMMENT ON TABLE rebuilds IS 'Windows whose rows and ids were removed by a person, so that the repairer asks the exchange for them again.';
COMMENT ON COLUMN rebuilds.trades_removed IS 'Trades that were held and are not any more: trades_new of all partitions = trades held + trades removed.';

CREATE VIEW candle_checks_by_symbol AS
SELECT head.venue, head.symbol, head.series, checks.interval_s, checks.open_time, checks.verdict, checks.differences,
       checks.version, checks.checked_at,
       checks.version = coalesce((SELECT candles.version FROM candles
                                  WHERE candles.symbol_id = checks.symbol_id AND candles.kind = 'trades'
                                    AND candles.interval_s = checks.interval_s AND candles.open_time = checks.open_time),
                                 0) AS is_current
FROM candle_checks AS checks JOIN symbol_head AS head USING (symbol_id);
COMMENT ON VIEW candle_checks_by_symbol IS 'Comparisons with names; is_current says whether the candle is still the one that was compared.';
