"""One mistake in a small tree of its own: noticed, not noticed, and not run at all."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.mutants.changes import changes, functions
from tests.mutants.reach import Reach
from tests.mutants.rooms import Mutant
from tests.mutants.run import Trial, Verdict
from tests.mutants.scratch import Scratch
from tests.support.sources import ROOT

CODE = "def small(a):\n    return a < 3\n"
TESTS = """
import os
from app.core.code import small

def test_weak():
    assert small(1)

def test_strong():
    assert small(2) and not small(3)

def test_fails_now_and_then():
    seen = os.path.join(os.path.dirname(__file__), "seen")
    first = not os.path.exists(seen)
    open(seen, "w").close()
    assert not first
"""
PATH = "app/core/code.py"


@pytest.fixture
def copy(tmp_path: Path) -> Iterator[Scratch]:
    root = tmp_path / "tree"
    (root / "app/core").mkdir(parents=True)
    (root / "tests").mkdir()
    (root / PATH).write_text(CODE)
    (root / "tests/test_code.py").write_text(TESTS)
    (root / "tests/mutants").symlink_to(ROOT / "tests/mutants")
    python = root / ".venv/bin/python"
    python.parent.mkdir(parents=True)
    python.write_text(
        f'#!/bin/sh\nexec "{sys.executable}" "$@"\n'
    )  # no link: this environment stays as it is
    python.chmod(0o755)
    with closing(Scratch(root)) as made:
        yield made


def verdict(copy: Scratch, after: str, *tests: str) -> Verdict:
    [(name, node)] = functions(ast.parse(CODE))
    change = next(one for one in changes(CODE.encode(), node) if one.after == after)
    names = [f"tests/test_code.py::test_{test}" for test in tests]
    known = Reach({PATH: {"2": names}}, {}, {PATH: CODE})
    found = Trial(copy, Mutant("core", PATH, name, change), known, 60).verdict()
    assert (copy.root / PATH).read_text() == CODE
    return found


def test_a_mistake_that_a_test_sees_is_killed_by_that_test(copy: Scratch) -> None:
    found = verdict(copy, "<=", "weak", "strong")
    assert (found.end, found.why) == ("killed", "tests/test_code.py::test_strong")


def test_a_mistake_that_no_test_sees_survives(copy: Scratch) -> None:
    assert verdict(copy, "<=", "weak").end == "survived"


def test_a_test_that_fails_by_chance_kills_nothing(copy: Scratch) -> None:
    assert verdict(copy, "<=", "fails_now_and_then", "weak").end == "survived"


def test_a_line_that_no_test_runs_is_told_as_such(copy: Scratch) -> None:
    found = verdict(copy, "<=")
    assert (found.end, found.why) == ("survived", "no test runs it")
