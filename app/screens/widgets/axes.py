"""Plots with real axes and fine lines, where the extra `plots` is installed; imported only there.

A panel too small for axes shows the plain plot. Nothing zooms or takes the focus: keys are for commands.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Final

from textual.app import ComposeResult
from textual.reactive import reactive
from textual_plot import AxisFormatter, HiResMode, NumericAxisFormatter, PlotWidget

from .panel import Curve, PlotPanel
from .plot import rounded_up
from .words import short

LEAST_WIDTH: Final = 32
LEAST_HEIGHT: Final = 6
MARGIN: Final = 7
"""Cells for the numbers at the left."""
MINUTE: Final = 60.0
LABEL: Final = 11
"""Cells that a mark with its label wants."""
_UNITS: Final = ((3600.0, "h"), (MINUTE, "min"), (1.0, "s"))
_TICKS: Final = 4
_MINUTES: Final = range(2, 7)
"""As many of them get a mark each."""
_TEN: Final = 10.0


class Ago(AxisFormatter):
    """The line of time: seconds before now, as negative numbers."""

    def __init__(self, *, told: bool, width: int) -> None:
        """`told`: how long ago things were is known; `width`: cells that there are for it."""
        super().__init__()
        self._told, self._most = told, max(width // LABEL, 1)

    def get_ticks(self, min_: float, max_: float, max_ticks: int = 0) -> list[float]:
        del max_ticks
        minutes = (max_ - min_) / MINUTE
        pieces = int(minutes) if minutes in _MINUTES else _TICKS
        while pieces > self._most:
            pieces = pieces // 2 if pieces % 2 == 0 else 1
        return [min_ + (max_ - min_) * place / pieces for place in range(pieces + 1)]

    def get_labels_for_ticks(self, ticks: Sequence[float]) -> list[str]:
        if not self._told:
            return [""] * len(ticks)
        longest = -min(ticks, default=0.0)
        unit, name = next((one for one in _UNITS if longest >= 2 * one[0]), _UNITS[-1])
        return [f"{tick / unit:.3g} {name}" if tick else "now" for tick in ticks]


class Amount(NumericAxisFormatter):
    """Numbers as the rest of the console writes them, with their unit."""

    def __init__(self, unit: str) -> None:
        super().__init__()
        self._unit = unit

    def get_labels_for_ticks(self, ticks: Sequence[float]) -> list[str]:
        return [f"{short(tick) if tick >= _TEN else f'{tick:g}'}{self._unit}" for tick in ticks]


class _Plot(PlotWidget, can_focus=False):
    """With as little around it as a panel wants."""

    margin_top = reactive(0)
    margin_bottom = reactive(1)
    margin_left = reactive(MARGIN)


class AxesPanel(PlotPanel):
    """A curve with axes."""

    DEFAULT_CSS = """
    AxesPanel { padding: 0 1; }
    AxesPanel _Plot { height: 100%; }
    AxesPanel _Plot > .plot--axis, AxesPanel _Plot:focus > .plot--axis { color: $foreground 40%; }
    AxesPanel _Plot > .plot--tick { color: $foreground 60%; text-style: none; }
    AxesPanel.-plain PlotWidget { display: none; }
    """
    _shown: object = None

    def compose(self) -> ComposeResult:
        yield _Plot(allow_pan_and_zoom=False)

    def show(self, curve: Curve, styles: Mapping[str, str]) -> None:
        width, height = self.room
        plain = width < LEAST_WIDTH or height < LEAST_HEIGHT
        self.set_class(plain, "-plain")
        plot = next(iter(self.query(_Plot)), None)
        if plain or plot is None or not plot.is_mounted:
            super().show(curve, styles)
            return
        self.tell("")
        self.border_subtitle = curve.now
        shown = (tuple(curve.values), curve.seconds, curve.top, styles[curve.tone], self.room)
        if shown != self._shown:
            self._shown = shown
            _draw(plot, curve, styles[curve.tone])


def _draw(plot: PlotWidget, curve: Curve, style: str) -> None:
    span = curve.seconds or float(max(len(curve.values) - 1, 1))
    step = span / max(len(curve.values) - 1, 1)
    known = [(at * step - span, v) for at, v in enumerate(curve.values) if not math.isnan(v)]
    plot.clear()
    if known:
        x, y = zip(*known, strict=True)
        plot.plot(list(x), list(y), line_style=style, hires_mode=HiResMode.BRAILLE)
    plot.set_xlimits(-span, 0.0)
    plot.set_ylimits(0.0, curve.top or rounded_up(max((v for _, v in known), default=0.0)))
    plot.set_x_formatter(Ago(told=curve.seconds > 0, width=plot.size.width - MARGIN))
    plot.set_y_formatter(Amount(curve.unit))
