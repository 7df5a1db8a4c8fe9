"""What may be imported where, beyond the contracts in pyproject.toml."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.sources import ROOT, SOURCES, name, tree

HEAVY = ("anyio", "apsw", "asyncio", "cryptography", "msgpack", "msgspec", "textual")
CORE_MAY = frozenset(
    [
        "__future__",
        "array",
        "bisect",
        "collections",
        "dataclasses",
        "datetime",
        "difflib",
        "enum",
        "functools",
        "hashlib",
        "heapq",
        "itertools",
        "json",
        "math",
        "operator",
        "random",
        "re",
        "struct",
        "types",
        "typing",
    ]
)
"""Modules of the standard library that compute and nothing else."""


def imported(path: Path) -> set[str]:
    """The outermost names of what a file imports from elsewhere."""
    found: set[str] = set()
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        if isinstance(node, ast.ImportFrom) and not node.level:
            found.add((node.module or "").partition(".")[0])
    return found


def after(statement: str) -> set[str]:
    """The modules that a fresh interpreter has loaded after `statement`."""
    probe = f"import sys\n{statement}\nprint(*sys.modules, sep='\\n', file=sys.__stderr__)"
    done = subprocess.run(
        [sys.executable, "-c", probe], capture_output=True, text=True, check=True, timeout=60
    )
    return set(done.stderr.split())


@pytest.mark.parametrize("path", [p for p in SOURCES if not name(p).startswith("app/screens/")], ids=name)
def test_only_the_screens_know_textual(path: Path) -> None:
    assert not imported(path) & {"textual", "rich"}


@pytest.mark.parametrize("path", [p for p in SOURCES if name(p).startswith("app/core/")], ids=name)
def test_the_core_only_computes(path: Path) -> None:
    assert imported(path) <= CORE_MAY


@pytest.mark.parametrize("path", SOURCES, ids=name)
def test_the_package_speaks_of_itself_relatively(path: Path) -> None:
    assert not imported(path) & {"app", "taskmessenger"}


@pytest.mark.parametrize(
    "module",
    [
        n
        for n in ("roles.manager", "roles.worker", "cli.main")
        if (ROOT / f"app/{n.replace('.', '/')}.py").exists()
    ],
)
def test_headless_never_loads_textual(module: str) -> None:
    assert not after(f"import taskmessenger.{module}") & {"textual", "rich"}


@pytest.mark.parametrize("word", ["--version", "--help"])
def test_a_word_about_itself_needs_nothing_heavy(word: str) -> None:
    loaded = after(
        f"from taskmessenger.__main__ import main\nsys.argv = ['taskmessenger', '{word}']\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code, end.code"
    )
    assert "taskmessenger.__main__" in loaded
    assert not loaded & set(HEAVY)


RUNS_WHAT_IT_READS = {
    "eval", "exec", "pickle", "marshal", "shelve", "dill", "cloudpickle", "yaml", "mktemp", "system", "popen",
}  # fmt: skip
"""Functions, modules, and ways to have a shell that do more with what they are given than look at it."""


@pytest.mark.parametrize("path", SOURCES, ids=name)
def test_no_way_to_run_what_was_read_is_in_the_program(path: Path) -> None:
    found: set[str] = set()
    for node in ast.walk(tree(path)):
        match node:
            case ast.Import(names=names):
                found |= {one.name.partition(".")[0] for one in names}
            case ast.ImportFrom(module=str(module)):
                found.add(module.partition(".")[0])
            case ast.Call(func=ast.Name(id=called)):
                found.add(called)
            case ast.Call(func=ast.Attribute(value=ast.Name(id="os" | "tempfile"), attr=called)):
                found.add(called)
            case ast.keyword(arg="shell", value=ast.Constant(value=True)):
                found.add("system")
    assert not found & RUNS_WHAT_IT_READS
