"""Secrets on disk: written whole or not at all, never readable by others, not even for a moment.

Like ssh: a secret that others can read, or a folder in which others can write, is refused, not repaired,
because nobody knows who has read it.
"""

from __future__ import annotations

import os
import secrets
import stat
from pathlib import Path
from typing import Final

from ...core.errors import ConfigError
from ...paths import check_unshared, make_private

MAX_BYTES: Final = 65_536
"""No file of ours here is nearly as large; a larger one is not read."""
NO_WAIT: Final = getattr(os, "O_NONBLOCK", 0)
_OTHERS: Final = 0o077
_OTHERS_WRITE: Final = 0o022


def private_folder(path: Path) -> Path:
    """This folder, made with mode 0700 if it is not there.

    Raises:
        ConfigError: it cannot be made, is no folder, or others may write in it.
    """
    try:
        make_private(path)
        status = path.stat()
    except OSError as error:
        raise ConfigError(
            f"{path}: cannot be used as a folder ({error.strerror}): check it, or remove it"
        ) from error
    _check_owner(path, status)
    if os.name == "posix" and status.st_mode & _OTHERS_WRITE:
        raise ConfigError(f"{path}: others may write in it, and it holds secrets: chmod 700 {path}")
    check_unshared(path)
    return path


def create_private(path: Path, data: bytes) -> None:
    """Write a new file of mode 0600; it appears whole, or not at all.

    Raises:
        FileExistsError: something of this name is there, perhaps since a moment ago; it is untouched.
        ConfigError: the folder cannot be written.
    """
    staged = _stage(path, data)
    try:
        path.hardlink_to(staged)  # unlike a rename, it never replaces what another process has just written
    except FileExistsError:
        raise
    except OSError as error:
        raise _unwritable(path, error) from error
    finally:
        staged.unlink(missing_ok=True)
    _sync_folder(path.parent)


def replace_private(path: Path, data: bytes) -> None:
    """Write a file of mode 0600 in place of what is there; a reader sees the old or the new one, whole.

    Raises:
        ConfigError: the folder cannot be written.
    """
    staged = _stage(path, data)
    try:
        staged.replace(path)
    except OSError as error:
        staged.unlink(missing_ok=True)
        raise _unwritable(path, error) from error
    _sync_folder(path.parent)


def read_private(path: Path) -> bytes:
    """What the file holds, after a look at who else could have read it.

    Raises:
        FileNotFoundError: it is not there.
        ConfigError: others may read it, it belongs to another user, or it cannot be read.
    """
    try:
        # A pipe or a device must not keep us waiting before it is seen for what it is.
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_CLOEXEC | NO_WAIT), "rb") as file:
            status = os.fstat(file.fileno())
            _check_owner(path, status)
            if os.name == "posix" and status.st_mode & _OTHERS:
                raise ConfigError(f"{path}: others may read this secret: chmod 600 {path}")
            check_unshared(path)
            data = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}): check its owner and mode") from error
    if len(data) > MAX_BYTES:
        raise ConfigError(f"{path}: is larger than {MAX_BYTES} bytes, so it is not ours: move it away")
    return data


def _stage(path: Path, data: bytes) -> Path:
    """The data on disk beside `path`, under a name nobody else has."""
    staged = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")
    try:
        number = os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(number, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(number)
    except OSError as error:
        staged.unlink(missing_ok=True)
        raise _unwritable(path, error) from error
    return staged


def _sync_folder(folder: Path) -> None:
    """Make the new name itself survive a power cut."""
    if os.name != "posix":
        return
    number = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def _check_owner(path: Path, status: os.stat_result) -> None:
    if os.name == "posix" and status.st_uid not in {os.geteuid(), 0}:
        raise ConfigError(
            f"{path}: belongs to user {status.st_uid}, and this program runs as {os.geteuid()}: "
            f"chown {os.geteuid()} {path}, or run as its owner"
        )
    if not stat.S_ISDIR(status.st_mode) and not stat.S_ISREG(status.st_mode):
        raise ConfigError(f"{path}: is neither a file nor a folder: remove it")


def _unwritable(path: Path, error: OSError) -> ConfigError:
    return ConfigError(
        f"{path}: cannot be written ({error.strerror}): free space, or check who owns {path.parent}"
    )
