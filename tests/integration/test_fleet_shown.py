"""What is shown of workers and kinds is what is so at that moment, whoever asks."""

from __future__ import annotations

from taskmessenger.handle import Act, KindRow, WorkerRow
from taskmessenger.net.messages import Look
from taskmessenger.remote import Remote

from tests.support.fleet import Fleet, a_fleet, results, running, submit
from tests.support.nodes import until_so
from tests.support.runtimes import until


async def the_worker(remote: Remote) -> WorkerRow:
    (row,) = await remote.workers()
    return row


async def kind(fleet: Fleet, name: str) -> KindRow:
    """As consoles see it."""
    telemetry = fleet.manager.view.telemetry
    await telemetry.refresh()
    return next((row for row in telemetry.feed.snapshot().kinds if row.name == name), KindRow(name, -1))


async def test_a_worker_is_shown_as_it_is_through_its_life(tmp_path) -> None:
    async with a_fleet(tmp_path) as fleet, fleet.operator() as remote:
        node = await fleet.worker(capacity=2)
        ids = await submit(remote, "hold", 1)
        await running(fleet, *ids)
        await until_so(lambda: _measured(remote))
        row = await the_worker(remote)
        assert (row.state, row.capacity, row.held, row.running) == ("connected", 2, 1, 1)
        assert (row.transport, set(row.kinds)) == ("tcp", set(node.puppet.KINDS))
        assert row.last_heard is not None
        assert 0 <= row.last_heard < 60
        assert row.expires_at is not None
        for scope in ("all", f"worker:{node.id}"):
            await remote.act(Act("pause", scope=scope))
            assert (await the_worker(remote)).state == "paused"
            await remote.act(Act("resume", scope=scope))
            assert (await the_worker(remote)).state == "connected"
        node.puppet.finish(ids[0])
        await until(lambda: fleet.pool.workers[node.id].share.done == 1)
        await node.kill()
        await until(
            lambda: fleet.pool.workers.get(node.id) is None or not fleet.pool.workers[node.id].session
        )
        gone = await the_worker(remote)
        assert gone.state in {"away", "offline"}
        assert (gone.rtt, gone.last_heard, gone.done, dict(gone.load)) == (None, None, 1, {})
        assert fleet.manager.desk.workers_among({}) == [], "nor is one shown that is no member any more"
        await remote.act(Act("revoke", scope=node.id))
        await until_so(lambda: _is(remote, "revoked"))


async def test_the_pause_of_a_worker_itself_and_that_of_the_manager_are_two_facts(tmp_path, caplog) -> None:
    async with a_fleet(tmp_path) as fleet, fleet.operator() as remote:
        node = await fleet.worker()
        scope = f"worker:{node.id}"
        with caplog.at_level("INFO"):
            node.worker.pause()
        assert "paused by its own operator" in caplog.text
        await until_so(lambda: _paused_by(remote, "own"))
        await remote.act(Act("pause", scope=scope))
        assert await _paused_by(remote, "worker", "own")
        await remote.act(Act("resume", scope=scope))
        assert await _paused_by(remote, "own"), "the manager ends its own pause only"
        assert (await the_worker(remote)).state == "paused"
        await remote.act(Act("pause", scope="all"))
        node.worker.resume()
        await until_so(lambda: _paused_by(remote, "fleet"))


async def _paused_by(remote: Remote, *who: str) -> bool:
    return (await the_worker(remote)).pauses == who


async def _measured(remote: Remote) -> bool:
    return (await the_worker(remote)).rtt is not None


async def _is(remote: Remote, state: str) -> bool:
    return (await the_worker(remote)).state == state


async def test_a_worker_that_went_with_a_task_is_away_until_its_leases_end(tmp_path) -> None:
    async with a_fleet(tmp_path) as fleet, fleet.operator() as remote:
        node = await fleet.worker()
        await running(fleet, *await submit(remote, "hold", 1))
        await node.kill()
        await until_so(lambda: _is(remote, "away"))
        row = await the_worker(remote)
        assert (row.held, row.rtt, row.last_heard) == (1, None, None)


async def test_a_kind_is_shown_with_what_waits_runs_and_ended_of_it(tmp_path) -> None:
    async with a_fleet(tmp_path) as fleet, fleet.operator() as remote:
        node = await fleet.worker(capacity=2)
        first, second, third = await submit(remote, "hold", 1, 2, 3)
        await running(fleet, first, second)

        async def numbers() -> tuple[int, ...]:
            row = await kind(fleet, "hold")
            return row.queued, row.running, row.done, row.failed, row.workers

        async def become(*expected: int) -> None:
            async def so() -> bool:
                return await numbers() == expected

            await until_so(so)

        await become(1, 2, 0, 0, 1)
        node.puppet.finish(first)
        await running(fleet, third)
        await become(0, 2, 1, 0, 1)
        await remote.act(Act("pause", scope="kind:hold"))
        await until_so(lambda: _paused(fleet, "hold"))
        assert not (await kind(fleet, "echo")).paused
        await remote.act(Act("resume", scope="kind:hold"))
        await remote.act(Act("pause", scope="all"))
        await until_so(lambda: _paused(fleet, "echo"))
        assert (await kind(fleet, "hold")).paused
        await remote.act(Act("resume", scope="all"))
        for task in (second, third):
            node.puppet.finish(task)
        failed = await submit(remote, "raise", 1)
        await results(remote, [second, third, *failed])
        await become(0, 0, 3, 0, 1)

        async def failed_once() -> bool:
            row = await kind(fleet, "raise")
            return (row.done, row.failed, row.p50) == (0, 1, None)

        await until_so(failed_once)
        for number in (0.001, 0.002, 0.003, 0.004):
            fleet.pool.tallies.of("raise").seconds.append(number)
        assert await _percentiles(fleet, "raise") == (0.003, 0.004)


async def _paused(fleet: Fleet, name: str) -> bool:
    return (await kind(fleet, name)).paused


async def _percentiles(fleet: Fleet, name: str) -> tuple[float | None, float | None]:
    await until_so(lambda: _is_measured(fleet, name))
    row = await kind(fleet, name)
    return row.p50, row.p95


async def _is_measured(fleet: Fleet, name: str) -> bool:
    return (await kind(fleet, name)).p50 is not None


async def test_who_looks_gets_what_they_do_not_have_and_no_more_events_than_they_asked_for(tmp_path) -> None:
    async with a_fleet(tmp_path) as fleet, fleet.operator() as remote:
        await submit(remote, "hold", 1)
        await submit(remote, "echo", 1)
        view = fleet.manager.view
        await until_so(lambda: _has_events(fleet))
        first = await view.look(Look(1, {}, 0, 1_000))
        names = {name for name, _, _ in first.parts}
        assert names == {"fleet", "kinds", "alarms", "history", "workers", "sessions"}
        again = await view.look(Look(2, {name: number for name, number, _ in first.parts}, 0, 1))
        assert len(again.events) == 1
        assert "workers" not in {name for name, _, _ in again.parts}, "nothing happened to any"
        other = {name: number for name, number, _ in first.parts if name != "workers"}
        assert "workers" in {name for name, _, _ in (await view.look(Look(3, other, 0, 0))).parts}
        assert (await view.look(Look(4, {}, 0, 0))).events == []


async def _has_events(fleet: Fleet) -> bool:
    return len((await fleet.manager.view.look(Look(1, {}, 0, 1_000))).events) >= 2
