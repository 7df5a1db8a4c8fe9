"""Which tests run which line: a run of each folder under coverage, kept until code or folder change."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any

from tests.mutants.plugin import CHILDREN, LINES, TEST, lines_of

KEPT = ".mutants"
Part = tuple[str, ...]
"""Tests that are measured in one run: folders or files."""
QUICK: tuple[Part, ...] = (("tests/unit",), ("tests/contract",))
FOLDERS: tuple[Part, ...] = (*QUICK, ("tests/integration",))
_TYPING = ("approval", "audit", "backup", "cli", "cli_refusals", "no_world", "outlet", "settings", "watch")
COMMANDS: Part = tuple(f"tests/e2e/test_{name}.py" for name in _TYPING)
"""Those that type commands, without those that wait for fleets to die."""
MORE: dict[str, tuple[Part, ...]] = {"screens": (("tests/console",),), "cli": (COMMANDS,)}
"""What other tests a room has."""
COMMON = ("tests/support", "tests/conftest.py")
CLEAN = "app/runtimes/"
"""What runs in processes whose environment is clean: there nothing can be measured."""
STARTING = re.compile(
    r"tests/(integration/test_(process_runtime|kind_versions|families)\.py"
    r"|contract/test_(runtimes|job_endings|task_output)\.py.*process)"
)
"""The tests that start such processes."""
PLUGIN = ("-p", "tests.mutants.plugin")


@dataclass(frozen=True)
class Reach:
    """Tests by file and line, the seconds of each test, the texts that were run, and which tests passed."""

    lines: dict[str, dict[str, list[str]]]
    seconds: dict[str, float]
    sources: dict[str, str]
    passed: frozenset[str] = frozenset()

    def tests(self, path: str, lines: Iterable[int], source: str) -> list[str]:
        """Those that run one of these lines of the text as it is at present, the shortest first."""
        before = self._lines_then(path, source)
        known = self.lines.get(path, {})
        found = {test for line in lines for test in known.get(str(before.get(line)), ())}
        if path.startswith(CLEAN):
            found |= {test for test in self.seconds if STARTING.match(test)}
        return sorted(found, key=lambda test: (self.seconds.get(test, 0.0), test))

    def _lines_then(self, path: str, source: str) -> dict[int, int]:
        then, today = self.sources.get(path, "").splitlines(), source.splitlines()
        same = SequenceMatcher(None, then, today, autojunk=False).get_matching_blocks()
        return {b + n + 1: a + n + 1 for a, b, size in same for n in range(size)}


def digest(root: Path, part: Sequence[str]) -> str:
    """Of everything that decides which of these tests runs which line."""
    found = hashlib.sha256()
    for place in ("app", *COMMON, *part):
        for path in sorted((root / place).rglob("*.py")) or [root / place]:
            found.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return found.hexdigest()


def reach(root: Path, rooms: Sequence[str], jobs: int, *, old: bool = False, quick: bool = False) -> Reach:
    """From the last runs, where nothing has changed since or `old` will do; else from runs made for it.

    `quick`: of the tests that need nothing but Python alone.
    """
    more = [] if quick else [part for room in rooms for part in MORE.get(room, ())]
    parts = dict.fromkeys([*(QUICK if quick else FOLDERS), *more])
    return _joined([_part(root, part, jobs, old=old) for part in parts])


def _joined(parts: Sequence[Reach]) -> Reach:
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
    return Reach(lines, seconds, sources, frozenset().union(*(part.passed for part in parts)))


def _part(root: Path, part: Part, jobs: int, *, old: bool) -> Reach:
    kept = root / KEPT / f"{'-'.join(dict.fromkeys(Path(place).parts[1] for place in part))}.json"
    fresh = digest(root, part)
    if kept.exists():
        told = json.loads(kept.read_text())
        if old or told["digest"] == fresh:
            return Reach(told["lines"], told["seconds"], told["sources"], frozenset(told["passed"]))
    found = _measured(root, part, jobs)
    kept.parent.mkdir(exist_ok=True)
    told = asdict(found) | {"digest": fresh, "passed": sorted(found.passed)}
    draft = kept.with_suffix(".draft")
    draft.write_text(json.dumps(told))
    draft.replace(kept)
    return found


def _measured(root: Path, part: Part, jobs: int) -> Reach:
    print(f"Finding out which tests run which line: {' '.join(part)}", file=sys.stderr, flush=True)
    with tempfile.TemporaryDirectory(prefix="mutants-lines-") as told:
        words = [
            sys.executable,
            *("-m", "pytest", "-q", "--tb=no", "-m", "not bench", *PLUGIN),
            *("-n", str(jobs), "--dist", "worksteal", *part),
        ]
        environment = {**os.environ, LINES: told}
        if part not in FOLDERS:
            environment[CHILDREN] = _settings_of_children(root, Path(told))
        # Tests that fail only because they are watched still tell which lines they run.
        subprocess.run(words, cwd=root, env=environment, check=False, stdout=sys.stderr)
        parts = [json.loads(path.read_text()) for path in sorted(Path(told).glob("*.json"))]
        seen = list(_lines_of_children(root, Path(told)))
    paths = {path for part in parts for path in part["lines"]} | {path for one in seen for path in one}
    sources = {path: (root / path).read_text() for path in paths}
    found = _joined(
        [
            *(Reach(part["lines"], part["seconds"], {}, frozenset(part["passed"])) for part in parts),
            *(Reach(one, {}, {}) for one in seen),
        ]
    )
    return replace(found, sources=sources)


def _settings_of_children(root: Path, told: Path) -> str:
    """How a process that a test starts is measured: by the name of that test, with no word of its own."""
    path = told / "children.ini"
    quiet = "no-data-collected, module-not-measured, module-not-imported, module-not-python, already-imported"
    path.write_text(
        f"[run]\nsource = {root / 'app'}\ndata_file = {told / 'child'}\nparallel = true\n"
        f"context = ${{{TEST}-}}\ndisable_warnings = {quiet}\n"
    )
    return str(path)


def _lines_of_children(root: Path, told: Path) -> Iterator[dict[str, dict[str, list[str]]]]:
    import coverage

    for path in sorted(told.glob("child.*")):
        data: Any = coverage.CoverageData(basename=str(path))
        with suppress(coverage.CoverageException):  # one that was killed while it wrote
            data.read()
            yield lines_of(root, data)
