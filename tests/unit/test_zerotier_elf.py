"""Weak symbols: one byte each in a library that is exactly what it should be, and a refusal otherwise."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from taskmessenger.core.errors import UsageError
from taskmessenger.net.zerotier.elf import weaken

GLOBAL_FUNCTION, WEAK_FUNCTION = 0x12, 0x22
NAMES = ("ours", "theirs", "missing_one", "missing_two")


def a_library(undefined: tuple[str, ...] = NAMES[1:], info: int = GLOBAL_FUNCTION) -> bytes:
    """The least that is an ELF library: a header, names, symbols, and the table of both."""
    names = b"\0" + b"".join(name.encode() + b"\0" for name in NAMES)
    symbols = bytes(24)
    for name in NAMES:
        section = 0 if name in undefined else 1
        symbols += struct.pack("<IBBHQQ", names.index(name.encode()), info, 0, section, 0, 0)
    at_names, at_symbols = 64, 64 + len(names)
    at_table = at_symbols + len(symbols)
    header = struct.pack(
        "<16sHHIQQQIHHHHHH", b"\x7fELF\x02\x01\x01", 3, 62, 1, 0, 0, at_table, 0, 64, 0, 0, 64, 3, 0
    )
    table = bytes(64)
    table += struct.pack("<IIQQQQIIQQ", 0, 11, 0, 0, at_symbols, len(symbols), 2, 0, 8, 24)
    table += struct.pack("<IIQQQQIIQQ", 0, 3, 0, 0, at_names, len(names), 0, 0, 1, 0)
    return header + names + symbols + table


def test_named_symbols_become_weak_and_nothing_else_changes() -> None:
    before = a_library()
    after = weaken(before, ["missing_one", "missing_two"])
    changed = [(old, new) for old, new in zip(before, after, strict=True) if old != new]
    assert changed == [(GLOBAL_FUNCTION, WEAK_FUNCTION)] * 2


def test_what_is_weak_already_stays_as_it_is() -> None:
    once = weaken(a_library(), ["missing_one"])
    assert weaken(once, ["missing_one"]) == once


def test_a_symbol_that_the_library_defines_is_refused() -> None:
    with pytest.raises(UsageError, match="defines ours"):
        weaken(a_library(), ["ours"])


def test_a_symbol_that_it_does_not_ask_for_is_refused() -> None:
    with pytest.raises(UsageError, match="does not ask for elsewhere"):
        weaken(a_library(), ["elsewhere", "missing_one"])


def test_a_local_symbol_is_refused() -> None:
    with pytest.raises(UsageError, match="not the one"):
        weaken(a_library(info=0x02), ["missing_one"])


@pytest.mark.parametrize(
    "image", [b"", b"\x7fELF", b"\x7fELF\x01\x01\x01" + bytes(60), b"MZ" + bytes(100), bytes(200)]
)
def test_other_files_are_no_library(image: bytes) -> None:
    with pytest.raises(UsageError, match="no 64-bit ELF library"):
        weaken(image, ["missing_one"])


@given(st.integers(0, len(a_library()) - 1))
def test_a_library_that_was_cut_short_is_refused(length: int) -> None:
    with pytest.raises(UsageError):
        weaken(a_library()[:length], ["missing_one"])


@given(st.integers(7, len(a_library()) - 1), st.integers(0, 255))
def test_a_damaged_library_is_refused_or_changed_in_one_byte(at: int, byte: int) -> None:
    damaged = bytearray(a_library())
    damaged[at] = byte
    try:
        after = weaken(bytes(damaged), ["missing_one"])
    except UsageError:
        return
    assert sum(old != new for old, new in zip(damaged, after, strict=True)) <= 1
