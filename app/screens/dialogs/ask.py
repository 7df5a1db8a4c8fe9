"""Several things to fill in; and an invite to paste, which is not shown."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from rich.text import Text
from textual.events import Paste
from textual.widget import Widget
from textual.widgets import Button, Input, Static

from ...core.errors import TaskMessengerError
from ..fields import Field
from ..widgets.form import Form
from ..widgets.words import safe
from .base import Dialog

MAX_INVITE: Final = 4_096
"""Characters of an invite, blanks and line breaks included."""
MAX_ERROR: Final = 400


class Ask(Dialog[dict[str, Any]]):
    """Answers the values of the form, by key, or None. `check` raises an error for what cannot be."""

    def __init__(
        self,
        title: str,
        lines: Sequence[str],
        fields: Sequence[Field],
        *,
        check: Callable[[Mapping[str, Any]], object] | None = None,
        yes: str = "OK",
    ) -> None:
        super().__init__(title, lines)
        self._fields, self._check, self._yes = tuple(fields), check, yes

    def parts(self) -> Sequence[Widget]:
        return (Form(self._fields), Static(classes="dialog--error"))

    def buttons(self) -> Sequence[Button]:
        return (Button("Back", id="no"), Button(self._yes, id="yes", variant="primary"))

    def on_mount(self) -> None:
        """Type at once."""
        self.query_one(Form).begin()

    def on_input_submitted(self) -> None:
        """Enter is the button."""
        self.answer()

    def answer(self) -> None:
        try:
            given = self.query_one(Form).read()
            if self._check is not None:
                self._check(given)
        except TaskMessengerError as error:
            self.query_one(".dialog--error", Static).update(Text(safe(error, MAX_ERROR)))
            return
        self.dismiss(given)


class Secret(Input):
    """Shows dots. What is pasted may have been wrapped over several lines."""

    def __init__(self) -> None:
        super().__init__(password=True, max_length=MAX_INVITE)

    def _on_paste(self, event: Paste) -> None:
        event.stop()
        event.prevent_default()
        self.insert_text_at_cursor("".join(event.text.split()))


class AskInvite(Dialog[str]):
    """Answers the text of an invite, or None."""

    def __init__(self, title: str, lines: Sequence[str], check: Callable[[str], object]) -> None:
        super().__init__(title, lines)
        self._check = check

    def parts(self) -> Sequence[Widget]:
        return (
            Static("Paste the invite", markup=False, classes="dialog--label"),
            Secret(),
            Static(classes="dialog--error"),
        )

    def buttons(self) -> Sequence[Button]:
        return (Button("Back", id="no"), Button("Join", id="yes", variant="primary"))

    def on_mount(self) -> None:
        """Paste at once."""
        self.query_one(Secret).focus()

    def on_input_submitted(self) -> None:
        """Enter is the button."""
        self.answer()

    def answer(self) -> None:
        text = self.query_one(Secret).value
        try:
            self._check(text)
        except TaskMessengerError as error:
            self.query_one(".dialog--error", Static).update(Text(safe(error, MAX_ERROR)))
            self.query_one(Secret).value = ""
            return
        self.dismiss(text)
