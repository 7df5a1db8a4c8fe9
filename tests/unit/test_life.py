"""Which life of the data a start belongs to."""

from __future__ import annotations

import pytest
from taskmessenger.core.life import ID_GAP, Life, Start, first_id_after
from taskmessenger.store.life import new_id

E1, E2 = b"1" * 16, b"2" * 16


def life(*numbers: int, epoch: bytes = E1, others: tuple[bytes, ...] = ()) -> Life:
    starts = {number: bytes([number]) * 16 for number in numbers}
    return Life(Start(epoch, numbers[-1], starts[numbers[-1]]), starts, frozenset((epoch, *others)))


@pytest.mark.parametrize(
    ("told", "future"),
    [
        (Start(E1, 5, bytes([5]) * 16), False),
        (Start(E1, 4, bytes([4]) * 16), False),
        (Start(E1, 2, new_id()), False),  # older than what is remembered: nobody can say
        (Start(E1, 5, new_id()), True),  # a copy was started twice
        (Start(E1, 6, new_id()), True),
        (Start(E2, 1, new_id()), False),  # an epoch that is over
        (Start(new_id(), 1, new_id()), True),
    ],
)
def test_a_start_that_the_database_never_had_is_from_a_future_that_was_taken_back(told, future) -> None:
    assert life(3, 4, 5, others=(E2,)).is_from_the_future(told) is future


def test_a_start_is_the_same_after_it_was_told() -> None:
    start = Start(E1, 7, E2)
    assert Start.unpacked(start.packed()) == start
    assert Start.unpacked(start.packed() + b"x") is None


@pytest.mark.parametrize("next_id", [1, 2, ID_GAP, ID_GAP + 1, 5 * ID_GAP + 7])
def test_a_new_epoch_leaves_out_at_least_the_gap(next_id: int) -> None:
    assert first_id_after(next_id) - next_id >= ID_GAP
