"""Where this application keeps its files; the only module that knows.

It names places and makes private directories; it reads and writes no file. Without TASKMESSENGER_HOME the
places are those of the system (XDG on Linux); with it everything lies under that one directory, so that
several fleets can live side by side.
"""

from __future__ import annotations

import hashlib
import os
import stat
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from .core.errors import ConfigError
from .core.text import printable

Role = Literal["manager", "worker"]
"""What a process is started as."""
ROLES: Final[tuple[Role, ...]] = ("manager", "worker")

HOME_VARIABLE: Final = "TASKMESSENGER_HOME"
APPLICATION: Final = "task-messenger"
PRIVATE: Final = 0o700
_OTHERS_WRITE: Final = stat.S_IWGRP | stat.S_IWOTH
SOCKET_PATH_LIMIT: Final = 103
"""Bytes of a local socket's path: `sun_path` holds 108 on Linux and 104 on macOS, the final zero included."""

OPEN_FILES: Final = "/proc/self/fd"
"""Where a process finds what it holds open under a short name, on Linux."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Paths:
    """The directories of one user or of one TASKMESSENGER_HOME, and what lies where in them.

    Nothing here need exist: see `private_directory`.
    """

    config: Path
    """What the operator writes."""
    data: Path
    """What must not be lost: tasks, identities, unsent results."""
    state: Path
    """What is nice to have: logs."""
    cache: Path
    """What can be made again."""
    runtime: Path
    """What lives as long as a process: local sockets."""

    def config_file(self, role: Role) -> Path:
        """The configuration that a role reads when no other is named."""
        return self.config / f"tm-{role}" / f"config-{role}.json"

    @property
    def kinds(self) -> Path:
        """Task kinds dropped into this directory are always looked at by the worker."""
        return self.config / "tm-worker" / "kinds"

    @property
    def database(self) -> Path:
        """The manager's tasks."""
        return self.data / "tm-manager" / "tasks.db"

    @property
    def authority(self) -> Path:
        """The fleet's certificate authority: who has this directory owns the fleet."""
        return self.data / "tm-manager" / "authority"

    def identity(self, role: str = "worker") -> Path:
        """Key and certificates of someone who was let in: a worker, a client or an operator."""
        return self.data / f"tm-{role}" / "identity"

    def node(self, role: str) -> Path:
        """Who the ZeroTier node of a manager, worker, client or operator is."""
        base = self.config if role == "manager" else self.data
        return base / f"tm-{role}" / f"vn-{role}-identity"

    def node_state(self, role: str) -> Path:
        """What that node remembers of others and of its network."""
        return self.state / f"tm-{role}" / "libzt"

    @property
    def spool(self) -> Path:
        """Results that the manager has not acknowledged yet."""
        return self.data / "tm-worker" / "spool"

    def log_file(self, role: Role) -> Path:
        """The newest log of a role; older ones lie beside it."""
        return self.state / f"tm-{role}" / f"{role}.log"

    @property
    def socket(self) -> Path:
        """The manager's local socket, at a path that can be dialled: see `net.unix_name`.

        Where the runtime directory is too deep for this system it is in the temporary directory, in a
        directory of this user whose name is derived from the intended place: manager and command line arrive
        at the same one.
        """
        wanted = self.runtime / "tm-manager" / "manager.sock"
        if len(os.fsencode(wanted)) <= SOCKET_PATH_LIMIT or any_socket_path():
            return wanted
        digest = hashlib.sha256(os.fsencode(wanted)).hexdigest()[:16]
        return Path(tempfile.gettempdir()) / f"taskmessenger-{_user()}-{digest}" / "manager.sock"

    @property
    def starting(self) -> Path:
        """Locked by a manager that is on its way to its local socket."""
        return self.runtime / "tm-manager" / "manager.starting"

    def named(self) -> dict[str, Path]:
        """Every place by the name that people are shown."""
        return {
            "manager configuration": self.config_file("manager"),
            "worker configuration": self.config_file("worker"),
            "worker kinds": self.kinds,
            "manager database": self.database,
            "fleet authority": self.authority,
            "worker identity": self.identity("worker"),
            "manager node": self.node("manager"),
            "worker node": self.node("worker"),
            "worker spool": self.spool,
            "manager log": self.log_file("manager"),
            "worker log": self.log_file("worker"),
            "cache": self.cache,
            "manager socket": self.socket,
        }


def any_socket_path() -> bool:
    """Whether sockets may have paths of any length here."""
    return Path(OPEN_FILES).is_dir()


def find(environ: Mapping[str, str] | None = None) -> Paths:
    """The places of this user, or those under TASKMESSENGER_HOME when `environ` (default: ours) has it.

    Raises:
        ConfigError: no home directory is known.
    """
    environ = os.environ if environ is None else environ
    if home := environ.get(HOME_VARIABLE, ""):
        return under(expanded(home))
    from platformdirs import PlatformDirs

    dirs = PlatformDirs(APPLICATION, appauthor=False)
    try:
        return Paths(
            config=dirs.user_config_path,
            data=dirs.user_data_path,
            state=dirs.user_state_path,
            cache=dirs.user_cache_path,
            runtime=_runtime(environ, dirs.user_state_path),
        )
    except RuntimeError as error:
        raise ConfigError(
            f"the home directory of user {_user()} is not known: set {HOME_VARIABLE} to a place of its own"
        ) from error


def expanded(text: str) -> Path:
    """A path as a person writes it, with `~` for a home directory.

    Raises:
        ConfigError: there is no such user, or nobody knows where that is.
    """
    try:
        return Path(text).expanduser()
    except RuntimeError as error:
        raise ConfigError(
            f"{printable(text)}: the home directory in it is not known: write it out"
        ) from error


def under(home: Path) -> Paths:
    """All places under one directory."""
    home = home.absolute()
    return Paths(
        config=home / "config",
        data=home / "data",
        state=home / "state",
        cache=home / "cache",
        runtime=home / "run",
    )


def private_directory(path: Path) -> Path:
    """Make `path` and what is missing above it, for this user alone (0700), and return it.

    Raises:
        ConfigError: it cannot be made, is no directory, or others can get at it.
    """
    try:
        _make(path)
        status = path.lstat()
    except OSError as error:
        raise ConfigError(
            f"{path}: the directory cannot be made ({error.strerror}); "
            f"make it yourself or set {HOME_VARIABLE} to a place where you may write"
        ) from error
    if not stat.S_ISDIR(status.st_mode):
        raise ConfigError(f"{path}: is not a directory; move it away")
    if sys.platform != "win32":
        _check_private(path, status)
        _check_above(path)
    return path


def _make(path: Path) -> None:
    if path.is_dir():
        return
    _make(path.parent)
    # Another process of ours may be making the same one.
    path.mkdir(mode=PRIVATE, exist_ok=True)


def make_private(path: Path) -> None:
    """Make this directory and what is missing above it, for this user alone; looks at nothing that is there.

    Raises:
        OSError: it cannot be made.
    """
    _make(path)


def check_unshared(path: Path) -> None:
    """This file or directory can be changed or replaced by this user and root alone.

    As ssh looks at its files: the owner and the mode of the real place, and of every directory above it. One
    in which everybody may make files but move only their own, like /tmp, may be above what is ours.

    Raises:
        ConfigError: somebody else could; names the place and the cure. OSError: it is not there.
    """
    if sys.platform != "win32":
        check_own(path)
        _check_above(path)


def check_own(path: Path) -> None:
    """The same of the file or directory itself.

    Raises:
        ConfigError: somebody else could change it. OSError: it is not there.
    """
    if sys.platform == "win32":
        return
    status = path.stat()
    if status.st_uid not in {0, os.geteuid()}:
        raise ConfigError(
            f"{path}: belongs to another user (uid {status.st_uid}), who could change it: "
            f"make it your own with `chown {os.geteuid()} {path}`, or use another"
        )
    if status.st_mode & _OTHERS_WRITE:
        raise ConfigError(f"{path}: {_who(status)} may write it: run `chmod go-w {path}`")


def _who(status: os.stat_result) -> str:
    return "everybody" if status.st_mode & stat.S_IWOTH else "its group"


def _check_private(path: Path, status: os.stat_result) -> None:
    if status.st_uid != os.geteuid():
        raise ConfigError(
            f"{path}: belongs to another user; remove it or set {HOME_VARIABLE} to a place of your own"
        )
    if stat.S_IMODE(status.st_mode) & 0o077:
        raise ConfigError(f"{path}: other users can get at it; run `chmod 700 {path}`")


def _check_above(path: Path) -> None:
    """Whoever owns a directory above, or may write in it, can put another one in the place of ours."""
    for above in path.resolve().parents:
        status = above.stat()
        if status.st_uid not in {0, os.geteuid()}:
            raise ConfigError(
                f"{above}: belongs to another user, who could replace {path.name} in it; "
                f"set {HOME_VARIABLE} to a place of your own"
            )
        if status.st_mode & _OTHERS_WRITE and not status.st_mode & stat.S_ISVTX:
            raise ConfigError(
                f"{above}: {_who(status)} may write in it, and could replace {path.name} in it; "
                f"run `chmod go-w {above}`"
            )


def _runtime(environ: Mapping[str, str], state: Path) -> Path:
    """The session's runtime directory if it is this user's own, else one beside the logs.

    Never one in the shared temporary directory: there somebody else could have been first.
    """
    for base in (environ.get("XDG_RUNTIME_DIR", ""), f"/run/user/{_user()}"):
        if base and _is_own(Path(base)):
            return Path(base) / APPLICATION
    return state / "run"


def _is_own(path: Path) -> bool:
    try:
        status = path.lstat()
    except OSError:
        return False
    if sys.platform == "win32" or not stat.S_ISDIR(status.st_mode):
        return False
    return status.st_uid == os.geteuid() and not stat.S_IMODE(status.st_mode) & 0o077


def _user() -> str:
    return str(os.geteuid()) if sys.platform != "win32" else os.environ.get("USERNAME", "user")
