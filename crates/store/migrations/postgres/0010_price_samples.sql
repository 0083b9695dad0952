-- Prices that exchanges tell now and then have no ids: one is known by its market and its time. They are counted apart from trades.
-- Older programs go on: the check of partition_offsets is wider than the one that they know.
ALTER TABLE partition_offsets
    ADD COLUMN samples_new bigint NOT NULL DEFAULT 0,
    ADD COLUMN samples_duplicate bigint NOT NULL DEFAULT 0,
    DROP CONSTRAINT partition_offsets_check,
    ADD CONSTRAINT partition_offsets_check CHECK (
        records_read = trades_new + trades_duplicate + samples_new + samples_duplicate + records_set_aside);

CREATE TABLE ticker_head (
    market_id     integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    venue         text NOT NULL,
    symbol        text NOT NULL,
    version       bigint NOT NULL DEFAULT 0,
    samples_held  bigint NOT NULL DEFAULT 0,
    last_time     timestamptz,
    last_price    numeric(30, 8),
    UNIQUE (venue, symbol)
) WITH (fillfactor = 50);
COMMENT ON TABLE ticker_head IS 'One row a market whose price is sampled: the lock of every flush that touches it, and what is newest.';
COMMENT ON COLUMN ticker_head.version IS 'Raised by every flush in commit order; every row of the flush carries it.';

CREATE TABLE tickers (
    market_id         integer NOT NULL,
    sample_time       timestamptz NOT NULL,
    version           bigint NOT NULL,
    price             numeric(30, 8) NOT NULL,
    day_open          numeric(30, 8),
    day_high          numeric(30, 8),
    day_low           numeric(30, 8),
    day_volume        numeric(30, 8),
    day_quote_volume  numeric(38, 16),
    day_trade_count   bigint,
    received_time     timestamptz NOT NULL,
    PRIMARY KEY (market_id, sample_time)
) PARTITION BY RANGE (sample_time);
COMMENT ON TABLE tickers IS 'One row a sample of a price, by day. tickers_by_symbol has the names.';
COMMENT ON COLUMN tickers.day_volume IS 'Base currency traded in the 24 hours before, where the exchange says it: a window that rolls.';

CREATE TABLE sample_candles (
    market_id     integer NOT NULL REFERENCES ticker_head,
    interval_s    integer NOT NULL,
    open_time     timestamptz NOT NULL,
    version       bigint NOT NULL,
    open          numeric(30, 8) NOT NULL,
    high          numeric(30, 8) NOT NULL,
    low           numeric(30, 8) NOT NULL,
    close         numeric(30, 8) NOT NULL,
    price_sum     numeric(30, 8) NOT NULL,
    average       numeric(30, 8) NOT NULL,
    sample_count  bigint NOT NULL,
    first_time    timestamptz NOT NULL,
    last_time     timestamptz NOT NULL,
    PRIMARY KEY (market_id, interval_s, open_time)
) WITH (fillfactor = 80);
COMMENT ON TABLE sample_candles IS 'One row a window with samples. sample_candles_by_symbol has the names.';
COMMENT ON COLUMN sample_candles.average IS 'The mean price of the samples, half-even to 8 decimals.';

CREATE VIEW tickers_by_symbol AS
SELECT head.venue, head.symbol, tickers.sample_time, tickers.price, tickers.day_open, tickers.day_high, tickers.day_low,
       tickers.day_volume, tickers.day_quote_volume, tickers.day_trade_count, tickers.received_time, tickers.version
FROM tickers JOIN ticker_head AS head USING (market_id);

CREATE VIEW latest_tickers AS
SELECT venue, symbol, last_time AS sample_time, last_price AS price, samples_held, version
FROM ticker_head WHERE last_time IS NOT NULL;
COMMENT ON VIEW latest_tickers IS 'The newest sample of each market.';

CREATE VIEW sample_candles_by_symbol AS
SELECT head.venue, head.symbol,
       CASE WHEN candles.interval_s % 86400 = 0 THEN candles.interval_s / 86400 || 'd'
            WHEN candles.interval_s % 3600 = 0 THEN candles.interval_s / 3600 || 'h'
            WHEN candles.interval_s % 60 = 0 THEN candles.interval_s / 60 || 'm'
            ELSE candles.interval_s || 's' END AS "interval",
       candles.interval_s, candles.open_time, candles.open, candles.high, candles.low, candles.close, candles.average,
       candles.sample_count, candles.first_time, candles.last_time, candles.version
FROM sample_candles AS candles JOIN ticker_head AS head USING (market_id);
COMMENT ON VIEW sample_candles_by_symbol IS 'The candles of windows with samples: whether a sample is missing nobody can tell.';

-- As make_trades_day and drop_trades_day, for either table of days. Programs before this version go on with those.
CREATE FUNCTION make_day(of_table text, day date) RETURNS void LANGUAGE plpgsql SECURITY DEFINER AS $function$
DECLARE
    day_table text := of_table || '_' || to_char(day, 'YYYYMMDD');
    time_column text := CASE of_table WHEN 'trades' THEN 'trade_time' WHEN 'tickers' THEN 'sample_time' END;
BEGIN
    IF time_column IS NULL THEN
        RAISE EXCEPTION 'no table of days: %', of_table;
    END IF;
    -- Whoever makes or drops a day holds this lock, so that two never do it at once.
    PERFORM pg_advisory_xact_lock(hashtext(current_schema() || '.' || of_table));
    IF NOT EXISTS (SELECT FROM pg_inherits
                   WHERE inhparent = of_table::regclass AND inhrelid = to_regclass(day_table)) THEN
        -- Made apart and then attached: that needs no lock that a running flush would hold up.
        EXECUTE format('CREATE TABLE IF NOT EXISTS %I (LIKE %I INCLUDING ALL)', day_table, of_table);
        EXECUTE format('ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', of_table, day_table,
                       day::timestamp AT TIME ZONE 'UTC', (day + 1)::timestamp AT TIME ZONE 'UTC');
    END IF;
END
$function$;
COMMENT ON FUNCTION make_day IS 'Makes the partition of trades or tickers for a day (UTC), where it is not there.';

CREATE FUNCTION drop_day(of_table text, day date) RETURNS void LANGUAGE plpgsql SECURITY DEFINER AS $function$
BEGIN
    IF of_table NOT IN ('trades', 'tickers') THEN
        RAISE EXCEPTION 'no table of days: %', of_table;
    END IF;
    PERFORM pg_advisory_xact_lock(hashtext(current_schema() || '.' || of_table));
    -- Dropping waits for the flushes under way; who comes later must not wait behind it for long.
    PERFORM set_config('lock_timeout', '2s', true);
    EXECUTE format('DROP TABLE IF EXISTS %I', of_table || '_' || to_char(day, 'YYYYMMDD'));
END
$function$;
COMMENT ON FUNCTION drop_day IS 'Drops the partition of trades or tickers for a day (UTC), where it is there.';

DO $block$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['make_day', 'drop_day'] LOOP
        EXECUTE format('ALTER FUNCTION %I(text, date) SET search_path = %I, pg_temp', name, current_schema());
        EXECUTE format('ALTER FUNCTION %I(text, date) OWNER TO %I', name,
                       (SELECT pg_get_userbyid(relowner) FROM pg_class WHERE oid = 'trades'::regclass));
        EXECUTE format('REVOKE ALL ON FUNCTION %I(text, date) FROM PUBLIC', name);
    END LOOP;
END
$block$;
