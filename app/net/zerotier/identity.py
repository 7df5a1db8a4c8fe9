"""Who a node is on ZeroTier: a key pair, and the node id that follows from it. Made, read, kept on disk.

It says nothing about who may work for the fleet: anyone can make such an identity for nothing.
"""

from __future__ import annotations

import ctypes
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from ...core.errors import ConfigError
from ..security.private_files import private_folder, read_private, replace_private
from .binding import IDENTITY_TEXT, Library, result_name

PUBLIC: Final = "identity.public"
SECRET: Final = "identity.secret"  # noqa: S105  the name of a file
MAX_TRIES: Final = 8
"""Identities made until one has an address that can be used; each fails with a chance of 1 in 2**27."""
HOST_BITS: Final = 28
"""Low bits of the node id that are its address in a private network."""
_LAST_HOST: Final = 2**HOST_BITS - 1
_NODE_ID: Final = re.compile(r"\A[0-9a-f]{10}\Z")
_PUBLIC_TEXT: Final = re.compile(r"\A([0-9a-f]{10}):0:[0-9a-f]{128}\Z")
_SECRET_TEXT: Final = re.compile(r"\A([0-9a-f]{10}:0:[0-9a-f]{128}):([0-9a-f]{128})\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """The key pair of one node."""

    public: str
    """`<node id>:0:<128 hex digits>`; may be told to anyone."""
    secret: str = field(repr=False)
    """128 hex digits."""

    @property
    def node_id(self) -> str:
        """Ten hex digits."""
        return self.public[:10]

    @property
    def text(self) -> str:
        """Both parts as ZeroTier writes them; as secret as the secret."""
        return f"{self.public}:{self.secret}"


def is_node_id(text: str) -> bool:
    """Whether this is how a node id looks: ten hex digits, and not one of those that ZeroTier reserves."""
    return bool(_NODE_ID.match(text)) and text != "0" * 10 and not text.startswith("ff")


def is_public(text: str) -> bool:
    """Whether this looks like the public part of an identity."""
    found = _PUBLIC_TEXT.match(text)
    return found is not None and is_node_id(found[1])


def has_address(node_id: str) -> bool:
    """Whether a private network has an address for this node: neither its first nor its last one."""
    return 0 < int(node_id, 16) & _LAST_HOST < _LAST_HOST


def parse(text: str) -> Identity:
    """The identity that ZeroTier wrote as this text.

    Raises:
        ValueError: it is none.
    """
    found = _SECRET_TEXT.match(text)
    if found is None or not is_public(found[1]):
        raise ValueError("this is no ZeroTier identity")
    return Identity(public=found[1], secret=found[2])


def make(library: Library) -> Identity:
    """A new identity. Takes 0.05 to 1 s of a processor and some memory; for a thread.

    Raises:
        ConfigError: the library does not make one.
    """
    for _ in range(MAX_TRIES):
        text, length = ctypes.create_string_buffer(IDENTITY_TEXT), ctypes.c_uint(IDENTITY_TEXT)
        result = library.zts_id_new(text, ctypes.byref(length))
        if result != 0:
            raise ConfigError(
                f"libzt makes no identity: {result_name(result)}; install it again with --force"
            )
        made = parse(text.value.decode("ascii"))
        if has_address(made.node_id):
            return made
    raise ConfigError("libzt makes no identity that can be used; install it again with --force")


def load(folder: Path) -> Identity | None:
    """The identity kept in this folder, or None when there is none.

    Raises:
        ConfigError: it is damaged, or others may read it.
    """
    path = folder / SECRET
    try:
        found = parse(read_private(path).decode("ascii", "replace").strip())
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise ConfigError(f"{path}: {error}; move it away, and a new one is made") from error
    return found


def keep(folder: Path, identity: Identity) -> None:
    """Write both files, the secret one 0600, in place of what is there.

    Raises:
        ConfigError: the folder cannot be used.
    """
    private_folder(folder)
    replace_private(folder / SECRET, identity.text.encode())
    # Written last: who sees it finds its secret too.
    replace_private(folder / PUBLIC, identity.public.encode())


def ensure(folder: Path, library: Library) -> Identity:
    """The identity in this folder, made first if there is none. Blocks like `make`.

    Raises:
        ConfigError: as `load`, `make` and `keep`.
    """
    found = load(folder)
    if found is None:
        found = make(library)
        keep(folder, found)
    return found


def renew(folder: Path, library: Library) -> Identity:
    """Another identity in place of the one in this folder: its address was taken. Blocks like `make`.

    Raises:
        ConfigError: as `make` and `keep`.
    """
    made = make(library)
    keep(folder, made)
    return made
