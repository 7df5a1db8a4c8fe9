"""A question about tasks may be as large as it may be and no larger; nothing in it reaches the SQL."""

from __future__ import annotations

from typing import Any

import pytest
from taskmessenger.core.errors import UsageError
from taskmessenger.core.filter import Range
from taskmessenger.core.lifecycle import TaskState
from taskmessenger.handle import TaskQuery
from taskmessenger.store.conditions import (
    MAX_ID,
    MAX_IDS,
    MAX_PAGE,
    MAX_TEXT,
    MAX_TEXTS,
    MAX_VALUES,
    check_query,
    possible,
    stored_states,
)


def query(**given: Any) -> TaskQuery:
    return TaskQuery(**given)


AT_THE_LIMIT: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "a long text": ({"text": "x" * MAX_TEXT}, {"text": "x" * (MAX_TEXT + 1)}, f"longer than {MAX_TEXT}"),
    "a long error": (
        {"not_errors": ("x" * MAX_TEXT,)},
        {"not_errors": ("x" * (MAX_TEXT + 1),)},
        f"longer than {MAX_TEXT}",
    ),
    "many texts": (  # the one text counts too, if empty
        {"texts": ("x",) * (MAX_TEXTS - 1)},
        {"texts": ("x",) * MAX_TEXTS},
        f"more than {MAX_TEXTS} texts",
    ),
    "many ids": ({"ids": (1,) * MAX_IDS}, {"ids": (1,) * (MAX_IDS + 1)}, f"more than {MAX_IDS} ids"),
    "many ids left out": (
        {"not_ids": (1,) * MAX_IDS},
        {"not_ids": (1,) * (MAX_IDS + 1)},
        f"more than {MAX_IDS} ids",
    ),
    "many kinds": (
        {"kinds": ("k",) * MAX_VALUES},
        {"kinds": ("k",) * (MAX_VALUES + 1)},
        f"more than {MAX_VALUES} kinds",
    ),
    "many workers left out": (
        {"not_workers": ("w",) * MAX_VALUES},
        {"not_workers": ("w",) * (MAX_VALUES + 1)},
        f"more than {MAX_VALUES} workers",
    ),
    "many ranges": (
        {"ranges": (Range("attempt", 1),) * MAX_VALUES},
        {"ranges": (Range("attempt", 1),) * (MAX_VALUES + 1)},
        f"more than {MAX_VALUES} ranges",
    ),
}


@pytest.mark.parametrize(("most", "more", "says"), AT_THE_LIMIT.values(), ids=AT_THE_LIMIT.keys())
def test_what_is_at_the_limit_is_answered_and_what_is_beyond_it_is_not(
    most: dict[str, Any], more: dict[str, Any], says: str
) -> None:
    assert check_query(query(limit=7, **most)) == 7
    with pytest.raises(UsageError, match=says):
        check_query(query(**more))


@pytest.mark.parametrize(
    ("asked", "given"), [(-5, 1), (0, 1), (1, 1), (MAX_PAGE, MAX_PAGE), (10**9, MAX_PAGE)]
)
def test_a_page_has_at_least_a_row_and_at_most_so_many(asked: int, given: int) -> None:
    assert check_query(query(limit=asked)) == given


@pytest.mark.parametrize(
    "given", [{"text": "\ud800"}, {"kinds": ("\ud800",)}, {"not_errors": ("\udfff",)}], ids=str
)
def test_text_that_is_none_is_refused(given: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="not valid Unicode"):
        check_query(query(**given))


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"sort": "id; DROP TABLE task"}, "tasks cannot be sorted by `id; DROP TABLE task`"),
        ({"before": 5, "after": 1}, "not both"),
        ({"before": 5, "sort": "run"}, "go with the order of the ids alone"),
        ({"after": 5, "sort": "run"}, "go with the order of the ids alone"),
        ({"ranges": (Range("payload", 1),)}, "`payload` cannot be compared"),
    ],
    ids=str,
)
def test_what_cannot_be_answered_is_named(given: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        check_query(query(**given))


def test_only_ids_that_a_task_can_have_are_looked_for() -> None:
    assert possible([-1, 0, 1, MAX_ID, MAX_ID + 1, 2**70]) == [1, MAX_ID]


def test_a_state_is_looked_for_where_it_may_be_stored() -> None:
    assert stored_states(()) == ()
    assert TaskState.SUCCEEDED.value in stored_states((TaskState.SUCCEEDED.value,))
    assert stored_states((TaskState.FAILED.value,), (TaskState.FAILED.value,)) == (-1,), "nothing is in none"
    with pytest.raises(UsageError, match="there is no such task state"):
        stored_states((77,))
    with pytest.raises(UsageError, match="there is no such task state"):
        stored_states((), (77,))
