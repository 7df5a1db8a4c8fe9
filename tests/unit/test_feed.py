"""A feed keeps the newest, numbers what happened, and tells who was too slow how much was missed."""

from __future__ import annotations

from threading import Event, Thread

from taskmessenger.feed import Feed
from taskmessenger.handle import Snapshot


def feed(events: int = 0, capacity: int = 10) -> Feed:
    made = Feed(Snapshot(1.0, "manager"), capacity)
    made.add((float(n), "info", "task.failed", str(n), "") for n in range(events))
    return made


def test_nobody_wants_what_nobody_looked_at() -> None:
    one = feed()
    assert not one.wanted
    assert one.newest.at == 1.0
    assert not one.wanted
    one.snapshot()
    assert one.wanted


def test_the_newest_snapshot_is_given_out() -> None:
    one, newer = feed(), Snapshot(2.0, "manager")
    one.publish(newer)
    assert one.snapshot() is newer


def test_events_come_in_pages_from_a_cursor_on() -> None:
    one = feed(7)
    first = one.since(0, 3)
    assert [row.number for row in first.rows] == [0, 1, 2]
    rest = one.since(first.cursor, 100)
    assert [row.number for row in rest.rows] == [3, 4, 5, 6]
    assert (rest.cursor, rest.missed) == (7, 0)
    assert one.since(rest.cursor, 100).rows == ()


def test_a_slow_reader_is_told_how_many_events_it_missed() -> None:
    page = feed(25).since(5, 100)
    assert [row.number for row in page.rows] == list(range(15, 25))
    assert page.missed == 10


def test_what_was_forgotten_elsewhere_counts_as_missed() -> None:
    one = feed(3)
    one.skip(4)
    one.add([(9.0, "info", "log", "x", "after")])
    page = one.since(0, 100)
    assert [row.number for row in page.rows] == [0, 1, 2, 7]
    assert (page.cursor, page.missed) == (8, 4)


def test_a_cursor_from_the_future_starts_over_at_the_newest() -> None:
    page = feed(3).since(99, 100)
    assert (page.rows, page.cursor, page.missed) == ((), 3, 0)


def test_readers_on_other_threads_see_whole_events_in_order() -> None:
    one, stop, wrong = feed(capacity=64), Event(), list[str]()

    def read() -> None:
        cursor = 0
        while not stop.is_set():
            page = one.since(cursor, 50)
            numbers = [row.number for row in page.rows]
            if numbers != sorted(set(numbers)) or any(row.subject != str(row.number) for row in page.rows):
                wrong.append(repr(numbers))
            if page.cursor - cursor != len(numbers) + page.missed:
                wrong.append(f"{page.cursor} - {cursor} != {len(numbers)} + {page.missed}")
            cursor = page.cursor

    readers = [Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    for number in range(20_000):
        one.add([(0.0, "info", "x", str(number), "")])
    stop.set()
    for reader in readers:
        reader.join(30)
    assert not wrong
