"""What tasks print is kept with their ends and shown, whichever way they run, whatever ends them."""

from __future__ import annotations

from taskmessenger.handle import TaskOutput
from taskmessenger.net import messages as m
from taskmessenger.remote import Remote
from taskmessenger.runtimes.base import Ended, Job

from tests.support.fleet import Fleet, Puppet, Real, a_fleet, packed, results, running, submit
from tests.support.hostile import a_bad_worker, lease
from tests.support.nodes import until_so
from tests.support.runtimes import until


async def text(remote: Remote, task: int, attempt: int = 0) -> str:
    return (await remote.output(task, attempt)).data.decode()


async def test_what_a_task_printed_is_shown_after_its_end_in_every_runtime(tmp_path) -> None:
    async with a_fleet(tmp_path, max_attempts=2) as fleet, fleet.operator(patience=30) as remote:
        await fleet.worker(runtime=Real(tmp_path / "run"))
        kinds = {"print_sync": "print", "print_async": "print", "last_words": ["here is why\n", 3], "echo": 1}
        printed = [(await submit(remote, kind, payload))[0] for kind, payload in kinds.items()]
        await results(remote, printed)
        plain = "printed é\\ud800\nbytes\nlines\nerror\n"
        assert await text(remote, printed[1]) == plain
        assert sorted((await text(remote, printed[0])).splitlines()) == sorted(plain.splitlines())
        died = await remote.detail(printed[2], 0)
        assert died.row.attempt == 2, died
        assert [await text(remote, printed[2], attempt) for attempt in (1, 2)] == ["here is why\n"] * 2
        assert died.output == await remote.output(printed[2])
        assert (await remote.output(printed[3])) == TaskOutput(printed[3], 0)
        await fleet.kill()
        await fleet.start()
        async with fleet.operator() as again:
            assert await text(again, printed[1]) == plain


class Writer(Puppet):
    """`echo` writes its payload first; `raise` writes more than can be kept, and fails."""

    def __init__(self) -> None:
        super().__init__()
        self.report = None

    async def run(self, job: Job) -> Ended:
        if job.kind == "hold":
            self.report(job.task, job.attempt, None, "", b"so far\n")
            return await super().run(job)
        self.report(job.task, job.attempt, None, "", job.payload if job.kind == "echo" else b"x" * 100_000)
        self.report(job.task, job.attempt, None, "", b"\nattempt %d\n" % job.attempt)
        return await super().run(job)


async def writers(fleet: Fleet) -> Writer:
    puppet = Writer()
    node = await fleet.worker(puppet=puppet)
    puppet.report = node.worker.report
    return puppet


async def test_every_attempt_has_its_own_and_what_runs_shows_the_newest(tmp_path) -> None:
    async with a_fleet(tmp_path, max_attempts=3) as fleet, fleet.operator() as remote:
        puppet = await writers(fleet)
        (bad,) = await submit(remote, "raise", None)
        await results(remote, [bad])
        found = await remote.output(bad)
        assert found.written == tuple((n, 100_011, 65_536) for n in (1, 2, 3))
        assert (found.attempt, found.start) == (3, 100_011 - 65_536)
        assert (await text(remote, bad, 2)).endswith("x\nattempt 2\n")
        detail = await remote.detail(bad, 0)
        assert detail.output.data == found.data[-len(detail.output.data) :]
        assert detail.output.start > found.start, "with all else comes only the end of it"
        (held,) = await submit(remote, "hold", None)
        await running(fleet, held)
        await until(lambda: fleet.manager.delivery.links and any(
            getattr(link, "progress", None) for link in fleet.manager.delivery.links.values()))  # fmt: skip
        live = await remote.output(held)
        assert (live.data, live.live) == (b"so far\n", True)
        assert (await remote.detail(held, 0)).output == live
        await remote.command("cancel", ids=[held])
        await until(lambda: puppet.cancelled == [held])
        await until_so(lambda: _is_kept(remote, held, b"so far\n"))  # also of what was cancelled


async def _is_kept(remote: Remote, task: int, data: bytes) -> bool:
    found = await remote.output(task)
    return (found.data, found.live) == (data, False)


async def test_output_of_others_tasks_and_floods_of_it_change_nothing(tmp_path) -> None:
    async with a_fleet(tmp_path) as fleet, fleet.operator() as remote:
        bad = await fleet.member("worker", "w-bad-0001")
        async with a_bad_worker(fleet, bad) as peer:
            mine, other = await submit(remote, "hold", 1), await submit(remote, "rare", 1)
            await lease(peer)
            await peer.say(
                m.Output([(other[0], 1, 0, b"forged"), (999, 1, 0, b"forged"), (mine[0], 2, 0, b"no")])
            )
            await peer.say(*(m.Output([(mine[0], 1, n * 60_000, b"f" * 60_000)]) for n in range(100)))
            await peer.say(m.Finished(mine, [1], [packed("done")], [0.1]))
            await results(remote, mine)
        assert (await remote.output(other[0])) == TaskOutput(other[0], 0)
        found = await remote.output(mine[0])
        assert len(found.data) <= 65_536
        assert found.start + len(found.data) <= 1024 * 1024 + 60_000
