-- The tables of the PostgreSQL schema, which carries the comments, for MySQL 8.0 and MariaDB 10.6 or newer: times are
-- integer microseconds since 1970 (UTC) with _us in the name, decimals are those of PostgreSQL.
--
-- The first migration here is version 11: the same version is the same tables on every database, and none older than this
-- one exist on MySQL. Its DDL commits each statement by itself, so a migration may end half-way and is then repeated: every
-- statement here, and in any later file, must be safe to run again.
-- Older programs go on: there are none.

CREATE TABLE IF NOT EXISTS owner (
    only_row       TINYINT NOT NULL DEFAULT 1 PRIMARY KEY CHECK (only_row = 1),
    namespace      VARCHAR(255) NOT NULL,
    name           VARCHAR(255) NOT NULL,
    uid            VARCHAR(255) NOT NULL,
    claimed_at     TIMESTAMP(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE IF NOT EXISTS partition_offsets (
    topic              VARCHAR(255) NOT NULL,
    `partition`        INT NOT NULL,
    topic_id           VARCHAR(255) NOT NULL,
    next_offset        BIGINT NOT NULL,
    records_read       BIGINT NOT NULL DEFAULT 0,
    trades_new         BIGINT NOT NULL DEFAULT 0,
    trades_duplicate   BIGINT NOT NULL DEFAULT 0,
    records_set_aside  BIGINT NOT NULL DEFAULT 0,
    offsets_skipped    BIGINT NOT NULL DEFAULT 0,
    samples_new        BIGINT NOT NULL DEFAULT 0,
    samples_duplicate  BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (topic, `partition`),
    CHECK (records_read = trades_new + trades_duplicate + samples_new + samples_duplicate + records_set_aside)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- The names are bytes: text compares equal with and without spaces at its end, and a record may name either.
-- `is_current` stands in for an index on the rows that have not ended.
CREATE TABLE IF NOT EXISTS symbol_head (
    symbol_id         INT NOT NULL AUTO_INCREMENT PRIMARY KEY,
    venue             VARBINARY(255) NOT NULL,
    symbol            VARBINARY(255) NOT NULL,
    series            INT NOT NULL DEFAULT 0,
    version           BIGINT NOT NULL DEFAULT 0,
    trades_held       BIGINT NOT NULL DEFAULT 0,
    last_trade_id     BIGINT,
    last_trade_time_us  BIGINT,
    last_price        DECIMAL(30, 8),
    max_inversion_us  BIGINT NOT NULL DEFAULT 0,
    began_at_us       BIGINT,
    ended_at_us       BIGINT,
    restarted_at_us   BIGINT,
    restart_evidence  BIGINT NOT NULL DEFAULT 0,
    total_trades      BIGINT NOT NULL DEFAULT 0,
    total_volume      DECIMAL(30, 8) NOT NULL DEFAULT 0,
    total_quote_volume  DECIMAL(38, 16) NOT NULL DEFAULT 0,
    is_current        TINYINT AS (CASE WHEN ended_at_us IS NULL THEN 1 END) STORED,
    UNIQUE KEY symbol_head_series (venue, symbol, series),
    UNIQUE KEY symbol_head_current (venue, symbol, is_current),
    CHECK ((series = 0) = (began_at_us IS NULL)),
    CHECK ((restart_evidence = 0) = (restarted_at_us IS NULL))
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE IF NOT EXISTS trade_ranges (
    symbol_id      INT NOT NULL,
    first_id       BIGINT NOT NULL,
    last_id        BIGINT NOT NULL,
    kind           VARCHAR(20) NOT NULL CHECK (kind IN ('held', 'void', 'refused')),
    first_time_us  BIGINT NOT NULL,
    last_time_us   BIGINT NOT NULL,
    reason         VARCHAR(100),
    PRIMARY KEY (symbol_id, first_id),
    FOREIGN KEY (symbol_id) REFERENCES symbol_head (symbol_id),
    CHECK (last_id >= first_id),
    CHECK ((kind = 'refused') = (reason IS NOT NULL))
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE IF NOT EXISTS folds (
    symbol_id            INT NOT NULL,
    output               VARCHAR(20) NOT NULL CHECK (output IN ('trades', 'candles')),
    interval_s           INT NOT NULL,
    incomplete_until_us  BIGINT,
    PRIMARY KEY (symbol_id, output, interval_s),
    FOREIGN KEY (symbol_id) REFERENCES symbol_head (symbol_id)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE IF NOT EXISTS floors (
    output         VARCHAR(20) NOT NULL PRIMARY KEY CHECK (output IN ('trades', 'candles')),
    floor_time_us  BIGINT NOT NULL
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- Of trades and tickers: by day, as make_day makes them; what has no day of its own would stand in the partition of the times between.
CREATE TABLE IF NOT EXISTS trades (
    symbol_id       INT NOT NULL,
    trade_id        BIGINT NOT NULL,
    trade_time_us   BIGINT NOT NULL,
    version         BIGINT NOT NULL,
    price           DECIMAL(30, 8) NOT NULL,
    quantity        DECIMAL(30, 8) NOT NULL,
    buyer_is_maker  BOOLEAN NOT NULL,
    moving_average  DECIMAL(30, 8),
    is_whale        BOOLEAN NOT NULL DEFAULT FALSE,
    PRIMARY KEY (symbol_id, trade_time_us, trade_id)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin
PARTITION BY RANGE (trade_time_us) (PARTITION later VALUES LESS THAN MAXVALUE);

CREATE TABLE IF NOT EXISTS whale_orders (
    symbol_id       INT NOT NULL,
    first_trade_id  BIGINT NOT NULL,
    last_trade_id   BIGINT NOT NULL,
    trade_time_us   BIGINT NOT NULL,
    version         BIGINT NOT NULL,
    buyer_is_maker  BOOLEAN NOT NULL,
    quantity        DECIMAL(30, 8) NOT NULL,
    quote_quantity  DECIMAL(38, 16) NOT NULL,
    PRIMARY KEY (symbol_id, first_trade_id),
    KEY whale_orders_time (symbol_id, trade_time_us),
    FOREIGN KEY (symbol_id) REFERENCES symbol_head (symbol_id),
    CHECK (last_trade_id >= first_trade_id)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE IF NOT EXISTS candles (
    symbol_id               INT NOT NULL,
    kind                    VARCHAR(20) NOT NULL DEFAULT 'trades' CHECK (kind IN ('trades', 'samples')),
    interval_s              INT NOT NULL,
    open_time_us            BIGINT NOT NULL,
    version                 BIGINT NOT NULL,
    open                    DECIMAL(30, 8) NOT NULL,
    high                    DECIMAL(30, 8) NOT NULL,
    low                     DECIMAL(30, 8) NOT NULL,
    close                   DECIMAL(30, 8) NOT NULL,
    volume                  DECIMAL(30, 8) NOT NULL,
    quote_volume            DECIMAL(38, 16) NOT NULL,
    trade_count             BIGINT NOT NULL,
    taker_buy_volume        DECIMAL(30, 8) NOT NULL,
    taker_buy_quote_volume  DECIMAL(38, 16) NOT NULL,
    first_trade_id          BIGINT NOT NULL,
    last_trade_id           BIGINT NOT NULL,
    PRIMARY KEY (symbol_id, kind, interval_s, open_time_us),
    FOREIGN KEY (symbol_id) REFERENCES symbol_head (symbol_id)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE IF NOT EXISTS ticker_head (
    market_id     INT NOT NULL AUTO_INCREMENT PRIMARY KEY,
    venue         VARBINARY(255) NOT NULL,
    symbol        VARBINARY(255) NOT NULL,
    version       BIGINT NOT NULL DEFAULT 0,
    samples_held  BIGINT NOT NULL DEFAULT 0,
    last_time_us  BIGINT,
    last_price    DECIMAL(30, 8),
    UNIQUE KEY ticker_head_market (venue, symbol)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE IF NOT EXISTS tickers (
    market_id         INT NOT NULL,
    sample_time_us    BIGINT NOT NULL,
    version           BIGINT NOT NULL,
    price             DECIMAL(30, 8) NOT NULL,
    day_open          DECIMAL(30, 8),
    day_high          DECIMAL(30, 8),
    day_low           DECIMAL(30, 8),
    day_volume        DECIMAL(30, 8),
    day_quote_volume  DECIMAL(38, 16),
    day_trade_count   BIGINT,
    received_time_us  BIGINT NOT NULL,
    PRIMARY KEY (market_id, sample_time_us)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin
PARTITION BY RANGE (sample_time_us) (PARTITION later VALUES LESS THAN MAXVALUE);

CREATE TABLE IF NOT EXISTS sample_candles (
    market_id      INT NOT NULL,
    interval_s     INT NOT NULL,
    open_time_us   BIGINT NOT NULL,
    version        BIGINT NOT NULL,
    open           DECIMAL(30, 8) NOT NULL,
    high           DECIMAL(30, 8) NOT NULL,
    low            DECIMAL(30, 8) NOT NULL,
    close          DECIMAL(30, 8) NOT NULL,
    price_sum      DECIMAL(30, 8) NOT NULL,
    average        DECIMAL(30, 8) NOT NULL,
    sample_count   BIGINT NOT NULL,
    first_time_us  BIGINT NOT NULL,
    last_time_us   BIGINT NOT NULL,
    PRIMARY KEY (market_id, interval_s, open_time_us),
    FOREIGN KEY (market_id) REFERENCES ticker_head (market_id)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE IF NOT EXISTS set_aside (
    topic          VARCHAR(255) NOT NULL,
    topic_id       VARCHAR(255) NOT NULL,
    `partition`    INT NOT NULL,
    record_offset  BIGINT NOT NULL,
    reason         VARCHAR(100) NOT NULL,
    payload        LONGBLOB NOT NULL,
    set_aside_at   TIMESTAMP(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6),
    PRIMARY KEY (topic, topic_id, `partition`, record_offset)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE IF NOT EXISTS head_probes (
    symbol_id        INT NOT NULL PRIMARY KEY,
    wished_after     BIGINT NOT NULL,
    last_id          BIGINT NOT NULL,
    probe_time_us    BIGINT NOT NULL,
    settled_time_us  BIGINT,
    probed_at_us     BIGINT NOT NULL,
    FOREIGN KEY (symbol_id) REFERENCES symbol_head (symbol_id),
    CHECK (last_id >= wished_after)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE IF NOT EXISTS history_starts (
    symbol_id     INT NOT NULL PRIMARY KEY,
    from_time_us  BIGINT,
    first_id      BIGINT,
    FOREIGN KEY (symbol_id) REFERENCES symbol_head (symbol_id),
    CHECK ((from_time_us IS NULL) = (first_id IS NULL))
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE IF NOT EXISTS history_files (
    symbol_id         INT NOT NULL,
    day               DATE NOT NULL,
    sha256            VARCHAR(255) NOT NULL,
    rows_read         BIGINT NOT NULL DEFAULT 0,
    trades_new        BIGINT NOT NULL DEFAULT 0,
    trades_duplicate  BIGINT NOT NULL DEFAULT 0,
    rows_set_aside    BIGINT NOT NULL DEFAULT 0,
    loaded_at_us      BIGINT,
    PRIMARY KEY (symbol_id, day),
    FOREIGN KEY (symbol_id) REFERENCES symbol_head (symbol_id),
    CHECK (rows_read = trades_new + trades_duplicate + rows_set_aside)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE IF NOT EXISTS candle_checks (
    symbol_id      INT NOT NULL,
    interval_s     INT NOT NULL,
    open_time_us   BIGINT NOT NULL,
    version        BIGINT NOT NULL,
    verdict        VARCHAR(20) NOT NULL CHECK (verdict IN ('equal', 'exchange_differs', 'ours_wrong')),
    differences    TEXT NOT NULL,
    checked_at_us  BIGINT NOT NULL,
    PRIMARY KEY (symbol_id, interval_s, open_time_us),
    KEY candle_checks_verdict (verdict),
    FOREIGN KEY (symbol_id) REFERENCES symbol_head (symbol_id)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE IF NOT EXISTS rebuilds (
    symbol_id       INT NOT NULL,
    version         BIGINT NOT NULL,
    from_time_us    BIGINT NOT NULL,
    to_time_us      BIGINT NOT NULL,
    first_id        BIGINT NOT NULL,
    last_id         BIGINT NOT NULL,
    trades_removed  BIGINT NOT NULL,
    rebuilt_at      TIMESTAMP(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6),
    PRIMARY KEY (symbol_id, version),
    FOREIGN KEY (symbol_id) REFERENCES symbol_head (symbol_id)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- Programs that know at least this version of the tables can work with them as they are; see PostgreSQL's.
CREATE TABLE IF NOT EXISTS compatibility (
    only_row              TINYINT NOT NULL DEFAULT 1 PRIMARY KEY CHECK (only_row = 1),
    oldest_known_version  BIGINT NOT NULL
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
INSERT INTO compatibility (oldest_known_version) VALUES (11) ON DUPLICATE KEY UPDATE oldest_known_version = 11;

-- Views have the rights of whoever reads them, not of whoever migrated, who may be gone one day. None has a subquery that
-- depends on its row: MariaDB answers a prepared statement with what such a one was before.
CREATE OR REPLACE SQL SECURITY INVOKER VIEW trades_by_symbol AS
SELECT CONVERT(head.venue USING utf8mb4) COLLATE utf8mb4_bin AS venue,
       CONVERT(head.symbol USING utf8mb4) COLLATE utf8mb4_bin AS symbol, head.series, trades.trade_id,
       trades.trade_time_us,
       TIMESTAMP'1970-01-01 00:00:00' + INTERVAL trades.trade_time_us MICROSECOND AS trade_time, trades.price,
       trades.quantity, trades.buyer_is_maker, trades.version, trades.moving_average, trades.is_whale
FROM trades JOIN symbol_head AS head ON head.symbol_id = trades.symbol_id;

CREATE OR REPLACE SQL SECURITY INVOKER VIEW trade_chains AS
WITH following AS (
    SELECT symbol_id, first_id, last_id, lag(last_id) OVER (PARTITION BY symbol_id ORDER BY first_id) + 1 AS expected_id
    FROM trade_ranges WHERE kind IN ('held', 'void')
), numbered AS (
    SELECT symbol_id, first_id, last_id,
           sum(CASE WHEN first_id = expected_id THEN 0 ELSE 1 END) OVER (PARTITION BY symbol_id ORDER BY first_id) AS chain
    FROM following
), bounds AS (
    SELECT symbol_id, min(first_id) AS first_id, max(last_id) AS last_id FROM numbered GROUP BY symbol_id, chain
)
SELECT bounds.symbol_id, bounds.first_id, bounds.last_id, lowest.first_time_us, highest.last_time_us
FROM bounds
JOIN trade_ranges AS lowest ON lowest.symbol_id = bounds.symbol_id AND lowest.first_id = bounds.first_id
JOIN trade_ranges AS highest ON highest.symbol_id = bounds.symbol_id AND highest.last_id = bounds.last_id;

CREATE OR REPLACE SQL SECURITY INVOKER VIEW proven_spans AS
SELECT chains.symbol_id, folds.output, folds.interval_s,
       greatest(chains.first_time_us + head.max_inversion_us,
                coalesce(folds.incomplete_until_us, chains.first_time_us),
                coalesce(floors.floor_time_us - 1, chains.first_time_us)) AS proven_after_us,
       greatest(chains.last_time_us,
                coalesce(least(probes.settled_time_us, coalesce(head.restarted_at_us, probes.settled_time_us),
                               coalesce(head.ended_at_us, probes.settled_time_us)),
                         chains.last_time_us)) - head.max_inversion_us AS proven_until_us
FROM trade_chains AS chains
JOIN symbol_head AS head ON head.symbol_id = chains.symbol_id
JOIN folds ON folds.symbol_id = chains.symbol_id
LEFT JOIN floors ON floors.output = folds.output
LEFT JOIN head_probes AS probes
  ON probes.symbol_id = chains.symbol_id AND probes.last_id BETWEEN chains.first_id AND chains.last_id;

CREATE OR REPLACE SQL SECURITY INVOKER VIEW candles_by_symbol AS
SELECT CONVERT(head.venue USING utf8mb4) COLLATE utf8mb4_bin AS venue,
       CONVERT(head.symbol USING utf8mb4) COLLATE utf8mb4_bin AS symbol, head.series,
       CASE WHEN candles.interval_s % 86400 = 0 THEN CONCAT(candles.interval_s DIV 86400, 'd')
            WHEN candles.interval_s % 3600 = 0 THEN CONCAT(candles.interval_s DIV 3600, 'h')
            WHEN candles.interval_s % 60 = 0 THEN CONCAT(candles.interval_s DIV 60, 'm')
            ELSE CONCAT(candles.interval_s, 's') END AS `interval`,
       candles.interval_s, candles.open_time_us,
       TIMESTAMP'1970-01-01 00:00:00' + INTERVAL candles.open_time_us MICROSECOND AS open_time,
       candles.open, candles.high, candles.low, candles.close, candles.volume, candles.quote_volume,
       candles.trade_count, candles.taker_buy_volume, candles.taker_buy_quote_volume, candles.first_trade_id,
       candles.last_trade_id, candles.version, spans.symbol_id IS NOT NULL AS complete
FROM candles
JOIN symbol_head AS head ON head.symbol_id = candles.symbol_id
LEFT JOIN proven_spans AS spans
  ON spans.symbol_id = candles.symbol_id AND spans.output = 'candles' AND spans.interval_s = candles.interval_s
 AND spans.proven_after_us < candles.open_time_us
 AND spans.proven_until_us >= candles.open_time_us + candles.interval_s * 1000000
WHERE candles.kind = 'trades';

-- Between a candle and the next one stand the windows without trades. A JSON array of as many zeros makes a row of each:
-- what a recursion may do ends at a thousand, on MariaDB without an error.
CREATE OR REPLACE SQL SECURITY INVOKER VIEW empty_candles AS
WITH neighbours AS (
    SELECT symbol_id, interval_s, interval_s * 1000000 AS length_us, open_time_us, close,
           lead(open_time_us) OVER (PARTITION BY symbol_id, interval_s ORDER BY open_time_us) AS next_us
    FROM candles WHERE kind = 'trades'
), gaps AS (
    SELECT neighbours.symbol_id, neighbours.interval_s, length_us, close,
           greatest(open_time_us + length_us, (proven_after_us DIV length_us + 1) * length_us) AS first_us,
           least(coalesce(next_us, proven_until_us), proven_until_us) DIV length_us * length_us - length_us AS last_us
    FROM neighbours
    JOIN proven_spans AS spans
      ON spans.symbol_id = neighbours.symbol_id AND spans.output = 'candles' AND spans.interval_s = neighbours.interval_s
     AND proven_after_us < coalesce(next_us, proven_until_us) AND proven_until_us >= open_time_us + 2 * length_us
    WHERE next_us IS NULL OR next_us > open_time_us + length_us
)
SELECT CONVERT(head.venue USING utf8mb4) COLLATE utf8mb4_bin AS venue,
       CONVERT(head.symbol USING utf8mb4) COLLATE utf8mb4_bin AS symbol, head.series, gaps.interval_s,
       first_us + (windows.place - 1) * length_us AS open_time_us, close
FROM gaps
JOIN symbol_head AS head ON head.symbol_id = gaps.symbol_id
JOIN JSON_TABLE(CONCAT('[', REPEAT('0,', (last_us - first_us) DIV length_us), '0]'), '$[*]'
                COLUMNS (place FOR ORDINALITY)) AS windows
WHERE first_us <= last_us;

-- What is missing of the ids that are wished: between ranges, behind the newest one, and before the first one. Where a start
-- is wished, ids before it are not missing, and ids behind it are.
CREATE OR REPLACE SQL SECURITY INVOKER VIEW holes AS
WITH wished AS (
    SELECT head.symbol_id,
           least(coalesce(probes.wished_after, starts.first_id - 1), coalesce(starts.first_id - 1, probes.wished_after)) AS after_id,
           starts.symbol_id IS NOT NULL AS is_explicit
    FROM symbol_head AS head
    LEFT JOIN head_probes AS probes ON probes.symbol_id = head.symbol_id
    LEFT JOIN history_starts AS starts ON starts.symbol_id = head.symbol_id
    WHERE probes.symbol_id IS NOT NULL OR starts.symbol_id IS NOT NULL
), bounds AS (
    SELECT symbol_id, min(first_id) AS first_id, max(last_id) AS last_id FROM trade_ranges GROUP BY symbol_id
), accounted AS (
    SELECT symbol_id, first_id, last_id FROM trade_ranges
    UNION ALL
    SELECT wished.symbol_id, after_id, after_id FROM wished LEFT JOIN bounds ON bounds.symbol_id = wished.symbol_id
    WHERE after_id IS NOT NULL AND coalesce(bounds.first_id > after_id, true)
    UNION ALL
    SELECT probes.symbol_id, probes.last_id + 1, probes.last_id + 1
    FROM head_probes AS probes LEFT JOIN bounds ON bounds.symbol_id = probes.symbol_id
    WHERE coalesce(bounds.last_id <= probes.last_id, true)
), neighbours AS (
    SELECT symbol_id, lag(accounted.last_id) OVER (PARTITION BY symbol_id ORDER BY accounted.first_id) + 1 AS first_id,
           accounted.first_id - 1 AS last_id
    FROM accounted
), gaps AS (
    SELECT neighbours.symbol_id, greatest(neighbours.first_id, coalesce(wished.after_id + 1, neighbours.first_id)) AS first_id,
           neighbours.last_id
    FROM neighbours LEFT JOIN wished ON wished.symbol_id = neighbours.symbol_id AND wished.is_explicit
    WHERE neighbours.first_id IS NOT NULL
)
SELECT symbol_id, first_id, last_id FROM gaps WHERE first_id <= last_id;

CREATE OR REPLACE SQL SECURITY INVOKER VIEW candle_checks_by_symbol AS
SELECT CONVERT(head.venue USING utf8mb4) COLLATE utf8mb4_bin AS venue,
       CONVERT(head.symbol USING utf8mb4) COLLATE utf8mb4_bin AS symbol, head.series, checks.interval_s,
       checks.open_time_us, checks.verdict, checks.differences, checks.version, checks.checked_at_us,
       checks.version = coalesce(candles.version, 0) AS is_current
FROM candle_checks AS checks
JOIN symbol_head AS head ON head.symbol_id = checks.symbol_id
LEFT JOIN candles ON candles.symbol_id = checks.symbol_id AND candles.kind = 'trades'
                 AND candles.interval_s = checks.interval_s AND candles.open_time_us = checks.open_time_us;

CREATE OR REPLACE SQL SECURITY INVOKER VIEW whale_orders_by_symbol AS
SELECT CONVERT(head.venue USING utf8mb4) COLLATE utf8mb4_bin AS venue,
       CONVERT(head.symbol USING utf8mb4) COLLATE utf8mb4_bin AS symbol, head.series, orders.first_trade_id,
       orders.last_trade_id, orders.last_trade_id - orders.first_trade_id + 1 AS trade_count, orders.trade_time_us,
       TIMESTAMP'1970-01-01 00:00:00' + INTERVAL orders.trade_time_us MICROSECOND AS trade_time, orders.buyer_is_maker,
       orders.quantity, orders.quote_quantity, chains.symbol_id IS NOT NULL AS final, orders.version
FROM whale_orders AS orders
JOIN symbol_head AS head ON head.symbol_id = orders.symbol_id
LEFT JOIN trade_chains AS chains
  ON chains.symbol_id = orders.symbol_id
 AND chains.first_id < orders.first_trade_id AND chains.last_id > orders.last_trade_id;

CREATE OR REPLACE SQL SECURITY INVOKER VIEW whale_trades AS
SELECT CONVERT(head.venue USING utf8mb4) COLLATE utf8mb4_bin AS venue,
       CONVERT(head.symbol USING utf8mb4) COLLATE utf8mb4_bin AS symbol, head.series, trades.trade_id,
       trades.trade_time_us,
       TIMESTAMP'1970-01-01 00:00:00' + INTERVAL trades.trade_time_us MICROSECOND AS trade_time, trades.price,
       trades.quantity, trades.price * trades.quantity AS quote_quantity, trades.buyer_is_maker, trades.version
FROM whale_orders AS orders
JOIN symbol_head AS head ON head.symbol_id = orders.symbol_id
-- Between the same: found by an equal symbol alone, all trades of the symbol would be read for each order.
JOIN trades
  ON trades.symbol_id BETWEEN orders.symbol_id AND orders.symbol_id AND trades.trade_id BETWEEN orders.first_trade_id AND orders.last_trade_id
 AND trades.trade_time_us >= orders.trade_time_us - orders.trade_time_us % 1000
 AND trades.trade_time_us < orders.trade_time_us - orders.trade_time_us % 1000 + 1000
WHERE trades.is_whale;

CREATE OR REPLACE SQL SECURITY INVOKER VIEW symbol_totals AS
SELECT CONVERT(head.venue USING utf8mb4) COLLATE utf8mb4_bin AS venue,
       CONVERT(head.symbol USING utf8mb4) COLLATE utf8mb4_bin AS symbol, head.series,
       head.trades_held, head.total_trades AS trade_count, head.total_volume AS volume, head.total_quote_volume AS quote_volume,
       head.last_trade_id, head.last_trade_time_us,
       TIMESTAMP'1970-01-01 00:00:00' + INTERVAL head.last_trade_time_us MICROSECOND AS last_trade_time, head.last_price,
       trades.moving_average, head.version
FROM symbol_head AS head
LEFT JOIN trades ON trades.symbol_id = head.symbol_id AND trades.trade_time_us = head.last_trade_time_us
                AND trades.trade_id = head.last_trade_id
WHERE head.total_trades > 0;

CREATE OR REPLACE SQL SECURITY INVOKER VIEW tickers_by_symbol AS
SELECT CONVERT(head.venue USING utf8mb4) COLLATE utf8mb4_bin AS venue,
       CONVERT(head.symbol USING utf8mb4) COLLATE utf8mb4_bin AS symbol, tickers.sample_time_us,
       TIMESTAMP'1970-01-01 00:00:00' + INTERVAL tickers.sample_time_us MICROSECOND AS sample_time, tickers.price,
       tickers.day_open, tickers.day_high, tickers.day_low, tickers.day_volume, tickers.day_quote_volume,
       tickers.day_trade_count, tickers.received_time_us, tickers.version
FROM tickers JOIN ticker_head AS head ON head.market_id = tickers.market_id;

CREATE OR REPLACE SQL SECURITY INVOKER VIEW latest_tickers AS
SELECT CONVERT(head.venue USING utf8mb4) COLLATE utf8mb4_bin AS venue,
       CONVERT(head.symbol USING utf8mb4) COLLATE utf8mb4_bin AS symbol, last_time_us AS sample_time_us,
       TIMESTAMP'1970-01-01 00:00:00' + INTERVAL last_time_us MICROSECOND AS sample_time, last_price AS price, samples_held,
       version
FROM ticker_head AS head WHERE last_time_us IS NOT NULL;

CREATE OR REPLACE SQL SECURITY INVOKER VIEW sample_candles_by_symbol AS
SELECT CONVERT(head.venue USING utf8mb4) COLLATE utf8mb4_bin AS venue,
       CONVERT(head.symbol USING utf8mb4) COLLATE utf8mb4_bin AS symbol,
       CASE WHEN candles.interval_s % 86400 = 0 THEN CONCAT(candles.interval_s DIV 86400, 'd')
            WHEN candles.interval_s % 3600 = 0 THEN CONCAT(candles.interval_s DIV 3600, 'h')
            WHEN candles.interval_s % 60 = 0 THEN CONCAT(candles.interval_s DIV 60, 'm')
            ELSE CONCAT(candles.interval_s, 's') END AS `interval`,
       candles.interval_s, candles.open_time_us,
       TIMESTAMP'1970-01-01 00:00:00' + INTERVAL candles.open_time_us MICROSECOND AS open_time, candles.open, candles.high,
       candles.low, candles.close, candles.average, candles.sample_count, candles.first_time_us, candles.last_time_us,
       candles.version
FROM sample_candles AS candles JOIN ticker_head AS head ON head.market_id = candles.market_id;

-- The workers' user may be one who can read and write rows and nothing else. The days of a table are partitions, so making
-- and dropping them is done by these procedures, with the rights of whoever migrated. Days are counted from 1970 (UTC).
-- Whoever makes or drops one holds a lock, so that two never do it at once.
DROP PROCEDURE IF EXISTS make_day;
CREATE PROCEDURE make_day(IN of_table VARCHAR(64), IN day BIGINT) SQL SECURITY DEFINER MODIFIES SQL DATA
BEGIN
    DECLARE day_us BIGINT DEFAULT 86400000000;
    DECLARE lower_us, upper_us BIGINT;
    DECLARE covering VARCHAR(64);
    DECLARE lock_name VARCHAR(64) DEFAULT CONCAT('days ', MD5(DATABASE()));
    DECLARE EXIT HANDLER FOR SQLEXCEPTION BEGIN
        DO RELEASE_LOCK(lock_name);
        RESIGNAL;
    END;
    IF coalesce(GET_LOCK(lock_name, 10), 0) <> 1 THEN
        SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'another one is making or dropping a day';
    END IF;
    -- The partition whose times the day is among, and the times themselves; null where they have no end.
    SELECT max(CAST(partition_description AS SIGNED)) INTO lower_us FROM information_schema.partitions
    WHERE table_schema = DATABASE() AND table_name = of_table AND partition_description <> 'MAXVALUE'
      AND CAST(partition_description AS SIGNED) <= day * day_us;
    SELECT min(CAST(partition_description AS SIGNED)) INTO upper_us FROM information_schema.partitions
    WHERE table_schema = DATABASE() AND table_name = of_table AND partition_description <> 'MAXVALUE'
      AND CAST(partition_description AS SIGNED) > day * day_us;
    SELECT partition_name INTO covering FROM information_schema.partitions
    WHERE table_schema = DATABASE() AND table_name = of_table
      AND partition_description = coalesce(CAST(upper_us AS CHAR), 'MAXVALUE');
    IF covering IS NULL THEN
        SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'no table of days';
    END IF;
    IF NOT (lower_us <=> day * day_us AND upper_us <=> (day + 1) * day_us) THEN
        SET @make_day = CONCAT('ALTER TABLE ', of_table, ' REORGANIZE PARTITION ', covering, ' INTO (');
        IF NOT lower_us <=> day * day_us THEN
            SET @make_day = CONCAT(@make_day, 'PARTITION before_', DATE_FORMAT(FROM_DAYS(719528 + day), '%Y%m%d'),
                                          ' VALUES LESS THAN (', day * day_us, '), ');
        END IF;
        SET @make_day = CONCAT(@make_day, 'PARTITION day_', DATE_FORMAT(FROM_DAYS(719528 + day), '%Y%m%d'),
                                      ' VALUES LESS THAN (', (day + 1) * day_us, ')');
        IF upper_us IS NULL THEN
            SET @make_day = CONCAT(@make_day, ', PARTITION later VALUES LESS THAN MAXVALUE');
        ELSEIF upper_us <> (day + 1) * day_us THEN
            SET @make_day = CONCAT(@make_day, ', PARTITION ', covering, ' VALUES LESS THAN (', upper_us, ')');
        END IF;
        SET @make_day = CONCAT(@make_day, ')');
        PREPARE making FROM @make_day;
        EXECUTE making;
        DEALLOCATE PREPARE making;
    END IF;
    DO RELEASE_LOCK(lock_name);
END;

-- Below the first day that is kept one partition remains, and is empty: the first day would cover all times before it else,
-- and could not be made a day again without moving its rows.
DROP PROCEDURE IF EXISTS drop_days_before;
CREATE PROCEDURE drop_days_before(IN of_table VARCHAR(64), IN first_kept_day BIGINT) SQL SECURITY DEFINER MODIFIES SQL DATA
BEGIN
    DECLARE day_us BIGINT DEFAULT 86400000000;
    DECLARE upper_us BIGINT;
    DECLARE names LONGTEXT;
    DECLARE lock_name VARCHAR(64) DEFAULT CONCAT('days ', MD5(DATABASE()));
    DECLARE EXIT HANDLER FOR SQLEXCEPTION BEGIN
        DO RELEASE_LOCK(lock_name);
        RESIGNAL;
    END;
    IF coalesce(GET_LOCK(lock_name, 10), 0) <> 1 THEN
        SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'another one is making or dropping a day';
    END IF;
    SET SESSION group_concat_max_len = 1000000;
    SELECT GROUP_CONCAT(partition_name ORDER BY partition_ordinal_position), max(CAST(partition_description AS SIGNED))
    INTO names, upper_us FROM information_schema.partitions
    WHERE table_schema = DATABASE() AND table_name = of_table AND partition_description <> 'MAXVALUE'
      AND CAST(partition_description AS SIGNED) <= first_kept_day * day_us;
    IF names LIKE '%day\_%' THEN
        SET @drop_days = CONCAT('ALTER TABLE ', of_table, ' TRUNCATE PARTITION ', names);
        PREPARE dropping FROM @drop_days;
        EXECUTE dropping;
        SET @drop_days = CONCAT(
            'ALTER TABLE ', of_table, ' REORGANIZE PARTITION ', names, ' INTO (PARTITION before_',
            DATE_FORMAT(FROM_DAYS(719528 + upper_us DIV day_us), '%Y%m%d'), ' VALUES LESS THAN (', upper_us, '))');
        PREPARE dropping FROM @drop_days;
        EXECUTE dropping;
        DEALLOCATE PREPARE dropping;
    END IF;
    DO RELEASE_LOCK(lock_name);
END;
