-- For pages in other orders than that of the ids. What is common is in no index, so that it costs nothing:
-- most tasks have priority 0, succeed at the first attempt, and are many only when they take less than a second.
CREATE INDEX task_kind ON task (kind);
CREATE INDEX task_priority ON task (priority) WHERE priority <> 0;
CREATE INDEX open_again ON open_task (attempt) WHERE attempt > 1;
CREATE INDEX ended_again ON ended (attempt) WHERE attempt > 1;
CREATE INDEX ended_slow ON ended (run_seconds) WHERE run_seconds >= 1;
