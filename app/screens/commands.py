"""What an operator can do: one class a command, and the registry that finds them all.

Key, footer, help, palette, command line, mouse menu and user keymap are made from these classes alone. A
command says what is to be done and to what; whether that needs a question, and the question, is `acting`.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping
from importlib import import_module
from inspect import isclass
from pkgutil import iter_modules
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final, TypeVar

from textual.keys import KEY_DISPLAY_ALIASES, _character_to_key

from ..core.errors import ConfigError, UsageError

if TYPE_CHECKING:
    from .view import View

T = TypeVar("T")
BOTH: Final = frozenset({"manager", "worker"})
ALWAYS: Final = 900
"""Footer places from here on are at its right end and always seen."""
_SIGNS: Final = {
    "slash": "/", "minus": "-", "backslash": "\\", "less_than_sign": "<", "greater_than_sign": ">",
}  # fmt: skip
"""Keys that Textual does not call as Unicode does."""
LAST: Final = 1_000
"""Footer places from here on are not shown in the footer."""


class Command:
    """One thing that an operator can do. The docstring's first line is its help."""

    name: str = ""
    """`task.cancel`: in the keymap, and on the command line of the console."""
    title: str = ""
    """One or two words: in the footer, menu and palette."""
    key: str = ""
    """One or several with commas, as `c` or `ctrl+a` or `?`; empty: by palette, menu, command line only."""
    views: tuple[str, ...] = ()
    """Names of the views where it can be given; empty: everywhere."""
    roles: frozenset[str] = BOTH
    changes: bool = False
    """Whether it changes something at the node: hidden when the console is read-only."""
    place: int = LAST
    """Order in the footer, lowest first."""
    asks_words: bool = False
    """Whether it opens a field at once: what is typed behind its key goes there."""
    menu: bool = False
    """Whether it is about the chosen rows, and so belongs into their menu."""

    def ready(self, view: View) -> bool:
        """Whether there is something here that it applies to."""
        return True

    def twin(self, view: View) -> str:
        """The same as a command line of a shell; empty where only a console can do it."""
        return ""

    async def run(self, view: View, words: str = "") -> None:
        """Do it. `words` is what was typed behind it on the command line of the console.

        Raises:
            TaskMessengerError: shown as one line.
        """
        raise NotImplementedError

    @property
    def help(self) -> str:
        """The sentence that explains it."""
        return (type(self).__doc__ or "").strip().split("\n", 1)[0]


class Registry:
    """All commands, with the keys that this operator has given them."""

    def __init__(self, commands: Iterable[Command], keymap: Mapping[str, str] | None = None) -> None:
        self.commands = {c.name: c for c in sorted(commands, key=lambda c: (c.place, c.name))}
        self._keys = {name: _split(c.key) for name, c in self.commands.items()}
        self.complaints: list[str] = []
        """What is wrong with the keymap, a line each."""
        self._take(keymap or {})

    def keys(self, command: Command) -> tuple[str, ...]:
        """The keys of a command, as Textual names them."""
        return self._keys[command.name]

    @property
    def all_keys(self) -> frozenset[str]:
        """Every key that does something somewhere."""
        return frozenset(key for keys in self._keys.values() for key in keys)

    def shown_key(self, command: Command) -> str:
        """Its first key as people write it; empty when it has none."""
        keys = self._keys[command.name]
        return display(keys[0]) if keys else ""

    def at(self, view: View) -> list[Command]:
        """Those that can be given in this view, whether or not something is chosen; footer order."""
        return [c for c in self.commands.values() if applies(c, view)]

    def ready(self, view: View) -> list[Command]:
        """Those that can be given just now."""
        return [c for c in self.at(view) if c.ready(view)]

    def find(self, name: str, view: View) -> Command:
        """The command that a person means: by name, or by what stands behind the dot.

        Raises:
            UsageError: there is none here.
        """
        here = self.at(view)
        for command in here:
            if command.name == name:
                return command
        short = [c for c in here if c.name.rpartition(".")[2] == name]
        if len(short) == 1:
            return short[0]
        if short:
            raise UsageError(f"`{name}` may be {' or '.join(c.name for c in short)}: say which")
        raise UsageError(f"there is no command `{name}` here; ? shows all")

    def _take(self, keymap: Mapping[str, str]) -> None:
        for name, keys in keymap.items():
            if name in self.commands:
                self._keys[name] = _split(keys)
            else:
                self.complaints.append(f"keymap: there is no command `{name}`; `?` names them all")
        mine = [self.commands[name] for name in keymap if name in self.commands]
        for name in self._keys.keys() - keymap.keys():
            self._give_way(self.commands[name], mine)
        holders: dict[str, list[Command]] = {}
        for command in mine:
            for key in dict.fromkeys(self._keys[command.name]):
                holders.setdefault(key, []).append(command)
        for key, commands in holders.items():
            for i, one in enumerate(commands):
                self.complaints += [
                    f"keymap: {display(key)} is both {one.name} and {other.name}"
                    for other in commands[i + 1 :]
                    if meet(one, other)
                ]

    def _give_way(self, command: Command, mine: Iterable[Command]) -> None:
        """What the operator gave a key has it: a command that has it by default goes without."""
        taken = {key for one in mine if meet(one, command) for key in self._keys[one.name]}
        self._keys[command.name] = tuple(key for key in self._keys[command.name] if key not in taken)


def applies(command: Command, view: View) -> bool:
    """Whether a command belongs to this view, role and mode."""
    console = view.console
    return (
        (not command.views or view.NAME in command.views)
        and (console.role in command.roles or not console.role)
        and not (command.changes and console.read_only)
    )


def meet(one: Command, other: Command) -> bool:
    """Whether two commands can be given in the same view, so that they must not share a key."""
    if not one.roles & other.roles:
        return False
    return not one.views or not other.views or bool(set(one.views) & set(other.views))


def found_in(package: ModuleType, kind: type[T]) -> list[type[T]]:
    """Every class of this kind that a module of the package defines and names; modules by name."""
    found = []
    for info in iter_modules(package.__path__):
        module = import_module(f"{package.__name__}.{info.name}")
        found += [c for c in vars(module).values() if _is_own(c, kind, module.__name__)]
    return found


class Open(Command):
    """Go to a screen that has a digit."""

    def __init__(self, kind: type[View]) -> None:
        self.name, self.title, self.key = f"go.{kind.NAME}", kind.TITLE, str(kind.PLACE)
        self.roles = kind.ROLES

    async def run(self, view: View, words: str = "") -> None:
        await view.console.go(self.name.partition(".")[2])

    @property
    def help(self) -> str:
        return f"Go to {self.title}."


def all_commands(kinds: Iterable[type[View]] = ()) -> list[Command]:
    """One of each command in `acts`, and one to open each of these screens that has a digit.

    Raises:
        ConfigError: two of them share a name; a bug in this program.
    """
    from . import acts

    commands: list[Command] = [kind() for kind in found_in(acts, Command)]
    commands += [Open(kind) for kind in kinds if kind.PLACE is not None]
    if len({c.name for c in commands}) != len(commands):
        raise ConfigError("two commands of the console have one name")
    return commands


def display(key: str) -> str:
    """A key as people write it: `^a`, `?`, `space`."""
    *modifiers, last = key.split("+")
    shown = _SIGNS.get(last) or KEY_DISPLAY_ALIASES.get(last) or _sign(last) or last.replace("_", " ")
    return "".join("^" if m == "ctrl" else f"{m}+" for m in modifiers) + shown


def _sign(name: str) -> str:
    """`$` for `dollar_sign`; empty for a key that is no character which can be seen."""
    try:
        found = unicodedata.lookup(name.replace("_", " "))
    except KeyError:
        return ""
    return found if found.isprintable() and not found.isspace() else ""


def _is_own(found: Any, kind: type[T], module: str) -> bool:
    """Defined there, and not a base of others: a name makes it one that can be used."""
    if not isclass(found) or not issubclass(found, kind) or found.__module__ != module:
        return False
    return bool(getattr(found, "name", "") if kind is Command else getattr(found, "NAME", ""))


def _split(keys: str) -> tuple[str, ...]:
    return tuple(_key(key.strip()) for key in keys.split(",") if key.strip())


def _key(key: str) -> str:
    *modifiers, last = key.split("+") if len(key) > 1 else [key]
    return "+".join([*modifiers, _character_to_key(last) if len(last) == 1 else last])
