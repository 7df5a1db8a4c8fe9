"""Marks undefined symbols of a 64-bit little-endian ELF library as weak, so that it loads without them.

A weak symbol that nobody defines is null; a strong one keeps the whole library from loading. It changes one
byte per symbol, in a copy, and only where it finds exactly what it was told to expect. It reads no files.
"""

from __future__ import annotations

import struct
from collections.abc import Collection, Iterator
from typing import Final

from ...core.errors import UsageError

MAGIC: Final = b"\x7fELF\x02\x01\x01"
"""64 bits, little-endian, version 1."""
_HEADER: Final = struct.Struct("<16sHHIQQQIHHHHHH")
_SECTION: Final = struct.Struct("<IIQQQQIIQQ")
_SYMBOL: Final = struct.Struct("<IBBHQQ")
_DYNSYM: Final = 11
_UNDEFINED: Final = 0
_GLOBAL: Final = 1
_WEAK: Final = 2
_INFO_AT: Final = 4
"""Offset of the byte with binding (high nibble) and type in a symbol."""
MAX_SECTIONS: Final = 4096


def weaken(image: bytes, symbols: Collection[str]) -> bytes:
    """A copy of `image` in which these undefined symbols are weak.

    Raises:
        UsageError: it is no such library, is damaged, or does not have each of them, undefined, exactly once.
    """
    changed = bytearray(image)
    missing = set(symbols)
    try:
        for name, at, info, section in _dynamic_symbols(image):
            if name not in missing:
                continue
            if section != _UNDEFINED or info >> 4 not in {_GLOBAL, _WEAK}:
                raise UsageError(f"this library defines {name}, so it is not the one that needs changing")
            changed[at + _INFO_AT] = _WEAK << 4 | info & 0xF
            missing.remove(name)
    except (struct.error, ValueError, OverflowError) as error:
        raise UsageError(f"this library cannot be read: it is damaged ({error}); fetch it again") from error
    if missing:
        raise UsageError(f"this library does not ask for {min(missing)}, so it is not the one that is known")
    return bytes(changed)


def _dynamic_symbols(image: bytes) -> Iterator[tuple[str, int, int, int]]:
    """Name, offset in the file, info byte and section number of every dynamic symbol."""
    sections = _sections(image)
    for kind, offset, size, link, entry in sections:
        if kind != _DYNSYM:
            continue
        if entry != _SYMBOL.size or link >= len(sections) or offset + size > len(image):
            raise ValueError("a table of symbols that reaches out of the file")
        names = _names(image, sections[link])
        for at in range(offset, offset + size - _SYMBOL.size + 1, _SYMBOL.size):
            name_at, info, _, section, _, _ = _SYMBOL.unpack_from(image, at)
            yield _name(names, name_at), at, info, section
        return
    raise ValueError("it has no dynamic symbols")


def _sections(image: bytes) -> list[tuple[int, int, int, int, int]]:
    """Type, offset, size, link and entry size of each section."""
    if not image.startswith(MAGIC):
        raise UsageError("this is no 64-bit ELF library")
    header = _HEADER.unpack_from(image)
    table, entry, count = header[6], header[11], header[12]
    if entry != _SECTION.size or not 0 < count <= MAX_SECTIONS:
        raise ValueError("no table of sections")
    found = []
    for number in range(count):
        _, kind, _, _, offset, size, link, _, _, each = _SECTION.unpack_from(image, table + number * entry)
        found.append((kind, offset, size, link, each))
    return found


def _names(image: bytes, section: tuple[int, int, int, int, int]) -> memoryview:
    _, offset, size, _, _ = section
    if offset + size > len(image):
        raise ValueError("a table of names that reaches out of the file")
    return memoryview(image)[offset : offset + size]


def _name(names: memoryview, at: int) -> str:
    if at >= len(names):
        raise ValueError("a name outside its table")
    # Names of C++ are long; none that is looked for is longer than this.
    return bytes(names[at : at + _LONGEST]).partition(b"\0")[0].decode("ascii", "replace")


_LONGEST: Final = 256
