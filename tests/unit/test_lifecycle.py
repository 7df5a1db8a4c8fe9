"""The table of states."""

from __future__ import annotations

from itertools import pairwise, product

import pytest
from taskmessenger.core.errors import IllegalTransition, UsageError
from taskmessenger.core.lifecycle import FINAL, OPEN, TRANSITIONS, TaskState, check

S = TaskState


def test_every_state_is_in_the_table_and_either_open_or_final() -> None:
    assert set(TRANSITIONS) == set(TaskState) == {*OPEN, *FINAL}
    assert not set(OPEN) & set(FINAL)
    assert all(state.final == (state in FINAL) for state in TaskState)


def test_the_stored_numbers_never_change() -> None:
    words = ["scheduled", "queued", "leased", "running", "succeeded", "failed", "timed_out", "cancelled"]
    assert [state.word for state in TaskState] == words
    assert [state.value for state in TaskState] == list(range(8))


@pytest.mark.parametrize(
    "life",
    [
        (S.QUEUED, S.LEASED, S.RUNNING, S.SUCCEEDED),
        (S.SCHEDULED, S.QUEUED, S.LEASED, S.SUCCEEDED),
        (S.RUNNING, S.SCHEDULED, S.QUEUED, S.LEASED, S.RUNNING, S.FAILED, S.QUEUED),
        (S.RUNNING, S.QUEUED, S.LEASED, S.QUEUED, S.CANCELLED),
        (S.LEASED, S.SCHEDULED, S.CANCELLED),
        (S.RUNNING, S.TIMED_OUT, S.QUEUED),
    ],
)
def test_a_life_along_the_table_is_allowed(life: tuple[TaskState, ...]) -> None:
    assert [check(state, wanted) for state, wanted in pairwise(life)] == list(life[1:])


@pytest.mark.parametrize(("state", "wanted"), list(product(FINAL, TaskState)))
def test_an_outcome_is_left_only_by_a_person_who_retries_what_failed(
    state: TaskState, wanted: TaskState
) -> None:
    if state in {S.FAILED, S.TIMED_OUT} and wanted is S.QUEUED:
        assert check(state, wanted) is wanted
        return
    with pytest.raises(IllegalTransition, match=f"a {state.word} task cannot become {wanted.word}"):
        check(state, wanted)


@pytest.mark.parametrize("state", [S.SCHEDULED, S.QUEUED])
@pytest.mark.parametrize("wanted", [S.RUNNING, S.SUCCEEDED, S.FAILED, S.TIMED_OUT])
def test_what_nobody_has_neither_runs_nor_ends_by_itself(state: TaskState, wanted: TaskState) -> None:
    with pytest.raises(IllegalTransition):
        check(state, wanted)


def test_every_open_task_can_be_cancelled_and_every_state_can_be_reached() -> None:
    assert all(S.CANCELLED in TRANSITIONS[state] for state in OPEN)
    assert set().union(*TRANSITIONS.values()) == set(TaskState)


@pytest.mark.parametrize("word", ["timed_out", "TIMED_OUT", " Timed-Out "])
def test_a_state_is_found_by_its_word(word: str) -> None:
    assert TaskState.of(word) is S.TIMED_OUT


def test_an_unknown_word_is_answered_with_the_known_ones() -> None:
    with pytest.raises(UsageError, match="no state is called `done`; states are scheduled, queued, leased"):
        TaskState.of("done")
