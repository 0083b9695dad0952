-- The tables of the PostgreSQL schema, which carries the comments, in SQLite's types: times are integer
-- microseconds since 1970 (UTC) with _us in the name, decimals are text without trailing zeros.

CREATE TABLE owner (
    only_row   INTEGER PRIMARY KEY DEFAULT 1 CHECK (only_row = 1),
    namespace  TEXT NOT NULL,
    name       TEXT NOT NULL,
    uid        TEXT NOT NULL
) STRICT;

CREATE TABLE partition_offsets (
    topic              TEXT NOT NULL,
    partition          INTEGER NOT NULL,
    topic_id           TEXT NOT NULL,
    next_offset        INTEGER NOT NULL,
    records_read       INTEGER NOT NULL DEFAULT 0,
    trades_new         INTEGER NOT NULL DEFAULT 0,
    trades_duplicate   INTEGER NOT NULL DEFAULT 0,
    records_set_aside  INTEGER NOT NULL DEFAULT 0,
    offsets_skipped    INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (topic, partition),
    CHECK (records_read = trades_new + trades_duplicate + records_set_aside)
) STRICT, WITHOUT ROWID;

CREATE TABLE symbol_head (
    symbol_id           INTEGER PRIMARY KEY,
    venue               TEXT NOT NULL,
    symbol              TEXT NOT NULL,
    series              INTEGER NOT NULL DEFAULT 0,
    version             INTEGER NOT NULL DEFAULT 0,
    trades_held         INTEGER NOT NULL DEFAULT 0,
    last_trade_id       INTEGER,
    last_trade_time_us  INTEGER,
    last_price          TEXT,
    max_inversion_us    INTEGER NOT NULL DEFAULT 0,
    UNIQUE (venue, symbol, series)
) STRICT;

CREATE TABLE trade_ranges (
    symbol_id      INTEGER NOT NULL REFERENCES symbol_head,
    first_id       INTEGER NOT NULL,
    last_id        INTEGER NOT NULL CHECK (last_id >= first_id),
    kind           TEXT NOT NULL CHECK (kind IN ('held', 'void', 'refused')),
    first_time_us  INTEGER NOT NULL,
    last_time_us   INTEGER NOT NULL,
    PRIMARY KEY (symbol_id, first_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE folds (
    symbol_id            INTEGER NOT NULL REFERENCES symbol_head,
    output               TEXT NOT NULL CHECK (output IN ('trades', 'candles')),
    interval_s           INTEGER NOT NULL,
    incomplete_until_us  INTEGER,
    PRIMARY KEY (symbol_id, output, interval_s)
) STRICT, WITHOUT ROWID;

CREATE TABLE floors (
    output         TEXT PRIMARY KEY CHECK (output IN ('trades', 'candles')),
    floor_time_us  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE trades (
    symbol_id       INTEGER NOT NULL,
    trade_id        INTEGER NOT NULL,
    trade_time_us   INTEGER NOT NULL,
    version         INTEGER NOT NULL,
    price           TEXT NOT NULL,
    quantity        TEXT NOT NULL,
    buyer_is_maker  INTEGER NOT NULL CHECK (buyer_is_maker IN (0, 1)),
    PRIMARY KEY (symbol_id, trade_time_us, trade_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE candles (
    symbol_id               INTEGER NOT NULL REFERENCES symbol_head,
    kind                    TEXT NOT NULL DEFAULT 'trades' CHECK (kind IN ('trades', 'samples')),
    interval_s              INTEGER NOT NULL,
    open_time_us            INTEGER NOT NULL,
    version                 INTEGER NOT NULL,
    open                    TEXT NOT NULL,
    high                    TEXT NOT NULL,
    low                     TEXT NOT NULL,
    close                   TEXT NOT NULL,
    volume                  TEXT NOT NULL,
    quote_volume            TEXT NOT NULL,
    trade_count             INTEGER NOT NULL,
    taker_buy_volume        TEXT NOT NULL,
    taker_buy_quote_volume  TEXT NOT NULL,
    first_trade_id          INTEGER NOT NULL,
    last_trade_id           INTEGER NOT NULL,
    PRIMARY KEY (symbol_id, kind, interval_s, open_time_us)
) STRICT, WITHOUT ROWID;

CREATE TABLE set_aside (
    topic          TEXT NOT NULL,
    topic_id       TEXT NOT NULL,
    partition      INTEGER NOT NULL,
    record_offset  INTEGER NOT NULL,
    reason         TEXT NOT NULL,
    payload        BLOB NOT NULL,
    PRIMARY KEY (topic, topic_id, partition, record_offset)
) STRICT, WITHOUT ROWID;

CREATE VIEW trades_by_symbol AS
SELECT head.venue, head.symbol, head.series, trades.trade_id, trades.trade_time_us,
       strftime('%Y-%m-%dT%H:%M:%S', trades.trade_time_us / 1000000, 'unixepoch')
           || printf('.%06dZ', trades.trade_time_us % 1000000) AS trade_time,
       trades.price, trades.quantity, trades.buyer_is_maker, trades.version
FROM trades JOIN symbol_head AS head USING (symbol_id);

CREATE VIEW trade_chains AS
WITH marked AS (
    SELECT symbol_id, first_id, last_id, first_time_us, last_time_us,
           first_id IS NOT lag(last_id) OVER (PARTITION BY symbol_id ORDER BY first_id) + 1 AS begins
    FROM trade_ranges WHERE kind IN ('held', 'void')
), numbered AS (
    SELECT *, sum(begins) OVER (PARTITION BY symbol_id ORDER BY first_id) AS chain FROM marked
), bounds AS (
    SELECT symbol_id, min(first_id) AS first_id, max(last_id) AS last_id FROM numbered GROUP BY symbol_id, chain
)
SELECT bounds.symbol_id, bounds.first_id, bounds.last_id, lowest.first_time_us, highest.last_time_us
FROM bounds
JOIN trade_ranges AS lowest ON lowest.symbol_id = bounds.symbol_id AND lowest.first_id = bounds.first_id
JOIN trade_ranges AS highest ON highest.symbol_id = bounds.symbol_id AND highest.last_id = bounds.last_id;

CREATE VIEW proven_spans AS
SELECT chains.symbol_id, folds.output, folds.interval_s,
       max(chains.first_time_us + head.max_inversion_us,
           coalesce(folds.incomplete_until_us, chains.first_time_us),
           coalesce(floors.floor_time_us - 1, chains.first_time_us)) AS proven_after_us,
       chains.last_time_us - head.max_inversion_us AS proven_until_us
FROM trade_chains AS chains
JOIN symbol_head AS head USING (symbol_id)
JOIN folds USING (symbol_id)
LEFT JOIN floors ON floors.output = folds.output;

CREATE VIEW candles_by_symbol AS
SELECT head.venue, head.symbol, head.series,
       CASE WHEN candles.interval_s % 86400 = 0 THEN candles.interval_s / 86400 || 'd'
            WHEN candles.interval_s % 3600 = 0 THEN candles.interval_s / 3600 || 'h'
            WHEN candles.interval_s % 60 = 0 THEN candles.interval_s / 60 || 'm'
            ELSE candles.interval_s || 's' END AS interval,
       candles.interval_s, candles.open_time_us,
       strftime('%Y-%m-%dT%H:%M:%SZ', candles.open_time_us / 1000000, 'unixepoch') AS open_time,
       candles.open, candles.high, candles.low, candles.close, candles.volume, candles.quote_volume,
       candles.trade_count, candles.taker_buy_volume, candles.taker_buy_quote_volume, candles.first_trade_id,
       candles.last_trade_id, candles.version, spans.symbol_id IS NOT NULL AS complete
FROM candles
JOIN symbol_head AS head USING (symbol_id)
LEFT JOIN proven_spans AS spans
  ON spans.symbol_id = candles.symbol_id AND spans.output = 'candles' AND spans.interval_s = candles.interval_s
 AND spans.proven_after_us < candles.open_time_us
 AND spans.proven_until_us >= candles.open_time_us + candles.interval_s * 1000000
WHERE candles.kind = 'trades';

CREATE VIEW empty_candles AS
WITH RECURSIVE windows (symbol_id, interval_s, open_time_us, last_open_time_us) AS (
    SELECT symbol_id, interval_s,
           (proven_after_us / (interval_s * 1000000) + 1) * interval_s * 1000000,
           proven_until_us - interval_s * 1000000
    FROM proven_spans
    WHERE output = 'candles'
      AND (proven_after_us / (interval_s * 1000000) + 2) * interval_s * 1000000 <= proven_until_us
    UNION ALL
    SELECT symbol_id, interval_s, open_time_us + interval_s * 1000000, last_open_time_us
    FROM windows
    WHERE open_time_us + interval_s * 1000000 <= last_open_time_us
)
SELECT head.venue, head.symbol, head.series, windows.interval_s, windows.open_time_us,
       (SELECT candles.close FROM candles
        WHERE candles.symbol_id = windows.symbol_id AND candles.kind = 'trades'
          AND candles.interval_s = windows.interval_s AND candles.open_time_us < windows.open_time_us
        ORDER BY candles.open_time_us DESC LIMIT 1) AS close
FROM windows
JOIN symbol_head AS head USING (symbol_id)
LEFT JOIN candles ON candles.symbol_id = windows.symbol_id AND candles.kind = 'trades'
     AND candles.interval_s = windows.interval_s AND candles.open_time_us = windows.open_time_us
WHERE candles.symbol_id IS NULL;
