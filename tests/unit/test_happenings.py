"""Events of the pool become lines that a person can read, however many tasks they are about."""

from __future__ import annotations

import pytest
from taskmessenger.roles.happenings import logged, told


def test_an_event_of_one_task_is_about_the_task() -> None:
    assert told(1.5, ("failed", "w-1", [7], "")) == (1.5, "error", "task.failed", "7", "w-1")


def test_an_event_of_many_tasks_is_about_the_worker() -> None:
    _, _, name, subject, text = told(1.0, ("succeeded", "w-1", [*range(7, 19), 23, 25], ""))
    assert (name, subject) == ("task.succeeded", "w-1")
    assert text == "14 tasks: 7-18, 23, 25"


def test_tasks_that_go_back_say_why_and_when_they_are_tried_again() -> None:
    failed = told(1.0, ("requeued", "echo", [7], "failed 1.2"))
    assert failed[1:] == ("warning", "task.requeued", "7", "echo, its attempt failed, again in 1.2 s")
    text = told(1.0, ("requeued", "echo", [7, 8], "lost 0.8 to 1.2"))[4]
    assert text == "2 tasks: 7-8, its worker was lost, again in 0.8 to 1.2 s"


def test_what_an_operator_wanted_is_no_warning() -> None:
    assert told(1.0, ("cancelled", "", [7, 8], ""))[1] == "info"
    back = told(1.0, ("requeued", "echo", [7], "released"))
    assert (back[1], back[4]) == ("info", "echo, its worker gave it back")


def test_a_text_stays_short_however_many_tasks_there_are() -> None:
    text = told(1.0, ("lost", "w-1", list(range(0, 100_000, 2)), "lease expired"))[4]
    assert text.startswith("50,000 tasks: 0, 2, 4")
    assert len(text) < 120


def test_what_a_peer_says_cannot_reach_the_terminal() -> None:
    text = told(1.0, ("disconnected", "w-1", (), "\x1b[2Jbye"))[4]
    assert text.isprintable()


@pytest.mark.parametrize(
    ("event", "name"),
    [
        (("joined", "w", (), "tcp://h:1"), "worker.connected"),
        (("paused", "kind:a", (), ""), "scope.paused"),
        (("draining", "w", (), "30"), "worker.draining"),
        (("hitherto.unknown", "w", (), ""), "hitherto.unknown"),
    ],
)
def test_events_have_names(event, name) -> None:
    assert told(1.0, event)[2] == name


def test_lines_of_the_log_are_events_too() -> None:
    assert logged([(1.0, "critical", "store", "the disk")]) == [(1.0, "error", "log", "store", "the disk")]
