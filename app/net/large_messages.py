"""Messages with one large value in them: packed and unpacked without a copy of it.

To copy 64 MiB takes about fifty milliseconds, for which everybody else would wait. So a large result or
payload stays where it came in, as a view, and leaves from where it is, as a piece of its own. On the wire the
bytes are those of `messages.pack`.
"""

from __future__ import annotations

import secrets
import struct
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeAlias, cast

import msgspec
from msgspec.structs import replace

from ..handle import Group
from . import messages as m

LARGE: Final = 1024 * 1024
"""Bytes of a value that is not copied. A view keeps its whole message in memory, so it must be most of it."""
_BIN32: Final = struct.Struct(">BI")
_BIN32_MARK: Final = 0xC6
_MARK: Final = secrets.token_bytes(16)
"""Stands for the value while all else is packed. Nobody else knows it, so it is nowhere else in a message."""
_MARKED: Final = b"\xc4\x10" + _MARK

Buffer: TypeAlias = bytes | bytearray | memoryview
_Probe: TypeAlias = Callable[[Any], tuple[Buffer, m.Message] | None]


class _Finished(m.Finished, frozen=True, tag=23):
    results: list[memoryview]  # type: ignore[assignment]


class _Group(Group, frozen=True):
    payloads: list[memoryview]  # type: ignore[assignment]


class _Submit(m.Submit, frozen=True, tag=40):
    groups: list[_Group]  # type: ignore[assignment]


_views: Final[msgspec.msgpack.Decoder[_Finished | _Submit]] = msgspec.msgpack.Decoder(_Finished | _Submit)


def unpack(body: bytes | bytearray) -> m.Message:
    """The message of a known peer in a body.

    Raises:
        PeerError: as `messages.unpack`.
    """
    if len(body) <= LARGE:
        return m.unpack(body, known=True)
    try:
        seen = _views.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return m.unpack(body, known=True)  # it is another one; or wrong, and then it is said how
    if isinstance(seen, _Finished):
        return m.Finished(seen.tasks, seen.attempts, _taken(seen.results), seen.seconds)
    groups = [
        Group(**{**msgspec.structs.asdict(one), "payloads": _taken(one.payloads)}) for one in seen.groups
    ]
    return m.Submit(seen.request, groups, seen.watch)


def _taken(values: Sequence[memoryview]) -> list[bytes]:
    """Small ones as bytes of their own; large ones are views, of which nothing is asked but what bytes do."""
    return [cast("bytes", value) if len(value) > LARGE else bytes(value) for value in values]


def pack(message: m.Message) -> bytes | list[Buffer]:
    """The message as the body of a frame, whole or in pieces that follow one another."""
    probe = _PROBES.get(type(message))
    found = probe(message) if probe is not None else None
    if found is None:
        return m.pack(message)
    value, marked = found
    head, _, tail = m.pack(marked).partition(_MARKED)
    return [head, _BIN32.pack(_BIN32_MARK, len(value)), value, tail]


def _in_finished(message: m.Finished) -> tuple[Buffer, m.Message] | None:
    if len(message.results) != 1 or len(message.results[0]) <= LARGE:
        return None
    return message.results[0], replace(message, results=[_MARK])


def _in_assign(message: m.Assign) -> tuple[Buffer, m.Message] | None:
    if len(message.leases) != 1 or len(message.leases[0][1]) != 1:
        return None
    kind, ((task, attempt, timeout, payload),) = message.leases[0]
    if len(payload) <= LARGE:
        return None
    return payload, m.Assign([(kind, [(task, attempt, timeout, _MARK)])])


def _in_outcomes(message: m.Outcomes) -> tuple[Buffer, m.Message] | None:
    if len(message.outcomes) != 1:
        return None
    value = message.outcomes[0].result
    if value is None or len(value) <= LARGE:
        return None
    return value, replace(message, outcomes=[replace(message.outcomes[0], result=_MARK)])


def _in_submit(message: m.Submit) -> tuple[Buffer, m.Message] | None:
    if len(message.groups) != 1 or len(message.groups[0].payloads) != 1:
        return None
    value = message.groups[0].payloads[0]
    if len(value) <= LARGE:
        return None
    return value, replace(message, groups=[replace(message.groups[0], payloads=[_MARK])])


_PROBES: Final[Mapping[type, _Probe]] = {
    m.Finished: _in_finished,
    m.Assign: _in_assign,
    m.Outcomes: _in_outcomes,
    m.Submit: _in_submit,
}
"""Messages that may carry a large value, and how it is found and taken out."""
