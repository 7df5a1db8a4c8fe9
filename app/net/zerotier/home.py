"""The directory that libzt reads at its start and caches into: exactly one network in it, and no roots.

It holds no identity; that is kept elsewhere and given to libzt from memory.
"""

from __future__ import annotations

import contextlib
import time
from ipaddress import IPv4Interface
from pathlib import Path
from typing import Final

from ...core.errors import ConfigError
from ..security.private_files import private_folder, replace_private
from .network import Network, assigned_in, network_file

NETWORKS: Final = "networks.d"
ROOTS: Final = "roots"
KEPT: Final = ".kept"
"""Added to the name of a configuration while the node must not see it."""
MAX_HOME: Final = 200
"""Bytes of the path: libzt puts paths into buffers of fixed size."""


def prepare(home: Path, network: Network) -> None:
    """Make `home` what the node is to start from: a member of no network yet.

    A node joins at its start whatever it finds there, and sometimes does not survive it, because its TCP/IP
    stack is not up yet. So configurations are put out of its sight until then; see `enter`.

    Raises:
        ConfigError: it cannot be made or written, or its path is too long.
    """
    if len(bytes(home)) > MAX_HOME:
        raise ConfigError(f"{home}: is longer than the {MAX_HOME} bytes that libzt takes; use a shorter path")
    folder = private_folder(private_folder(home) / NETWORKS)
    (home / ROOTS).unlink(missing_ok=True)  # of an earlier start with others; libzt would prefer it
    for file in folder.glob("*.conf"):
        if file.name == network.file_name and not network.private:
            file.replace(_kept(file))  # what the controller said last: it saves the wait for it
        else:
            file.unlink(missing_ok=True)


def enter(home: Path, network: Network, node_id: str) -> None:
    """Put the network's configuration where the node looks when it joins.

    Raises:
        ConfigError: it cannot be written.
    """
    file = home / NETWORKS / network.file_name
    if network.private:
        replace_private(file, network_file(network, node_id, int(time.time() * 1000)))
        return
    with contextlib.suppress(FileNotFoundError):
        _kept(file).replace(file)


def _kept(file: Path) -> Path:
    return file.with_name(file.name + KEPT)


def assigned(home: Path, network: Network) -> IPv4Interface | None:
    """Own address and the overlay's prefix, as far as the configuration there is tells."""
    try:
        return assigned_in((home / NETWORKS / network.file_name).read_bytes())
    except OSError:
        return None
