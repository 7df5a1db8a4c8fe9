"""Of several things that went wrong at once, the one that says most is told."""

from __future__ import annotations

import anyio
import pytest
from taskmessenger.core.errors import PeerError, TaskMessengerError, TimedOut, Unreachable
from taskmessenger.net.protocol import PeerSilent
from taskmessenger.net.session import Ended, _first

BROKE, LEFT, SILENT = PeerError("it broke the protocol"), Ended("left", "bye"), PeerSilent("no sign of life")
LOST, GONE = Unreachable("the link broke"), anyio.EndOfStream()


@pytest.mark.parametrize(
    ("errors", "told"),
    [
        ([GONE, LOST, SILENT, LEFT, BROKE], BROKE),
        ([GONE, LOST, SILENT, LEFT], LEFT),
        ([LOST, SILENT, GONE], SILENT),
        ([GONE, LOST], LOST),
        ([TimedOut("slow"), GONE], None),
    ],
)
def test_a_crime_before_a_goodbye_before_silence_before_a_broken_link(
    errors: list[Exception], told: TaskMessengerError | None
) -> None:
    for order in (errors, errors[::-1]):
        nested = ExceptionGroup("two", [order[0], ExceptionGroup("more", order[1:])])
        found = _first(nested)
        assert found is told if told is not None else isinstance(found, TimedOut)


def test_a_connection_that_only_ended_is_told_as_that() -> None:
    found = _first(ExceptionGroup("one", [anyio.EndOfStream(), anyio.BrokenResourceError()]))
    assert isinstance(found, Unreachable)
    assert str(found) == "the connection ended"
