-- Members that wait for an operator, and members that are forgotten when they leave. Who joined before this
-- did so with an invite that asked for neither.
ALTER TABLE invite ADD COLUMN approve INTEGER NOT NULL DEFAULT 0 CHECK (approve IN (0, 1));
ALTER TABLE invite ADD COLUMN ephemeral INTEGER NOT NULL DEFAULT 0 CHECK (ephemeral IN (0, 1));
ALTER TABLE peer ADD COLUMN pending INTEGER NOT NULL DEFAULT 0 CHECK (pending IN (0, 1));
ALTER TABLE peer ADD COLUMN ephemeral INTEGER NOT NULL DEFAULT 0 CHECK (ephemeral IN (0, 1));
ALTER TABLE peer ADD COLUMN fingerprint TEXT NOT NULL DEFAULT '';
