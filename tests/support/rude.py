"""A simulated node whose peers have chosen the worst words and numbers that they could."""

from __future__ import annotations

import math

from msgspec.structs import replace
from taskmessenger.handle import Alarm, KindRow, SessionRow, Snapshot, WorkerRow
from taskmessenger.screens.fake import FakeNode

ESCAPE = "\x1b]0;taken over\x07"
MARKUP = "[bold red]loud[/] [@click=app.quit]x[/"
WORDS = f"{MARKUP}{ESCAPE}\u202e\nsecond"


class RudeNode(FakeNode):
    """The same fleet, and one worker, kind, link and alarm more."""

    def snapshot(self) -> Snapshot:
        """With words of strangers in it, as a node that does not clean them would send them."""
        found = super().snapshot()
        load = {"cpu": math.inf, "memory": math.nan, "rss": -1.0, WORDS: 1.0}
        worker = WorkerRow(
            WORDS, "connected", WORDS, WORDS, (WORDS,), 4, 8, 9, 9, load=load, labels={WORDS: WORDS},
            version=WORDS, expires_at=found.at - 5,
        )  # fmt: skip
        link = SessionRow(
            7_000, WORDS, WORDS, WORDS, WORDS, WORDS, WORDS, state=WORDS, since=found.at,
            ended_at=found.at, reason=WORDS,
        )  # fmt: skip
        assert found.fleet is not None
        waiting = {**found.fleet.waiting, WORDS: WORDS}
        return replace(
            found,
            fleet=replace(found.fleet, waiting=waiting, paused=(f"kind:{WORDS}",), degraded=WORDS),
            workers=(worker, *found.workers),
            sessions=(link, *found.sessions),
            kinds=(KindRow(WORDS, 5, 99), *found.kinds),
            alarms=(Alarm("error", "rude", WORDS, found.at, f"kind:{WORDS}"), *found.alarms),
        )
