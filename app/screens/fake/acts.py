"""What operators do to the simulated fleet."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from ...core.errors import Conflict, NotFound, UsageError
from ...core.text import count
from ...handle import Act, ActDone
from ...handle.acting import with_slack
from .fleet import Fleet
from .journal import FakeJournal
from .search import Search
from .tasks import FakeTasks

MOST: Final = 10_000
"""Tasks that one act applies to."""
SHOWN: Final = 1_000
TASK_VERBS: Final = frozenset({"cancel", "retry", "resubmit", "edit", "set_priority"})
OPEN_END: Final = float("inf")


class Acts:
    """Carries them out."""

    def __init__(self, tasks: FakeTasks, fleet: Fleet, search: Search, journal: FakeJournal) -> None:
        self._tasks, self._fleet, self._search, self._journal = tasks, fleet, search, journal
        self._table: dict[str, Callable[[Act, float], ActDone]] = {
            "cancel": self._cancel,
            "retry": self._retry,
            "resubmit": self._again,
            "edit": self._edit,
            "set_priority": self._set_priority,
            "pause": self._pause,
            "resume": self._resume,
            "drain": self._drain,
            "limit": self._limit,
            "revoke": self._revoke,
            "approve": self._approve,
        }

    def do(self, act: Act, now: float) -> ActDone:
        """At once.

        Raises:
            UsageError: no such verb. NotFound: no such task or worker. Conflict: more match than expected.
        """
        if act.verb not in self._table:
            raise UsageError(f"`{act.verb}` is not a command of this manager")
        if act.query is not None and act.verb not in TASK_VERBS:
            raise UsageError(f"`{act.verb}` is not done to tasks: give a scope, not a filter")
        done = self._table[act.verb](act, now)
        subject = act.scope or (str(act.ids[0]) if len(act.ids) == 1 else "")
        self._journal.add(now, "info", f"operator.{act.verb}", subject, f"applied to {done.count}")
        return done

    def _ids(self, act: Act, now: float) -> list[int]:
        if act.query is None:
            for task_id in act.ids:
                self._tasks.check(task_id, now)
            return list(act.ids)
        found: list[int] = []
        for task_id in self._search.matching(act.query, now):
            if len(found) == MOST:
                break
            found.append(task_id)
        if act.expected is not None and len(found) > with_slack(act.expected):
            match = count(len(found), "task matches", "tasks match")
            raise Conflict(f"{match} by now, and {act.expected:,} were confirmed: look again")
        return found

    def _cancel(self, act: Act, now: float) -> ActDone:
        return _done([i for i in self._ids(act, now) if self._tasks.cancel(i, now)])

    def _retry(self, act: Act, now: float) -> ActDone:
        return _done([i for i in self._ids(act, now) if self._tasks.retry(i, now)])

    def _again(self, act: Act, now: float) -> ActDone:
        return _done([self._tasks.again(i, now, act.payload) for i in self._ids(act, now)])

    def _edit(self, act: Act, now: float) -> ActDone:
        if act.query is not None or len(act.ids) != 1 or act.payload is None:
            raise UsageError("an edit is of one task and brings its new payload")
        (task_id,) = self._ids(act, now)
        if not self._tasks.state(task_id, now).final:
            raise Conflict(f"task {task_id} has not ended: cancel it first, then edit it")
        return self._again(act, now)

    def _set_priority(self, act: Act, now: float) -> ActDone:
        ids = [i for i in self._ids(act, now) if not self._tasks.state(i, now).final]
        self._tasks.priorities.update(dict.fromkeys(ids, int(act.number)))
        return _done(ids)

    def _pause(self, act: Act, now: float) -> ActDone:
        scope = _checked(act.scope)
        if scope not in self._fleet.paused:
            self._fleet.paused.add(scope)
            self._tasks.pauses.setdefault(scope, []).append((now, OPEN_END))
        return ActDone()

    def _resume(self, act: Act, now: float) -> ActDone:
        scope = _checked(act.scope)
        name = scope.removeprefix("worker:")
        if self._fleet.states.get(name) == "paused":
            self._fleet.states[name] = "connected"
        if scope in self._fleet.paused:
            self._fleet.paused.discard(scope)
            spans = self._tasks.pauses[scope]
            spans[-1] = (spans[-1][0], now)
        return ActDone()

    def _worker(self, act: Act) -> str:
        name = act.scope.removeprefix("worker:")
        if self._fleet.states.get(name) not in {"connected", "paused", "draining"}:
            raise NotFound(f"worker {name} is not connected")
        return name

    def _drain(self, act: Act, now: float) -> ActDone:
        name = self._worker(act)
        self._fleet.states[name] = "draining"
        self._fleet.drains[name] = now + act.number
        return ActDone()

    def _limit(self, act: Act, now: float) -> ActDone:
        name = act.scope.removeprefix("worker:")
        if name not in self._fleet.states:
            raise NotFound(f"there is no worker {name}: see `taskmessenger worker ls`")
        if act.number < 0:
            self._fleet.limits.pop(name, None)
        else:
            self._fleet.limits[name] = int(act.number)
        return ActDone()

    def _revoke(self, act: Act, now: float) -> ActDone:
        name = act.scope.removeprefix("worker:")
        if self._fleet.pending.pop(name, None) is not None:
            self._fleet.decided[name] = "was revoked"
            return ActDone()
        if name not in self._fleet.states or self._fleet.states[name] == "revoked":
            raise NotFound(f"{name} is not a member, or was revoked before: see `taskmessenger worker ls`")
        self._fleet.states[name] = "revoked"
        return ActDone()

    def _approve(self, act: Act, now: float) -> ActDone:
        name = act.scope.removeprefix("worker:")
        self._fleet.tick(now)
        if self._fleet.pending.pop(name, None) is not None:
            self._fleet.decided[name] = "is approved already"
        elif name in self._fleet.decided:
            raise Conflict(f"{name} {self._fleet.decided[name]}: there is nothing to approve")
        else:
            raise NotFound(
                f"nobody called {name} waits for approval: see `taskmessenger worker ls --pending`"
            )
        return ActDone()


def _done(ids: list[int]) -> ActDone:
    return ActDone(len(ids), ids[:SHOWN])


def _checked(scope: str) -> str:
    what, _, name = scope.partition(":")
    if scope != "all" and not (what in {"kind", "worker"} and name):
        raise UsageError(f"`{scope}` is no scope that can be paused: those are all, kind:NAME and worker:ID")
    return scope
