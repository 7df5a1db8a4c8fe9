"""What is said on discovery's datagrams. Every field is bounded here; who may say what is decided elsewhere.

Arrays on the wire, so that a later version may append fields that this one skips.
"""

from __future__ import annotations

from typing import Annotated, Final, TypeAlias

import msgspec
from msgspec import Meta

MAX_KIND: Final = 64
"""Characters."""
MAX_WANTED: Final = 64
"""Kinds in one announcement."""
MAX_ENDPOINTS: Final = 8
MAX_ENDPOINT: Final = 128
"""Characters of one address."""
MAX_WORKERS: Final = 128
"""Ids in one answer; room in the datagram ends before that."""

_Number = Annotated[int, Meta(ge=1, le=2**63 - 1)]
_Name = Annotated[str, Meta(min_length=1, max_length=64)]
_Kind = Annotated[str, Meta(min_length=1, max_length=MAX_KIND)]
_KindOrAll = Annotated[str, Meta(max_length=MAX_KIND)]
_Endpoint = Annotated[str, Meta(min_length=1, max_length=MAX_ENDPOINT)]


class Announce(msgspec.Struct, frozen=True, array_like=True, tag=1):
    """A manager: I am here. Also the sign of life, and the answer to a question about no kind."""

    sequence: _Number
    """Of the speaker; every datagram has a higher one."""
    moment: float
    """Wall-clock seconds since the epoch, as the speaker's clock has it."""
    name: _Name
    endpoints: Annotated[tuple[_Endpoint, ...], Meta(max_length=MAX_ENDPOINTS)]
    """Addresses to dial, best first."""
    wanted: Annotated[tuple[_Kind, ...], Meta(max_length=MAX_WANTED)] = ()
    """Kinds with tasks that wait for a worker; as many as there was room for."""


class Leave(msgspec.Struct, frozen=True, array_like=True, tag=2):
    """A manager: I stop; forget me."""

    sequence: _Number
    moment: float
    name: _Name


class Ask(msgspec.Struct, frozen=True, array_like=True, tag=3):
    """A member: which workers offer this kind? With no kind: which managers are there?"""

    sequence: _Number
    moment: float
    kind: _KindOrAll = ""


class Answer(msgspec.Struct, frozen=True, array_like=True, tag=4):
    """A manager: these of my workers are connected and offer the kind."""

    sequence: _Number
    moment: float
    name: _Name
    asked: _Number
    """Sequence of the question."""
    kind: _Kind
    total: Annotated[int, Meta(ge=0, le=2**31)]
    """How many there are; the list may be shorter."""
    workers: Annotated[tuple[_Name, ...], Meta(max_length=MAX_WORKERS)]


Word: TypeAlias = Announce | Leave | Ask | Answer
OF_MANAGERS: Final = (Announce, Leave, Answer)
"""What only a manager may say."""

_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(Word)


def encode(word: Word) -> bytes:
    """As bytes."""
    return _encoder.encode(word)


def decode(data: bytes) -> Word | None:
    """What these bytes say; None when it is none of the above, or too much of it."""
    try:
        word: Word = _decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return word
