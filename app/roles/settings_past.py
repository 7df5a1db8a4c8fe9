"""Compares what a manager is set to with its last start: what is different was changed by somebody.

A file, a variable or a flag may be changed by any program, so it is looked at when the values are put to use.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Final

from ..core.commit import Commit
from ..core.ports import TaskStore
from ..handle import SettingRow
from .audit import Actor, Audit

SETTINGS: Final = "settings"
"""Under this name the store keeps those that are not as they come."""
SET: Final = "set"
"""The verb of their rows in the audit."""


async def record_changes(
    audit: Audit, store: TaskStore, before: Mapping[str, str], rows: Sequence[SettingRow], actor: Actor
) -> None:
    """A row of the audit for each setting that is not what it was. `before`: what the store has kept."""
    known: dict[str, str] = json.loads(before.get(SETTINGS, "{}"))
    now = {row.key: row.value for row in rows if row.value != row.default}
    if now == known:
        return
    for row in rows:
        old, new = known.get(row.key, row.default), row.value
        if old != new:
            where = Actor(actor.who, actor.role, row.origin)
            await audit.record(where, SET, f"{row.key} = {new}", outcome=f"done: it was {old}")
    await store.commit(Commit(settings={SETTINGS: json.dumps(now)}))
