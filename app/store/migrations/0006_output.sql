-- What attempts wrote: the last part of it, in pieces as they came. `start` says how many bytes of the attempt's
-- output lie before a piece. One that had to make room keeps its row, so that it is known how much there was.
CREATE TABLE output (
    number  INTEGER PRIMARY KEY,
    task    INTEGER NOT NULL REFERENCES task (id) ON DELETE CASCADE,
    attempt INTEGER NOT NULL,
    start   INTEGER NOT NULL CHECK (start >= 0),
    size    INTEGER NOT NULL CHECK (size >= 0),
    data    BLOB    NOT NULL CHECK (length(data) = size)
) STRICT;

CREATE INDEX output_task ON output (task, attempt);
CREATE INDEX output_kept ON output (number) WHERE size > 0;
