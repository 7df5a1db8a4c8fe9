"""Yes or no, with No where Enter is; and the same with something to type, for what is large or final."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.widget import Widget
from textual.widgets import Button, Input, Static

from .base import Dialog


class Confirm(Dialog[bool]):
    """Yes or no."""

    NOTHING = False
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "yes", "Yes", show=False),
        Binding("n", "leave", "No", show=False),
    ]

    def __init__(self, title: str, lines: Sequence[str] = (), *, twin: str = "", meant: bool = False) -> None:
        """`meant`: Enter is Yes."""
        super().__init__(title, lines, twin=twin)
        self._meant = meant

    def buttons(self) -> Sequence[Button]:
        no = Button("No", id="no", variant="default" if self._meant else "primary")
        return (no, Button("Yes", id="yes", variant="primary" if self._meant else "default"))

    def on_mount(self) -> None:
        """On the answer that Enter gives."""
        if self._meant:
            self.query_one("#yes", Button).focus()

    def action_yes(self) -> None:
        """Yes."""
        self.dismiss(True)

    def answer(self) -> None:
        self.action_yes()


class Typed(Dialog[bool]):
    """Yes only when the number or the name has been typed."""

    NOTHING = False

    def __init__(self, title: str, lines: Sequence[str], phrase: str, *, twin: str = "") -> None:
        super().__init__(title, lines, twin=twin)
        self._phrase = phrase

    def parts(self) -> Sequence[Widget]:
        return (
            Static(f"Type {self._phrase} to go on", markup=False, classes="dialog--label"),
            Input(id="typed", max_length=200),
        )

    def buttons(self) -> Sequence[Button]:
        return (Button("No", id="no", variant="primary"), Button("Go on", id="yes", disabled=True))

    def on_mount(self) -> None:
        """The field is what the operator came for."""
        self.query_one(Input).focus()

    def _fits(self) -> bool:
        typed = self.query_one(Input).value.strip()
        return self._phrase in {typed, typed.replace(",", "")}

    def on_input_changed(self) -> None:
        """The button works when the right thing stands there."""
        self.query_one("#yes", Button).disabled = not self._fits()

    def on_input_submitted(self) -> None:
        """Enter is the button, when it works."""
        if self._fits():
            self.dismiss(True)

    def answer(self) -> None:
        if self._fits():
            self.dismiss(True)
