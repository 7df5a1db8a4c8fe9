"""A form: a line for each field, label, control and hint. Says what stands in it; judges nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from rich.text import Text
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.widget import Widget
from textual.widgets import Checkbox, Input, Select, Static

from ...core.errors import UsageError
from ..fields import MAX_TEXT, NOTHING, Field, Sort, value
from .words import safe

LABEL: Final = 13
"""Cells for a label."""
HINT: Final = 26


class Form(Vertical):
    """Fields under each other. Enter in one of them is told as `Input.Submitted`."""

    DEFAULT_CSS = f"""
    Form {{ height: auto; width: 1fr; }}
    Form > Horizontal {{ height: 1; width: 1fr; margin-bottom: 0; }}
    Form .form--label {{ width: {LABEL}; text-wrap: nowrap; text-overflow: ellipsis; }}
    Form .form--hint {{ width: {HINT}; padding-left: 1; color: $foreground 60%; text-wrap: nowrap;
                        text-overflow: ellipsis; }}
    Form Input, Form Select, Form Checkbox {{ width: 1fr; margin: 0; }}
    Form Input {{ background: $panel; }}
    Form Input:focus {{ background: $primary 30%; }}
    Form .-wrong .form--label {{ color: $error; text-style: bold; }}
    """

    def __init__(self, fields: Sequence[Field], *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self.fields = tuple(fields)

    def compose(self) -> ComposeResult:
        for at, field in enumerate(self.fields):
            with Horizontal(classes="form--row"):
                yield Static(Text(safe(field.shown)), classes="form--label")
                yield _control(field, f"{self.id or 'form'}-{at}")
                yield Static(Text(field.hint), classes="form--hint")

    def texts(self) -> dict[str, str]:
        """What stands in each field, by its key."""
        return {field.key: self._text(at) for at, field in enumerate(self.fields)}

    def read(self) -> dict[str, Any]:
        """The values of what was filled in, by key; shows which one is wrong.

        Raises:
            UsageError: says what is wrong with it.
        """
        texts, found = self.texts(), {}
        self.point(None)
        for field in self.fields:
            try:
                one = value(field, texts[field.key])
            except UsageError:
                self.point(field.key)
                raise
            if one is not NOTHING:
                found[field.key] = one
        return found

    def fill(self, texts: Mapping[str, str]) -> None:
        """Put these texts into their fields."""
        for at, field in enumerate(self.fields):
            if field.key in texts:
                _put(self._at(at), texts[field.key])

    def point(self, key: str | None) -> None:
        """Show which field is wrong, and go there; None: none is."""
        for at, field in enumerate(self.fields):
            control = self._at(at)
            wrong = field.key == key
            if control.parent is not None:
                control.parent.set_class(wrong, "-wrong")
            if wrong:
                control.focus()

    def begin(self) -> None:
        """Type into the first one."""
        if self.fields:
            self._at(0).focus()

    def _at(self, at: int) -> Widget:
        return self.query_one(f"#{self.id or 'form'}-{at}")

    def _text(self, at: int) -> str:
        control = self._at(at)
        if isinstance(control, Input):
            return control.value
        if isinstance(control, Checkbox):
            return "true" if control.value else "false"
        assert isinstance(control, Select)
        return "" if control.is_blank() else str(control.value)


def _control(field: Field, name: str) -> Widget:
    match field.sort:
        case Sort.FLAG:
            return Checkbox("", value=field.text == "true", compact=True, id=name)
        case Sort.CHOICE:
            options = [(Text(safe(choice)), choice) for choice in field.choices]
            value = field.text if field.text in field.choices else field.choices[0]
            return Select(options, value=value, allow_blank=False, compact=True, id=name)
        case _:
            return Input(
                field.text, type="text", compact=True, max_length=MAX_TEXT, select_on_focus=False, id=name
            )


def _put(control: Widget, text: str) -> None:
    if isinstance(control, Input):
        control.value = text
    elif isinstance(control, Checkbox):
        control.value = text == "true"
    elif isinstance(control, Select):
        control.value = text
