"""What can be done with members that wait: approve them, or reject them, which revokes them."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, ClassVar

from ...core.text import count
from ...handle import Act, ActDone, PendingRow
from ..acting import Danger, Order
from ..commands import Command
from ..steering import MANAGER, each
from ..view import View
from ..waiting import Waiting
from ..widgets.words import safe

if TYPE_CHECKING:
    from collections.abc import Sequence


class OnPending(Command):
    """Base of those for the members that wait: the marked ones, or the one under their cursor."""

    views, roles, changes, menu = ("invites",), MANAGER, True, True
    verb: ClassVar[str] = ""
    word: ClassVar[str] = ""
    """What it is called in a question."""
    done: ClassVar[str] = ""
    note: ClassVar[str] = ""

    def ready(self, view: View) -> bool:
        return bool(_chosen(view))

    def twin(self, view: View) -> str:
        rows = _chosen(view)
        return f"taskmessenger worker {self.verb} {shlex.quote(rows[0].id)}" if rows else ""

    async def run(self, view: View, words: str = "") -> None:
        rows = _chosen(view)

        async def do() -> ActDone:
            return await each(view, [Act(verb=self.verb, scope=f"worker:{row.id}") for row in rows])

        one = len(rows) == 1
        what = f"member {rows[0].id}" if one else count(len(rows), "member")
        names = tuple(row.id if one else f"{row.id}  {safe(row.fingerprint)}" for row in rows)
        shown = f"Its fingerprint is {safe(rows[0].fingerprint)}. " if one else ""
        order = Order(
            what=f"{self.word} {what}", done=self.done, do=do, noun="member", number=len(rows), names=names,
            danger=Danger.ASK, note=f"{shown}{self.note}", twin=self.twin(view),
        )  # fmt: skip
        await view.console.actor.perform(view, order)


class Approve(OnPending):
    """Let the member in that waits, once its machine shows the same fingerprint."""

    name, title, key, place = "member.approve", "Approve", "A", 22
    verb, word, done = "approve", "approve", "approved"
    note = "Compare it with what the machine itself shows."


class Reject(OnPending):
    """Do not let the member in that waits: it is revoked, and needs a new invite."""

    name, title, key, place = "member.reject", "Reject", "X", 24
    verb, word, done = "revoke", "reject", "rejected"
    note = "It cannot come back without a new invite."


def _chosen(view: View) -> Sequence[PendingRow]:
    return view.query_one(Waiting).chosen() if view.query(Waiting) else ()
