"""The house itself: what is packaged, what is documented, what must not be in any file."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.sources import ROOT, SOURCES, name

TEXTS = {".cfg", ".json", ".md", ".py", ".sql", ".tcss", ".toml", ".txt", ".yaml", ".yml", ""}
FOLDERS = ("app", "assets", "benchmarks", "config", "docs", "scripts", "tests", ".ci")
# In pieces, so that this file does not hold what it looks for.
FOREIGN = re.compile(
    "|".join(
        [
            r"(?<![\w.])/(?:root|work)" + r"/\w",
            r"\bissues?" + r" #?\d",
            r"\b(?:architecture|ux|seed-systems)" + r"\.md\b",
            r"\b(?:clau" + r"de|anthro" + r"pic|chat" + r"gpt|copi" + r"lot|code" + r"x)\b",
        ]
    ),
    re.IGNORECASE,
)


def texts() -> Iterator[Path]:
    """Every file that a person may read."""
    yield from (p for p in ROOT.iterdir() if p.is_file() and p.suffix in TEXTS and p.name != ".git")
    for folder in FOLDERS:
        for path in (ROOT / folder).rglob("*"):
            made = "__pycache__" in path.parts or ".venvs" in path.parts
            if path.is_file() and path.suffix in TEXTS and not made:
                yield path


def project() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def test_the_listed_packages_are_the_folders() -> None:
    folders = {p.parent.relative_to(ROOT / "app") for p in SOURCES}
    found = {".".join(["taskmessenger", *folder.parts]) for folder in folders}
    listed = project()["tool"]["setuptools"]["packages"]
    data = {"taskmessenger.assets", "taskmessenger.assets.themes", "taskmessenger.defaults"}
    assert sorted(listed) == sorted(found | data)


@pytest.mark.parametrize("package", sorted({p.parent for p in SOURCES}), ids=name)
def test_every_folder_is_a_package(package: Path) -> None:
    assert (package / "__init__.py").is_file()


def test_nothing_is_called_utils() -> None:
    vague = {"utils.py", "util.py", "helpers.py", "helper.py", "misc.py", "common.py"}
    assert not [name(p) for p in SOURCES if p.name in vague]


def test_files_speak_of_this_project_only() -> None:
    found = [
        f"{name(path)}:{number}: {line.strip()[:100]}"
        for path in texts()
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if FOREIGN.search(line)
    ]
    assert not found, "\n".join(found)


def test_links_between_documents_lead_somewhere() -> None:
    link = re.compile(r"\]\((?!https?:|#|mailto:)([^)#\s]+)")
    documents = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    broken = [
        f"{name(document)}: {target}"
        for document in documents
        for target in link.findall(document.read_text(encoding="utf-8"))
        if not (document.parent / target).exists()
    ]
    assert not broken


def test_the_licence_is_the_one_that_is_named() -> None:
    assert project()["project"]["license"] == "Apache-2.0"
    assert "Apache License\n                           Version 2.0" in (ROOT / "LICENSE").read_text(
        encoding="utf-8"
    )
