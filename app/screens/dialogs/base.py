"""A question over the screen: what all of them share. Keys: Escape gives the answer that does nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Final, TypeVar

from rich.text import Text
from textual.app import ComposeResult
from textual.await_complete import AwaitComplete
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.screen import ModalScreen
from textual.widget import Widget
from textual.widgets import Button, Static

from ..widgets.words import safe, safe_block

MAX_LINES: Final = 12
MAX_TEXT: Final = 4_000
T = TypeVar("T")


class Modal(ModalScreen[T]):
    """What lies over the screen until it is answered, which it is once, however often a key comes."""

    def dismiss(self, result: T | None = None) -> AwaitComplete:
        """Answer, if this lies on top: Textual takes away whatever does, be it another screen.

        It does not while something lies over it, nor when it has been answered.
        """
        return super().dismiss(result) if self.app.screen is self else AwaitComplete()


class Dialog(Modal[T]):
    """A framed box in the middle: title, text, `parts()`, buttons."""

    NOTHING: ClassVar[object] = None
    """The answer of Escape."""
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "leave", "Leave it", show=False),
        Binding("left", "app.focus_previous", show=False),
        Binding("right", "app.focus_next", show=False),
    ]

    def __init__(self, title: str, lines: Sequence[str] = (), *, twin: str = "") -> None:
        super().__init__()
        self._title = title
        self._text = list(lines)
        self._twin = twin

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog") as box:
            box.border_subtitle = "Esc leaves"
            yield Static(Text(safe(self._title)), classes="dialog--title")
            shown = [safe_block(line, MAX_TEXT) for line in self._text[:MAX_LINES]]
            if shown:
                yield Static(Text("\n".join(shown)), classes="dialog--text")
            yield from self.parts()
            if self._twin:
                yield Static(Text(f"$ {safe(self._twin)}"), classes="dialog--twin")
            if buttons := self.buttons():
                yield Horizontal(*buttons, classes="dialog--buttons")

    def parts(self) -> Sequence[Widget]:
        """What is between the text and the buttons."""
        return ()

    def buttons(self) -> Sequence[Button]:
        """The answers; the first one has the focus unless a part takes it."""
        return (Button("Close", id="no"),)

    def action_leave(self) -> None:
        """Answer what does nothing."""
        self.dismiss(self.NOTHING)  # type: ignore[arg-type]

    def on_button_pressed(self, event: Button.Pressed) -> None:
        """By the id of the button: `no` leaves, every other is for the dialog."""
        event.stop()
        if event.button.id == "no":
            self.action_leave()
        else:
            self.answer()

    def answer(self) -> None:
        """The other button, or Enter in a field."""
        self.action_leave()
