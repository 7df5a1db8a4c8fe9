"""Events and log: newest first, by level, searched, followed, with gaps, and the way to their subject."""

from __future__ import annotations

import pytest
from taskmessenger.handle import EventRow
from taskmessenger.screens.dialogs.message import Message
from taskmessenger.screens.event_log import EventLog, serious, subject
from taskmessenger.screens.event_rings import GAP, KEPT, KEPT_APART, EventRings
from taskmessenger.screens.fake import FakeNode
from taskmessenger.screens.widgets.grid import Grid

from tests.support.console import SMALL, opened, passed, press, text, type_text


def event(number: int, level: str = "info", what: str = "log", about: str = "", words: str = "") -> EventRow:
    return EventRow(number, float(number), level, what, about, words)


def shown(console) -> list[EventRow]:
    return list(console.view.query_one(Grid).table.rows)


async def test_the_newest_is_at_the_top_and_debug_is_left_out() -> None:
    async with opened(view="events", size=SMALL) as (_pilot, console, _node):
        rows = shown(console)
        assert rows[0].at >= rows[-1].at
        assert {row.level for row in rows} == {"info", "warning", "error"}
        assert "info and worse" in text(console)


async def test_it_follows_until_the_cursor_moves_and_again_with_f() -> None:
    async with opened(view="events") as (pilot, console, _node):
        grid = console.view.query_one(Grid)
        await passed(pilot, 5)
        first = grid.current().number
        await passed(pilot, 5)
        assert grid.current().number > first
        await press(pilot, "down", "down")
        held = grid.current().number
        await passed(pilot, 5)
        assert grid.current().number == held
        assert "stands still" in text(console)
        await press(pilot, "F")
        await passed(pilot, 5)
        assert grid.table.port.cursor == 0
        assert "follows" in text(console)
        await press(pilot, "down", "home")
        assert grid.table.following


async def test_a_list_that_follows_is_current_when_it_is_seen_again_though_nothing_happens_any_more() -> None:
    async with opened(view="events") as (pilot, console, _node):
        await console.go("workers")
        await passed(pilot, 5)
        newest = max(row.number for row in console.pulse.events if serious(row, "info"))
        await press(pilot, "6")
        assert "follows" in text(console)
        assert shown(console)[0].number == newest


async def test_l_goes_through_the_levels() -> None:
    async with opened(view="events") as (pilot, console, _node):
        await press(pilot, "l")
        assert {row.level for row in shown(console)} == {"warning", "error"}
        await press(pilot, "l")
        assert {row.level for row in shown(console)} == {"error"}
        await press(pilot, "l")
        assert "debug" in {row.level for row in shown(console)}
        assert "all levels" in text(console)


async def test_a_search_finds_words_and_columns() -> None:
    async with opened(view="events") as (pilot, console, _node):
        await press(pilot, "slash")
        await type_text(pilot, "what:task.failed hash\r")
        rows = shown(console)
        assert rows
        assert {row.what for row in rows} == {"task.failed"}
        assert all("hash" in row.text for row in rows)
        before = len(rows)
        await passed(pilot, 200)
        assert len(shown(console)) > before, "new ones come in"
        await press(pilot, "slash")
        await type_text(pilot, "nothing:like-this\r")
        assert "no column is called `nothing`" in text(console)


async def test_enter_goes_to_the_task() -> None:
    async with opened(view="events") as (pilot, console, _node):
        row = console.view.current()
        assert row.subject.isdecimal()
        await press(pilot, "enter")
        assert (console.view.NAME, console.view.argument) == ("task", row.subject)


async def test_the_log_is_read_in_full() -> None:
    async with opened(view="events") as (pilot, console, _node):
        await press(pilot, "slash")
        await type_text(pilot, "what:log\r")
        await press(pilot, "l", "l", "l", "enter")
        assert "the store took 41 ms" in text(console)
        assert isinstance(console.screen, Message)


async def test_what_was_missed_is_a_line_in_the_list() -> None:
    async with opened(FakeNode(events=4_000), view="events") as (pilot, console, _node):
        await press(pilot, "l", "l")  # with all levels what is kept would begin after the hole
        await passed(pilot, 10)
        rows = shown(console)
        gaps = [row for row in rows if row.what == GAP]
        assert gaps
        assert "missed here" in gaps[0].text
        assert "missed" in text(console)


async def test_events_of_the_time_on_another_screen_are_there_on_the_way_back() -> None:
    async with opened(view="events") as (pilot, console, _node):
        await press(pilot, "3")
        for _ in range(3):
            await passed(pilot, 2)
        await press(pilot, "6")
        numbers = [event.number for event in console.view._log.rows]
        await press(pilot, "l", "l", "l")
        numbers = [row.number for row in shown(console)]
        assert numbers == list(range(numbers[0], numbers[-1] - 1, -1)), "without a hole"


async def test_what_strangers_wrote_is_escaped() -> None:
    class Hostile(FakeNode):
        def events(self, cursor, limit=1_000):
            page = super().events(cursor, limit)
            nasty = EventRow(
                page.cursor - 1, self.now, "error", "log", "[b]\x1b[2J", "\x1b]52;c;eA==\x07[red]x\u202e"
            )
            return type(page)((*page.rows[:-1], nasty), page.cursor, page.missed) if page.rows else page

    async with opened(Hostile(), view="events", size=(160, 50)) as (pilot, console, _node):
        painted = text(console)
        assert "\x1b" not in painted
        assert "\u202e" not in painted
        assert "[red]x" in painted
        await press(pilot, "i")
        assert "[red]x" in text(console)
        assert "\x1b" not in text(console)


def test_a_hole_in_the_numbers_becomes_a_line() -> None:
    log = EventLog(lambda row: serious(row, "warning"))
    log.add([event(1), event(2, "error")])
    log.add([event(2, "error"), event(7, "info"), event(8, "error")])
    assert [(row.number, row.what) for row in log.rows] == [(8, "log"), (3, GAP), (2, "log")]
    assert log.rows[1].text.startswith("4 events missed")
    assert log.looked == 4


RARE = (
    event(0, "info", "scope.paused", "all"),
    event(1, "warning", "worker.disconnected", "w-1"),
    event(2, "warning", "log", "taskmessenger.store", "the disk is nearly full"),
    event(3, "error", "task.failed", "7"),
)


@pytest.mark.parametrize(
    ("what", "level", "washed"),
    [
        ("task.succeeded", "info", set()),
        ("task.failed", "error", {3}),
        ("log", "debug", set()),
        ("log", "error", {2}),
        ("worker.connected", "info", {0}),
        ("worker.lost", "error", {1}),
    ],
)
def test_a_flood_of_one_sort_of_event_washes_nothing_else_out(
    what: str, level: str, washed: set[int]
) -> None:
    kept, log = EventRings(), EventLog(lambda _: True)
    for rows in (RARE, [event(number, level, what) for number in range(4, 3 * KEPT)]):
        kept.add(rows)
        log.add(rows)
    seen_later = EventLog(lambda _: True)
    seen_later.add(kept, kept.thinned)
    wanted = {0, 1, 2, 3} - washed
    for rows in (log.rows, seen_later.rows, [*reversed(kept)]):
        assert {row.number for row in rows} & {0, 1, 2, 3} == wanted
        assert [row.number for row in rows] == sorted((row.number for row in rows), reverse=True)
        assert len(rows) <= KEPT + 6 * KEPT_APART
        assert GAP not in {row.what for row in rows}, "what was forgotten was not missed"


async def test_what_an_operator_did_is_on_the_screen_after_thousands_of_tasks() -> None:
    class Busy(FakeNode):
        def events(self, cursor, limit=1_000):
            page = super().events(cursor, limit)
            rare = {row.number: row for row in RARE}
            return type(page)(
                tuple(rare.get(row.number, event(row.number, "info", "task.succeeded")) for row in page.rows),
                page.cursor,
                page.missed,
            )

    async with opened(Busy(events=2_000), view="events") as (pilot, console, _node):
        for _ in range(12):
            await passed(pilot, 1)
        assert len(shown(console)) > KEPT
        await press(pilot, "slash")
        await type_text(pilot, "what:scope\r")
        assert [row.number for row in shown(console)] == [0]
        await press(pilot, "slash", "ctrl+u", "enter", "l")
        assert [row.number for row in shown(console)] == [3, 2, 1]


@pytest.mark.parametrize(
    ("row", "place"),
    [
        (event(1, what="task.failed", about="17"), ("task", "17")),
        (event(1, what="task.succeeded", about="w-1", words="12 tasks: 7-18, 23"), ("tasks", "id:7..23")),
        (event(1, what="task.submitted", about="hash", words="3 tasks"), ("tasks", 'kind:"hash"')),
        (event(1, what="task.leased", about="w-1"), ("tasks", 'worker:"w-1"')),
        (event(1, what="worker.lost", about="w-1"), ("worker", "w-1")),
        (event(1, what="scope.paused", about="worker:w-1"), ("worker", "w-1")),
        (event(1, what="scope.paused", about="kind:hash"), ("kinds", "")),
        (event(1, what="scope.paused", about="all"), ("overview", "")),
        (event(1, what="invite.made", about="7F3K"), ("invites", "")),
        (event(1, what="log", about="taskmessenger.store"), None),
    ],
)
def test_every_event_leads_to_what_it_is_about(row: EventRow, place: tuple[str, str] | None) -> None:
    assert subject(row, ["hash"]) == place
