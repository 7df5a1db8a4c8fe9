"""The lines at the top and the bottom of every screen. Each is told what to show and shows it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from rich.style import Style
from rich.text import Text
from textual.widgets import Static

from .heading import Heading, laid_out
from .words import TimeMode, moment, safe, span

if TYPE_CHECKING:
    from ..acting import Pending
    from ..frame import Frame

MAX_REASON: Final = 120
_OVER: Final = " (this role has ended)"
"""What is said where nothing better is known: it need not be said twice."""
Hint = tuple[str, str, str]
"""Key, title and name of a command."""


class Line(Static):
    """One line that is repainted only when its words change."""

    DEFAULT_CSS = "Line { height: 1; width: 1fr; text-wrap: nowrap; }"
    auto_links = False
    _said: Any = None

    def say(self, what: Any, text: Text) -> None:
        """Show `text`, which stands for `what`."""
        if what != self._said:
            self._said = what
            self.update(text, layout=self.styles.is_auto_height)  # else its size stays, whatever it says

    def forget(self) -> None:
        """Paint again even if the words are the same: the line has another width."""
        self._said = None


class Head(Line):
    """Fleet, tabs and clock."""

    def tell(self, heading: Heading) -> None:
        """Fit it into the width."""
        width = self.size.width
        if (heading, width) == self._said or not width:
            return
        left, right = laid_out(heading, width)
        text = Text(no_wrap=True, end="")
        for piece in left:
            # A click on the name opens the palette: so the mouse reaches whatever has no place in the footer.
            action = "screen.command('console.palette')" if piece.name else piece.action
            meta = {"@click": action} if action else None
            text.append(piece.text, Style(reverse=piece.here, bold=piece.here or piece.name, meta=meta))
        text.append(right.rjust(max(width - text.cell_len - 1, 0)))
        text.truncate(width)
        self.say((heading, width), text)


class Banner(Line):
    """Says that the node is away or over, and how old the data is; not there while all is well."""

    DEFAULT_CSS = "Banner { height: auto; max-height: 3; text-wrap: wrap; }"

    def tell(self, frame: Frame) -> None:
        """Show or hide it."""
        self.display = frame.away
        if not frame.away:
            return
        snapshot = frame.snapshot
        why = f" ({safe(snapshot.reason, MAX_REASON)})" if snapshot.reason else ""
        when = moment(
            snapshot.at, TimeMode.LOCAL if frame.times is TimeMode.RELATIVE else frame.times, frame.now
        )
        words = f" ! {snapshot.role} away for {span(frame.age)}: this is as of {when}; reattaching{why}"
        if snapshot.ended:
            words = f" ■ this {snapshot.role} has ended, at {when}{'' if why == _OVER else why}"
        self.say(words, Text(words, end=""))


class UndoBar(Line):
    """What is about to be done, while it can still be undone."""

    def tell(self, pending: Sequence[Pending], now: float) -> None:
        """Show the newest, or hide."""
        self.display = bool(pending)
        if not pending:
            return
        newest = pending[-1]
        left = max(newest.until - now, 0)
        more = f"  (+{len(pending) - 1})" if len(pending) > 1 else ""
        words = f" {safe(newest.order.what)} in {left:.0f} s{more}   "
        text = Text(words, no_wrap=True, end="")
        text.append(" u Undo ", Style(reverse=True, meta={"@click": "screen.command('order.undo')"}))
        self.say(words, text)


class Hints(Line):
    """The footer: keys and words of what can be done here; every one can be clicked."""

    def tell(self, hints: Sequence[Hint], always: Sequence[Hint]) -> None:
        """Most important first; what does not fit is in the help. `always` stands at the right end."""
        width = self.size.width
        if (tuple(hints), tuple(always), width) == self._said:
            return
        right = Text("", no_wrap=True, end="")
        for hint in always:
            right.append(_hint(*hint))
        text = Text("", no_wrap=True, end="")
        for hint in hints:
            shown = _hint(*hint)
            if text.cell_len + shown.cell_len + right.cell_len > width:
                break
            text.append(shown)
        text.append(" " * max(width - text.cell_len - right.cell_len, 0)).append(right)
        self.say((tuple(hints), tuple(always), width), text)


def _hint(key: str, title: str, name: str) -> Text:
    click = {"@click": f"screen.command('{name}')"}
    text = Text("", no_wrap=True, end="")
    text.append(f" {key} ", Style(bold=True, reverse=True, meta=click))
    return text.append(f" {title} ", Style(meta=click))
