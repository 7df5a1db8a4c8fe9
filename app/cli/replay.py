"""`taskmessenger replay`: the console over a recording."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
def replay(file: Path) -> None:
    """Look at what a console has recorded, forward and back, in the same screens.

    \b
    Examples:
      taskmessenger --role manager --record incident.tmrec
      taskmessenger replay incident.tmrec
    """  # noqa: D301  \b keeps click from filling the examples
    from .console import replay as show

    show(file)
