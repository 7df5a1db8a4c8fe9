"""What is built of this project: all that is in the tree and nothing else, without a word of warning."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.sources import ROOT

PLACES = {"app": "taskmessenger", "assets": "taskmessenger/assets", "config": "taskmessenger/defaults"}
BUILD = "import sys, setuptools.build_meta as b; b.build_wheel(sys.argv[1])"
MADE = shutil.ignore_patterns("__pycache__", "*.pyc")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[subprocess.CompletedProcess[str]]:
    """A wheel, of a copy of the tree: building leaves folders behind."""
    tree = tmp_path_factory.mktemp("tree")
    for folder in PLACES:
        shutil.copytree(ROOT / folder, tree / folder, ignore=MADE)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy2(ROOT / name, tree)
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-c", BUILD, str(tree / "dist")],
        cwd=tree,
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    ran.args = tree / "dist"
    yield ran
    shutil.rmtree(tree, ignore_errors=True)


def test_the_wheel_is_built_without_a_warning(built: subprocess.CompletedProcess[str]) -> None:
    assert built.returncode == 0, built.stderr[-2000:]
    said = [line for line in built.stderr.splitlines() if "byte-compiling is disabled" not in line]
    assert not [line for line in said if "warn" in line.lower()], "\n".join(said)


def test_the_wheel_has_every_file_of_the_tree_and_no_other(built: subprocess.CompletedProcess[str]) -> None:
    (wheel,) = Path(built.args).glob("*.whl")
    with zipfile.ZipFile(wheel) as opened:
        within = {name for name in opened.namelist() if ".dist-info/" not in name}
    tree = {
        f"{place}/{path.relative_to(ROOT / folder).as_posix()}"
        for folder, place in PLACES.items()
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert within == tree
