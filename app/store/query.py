"""Answers questions about single tasks from a connection that cannot write; lists of them are in `pages`."""

# ruff: noqa: S608 - what is put into SQL here are texts of this package; values are always bound

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import apsw

from ..handle import AttemptInfo, Outcome, TaskDetail
from . import large, outputs
from .bulk import numbers
from .conditions import MAX_ID, possible
from .database import fetch
from .error_blobs import decode_error, message_of
from .large import Part
from .pages import SHOWN, row
from .segments import Segments

MAX_ATTEMPTS: Final = 100
"""Attempts of one task that are shown: the newest."""

OUTPUT_SHOWN: Final = 16 << 10
"""Bytes of the end of an attempt's output that go with what else is known of its task."""
_JOINED: Final = """
LEFT JOIN open_task AS o ON o.id = t.id
LEFT JOIN ended AS e ON e.id = t.id"""
_DETAIL: Final = f"""
SELECT {SHOWN}, length(t.payload), length(e.result), CASE WHEN length(t.payload) <= ? THEN t.payload END
FROM task AS t {_JOINED} WHERE t.id = ?"""
_ATTEMPTS: Final = """
SELECT attempt, worker, started_at, ended_at, how, error FROM attempt
WHERE task = ? ORDER BY attempt DESC, ended_at DESC LIMIT ?"""
_OUTCOMES: Final = """
SELECT e.id, e.state, e.attempt, e.worker, e.result, e.error, e.run_seconds
FROM carray(?) AS c CROSS JOIN ended AS e ON e.id = c.value"""
_PAYLOADS: Final = "SELECT t.id, t.payload FROM carray(?) AS c CROSS JOIN task AS t ON t.id = c.value"
_SMALL: Final = f"{_PAYLOADS} WHERE length(t.payload) <= ?"
_HEADS: Final = """
SELECT t.id, substr(t.payload, 1, ?) FROM carray(?) AS c CROSS JOIN task AS t ON t.id = c.value"""
_KEYS: Final = "SELECT t.key, t.id, t.digest FROM carray(?) AS c CROSS JOIN task AS t ON t.key = c.value"
_KEY: Final = "SELECT key, id, digest FROM task WHERE key = ?"


def prepare(connection: apsw.Connection) -> None:
    """Give a reading connection the function that pages need."""
    connection.create_scalar_function("message_of", _message_of, 1, deterministic=True)


def _message_of(*values: Any) -> str | None:
    return message_of(values[0])


def detail(
    connection: apsw.Connection, task_id: int, payload_limit: int, segments: Segments
) -> TaskDetail | None:
    """All that is stored of one task.

    Raises:
        StoreError: its payload is damaged.
    """
    if not possible([task_id]):
        return None
    found = connection.execute(_DETAIL, (max(-1, min(payload_limit, MAX_ID)), task_id)).fetchone()
    if found is None:
        return None
    payload_size, result_size, payload = found[17:]
    if payload_size is None:
        place = large.places(connection, [task_id], Part.PAYLOAD).get(task_id)
        payload_size = place.size if place is not None else 0
        if payload_size <= payload_limit:
            payload = large.read(task_id, Part.PAYLOAD, place, segments)
    if result_size is None:
        place = large.places(connection, [task_id], Part.RESULT).get(task_id)
        result_size = place.size if place is not None else None
    attempts = fetch(connection, _ATTEMPTS, (task_id, MAX_ATTEMPTS))
    return TaskDetail(
        row=row(found),
        payload_size=payload_size,
        result_size=result_size,
        payload=payload,
        error=decode_error(found[16]),
        attempts=tuple(AttemptInfo(*(*a[:5], decode_error(a[5]))) for a in reversed(attempts)),
        output=outputs.read(connection, task_id, 0, OUTPUT_SHOWN),
    )


def outcomes(
    connection: apsw.Connection, ids: Sequence[int], segments: Segments, most: int | None
) -> list[Outcome]:
    """Those of `ids` that have ended, in their order; up to the one with which they have `most` bytes.

    Raises:
        StoreError: a result is damaged.
    """
    wanted = possible(ids)
    if not wanted:
        return []
    found = fetch(connection, _OUTCOMES, numbers(wanted))
    places = large.places(connection, [row[0] for row in found if row[4] is None], Part.RESULT)
    read: list[Outcome] = []
    size = 0
    for one in found:
        place = places.get(one[0])
        result = one[4] if place is None else large.read(one[0], Part.RESULT, place, segments)
        read.append(Outcome(*(*one[:4], result, decode_error(one[5]), one[6])))
        size += len(result or b"")
        if most is not None and size >= most:
            break
    return read


def payloads(connection: apsw.Connection, ids: Sequence[int], segments: Segments) -> dict[int, bytes]:
    """The payloads of those that exist.

    Raises:
        StoreError: one of them is damaged.
    """
    wanted = possible(ids)
    if not wanted:
        return {}
    found = dict(fetch(connection, _PAYLOADS, numbers(wanted)))
    elsewhere = [task_id for task_id, payload in found.items() if payload is None]
    places = large.places(connection, elsewhere, Part.PAYLOAD)
    for task_id in elsewhere:
        found[task_id] = large.read(task_id, Part.PAYLOAD, places.get(task_id), segments)
    return found


def small_payloads(connection: apsw.Connection, ids: Sequence[int], most: int) -> dict[int, bytes]:
    """Those of up to `most` bytes, of those that exist; `most` is less than what has a file of its own."""
    wanted = possible(ids)
    return dict(fetch(connection, _SMALL, (*numbers(wanted), most))) if wanted else {}


def heads(connection: apsw.Connection, ids: Sequence[int], size: int, segments: Segments) -> dict[int, bytes]:
    """The beginnings of the payloads of those that exist and can be read."""
    wanted = possible(ids)
    if not wanted or size <= 0:
        return {}
    found = dict(fetch(connection, _HEADS, (size, *numbers(wanted))))
    elsewhere = [task_id for task_id, head in found.items() if head is None]
    places = large.places(connection, elsewhere, Part.PAYLOAD)
    found |= {task_id: segments.peek(place, size) for task_id, place in places.items()}
    return {task_id: head for task_id, head in found.items() if head}


def find_keys(connection: apsw.Connection, keys: Sequence[str]) -> dict[str, tuple[int, bytes]]:
    """Those of `keys` that a task has: its id and digest."""
    plain = tuple(key for key in keys if "\0" not in key)
    found = fetch(connection, _KEYS, (apsw.carray(plain),)) if plain else []
    for key in keys:
        if "\0" in key:  # an array of texts ends each at its first zero
            found += fetch(connection, _KEY, (key,))
    return {key: (task_id, digest) for key, task_id, digest in found}
