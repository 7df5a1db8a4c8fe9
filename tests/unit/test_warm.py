"""Which children are kept warm, for whom, and which are ended instead."""

import asyncio

import pytest
from taskmessenger.runtimes import warm as module
from taskmessenger.runtimes.limits import Limits
from taskmessenger.runtimes.loading import Kind
from taskmessenger.runtimes.spawn import Given
from taskmessenger.runtimes.warm import SPARE, Warm


@pytest.fixture
def anyio_backend():
    return "asyncio"


class Child:
    """Stands for a process that has started."""

    def __init__(self, kind, jobs=1):
        self.kind, self.jobs, self.alive = kind, jobs, True

    def kill(self):
        self.alive = False


def a_kind(name="a", *, fresh=False):
    return Kind(
        name=name,
        runtime="process",
        handler=print,
        is_async=False,
        takes_context=False,
        source="",
        fresh=fresh,
    )


A, B = a_kind("a"), a_kind("b")


@pytest.fixture
async def made(tmp_path):
    """For two children at work, which are worn after three jobs."""
    warm = Warm(2, Limits(), Given(), tmp_path, max_jobs=3)
    yield warm
    for child in list(warm._idle):
        warm.forget(child.kind.name)
    warm._spawner.shutdown()


def started(warm, *children):
    """These have been started and have had their jobs."""
    warm._children.update(children)
    for child in children:
        warm.keep(child)
    return children


async def test_the_child_used_last_is_taken_first_and_only_for_its_own_kind(made):
    first, second, other = started(made, Child(A), Child(A), Child(B))
    assert made.take(A) is second
    assert made.take(A) is first
    assert made.take(A) is None
    assert made.take(B) is other
    assert made.take(a_kind("c")) is None


async def test_a_child_that_has_loaded_another_version_is_ended(made):
    (old,) = started(made, Child(A))
    assert made.take(a_kind("a")) is None
    assert not old.alive


async def test_a_child_that_died_while_it_waited_is_passed_over(made):
    good, dead = started(made, Child(A), Child(A))
    dead.alive = False
    assert made.take(A) is good


async def test_a_dead_child_is_not_kept(made):
    dead = Child(A)
    dead.alive = False
    started(made, dead)
    assert made.take(A) is None


@pytest.mark.parametrize(("jobs", "lives"), [(2, True), (3, False), (4, False)])
async def test_a_child_lives_for_so_many_jobs(made, jobs, lives):
    (child,) = started(made, Child(A, jobs))
    assert child.alive is lives
    assert (made.take(A) is child) is lives


@pytest.mark.parametrize(("jobs", "lives"), [(0, True), (1, False)])
async def test_a_child_of_a_kind_that_wants_new_ones_is_kept_only_before_its_job(made, jobs, lives):
    kind = a_kind("f", fresh=True)
    (child,) = started(made, Child(kind, jobs))
    assert (made.take(kind) is child) is lives
    assert child.alive is lives


async def test_after_the_end_nothing_is_kept(made):
    made.close()
    (child,) = started(made, Child(A))
    assert not child.alive
    assert made.take(A) is None


async def test_of_too_many_that_wait_the_one_that_has_waited_longest_is_ended(made):
    children = started(made, *(Child(a_kind(str(number))) for number in range(2 + SPARE)))
    assert all(child.alive for child in children)
    started(made, Child(A))
    assert [child.alive for child in children] == [False, *[True] * (1 + SPARE)]
    assert made.take(A) is not None


async def test_when_a_kind_has_changed_those_that_wait_for_its_work_are_ended_and_no_others(made):
    one, two, other = started(made, Child(A), Child(A), Child(B))
    made.forget("a")
    made.forget("never heard of")
    assert (one.alive, two.alive, other.alive) == (False, False, True)
    assert made.take(A) is None
    assert made.take(B) is other


async def test_a_child_that_waits_too_long_for_work_is_ended_and_one_that_found_some_is_not(
    made, monkeypatch
):
    monkeypatch.setattr(module, "IDLE_SECONDS", 0.0)
    taken, left = started(made, Child(A), Child(B))
    assert made.take(A) is taken
    await asyncio.sleep(0.01)
    assert (taken.alive, left.alive) == (True, False)
    assert made.take(B) is None


async def test_one_that_somebody_gave_up_waiting_for_is_kept_when_it_has_started(made):
    async def good():
        return Child(A, jobs=0)

    async def bad():
        raise OSError

    starting = [asyncio.create_task(one()) for one in (good, bad)]
    for one in starting:
        made.keep_started(one)
    await asyncio.wait(starting)
    await asyncio.sleep(0)
    assert made.take(A) is starting[0].result()
    assert isinstance(starting[1].exception(), OSError)
