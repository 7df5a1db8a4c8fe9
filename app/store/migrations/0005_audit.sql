-- Who did what. Rows are only added, and cut off at the old end; each has the hash of the one before.
CREATE TABLE audit (
    number   INTEGER PRIMARY KEY,
    at       REAL    NOT NULL,
    who      TEXT    NOT NULL,
    role     TEXT    NOT NULL,
    verb     TEXT    NOT NULL,
    object   TEXT    NOT NULL,
    count    INTEGER NOT NULL,
    filter   TEXT    NOT NULL,
    origin   TEXT    NOT NULL,
    outcome  TEXT    NOT NULL,
    times    INTEGER NOT NULL,
    previous TEXT    NOT NULL,
    hash     TEXT    NOT NULL
) STRICT;
