-- Programs of two versions work side by side while one follows the other. A migration that only adds (tables, columns that
-- may be left out, indexes, views) changes nothing here. One that takes something away, or lays down another meaning, comes
-- a version after the programs have stopped to need it, and says so:
--     UPDATE compatibility SET oldest_known_version = N;
CREATE TABLE compatibility (
    only_row bool PRIMARY KEY DEFAULT true CHECK (only_row),
    oldest_known_version bigint NOT NULL
);
COMMENT ON TABLE compatibility IS 'Programs that know at least this version of the schema can work with it as it is.';
INSERT INTO compatibility (oldest_known_version) VALUES (8);
