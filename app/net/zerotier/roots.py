"""Roots: the nodes that introduce others to each other and relay until a direct path is found.

A private network brings its own root, usually the manager itself; or ZeroTier's public ones, which need no
open port on either side; or those of a planet file. Whoever is a root sees who talks to whom and nothing of
what is said. This module makes what libzt is given; it starts nothing.
"""

from __future__ import annotations

import ctypes
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Final, TypeAlias

from ...core.errors import ConfigError
from ...core.text import printable
from .binding import MAX_ENDPOINTS, MAX_ROOTS, ROOTS_BUFFER, Library, RootSet, result_name
from .identity import is_public

PUBLIC_WORLD: Final = 149604618
"""Id of ZeroTier's own set of roots; ours must have another."""
TIMESTAMP_MS: Final = 1_700_000_000_000
"""Of every set made here: nodes offer each other newer sets, and there must be none."""
MAX_PORT: Final = 65535
_PLANET: Final = 1
"""First byte of a planet file; moons, which begin with 127, are something else."""
_LEAST: Final = 1 + 8 + 8
"""Bytes of a planet file before its keys: kind, id, timestamp."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Root:
    """One node that others are told of from the start."""

    identity: str
    """Its public identity."""
    endpoints: tuple[str, ...]
    """Where it is, as `IP/PORT`; UDP."""

    def __post_init__(self) -> None:
        if not is_public(self.identity):
            raise ConfigError(f"`{printable(self.identity, 32)}` is no public identity of a ZeroTier root")
        if not 0 < len(self.endpoints) <= MAX_ENDPOINTS:
            raise ConfigError(
                f"root {self.node_id} needs 1 to {MAX_ENDPOINTS} endpoints, not {len(self.endpoints)}"
            )
        for endpoint in self.endpoints:
            check_endpoint(endpoint)

    @property
    def node_id(self) -> str:
        """Ten hex digits."""
        return self.identity[:10]


@dataclass(frozen=True, slots=True)
class OwnRoots:
    """Roots of the fleet's own: the manager, or a third node."""

    roots: tuple[Root, ...]

    def __post_init__(self) -> None:
        if not 0 < len(self.roots) <= MAX_ROOTS:
            raise ConfigError(f"a network has 1 to {MAX_ROOTS} roots, not {len(self.roots)}")

    def __str__(self) -> str:
        return ", ".join(f"{root.node_id} at {' '.join(root.endpoints)}" for root in self.roots)


@dataclass(frozen=True, slots=True)
class PlanetFile:
    """Roots as somebody else has signed them, in ZeroTier's own format."""

    path: Path

    def __str__(self) -> str:
        return str(self.path)


@dataclass(frozen=True, slots=True)
class PublicRoots:
    """ZeroTier's own, built into libzt."""

    def __str__(self) -> str:
        return "ZeroTier's public roots"


Roots: TypeAlias = OwnRoots | PlanetFile | PublicRoots


def own_roots(roots: Sequence[tuple[str, Sequence[str]]]) -> OwnRoots:
    """Roots from public identities and endpoints.

    Raises:
        ConfigError: one of them cannot be.
    """
    return OwnRoots(tuple(Root(identity=identity, endpoints=tuple(where)) for identity, where in roots))


def check_endpoint(text: str) -> None:
    """Whether `text` is an `IP/PORT` at which a root can be.

    Raises:
        ConfigError: it is not; loopback is none, ZeroTier refuses it.
    """
    host, slash, port = text.partition("/")
    try:
        address = ip_address(host)
    except ValueError:
        address = None
    known = port.isascii() and port.isdigit() and 0 < int(port) <= MAX_PORT
    if address is None or not slash or not known:
        raise ConfigError(
            f"`{printable(text, 64)}` is no endpoint of a root: write IP/PORT, as in 203.0.113.7/9993"
        )
    if address.is_loopback or address.is_unspecified or address.is_multicast:
        raise ConfigError(
            f"{host} cannot be a root's endpoint: name an address that other machines can reach"
        )


def blob(roots: Roots, library: Library) -> bytes | None:
    """What libzt is given before its start; None means to give it nothing, which leaves the public roots.

    Raises:
        ConfigError: the planet file cannot be used, or libzt makes no set of these roots.
    """
    match roots:
        case PublicRoots():
            return None
        case PlanetFile(path):
            return read_planet(path)
        case OwnRoots():
            return _sign(roots, library)


def read_planet(path: Path) -> bytes:
    """What a planet file holds.

    Raises:
        ConfigError: it cannot be read, or is none.
    """
    try:
        with path.open("rb") as file:
            data = file.read(ROOTS_BUFFER + 1)
    except OSError as error:
        raise ConfigError(
            f"zerotier.roots: {path} cannot be read ({error.strerror}); name a planet file"
        ) from error
    if len(data) > ROOTS_BUFFER or len(data) < _LEAST or data[0] != _PLANET:
        raise ConfigError(
            f"zerotier.roots: {path} is no planet file, as `zerotier-idtool genmoon` or mkworld make"
        )
    return data


def world_id(roots: OwnRoots) -> int:
    """The id of a set of roots: the same wherever the same identities are named, never ZeroTier's own."""
    names = "\n".join(sorted(root.identity for root in roots.roots))
    # The top bit keeps it apart from any id that somebody would choose by hand.
    return int.from_bytes(hashlib.sha256(names.encode()).digest()[:8], "big") | 1 << 63


def _sign(roots: OwnRoots, library: Library) -> bytes:
    """Signed with keys of the moment: each node may sign its own copy if id and time are the same."""
    specification = RootSet()
    for number, root in enumerate(roots.roots):
        specification.identities[number] = root.identity.encode()
        for place, endpoint in enumerate(root.endpoints):
            specification.endpoints[number][place] = endpoint.encode()
    buffers = [ctypes.create_string_buffer(ROOTS_BUFFER) for _ in range(3)]
    lengths = [ctypes.c_uint(ROOTS_BUFFER) for _ in buffers]
    arguments = [part for pair in zip(buffers, map(ctypes.byref, lengths), strict=True) for part in pair]
    result = library.zts_util_sign_root_set(
        *arguments, world_id(roots), TIMESTAMP_MS, ctypes.byref(specification)
    )
    if result != 0 or not 0 < lengths[0].value <= ROOTS_BUFFER:
        raise ConfigError(f"libzt makes no set of these roots: {result_name(result)}; check zerotier.roots")
    return buffers[0].raw[: lengths[0].value]
