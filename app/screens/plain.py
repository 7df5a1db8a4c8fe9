"""msgpack values as what JSON can say, and back. Changes no value that JSON can hold.

What it cannot is an object with a telling key: `{"base64": TEXT}` for bytes, `{"float": "nan"}` for what is
not finite, `{"map": [[KEY, VALUE], ...]}` for a map with other keys than text, `{"timestamp": SECONDS}` for a
moment. An extension is shown and cannot be read back.
"""

from __future__ import annotations

import base64
import binascii
import math
from typing import Any

from ..core.errors import UsageError


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
            return {key: jsonable(part) for key, part in value.items()}
        return {"map": [[jsonable(key), jsonable(part)] for key, part in value.items()]}
    return _rare(value)


def _rare(value: Any) -> Any:
    if isinstance(value, bytes):
        return {"base64": base64.b64encode(value).decode()}
    if hasattr(value, "to_unix"):
        return {"timestamp": value.to_unix()}
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
    try:
        match value:
            case {"base64": str(text)} if len(value) == 1:
                return base64.b64decode(text, validate=True)
            case {"float": str(text)} if len(value) == 1:
                return float(text)
            case {"map": list(pairs)} if len(value) == 1:
                return {unjson(key): unjson(part) for key, part in pairs}
            case {"ext": int(), "base64": str()} | {"timestamp": int() | float()}:
                raise UsageError("moments and extensions of msgpack cannot be edited here")
    except (binascii.Error, ValueError, TypeError) as error:
        raise UsageError(f"`{next(iter(value))}` does not hold what it should: {error}") from error
    return {key: unjson(part) for key, part in value.items()}
