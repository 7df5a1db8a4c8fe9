"""What the console remembers of its operator, and what the operator has set up for it: four kinds of files.

    CONFIG/console/keymap.json        command to keys: {"task.cancel": "x", "view.next": "ctrl+n,]"}
    CONFIG/console/themes/NAME.json   the colours of a Textual theme: {"primary": "#88c0d0", "dark": true}
    STATE/tm-console/drafts/NAME.json what was edited and not put to use (`editor`)
    STATE/tm-console/console.json     theme, time mode and saved views: written by the console itself

A file that cannot be used is a complaint, never a console that does not start.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec
from textual.color import ColorParseError
from textual.theme import Theme

from ..core.errors import ConfigError
from ..core.text import decoded, printable
from ..paths import Paths, check_unshared, private_directory

if TYPE_CHECKING:
    from textual.app import App

MAX_FILE: Final = 256 * 1024
"""Bytes of any of these files."""
MAX_VIEWS: Final = 100
NIGHT: Final = "night"


class SavedView(msgspec.Struct, frozen=True):
    """A filter and an order that was given a name."""

    filter: str = ""
    sort: str = ""
    down: bool = True


class Kept(msgspec.Struct, frozen=True):
    """What is remembered from one time to the next."""

    theme: str = NIGHT
    times: str = "local"
    bell: bool = True
    start: str = ""
    """What was chosen at the last start: a role, or where to attach."""
    views: dict[str, dict[str, SavedView]] = {}
    """By screen, then by name."""


class Prefs:
    """The files of one operator; without `paths` nothing is read and nothing kept."""

    def __init__(self, paths: Paths | None = None) -> None:
        self._config = None if paths is None else paths.config / "console"
        self._file = None if paths is None else paths.state / "tm-console" / "console.json"
        self.drafts = None if paths is None else paths.state / "tm-console" / "drafts"
        """Where texts are edited."""
        self.complaints: list[str] = []
        """A line for each file that cannot be used."""
        self.kept = self._read_kept()

    def keep(self, **changes: Any) -> None:
        """Remember this, on disk at once."""
        self.kept = msgspec.structs.replace(self.kept, **changes)
        if self._file is None:
            return
        try:
            private_directory(self._file.parent)
            draft = self._file.with_name(f"{self._file.name}.{os.getpid()}")
            draft.write_bytes(msgspec.json.format(msgspec.json.encode(self.kept), indent=2))
            draft.chmod(0o600)
            draft.replace(self._file)
        except OSError as error:
            self.complaints.append(f"{self._file}: cannot be written ({error.strerror})")

    def save_view(self, screen: str, name: str, view: SavedView) -> None:
        """Keep a view under its name; the oldest leaves when there are too many."""
        mine = {**self.kept.views.get(screen, {})}
        mine.pop(name, None)
        mine[name] = view
        mine = dict(list(mine.items())[-MAX_VIEWS:])
        self.keep(views=self.kept.views | {screen: mine})

    def keymap(self) -> dict[str, str]:
        """Keys that the operator wants instead of ours."""
        if self._config is None:
            return {}
        return self._read(self._config / "keymap.json", dict[str, str]) or {}

    def themes(self) -> list[Theme]:
        """Ours, and those of the operator."""
        assets = files(f"{__name__.partition('.')[0]}.assets") / "themes"
        found = [_theme(Path(part.name).stem, json.loads(part.read_text())) for part in _json_in(assets)]
        own = None if self._config is None else self._config / "themes"
        for path in sorted(own.glob("*.json")) if own is not None and own.is_dir() else ():
            colours = self._read(path, dict[str, Any])
            if colours is None:
                continue
            try:
                found.append(_theme(path.stem, colours))
            except (TypeError, ValueError, ColorParseError) as error:
                self.complaints.append(f"{path}: is no theme ({printable(str(error))})")
        return found

    def dress(self, app: App[Any]) -> None:
        """Give it the theme that is wanted, before anything in it has a style: later all are made again."""
        for theme in self.themes():
            app.register_theme(theme)
        app.theme = self.kept.theme if self.kept.theme in app.available_themes else NIGHT
        app.stylesheet.set_variables(app.get_css_variables())

    def _read_kept(self) -> Kept:
        return (None if self._file is None else self._read(self._file, Kept)) or Kept()

    def _read(self, path: Path, kind: Any) -> Any:
        """The value of a JSON file; None when it is not there, or cannot be used."""
        try:
            # A pipe that nobody writes to keeps nobody waiting: it is empty.
            number = os.open(path, os.O_RDONLY | os.O_CLOEXEC | getattr(os, "O_NONBLOCK", 0))
            with os.fdopen(number, "rb") as file:
                data = file.read(MAX_FILE + 1)
            check_unshared(path)
        except FileNotFoundError:
            return None
        except OSError as error:
            self.complaints.append(f"{path}: cannot be read ({error.strerror})")
            return None
        except ConfigError as error:
            self.complaints.append(str(error))
            return None
        try:
            return msgspec.json.decode(decoded(data[:MAX_FILE]), type=kind)
        except ValueError as error:  # msgspec's own is one
            self.complaints.append(f"{path}: {printable(str(error))}")
            return None


def _json_in(folder: Traversable) -> Iterator[Traversable]:
    yield from sorted((p for p in folder.iterdir() if p.name.endswith(".json")), key=lambda p: p.name)


def _theme(name: str, colours: dict[str, Any]) -> Theme:
    """A theme with these colours.

    Raises:
        TypeError, ValueError, ColorParseError: it is none.
    """
    theme = Theme(name=name, **colours)
    theme.to_color_system().generate()  # a colour that is none fails here, and not while drawing
    return theme
