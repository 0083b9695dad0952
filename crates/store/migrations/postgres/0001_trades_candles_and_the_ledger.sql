-- Everything stands in the pipeline's own schema, which is the search path of the connection.
-- Prices and quantities have 8 decimals, products and their sums 16, each with 22 digits before the point.

CREATE TABLE owner (
    only_row   boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    namespace  text NOT NULL,
    name       text NOT NULL,
    uid        text NOT NULL,
    claimed_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE owner IS 'The one pipeline that this schema belongs to.';

CREATE TABLE partition_offsets (
    topic              text NOT NULL,
    partition          integer NOT NULL,
    topic_id           text NOT NULL,
    next_offset        bigint NOT NULL,
    records_read       bigint NOT NULL DEFAULT 0,
    trades_new         bigint NOT NULL DEFAULT 0,
    trades_duplicate   bigint NOT NULL DEFAULT 0,
    records_set_aside  bigint NOT NULL DEFAULT 0,
    offsets_skipped    bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (topic, partition),
    CHECK (records_read = trades_new + trades_duplicate + records_set_aside)
) WITH (fillfactor = 50);
COMMENT ON TABLE partition_offsets IS 'The position in each partition: committed with the rows made from it, and the only truth about it.';
COMMENT ON COLUMN partition_offsets.topic_id IS 'The topic''s own id: a topic that was deleted and made anew has another.';
COMMENT ON COLUMN partition_offsets.offsets_skipped IS 'Offsets that the broker no longer had when they were asked for.';

CREATE TABLE symbol_head (
    symbol_id         integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    venue             text NOT NULL,
    symbol            text NOT NULL,
    series            integer NOT NULL DEFAULT 0,
    version           bigint NOT NULL DEFAULT 0,
    trades_held       bigint NOT NULL DEFAULT 0,
    last_trade_id     bigint,
    last_trade_time   timestamptz,
    last_price        numeric(30, 8),
    max_inversion_us  bigint NOT NULL DEFAULT 0,
    UNIQUE (venue, symbol, series)
) WITH (fillfactor = 50);
COMMENT ON TABLE symbol_head IS 'One row a market: the lock of every flush that touches it, and what is newest.';
COMMENT ON COLUMN symbol_head.series IS 'Raised by a person where the exchange began to number the trades anew.';
COMMENT ON COLUMN symbol_head.version IS 'Raised by every flush in commit order; every row of the flush carries it.';
COMMENT ON COLUMN symbol_head.max_inversion_us IS 'The largest step back in time seen between a trade and one with a higher id.';

CREATE TABLE trade_ranges (
    symbol_id   integer NOT NULL REFERENCES symbol_head,
    first_id    bigint NOT NULL,
    last_id     bigint NOT NULL CHECK (last_id >= first_id),
    kind        text NOT NULL CHECK (kind IN ('held', 'void', 'refused')),
    first_time  timestamptz NOT NULL,
    last_time   timestamptz NOT NULL,
    PRIMARY KEY (symbol_id, first_id)
);
COMMENT ON TABLE trade_ranges IS 'The ledger: which trade ids are accounted for. Ranges are disjoint.';

CREATE TABLE folds (
    symbol_id         integer NOT NULL REFERENCES symbol_head,
    output            text NOT NULL CHECK (output IN ('trades', 'candles')),
    interval_s        integer NOT NULL,
    incomplete_until  timestamptz,
    PRIMARY KEY (symbol_id, output, interval_s)
);
COMMENT ON TABLE folds IS 'Since when an output has received every new trade; null where it always has.';

CREATE TABLE floors (
    output      text NOT NULL CHECK (output IN ('trades', 'candles')),
    floor_time  timestamptz NOT NULL,
    PRIMARY KEY (output)
);
COMMENT ON TABLE floors IS 'What lies before the floor of an output may have been dropped by its retention.';

CREATE TABLE trades (
    symbol_id       integer NOT NULL,
    trade_id        bigint NOT NULL,
    trade_time      timestamptz NOT NULL,
    version         bigint NOT NULL,
    price           numeric(30, 8) NOT NULL,
    quantity        numeric(30, 8) NOT NULL,
    buyer_is_maker  boolean NOT NULL,
    PRIMARY KEY (symbol_id, trade_time, trade_id)
) PARTITION BY RANGE (trade_time);
COMMENT ON TABLE trades IS 'One row a trade, by day. trades_by_symbol has the names.';

CREATE TABLE candles (
    symbol_id               integer NOT NULL REFERENCES symbol_head,
    kind                    text NOT NULL DEFAULT 'trades' CHECK (kind IN ('trades', 'samples')),
    interval_s              integer NOT NULL,
    open_time               timestamptz NOT NULL,
    version                 bigint NOT NULL,
    open                    numeric(30, 8) NOT NULL,
    high                    numeric(30, 8) NOT NULL,
    low                     numeric(30, 8) NOT NULL,
    close                   numeric(30, 8) NOT NULL,
    volume                  numeric(30, 8) NOT NULL,
    quote_volume            numeric(38, 16) NOT NULL,
    trade_count             bigint NOT NULL,
    taker_buy_volume        numeric(30, 8) NOT NULL,
    taker_buy_quote_volume  numeric(38, 16) NOT NULL,
    first_trade_id          bigint NOT NULL,
    last_trade_id           bigint NOT NULL,
    PRIMARY KEY (symbol_id, kind, interval_s, open_time)
) WITH (fillfactor = 80);
COMMENT ON TABLE candles IS 'One row a window with trades. candles_by_symbol has the names and says which are complete.';

CREATE TABLE set_aside (
    topic          text NOT NULL,
    topic_id       text NOT NULL,
    partition      integer NOT NULL,
    record_offset  bigint NOT NULL,
    reason         text NOT NULL,
    payload        bytea NOT NULL,
    set_aside_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (topic, topic_id, partition, record_offset)
);
COMMENT ON TABLE set_aside IS 'Records that could not be read or represented: kept, never skipped.';

CREATE VIEW trades_by_symbol AS
SELECT head.venue, head.symbol, head.series, trades.trade_id, trades.trade_time, trades.price, trades.quantity,
       trades.buyer_is_maker, trades.version
FROM trades JOIN symbol_head AS head USING (symbol_id);

-- Ranges that follow each other without a missing id, ids that the exchange never gave included.
CREATE VIEW trade_chains AS
WITH marked AS (
    SELECT symbol_id, first_id, last_id, first_time, last_time,
           first_id IS DISTINCT FROM lag(last_id) OVER (PARTITION BY symbol_id ORDER BY first_id) + 1 AS begins
    FROM trade_ranges WHERE kind IN ('held', 'void')
), numbered AS (
    SELECT *, count(*) FILTER (WHERE begins) OVER (PARTITION BY symbol_id ORDER BY first_id) AS chain FROM marked
)
SELECT symbol_id, min(first_id) AS first_id, max(last_id) AS last_id,
       (array_agg(first_time ORDER BY first_id))[1] AS first_time,
       (array_agg(last_time ORDER BY first_id DESC))[1] AS last_time
FROM numbered GROUP BY symbol_id, chain;
COMMENT ON VIEW trade_chains IS 'Unbroken chains of trade ids, with the trade times of their ends.';

-- The time between `proven_from` and `proven_until` holds no trade that an output has not received: the
-- chain begins before and goes on after, both by more than the largest step back in time.
CREATE VIEW proven_spans AS
SELECT chains.symbol_id, folds.output, folds.interval_s,
       greatest(chains.first_time + head.max_inversion_us * interval '1 microsecond',
                folds.incomplete_until, floors.floor_time - interval '1 microsecond') AS proven_after,
       chains.last_time - head.max_inversion_us * interval '1 microsecond' AS proven_until
FROM trade_chains AS chains
JOIN symbol_head AS head USING (symbol_id)
JOIN folds USING (symbol_id)
LEFT JOIN floors ON floors.output = folds.output;
COMMENT ON VIEW proven_spans IS 'A window that opens after proven_after and closes at or before proven_until is complete.';

CREATE VIEW candles_by_symbol AS
SELECT head.venue, head.symbol, head.series,
       CASE WHEN candles.interval_s % 86400 = 0 THEN candles.interval_s / 86400 || 'd'
            WHEN candles.interval_s % 3600 = 0 THEN candles.interval_s / 3600 || 'h'
            WHEN candles.interval_s % 60 = 0 THEN candles.interval_s / 60 || 'm'
            ELSE candles.interval_s || 's' END AS "interval",
       candles.interval_s, candles.open_time, candles.open, candles.high, candles.low, candles.close,
       candles.volume, candles.quote_volume, candles.trade_count, candles.taker_buy_volume,
       candles.taker_buy_quote_volume, candles.first_trade_id, candles.last_trade_id, candles.version,
       spans.symbol_id IS NOT NULL AS complete
FROM candles
JOIN symbol_head AS head USING (symbol_id)
LEFT JOIN proven_spans AS spans
  ON spans.symbol_id = candles.symbol_id AND spans.output = 'candles' AND spans.interval_s = candles.interval_s
 AND spans.proven_after < candles.open_time
 AND spans.proven_until >= candles.open_time + candles.interval_s * interval '1 second'
WHERE candles.kind = 'trades';
COMMENT ON VIEW candles_by_symbol IS 'The candles of windows with trades; complete says whether a trade can be missing.';

CREATE VIEW empty_candles AS
SELECT head.venue, head.symbol, head.series, spans.interval_s, windows.open_time, previous.close
FROM proven_spans AS spans
JOIN symbol_head AS head USING (symbol_id)
CROSS JOIN LATERAL generate_series(
    to_timestamp((floor(extract(epoch FROM spans.proven_after) / spans.interval_s) + 1) * spans.interval_s),
    spans.proven_until - spans.interval_s * interval '1 second',
    spans.interval_s * interval '1 second') AS windows (open_time)
CROSS JOIN LATERAL (
    SELECT candles.close FROM candles
    WHERE candles.symbol_id = spans.symbol_id AND candles.kind = 'trades'
      AND candles.interval_s = spans.interval_s AND candles.open_time < windows.open_time
    ORDER BY candles.open_time DESC LIMIT 1) AS previous
WHERE spans.output = 'candles'
  AND NOT EXISTS (
    SELECT FROM candles
    WHERE candles.symbol_id = spans.symbol_id AND candles.kind = 'trades'
      AND candles.interval_s = spans.interval_s AND candles.open_time = windows.open_time);
COMMENT ON VIEW empty_candles IS 'Windows that are proven to have no trade, with the close before them.';
