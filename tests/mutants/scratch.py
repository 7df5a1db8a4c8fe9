"""A copy of the work tree with an environment of its own, for one mistake at a time and its tests."""

from __future__ import annotations

import json
import os
import select
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import psutil

from tests.mutants.plugin import FAILED, LIMITS

START_SECONDS = 120.0
"""For a warm process to load what it loads, on a busy machine."""
MARK = "TASK_MESSENGER_MUTANTS"
"""In the environment of every process that tests in a copy have started: so none of them stays."""


class Scratch:
    """The copy in `root`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.failures, self.limits = root.parent / "failed.txt", root.parent / "limits.json"
        self.temporary = root / "tmp"
        self._warm: subprocess.Popen[bytes] | None = None
        self._moment = 1_000_000_000
        self.passing: set[str] = set()
        """Tests that passed alone, without a mistake."""

    @contextmanager
    def holding(self, path: str, source: bytes) -> Iterator[None]:
        """The file holds `source` and then again what it held."""
        file = self.root / path
        right = file.read_bytes()
        self._write(file, source)
        try:
            yield
        finally:
            self._write(file, right)

    def _write(self, file: Path, source: bytes) -> None:
        file.write_bytes(source)
        # Python knows compiled files by whole seconds and size: no two versions may have the same.
        self._moment += 2
        os.utime(file, (self._moment, self._moment))

    def run(self, words: Sequence[str], seconds: float) -> int | None:
        """Pytest in the copy, with its exit code; None: it did not end in time."""
        self.temporary.mkdir(exist_ok=True)
        warm = self._warm = self._warm or self._started()
        assert warm.stdin is not None
        warm.stdin.write(f"{json.dumps(words)}\n".encode())
        warm.stdin.flush()
        try:
            pid = int(self._line(START_SECONDS) or 0)
            code = self._line(seconds) if pid else None
            if pid and code is None:
                with suppress(ProcessLookupError):
                    os.killpg(pid, signal.SIGKILL)
                self._line(START_SECONDS)
            return None if code is None else int(code)
        finally:
            self._end_what_is_left()
            shutil.rmtree(self.temporary, ignore_errors=True)

    def _started(self) -> subprocess.Popen[bytes]:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        environment |= {MARK: str(self.root), "TMPDIR": str(self.temporary), "TEXTUAL_ANIMATIONS": "none"}
        environment |= {FAILED: str(self.failures), LIMITS: str(self.limits)}
        return subprocess.Popen(
            [str(self.root / ".venv" / "bin" / "python"), "-m", "tests.mutants.warm"],
            cwd=self.root,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
            start_new_session=True,
        )

    def _line(self, seconds: float) -> bytes | None:
        """What the warm process says next, if it says something in time."""
        assert self._warm is not None
        assert self._warm.stdout is not None
        if not select.select([self._warm.stdout], [], [], seconds)[0]:
            return None
        return self._warm.stdout.readline()

    def close(self) -> None:
        """End the warm process and whatever it has left."""
        warm, self._warm = self._warm, None
        if warm is not None:
            with warm:
                warm.kill()
        self._end_what_is_left()

    def _end_what_is_left(self) -> None:
        for process in psutil.process_iter():
            try:
                ours = self._warm is not None and process.pid == self._warm.pid
                if not ours and process.environ().get(MARK) == str(self.root):
                    process.kill()
            except psutil.Error:
                continue


@contextmanager
def scratch(tree: Path) -> Iterator[Scratch]:
    """A copy of what git knows of and has not been told to leave out, gone at the end."""
    with tempfile.TemporaryDirectory(prefix="mutants-", ignore_cleanup_errors=True) as folder:
        root = Path(folder).resolve() / "tree"
        listed = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=tree,
            capture_output=True,
            check=True,
        ).stdout
        for name in filter(None, os.fsdecode(listed).split("\0")):
            if (tree / name).is_file():
                (root / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(tree / name, root / name, follow_symlinks=False)
        subprocess.run(["git", "init", "-q", str(root)], check=True)
        _copy_environment(tree, root)
        with closing(Scratch(root)) as copy:
            yield copy


def _copy_environment(tree: Path, root: Path) -> None:
    """The same packages, but the project is the copy: where its folder is named, the copy's is."""
    shutil.copytree(tree / ".venv", root / ".venv", symlinks=True)
    old, new = str(tree).encode(), str(root).encode()
    named = [root / ".venv" / "pyvenv.cfg", *(root / ".venv" / "bin").iterdir()]
    named += (root / ".venv").glob("lib/python*/site-packages/__editable__*")
    for file in named:
        if file.is_file() and not file.is_symlink() and file.stat().st_size < 100_000:
            text = file.read_bytes()
            if old in text:
                file.write_bytes(text.replace(old, new))
