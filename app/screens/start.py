"""The start screen: what is this machine to be? It asks, and begins nothing itself.

It is an application of its own, before there is a node: whoever runs it carries out what it answers, and runs
it again with the reason when that could not be done.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Final

from rich.text import Text
from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option as Line

from .. import __version__
from . import beginning as b
from .beginning import Begin, Known
from .dialogs.ask import Ask, AskInvite
from .fields import Field
from .prefs import Prefs
from .stylesheet import stylesheet
from .surviving import Surviving
from .widgets.painter import fit
from .widgets.words import safe

HINT: Final = 9
MAX_ERROR: Final = 600


class StartApp(Surviving[Begin]):
    """Answers what to begin, or None."""

    TITLE = "Task Messenger"
    CSS_PATH = stylesheet()
    ENABLE_COMMAND_PALETTE = False
    lost = None
    CSS = """
    StartApp Screen { align: center middle; background: $background; }
    #start { width: 76; max-width: 100%; height: auto; max-height: 100%; }
    #start > Static { width: 1fr; height: auto; }
    #start > #title { text-style: bold; margin-bottom: 1; }
    #start > #error { color: $error; margin-bottom: 1; display: none; }
    #start > #about { height: 4; color: $foreground 70%; margin-top: 1; }
    #start > #keys { color: $foreground 70%; margin-top: 1; }
    #start > OptionList { height: auto; background: $background; border: round $primary 50%; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("q,escape,ctrl+q,ctrl+c", "leave", "Quit", show=False, priority=False),
        Binding("e", "change", "Change", show=False),
    ]

    def __init__(self, known: Known, prefs: Prefs | None = None, *, joins: bool = False) -> None:
        """`joins`: that it is to be a worker is known, and the invite alone is asked for."""
        super().__init__()
        self._joins = joins
        self.known, self.prefs = known, prefs or Prefs()
        self._options = b.options(known)
        self.prefs.dress(self)

    def compose(self) -> ComposeResult:
        with Vertical(id="start"):
            yield Static(Text(f"Task Messenger {__version__}\nWhat is this machine to be?"), id="title")
            yield Static(id="error")
            yield OptionList(*(Line(_line(option.hint, option.label)) for option in self._options))
            yield Static(id="about")
            yield Static(Text("Enter begins   e changes the settings   q quits"), id="keys")

    async def on_mount(self) -> None:
        """On what was begun the last time."""
        if self.known.error:
            error = self.query_one("#error", Static)
            error.display = True
            error.update(Text(f"! {safe(self.known.error, MAX_ERROR)}"))
        likeliest = b.likeliest(self.known)
        listed = self.query_one(OptionList)
        listed.highlighted = next((i for i, o in enumerate(self._options) if o.answer == likeliest), 0)
        listed.focus()
        if self._joins:
            self._join()

    @property
    def highlighted(self) -> str:
        """What Enter would begin."""
        at = self.query_one(OptionList).highlighted
        return self._options[at or 0].answer

    @on(OptionList.OptionHighlighted)
    def _tell(self) -> None:
        words, line = b.about(self.highlighted, self.known)
        self.query_one("#about", Static).update(Text(f"{safe(words)}\n\n$ taskmessenger {safe(line)}"))

    @on(OptionList.OptionSelected)
    def _selected(self) -> None:
        self._begin(change=False)

    def action_change(self) -> None:
        """Ask for what is known already."""
        if self.highlighted in {b.MANAGER, b.WORKER}:
            self._begin(change=True)

    def action_leave(self) -> None:
        """Begin nothing."""
        self.exit(None)

    @work(exclusive=True)
    async def _begin(self, *, change: bool) -> None:
        match self.highlighted:
            case b.MANAGER:
                begin = await self._manager(change=change)
            case b.WORKER:
                begin = await self._worker(change=change)
            case b.ELSEWHERE:
                begin = await self._elsewhere()
            case b.MEMBER:
                begin = Begin(what=b.MEMBER, address=self.known.member_at)
            case what:
                begin = Begin(what=what)
        if begin is not None:
            self.exit(begin)

    async def _manager(self, *, change: bool) -> Begin | None:
        if self.known.manager and not change:
            return Begin(what=b.MANAGER)
        lines = [
            "Whoever joins is let in by an invite, and every link is encrypted. Enter takes it as it is."
        ]
        if self.known.addresses:
            lines.append(f"This machine is {', '.join(self.known.addresses)} to its network.")
        if self.known.zerotier:
            lines.append(f"Not offered: ZeroTier. {self.known.zerotier}")
        given = await self.push_screen_wait(
            Ask("A fleet on this machine", lines, b.manager_fields(self.known), check=b.manager_settings,
                yes="Start it")
        )  # fmt: skip
        return None if given is None else Begin(what=b.MANAGER, settings=b.manager_settings(given))

    async def _worker(self, *, change: bool) -> Begin | None:
        if self.known.worker and not change:
            return Begin(what=b.WORKER)
        invite: str | None = ""
        if not self.known.worker:
            invite = await self._invite()
        if invite is None:
            return None
        given = await self.push_screen_wait(
            Ask("This worker", ["Enter takes it as it is."], b.worker_fields(self.known),
                check=b.worker_settings, yes="Start it")
        )  # fmt: skip
        if given is None:
            return None
        return Begin(what=b.WORKER, settings=b.worker_settings(given), invite=invite)

    @work(exclusive=True)
    async def _join(self) -> None:
        invite = await self._invite()
        self.exit(None if invite is None else Begin(what=b.WORKER, invite=invite))

    async def _invite(self) -> str | None:
        """The invite of a worker."""
        invite: str | None = await self.push_screen_wait(
            AskInvite(
                "Join a fleet",
                ["At the manager, 7 then n in its console, or `taskmessenger invite`, makes one."],
                lambda text: b.check_invite(text, ("worker",)),
            )
        )
        return invite

    async def _elsewhere(self) -> Begin | None:
        if self.known.member:
            field = Field(key="address", label="Address", text=self.known.member_at, required=True,
                          hint="as tcp://HOST:PORT")  # fmt: skip
            given = await self.push_screen_wait(
                Ask("Attach", [f"You are a member of {self.known.member}."], [field], check=_is_address)
            )
            return None if given is None else Begin(what=b.ELSEWHERE, address=given["address"].strip())
        lines = ["At the manager `taskmessenger invite --role operator` makes one; `client` may do less."]
        text = await self.push_screen_wait(
            AskInvite("Attach to a manager elsewhere", lines, lambda text: b.check_invite(text, b.ASKS))
        )
        return None if text is None else Begin(what=b.ELSEWHERE, invite=text)


def _line(hint: str, label: str) -> Text:
    text = Text(no_wrap=True, overflow="ellipsis")
    return text.append(f" {fit(hint, HINT)} ", "bold").append(safe(label))


def _is_address(given: Mapping[str, Any]) -> object:
    from ..net.address import Address

    return Address.parse(given["address"])
