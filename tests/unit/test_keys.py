"""What one idempotency key stands for: kind, payload and how it runs; not under which name, nor how soon."""

from __future__ import annotations

import anyio
import pytest
from msgspec.structs import replace
from taskmessenger.core.errors import Conflict
from taskmessenger.handle import Group
from taskmessenger.roles import submission

from tests.support.fleet import a_fleet, packed

FIRST = Group("echo", [packed("x")], ["k"], priority=1, timeout=5.0, batch="monday")


@pytest.mark.parametrize("now", [{"batch": "tuesday"}, {"priority": -7}, {"batch": None}, {"timeout": 5}])
async def test_batch_and_priority_may_be_others(fleet_of_one, now) -> None:
    remote, ids = fleet_of_one
    again = await remote.submit([replace(FIRST, **now)])
    assert (again.ids, again.duplicates) == (ids, 1)


@pytest.mark.parametrize(
    ("now", "words"),
    [
        ({"kind": "other"}, "another kind"),
        ({"payloads": [packed("y")]}, "another payload"),
        ({"kind": "other", "payloads": [packed("y")]}, "another kind and another payload"),
        ({"timeout": 6.0}, "another timeout, delay, worker or number of attempts"),
        ({"timeout": None}, "another timeout"),
        ({"delay": 1.0}, "another timeout, delay"),
        ({"max_attempts": 2}, "number of attempts"),
    ],
)
async def test_a_conflict_says_what_differs(fleet_of_one, now, words) -> None:
    remote, (task,) = fleet_of_one
    with pytest.raises(Conflict) as refused:
        await remote.submit([replace(FIRST, **now)])
    assert str(refused.value).startswith(f"key `k` belongs to task {task}, which has ")
    assert words in str(refused.value)
    assert ("payload" in str(refused.value)) == ("payloads" in now)


async def test_large_payloads_are_told_apart_beside_the_loop(fleet_of_one, monkeypatch) -> None:
    monkeypatch.setattr(submission, "AT_ONCE", 10)
    remote, _ = fleet_of_one
    large = Group("echo", [packed("x" * 100), packed("y" * 100)], ["a", "b"])
    first = await remote.submit([large])
    assert (await remote.submit([large])).ids == first.ids
    with pytest.raises(Conflict, match="another payload"):
        await remote.submit([replace(large, keys=["b", "a"])])


@pytest.fixture(scope="module")
def anyio_backend():
    return "asyncio"


@pytest.fixture(scope="module")
async def fleet_of_one(tmp_path_factory, anyio_backend):
    async with a_fleet(tmp_path_factory.mktemp("keys")) as fleet, fleet.operator() as remote:
        with anyio.fail_after(30):
            yield remote, (await remote.submit([FIRST])).ids
