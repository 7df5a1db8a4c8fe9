"""What a terminal sends, cut into units: whatever the bytes, nothing of a sequence is ever taken for keys."""

from __future__ import annotations

import random

import pytest
from taskmessenger.screens.units import HALF_SECONDS, MAX_PASTE, PASTE_SECONDS, Kind, Unit, Units


def text(shown: str) -> Unit:
    return Unit(Kind.TEXT, shown)


def sequence(shown: str) -> Unit:
    return Unit(Kind.SEQUENCE, shown)


ESCAPE = Unit(Kind.ESCAPE)
WHOLE: list[tuple[bytes, list[Unit]]] = [
    (b"abc", [text("abc")]),
    ("ü€🦊".encode(), [text("ü€🦊")]),
    (b"a\xffb", [text("a\ufffdb")]),
    (b"caf\xe9", [text("caf\ufffd")]),
    (b"\xe2\x82\x1b[A", [text("\ufffd"), sequence("\x1b[A")]),
    (b"\x00\x03", [text("\x00\x03")]),
    (b"\x1b[Aq", [sequence("\x1b[A"), text("q")]),
    (b"\x1b[1;5C", [sequence("\x1b[1;5C")]),
    (b"\x1b[<35;10;20M", [sequence("\x1b[<35;10;20M")]),
    (b"\x1bOP\x1b[[Ax", [sequence("\x1bOP"), sequence("\x1b[[A"), text("x")]),
    (b"\x1b[M \xc8\x30x", [text("x")]),  # a mouse that reports in bytes, which may be any
    (b"\x1b[M \xc8\x90x", [text("x")]),
    (b"\x1b[M\x1b\x1b\x1bx", [text("x")]),
    (b"\x1b]11;rgb:0000/0000/0000\x07x", [text("x")]),
    (b"\x1bP>|xterm(370)\x1b\\x", [text("x")]),
    (b"\x1b[12\x01x", [text("\x01x")]),
    (b"\x1b[" + b"1;" * 400 + b"mx", [text("x")]),
    (b"\x1bP5\r", [Unit(Kind.ALT, "P"), text("5\r")]),  # Escape, then the key P and what it asks for
    (b"\x1b4", [Unit(Kind.ALT, "4")]),
    (b"\x1b/", [Unit(Kind.ALT, "/")]),
    ("\x1bé!".encode(), [Unit(Kind.ALT, "é"), text("!")]),
    (b"\x1b\r", [ESCAPE, text("\r")]),
    (b"\x1b\x1b[A", [ESCAPE, sequence("\x1b[A")]),
    (b"\x1b[200~a\nb\x00\xff\x1b[A\x1b[201~z", [Unit(Kind.PASTE, "a\nb\ufffd\x1b[A"), text("z")]),
    (b"\x1b[201~z", [text("z")]),
]


def joined(units: list[Unit]) -> list[Unit]:
    """Texts that follow each other are one."""
    found: list[Unit] = []
    for unit in units:
        if found and found[-1].kind is unit.kind is Kind.TEXT:
            found[-1] = text(found[-1].text + unit.text)
        else:
            found.append(unit)
    return found


def later(units: Units, seconds: float) -> list[Unit]:
    found: list[Unit] = []
    while units.held and seconds < 100:
        found += units.tick(seconds)
        seconds += PASTE_SECONDS
    return found


@pytest.mark.parametrize(("data", "expected"), WHOLE, ids=[repr(data[:12]) for data, _ in WHOLE])
def test_bytes_are_cut_into_what_belongs_together_wherever_they_arrive_in_two(
    data: bytes, expected: list[Unit]
) -> None:
    for at in range(min(len(data), 40)):
        units = Units()
        found = units.feed(data[:at], 0.0) + units.feed(data[at:], 0.01) + later(units, 1.0)
        if data.endswith(b"\xe9"):
            found += units.feed(b"\x1b[A", 0.1)[:-1]
        assert joined(found) == expected, at


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"\x1b", [ESCAPE]),
        (b"\x1b[", [Unit(Kind.ALT, "[")]),
        (b"\x1bO", [Unit(Kind.ALT, "O")]),
        (b"\x1b]", [Unit(Kind.ALT, "]")]),
        (b"\x1b[M \xc8", []),
        (b"\x1b[<35;1", [sequence("\x1b[<35;1")]),
        (b"\x1b[200~half", [Unit(Kind.PASTE, "half")]),
        (b"\x1b[200~half\x1b[20", [Unit(Kind.PASTE, "half"), sequence("\x1b[20")]),
    ],
)
def test_what_begins_and_does_not_go_on_comes_to_an_end_and_frees_the_keyboard(
    data: bytes, expected: list[Unit]
) -> None:
    units = Units()
    found = units.feed(data, 0.0)
    assert found + later(units, HALF_SECONDS) == expected
    assert units.feed(b"q", 10.0) == [text("q")]


def test_a_paste_has_a_bound() -> None:
    units = Units()
    units.feed(b"\x1b[200~", 0.0)
    for _ in range(40):
        assert units.feed(b"x" * (MAX_PASTE // 20), 0.0) == []
    (paste,) = units.feed(b"\x1b[201~", 0.0)
    assert len(paste.text) == MAX_PASTE


def test_no_bytes_at_all_are_a_failure_or_keep_the_keyboard() -> None:
    chance = random.Random(5)
    parts = [
        b"\x1b",
        b"[",
        b"O",
        b"P",
        b"]",
        b"M",
        b"200~",
        b"201~",
        b"<",
        b"1;2",
        b"\xff",
        b"\xc3",
        b"\x00",
        b"q",
        b"~",
    ]
    for _ in range(3_000):
        units = Units()
        now = 0.0
        for _ in range(chance.randrange(1, 12)):
            now += chance.choice((0.0, 0.03, 0.3, 4.0))
            units.feed(chance.choice(parts), now)
            units.tick(now + 0.01)
        later(units, now + 1.0)
        assert units.feed(b"q", now + 200.0)[-1].text.endswith("q")
