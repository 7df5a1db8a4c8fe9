"""What can be begun from the start screen, and what has to be known for it. Values and checks; no widgets.

Whoever opens the start screen says what is `Known` of this machine, and carries out the `Begin` it gets.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from time import time
from typing import Any, Final

from ..core.errors import UsageError
from ..net.address import DEFAULT_PORT, MAX_PORT, Address
from .dialogs.choice import Option
from .fields import Field, Sort
from .widgets.words import safe

MANAGER: Final = "manager"
WORKER: Final = "worker"
HERE: Final = "here"
"""Attach to the manager of this user that runs on this machine."""
MEMBER: Final = "member"
"""Attach to the fleet elsewhere that this user has joined."""
ELSEWHERE: Final = "elsewhere"
DEMO: Final = "demo"
ONLY_HERE: Final = "this machine only"
NEAR: Final = "this network, by TCP"
ANYWHERE: Final = "anywhere, by ZeroTier"
AS_SET: Final = "as it is set now"
MAX_SLOTS: Final = 4_096
MAX_NAME: Final = 64
ASKS: Final = ("operator", "client")
"""Invites that let a console attach."""
_ABOUT: Final = {
    (MANAGER, True): (
        "Takes tasks and hands them to workers. e changes how it is reached.",
        "--role manager",
    ),
    (MANAGER, False): (
        "Founds a fleet on this machine: a name, a way to it, then an invite.",
        "--role manager",
    ),
    (WORKER, True): ("Runs tasks for the fleet that this machine has joined.", "--role worker"),
    (WORKER, False): (
        "Runs tasks for a fleet. Its manager gives you an invite to paste.",
        "--role worker",
    ),
    (HERE, False): (
        "Looks at it and steers it; closing the console changes nothing for it.",
        "--attach",
    ),
    (MEMBER, False): ("Looks at it and steers it from here.", "--attach"),
    (ELSEWHERE, True): ("Another address of that fleet, by TCP or ZeroTier.", "--attach ADDRESS"),
    (ELSEWHERE, False): ("Needs an invite for an operator or client, made at that manager.", "join -"),
    (DEMO, False): ("Nothing in it is real, and nothing is kept.", "--demo"),
}
"""By what is begun and whether that was set up before: a sentence, and the command line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What is so before anything has been begun."""

    name: str
    """Of this machine."""
    running: bool = False
    """A manager of this user runs here."""
    manager: str = ""
    """What a manager that was set up here is: `lab, tcp://0.0.0.0:7711`; empty when none was."""
    listen: tuple[str, ...] = ()
    """As it is set."""
    addresses: tuple[str, ...] = ()
    """Of this machine, for others."""
    zerotier: str = ""
    """Why ZeroTier cannot be used here; empty when it can."""
    worker: str = ""
    """The manager whose fleet this machine has joined as a worker."""
    member: str = ""
    """The same as client or operator: `lab, as operator`."""
    member_at: str = ""
    """Where that manager is."""
    last: str = ""
    """What was begun the last time."""
    error: str = ""
    """Why that could not be begun just now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Begin:
    """What the operator wants."""

    what: str
    """MANAGER, WORKER, HERE, MEMBER, ELSEWHERE or DEMO."""
    settings: Mapping[str, str] = field(default_factory=dict)
    """To be written into the file of the role: key to text."""
    invite: str = field(default="", repr=False)
    address: str = ""


def options(known: Known) -> tuple[Option, ...]:
    """What can be begun here, the likeliest first."""
    return tuple(_options(known))


def likeliest(known: Known) -> str:
    """What Enter does at once: the same as last time, where that makes sense."""
    offered = {option.answer for option in _options(known)}
    if known.running and known.last in {"", MANAGER}:
        return HERE
    return known.last if known.last in offered else MANAGER


def about(what: str, known: Known) -> tuple[str, str]:
    """What it means, in a sentence; and the command line that does the same."""
    joined = {MANAGER: known.manager, WORKER: known.worker, ELSEWHERE: known.member}.get(what, "")
    words, line = _ABOUT[what, bool(joined)]
    return words, f"{line} {known.member_at}" if what == MEMBER else line


def manager_fields(known: Known) -> tuple[Field, ...]:
    """What can be said of a manager; every field may stay as it is."""
    reach = [ONLY_HERE, NEAR] + ([] if known.zerotier else [ANYWHERE])
    new = not known.manager
    return (
        Field(key="name", label="Name", text=known.name, required=True, hint="of the fleet"),
        Field(key="reach", label="Reached from", sort=Sort.CHOICE, required=True,
              choices=tuple(reach if new else [AS_SET, *reach]), text=NEAR if new else AS_SET,
              hint="by whom"),
        Field(key="port", label="Port", sort=Sort.WHOLE, text=str(DEFAULT_PORT), required=True, low=0,
              high=MAX_PORT, hint="0: the system chooses"),
        Field(key="public", label="Public at", hint="optional: behind a router"),
        Field(key="network", label="ZeroTier net", hint="optional: 16 hex digits"),
    )  # fmt: skip


def manager_settings(given: Mapping[str, Any]) -> dict[str, str]:
    """The settings that a filled-in form means.

    Raises:
        UsageError: names the field.
    """
    name = _name(given)
    reach, port = given["reach"], given["port"]
    found = {"name": json.dumps(name)}
    listen = {
        ONLY_HERE: [f"tcp://127.0.0.1:{port}"],
        NEAR: [f"tcp://0.0.0.0:{port}"],
        ANYWHERE: [f"tcp://0.0.0.0:{port}", f"zt://:{port or DEFAULT_PORT}"],
    }.get(reach)
    if listen is not None:
        found["transport.listen"] = json.dumps(listen)
    if public := str(given.get("public", "")).strip():
        address = Address.parse(public if "://" in public else f"tcp://{public}")
        also = [f"zt://:{port or DEFAULT_PORT}"] if reach == ANYWHERE else []
        found["transport.advertise"] = json.dumps([str(address), *also])
    if network := str(given.get("network", "")).strip().lower():
        if reach != ANYWHERE:
            raise UsageError(f"ZeroTier net: is for a manager that is reached from `{ANYWHERE}`")
        found |= {"zerotier.network": json.dumps("existing"), "zerotier.network_id": json.dumps(network)}
    return found


def worker_fields(known: Known) -> tuple[Field, ...]:
    """What can be said of a worker."""
    return (
        Field(key="name", label="Name", text=known.name, required=True, hint="of this worker"),
        Field(key="capacity", label="At a time", sort=Sort.WHOLE, text="0", low=0, high=MAX_SLOTS,
              hint="tasks; 0: as processors"),
    )  # fmt: skip


def worker_settings(given: Mapping[str, Any]) -> dict[str, str]:
    """The settings that a filled-in form means.

    Raises:
        UsageError: names the field.
    """
    return {"name": json.dumps(_name(given)), "capacity": str(given.get("capacity", 0))}


def check_invite(text: str, roles: tuple[str, ...]) -> None:
    """Raise unless this is an invite for one of these roles that has not expired.

    Raises:
        InviteError: it is none. UsageError: it is for somebody else.
    """
    from ..net.security.invites import decode

    found = decode(text, time())
    if found.role not in roles:
        raise UsageError(f"this invite is for a {found.role}, and one for a {' or '.join(roles)} is needed")


def _options(known: Known) -> Iterator[Option]:
    if known.running:
        yield Option(HERE, "your manager that runs here", "Attach")
    if known.member:
        yield Option(MEMBER, f"{known.member}", "Attach")
    if not known.running:
        yield Option(MANAGER, known.manager or "a new fleet on this machine", "Manager")
    yield Option(WORKER, f"of {known.worker}" if known.worker else "join a fleet with an invite", "Worker")
    yield Option(ELSEWHERE, "a manager on another machine", "Attach")
    yield Option(DEMO, "a simulated fleet, to look around in", "Demo")


def _name(given: Mapping[str, Any]) -> str:
    name = str(given["name"]).strip()
    if not 0 < len(name) <= MAX_NAME:
        raise UsageError(f"Name: 1 to {MAX_NAME} characters are wanted, not `{safe(name, 80)}`")
    return name
