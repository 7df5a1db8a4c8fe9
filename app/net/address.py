"""Where a peer is: one value for every transport, read from text and written back the same.

    tcp://203.0.113.7:7711   tcp://[2001:db8::7]:7711   tcp://manager.example   (port 7711 when none is given)
    unix:///run/user/1000/task-messenger/manager.sock
    mem://name                                          (inside one process)
    zt://:7711                                          (to listen in the ZeroTier network of this node)
    zt://8056c2e21c000001/8056c2e21c:7711               (network id, node id of the manager, port there)

How to get into that network is more than people want to read: it goes behind a `?`, is written by `whole` and
left out by `str`. It reads and checks text; it resolves and opens nothing.
"""

from __future__ import annotations

import re
from base64 import b64decode, urlsafe_b64encode
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from ipaddress import IPv6Address, ip_address
from pathlib import PurePosixPath
from typing import Final

from ..core.errors import UsageError

DEFAULT_PORT: Final = 7711
MAX_PORT: Final = 65535
MAX_TEXT: Final = 512
"""Longest address that is read, in characters."""
MAX_HOST: Final = 253
"""Longest host name that DNS can hold, in characters."""
MAX_UNIX_PATH: Final = 103
"""Longest path of a Unix socket, in bytes, that every system takes."""
MAX_WAY: Final = 240
"""Longest description of the way into a ZeroTier network, in bytes: an invite has room for so many."""
_NETWORK: Final = re.compile(r"[0-9a-f]{16}")
_NODE: Final = re.compile(r"[0-9a-f]{10}")


@dataclass(frozen=True, slots=True)
class Address:
    """Where to dial or to listen. Which fields are used depends on the scheme."""

    scheme: str
    host: str = ""
    """Name or IP address (IPv6 without brackets); for `mem` the name; for `zt` a node id, 10 hex digits."""
    port: int = 0
    """0 lets the system choose one when listening."""
    path: str = ""
    """Of a Unix socket, absolute."""
    network: str = ""
    """For `zt`: the network id, 16 hex digits; empty for the network that the settings name."""
    way: bytes = field(default=b"", repr=False)
    """For `zt`: what leads into the network, see `net.zerotier.way`; empty for ZeroTier's own roots."""

    def __str__(self) -> str:
        if self.scheme == "zt":
            return f"zt://{self.network}/{self.host}:{self.port}" if self.network else f"zt://:{self.port}"
        if self.path:
            return f"{self.scheme}://{self.path}"
        if self.scheme == "mem":
            return f"mem://{self.host}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"

    @property
    def whole(self) -> str:
        """As text from which `parse` makes the same value again, the way there included."""
        way = urlsafe_b64encode(self.way).decode("ascii").rstrip("=")
        return f"{self}?{way}" if way else str(self)

    @classmethod
    def parse(cls, text: str) -> Address:
        """The address that `text` names.

        Raises:
            UsageError: it names none; says what is wrong and how an address looks.
        """
        text = text.strip()
        if not text or len(text) > MAX_TEXT or not text.isprintable():
            raise _bad(text, "it is empty, too long, or has control characters")
        scheme, found, rest = text.partition("://")
        if not found:
            hint = f"unix://{text}" if text.startswith("/") else f"tcp://{text}"
            raise _bad(text, f"the scheme is missing, did you mean {hint}")
        read = _READERS.get(scheme.lower())
        if read is None:
            known = ", ".join(f"{name}://" for name in _READERS)
            raise _bad(text, f"the scheme {scheme}:// is not known, there are {known}")
        return read(text, scheme.lower(), rest)

    @property
    def is_loopback(self) -> bool:
        """Whether what is sent there stays on this machine, as far as the text tells."""
        if self.scheme in {"unix", "mem"}:
            return True
        if self.host.lower().rstrip(".") == "localhost":
            return True
        try:
            ip = ip_address(self.host)
        except ValueError:
            return False
        mapped = ip.ipv4_mapped if isinstance(ip, IPv6Address) else None
        return (mapped or ip).is_loopback

    def with_port(self, port: int) -> Address:
        """The same place, other port: what a listener on port 0 was given."""
        return replace(self, port=port)


def _bad(text: str, why: str) -> UsageError:
    shown = text if len(text) <= MAX_HOST else f"{text[:MAX_HOST]}..."
    return UsageError(f"{shown!r} is no address: {why}")


def _read_host_port(text: str, scheme: str, rest: str) -> Address:
    host, port = _split_port(text, rest.removesuffix("/"))
    if not host or len(host) > MAX_HOST or any(c in host for c in " /?#@[]\\"):
        raise _bad(text, f"write {scheme}://HOST:PORT, for example {scheme}://127.0.0.1:{DEFAULT_PORT}")
    if ":" in host:
        try:
            IPv6Address(host)
        except ValueError:
            raise _bad(text, f"{host} is no IPv6 address") from None
    return Address(scheme, host=host, port=port)


def _split_port(text: str, rest: str) -> tuple[str, int]:
    if rest.startswith("["):
        host, closed, tail = rest[1:].partition("]")
        if not closed or ":" not in host or (tail and not tail.startswith(":")):
            raise _bad(text, "write an IPv6 address in brackets, as in tcp://[::1]:7711")
    else:
        host, colon, number = rest.partition(":")
        if ":" in number:
            raise _bad(text, f"put an IPv6 address in brackets, as in tcp://[{rest}]:{DEFAULT_PORT}")
        tail = colon + number
    return host, _read_port(text, tail[1:]) if tail else DEFAULT_PORT


def _read_port(text: str, number: str) -> int:
    if not (number.isascii() and number.isdigit() and int(number) <= MAX_PORT):
        raise _bad(text, f"the port must be a number up to {MAX_PORT}; the default is {DEFAULT_PORT}")
    return int(number)


def _read_path(text: str, scheme: str, rest: str) -> Address:
    if not rest.startswith("/") or rest.endswith("/") or ".." in PurePosixPath(rest).parts:
        raise _bad(text, "write an absolute path of a file, as in unix:///run/task-messenger/manager.sock")
    if len(rest.encode()) > MAX_UNIX_PATH:
        raise _bad(
            text,
            f"the path is longer than the {MAX_UNIX_PATH} bytes a Unix socket can have; use a shorter one",
        )
    return Address(scheme, path=str(PurePosixPath(rest)))


def _read_name(text: str, scheme: str, rest: str) -> Address:
    if not rest or "/" in rest:
        raise _bad(text, "write mem://NAME")
    return Address(scheme, host=rest)


def _read_zerotier(text: str, scheme: str, rest: str) -> Address:
    rest, _, way = rest.partition("?")
    place, colon, number = rest.removesuffix("/").lower().rpartition(":")
    place = place if colon else rest.removesuffix("/").lower()
    port = _read_port(text, number) if colon else DEFAULT_PORT
    network, _, node = place.partition("/")
    if not place and not way:
        return Address(scheme, port=port)
    if not (_NETWORK.fullmatch(network) and _NODE.fullmatch(node)):
        raise _bad(
            text,
            f"write zt://:{DEFAULT_PORT} to listen, or zt://NETWORK/NODE:PORT with the 16 and 10 hex digits"
            " of a network and a node",
        )
    return Address(scheme, host=node, port=port, network=network, way=_read_way(text, way))


def _read_way(text: str, way: str) -> bytes:
    try:
        found = b64decode(way + "=" * (-len(way) % 4), altchars=b"-_", validate=True)
    except ValueError:
        found = bytes(MAX_WAY + 1)
    if len(found) > MAX_WAY or urlsafe_b64encode(found).decode("ascii").rstrip("=") != way:
        raise _bad(text, "what is behind the ? is damaged: join again with a new invite")
    return found


_READERS: Final[dict[str, Callable[[str, str, str], Address]]] = {
    "tcp": _read_host_port,
    "unix": _read_path,
    "mem": _read_name,
    "zt": _read_zerotier,
}
