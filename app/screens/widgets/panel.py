"""A framed piece of text, and one that holds a plot. Painted again only when they say something else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from typing import Any, Self

from rich.text import Text
from textual.geometry import Region, Size
from textual.widgets import Static

from .plot import LOW, TICK, plot, reach


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """What a plot shows."""

    values: Sequence[float]
    unit: str = ""
    seconds: float = 0.0
    """How long ago the first value was taken."""
    top: float | None = None
    """The greatest value there can be; None for that of the greatest there is."""
    now: str = ""
    """The newest value in words, at the right of the title."""
    tone: str = "busy"
    whole: bool = False
    """Whether it is of things that are counted: no mark says half of one."""
    first: int = 0
    """Number of the first value among all there have been, where that is known."""
    part: Sequence[float] = ()
    """What of each value is drawn at the base, in another tone; the words beside the title tell it too."""
    part_tone: str = "bad"


class Panel(Static):
    """Text in a frame with a title. The title is ours; the text has been through `safe`."""

    DEFAULT_CSS = """
    Panel {
        border: round $primary 50%; border-title-color: $foreground; border-title-style: bold;
        border-subtitle-color: $foreground; padding: 0 1; height: auto; width: 1fr; text-wrap: nowrap;
        text-overflow: ellipsis;
    }
    """
    ALLOW_SELECT = False
    _said: Any = None
    _lines: Sequence[Text] = ()
    _quiet = False

    def __init__(self, title: str, *, id: str | None = None) -> None:  # noqa: A002  Textual's own name
        super().__init__(id=id)
        self.border_title = title

    @property
    def room(self) -> Size:
        """Cells inside of the frame."""
        return self.content_size

    def tell(self, text: Text | str) -> None:
        """Show this; a `str` is what has been through `safe`."""
        text = Text(text) if isinstance(text, str) else text
        text.no_wrap, text.overflow = True, "ellipsis"
        before, self._said = self._said, text
        if before is None or before.plain.count("\n") != text.plain.count("\n"):
            self._lines = [*text.split(allow_blank=True)]
            self.update(text)
        elif text != before or text.spans != before.spans:
            self._change(text)

    def _change(self, text: Text) -> None:
        """Paint those lines that differ."""
        old, self._lines = self._lines, [*text.split(allow_blank=True)]
        changed = [
            y
            for y, (one, other) in enumerate(zip(old, self._lines, strict=False))
            if one != other or one.spans != other.spans
        ]
        self._quiet = True
        self.update(text, layout=False)
        self._quiet = False
        if changed:
            self.refresh(*(Region(0, y, self.room.width, 1) for y in changed))

    def refresh(
        self, *regions: Region, repaint: bool = True, layout: bool = False, recompose: bool = False
    ) -> Self:
        """As Textual's; not while the text is changed: then those lines are painted that differ."""
        if self._quiet:
            return self
        return super().refresh(*regions, repaint=repaint, layout=layout, recompose=recompose)


class PlotPanel(Panel):
    """A curve with its axes, as large as there is room."""

    DEFAULT_CSS = "PlotPanel { height: 1fr; padding: 0 1 0 0; }"
    _now = ""

    def show(self, curve: Curve, styles: Mapping[str, str]) -> None:
        """Draw it. `styles`: `Console.tones()`."""
        if self._now != curve.now:  # Textual paints all of it, also when it is the same
            self._now = self.border_subtitle = curve.now
        width, height = self.room
        if width <= 0 or height <= 0:
            return
        lines = plot(
            curve.values, width, height,
            unit=curve.unit, seconds=curve.seconds, top=curve.top, whole=curve.whole, first=curve.first,
        )  # fmt: skip
        rows = len(lines) - (height > LOW)
        part = any(curve.part)
        reached = reach(curve.values, curve.part, width, height, first=curve.first) if part else ()
        text = Text()
        for place, line in enumerate(lines):
            text.append("\n" if text else "").append(line[: TICK + 1], styles["dim"])
            tones = [curve.part_tone if cells >= rows - place else curve.tone for cells in reached]
            if place >= rows:
                text.append(line[TICK + 1 :], styles["dim"])
            elif not tones:
                text.append(line[TICK + 1 :], styles[curve.tone])
            else:
                for tone, run in groupby(zip(line[TICK + 1 :], tones, strict=False), key=itemgetter(1)):
                    text.append("".join(cell for cell, _ in run), styles[tone])
        self.tell(text)
