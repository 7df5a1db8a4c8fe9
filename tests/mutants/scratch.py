"""A copy of the work tree with an environment of its own, for one mistake at a time and its tests."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import psutil

MARK = "TASK_MESSENGER_MUTANTS"
"""In the environment of every process that tests in a copy have started: so none of them stays."""


class Scratch:
    """The copy in `root`."""

    def __init__(self, root: Path) -> None:
        self.root = root
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

    def run(self, words: Sequence[str], seconds: float, more: Mapping[str, str]) -> tuple[int | None, str]:
        """Python in the copy, with a code and what it said; None: it did not end in time."""
        python = self.root / ".venv" / "bin" / "python"
        temporary = self.root / "tmp"
        temporary.mkdir(exist_ok=True)
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        environment |= {MARK: str(self.root), "TMPDIR": str(temporary), **more}
        process = subprocess.Popen(
            [str(python), *words],
            cwd=self.root,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        try:
            said, _ = process.communicate(timeout=seconds)
            return process.returncode, said
        except subprocess.TimeoutExpired:
            return None, ""
        finally:
            if process.returncode is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.communicate()
            self._end_what_is_left()
            shutil.rmtree(temporary, ignore_errors=True)

    def _end_what_is_left(self) -> None:
        for process in psutil.process_iter():
            try:
                if process.environ().get(MARK) == str(self.root):
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
        yield Scratch(root)


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
