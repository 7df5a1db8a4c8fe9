"""Fields of a form: what may be typed into each, and the value that it stands for. No widgets.

A payload's fields come from the JSON Schema of its kind; where that says nothing of use there is one field
that takes any JSON.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any, Final

from ..core.errors import UsageError
from ..core.filter_numbers import seconds
from ..runtimes.plain import jsonable, parse
from .widgets.words import safe

MAX_FIELDS: Final = 40
"""Properties of a payload that get a field of their own; one with more is typed as JSON."""
MAX_CHOICES: Final = 100
MAX_TEXT: Final = 64 * 1024
"""Characters of one field."""
ROOT: Final = ""
"""Key of the field of a payload that is no object but a text, a number or the like."""
NOTHING: Final = object()
"""The value of a field that was left empty."""
_YES: Final = {"true", "yes", "on", "1"}
_NO: Final = {"false", "no", "off", "0", ""}


class Sort(Enum):
    """What a field takes. The value is how it is called."""

    TEXT = "text"
    WHOLE = "a whole number"
    NUMBER = "a number"
    FLAG = "yes or no"
    CHOICE = "one of these"
    SPAN = "a length of time"
    JSON = "JSON"


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One thing to fill in."""

    key: str
    label: str = ""
    sort: Sort = Sort.TEXT
    text: str = ""
    """What stands in it at first."""
    required: bool = False
    choices: tuple[str, ...] = ()
    hint: str = ""
    """A few words beside it."""
    low: float | None = None
    high: float | None = None

    @property
    def shown(self) -> str:
        """Its label."""
        return self.label or self.key


def value(field: Field, text: str) -> Any:
    """What this text stands for; `NOTHING` for an empty field that may be.

    Raises:
        UsageError: names the field and says what it wants.
    """
    bare = text if field.sort is Sort.TEXT else text.strip()
    if not bare and field.sort is not Sort.FLAG:
        if not field.required:
            return NOTHING
        if field.sort is Sort.TEXT:
            return bare
        raise UsageError(f"{safe(field.shown)}: {field.sort.value} is wanted")
    try:
        found = _READ[field.sort](bare)
    except ValueError as error:
        why = str(error) if field.sort in {Sort.SPAN, Sort.JSON} else f"is not {field.sort.value}"
        raise UsageError(f"{safe(field.shown)}: `{safe(bare, 40)}` {why}") from error
    if field.sort is Sort.CHOICE and found not in field.choices:
        raise UsageError(f"{safe(field.shown)}: is one of {', '.join(map(safe, field.choices))}")
    _check_bounds(field, found)
    return found


def values(fields: Sequence[Field], texts: Mapping[str, str]) -> dict[str, Any]:
    """All that were filled in, by key.

    Raises:
        UsageError: of the first that is wrong.
    """
    found = {field.key: value(field, texts.get(field.key, "")) for field in fields}
    return {key: one for key, one in found.items() if one is not NOTHING}


def fields_of(schema: Mapping[str, Any], example: Any = None) -> tuple[Field, ...]:
    """A field for each part of a payload that is an object, one for any other; none if nothing is known."""
    if schema.get("type", "object") not in {"object", "null"}:
        return (replace(_field(ROOT, schema, example, required=True), label="payload"),)
    properties = schema.get("properties")
    if not isinstance(properties, dict) or not 0 < len(properties) <= MAX_FIELDS:
        return ()
    known = example if isinstance(example, dict) else {}
    wanted = schema.get("required")
    required = set(map(str, wanted)) if isinstance(wanted, list) else set()
    return tuple(
        _field(str(key), one if isinstance(one, dict) else {}, known.get(key), str(key) in required)
        for key, one in properties.items()
    )


def texts_of(fields: Sequence[Field], payload: Any) -> dict[str, str] | None:
    """This payload as what stands in these fields; None where they cannot show all of it."""
    if len(fields) == 1 and fields[0].key == ROOT:
        return {ROOT: _text(fields[0].sort, payload)} if _holds(fields[0].sort, payload) else None
    if not isinstance(payload, dict) or not payload.keys() <= {field.key for field in fields}:
        return None
    there = [field for field in fields if field.key in payload]
    if not all(_holds(field.sort, payload[field.key]) for field in there):
        return None
    return {field.key: _text(field.sort, payload[field.key]) for field in there}


def payload_of(given: Mapping[str, Any]) -> Any:
    """The payload that the values of all its fields make."""
    return given[ROOT] if given.keys() == {ROOT} else dict(given)


def _holds(sort: Sort, given: Any) -> bool:
    """Whether a field of this sort gives back the same value."""
    wanted = {Sort.TEXT: str, Sort.WHOLE: int, Sort.NUMBER: int | float, Sort.FLAG: bool}.get(sort)
    if wanted is None:
        return True
    if isinstance(given, str) and not given.isprintable():  # lines, which a field does not have
        return False
    return isinstance(given, wanted) and isinstance(given, bool) is (sort is Sort.FLAG)


def _field(key: str, schema: Mapping[str, Any], example: Any, required: bool) -> Field:
    choices = schema.get("enum")
    about = safe(schema.get("description", ""), 60)
    if (
        isinstance(choices, list)
        and 0 < len(choices) <= MAX_CHOICES
        and all(isinstance(c, str) for c in choices)
    ):
        first = example if example in choices else schema.get("default", choices[0])
        return Field(
            key=key, sort=Sort.CHOICE, text=str(first), required=required, choices=tuple(choices), hint=about
        )
    sort = _SORTS.get(str(schema.get("type", "")), Sort.JSON)
    given = schema.get("default", example)
    return Field(
        key=key,
        sort=sort,
        text="" if given is None and sort is not Sort.JSON else _text(sort, given),
        required=required,
        hint=about or ("" if sort is Sort.TEXT else sort.value) + ("" if required else " (optional)"),
        low=_bound(schema.get("minimum")),
        high=_bound(schema.get("maximum")),
    )


def _text(sort: Sort, given: Any) -> str:
    if isinstance(given, str) and sort in {Sort.TEXT, Sort.CHOICE}:
        return given
    return json.dumps(jsonable(given), ensure_ascii=False)


def _bound(given: Any) -> float | None:
    return given if isinstance(given, int | float) and not isinstance(given, bool) else None


def _check_bounds(field: Field, found: Any) -> None:
    if field.sort not in {Sort.WHOLE, Sort.NUMBER, Sort.SPAN}:
        return
    if (field.low is not None and found < field.low) or (field.high is not None and found > field.high):
        raise UsageError(f"{safe(field.shown)}: {found:g} is not {' and '.join(_bounds(field))}")


def _bounds(field: Field) -> Iterator[str]:
    if field.low is not None:
        yield f"at least {field.low:g}"
    if field.high is not None:
        yield f"at most {field.high:g}"


def _flag(text: str) -> bool:
    if text.lower() in _YES:
        return True
    if text.lower() in _NO:
        return False
    raise ValueError


def _finite(text: str) -> float:
    found = float(text)
    if found.is_integer() and text.lstrip("+-").isdecimal():
        return int(text)
    if not math.isfinite(found):
        raise ValueError
    return found


def _json(text: str) -> Any:
    try:
        return parse(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"is no JSON: {error.msg} at column {error.colno}") from error
    except RecursionError as error:
        raise ValueError("is nested too deeply") from error


_READ: Final[dict[Sort, Any]] = {
    Sort.TEXT: str,
    Sort.WHOLE: int,
    Sort.NUMBER: _finite,
    Sort.FLAG: _flag,
    Sort.CHOICE: str,
    Sort.SPAN: seconds,
    Sort.JSON: _json,
}
_SORTS: Final = {
    "string": Sort.TEXT,
    "integer": Sort.WHOLE,
    "number": Sort.NUMBER,
    "boolean": Sort.FLAG,
}
