-- A task is one row of `task`, written once, and one row of either `open_task` or `ended`.
-- Settling therefore rewrites no payload: it appends to `ended` and takes a few bytes out of `open_task`.
-- Large values come last in their rows, so that a scan does not read them.

CREATE TABLE task (
    id           INTEGER PRIMARY KEY,
    kind         TEXT    NOT NULL,
    priority     INTEGER NOT NULL,
    max_attempts INTEGER NOT NULL,
    timeout      REAL,
    batch        TEXT,
    key          TEXT,
    digest       BLOB,
    first_state  INTEGER NOT NULL CHECK (first_state IN (0, 1)),
    submitted_at REAL    NOT NULL,
    due_at       REAL,
    target       TEXT,
    payload      BLOB
) STRICT;

CREATE UNIQUE INDEX task_key ON task (key) WHERE key IS NOT NULL;
CREATE INDEX task_batch ON task (batch) WHERE batch IS NOT NULL;

-- Leases are not here: handing out a task writes a row of `lease_grant` for hundreds of them.
CREATE TABLE open_task (
    id      INTEGER PRIMARY KEY,
    state   INTEGER NOT NULL CHECK (state IN (0, 1)),
    attempt INTEGER NOT NULL DEFAULT 0,
    spent   INTEGER NOT NULL DEFAULT 0,
    crashes INTEGER NOT NULL DEFAULT 0,
    due_at  REAL
) STRICT;

CREATE TABLE ended (
    id          INTEGER PRIMARY KEY,
    state       INTEGER NOT NULL CHECK (state BETWEEN 4 AND 7),
    attempt     INTEGER NOT NULL,
    spent       INTEGER NOT NULL,
    worker      TEXT,
    finished_at REAL    NOT NULL,
    run_seconds REAL,
    result      BLOB,
    error       BLOB
) STRICT;

-- Payloads (part 0) and results (part 1) that are kept in files of their own; in their rows they are NULL.
CREATE TABLE large (
    task    INTEGER NOT NULL REFERENCES task (id),
    part    INTEGER NOT NULL CHECK (part IN (0, 1)),
    segment INTEGER NOT NULL,
    start   INTEGER NOT NULL,
    size    INTEGER NOT NULL,
    crc     INTEGER NOT NULL,
    PRIMARY KEY (task, part)
) STRICT, WITHOUT ROWID;

CREATE INDEX ended_badly ON ended (state) WHERE state <> 4;
CREATE INDEX ended_when ON ended (finished_at);

-- One attempt may be here twice: it was lost, and its outcome came late.
CREATE TABLE attempt (
    task       INTEGER NOT NULL REFERENCES task (id) ON DELETE CASCADE,
    attempt    INTEGER NOT NULL,
    how        TEXT    NOT NULL,
    worker     TEXT,
    started_at REAL,
    ended_at   REAL    NOT NULL,
    error      BLOB,
    PRIMARY KEY (task, attempt, how)
) STRICT, WITHOUT ROWID;

CREATE TABLE lease_grant (
    seq    INTEGER PRIMARY KEY,
    worker TEXT NOT NULL,
    leases BLOB NOT NULL
) STRICT;

CREATE TABLE setting (
    name  TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- The highest task id that was ever forgotten: an id is never given twice.
CREATE TABLE high_water (
    name  TEXT PRIMARY KEY,
    value INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE invite (
    id          TEXT    PRIMARY KEY,
    role        TEXT    NOT NULL,
    secret_hash BLOB    NOT NULL,
    uses        INTEGER NOT NULL,
    uses_left   INTEGER NOT NULL CHECK (uses_left >= 0),
    created_at  REAL    NOT NULL,
    expires_at  REAL    NOT NULL,
    revoked_at  REAL
) STRICT, WITHOUT ROWID;

CREATE TABLE peer (
    id          TEXT PRIMARY KEY,
    role        TEXT NOT NULL,
    serial      TEXT NOT NULL,
    invite      TEXT,
    enrolled_at REAL NOT NULL,
    expires_at  REAL NOT NULL,
    revoked_at  REAL,
    inventory   TEXT NOT NULL
) STRICT, WITHOUT ROWID;
