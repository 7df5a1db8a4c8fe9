-- Lives of the data. The newest epoch is the current one; `why` is for people.
CREATE TABLE epoch (
    number   INTEGER PRIMARY KEY,
    id       BLOB    NOT NULL UNIQUE CHECK (length(id) = 16),
    began_at REAL    NOT NULL,
    why      TEXT    NOT NULL
) STRICT;

-- Each start of a manager, with the epoch in which it was.
CREATE TABLE start (
    number     INTEGER PRIMARY KEY,
    id         BLOB    NOT NULL CHECK (length(id) = 16),
    epoch      INTEGER NOT NULL REFERENCES epoch (number),
    started_at REAL    NOT NULL
) STRICT;
