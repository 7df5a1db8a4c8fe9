"""Another value for a setting: what it means and what it is now, and a field."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rich.text import Text
from textual.widget import Widget
from textual.widgets import Button, Input, Static

from ..widgets.words import safe
from .prompt import Prompt


class SettingPrompt(Prompt):
    """Answers what was typed, or None."""

    DEFAULT_CSS = "SettingPrompt Input { background: $panel; }"

    def __init__(
        self, key: str, lines: Sequence[str], value: str, default: str, check: Callable[[str], object]
    ) -> None:
        """`value` and `default` as a person writes them."""
        super().__init__(f"Set {key}", "New value", value, check=check)
        self._text = list(lines)
        self._default = default

    def parts(self) -> Sequence[Widget]:
        return (
            Input(self._value, compact=True),
            Static(Text(f"default: {safe(self._default) or '(empty)'}"), classes="dialog--twin"),
            Static(classes="dialog--error"),
        )

    def buttons(self) -> Sequence[Button]:
        return (
            Button("Default", id="default"),
            Button("Cancel", id="no"),
            Button("Write", id="yes", variant="primary"),
        )

    def on_button_pressed(self, event: Button.Pressed) -> None:
        """One more button: it fills in the default."""
        if event.button.id == "default":
            event.stop()
            event.prevent_default()
            field = self.query_one(Input)
            field.value = self._default
            field.focus()
