"""Which payloads stay in memory."""

from __future__ import annotations

from unittest.mock import patch

import taskmessenger.core.effects as e
import taskmessenger.core.stimuli as s
from taskmessenger.core.pool import Pool, check
from taskmessenger.core.pool.payloads import KEEP_ONE, SMALL

OPTIONS = s.Options(kind="echo")


def submitted(pool: Pool, *payloads: bytes) -> list[e.Effect]:
    effects = pool.handle([s.Submit(OPTIONS, list(payloads))], 1.0, 1.0).effects
    check(pool)
    return effects


def test_a_payload_that_is_too_large_is_left_to_the_store() -> None:
    pool = Pool()
    submitted(pool, bytes(10), bytes(SMALL + 1), bytes(KEEP_ONE + 1))
    assert [task.payload and len(task.payload) for task in pool.tasks.values()] == [10, SMALL + 1, None]
    assert pool.kept.size == SMALL + 1


def test_a_lease_of_the_same_batch_carries_it_all_the_same() -> None:
    pool = Pool()
    offered = s.Offered(1, frozenset({"echo"}), frozenset(), 4, 4)
    pool.handle([s.WorkerJoined(1, "w", b"i", fresh=True), offered, s.Holding(1, [])], 0.0, 0.0)
    (assigned,) = [one for one in submitted(pool, bytes(KEEP_ONE + 1)) if isinstance(one, e.Assign)]
    assert assigned.leases[0][3] == bytes(KEEP_ONE + 1)
    assert pool.tasks[1].payload is None


def test_when_too_much_is_kept_the_newest_are_left_to_the_store() -> None:
    with patch("taskmessenger.core.pool.payloads.KEEP_ALL", 5_000):
        pool = Pool()
        submitted(pool, bytes(3_000))
        submitted(pool, bytes(3_000))
        assert [task.payload is None for task in pool.tasks.values()] == [False, True]


def test_what_has_ended_counts_no_more() -> None:
    pool = Pool()
    submitted(pool, bytes(3_000), bytes(4_000))
    pool.handle([s.Cancel([1])], 2.0, 2.0)
    check(pool)
    assert pool.kept.size == 4_000
