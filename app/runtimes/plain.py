"""msgpack values as what JSON can say, and back: every value comes back as it was.

What JSON cannot say is an object with a telling key: `{"base64": TEXT}` for bytes, `{"float": "nan"}` for
what is not finite, `{"map": [[KEY, VALUE], ...]}` for a map with other keys than text, `{"timestamp":
{"seconds": S, "nanoseconds": N}}` for a moment, `{"ext": NUMBER, "base64": TEXT}` for an extension. A map
that looks like one of these itself is written as `{"map": ...}` too: `{"map": [["base64", "text"]]}`.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
import re
from typing import Any, Final

import msgpack

from ..core.errors import UsageError

_NOT_FINITE: Final = frozenset({"nan", "inf", "-inf"})
_PAIR: Final = 2
_MAX_EXT: Final = 127
_MAY_TELL: Final = re.compile(r'"(?:base64|float|map|timestamp)"|\\u')
"""Found in every text that has an object with a telling key."""


def jsonable(value: Any) -> Any:
    """The value as JSON can say it."""
    if isinstance(value, str | int | None):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else {"float": str(value)}
    if isinstance(value, list):
        return [jsonable(part) for part in value]
    if isinstance(value, dict):
        if all(isinstance(key, str) for key in value):
            found = {key: jsonable(part) for key, part in value.items()}
            if not _tells(found):
                return found
        return {"map": [[jsonable(key), jsonable(part)] for key, part in value.items()]}
    return _rare(value)


def _rare(value: Any) -> Any:
    if isinstance(value, bytes):
        return {"base64": base64.b64encode(value).decode()}
    if isinstance(value, msgpack.Timestamp):
        return {"timestamp": {"seconds": value.seconds, "nanoseconds": value.nanoseconds}}
    return {"ext": value.code, "base64": base64.b64encode(value.data).decode()}


def unjson(value: Any) -> Any:
    """What `jsonable` was made from.

    Raises:
        UsageError: an object with one of the telling keys does not hold what it should.
    """
    if isinstance(value, list):
        return [unjson(part) for part in value]
    if not isinstance(value, dict):
        return value
    if not _tells(value):
        return {key: unjson(part) for key, part in value.items()}
    try:
        return _told(value)
    except (binascii.Error, ValueError, TypeError) as error:
        key = next(key for key in ("map", "base64", "timestamp", "float") if key in value)
        raise UsageError(
            f"`{key}` does not hold what it should: {error}; a map with this key of its own is written as"
            f' {{"map": [["{key}", VALUE]]}}'
        ) from error


def parse(text: str | bytes) -> Any:
    """The value that JSON of `jsonable` stands for.

    Raises:
        json.JSONDecodeError, RecursionError, ValueError: as `json.loads`. UsageError: as `unjson`.
    """
    if isinstance(text, bytes):
        text = text.decode(json.detect_encoding(text), "surrogatepass")
    value = json.loads(text)
    return unjson(value) if _MAY_TELL.search(text) else value


def _tells(value: dict[str, Any]) -> bool:
    """Whether an object of JSON stands for something else than a map with text as keys."""
    match value:
        case {"base64": str()} if len(value) == 1:
            return True
        case {"float": str(text)} if len(value) == 1:
            return text in _NOT_FINITE
        case {"map": list(pairs)} if len(value) == 1:
            return all(isinstance(pair, list) and len(pair) == _PAIR for pair in pairs)
        case {"timestamp": {"seconds": int(), "nanoseconds": int()} as moment} if len(value) == 1:
            return len(moment) == _PAIR
        case {"ext": int(code), "base64": str()} if len(value) == _PAIR:
            return 0 <= code <= _MAX_EXT and not isinstance(code, bool)
    return False


def _told(value: dict[str, Any]) -> Any:
    match value:
        case {"ext": code, "base64": text}:
            return msgpack.ExtType(code, base64.b64decode(text, validate=True))
        case {"base64": text}:
            return base64.b64decode(text, validate=True)
        case {"float": text}:
            return float(text)
        case {"timestamp": moment}:
            return msgpack.Timestamp(moment["seconds"], moment["nanoseconds"])
    return {unjson(key): unjson(part) for key, part in value["map"]}
