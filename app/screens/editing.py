"""A payload as text for people, and back from it.

JSON cannot say all that msgpack can: what it cannot is shown as an object with a telling key, as the command
line does, and read back from it.
"""

from __future__ import annotations

import json
from typing import Any

from ..core.errors import UsageError
from ..runtimes.payload import BadPayload, pack, unpack
from ..runtimes.plain import jsonable, parse


def as_text(packed: bytes) -> str:
    """A msgpack value as JSON, indented; what is no msgpack as its bytes."""
    try:
        value: Any = unpack(packed)
    except BadPayload:
        value = packed
    return json.dumps(jsonable(value), indent=2, ensure_ascii=False)


def from_text(text: str) -> bytes:
    """The msgpack value of what was edited.

    Raises:
        UsageError: says where it is wrong.
    """
    try:
        return pack(parse(text))
    except json.JSONDecodeError as error:
        raise UsageError(f"that is no JSON: {error.msg} at line {error.lineno}") from error
    except (BadPayload, ValueError, RecursionError) as error:
        raise UsageError(f"the payload cannot be sent: {error}") from error
