"""What can be done with invites: make one, revoke some."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from ...core.errors import TaskMessengerError
from ...core.text import count
from ...handle import ActDone, SettingRow
from ..acting import Danger, Order
from ..commands import Command
from ..dialogs.invite import InviteMade, MakeInvite, Wanted, fields
from ..dialogs.invite import wanted as wanted_of
from ..fields import values
from ..view import View

if TYPE_CHECKING:
    from ..views.invites import InvitesView


class OnInvites(Command):
    """Base of those for the invites."""

    views, roles, changes = ("invites",), frozenset({"manager"}), True


class Make(OnInvites):
    """Make an invite: for whom, for how many, for how long. Or typed, as  :invite.make worker 50 2h yes ."""

    name, title, key, place = "invite.make", "New invite", "n", 20
    asks_words = True

    def twin(self, view: View) -> str:
        return "taskmessenger invite --role worker --uses 1 --ttl 15m"

    async def run(self, view: View, words: str = "") -> None:
        wanted = _typed(words) if words else await self._asked(view)
        if wanted is None:
            return
        console = view.console
        text, row = await view.node.make_invite(
            wanted.uses, wanted.ttl, wanted.role, wanted.approve, wanted.ephemeral
        )
        view.acted()
        await console.push_screen_wait(InviteMade(text, row, console.clock(), console.times))

    async def _asked(self, view: View) -> Wanted | None:
        try:
            known = {row.key: row for row in await view.node.settings()}
        except TaskMessengerError:  # who may not read the settings may still make an invite
            known = {}
        uses, ttl = _set(known, "security.invite_uses"), _set(known, "security.invite_ttl")
        asked = MakeInvite(uses or "1", _as_span(ttl) or "15m")
        wanted: Wanted | None = await view.console.push_screen_wait(asked)
        return wanted


class Revoke(OnInvites):
    """Let nobody use the chosen invites any more. Who has joined with them stays."""

    name, title, key, place, menu = "invite.revoke", "Revoke", "d", 30, True

    def ready(self, view: View) -> bool:
        return bool(cast("InvitesView", view).open_ids())

    def twin(self, view: View) -> str:
        return f"taskmessenger invite revoke {cast('InvitesView', view).open_ids()[0]}"

    async def run(self, view: View, words: str = "") -> None:
        ids = cast("InvitesView", view).open_ids()

        async def do() -> ActDone:
            for invite_id in ids:
                await view.node.revoke_invite(invite_id)
            return ActDone(len(ids))

        what = f"invite {ids[0]}" if len(ids) == 1 else count(len(ids), "invite")
        await view.console.actor.perform(
            view,
            Order(
                what=f"revoke {what}",
                done="revoked",
                do=do,
                noun="invite",
                number=len(ids),
                names=ids,
                danger=Danger.ASK,
                note="Who has joined with it stays.",
                twin=self.twin(view),
            ),
        )


def _typed(words: str) -> Wanted:
    """`worker 50 2h yes no`, the last two for approval and ephemeral: each may be left out from the end.

    Raises:
        UsageError: says which of them is wrong.
    """
    known = fields()
    given = dict(zip((field.key for field in known), words.split(), strict=False))
    found = values(known, {"role": "worker", **given})
    return wanted_of(found)


def _set(known: dict[str, SettingRow], key: str) -> str:
    return known[key].value if key in known else ""


def _as_span(text: str) -> str:
    """Seconds in the largest unit that they are a whole number of."""
    try:
        length = float(text)
    except ValueError:
        return ""
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "m")):
        if length >= size and length % size == 0:
            return f"{length / size:.0f}{unit}"
    return f"{length:g}s"
