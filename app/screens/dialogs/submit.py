"""A form for a new task: its payload by the schema of its kind, or as JSON, and how it is to be run."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Final, cast

from rich.text import Text
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.widget import Widget
from textual.widgets import Button, Static, TextArea

from ...core.errors import UsageError
from ...core.text import count
from ...handle import Group, KindSchema
from ...runtimes.payload import BadPayload, pack, unpack
from ...runtimes.plain import jsonable
from ..editing import as_text, from_text
from ..fields import Field, Sort, fields_of, payload_of, texts_of
from ..widgets.form import Form
from ..widgets.words import safe
from .base import Dialog

if TYPE_CHECKING:
    from ..app import Console

MAX_JSON: Final = 1024 * 1024
"""Characters of a payload that is typed."""
MAX_KEY: Final = 256
_LONGEST: Final = 10 * 365 * 86_400.0
"""Seconds."""
OPTIONS: Final = (
    Field(
        key="priority", label="Priority", sort=Sort.WHOLE, text="0", hint="-100 to 100, high first",
        low=-100, high=100,
    ),
    Field(
        key="timeout", label="Timeout", sort=Sort.SPAN, hint="of one attempt, as 30s",
        low=0.001, high=_LONGEST,
    ),
    Field(
        key="max_attempts", label="Attempts", sort=Sort.WHOLE, hint="at most; empty: as set",
        low=1, high=1_000,
    ),
    Field(key="delay", label="Delay", sort=Sort.SPAN, hint="not before, as 10m", low=0, high=_LONGEST),
    Field(key="batch", label="Batch", hint="a name to find it by"),
    Field(key="key", label="Key", hint="the same key is one task"),
    Field(key="worker", label="Worker", hint="only this one may run it"),
)  # fmt: skip
"""How a task is to be run: fields of a `Group`, and its key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """What a form begins with."""

    kind: KindSchema
    payload: bytes | None = None
    """Of the task that this one is to be like; None for the example of the kind."""
    options: dict[str, str] | None = None
    """Texts of the options."""


class SubmitForm(Dialog[Group]):
    """Answers the task to submit, or None."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("ctrl+s", "submit", "Submit", show=False)]
    DEFAULT_CSS = """
    SubmitForm VerticalScroll { height: auto; max-height: 60vh; }
    SubmitForm TextArea { height: auto; min-height: 3; max-height: 8; background: $panel; padding: 0 1; }
    SubmitForm TextArea { display: none; }
    SubmitForm.-json TextArea { display: block; }
    SubmitForm.-json #payload { display: none; }
    SubmitForm .submit--part { text-style: bold; color: $primary; margin-top: 1; }
    SubmitForm .submit--about { color: $foreground 60%; height: 1; text-overflow: ellipsis; }
    """

    def __init__(self, draft: Draft) -> None:
        kind = draft.kind
        offered = count(kind.workers, "worker") + (" offers it" if kind.workers == 1 else " offer it")
        super().__init__(f"Submit {kind.name}")
        self._about = " ".join(
            filter(None, (kind.doc, f"({offered})" if kind.workers else "(no worker offers it)"))
        )
        self._draft = draft
        packed = kind.example if draft.payload is None else draft.payload
        example = _unpacked(packed)
        self._fields = fields_of(kind.schema, example)
        if not self._fields or (packed and texts_of(self._fields, example) is None):
            self.add_class("-json")
        self._json = as_text(packed) if packed else "null"

    def parts(self) -> Sequence[Widget]:
        return (
            Static(Text(safe(self._about)), classes="submit--about"),
            VerticalScroll(
                Static("Payload", classes="submit--part"),
                Form(self._fields, id="payload"),
                TextArea(self._json, tab_behavior="focus", compact=True),
                Static("How it is run", classes="submit--part"),
                Form(self._options(), id="options"),
            ),
            Static(classes="dialog--error"),
        )

    def buttons(self) -> Sequence[Button]:
        return (
            Button(
                "As JSON" if not self.has_class("-json") else "As fields",
                id="swap",
                disabled=not self._fields,
            ),
            Button("As command", id="twin"),
            Button("Cancel", id="no"),
            Button("Submit ^s", id="yes", variant="primary"),
        )

    def on_mount(self) -> None:
        """Type at once. A form shows the payload that it was given."""
        self.query_one(VerticalScroll).can_focus = False
        self.query_one(".dialog--title").styles.margin = 0  # there is little room in small terminals
        if self.has_class("-json"):
            self.query_one(TextArea).focus()
            return
        form = self.query_one("#payload", Form)
        form.fill(texts_of(self._fields, _unpacked(from_text(self._json))) or {})
        form.begin()

    def on_button_pressed(self, event: Button.Pressed) -> None:
        """Two more buttons: the other way to type it, and the command line that does the same."""
        if event.button.id not in {"swap", "twin"}:
            return
        event.stop()
        event.prevent_default()
        try:
            self._say("")
            if event.button.id == "swap":
                self._swap(event.button)
            else:
                line = twin_of(self.group())
                self.app.copy_to_clipboard(line)
                cast("Console", self.app).tell(f"copied: {line}")
        except UsageError as error:
            self._say(str(error))

    def action_submit(self) -> None:
        """Submit it, wherever the cursor is."""
        self.answer()

    def on_input_submitted(self) -> None:
        """Enter is Submit."""
        self.answer()

    def answer(self) -> None:
        try:
            self.dismiss(self.group())
        except UsageError as error:
            self._say(str(error))

    def group(self) -> Group:
        """The task that is typed.

        Raises:
            UsageError: says which field is wrong.
        """
        payload = self._payload()
        given = self.query_one("#options", Form).read()
        given = {key: one for key, one in given.items() if one != ""}
        key = given.pop("key", None)
        if key is not None and len(key) > MAX_KEY:
            raise UsageError(f"Key: has at most {MAX_KEY} characters")
        return Group(self._draft.kind.name, [payload], None if key is None else [key], **given)

    def _payload(self) -> bytes:
        if self.has_class("-json"):
            return from_text(self.query_one(TextArea).text[:MAX_JSON])
        try:
            return pack(payload_of(self.query_one("#payload", Form).read()))
        except BadPayload as error:
            raise UsageError(f"the payload cannot be sent: {error}") from error

    def _swap(self, button: Button) -> None:
        """The same payload in the other form.

        Raises:
            UsageError: what is typed cannot be shown there.
        """
        area, form = self.query_one(TextArea), self.query_one("#payload", Form)
        if self.has_class("-json"):
            texts = texts_of(self._fields, _unpacked(self._payload()))
            if texts is None:
                raise UsageError("this payload has parts that have no field: go on with JSON")
            form.fill({field.key: "" for field in self._fields if field.sort is not Sort.CHOICE} | texts)
        else:
            area.load_text(as_text(self._payload()))
        self.toggle_class("-json")
        button.label = "As fields" if self.has_class("-json") else "As JSON"
        if self.has_class("-json"):
            area.focus()
        else:
            form.begin()

    def _options(self) -> tuple[Field, ...]:
        known = self._draft.options or {}
        return tuple(
            replace(field, text=known[field.key]) if field.key in known else field for field in OPTIONS
        )

    def _say(self, what: str) -> None:
        self.query_one(".dialog--error", Static).update(Text(safe(what)))


def twin_of(group: Group) -> str:
    """The command line that submits the same."""
    text = json.dumps(jsonable(_unpacked(group.payloads[0])), ensure_ascii=False)
    words = ["taskmessenger", "submit", group.kind, "--json-payload", text]
    options = {
        "priority": group.priority or None,
        "timeout": group.timeout,
        "max-attempts": group.max_attempts,
        "delay": group.delay or None,
        "key": group.keys[0] if group.keys else None,
        "batch": group.batch,
        "worker": group.worker,
    }
    for name, one in options.items():
        if one is not None:
            words += [f"--{name}", f"{one:g}s" if isinstance(one, float) else str(one)]
    return shlex.join(words)


def _unpacked(packed: bytes) -> Any:
    try:
        return unpack(packed) if packed else None
    except BadPayload:
        return packed
