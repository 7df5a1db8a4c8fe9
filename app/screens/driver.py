"""The console's way to its terminal, and back from one that is lent to an editor or lost. Over Textual's.

Input is cut by `units`, output goes through an `Outlet`: neither can end the console or keep it waiting. What
is painted while the terminal belongs to another program is left out, and the whole screen is painted after.
"""

from __future__ import annotations

import os
import select
import termios
from contextlib import suppress
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, TextIO, cast

from textual import events
from textual._parser import ParseError
from textual._xterm_parser import XTermParser
from textual.drivers.linux_driver import LinuxDriver
from textual.keys import _character_to_key

from .bursts import Burst, Bursts
from .outlet import Outlet
from .units import Kind, Unit, Units

if TYPE_CHECKING:
    from .surviving import Surviving

READ: Final = 4_096
LOOK_SECONDS: Final = 0.1
HELD_SECONDS: Final = 0.02
"""Between two looks whether what is held goes on."""
_OF_THE_MOUSE: Final = ("last_x", "last_y", "mouse_pixels", "terminal_size", "terminal_pixel_size")
"""What one parser leaves to the next."""
_UNREADABLE: Final = (
    ParseError,
    ValueError,
    OverflowError,
    LookupError,
    TypeError,
    RuntimeError,
    StopIteration,
)
"""What Textual's parser raises at numbers that are none, and at characters that do not exist."""


class TerminalDriver(LinuxDriver):
    """Textual's, but for what follows."""

    _app: Surviving[Any]

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self._outlet: Outlet | None = None
        super().__init__(*arguments, **options)
        self._parser = XTermParser()
        self._bursts = Bursts()

    # Output

    @property  # Textual makes a writer of its own kind, each time that it begins: ours takes its place
    def _writer_thread(self) -> Any:
        return self._outlet

    @_writer_thread.setter
    def _writer_thread(self, made: Any) -> None:
        self._outlet = None if made is None else Outlet(cast("TextIO", self._file), self._caught_up)

    def write(self, data: str) -> None:
        """To the terminal, if there is one just now."""
        if self._outlet is not None:
            self._outlet.write(data)

    def takes_paint(self) -> bool:
        """Whether what is painted would be seen; if not, all is painted later."""
        return self._outlet is not None and self._outlet.has_room()

    def as_found(self) -> None:
        """The modes in which the shell had left the terminal."""
        if self.attrs_before is not None:
            with suppress(termios.error):
                termios.tcsetattr(self.fileno, termios.TCSANOW, self.attrs_before)

    def close(self) -> None:
        """Nothing is written from here on."""
        outlet, self._outlet = self._outlet, None
        if outlet is not None:
            outlet.stop()

    def _caught_up(self) -> None:
        self._loop.call_soon_threadsafe(self._app.repaint)

    # Input

    def run_input_thread(self) -> None:
        """Read until the terminal is given back or gone."""
        units = Units()
        while not self.exit_event.is_set():
            wait = HELD_SECONDS if units.held else LOOK_SECONDS
            if not select.select([self.fileno], [], [], wait)[0]:
                self._take(units.tick(monotonic()))
                continue
            try:
                data = os.read(self.fileno, READ)
            except InterruptedError:
                continue
            except OSError:
                data = b""
            if not data:  # it would be ready to be read for ever, and give nothing
                self._loop.call_soon_threadsafe(self._app.hang_up)
                return
            self._take(units.feed(data, monotonic()))

    def _take(self, units: list[Unit]) -> None:
        for unit in units:
            match unit.kind:
                case Kind.TEXT:
                    self._parse(unit.text, self._bursts.of(unit.text, monotonic()))
                case Kind.SEQUENCE:
                    self._parse(unit.text)
                    if self._parser._timeout_time is not None:  # noqa: SLF001  it is none that Textual knows
                        self._forget()
                case Kind.ESCAPE:
                    self.process_message(events.Key("escape", "\x1b"))
                case Kind.ALT:
                    self.process_message(events.Key(f"alt+{_name(unit.text)}", unit.text))
                case Kind.PASTE:
                    self.process_message(events.Paste(unit.text))

    def _parse(self, text: str, burst: Burst | None = None) -> None:
        try:
            found = [*self._parser.feed(text)]
            if burst is not None:
                burst.take(event for event in found if isinstance(event, events.Event))
            for event in found:
                self.process_message(event)
            self._bursts.handed_over(monotonic())
        except _UNREADABLE:
            self._forget()

    def _forget(self) -> None:
        """Begin anew behind what cannot be read."""
        before, self._parser = self._parser, XTermParser()
        for name in _OF_THE_MOUSE:
            setattr(self._parser, name, getattr(before, name))


def _name(character: str) -> str:
    return character if character.isalnum() else _character_to_key(character)
