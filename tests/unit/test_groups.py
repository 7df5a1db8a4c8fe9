"""Which of several errors is told."""

from __future__ import annotations

from taskmessenger.core.errors import Conflict, Unreachable
from taskmessenger.core.groups import the_one


def test_a_foreseen_error_is_told_as_itself_however_deep_it_lies() -> None:
    error = Conflict("in use")
    assert the_one(ExceptionGroup("", [ExceptionGroup("", [error])])) is error


def test_of_several_foreseen_errors_the_first_is_told() -> None:
    first = Unreachable("gone")
    assert the_one(ExceptionGroup("", [first, Conflict("in use")])) is first


def test_what_nobody_foresaw_comes_before_what_follows_from_it() -> None:
    cause = BrokenPipeError()
    assert the_one(BaseExceptionGroup("", [Unreachable("gone"), cause])) is cause


def test_several_bugs_stay_together() -> None:
    group = ExceptionGroup("", [ValueError(), KeyError()])
    assert the_one(group) is group
