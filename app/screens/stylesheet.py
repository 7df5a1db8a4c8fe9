"""Where the style sheet of the console lies, as an installed file."""

from __future__ import annotations

from importlib.resources import as_file, files
from pathlib import Path


def stylesheet() -> Path:
    """The path of `console.tcss`; packages are installed as files, so it stays where it is."""
    with as_file(files(f"{__name__.partition('.')[0]}.assets") / "console.tcss") as path:
        return path
