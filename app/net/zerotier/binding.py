"""libzt's C interface, as of 1.8.4: signatures, constants, names of errors. It decides and loads nothing.

`bind(library)` declares every function that is used here on a `ctypes.CDLL` and returns it under this type.
Calls release the GIL. Those that may block (`zts_node_start`, `zts_node_stop`, `zts_id_new`, `zts_bsd_poll`)
belong into a thread. Three rules of libzt that no signature shows:

* Functions that answer "is it so" answer 1, 0, or a negative error, which is true in Python: compare with 1.
* `zts_errno` is one number for the whole process; see `errno_of` for one socket's own.
* A socket is used and closed by one thread, and never blocks: two at a time can stop the stack for good.
"""

from __future__ import annotations

import ctypes
from ctypes import (
    POINTER,
    Structure,
    byref,
    c_char_p,
    c_int,
    c_short,
    c_size_t,
    c_ssize_t,
    c_uint,
    c_uint8,
    c_uint32,
    c_uint64,
    c_ushort,
    c_void_p,
)
from ipaddress import IPv4Address
from typing import TYPE_CHECKING, Any, Final, TypeAlias

ERR_OK: Final = 0
ERR_SOCKET: Final = -1
"""A call on a socket failed; the number is in `zts_errno`."""
ERR_SERVICE: Final = -2
"""The node is not up (yet, or any more)."""
ERR_ARG: Final = -3
ERR_NO_RESULT: Final = -4
ERR_GENERAL: Final = -5

AF_INET: Final = 2
AF_INET6: Final = 10
SOCK_STREAM: Final = 1
SOCK_DGRAM: Final = 2
SOL_SOCKET: Final = 0x0FFF
SO_REUSEADDR: Final = 0x0004
SO_KEEPALIVE: Final = 0x0008
SO_BROADCAST: Final = 0x0020
SO_LINGER: Final = 0x0080
SO_RCVBUF: Final = 0x1002
SO_ERROR: Final = 0x1007
IPPROTO_TCP: Final = 6
TCP_NODELAY: Final = 1
F_GETFL: Final = 3
F_SETFL: Final = 4
O_NONBLOCK: Final = 1
MSG_PEEK: Final = 1
MSG_DONTWAIT: Final = 8
SHUT_RD: Final = 0
SHUT_WR: Final = 1
SHUT_RDWR: Final = 2
POLLIN: Final = 0x1
POLLOUT: Final = 0x2
POLLERR: Final = 0x4
POLLNVAL: Final = 0x8
POLLHUP: Final = 0x200

EPERM: Final = 1
EBADF: Final = 9
EAGAIN: Final = 11
ENOMEM: Final = 12
EINVAL: Final = 22
ENFILE: Final = 23
EMSGSIZE: Final = 90
EADDRINUSE: Final = 98
ENETDOWN: Final = 100
ENETUNREACH: Final = 101
ECONNABORTED: Final = 103
ECONNRESET: Final = 104
ENOBUFS: Final = 105
EISCONN: Final = 106
ENOTCONN: Final = 107
ETIMEDOUT: Final = 110
ECONNREFUSED: Final = 111
EHOSTUNREACH: Final = 113
EALREADY: Final = 114
EINPROGRESS: Final = 115

ERRORS: Final = {
    1: "not permitted",
    2: "no such thing",
    4: "interrupted",
    5: "input or output failed",
    9: "no such socket",
    11: "would block",
    12: "out of memory",
    13: "permission denied",
    14: "bad address",
    16: "busy",
    22: "invalid argument",
    23: "too many sockets",
    24: "too many sockets",
    38: "not implemented",
    88: "not a socket",
    89: "destination missing",
    90: "message too long",
    92: "no such option",
    93: "protocol not supported",
    95: "operation not supported",
    97: "address family not supported",
    98: "address in use",
    99: "address not available",
    100: "network is down",
    101: "network is unreachable",
    103: "connection aborted",
    104: "connection reset",
    105: "out of buffers",
    106: "already connected",
    107: "not connected",
    110: "timed out",
    111: "connection refused",
    113: "no route to host",
    114: "already in progress",
    115: "in progress",
}
"""libzt's error numbers; they are those of Linux on every system."""
RESULTS: Final = {
    ERR_OK: "ok",
    ERR_SOCKET: "socket error",
    ERR_SERVICE: "the node is not running",
    ERR_ARG: "invalid argument",
    ERR_NO_RESULT: "no result",
    ERR_GENERAL: "internal error",
}

NETWORK_REQUESTING: Final = 0
NETWORK_OK: Final = 1
NETWORK_DENIED: Final = 2
NETWORK_NOT_FOUND: Final = 3
NETWORK_PORT_ERROR: Final = 4
NETWORK_TOO_OLD: Final = 5

IP_TEXT: Final = 46
"""Bytes that a buffer for an address in text must have, exactly."""
IDENTITY_TEXT: Final = 384
"""Bytes that a buffer for an identity must have, exactly."""
ROOTS_BUFFER: Final = 4096
"""Bytes of each buffer that `zts_util_sign_root_set` fills."""
MAX_ROOTS: Final = 16
MAX_ENDPOINTS: Final = 32
PATH_TEXT: Final = 64
"""Bytes of a buffer for a path to a peer."""
MAX_SOCKETS: Final = 1024
"""Sockets that one node can have."""


class SockaddrIn(Structure):
    """An IPv4 address and port as lwIP has them; see `sockaddr` and `endpoint_of`."""

    _fields_ = (
        ("length", c_uint8),
        ("family", c_uint8),
        ("port", c_uint8 * 2),
        ("address", c_uint8 * 4),
        ("zero", c_uint8 * 8),
    )


class PollFd(Structure):
    """One socket to poll."""

    _fields_ = (("fd", c_int), ("events", c_short), ("revents", c_short))


class Linger(Structure):
    """The value of `SO_LINGER`; seconds."""

    _fields_ = (("on", c_int), ("seconds", c_int))


class RootSet(Structure):
    """Public identities of up to 16 roots, and up to 32 endpoints `ip/port` of each; unused ones are null."""

    _fields_ = (
        ("identities", c_char_p * MAX_ROOTS),
        ("endpoints", (c_char_p * MAX_ENDPOINTS) * MAX_ROOTS),
    )


_COUNTED: Final = ("link", "etharp", "ip4", "ip6", "icmp4", "icmp6", "udp", "tcp", "nd6")


class Stats(Structure):
    """What the stack counted: `link_tx`, `link_rx`, `link_drop`, `link_err`, and so on. Debug builds only."""

    _fields_ = tuple(
        (f"{layer}_{what}", c_uint32) for layer in _COUNTED for what in ("tx", "rx", "drop", "err")
    )


if TYPE_CHECKING:
    Library: TypeAlias = Any
    """A `ctypes.CDLL` whose functions have been declared by `bind`."""
else:
    Library = ctypes.CDLL

_ADDRESS: Final = POINTER(SockaddrIn)
_LENGTH: Final = POINTER(c_uint32)
_COUNT: Final = POINTER(c_uint)

SIGNATURES: Final[dict[str, tuple[Any, tuple[Any, ...]]]] = {
    # Identities
    "zts_id_new": (c_int, (c_char_p, _COUNT)),
    "zts_id_pair_is_valid": (c_int, (c_char_p, c_uint)),
    # Before the start
    "zts_init_from_storage": (c_int, (c_char_p,)),
    "zts_init_from_memory": (c_int, (c_char_p, c_uint)),
    "zts_init_set_roots": (c_int, (c_char_p, c_uint)),
    "zts_init_set_port": (c_int, (c_ushort,)),
    "zts_init_allow_secondary_port": (c_int, (c_uint,)),
    "zts_init_allow_port_mapping": (c_int, (c_uint,)),
    "zts_init_allow_net_cache": (c_int, (c_uint,)),
    "zts_init_allow_peer_cache": (c_int, (c_uint,)),
    "zts_init_allow_roots_cache": (c_int, (c_uint,)),
    "zts_init_allow_id_cache": (c_int, (c_uint,)),
    "zts_init_blacklist_if": (c_int, (c_char_p, c_uint)),
    # The node
    "zts_node_start": (c_int, ()),
    "zts_node_stop": (c_int, ()),
    "zts_node_is_online": (c_int, ()),
    "zts_node_get_id": (c_uint64, ()),
    "zts_node_get_port": (c_int, ()),
    # Networks
    "zts_net_join": (c_int, (c_uint64,)),
    "zts_net_leave": (c_int, (c_uint64,)),
    "zts_net_get_status": (c_int, (c_uint64,)),
    "zts_net_transport_is_ready": (c_int, (c_uint64,)),
    "zts_net_get_mtu": (c_int, (c_uint64,)),
    "zts_addr_is_assigned": (c_int, (c_uint64, c_uint)),
    "zts_addr_get_str": (c_int, (c_uint64, c_uint, c_char_p, c_uint)),
    # Peers: the lock is held around the queries and released by the same thread
    "zts_core_query_path_count": (c_int, (c_uint64,)),
    "zts_core_query_path": (c_int, (c_uint64, c_uint, c_char_p, c_uint)),
    # Roots: out, key 1, key 2 with their lengths; id; moment in ms; specification
    "zts_util_sign_root_set": (
        c_int,
        (c_char_p, _COUNT, c_char_p, _COUNT, c_char_p, _COUNT, c_uint64, c_uint64, POINTER(RootSet)),
    ),
    # Sockets
    "zts_bsd_socket": (c_int, (c_int, c_int, c_int)),
    "zts_bsd_bind": (c_int, (c_int, _ADDRESS, c_uint32)),
    "zts_bsd_listen": (c_int, (c_int, c_int)),
    "zts_bsd_accept": (c_int, (c_int, _ADDRESS, _LENGTH)),
    "zts_bsd_connect": (c_int, (c_int, _ADDRESS, c_uint32)),
    "zts_bsd_send": (c_ssize_t, (c_int, c_void_p, c_size_t, c_int)),
    "zts_bsd_recv": (c_ssize_t, (c_int, c_void_p, c_size_t, c_int)),
    "zts_bsd_sendto": (c_ssize_t, (c_int, c_void_p, c_size_t, c_int, _ADDRESS, c_uint32)),
    "zts_bsd_recvfrom": (c_ssize_t, (c_int, c_void_p, c_size_t, c_int, _ADDRESS, _LENGTH)),
    "zts_bsd_poll": (c_int, (POINTER(PollFd), c_uint, c_int)),
    "zts_bsd_fcntl": (c_int, (c_int, c_int, c_int)),
    "zts_bsd_shutdown": (c_int, (c_int, c_int)),
    "zts_bsd_close": (c_int, (c_int,)),
    "zts_bsd_getsockopt": (c_int, (c_int, c_int, c_int, c_void_p, _LENGTH)),
    "zts_bsd_setsockopt": (c_int, (c_int, c_int, c_int, c_void_p, c_uint32)),
    "zts_bsd_getsockname": (c_int, (c_int, _ADDRESS, _LENGTH)),
    "zts_bsd_getpeername": (c_int, (c_int, _ADDRESS, _LENGTH)),
    "zts_set_no_delay": (c_int, (c_int, c_int)),
    "zts_stats_get_all": (c_int, (POINTER(Stats),)),
}
"""Function to its result and arguments."""


def bind(library: ctypes.CDLL) -> Library:
    """`library` with every function that is used here declared.

    Raises:
        AttributeError: it lacks one of them, so it is not libzt 1.8 or later.
    """
    for name, (result, arguments) in SIGNATURES.items():
        function = getattr(library, name)
        function.restype = result
        function.argtypes = arguments
    return library


def last_error(library: Library) -> int:
    """What `zts_errno` holds: the error of whichever socket call failed last, in any thread."""
    return int(c_int.in_dll(library, "zts_errno").value)


def errno_of(library: Library, fd: int) -> int:
    """The pending error of this socket alone, which is 0 afterwards; `EBADF` if it cannot be asked."""
    value, length = c_int(0), c_uint32(ctypes.sizeof(c_int))
    if library.zts_bsd_getsockopt(fd, SOL_SOCKET, SO_ERROR, byref(value), byref(length)) < 0:
        return EBADF
    return value.value


def error_name(number: int) -> str:
    """What an error number of a socket means, in words."""
    return ERRORS.get(number, f"error {number}")


def result_name(result: int) -> str:
    """What a negative result means, in words."""
    return RESULTS.get(result, f"result {result}")


def sockaddr(address: IPv4Address, port: int) -> SockaddrIn:
    """The address as the stack wants it; its length is `SOCKADDR_LENGTH`."""
    made = SockaddrIn(length=SOCKADDR_LENGTH, family=AF_INET)
    made.port[:] = port.to_bytes(2, "big")
    made.address[:] = address.packed
    return made


def endpoint_of(found: SockaddrIn) -> tuple[IPv4Address, int]:
    """Address and port out of what the stack filled in."""
    return IPv4Address(bytes(found.address)), int.from_bytes(bytes(found.port), "big")


SOCKADDR_LENGTH: Final = ctypes.sizeof(SockaddrIn)
