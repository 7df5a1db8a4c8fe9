"""The ring of events: no gap is hidden, no reader can hold it up."""

from __future__ import annotations

import tracemalloc

from hypothesis import given
from hypothesis import strategies as st
from taskmessenger.core.effects import kept
from taskmessenger.core.journal import Journal
from taskmessenger.roles.happenings import told


def journal(events: int, capacity: int = 10) -> Journal[int]:
    made: Journal[int] = Journal(capacity)
    made.extend(range(events))
    return made


def test_a_reader_gets_every_event_once_and_a_place_to_go_on() -> None:
    ring = journal(3)
    first = ring.since(0)
    assert (first.events, first.cursor, first.missed) == ((0, 1, 2), 3, 0)
    ring.extend([3])
    assert ring.since(first.cursor).events == (3,)
    assert ring.since(4).events == ()


def test_a_slow_reader_is_told_how_many_events_it_missed() -> None:
    page = journal(25).since(5)
    assert (page.events[0], page.missed, page.cursor) == (15, 10, 25)


def test_a_page_is_no_longer_than_was_asked_for() -> None:
    page = journal(9).since(2, limit=3)
    assert (page.events, page.cursor, page.missed) == ((2, 3, 4), 5, 0)


def test_a_cursor_from_the_future_starts_over_at_the_newest() -> None:
    page = journal(3).since(99)
    assert (page.events, page.cursor, page.missed) == ((), 3, 0)


def test_an_empty_journal_has_nothing_to_say() -> None:
    page = journal(0).since(0)
    assert (page.events, page.cursor, page.missed) == ((), 0, 0)


def test_the_ring_never_grows_beyond_its_capacity() -> None:
    ring = journal(100_000, capacity=7)
    assert ring.next == 100_000
    assert len(ring.since(0, limit=100_000).events) == 7


@given(
    st.lists(st.one_of(st.integers(0, 12), st.tuples(st.integers(1, 9))), max_size=40),
    st.integers(1, 8),
)
def test_what_was_read_and_what_was_missed_is_everything(
    steps: list[int | tuple[int]], capacity: int
) -> None:
    """A number appends so many events; a tuple reads a page of at most that length."""
    ring: Journal[int] = Journal(capacity)
    cursor = accounted = 0
    for step in steps:
        if isinstance(step, int):
            ring.extend(range(ring.next, ring.next + step))
            continue
        page = ring.since(cursor, limit=step[0])
        assert list(page.events) == list(range(page.cursor - len(page.events), page.cursor))
        accounted += page.missed + len(page.events)
        cursor = page.cursor
        assert accounted == cursor <= ring.next


def test_what_is_kept_of_an_event_takes_eight_bytes_for_each_task_and_says_the_same() -> None:
    ids = list(range(1_000_000, 1_050_000, 5))
    event = ("succeeded", "w1", ids, "")
    tracemalloc.start()
    kept_one = kept(event)
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert size < 9 * len(ids)
    assert list(kept_one[2]) == ids
    assert told(1.0, kept_one) == told(1.0, event)
    few = ("succeeded", "w1", [1, 2], "")
    assert kept(few) is few
