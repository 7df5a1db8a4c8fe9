"""One version of a kind at a time: edited, broken, mended and helped while the worker runs."""

import os
import tempfile
from pathlib import Path

import anyio
import pytest
from taskmessenger.config.model import Kinds
from taskmessenger.node import given_of
from taskmessenger.runtimes.base import FAILED

from tests.support.runtimes import a_bench, result, until

RUNTIMES = ("async", "thread", "process")


@pytest.fixture
def anyio_backend():
    return "asyncio"


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "kinds").mkdir()
    return tmp_path / "kinds"


def write(folder: Path, runtime: str, version: str, name: str = "ver", **more: str) -> None:
    """In one step, as editors do, and in the same second with the same size."""
    text = f"RUNTIME = {runtime!r}\nDESCRIPTION = {version!r}\n{more.get('first', '')}\n"
    text += f"async def handle(payload):\n    return {more.get('gives', repr(version))}\n"
    part = folder / f"{name}.part"
    part.write_text(text)
    part.rename(folder / f"{name}.py")


async def answers(bench, many: int, kind: str = "ver") -> list:
    """Of so many tasks at once."""
    found = []

    async def one():
        found.append(result(await bench.run(kind)))

    async with anyio.create_task_group() as tasks:
        for _ in range(many):
            tasks.start_soon(one)
    return found


@pytest.mark.parametrize("runtime", RUNTIMES)
async def test_all_new_tasks_get_the_version_that_the_file_has(tmp_path, folder, runtime):
    write(folder, runtime, "v1")
    async with a_bench(tmp_path, capacity=3, folders=[folder]) as bench:
        told = []
        bench.runtimes.changed = told.extend
        assert set(await answers(bench, 6)) == {"v1"}
        for version in ("v2", "v3"):
            write(folder, runtime, version)
            assert set(await answers(bench, 9)) == {version}
            assert {info.name: info.description for info in bench.registry.announce()}["ver"] == version
        assert told == ["ver", "ver"]


@pytest.mark.parametrize("runtime", RUNTIMES)
async def test_under_load_no_task_gets_an_older_version_than_one_before_it(tmp_path, folder, runtime):
    write(folder, runtime, "v0")
    order: list[str] = []
    async with a_bench(tmp_path, capacity=1, folders=[folder]) as bench:
        for version in range(4):
            write(folder, runtime, f"v{version}")
            while not order or order[-1] != f"v{version}":
                order.append(result(await bench.run("ver")))
    assert order == sorted(order)


@pytest.mark.parametrize("runtime", RUNTIMES)
async def test_a_change_of_a_helper_is_a_change_of_the_kinds_beside_it(tmp_path, folder, runtime):
    (folder / "_common.py").write_text("X = 'h1'")
    write(folder, runtime, "v1", first="from _common import X", gives="X")
    write(folder, runtime, "v1", name="other", first="import _common", gives="_common.X")
    async with a_bench(tmp_path, capacity=2, folders=[folder]) as bench:
        assert set(await answers(bench, 3) + await answers(bench, 3, "other")) == {"h1"}
        (folder / "_common.py").write_text("X = 'h2'")
        await anyio.sleep(0.12)
        assert set(await answers(bench, 3) + await answers(bench, 3, "other")) == {"h2"}


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("damage", ["syntax", "crash", "gone"])
async def test_a_version_that_cannot_be_loaded_disables_its_kind_alone_until_it_is_mended(
    tmp_path, folder, runtime, damage, caplog
):
    write(folder, runtime, "v1")
    write(folder, runtime, "good", name="good")
    async with a_bench(tmp_path, folders=[folder]) as bench:
        assert await answers(bench, 2) == ["v1", "v1"]
        if damage == "gone":
            (folder / "ver.py").unlink()
        else:
            text = "def handle(:" if damage == "syntax" else "import os; os.abort()\nhandle = print"
            (folder / "ver.py").write_text(text)
        await anyio.sleep(0.12)
        ended = await bench.run("ver")
        assert (ended.status, ended.error.code) == (FAILED, "worker_fault")
        assert f"kind `ver` is disabled: {folder}/ver.py: " in ended.error.message
        assert "kind ver is disabled" in caplog.text
        assert "ver" not in bench.registry.names()
        assert await answers(bench, 2, "good") == ["good", "good"]
        write(folder, runtime, "v2")
        watching = bench.runtimes.watch
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(watching)
            await until(lambda: "ver" in bench.registry.names())
            tasks.cancel_scope.cancel()
        assert await answers(bench, 2) == ["v2", "v2"]


async def test_a_new_file_is_a_new_kind(tmp_path, folder):
    async with a_bench(tmp_path, folders=[folder]) as bench, anyio.create_task_group() as tasks:
        tasks.start_soon(bench.runtimes.watch)
        write(folder, "process", "v1", name="late")
        await until(lambda: "late" in bench.registry.names())
        assert await answers(bench, 2, "late") == ["v1", "v1"]
        tasks.cancel_scope.cancel()


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
async def test_a_process_kind_can_use_a_pool_of_processes(tmp_path, folder, method):
    (folder / "_square.py").write_text("def square(x): return x * x")
    (folder / "pool.py").write_text(
        "import multiprocessing\nfrom _square import square\nRUNTIME = 'process'\n"
        "def double(x): return 2 * square(x)\n"
        "def handle(payload):\n"
        f"    with multiprocessing.get_context({method!r}).Pool(2) as pool:\n"
        "        return pool.map(double, payload)\n"
    )
    with tempfile.TemporaryDirectory(dir="/tmp") as short:
        async with a_bench(Path(short), folders=[folder]) as bench:
            for _ in range(2):
                assert result(await bench.run("pool", [1, 2, 3])) == [2, 8, 18]
    if method == "forkserver":
        deep = tmp_path / ("deep" * 20)
        async with a_bench(deep, folders=[folder]) as bench:
            assert "use spawn or fork" in (await bench.run("pool", [1])).error.message


async def test_a_process_kind_sees_what_its_operator_lets_through(tmp_path, folder, monkeypatch):
    text = (
        "import os\nRUNTIME = 'process'\ndef handle(p): return [dict(os.environ), os.getcwd(), os.listdir()]"
    )
    (folder / "see.py").write_text(text)
    (tmp_path / "place").mkdir()
    (tmp_path / "place" / "kept.txt").write_text("kept")
    for name in ("CUDA_VISIBLE_DEVICES", "HTTP_PROXY", "SECRET"):
        monkeypatch.setenv(name, "1")
    async with a_bench(tmp_path, folders=[folder]) as bench:
        seen, where, files = result(await bench.run("see"))
        assert not {"CUDA_VISIBLE_DEVICES", "HTTP_PROXY", "SECRET"} & seen.keys()
        assert (seen["HOME"] != os.environ["HOME"], files) == (True, [])
    wanted = Kinds(environment=("CUDA_*", "HTTP_PROXY"), home="worker", directory=str(tmp_path / "place"))
    async with a_bench(tmp_path, folders=[folder], given=given_of(wanted)) as bench:
        for _ in range(2):
            seen, where, files = result(await bench.run("see"))
            assert {"CUDA_VISIBLE_DEVICES", "HTTP_PROXY"} <= seen.keys()
            assert "SECRET" not in seen
            assert (seen["HOME"], where, files) == (os.environ["HOME"], str(tmp_path / "place"), ["kept.txt"])
