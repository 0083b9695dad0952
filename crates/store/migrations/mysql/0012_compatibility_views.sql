-- Views under the names that people's queries know from elsewhere stand in this schema or in another one, and are not part of
-- its version: the operator makes and drops them as database.compatibility says.
CREATE TABLE IF NOT EXISTS compatibility_views (
    view_schema  VARCHAR(64) NOT NULL,
    view_name    VARCHAR(64) NOT NULL,
    definition   TEXT NOT NULL,
    PRIMARY KEY (view_schema, view_name)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- Those queries ask for candles by a time, which no index on microseconds serves.
-- Older programs go on: what is dropped is the procedure that adds the columns where they are not there yet.
DROP PROCEDURE IF EXISTS add_open_time;
CREATE PROCEDURE add_open_time(IN of_table VARCHAR(64)) MODIFIES SQL DATA
BEGIN
    -- One after the other: together they would have the table copied.
    IF NOT EXISTS (SELECT 1 FROM information_schema.columns
                   WHERE table_schema = DATABASE() AND table_name = of_table AND column_name = 'open_time') THEN
        SET @adding = CONCAT(
            'ALTER TABLE ', of_table, ' ADD COLUMN open_time DATETIME AS ',
            '(TIMESTAMP''1970-01-01 00:00:00'' + INTERVAL (open_time_us DIV 1000000) SECOND) VIRTUAL');
        PREPARE adding FROM @adding;
        EXECUTE adding;
    END IF;
    IF NOT EXISTS (SELECT 1 FROM information_schema.statistics
                   WHERE table_schema = DATABASE() AND table_name = of_table AND column_name = 'open_time') THEN
        SET @adding = CONCAT('ALTER TABLE ', of_table, ' ADD INDEX ', of_table, '_by_time (interval_s, open_time)');
        PREPARE adding FROM @adding;
        EXECUTE adding;
        DEALLOCATE PREPARE adding;
    END IF;
END;
CALL add_open_time('candles');
CALL add_open_time('sample_candles');
DROP PROCEDURE add_open_time;
