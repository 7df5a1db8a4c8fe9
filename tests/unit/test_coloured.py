"""Output of tasks on the screen: its colours stay, and nothing else of it is obeyed or hidden."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.style import Style
from taskmessenger.screens.widgets.coloured import coloured, tail

RED = Style(color="red")
PYTEST = (
    "\x1b[32m.\x1b[0m\x1b[31mF\x1b[0m\x1b[1m\x1b[31mE       assert 1 == 2\x1b[0m\n\x1b[1;36m1 failed\x1b[0m"
)


def styles(text: str) -> dict[str, str]:
    """What stands there, and how."""
    shown = coloured(text, 1_000)
    return {
        shown.plain[span.start : span.end]: str(span.style)
        for span in shown.spans
        if str(span.style) != "none"
    }


def test_the_colours_of_a_test_run_stay() -> None:
    assert styles(PYTEST) == {
        ".": "green", "F": "red", "E       assert 1 == 2": "bold red", "1 failed": "bold cyan",
    }  # fmt: skip
    assert "\x1b" not in coloured(PYTEST, 1_000).plain


@pytest.mark.parametrize(
    ("sequence", "style"),
    [
        ("31", "red"), ("91", "red"), ("38;5;196", "red"), ("38;2;250;10;10", "red"), ("38:5:46", "green"),
        ("1", "bold"), ("3;4", "italic underline"), ("9;35", "strike magenta"), ("31;39", ""), ("1;22", ""),
        ("31;0", ""), ("", ""), ("48;5;1", ""), ("48;2;1;2;3;34", "blue"), ("41", ""), ("38;5", ""),
        ("38;9;1", ""), ("38;5;999", ""), ("38;2;999;0;0", ""), ("999", ""), ("31;" * 9, ""),
    ],
)  # fmt: skip
def test_a_sequence_gives_what_follows_its_look(sequence: str, style: str) -> None:
    found = styles(f"before\x1b[{sequence}mafter")
    assert set(found.get("after", "").split()) == set(style.split())


@pytest.mark.parametrize(
    "hidden",
    ["30", "90", "37", "97", "8", "7", "5", "38;5;16", "38;5;232", "38;2;0;0;0", "38;2;18;18;18", "30;40"],
)
def test_nothing_can_be_made_invisible(hidden: str) -> None:
    """Neither by the colour of the screen, which is that of some theme, nor by asking for it."""
    assert styles(f"\x1b[{hidden}mseen") == {}
    assert coloured(f"\x1b[{hidden}mseen", 100).plain == "seen"


def test_a_carriage_return_hides_nothing() -> None:
    assert coloured("rm -rf /\rharmless\r\nnext", 100).plain == "rm -rf /\nharmless\nnext"


def test_a_sequence_whose_beginning_was_cut_off_is_not_shown() -> None:
    text = b"x" * 90 + b"\x1b[1;31mred"
    for size in (5, 6, 9, 10):
        assert coloured(tail(text, size), size).plain == "red"
    assert coloured(tail(text, 11), 11).plain == "xred"
    assert tail(b"make all", 8) == "make all"
    assert tail(b"31mabc", 100) == "31mabc"


@given(st.text(st.sampled_from("\x1b[]0;:38m \r\n\tab\x07\x9b\u202e\U0001f600K?h"), max_size=200))
def test_whatever_is_written_only_plain_characters_are_shown(text: str) -> None:
    shown = coloured(text, 10_000)
    assert all(c.isprintable() or c == "\n" for c in shown.plain)
    assert "31m" not in shown.plain or re.search("31m", text)
    assert len(coloured(text, 5)) <= 5
