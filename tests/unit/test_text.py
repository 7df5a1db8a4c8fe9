"""What strangers write is shown, never obeyed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from taskmessenger.core.text import printable, redact


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain Grüße 日本", "plain Grüße 日本"),
        ("a\nb\tc", r"a\nb\tc"),
        ("\x1b[31mred\x1b]0;title\x07", r"\x1b[31mred\x1b]0;title\x07"),
        ("\x9b31m", r"\x9b31m"),
        ("user\u202etxt.exe", r"user\u202etxt.exe"),
        ("zero\u200bwidth", r"zero\u200bwidth"),
        ("lone\ud800", r"lone\ud800"),
        ("\x7f\u2028", r"\x7f\u2028"),
    ],
)
def test_what_is_not_plainly_visible_is_escaped(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_long_text_is_cut_and_says_so() -> None:
    assert printable("abcdef", 4) == "abc…"
    assert printable("abcd", 4) == "abcd"


def test_lines_may_be_kept() -> None:
    assert printable("a\nb\x1b", keep="\n") == "a\nb\\x1b"


@given(st.text(), st.integers(0, 50))
def test_any_text_becomes_visible_and_short(text: str, limit: int) -> None:
    shown = printable(text, limit)
    assert shown.isprintable()
    assert len(shown) <= max(limit, 1)


def test_invites_are_blacked_out_wherever_they_stand() -> None:
    text = "joined with tm1-7F3KQ-9ZD2M-4H, then TM1-abcde-fghij."
    assert redact(text) == "joined with tm1-[redacted], then tm1-[redacted]."
