"""`taskmessenger watch`: facts as lines, and only what is new."""

from __future__ import annotations

import json

from msgspec.structs import replace
from taskmessenger.cli.watch import MAX_ROWS, Fact, Watcher
from taskmessenger.handle import EventPage, EventRow
from taskmessenger.screens.fake import FakeNode

NONE = EventPage((), 0)


def looks(watcher: Watcher, node: FakeNode, page: EventPage = NONE) -> list[Fact]:
    return list(watcher.look(node.snapshot(), page))


def test_the_first_look_tells_of_everything() -> None:
    node = FakeNode()
    facts = looks(Watcher(), node)
    assert {"fleet", "kind", "worker"} <= {fact.about for fact in facts}
    snapshot = node.snapshot()
    assert sum(fact.about == "worker" for fact in facts) == len(snapshot.workers)
    assert sum(fact.about == "kind" for fact in facts) == len(snapshot.kinds)


def test_the_second_look_tells_the_fleet_and_what_has_changed() -> None:
    node, watcher = FakeNode(), Watcher()
    looks(watcher, node)
    assert [fact.about for fact in looks(watcher, node)] == ["fleet"]


def test_who_leaves_is_told_once() -> None:
    node, watcher = FakeNode(), Watcher()
    looks(watcher, node)
    fewer = replace(node.snapshot(), workers=node.snapshot().workers[1:])
    facts = list(watcher.look(fewer, NONE))
    assert [fact.words for fact in facts if fact.about == "worker"] == [
        f"{node.snapshot().workers[0].id} is not listed any more"
    ]
    assert [fact.about for fact in watcher.look(fewer, NONE)] == ["fleet"]


def test_a_manager_that_is_away_is_told_once_and_so_is_its_return() -> None:
    node, watcher = FakeNode(), Watcher()
    looks(watcher, node)
    node.away()
    assert [fact.about for fact in looks(watcher, node)] == ["away"]
    assert looks(watcher, node) == []
    node.back()
    assert looks(watcher, node)[0].about == "back"


def test_events_below_the_level_are_left_out_and_missed_ones_are_counted() -> None:
    rows = tuple(
        EventRow(n, 0.0, level, "log", "", level) for n, level in enumerate(["debug", "info", "error"])
    )
    facts = looks(Watcher("warning"), FakeNode(), EventPage(rows, 3, missed=7))
    assert [fact.words for fact in facts if fact.about == "event"] == ["error: log  error"]
    assert [fact.data for fact in facts if fact.about == "missed"] == [{"number": 7}]


def test_a_large_fleet_does_not_flood() -> None:
    facts = looks(Watcher(), FakeNode(workers=MAX_ROWS + 50))
    told = [fact for fact in facts if fact.about == "worker"]
    assert len(told) == MAX_ROWS + 1
    assert told[-1].words == "and 50 more that changed"


def test_every_line_is_one_line_of_printable_text() -> None:
    row = EventRow(
        1, 0.0, "error", "task.failed", "7", "bad\n\x1b[2Jtext \u202e tm1-ABCDE-FGHJK-MNPQR-STVWX-YZ012"
    )
    facts = looks(Watcher(), FakeNode(), EventPage((row,), 2))
    for fact in facts:
        assert fact.text().isprintable()
        assert json.loads(fact.json())["about"] == fact.about
        assert fact.json().isascii()


def test_it_begins_with_now_unless_the_past_is_wanted() -> None:
    node = FakeNode()
    now = node.snapshot().at
    rows = (EventRow(1, now - 60, "info", "log", "", "old"), EventRow(2, now + 1, "info", "log", "", "new"))
    page = EventPage(rows, 3, missed=7)
    told = [fact.words for fact in looks(Watcher(history=False), node, page) if fact.about == "event"]
    assert told == ["info: log  new"]
    assert "missed" not in {fact.about for fact in looks(Watcher(history=False), node, page)}
    assert sum(fact.about == "event" for fact in looks(Watcher(), node, page)) == 2
