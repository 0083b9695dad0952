-- Programs that know at least this version of the tables can work with them as they are; see PostgreSQL's.
CREATE TABLE compatibility (
    only_row INTEGER PRIMARY KEY DEFAULT 1 CHECK (only_row = 1),
    oldest_known_version INTEGER NOT NULL
);
INSERT INTO compatibility (oldest_known_version) VALUES (8);
