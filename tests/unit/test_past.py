"""What a worker drops when its manager's data are of another life, and when it does not."""

import logging
from types import SimpleNamespace

import pytest
from taskmessenger.net.security import marks
from taskmessenger.roles.past import Past

THIS, OTHER = b"1" * 16, b"2" * 16


class Keeper:
    """Stands for an outbox, or for slots."""

    def __init__(self, number, order):
        self.number, self.order = number, order

    def forget(self):
        self.order.append("forgotten")
        number, self.number = self.number, 0
        return number


def compare(folder, epoch, outcomes=0, leases=0):
    """How often something was dropped when this worker met a manager with that epoch."""
    order = []
    past = Past(folder, Keeper(outcomes, order), Keeper(leases, order))
    past.compare(SimpleNamespace(epoch=epoch, mark=epoch + b"rest"))
    return len(order)


@pytest.fixture
def folder(tmp_path):
    tmp_path.chmod(0o700)
    return tmp_path


def test_the_same_life_drops_nothing_and_another_one_drops_all(folder):
    assert compare(folder, THIS, 1, 1) == 2, "it knew of none before"
    assert compare(folder, THIS, 1, 1) == 0
    assert marks.read(folder) == THIS + b"rest"
    assert compare(folder, OTHER, 1, 1) == 2
    assert compare(folder, THIS, 1, 1) == 2
    assert marks.read(folder) == THIS + b"rest"


@pytest.mark.parametrize(
    ("outcomes", "leases", "words"),
    [
        (0, 0, None),
        (1, 0, "1 outcome that it has not got and 0 leases are dropped"),
        (0, 2, "0 outcomes that it has not got and 2 leases are dropped"),
        (3, 1, "3 outcomes that it has not got and 1 lease are dropped"),
    ],
)
def test_a_warning_counts_what_was_dropped_if_anything_was(folder, caplog, outcomes, leases, words):
    caplog.set_level(logging.INFO)
    compare(folder, OTHER, outcomes, leases)
    told = [record.getMessage() for record in caplog.records]
    assert [words in line for line in told] == ([True] if words else [])
