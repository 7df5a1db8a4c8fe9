"""Backups of a manager that works, and of one that does not run; and what a restore makes of its fleet."""

from __future__ import annotations

import io
import json
import shutil
import stat
import tarfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from taskmessenger.paths import under

from tests.support.processes import Fleet, refused, until
from tests.support.processes import fleet as running_fleet

SOURCE = '''
"""Waits until the file it is given exists; then returns what that says, so many times."""

import asyncio
from pathlib import Path


async def handle(payload, ctx):
    name, times = payload
    Path(name + ".begun").touch()
    while not Path(name).exists():
        await asyncio.sleep(0.01)
    return Path(name).read_text() * times
'''


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    with running_fleet(tmp_path / "f") as one:
        kinds = under(one.worker_home("fern")).kinds
        kinds.mkdir(parents=True, mode=0o700)
        (kinds / "told.py").write_text(SOURCE, encoding="utf-8")
        yield one


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    """Where backups go."""
    folder = tmp_path / "kept"
    folder.mkdir()
    return folder


def said(fleet: Fleet, *words: str, stdin: str = "") -> str:
    done = fleet.run(*words, stdin=stdin)
    assert done.returncode == 0, done.stderr
    return done.stdout


def told(fleet: Fleet, *words: str) -> dict:
    return json.loads(said(fleet, *words, "--json"))


def connected(fleet: Fleet) -> None:
    until(lambda: fleet.ask(lambda remote: remote.status()).workers == 1)


def test_a_backup_under_load_has_all_that_was_acknowledged_before(fleet: Fleet, kept: Path) -> None:
    manager = fleet.manager()
    fleet.worker("fern")
    for number in range(3):
        assert said(fleet, "submit", "reverse", f"early {number}", "--wait") == f"{number} ylrae\n"
    enough, errors, acknowledged = threading.Event(), [], []

    def load() -> None:
        while not enough.is_set():
            done = fleet.run("submit", "reverse", "load", "--count", "50")
            acknowledged.append(50)
            errors.extend([done.stderr] if done.returncode else [])

    loading = threading.Thread(target=load)
    loading.start()
    try:
        until(lambda: bool(acknowledged))
        first = told(fleet, "backup", str(kept / "one.tar"), "--with-authority")
        before = sum(acknowledged)
        second = told(fleet, "backup", str(kept / "two.tar"))
    finally:
        enough.set()
        loading.join()
    assert not errors
    assert second["tasks"] >= 3 + before
    assert sorted(path.name for path in kept.iterdir()) == ["one.tar", "two.tar"]
    assert {stat.S_IMODE(path.stat().st_mode) for path in kept.iterdir()} == {0o600}
    assert (set(second["files"]), len(first["files"])) == ({"tasks.db"}, 2)
    assert manager.stop() == 0
    shutil.rmtree(fleet.paths.data)
    assert told(fleet, "restore", str(kept / "one.tar"))["tasks"] == first["tasks"]
    fleet.manager()  # with the same authority: the worker is still a member
    connected(fleet)
    assert [said(fleet, "task", "result", str(task)) for task in (1, 2, 3)] == [
        f"{number} ylrae\n" for number in range(3)
    ]
    assert said(fleet, "submit", "reverse", "late", "--wait") == "etal\n"


@pytest.mark.parametrize(("how", "times"), [("command", 100_000), ("raw-copy", 1), ("raw-copy", 100_000)])
def test_a_result_of_the_time_that_was_lost_is_not_that_of_a_new_task(
    fleet: Fleet, kept: Path, tmp_path: Path, how: str, times: int
) -> None:
    data, copy = fleet.paths.database.parent, kept / "copy"
    old, new = tmp_path / "old", tmp_path / "new"
    manager = fleet.manager()
    worker = fleet.worker("fern")
    said(fleet, "submit", "reverse", "one", "--wait")
    if how == "command":
        said(fleet, "backup", str(kept / "b.tar"))
    assert manager.stop() == 0
    shutil.copytree(data, copy)
    manager = fleet.manager()
    connected(fleet)
    said(fleet, "submit", "told", "--json-payload", json.dumps([str(old), times]))
    until(Path(f"{old}.begun").exists)
    manager.kill()
    old.write_text("OLD ")
    until(lambda: "no session" in worker.said())
    if how == "command":
        told(fleet, "restore", str(kept / "b.tar"), "--replace")
    else:
        shutil.rmtree(data)
        shutil.copytree(copy, data)
    fleet.manager()
    new.write_text("NEW ")
    text = said(fleet, "submit", "told", "--json-payload", json.dumps([str(new), 1]), "--wait")
    assert "NEW" in text
    connected(fleet)
    assert said(fleet, "submit", "reverse", "works", "--wait") == "skrow\n"
    until(lambda: "dropped" in worker.said())
    assert "which it was never leased" not in worker.said()


def test_a_manager_that_does_not_run_is_backed_up_and_its_data_are_moved_aside(
    fleet: Fleet, kept: Path
) -> None:
    manager = fleet.manager()
    said(fleet, "submit", "reverse", "one")
    refused(fleet.run("restore", str(kept / "none.tar")), 7, "in use")
    manager.kill()
    made = told(fleet, "backup", str(kept / "b.tar"))
    assert (made["tasks"], made["open"]) == (1, 1)
    refused(fleet.run("backup", str(kept / "b.tar")), 7, "exists already")
    refused(fleet.run("restore", str(kept / "b.tar")), 7, "--replace")
    manager = fleet.manager()
    said(fleet, "submit", "reverse", "two")
    assert manager.stop() == 0
    aside = Path(told(fleet, "restore", str(kept / "b.tar"), "--replace")["aside"])
    assert (aside / "tasks.db").exists()
    fleet.manager()
    assert told(fleet, "pool", "status")["totals"]["queued"] == 1
    newest = json.loads(said(fleet, "submit", "reverse", "three", "--json"))["ids"]
    assert newest[0] > 2


def test_only_who_is_at_the_machine_may_have_a_file_written(fleet: Fleet, kept: Path) -> None:
    fleet.manager()
    home = fleet.root / "elsewhere"
    assert fleet.run("join", "-", stdin=fleet.invite("operator"), home=home).returncode == 0
    done = fleet.run("backup", str(kept / "b.tar"), home=home)
    refused(done, 3, "there is no database")  # of its own; the manager elsewhere is not asked
    assert not list(kept.iterdir())


def rewritten(source: Path, change: Callable[[str, bytes], bytes | None]) -> bytes:
    """The archive with other members."""
    out = io.BytesIO()
    with tarfile.open(source) as old, tarfile.open(fileobj=out, mode="w") as tar:
        for entry in old:
            data = change(entry.name, old.extractfile(entry).read())
            if data is not None:
                entry.size = len(data)
                tar.addfile(entry, io.BytesIO(data))
    return out.getvalue()


def manifest(**changes: object) -> Callable[[str, bytes], bytes]:
    return lambda name, data: json.dumps(json.loads(data) | changes).encode() if "json" in name else data


def flipped(name: str, data: bytes) -> bytes:
    return data[:5000] + bytes([data[5000] ^ 1]) + data[5001:] if name == "tasks.db" else data


EMPTY = {"size": 1, "sha256": ""}
BAD: dict[str, tuple[Callable[[Path], bytes], int, str]] = {
    "empty": (lambda _: b"", 2, "damaged or no backup"),
    "text": (lambda _: b"hello\n" * 1000, 2, "damaged or no backup"),
    "cut in the middle": (lambda b: b.read_bytes()[: b.stat().st_size // 2], 2, "damaged or no backup"),
    "cut at the end": (lambda b: b.read_bytes()[:-20_000], 2, "damaged or no backup"),
    "a byte flipped": (lambda b: rewritten(b, flipped), 2, "checksum of `tasks.db` is wrong"),
    "no database": (lambda b: rewritten(b, lambda n, d: d if "json" in n else None), 2, "ends before"),
    "no manifest": (lambda b: rewritten(b, lambda n, d: None if "json" in n else d), 2, "is no backup"),
    "another manifest": (lambda b: rewritten(b, manifest(epoch="00" * 16)), 2, "not what its manifest says"),
    "a file elsewhere": (
        lambda b: rewritten(b, manifest(files=dict.fromkeys(("tasks.db", "../x"), EMPTY))),
        2,
        "files that no backup has",
    ),
    "a newer schema": (lambda b: rewritten(b, manifest(schema=999)), 2, "with schema 999"),
}  # fmt: skip


def test_what_is_no_whole_backup_is_refused_in_one_line_and_nothing_is_touched(
    fleet: Fleet, kept: Path
) -> None:
    manager = fleet.manager()
    said(fleet, "submit", "reverse", "one")
    said(fleet, "backup", str(kept / "b.tar"), "--with-authority")
    assert manager.stop() == 0
    data = fleet.paths.database.parent
    before = {path: path.read_bytes() for path in sorted(data.rglob("*")) if path.is_file()}
    refused(fleet.run("restore", str(kept / "none.tar"), "--replace"), 3, "there is no backup")
    for make, code, text in BAD.values():
        (kept / "bad.tar").write_bytes(make(kept / "b.tar"))
        refused(fleet.run("restore", str(kept / "bad.tar"), "--replace"), code, text)
    assert before == {path: path.read_bytes() for path in sorted(data.rglob("*")) if path.is_file()}
    refused(fleet.run("backup", str(kept / "no" / "b.tar")), 1, "cannot write")
    assert sorted(path.name for path in kept.iterdir()) == ["b.tar", "bad.tar"]
