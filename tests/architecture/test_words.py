"""Texts for people: a number and what it counts agree, because one function puts them together."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import pytest

from tests.support.sources import SOURCES, name

NOUNS = (
    "connections|endpoints|events|exceptions|failures|files|invites|jobs|keys|kinds|leases|lines|machines|members"
    "|outcomes|payloads|processes|processors|results|rows|sessions|slots|tasks|threads|uses|workers"
)
AFTER = re.compile(rf"^ (?:more |other |open )?(?:{NOUNS})\b(?!/)")
IN_LOG = re.compile(rf"%d (?:more |other |open )?(?:{NOUNS})\b")
PARTITIVE = re.compile(r"(?:\bof(?: the last)? |/)$")
"""`3 of 5 tasks`: what is counted is a part of them, whatever they are."""


def by_hand(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Places where a text has a number with a plural behind it that was written by hand."""
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            for at, (number, text) in enumerate(zip(node.values, node.values[1:], strict=False)):
                before = node.values[at - 1] if at else None
                if not (isinstance(number, ast.FormattedValue) and isinstance(text, ast.Constant)):
                    continue
                if isinstance(before, ast.Constant) and PARTITIVE.search(str(before.value)):
                    continue
                if AFTER.match(str(text.value)) and not is_bound(number.value):
                    yield node.lineno, f"{ast.unparse(number.value)}{text.value}"
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and IN_LOG.search(node.value):
            yield node.lineno, node.value


def is_bound(value: ast.expr) -> bool:
    """Named constants are bounds, and more than one; so are the seats that a manager has."""
    text = ast.unparse(value)
    return text.rpartition(".")[2].isupper() or ".seats." in text or text in {"most", "bound"}


def test_what_is_counted_agrees_with_its_number() -> None:
    found = [
        f"{name(path)}:{line}: {text}"
        for path in SOURCES
        for line, text in by_hand(ast.parse(path.read_text(encoding="utf-8")))
    ]
    assert not found, "put together by core.text.count:\n" + "\n".join(found)


@pytest.mark.parametrize(
    "text", ['f"{n} tasks"', 'f"{n:,} more workers wait"', 'log.info("%d tasks run", n)']
)
def test_a_plural_by_hand_is_found(text: str) -> None:
    assert list(by_hand(ast.parse(text)))


@pytest.mark.parametrize("text", ['f"{MAX} tasks"', 'f"{a} of {b} tasks"', 'f"{rate} tasks/s"', 'f"{n} ms"'])
def test_what_is_right_is_not_found(text: str) -> None:
    assert not list(by_hand(ast.parse(text)))
