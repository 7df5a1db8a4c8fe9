"""Settings: each with its value, where that came from, what it means, and how it is changed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from rich.text import Text
from textual import on

from ...core.errors import TaskMessengerError
from ...core.text import count
from ...handle import SettingRow
from ..frame import Frame
from ..settings_words import is_changed, plain, source, variable_of
from ..table_view import TableView
from ..widgets.cells import Cell
from ..widgets.columns import Column, Look
from ..widgets.grid import Grid
from ..widgets.words import safe
from ..widgets.wrap import wrapped

MAX_DOC: Final = 600


class SettingsView(TableView):
    """What the node is set to."""

    NAME, TITLE, PLACE = "settings", "Settings", 9
    ROLES = frozenset({"manager", "worker"})
    ABOUT = (
        "Every setting of this node. What was changed from its default is marked. e writes another value"
        " into the configuration file, after a check; it is heeded when the node starts again."
    )
    EMPTY = "no settings are known yet"

    def __init__(self, argument: str = "") -> None:
        super().__init__(argument)
        self.known: tuple[SettingRow, ...] = ()
        self.pending: dict[str, str] = {}
        """Setting to the value that the file has now, and the node when it starts again."""
        self.only_changed = False

    def on_mount(self) -> None:
        super().on_mount()
        self.acted()

    def noun(self) -> str:
        return "setting"

    def columns(self) -> Sequence[Column[SettingRow]]:
        return (
            Column(key="key", title="SETTING", width=27, fit=True, order=lambda r: r.key,
                   cell=lambda r, _: (safe(r.key), "busy" if is_changed(r) else "")),
            Column(key="changed", title="", width=1, cell=lambda r, _: "*" if is_changed(r) else ""),
            Column(key="value", title="VALUE", width=28, grow=3, cell=lambda r, _: self._value(r)),
            Column(key="from", title="FROM", width=12, order=lambda r: r.origin,
                   cell=lambda r, _: (safe(source(r)), "dim" if r.origin == "default" else "")),
            Column(key="doc", title="WHAT IT IS", width=30, grow=5, drop=1,
                   cell=lambda r, _: (safe(r.doc), "dim")),
        )  # fmt: skip

    def key(self, row: SettingRow) -> str:
        return row.key

    def rows(self, frame: Frame) -> Sequence[SettingRow]:
        if self.only_changed:
            return tuple(row for row in self.known if is_changed(row) or row.key in self.pending)
        return self.known

    def words(self, row: SettingRow) -> str:
        return f"{row.key} {row.value} {row.origin} {row.doc}"

    def told(self, rows: Sequence[SettingRow]) -> str:
        changed = sum(map(is_changed, self.known))
        parts = [count(len(self.known), "setting"), f"{changed} changed"]
        parts += ["only those"] if self.only_changed else []
        parts += [f"{len(self.pending)} to be heeded at the next start"] if self.pending else []
        return "   ".join(parts)

    def full(self, row: SettingRow, look: Look) -> Text:
        styles = self.console.tones()
        text = Text(f"{safe(row.key)} = ", "bold").append(safe(plain(row.value)) or "(empty)", "bold")
        if row.key in self.pending:
            text.append(f"   in the file: {safe(self.pending[row.key])}", styles["warn"])
        text.append(f"\n{wrapped(safe(row.doc, MAX_DOC), self.size.width, 2)}" if row.doc else "", "not bold")
        default = safe(plain(row.default)) or "(empty)"
        return text.append(
            f"\ndefault {default}   {safe(variable_of(row))}   from {safe(row.origin)}", styles["dim"]
        )

    @on(Grid.Opened)
    def _change(self) -> None:
        self.console.give("setting.edit", self)

    def acted(self) -> None:
        self.run_worker(self._ask, group="settings", exclusive=True)

    def on_screen_resume(self) -> None:
        """The node may have been started again meanwhile."""
        super().on_screen_resume()
        self.acted()

    def _value(self, row: SettingRow) -> Cell:
        value = safe(plain(row.value))
        if row.key in self.pending:
            return (f"{value} → {safe(self.pending[row.key])}", "warn")
        return (value, "busy" if is_changed(row) else "") if value else ("(empty)", "dim")

    async def _ask(self) -> None:
        try:
            self.known = await self.node.settings()
        except TaskMessengerError as error:
            if not (self.frame and self.frame.away):  # the banner says so already
                self.console.tell(str(error), "error")
            return
        for row in self.known:
            if self.pending.get(row.key) == plain(row.value):
                del self.pending[row.key]
        if self.frame is not None and self.grid is not None:  # else it is being closed
            self.draw(self.frame)
            self.grid.repaint()  # what is pending is no part of the rows
