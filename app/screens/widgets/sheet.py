"""One thing in full: sections of text under each other that scroll together, as for a task or a worker."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from rich.text import Text
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.widgets import Static

from .cells import Cell, text_of, tone_of
from .words import safe


@dataclass(frozen=True, slots=True)
class Section:
    """A title and what stands under it. Its text has been through `safe` or `safe_block`."""

    key: str
    title: str
    text: Text


class Sheet(VerticalScroll):
    """Shows sections; keeps its place while they change."""

    DEFAULT_CSS = """
    Sheet { height: 1fr; width: 1fr; padding: 0 1; }
    Sheet > .sheet--title { text-style: bold; background: $panel; width: 1fr; padding: 0 1; }
    Sheet > .sheet--text { padding: 0 1; margin-bottom: 1; width: 1fr; height: auto; }
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("k", "scroll_up", "Up", show=False),
        Binding("j", "scroll_down", "Down", show=False),
        Binding("ctrl+b", "page_up", "A page up", show=False),
        Binding("ctrl+f", "page_down", "A page down", show=False),
        Binding("ctrl+u", "half(-1)", "Half a page up", show=False),
        Binding("ctrl+d", "half(1)", "Half a page down", show=False),
        Binding("g", "scroll_home", "Top", show=False),
        Binding("G", "scroll_end", "Bottom", show=False),
    ]
    """The keys of a table, for text."""

    def __init__(self) -> None:
        super().__init__()
        self._shown: dict[str, Text] = {}
        self._parts: dict[str, tuple[Static, Static]] = {}
        """Title and text of every section that there ever was."""

    @property
    def room(self) -> int:
        """Cells of a line of text, beside its padding and the scroll bar that may come."""
        return self.size.width - 3

    def show(self, sections: Sequence[Section]) -> None:
        """These sections, in this order; only what differs is laid out again."""
        keys = [one.key for one in sections]
        if keys != list(self._shown):
            self._arrange(sections)
        for one in sections:
            if self._shown.get(one.key) != one.text:
                self._parts[one.key][1].update(one.text)
        self._shown = {one.key: one.text for one in sections}

    def _arrange(self, sections: Sequence[Section]) -> None:
        """Show just these. What is not wanted is hidden and not removed: it may be wanted again at once."""
        for one in sections:
            if one.key not in self._parts:
                title = Static(Text(one.title), classes="sheet--title", id=f"title-{one.key}")
                text = Static("", classes="sheet--text", id=f"text-{one.key}")
                self._parts[one.key] = (title, text)
                self.mount(title, text)
        wanted = [part for one in sections for part in self._parts[one.key]]
        for place, part in enumerate(wanted):
            if self.children[place] is not part:
                self.move_child(part, before=place)
        for place, child in enumerate(self.children):
            child.display = place < len(wanted)

    def action_half(self, by: int) -> None:
        """Half a screen up or down."""
        self.scroll_relative(y=by * max(self.size.height // 2, 1), animate=False)

    def to(self, key: str) -> bool:
        """Scroll a section to the top; False when there is none of this name."""
        if not self.has(key):
            return False
        self.scroll_to_widget(self._parts[key][0], animate=False, top=True)
        return True

    def has(self, key: str) -> bool:
        """Whether a section of this name is shown."""
        return key in self._shown


def pairs(facts: Iterable[tuple[str, Cell]], styles: Mapping[str, str], *, width: int = 12) -> Text:
    """Names and values, one pair to a line; what is empty is left out. `styles`: `Console.tones()`."""
    lines = []
    for name, cell in facts:
        if text_of(cell):
            line = Text(f"{safe(name):<{width}} ", "bold")
            lines.append(line.append(text_of(cell), styles.get(tone_of(cell), "not bold")))
    return Text("\n").join(lines)
