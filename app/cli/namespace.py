"""A network of its own for what must not touch any other: an unprivileged user and network namespace.

In it there is loopback and one virtual cable whose near end has the address `HERE`; no route leads out, so
nothing that runs there can be seen from, or see, the network of this machine. ZeroTier nodes need that end,
because they do not speak over loopback. It makes the namespace and runs a command in it, no more.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, NoReturn

from ..core.errors import Refused
from ..core.text import printable

HERE: Final = "10.88.0.1"
"""The address of everything in the namespace, besides loopback."""
HOUSES: Final = 16
"""Networks of 256 addresses in which everything there has one.

A ZeroTier node looks at one stranger from each such network in four seconds; with a single address the second
worker would have to wait for that, and the third for longer, as no machine of a fleet elsewhere would.
"""
LISTEN: Final = {"tcp": "tcp://127.0.0.1:0", "zerotier": "zt://:7711"}
"""Transports that can be shown on one machine, and where a manager listens then."""
PROBE_SECONDS: Final = 20.0
MARK: Final = "TASK_MESSENGER_NAMESPACE"
"""Environment variable that names the namespace which was made, so that it is made only once."""
_OWN: Final = "/proc/self/ns/net"
_MAX_REASON: Final = 200
_SET_UP: Final = f"""
set -e
ip link set lo up
ip link add tm0 type veth peer name tm1
for house in {" ".join(map(str, range(HOUSES)))}; do ip addr add 10.88.$house.1/24 dev tm0; done
ip link set tm0 up
ip link set tm1 up
{MARK}=$(readlink {_OWN})
export {MARK}
exec "$@"
"""


def inside(environ: Mapping[str, str] | None = None) -> bool:
    """Whether this process runs in a namespace that was made here; a variable left over does not count."""
    mark = (os.environ if environ is None else environ).get(MARK, "")
    try:
        return bool(mark) and os.readlink(_OWN) == mark  # noqa: PTH115 - no file, but a name
    except OSError:
        return False


def within(words: Sequence[str]) -> list[str]:
    """The command that runs `words` in a new namespace; it keeps process id, signals and output."""
    return ["unshare", "--user", "--map-root-user", "--net", "sh", "-c", _SET_UP, "sh", *words]


def why_not() -> str:
    """Why no namespace can be made here, with what to do; empty when one can."""
    if not sys.platform.startswith("linux"):
        return "network namespaces exist on Linux only: use --transport tcp here"
    for program, package in (("unshare", "util-linux"), ("ip", "iproute2")):
        if shutil.which(program) is None:
            return f"the program `{program}` is missing: install {package}"
    try:
        done = subprocess.run(within(["true"]), capture_output=True, timeout=PROBE_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"`unshare` cannot be run ({printable(str(error), _MAX_REASON)})"
    if not done.returncode:
        return ""
    lines = done.stderr.decode(errors="replace").strip().splitlines()
    said = printable(lines[-1], _MAX_REASON) if lines else f"exit code {done.returncode}"
    return (
        f"this machine forbids user and network namespaces ({said}): allow them"
        " (sysctl kernel.unprivileged_userns_clone=1, user.max_user_namespaces), or use --transport tcp"
    )


def in_a_namespace() -> None:
    """Go on in a namespace: there already, or with this command started anew in one.

    Raises:
        Refused: none can be made here. ConfigError: libzt is not installed.
    """
    if inside():
        return
    if reason := why_not():
        raise Refused(reason)
    from ..net.zerotier.library import search

    search(library())
    enter(sys.argv[1:])


def library() -> Path | None:
    """The libzt that this user's settings for a manager name.

    Raises:
        ConfigError: they cannot be read.
    """
    from ..config import load
    from ..paths import expanded, find

    named = load("manager", {}, os.environ, find()).config.zerotier.library_path
    return expanded(named) if named else None


def enter(words: Sequence[str]) -> NoReturn:
    """Become this program, started anew with `words` in a namespace of its own.

    Raises:
        Refused: no namespace can be made here.
    """
    reason = why_not()
    if reason:
        raise Refused(reason)
    argv = within([sys.executable, "-m", "taskmessenger", *words])
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os.execvp(argv[0], argv)  # noqa: S606 - an argument vector, no shell of ours
