"""`taskmessenger config`: what is set, where it came from, whether it can be used, where files lie.

It reads the same files as a manager or worker that starts, in the same way. Only `init` writes, and
overwrites nothing.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..core.errors import ConfigError, Conflict, UsageError
from ..core.text import printable
from ..paths import ROLES, Paths, Role, find, private_directory
from .output import block, done, note

if TYPE_CHECKING:
    from ..config import Loaded

_ROLE = click.option("--role", type=click.Choice(ROLES), help="Only this role; without it, both.")
_FILE = click.option(
    "--config",
    "file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Look at this file instead of the default one; needs --role.",
)
_JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")


@click.group()
def config() -> None:
    """Show and check settings, and begin a file of them.

    \b
    Examples:
      taskmessenger config init --role worker
      taskmessenger config show --origin
      taskmessenger config check --role worker
      taskmessenger config paths
    """  # noqa: D301  \b keeps click from filling the examples


@config.command()
@_ROLE
@_JSON
def init(role: Role | None, *, as_json: bool) -> None:
    """Write a file with every setting, its default and what it means, for you to change.

    Prints where it is. A file that is there is never overwritten. The directory for kinds of your own is made
    too.

    \b
    Examples:
      taskmessenger config init
      taskmessenger config init --role worker
    """  # noqa: D301  \b keeps click from filling the examples
    places = find()
    roles = (role,) if role else ROLES
    files = [places.config_file(name) for name in roles]
    for file in files:
        if file.exists():
            raise Conflict(
                f"{printable(str(file), 4096)}: is there already; change it, or move it away first"
            )
    for name, file in zip(roles, files, strict=True):
        _begin(file, _sample(name))
    if "worker" in roles:
        private_directory(places.kinds)
        note(f"kinds of your own belong into {printable(str(places.kinds), 4096)}")
    with done(f"made {', '.join(map(str, files))}"):
        if as_json:
            block({name: str(file) for name, file in zip(roles, files, strict=True)})
        else:
            click.echo("\n".join(printable(str(file), 4096) for file in files))


def _sample(role: Role) -> str:
    """The commented file of a role."""
    from importlib.resources import files

    folder = files(f"{__name__.partition('.')[0]}.defaults")
    return (folder / f"config-{role}.json").read_text(encoding="utf-8")


def _begin(file: Path, text: str) -> None:
    """A new file for this user alone.

    Raises:
        Conflict, ConfigError: it is there already, or cannot be written.
    """
    private_directory(file.parent)
    try:
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as begun:
            begun.write(text)
    except FileExistsError as error:
        raise Conflict(f"{file}: is there already; change it, or move it away first") from error
    except OSError as error:
        raise ConfigError(
            f"{file}: cannot be written ({error.strerror}); make room, or move it away"
        ) from error


@config.command()
@_ROLE
@_FILE
@click.option("--origin", is_flag=True, help="Say for each setting where it came from.")
@_JSON
def show(role: Role | None, file: Path | None, *, origin: bool, as_json: bool) -> None:
    """Print every setting as a manager or worker started now would have it, a line each: KEY = VALUE.

    That is for reading. The file itself is JSON with comments: `taskmessenger config init` writes one.

    \b
    Examples:
      taskmessenger config show --origin
      taskmessenger config show --role worker --json
    """  # noqa: D301  \b keeps click from filling the examples
    loaded = {name: _load(name, file) for name in _roles(role, file)}
    if as_json:
        click.echo(
            json.dumps({name: _as_json(found, origin=origin) for name, found in loaded.items()}, indent=2)
        )
        return
    for name, found in loaded.items():
        lines = [f"{key} = {json.dumps(value)}" for key, value in _values(found).items()]
        if origin:
            width = max(map(len, lines))
            origins = [found.origins[key] for key in _values(found)]
            lines = [f"{line:{width}}  # {whence}" for line, whence in zip(lines, origins, strict=True)]
        state = "" if found.found else " (there is no such file)"
        click.echo("\n".join([f"# {name}: {printable(str(found.file), 4096)}{state}", *lines]))


@config.command()
@_ROLE
@_FILE
@_JSON
def check(role: Role | None, file: Path | None, *, as_json: bool) -> None:
    """Say whether a manager or worker could start with these settings; exit code 2 when not.

    The kinds of a worker are loaded too, in processes that are thrown away: one that cannot be used counts.
    Without --role the console's keymap and themes are looked at as well.

    \b
    Examples:
      taskmessenger config check
      taskmessenger config check --role worker --json
    """  # noqa: D301  \b keeps click from filling the examples
    from ..config import overlooked

    problems: dict[str, str] = {}
    said: list[str] = []
    for name in _roles(role, file):
        try:
            found = _load(name, file)
        except ConfigError as error:
            problems[name] = str(error)
            continue
        place = printable(str(found.file), 4096)
        if name == "worker":
            try:
                problems |= {f"worker, kind {kind}": why for kind, why in _broken_kinds(found.config).items()}
            except ConfigError as error:
                problems[name] = str(error)
                continue
        said.append(
            f"{name}: {place} can be used" if found.found else f"{name}: defaults; there is no {place}"
        )
    if role is None:
        problems |= {f"console, {n}": why for n, why in enumerate(_of_the_console(find()), 1)}
    for line in overlooked(os.environ):
        note(line)
    if as_json:
        click.echo(json.dumps({"ok": not problems, "problems": problems}))
    else:
        click.echo("".join(f"{line}\n" for line in said), nl=False)
    *others, last = problems.values() or [""]
    for problem in others:
        click.echo(problem, err=True)
    if last:
        raise ConfigError(last)


@config.command()
@_JSON
def paths(*, as_json: bool) -> None:
    """Print where this application keeps its files.

    \b
    Examples:
      taskmessenger config paths
      taskmessenger config paths --json
    """  # noqa: D301  \b keeps click from filling the examples
    places = {name: str(place) for name, place in find().named().items()}
    if as_json:
        click.echo(json.dumps({name.replace(" ", "_"): place for name, place in places.items()}, indent=2))
        return
    width = max(map(len, places))
    for name, place in places.items():
        click.echo(f"{name:{width}}  {printable(place, 4096)}")


def _of_the_console(paths: Paths) -> list[str]:
    """What is wrong with the files that the console reads, a line each."""
    if not (paths.config / "console").is_dir():
        return []
    from ..screens import views
    from ..screens.commands import Registry, all_commands, found_in
    from ..screens.prefs import Prefs
    from ..screens.view import View

    prefs = Prefs(paths)
    prefs.themes()
    registry = Registry(all_commands(found_in(views, View)), prefs.keymap())
    return [*prefs.complaints, *registry.complaints]


def _broken_kinds(settings: Any) -> dict[str, str]:
    """Kinds that a worker would not offer, and why; all are loaded, in processes that are thrown away."""
    from ..node import found_kinds

    return found_kinds(settings, find()).faults()


def _roles(role: Role | None, file: Path | None) -> Sequence[Role]:
    if file is not None and role is None:
        raise UsageError(
            "--config names the file of one role; say which with --role manager or --role worker"
        )
    return (role,) if role else ROLES


def _load(role: Role, file: Path | None) -> Loaded[Any]:
    from ..config import load

    return load(role, {}, os.environ, find(), file=file)


def _values(found: Loaded[Any]) -> dict[str, Any]:
    """Key path to value, in the order of the model."""
    return {key: _at(_plain(found), key) for key in found.origins}


def _plain(found: Loaded[Any]) -> dict[str, Any]:
    import msgspec

    plain: dict[str, Any] = msgspec.to_builtins(found.config)
    return plain


def _at(value: Any, key: str) -> Any:
    for part in key.split("."):
        value = value[part]
    return value


def _as_json(found: Loaded[Any], *, origin: bool) -> dict[str, Any]:
    whole = {"file": str(found.file), "found": found.found, "settings": _plain(found)}
    return whole | {"origins": found.origins} if origin else whole
