"""Small files, small functions, small classes: what nobody has to argue about in a review."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.support.sources import FUNCTIONS, SOURCES, name, tree

MAX_LINES = 400
MAX_FUNCTION_LINES = 50
MAX_METHODS = 20
MAX_SCREEN_LINES = 250
"""Lines of a class that is a screen, a dialog or an application of the console, with all that is in it."""
SCREENS = [path for path in SOURCES if "screens" in path.parts]


@pytest.mark.parametrize("path", SOURCES, ids=name)
def test_files_functions_and_classes_are_small(path: Path) -> None:
    assert path.read_text(encoding="utf-8").count("\n") <= MAX_LINES
    for node in ast.walk(tree(path)):
        if isinstance(node, FUNCTIONS):
            assert (node.end_lineno or 0) - node.lineno < MAX_FUNCTION_LINES, node.name
        if isinstance(node, ast.ClassDef):
            assert sum(isinstance(part, FUNCTIONS) for part in node.body) <= MAX_METHODS, node.name


@pytest.mark.parametrize("path", SCREENS, ids=name)
def test_no_class_of_the_console_is_large(path: Path) -> None:
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.ClassDef):
            assert (node.end_lineno or 0) - node.lineno < MAX_SCREEN_LINES, node.name


@pytest.mark.parametrize("path", SOURCES, ids=name)
def test_every_module_says_its_duty(path: Path) -> None:
    assert ast.get_docstring(tree(path)), "a module starts with what it does and what it does not"
