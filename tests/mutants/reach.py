"""Which tests run which line: one run of the tests under coverage, kept until the code or a test changes."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from pathlib import Path

from tests.mutants.plugin import LINES

KEPT = ".mutants"
FOLDERS = ("tests/unit", "tests/contract", "tests/integration")
MORE = {"screens": ("tests/console",)}
"""What other tests a room has."""
PLUGIN = ("-p", "tests.mutants.plugin")


@dataclass(frozen=True)
class Reach:
    """Tests by file and line, the seconds of each test, and the texts that were run."""

    lines: dict[str, dict[str, list[str]]]
    seconds: dict[str, float]
    sources: dict[str, str]

    def tests(self, path: str, lines: Iterable[int], source: str) -> list[str]:
        """Those that run one of these lines of the text as it is at present, the shortest first."""
        before = self._lines_then(path, source)
        known = self.lines.get(path, {})
        found = {test for line in lines for test in known.get(str(before.get(line)), ())}
        return sorted(found, key=lambda test: (self.seconds.get(test, 0.0), test))

    def _lines_then(self, path: str, source: str) -> dict[int, int]:
        then, today = self.sources.get(path, "").splitlines(), source.splitlines()
        same = SequenceMatcher(None, then, today, autojunk=False).get_matching_blocks()
        return {b + n + 1: a + n + 1 for a, b, size in same for n in range(size)}


def digest(root: Path) -> str:
    """Of everything that decides which test runs which line."""
    found = hashlib.sha256()
    for folder in ("app", "tests"):
        for path in sorted((root / folder).rglob("*.py")):
            found.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return found.hexdigest()


def reach(root: Path, rooms: Sequence[str], jobs: int, *, old: bool = False) -> Reach:
    """From the last run, if nothing has changed since or `old` will do; else from a run made for it."""
    parts = [FOLDERS, *(MORE[room] for room in rooms if room in MORE)]
    return _joined([_part(root, folders, jobs, old=old) for folders in parts])


def _joined(parts: Iterable[Reach]) -> Reach:
    lines: dict[str, dict[str, list[str]]] = {}
    seconds: dict[str, float] = {}
    sources: dict[str, str] = {}
    for part in parts:
        for path, known in part.lines.items():
            there = lines.setdefault(path, {})
            for line, tests in known.items():
                there[line] = sorted({*there.get(line, ()), *tests})
        seconds |= part.seconds
        sources |= part.sources
    return Reach(lines, seconds, sources)


def _part(root: Path, folders: Sequence[str], jobs: int, *, old: bool) -> Reach:
    kept = root / KEPT / f"{'-'.join(Path(folder).name for folder in folders)}.json"
    fresh = digest(root)
    if kept.exists():
        told = json.loads(kept.read_text())
        if old or told["digest"] == fresh:
            return Reach(told["lines"], told["seconds"], told["sources"])
    found = _measured(root, folders, jobs)
    kept.parent.mkdir(exist_ok=True)
    told = {"digest": fresh, "lines": found.lines, "seconds": found.seconds, "sources": found.sources}
    kept.write_text(json.dumps(told))
    return found


def _measured(root: Path, folders: Sequence[str], jobs: int) -> Reach:
    print(f"Finding out which tests run which line: {' '.join(folders)}", file=sys.stderr, flush=True)
    with tempfile.TemporaryDirectory(prefix="mutants-lines-") as told:
        words = [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            *PLUGIN,
            "-n",
            str(jobs),
            "--dist",
            "worksteal",
            *folders,
        ]
        # Tests that fail only because they are watched still tell which lines they run.
        subprocess.run(words, cwd=root, env={**os.environ, LINES: told}, check=False, stdout=sys.stderr)
        parts = [json.loads(path.read_text()) for path in sorted(Path(told).iterdir())]
    paths = {path for part in parts for path in part["lines"]}
    sources = {path: (root / path).read_text() for path in paths}
    found = _joined(Reach(part["lines"], part["seconds"], {}) for part in parts)
    return Reach(found.lines, found.seconds, sources)
