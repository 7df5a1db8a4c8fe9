"""Payloads and results as bytes: msgpack with limits, one error for everything that can be wrong.

What comes in was made by strangers; what goes out was made by task code. Neither may hurt more than its own
task. Does not know kinds or jobs: the caller says whose value it was.
"""

from __future__ import annotations

from typing import Any, Final

import msgpack

from ..core.errors import UsageError

MAX_BYTES: Final = 64 * 1024 * 1024
"""Largest payload or result, packed."""
MAX_NESTING: Final = 64
"""Lists and maps inside each other. msgpack's own limit is higher, and differs from library to library."""

_CONTAINERS: Final = (list, dict, tuple)
_SCALARS: Final = (bool, int, float, str, bytes)
_KEEP_PACKER_BELOW: Final = 64 * 1024
_TOO_DEEP: Final = f"a value nested deeper than {MAX_NESTING}"
_HOLDS: Final = "None, True, False, numbers, text, bytes, and lists and maps of them"
_CURES: Final = (
    ("tolist", "`.tolist()`"),
    ("to_dict", "`.to_dict()`"),
    ("tobytes", "`.tobytes()`"),
    ("isoformat", "`.isoformat()`"),
    ("__dataclass_fields__", "`dataclasses.asdict` of it"),
    ("as_integer_ratio", "`float` or `str` of it"),
    ("__fspath__", "`str` of it"),
    ("__next__", "`list` of it"),
    ("isdisjoint", "`sorted` or `list` of it"),
    ("_asdict", "`._asdict()`"),
)
"""By what values of a type offer: what to return instead, best first."""
MAX_CURES: Final = 2
"""That are told."""

_unpackb: Final = msgpack.unpackb


class BadPayload(UsageError):
    """Bytes that are no msgpack value, or a value that msgpack cannot hold."""

    code = "bad_payload"


def unpack(data: bytes) -> Any:
    """The value in `data`: text as str, lists as list, maps with any plain key.

    Raises:
        BadPayload: not exactly one msgpack value, or too large, or too deeply nested.
    """
    if len(data) > MAX_BYTES:
        raise BadPayload(f"{len(data):,} bytes, more than the {MAX_BYTES:,} that a value may have")
    try:
        value = _unpackb(data, raw=False, strict_map_key=False, use_list=True)
    except RecursionError as error:
        raise BadPayload(_TOO_DEEP) from error
    except (ValueError, TypeError, OverflowError, msgpack.UnpackException) as error:
        raise BadPayload(f"not a msgpack value: {_reason(error)}") from error
    if len(data) > MAX_NESTING and isinstance(value, _CONTAINERS) and _too_deep(value):
        raise BadPayload(_TOO_DEEP)
    return value


def pack(value: Any) -> bytes:
    """`value` as msgpack. Safe to call from any thread.

    Raises:
        BadPayload: it holds something that msgpack cannot; the text names the type and where it is.
    """
    return _checked(value, _new_packer())


def _plain(value: Any) -> Any:
    """What a numpy scalar, or an array without dimensions, stands for; anything else as it is.

    Told by what it offers, so that numpy need not be there. Called for nothing that msgpack knows.
    """
    if not _is_point(value):
        return value
    plain = value.item()
    return plain if isinstance(plain, _SCALARS) else value


def _is_point(value: Any) -> bool:
    """Whether it is what numpy, or a library that does likewise, has for a single value."""
    offers = type(value)
    return hasattr(offers, "item") and hasattr(offers, "dtype") and getattr(value, "shape", None) == ()


def _new_packer() -> Any:
    return msgpack.Packer(default=_plain)


class Packer:
    """`pack` for one thread that packs often: keeps its buffer between calls."""

    __slots__ = ("_packer",)

    def __init__(self) -> None:
        self._packer = _new_packer()

    def __call__(self, value: Any) -> bytes:
        """`value` as msgpack; raises as `pack` does."""
        packed = _checked(value, self._packer)
        if len(packed) > _KEEP_PACKER_BELOW:
            self._packer = _new_packer()  # or one large result would keep its memory for good
        return packed


def _checked(value: Any, packer: Any) -> bytes:
    try:
        packed: bytes = packer.pack(value)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise BadPayload(_culprit(value) or _reason(error)) from error
    if len(packed) > MAX_BYTES:
        raise BadPayload(f"{len(packed):,} bytes, more than the {MAX_BYTES:,} that a value may have")
    if len(packed) > MAX_NESTING and isinstance(value, _CONTAINERS) and _too_deep(value):
        raise BadPayload(_TOO_DEEP)
    return packed


def _too_deep(value: Any) -> bool:
    """Level by level, so that depth costs no stack."""
    level = [value]
    for _ in range(MAX_NESTING):
        deeper: list[Any] = []
        for item in level:
            parts = item.values() if isinstance(item, dict) else item
            deeper += [part for part in parts if isinstance(part, _CONTAINERS)]
        if not deeper:
            return False
        level = deeper
    return True


def _culprit(value: Any, path: str = "", depth: int = 0) -> str:
    """What in `value` cannot be packed, in a sentence; empty when nothing plain is wrong."""
    where = f" at {path}" if path else ""
    found = ""
    if depth > MAX_NESTING:
        found = _TOO_DEEP
    elif isinstance(value, dict):
        for key, part in value.items():
            found = _culprit(key, f"{path}(key)", depth + 1) or _culprit(
                part, f"{path}[{key!r:.40}]", depth + 1
            )
            if found:
                break
    elif isinstance(value, list | tuple):
        for index, part in enumerate(value):
            if found := _culprit(part, f"{path}[{index}]", depth + 1):
                break
    else:
        found = _scalar_culprit(_plain(value), where)
    return found


def _scalar_culprit(value: Any, where: str) -> str:
    if value is None or isinstance(
        value, float | bytes | bytearray | memoryview | msgpack.ExtType | msgpack.Timestamp
    ):
        return ""
    if isinstance(value, int):
        fits = -(2**63) <= value < 2**64
        return (
            "" if fits else f"an int of {value.bit_length()} bits{where}, more than the 64 that msgpack holds"
        )
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:
            return f"a str{where} that is not valid Unicode (a lone surrogate)"
        return ""
    return f"{_named(value)}{where}, and msgpack holds only {_HOLDS}{_cure(value)}"


def _named(value: Any) -> str:
    name = type(value).__name__
    return f"{'an' if name[:1].lower() in 'aeiou' else 'a'} {name}"


def _cure(value: Any) -> str:
    """How to send it all the same, as the end of the sentence."""
    offers = type(value)
    if _is_point(value):
        return ": return `str` of it"
    cures = [cure for name, cure in _CURES if hasattr(offers, name)][:MAX_CURES]
    return f": return {' or '.join(cures)}" if cures else ""


def _reason(error: BaseException) -> str:
    """One short line, also for errors that carry none."""
    text = " ".join(str(error).split())[:200]
    return text or type(error).__name__
