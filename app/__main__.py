"""Runs the command line; `python -m taskmessenger` does the same."""

from __future__ import annotations

import sys


def main() -> None:
    """Entry point of the command `taskmessenger`."""
    if sys.argv[1:] in (["--version"], ["-V"]):
        from ._version import __version__

        sys.stdout.write(f"taskmessenger {__version__}\n")
        return
    from .cli.main import main as run

    run()


if __name__ == "__main__":
    main()
