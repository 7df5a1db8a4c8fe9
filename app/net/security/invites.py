"""The invite: one string that says which fleet, how to get there, how to know it, and the right to join it.

    tm1-7F3KQ-9ZD2M-...      Crockford base32 in groups of five; about a hundred characters

    symbols  0-7    token id, 40 bit: public, for lists, logs and revoking
             8-9    how many symbols there are in all, so that a cut is told from a typing error
             10-    bytes: secret 16, hash of the CA's public key 16, expiry 4, flags 1,
                    number of endpoints 1, then each endpoint as type 1, length 1, data
             last 4 check, 20 bit: any one wrong symbol, and any two neighbours swapped, are found

Endpoints of unknown type are skipped and bytes behind them ignored: later versions may say more.
Not here: what an invite is worth. The manager decides that (`enrol`). Standard library only, because the
command line reads invites before it loads anything heavy.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass, field
from typing import Final

from ...core.errors import InviteError, UsageError
from . import crockford
from .endpoints import Endpoint, pack_endpoint, unpack_endpoints
from .names import ROLES

VERSION: Final = 1
PREFIX: Final = f"tm{VERSION}-"
SECRET_BYTES: Final = 16
CA_HASH_BYTES: Final = 16
"""Of the SHA-256 of the CA's SubjectPublicKeyInfo; forging one means finding a second preimage of 128 bit."""
ID_SYMBOLS: Final = 8
MAX_ENDPOINTS: Final = 4
MAX_TEXT: Final = 4096
"""Characters that are looked at at all; a whole invite has at most 1023 symbols."""
_LENGTH_SYMBOLS: Final = 2
_CHECK_SYMBOLS: Final = 4
_HEAD: Final = ID_SYMBOLS + _LENGTH_SYMBOLS
_MAX_SYMBOLS: Final = 1023
_FIXED_BYTES: Final = SECRET_BYTES + CA_HASH_BYTES + 4 + 1 + 1
_MIN_SYMBOLS: Final = _HEAD + -(-_FIXED_BYTES * 8 // crockford.BITS) + _CHECK_SYMBOLS
_GROUP: Final = 5
_ROLE_MASK, _APPROVE, _EPHEMERAL = 0b0011, 0b0100, 0b1000
_DASHES: Final = "\\-_\u2010\u2011\u2012\u2013\u2014\u2212"
"""As a part of a character class."""
_NOISE: Final = "\u00ad\u200b\u200c\u200d\u2060\ufeff"
_NEW: Final = "make a new one with `taskmessenger invite` at the manager"


@dataclass(frozen=True, slots=True, kw_only=True)
class Invite:
    """An invite with its secret. Neither `repr` nor `str` shows the secret; only `encode` does."""

    id: str
    """Eight symbols, upper case. Public."""
    secret: bytes = field(repr=False)
    ca_hash: bytes
    endpoints: tuple[Endpoint, ...]
    expires_at: int
    """Wall-clock seconds since the epoch. Early advice for the joining side; the manager's clock decides."""
    role: str = "worker"
    approve: bool = False
    """An operator must approve before the peer gets work."""
    ephemeral: bool = False
    """The peer is forgotten when it leaves."""


def new_id() -> str:
    """A token id: 40 random bits, as they are shown."""
    return crockford.random_text(ID_SYMBOLS)


def new_secret() -> bytes:
    """128 random bits."""
    return secrets.token_bytes(SECRET_BYTES)


def hash_secret(invite_id: str, secret: bytes) -> bytes:
    """What the manager keeps instead of the secret, bound to the token id.

    One round of SHA-256 is enough: a slow hash makes guessing a weak password expensive, and this secret is
    128 random bits, which nobody guesses at any speed.
    """
    return hashlib.sha256(b"taskmessenger invite\0" + invite_id.encode() + b"\0" + secret).digest()


def secret_fits(invite_id: str, secret: bytes, secret_hash: bytes) -> bool:
    """Whether this is the secret behind the hash, in a time that does not tell how much of it is right."""
    return hmac.compare_digest(hash_secret(invite_id, secret), secret_hash)


def encode(invite: Invite) -> str:
    """The string to hand over: whoever has it may join.

    Raises:
        UsageError: it does not fit into an invite.
    """
    if not 1 <= len(invite.endpoints) <= MAX_ENDPOINTS:
        raise UsageError(f"an invite names 1 to {MAX_ENDPOINTS} endpoints, not {len(invite.endpoints)}")
    if len(invite.secret) != SECRET_BYTES or len(invite.ca_hash) != CA_HASH_BYTES:
        raise UsageError(f"an invite needs a secret and a CA hash of {SECRET_BYTES} bytes each")
    if invite.role not in ROLES:
        raise UsageError(f"no role is called `{invite.role}`; roles are {', '.join(ROLES)}")
    if not 0 <= invite.expires_at < 1 << 32:
        raise UsageError("an invite must expire before the year 2106")
    flags = ROLES.index(invite.role) | _APPROVE * invite.approve | _EPHEMERAL * invite.ephemeral
    body = invite.secret + invite.ca_hash + invite.expires_at.to_bytes(4, "big")
    body += bytes((flags, len(invite.endpoints))) + b"".join(map(pack_endpoint, invite.endpoints))
    packed = crockford.from_bytes(body)
    length = _HEAD + len(packed) + _CHECK_SYMBOLS
    if length > _MAX_SYMBOLS:
        raise UsageError("these endpoints are too long for one invite; give fewer of them")
    head = [*_id_values(invite.id), length >> crockford.BITS, length & 31]
    text = crockford.text_of(head + packed + _check(head + packed))
    return PREFIX + "-".join(text[at : at + _GROUP] for at in range(0, len(text), _GROUP))


def decode(text: str, now: float) -> Invite:
    """The invite in this text, however it was wrapped, spaced or cased.

    Args:
        text: what somebody pasted; never repeated in an error.
        now: wall-clock seconds since the epoch.

    Raises:
        InviteError: not an invite, of another version, cut short, mistyped, not understood, or expired.
    """
    symbols = _whole(_symbols(text))
    invite = _read(symbols)
    if now >= invite.expires_at:
        ago = _span(now - invite.expires_at)
        raise InviteError(f"this invite expired {ago} ago by the clock of this machine: {_NEW}")
    return invite


def redact(text: str) -> str:
    """This text with every invite in it blanked, for logs and reports; rather too much than too little."""
    done, at = [], 0
    while match := _LIKE_INVITE.search(text, at):
        end = _end_of_invite(text, match.end())
        done.append(text[at : match.start()])
        done.append(f"{PREFIX}[redacted]" if end else match.group())
        at = end or match.end()
    return "".join(done) + text[at:]


_LIKE_INVITE: Final = re.compile(rf"tm[0-9oil]{{1,3}}\s*[{_DASHES}]", re.IGNORECASE)
_GAP: Final = re.compile(rf"(?:[\s{_DASHES}{_NOISE}]|\\[nrt])*")
_REST: Final = re.compile(rf"[0-9A-Za-z{_DASHES}]*")


def _end_of_invite(text: str, at: int) -> int | None:
    """Where the invite ends whose first symbol is looked for at `at`; None when no secret begins there."""
    seen: list[int] = []
    wanted = _MAX_SYMBOLS
    while len(seen) < wanted:
        place = _GAP.match(text, at).end()  # type: ignore[union-attr]  # it matches the empty string
        try:
            seen += crockford.values(text[place : place + 1])
        except ValueError:
            break
        if place >= len(text):
            break
        at = place + 1
        if len(seen) == _HEAD:
            declared = seen[-2] << crockford.BITS | seen[-1]
            wanted = declared if declared >= _MIN_SYMBOLS else _MAX_SYMBOLS
    if len(seen) <= _HEAD:
        return None
    return _REST.match(text, at).end()  # type: ignore[union-attr]


def _symbols(text: str) -> list[int]:
    """The numbers behind the prefix."""
    if len(text) > MAX_TEXT:
        raise InviteError(f"this is not an invite (it is longer than {MAX_TEXT} characters): {_NEW}")
    bare = re.sub(rf"[\s{_NOISE}]", "", text).upper()
    found = re.match(rf"TM([0-9OIL]{{1,3}})[{_DASHES}]", bare) or re.match(r"TM([0-9OIL])", bare)
    if found is None:
        raise InviteError(f"this is not an invite (an invite begins with `{PREFIX}`): {_NEW}")
    version = int(re.sub("[IL]", "1", found[1].replace("O", "0")))
    if version != VERSION:
        raise InviteError(
            f"this invite is of version {version} and this program reads version {VERSION}: "
            "run the same release on this machine as on the manager"
        )
    try:
        return crockford.values(re.sub(rf"[{_DASHES}]", "", bare[found.end() :]))
    except ValueError:
        raise _mistyped("it has a character that no invite has") from None


def _whole(symbols: list[int]) -> list[int]:
    """These symbols, when none is missing or wrong."""
    count = len(symbols)
    declared = symbols[8] << crockford.BITS | symbols[9] if count >= _HEAD else _MIN_SYMBOLS
    fits = count >= _MIN_SYMBOLS and _check(symbols[:-_CHECK_SYMBOLS]) == symbols[-_CHECK_SYMBOLS:]
    if fits and count == declared:
        return symbols
    if count < max(declared, _MIN_SYMBOLS) and not _fits_as_whole(symbols):
        raise InviteError(
            f"this invite is cut short after {count} characters: copy all of it, to the last group"
        )
    raise _mistyped("its check does not fit")


def _fits_as_whole(symbols: list[int]) -> bool:
    """Whether only the two symbols of the length are wrong: then nothing is missing."""
    count = len(symbols)
    if count < _MIN_SYMBOLS:
        return False
    mended = [*symbols[:ID_SYMBOLS], count >> crockford.BITS, count & 31, *symbols[_HEAD:]]
    return _check(mended[:-_CHECK_SYMBOLS]) == mended[-_CHECK_SYMBOLS:]


def _read(symbols: list[int]) -> Invite:
    """The fields; the check has held, so what cannot be read was written by a later version."""
    body = crockford.to_bytes(symbols[_HEAD:-_CHECK_SYMBOLS])
    hash_at, expiry_at = SECRET_BYTES, SECRET_BYTES + CA_HASH_BYTES
    flags, count = body[expiry_at + 4], body[expiry_at + 5]
    if flags & _ROLE_MASK >= len(ROLES):
        raise _not_understood("a role")
    endpoints = unpack_endpoints(body[_FIXED_BYTES:], count)
    if not 1 <= len(endpoints) <= MAX_ENDPOINTS:
        raise _not_understood("only addresses")
    return Invite(
        id=crockford.text_of(symbols[:ID_SYMBOLS]),
        secret=body[:hash_at],
        ca_hash=body[hash_at:expiry_at],
        endpoints=endpoints,
        expires_at=int.from_bytes(body[expiry_at : expiry_at + 4], "big"),
        role=ROLES[flags & _ROLE_MASK],
        approve=bool(flags & _APPROVE),
        ephemeral=bool(flags & _EPHEMERAL),
    )


def _check(symbols: list[int]) -> list[int]:
    """A CRC of 20 bit (x^20 + x^3 + 1): finds every burst of 20 wrong bits, so four symbols in a row."""
    register = 0xFFFFF
    for symbol in symbols:
        for shift in range(crockford.BITS - 1, -1, -1):
            carry = register >> 19 ^ symbol >> shift & 1
            register = (register << 1 & 0xFFFFF) ^ (0b1001 if carry else 0)
    return [register >> shift & 31 for shift in (15, 10, 5, 0)]


def _id_values(invite_id: str) -> list[int]:
    try:
        numbers = crockford.values(invite_id)
    except ValueError:
        numbers = []
    if len(numbers) != ID_SYMBOLS:
        raise UsageError(f"an invite id has {ID_SYMBOLS} characters of {crockford.ALPHABET}")
    return numbers


def _mistyped(what: str) -> InviteError:
    return InviteError(f"this invite is mistyped ({what}): copy it again")


def _not_understood(what: str) -> InviteError:
    return InviteError(f"this invite holds {what} that this program does not know: update it")


def _span(seconds: float) -> str:
    """A length of time, roughly, as people say it."""
    for unit, size in (("days", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{int(seconds // size)} {unit}"
    return f"{int(seconds)} s"
