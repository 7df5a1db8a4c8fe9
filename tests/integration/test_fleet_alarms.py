"""Why nothing happens is known to everybody who asks, and is an alarm also when nobody does."""

from __future__ import annotations

import logging
from time import time

import pytest
from taskmessenger.core.errors import UsageError
from taskmessenger.handle import Alarm, Group
from taskmessenger.roles import alarms, lookout

from tests.support.fleet import Fleet, a_fleet, packed, results, running, submit, until


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looks come as fast as they can."""
    monkeypatch.setattr(lookout, "LOOK_SECONDS", 0.05)
    monkeypatch.setattr(alarms, "RETURN_SECONDS", 0.2)


def held(fleet: Fleet) -> dict[tuple[str, str], Alarm]:
    """Alarms that hold, although nobody has asked for them."""
    return {(one.code, one.scope): one for one in fleet.manager.view.telemetry.lookout.now}


def happened(fleet: Fleet) -> list[tuple[str, str]]:
    """Beginnings and ends of alarms, as events."""
    journal = fleet.manager.writer.journal
    events = (event for _, event in journal.since(0, journal.next).events)
    return [(what, who) for what, who, _, _ in events if what.startswith("alarm.")]


async def test_a_thread_that_does_not_stop_is_told_everywhere_until_it_does(tmp_path, caplog) -> None:
    caplog.set_level(logging.INFO)
    async with a_fleet(tmp_path) as fleet, fleet.operator() as remote:
        node = await fleet.worker(capacity=1)
        (deaf,) = await submit(remote, "deaf", 1)
        await running(fleet, deaf)
        await remote.command("cancel", ids=[deaf])
        (task,) = await submit(remote, "echo", 2)
        await until(lambda: ("stuck", f"worker:{node.id}") in held(fleet))
        words = "has all its slots taken by tasks that do not stop"
        reason = f"worker {node.id}, the only one that offers `echo`, {words}"
        detail = await remote.detail(task)
        assert (detail.waits_for, detail.held_up) == (reason, True)
        assert (await remote.status()).waiting == {"echo": f"1 task waits: {reason}"}
        (row,) = await remote.workers()
        assert row.held_up == words
        ((stuck, kind, since),) = row.stuck
        assert (stuck, kind) == (deaf, "deaf")
        assert since <= time()
        await until(lambda: ("stuck", "kind:echo") in held(fleet))
        text = f"worker {node.id}: task {deaf} of `deaf` does not stop and keeps its slot"
        assert text in held(fleet)["stuck", f"worker:{node.id}"].text
        node.puppet.lingers[deaf].set()
        assert len(await results(remote, [task])) == 1
        await until(lambda: not held(fleet))
        told = happened(fleet)
        for scope in (f"worker:{node.id}", "kind:echo"):
            assert [what for what, who in told if who == scope] == ["alarm.began", "alarm.ended"]
        lines = [record.getMessage() for record in caplog.records if record.name.endswith("lookout")]
        assert sum(text in line for line in lines) == 2
        assert sum(line.startswith("alarm: over: ") for line in lines) == 2


async def test_an_alarm_of_before_a_restart_is_as_old_as_the_task_that_waits(tmp_path) -> None:
    async with a_fleet(tmp_path) as fleet:
        async with fleet.operator() as remote:
            (task,) = await submit(remote, "nobody", 1)
            await until(lambda: ("no_worker", "kind:nobody") in held(fleet))
            submitted = (await remote.detail(task)).row.submitted_at
        await fleet.stop()
        await fleet.start()
        await until(lambda: ("no_worker", "kind:nobody") in held(fleet))
        assert held(fleet)["no_worker", "kind:nobody"].since == pytest.approx(submitted, abs=0.01)


async def test_a_task_for_a_worker_that_cannot_take_it_says_why(tmp_path) -> None:
    async with a_fleet(tmp_path) as fleet, fleet.operator() as remote:
        node = await fleet.worker("w-one-0001", capacity=1)
        await fleet.member("worker", "w-off-0002")
        await fleet.member("worker", "w-gone-0003")
        await remote.command("revoke", scope="w-gone-0003")
        for worker, kind, words in (
            ("w-nobody", "echo", "does not exist: see `taskmessenger worker ls`"),
            ("w-off-0002", "echo", "is offline"),
            ("w-gone-0003", "echo", "was revoked"),
            (node.id, "nobody", "does not offer `nobody`"),
        ):
            (task,) = await submit(remote, kind, 1, worker=worker)
            reason = f"worker {worker}, the only one that may, {words}"
            assert (await remote.detail(task)).waits_for == reason
            assert reason in (await remote.status()).waiting[kind]
            await until(lambda scope=f"worker:{worker}": ("no_target", scope) in held(fleet))


@pytest.mark.parametrize("field", ["batch", "worker", "kind"])
async def test_a_name_that_is_empty_is_refused(tmp_path, field: str) -> None:
    async with a_fleet(tmp_path) as fleet, fleet.operator() as remote:
        group = {"kind": "echo", "payloads": [packed(1)], field: ""}
        with pytest.raises(UsageError):
            await remote.submit([Group(**group)])
        for verb in ("limit", "drain", "revoke"):
            with pytest.raises(UsageError):
                await remote.command(verb, scope="worker:")
