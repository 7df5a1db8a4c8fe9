"""Runs the command line; `python -m taskmessenger` does the same."""

from __future__ import annotations

import sys


def main() -> None:
    """Entry point of the command `taskmessenger`."""
    from . import outlet

    outlet.provide()
    outlet.put_in_place()
    if sys.argv[1:] in (["--version"], ["-V"]):
        _print_version()
        return
    from .cli.main import main as run

    try:
        run()
    except SystemExit as over:
        _leave(over.code)
        raise
    _leave(0)


def _print_version() -> None:
    """Without what other commands need."""
    from . import outlet
    from ._version import __version__
    from .core.errors import OutputLost

    try:
        sys.stdout.write(f"taskmessenger {__version__}\n")
        outlet.finish()
    except OutputLost as lost:
        if not outlet.reader_left():
            sys.stderr.write(f"error: {lost}\n")
        sys.exit(lost.exit_code)


def _leave(code: str | int | None) -> None:
    """The end, for a process that has run task code."""
    loops = sys.modules.get(f"{__package__}.loops")
    if loops is not None:  # else nothing has run that would need it
        loops.leave(code if isinstance(code, int) else int(code is not None))


if __name__ == "__main__":
    main()
