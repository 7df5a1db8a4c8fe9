"""Making an invite: what it is to allow, and its text, once, to be copied or read by a camera."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Final, cast

from rich.style import Style
from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.widget import Widget
from textual.widgets import Button, Static

from ...core.errors import UsageError
from ...core.inviting import MAX_TTL, MAX_USES, MIN_TTL
from ...core.text import count
from ...handle import InviteRow
from ..fields import Field, Sort
from ..invite_words import JOIN, MAY, ROLES, endpoints, only_here, terms
from ..qr import framed, modules, needs
from ..widgets.form import Form
from ..widgets.words import TimeMode, exact, safe, with_article
from .base import Dialog, Modal

if TYPE_CHECKING:
    from ..app import Console

NO, YES = "no", "yes"
"""Words, and no box to tick: whether that has a cross must be seen without colours too."""
LINE: Final = 62
"""Characters of an invite in one line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What an invite is to allow. 0: as the manager is set."""

    role: str
    uses: int
    ttl: float
    """Seconds."""
    approve: bool = False
    ephemeral: bool = False


class MakeInvite(Dialog[Wanted]):
    """Answers what is wanted, or None."""

    def __init__(self, uses: str = "", ttl: str = "") -> None:
        """`uses` and `ttl`: what the manager is set to, as text."""
        super().__init__("Make an invite", ["Whoever has its text may join this fleet until it ends."])
        self._fields = fields(uses, ttl)

    def parts(self) -> Sequence[Widget]:
        return (Form(self._fields), Static(classes="dialog--error"))

    def buttons(self) -> Sequence[Button]:
        return (Button("Cancel", id="no"), Button("Make it", id="yes", variant="primary"))

    def on_mount(self) -> None:
        """Enter makes what is nearly always wanted; Tab goes through the fields."""
        self.query_one("#yes", Button).focus()

    def on_input_submitted(self) -> None:
        """Enter is the button."""
        self.answer()

    def answer(self) -> None:
        try:
            given = self.query_one(Form).read()
        except UsageError as error:
            self.query_one(".dialog--error", Static).update(Text(safe(error)))
            return
        self.dismiss(wanted(given))


def wanted(given: Mapping[str, Any]) -> Wanted:
    """What the values of the fields mean."""
    return Wanted(
        role=given["role"],
        uses=given.get("uses", 0),
        ttl=given.get("ttl", 0.0),
        approve=given.get("approve") == YES,
        ephemeral=given.get("ephemeral") == YES,
    )


def fields(uses: str = "", ttl: str = "") -> tuple[Field, ...]:
    """What can be said of a new invite."""
    return (
        Field(key="role", label="For a", sort=Sort.CHOICE, text=ROLES[0], choices=ROLES, required=True),
        Field(key="uses", label="Uses", sort=Sort.WHOLE, text=uses, hint="how many may join", low=1,
              high=MAX_USES),
        Field(key="ttl", label="Good for", sort=Sort.SPAN, text=ttl, hint="as 15m, 2h or 1d", low=MIN_TTL,
              high=MAX_TTL),
        Field(key="approve", label="Approval", sort=Sort.CHOICE, text=NO, choices=(NO, YES),
              hint="each waits for you"),
        Field(key="ephemeral", label="Ephemeral", sort=Sort.CHOICE, text=NO, choices=(NO, YES),
              hint="forgotten when it leaves"),
    )  # fmt: skip


class InviteMade(Dialog[None]):
    """Shows the text. It is nowhere else: when this is closed, it is gone."""

    DEFAULT_CSS = """
    InviteMade .invite--text { background: $panel; padding: 0 1; margin-bottom: 1; height: auto; }
    InviteMade VerticalScroll { height: auto; max-height: 60vh; }
    """

    def __init__(self, text: str, row: InviteRow, now: float, times: TimeMode) -> None:
        super().__init__(f"Invite {row.id} for {with_article(row.role)}")
        self._secret = text
        self._lines = tuple(_told(row, endpoints(text), now, times))
        self._warnings = tuple(_warnings(row, endpoints(text)))

    def parts(self) -> Sequence[Widget]:
        about = Text("\n").join(Text(safe(line)) for line in self._lines)
        for warning in self._warnings:
            about.append(f"\n! {safe(warning, 300)}", Style(bold=True))
        shown = Text("\n".join(_lines(safe(self._secret, len(self._secret) + 1))))
        return (VerticalScroll(Static(shown, classes="invite--text"), Static(about, classes="dialog--text")),)

    def buttons(self) -> Sequence[Button]:
        return (
            Button("Copy", id="copy", variant="primary"),
            Button("QR code", id="qr"),
            Button("Close", id="no"),
        )

    def on_mount(self) -> None:
        """Enter copies."""
        self.query_one("#copy", Button).focus()

    def on_button_pressed(self, event: Button.Pressed) -> None:
        """Copy, show as a code, or close."""
        event.stop()
        event.prevent_default()  # the base would close it
        if event.button.id == "copy":
            self.app.copy_to_clipboard(self._secret)
            cast("Console", self.app).tell(
                "the invite is in the clipboard, if the terminal allows that (OSC 52)"
            )
        elif event.button.id == "qr":
            self.app.push_screen(QrCode(self._secret))
        else:
            self.action_leave()


class QrCode(Modal[None]):
    """The code alone on the screen, as large as it must be. Any key closes it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,enter,space,q", "leave", "Close", show=False),
    ]
    DEFAULT_CSS = """
    QrCode { align: center middle; background: $background; }
    QrCode > Static { width: auto; height: auto; text-wrap: nowrap; }
    """

    def __init__(self, text: str) -> None:
        super().__init__()
        self._modules = modules(text.upper())  # as good in capitals, and half as large

    def compose(self) -> ComposeResult:
        yield Static()

    def on_mount(self) -> None:
        """Draw it for this size."""
        self._draw()

    def on_resize(self) -> None:
        """Draw it for another size."""
        self._draw()

    def on_click(self) -> None:
        """A click closes it."""
        self.action_leave()

    def action_leave(self) -> None:
        """Back to the text."""
        self.dismiss(None)

    def _draw(self) -> None:
        width, height = self.app.size
        drawn = framed(self._modules, width, height)
        if drawn is None:
            columns, lines = needs(self._modules)
            drawn = Text(f"this terminal is too small for the code: make it {columns} by {lines} at least\n")
            drawn.append("Esc goes back to the text")
        self.query_one(Static).update(drawn)


def _lines(text: str) -> Iterator[str]:
    """In lines that break between groups: who reads it back does not mind."""
    line = ""
    for group in text.split("-"):
        if line and len(line) + len(group) >= LINE:
            yield line
            line = ""
        line += f"{group}-"
    yield line.rstrip("-")


def _told(row: InviteRow, ways: tuple[str, ...], now: float, times: TimeMode) -> Iterator[str]:
    yield "Shown this once. On the other machine type this, and paste:"
    yield f"  {JOIN.get(row.role, '')}"
    yield f"{count(row.uses, 'use')}, until {exact(row.expires_at, times, now)}"
    yield f"Whoever joins with it may {MAY.get(row.role, 'join')}{terms(row)}."
    if ways:
        yield f"It leads to {', '.join(ways)}"


def _warnings(row: InviteRow, ways: tuple[str, ...]) -> Iterator[str]:
    if row.uses > 1:
        yield f"{count(row.uses, 'machine')} can join with it until it ends: revoke it when they have"
    if only_here(ways):
        yield (
            "only this machine can reach that address: for others start the manager with"
            " --listen tcp://0.0.0.0:7711 --advertise tcp://THIS-HOST:7711"
        )
