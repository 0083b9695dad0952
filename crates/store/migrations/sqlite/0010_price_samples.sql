-- Price samples; see PostgreSQL's. A check of a table can only be changed by making the table anew.
-- Older programs go on: the check is wider than the one that they know.
CREATE TABLE new_partition_offsets (
    topic              TEXT NOT NULL,
    partition          INTEGER NOT NULL,
    topic_id           TEXT NOT NULL,
    next_offset        INTEGER NOT NULL,
    records_read       INTEGER NOT NULL DEFAULT 0,
    trades_new         INTEGER NOT NULL DEFAULT 0,
    trades_duplicate   INTEGER NOT NULL DEFAULT 0,
    records_set_aside  INTEGER NOT NULL DEFAULT 0,
    offsets_skipped    INTEGER NOT NULL DEFAULT 0,
    samples_new        INTEGER NOT NULL DEFAULT 0,
    samples_duplicate  INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (topic, partition),
    CHECK (records_read = trades_new + trades_duplicate + samples_new + samples_duplicate + records_set_aside)
) STRICT, WITHOUT ROWID;
INSERT INTO new_partition_offsets (topic, partition, topic_id, next_offset, records_read, trades_new, trades_duplicate,
                                   records_set_aside, offsets_skipped)
SELECT topic, partition, topic_id, next_offset, records_read, trades_new, trades_duplicate, records_set_aside, offsets_skipped
FROM partition_offsets;
DROP TABLE partition_offsets;
ALTER TABLE new_partition_offsets RENAME TO partition_offsets;

CREATE TABLE ticker_head (
    market_id     INTEGER PRIMARY KEY,
    venue         TEXT NOT NULL,
    symbol        TEXT NOT NULL,
    version       INTEGER NOT NULL DEFAULT 0,
    samples_held  INTEGER NOT NULL DEFAULT 0,
    last_time_us  INTEGER,
    last_price    TEXT,
    UNIQUE (venue, symbol)
) STRICT;

CREATE TABLE tickers (
    market_id         INTEGER NOT NULL REFERENCES ticker_head,
    sample_time_us    INTEGER NOT NULL,
    version           INTEGER NOT NULL,
    price             TEXT NOT NULL,
    day_open          TEXT,
    day_high          TEXT,
    day_low           TEXT,
    day_volume        TEXT,
    day_quote_volume  TEXT,
    day_trade_count   INTEGER,
    received_time_us  INTEGER NOT NULL,
    PRIMARY KEY (market_id, sample_time_us)
) STRICT, WITHOUT ROWID;

CREATE TABLE sample_candles (
    market_id      INTEGER NOT NULL REFERENCES ticker_head,
    interval_s     INTEGER NOT NULL,
    open_time_us   INTEGER NOT NULL,
    version        INTEGER NOT NULL,
    open           TEXT NOT NULL,
    high           TEXT NOT NULL,
    low            TEXT NOT NULL,
    close          TEXT NOT NULL,
    price_sum      TEXT NOT NULL,
    average        TEXT NOT NULL,
    sample_count   INTEGER NOT NULL,
    first_time_us  INTEGER NOT NULL,
    last_time_us   INTEGER NOT NULL,
    PRIMARY KEY (market_id, interval_s, open_time_us)
) STRICT, WITHOUT ROWID;

CREATE VIEW tickers_by_symbol AS
SELECT head.venue, head.symbol, tickers.sample_time_us,
       strftime('%Y-%m-%dT%H:%M:%S', tickers.sample_time_us / 1000000, 'unixepoch')
       || printf('.%06dZ', tickers.sample_time_us % 1000000) AS sample_time, tickers.price,
       tickers.day_open, tickers.day_high, tickers.day_low, tickers.day_volume, tickers.day_quote_volume,
       tickers.day_trade_count, tickers.received_time_us, tickers.version
FROM tickers JOIN ticker_head AS head USING (market_id);

CREATE VIEW latest_tickers AS
SELECT venue, symbol, last_time_us AS sample_time_us,
       strftime('%Y-%m-%dT%H:%M:%S', last_time_us / 1000000, 'unixepoch')
       || printf('.%06dZ', last_time_us % 1000000) AS sample_time, last_price AS price,
       samples_held, version
FROM ticker_head WHERE last_time_us IS NOT NULL;

CREATE VIEW sample_candles_by_symbol AS
SELECT head.venue, head.symbol,
       CASE WHEN candles.interval_s % 86400 = 0 THEN (candles.interval_s / 86400) || 'd'
            WHEN candles.interval_s % 3600 = 0 THEN (candles.interval_s / 3600) || 'h'
            WHEN candles.interval_s % 60 = 0 THEN (candles.interval_s / 60) || 'm'
            ELSE candles.interval_s || 's' END AS "interval",
       candles.interval_s, candles.open_time_us,
       strftime('%Y-%m-%dT%H:%M:%SZ', candles.open_time_us / 1000000, 'unixepoch') AS open_time, candles.open, candles.high,
       candles.low, candles.close, candles.average, candles.sample_count, candles.first_time_us, candles.last_time_us,
       candles.version
FROM sample_candles AS candles JOIN ticker_head AS head USING (market_id);
