"""Joins flags, environment, file and defaults into one checked configuration, and remembers which one won.

It reads, checks and says what is wrong; it writes nothing and starts nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final, Generic, Literal, NoReturn, TypeVar, overload

import msgspec

from ..core.errors import ConfigError
from ..core.text import printable
from ..paths import HOME_VARIABLE, Paths, Role
from .model import Group, ManagerConfig, WorkerConfig
from .source import PREFIX, from_text, read_file, variable
from .wording import explain, split

Config_co = TypeVar("Config_co", bound=ManagerConfig | WorkerConfig, covariant=True)
_MODELS: Final[dict[Role, type[Group]]] = {"manager": ManagerConfig, "worker": WorkerConfig}
_FLAG: Final = "command line"
_DEFAULT: Final = "default"


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded(Generic[Config_co]):
    """A configuration and where each of its settings came from."""

    config: Config_co
    origins: dict[str, str]
    """Key path to `default`, `file PATH`, `environment NAME` or `command line`."""
    file: Path
    """The file that was looked at."""
    found: bool
    """Whether it was there."""


@overload
def load(
    role: Literal["manager"],
    flags: Mapping[str, object],
    environ: Mapping[str, str],
    paths: Paths,
    *,
    file: Path | None = None,
) -> Loaded[ManagerConfig]: ...
@overload
def load(
    role: Literal["worker"],
    flags: Mapping[str, object],
    environ: Mapping[str, str],
    paths: Paths,
    *,
    file: Path | None = None,
) -> Loaded[WorkerConfig]: ...
@overload
def load(
    role: Role,
    flags: Mapping[str, object],
    environ: Mapping[str, str],
    paths: Paths,
    *,
    file: Path | None = None,
) -> Loaded[ManagerConfig] | Loaded[WorkerConfig]: ...
def load(
    role: Role,
    flags: Mapping[str, object],
    environ: Mapping[str, str],
    paths: Paths,
    *,
    file: Path | None = None,
) -> Loaded[Any]:
    """The configuration of a role: flags beat environment beat file beat default.

    `flags` maps key paths (`transport.listen`) to values; None and () count as not given. An empty
    environment variable counts as not set. `file` is one that the operator named, and must exist; the
    default one need not.

    Raises:
        ConfigError: names the source, the key and what is wanted.
    """
    model = _MODELS[role]
    source = file or paths.config_file(role)
    read = read_file(source)
    if read is None and file is not None:
        raise ConfigError(f"{file}: there is no such file; make it or leave --config out to use the defaults")
    merged = read or {}
    settings = leaves(model)
    label = printable(str(source))
    _check_keys(merged, model, label, settings)
    origins = {key: f"file {label}" if _has(merged, key) else _DEFAULT for key in settings}
    for key, wanted in settings.items():
        name = variable(key)
        if text := environ.get(name, ""):
            _put(merged, key, from_text(name, text, wanted))
            origins[key] = f"environment {name}"
    for key, value in flags.items():
        if key not in settings:
            raise KeyError(key)
        if value is not None and value != ():
            _put(merged, key, value)
            origins[key] = _FLAG
    try:
        config = msgspec.convert(merged, model)
    except msgspec.ValidationError as error:
        _refuse(str(error), origins, settings)
    return Loaded(config=config, origins=origins, file=source, found=read is not None)


def leaves(model: type[Group], prefix: str = "") -> dict[str, Any]:
    """Every key path of a configuration, with the type of what it holds."""
    found: dict[str, Any] = {}
    for field in msgspec.structs.fields(model):
        key = prefix + field.name
        if _is_group(field.type):
            found |= leaves(field.type, f"{key}.")
        else:
            found[key] = field.type
    return found


def overlooked(environ: Mapping[str, str]) -> Iterator[str]:
    """A sentence for each environment variable that looks like one of ours and sets nothing."""
    known = {variable(key) for model in _MODELS.values() for key in leaves(model)} | {HOME_VARIABLE}
    for name in sorted(environ):
        if name.startswith(PREFIX) and name not in known:
            near = "".join(f" (did you mean {n}?)" for n in get_close_matches(name, known, n=1))
            yield f"environment: {printable(name)} sets nothing{near}"


def _is_group(wanted: Any) -> bool:
    return isinstance(wanted, type) and issubclass(wanted, Group)


def _check_keys(
    raw: Mapping[str, Any], model: type[Group], label: str, settings: Mapping[str, Any], prefix: str = ""
) -> None:
    fields = {field.name: field.type for field in msgspec.structs.fields(model)}
    for key, value in raw.items():
        if key not in fields:
            place = f"{label}: {prefix[:-1]}: " if prefix else f"{label}: "
            raise ConfigError(f"{place}unknown key `{printable(key)}`{_hint(key, list(fields), settings)}")
        if not _is_group(fields[key]):
            continue
        if not isinstance(value, dict):
            raise ConfigError(f"{label}: {prefix}{key}: wants a group of keys in {{...}}")
        _check_keys(value, fields[key], label, settings, f"{prefix}{key}.")


def _hint(key: str, siblings: list[str], settings: Mapping[str, Any]) -> str:
    """The key that was probably meant: a neighbour with a similar name, or one of another group."""
    for near in get_close_matches(key, siblings, n=1):
        return f" (did you mean `{near}`?)"
    elsewhere = {path.rpartition(".")[2]: path for path in settings}
    for near in get_close_matches(key, elsewhere, n=1):
        return f" (did you mean `{elsewhere[near]}`?)"
    return ""


def _has(raw: Mapping[str, Any], key: str) -> bool:
    *groups, last = key.split(".")
    for group in groups:
        raw = raw.get(group, {})
    return last in raw


def _put(raw: dict[str, Any], key: str, value: object) -> None:
    *groups, last = key.split(".")
    for group in groups:
        raw = raw.setdefault(group, {})
    raw[last] = value


def _refuse(message: str, origins: Mapping[str, str], settings: Mapping[str, Any]) -> NoReturn:
    """Name the source that the operator has to change: the strongest one that set the key, or its group."""
    key, _ = split(message)
    blamed = [origin for path, origin in origins.items() if path == key or path.startswith(f"{key}.")]
    chosen = min(blamed, key=_strength)
    source = chosen.partition(" ")[2] if chosen != _FLAG else chosen
    raise ConfigError(f"{source}: {key}: {explain(message, settings.get(key))}") from None


def _strength(origin: str) -> int:
    """How early a source is asked; the lower the stronger."""
    sources = (_FLAG, "environment ", "file ", _DEFAULT)
    return next(i for i, source in enumerate(sources) if origin.startswith(source))
