-- The workers' user may be one who can read and write rows and nothing else. The days of `trades` are tables, so making
-- and dropping them is done by these functions, with the rights of whoever owns the schema.

CREATE FUNCTION make_trades_day(day date) RETURNS void LANGUAGE plpgsql SECURITY DEFINER AS $function$
DECLARE
    day_table text := 'trades_' || to_char(day, 'YYYYMMDD');
BEGIN
    -- Whoever makes or drops a day holds this lock, so that two never do it at once.
    PERFORM pg_advisory_xact_lock(hashtext(current_schema() || '.trades'));
    IF NOT EXISTS (SELECT FROM pg_inherits
                   WHERE inhparent = 'trades'::regclass AND inhrelid = to_regclass(day_table)) THEN
        -- Made apart and then attached: that needs no lock that a running flush would hold up.
        EXECUTE format('CREATE TABLE IF NOT EXISTS %I (LIKE trades INCLUDING ALL)', day_table);
        EXECUTE format('ALTER TABLE trades ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', day_table,
                       day::timestamp AT TIME ZONE 'UTC', (day + 1)::timestamp AT TIME ZONE 'UTC');
    END IF;
END
$function$;
COMMENT ON FUNCTION make_trades_day IS 'Makes the partition of trades for a day (UTC), where it is not there.';

CREATE FUNCTION drop_trades_day(day date) RETURNS void LANGUAGE plpgsql SECURITY DEFINER AS $function$
DECLARE
    day_table text := 'trades_' || to_char(day, 'YYYYMMDD');
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext(current_schema() || '.trades'));
    -- Dropping waits for the flushes under way; who comes later must not wait behind it for long.
    PERFORM set_config('lock_timeout', '2s', true);
    EXECUTE format('DROP TABLE IF EXISTS %I', day_table);
END
$function$;
COMMENT ON FUNCTION drop_trades_day IS 'Drops the partition of trades for a day (UTC), where it is there.';

-- What such a function names must not be found in a place where its caller may put something else, and it may do no more
-- than the owner of the table, whoever migrates.
DO $block$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['make_trades_day', 'drop_trades_day'] LOOP
        EXECUTE format('ALTER FUNCTION %I(date) SET search_path = %I, pg_temp', name, current_schema());
        EXECUTE format('ALTER FUNCTION %I(date) OWNER TO %I', name,
                       (SELECT pg_get_userbyid(relowner) FROM pg_class WHERE oid = 'trades'::regclass));
        EXECUTE format('REVOKE ALL ON FUNCTION %I(date) FROM PUBLIC', name);
    END LOOP;
END
$block$;
