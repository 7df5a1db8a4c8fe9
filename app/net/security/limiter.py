"""Where somebody comes from, as far as it counts, and how often one may fail to join from there.

Knows no clock and no socket.
"""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Final

MAX_ADDRESSES: Final = 4096
"""Remembered at once. Beyond that the address that has been quiet longest is forgotten."""
FREE_FAILURES: Final = 5
"""Within `WINDOW_SECONDS`; the next attempt has to wait."""
WINDOW_SECONDS: Final = 60.0
FIRST_WAIT: Final = 60.0
MAX_WAIT: Final = 3600.0
_IPV6_PREFIX: Final = 64
"""Bits. Whoever has one IPv6 address has at least so many."""


@dataclass(slots=True)
class _Record:
    failures: list[float] = field(default_factory=list)
    """When it failed; at most `FREE_FAILURES`."""
    blocked_until: float = 0.0
    wait: float = 0.0
    """The last one; the next is twice as long."""


class FailureLimiter:
    """Five failures a minute are free; then each further failure doubles the wait, up to an hour.

    It keeps honest machines from loops and logs from floods. The secret does not need it: that has 128 bit.
    """

    def __init__(self) -> None:
        self._records: OrderedDict[str, _Record] = OrderedDict()

    def __len__(self) -> int:
        return len(self._records)

    def wait(self, address: str, now: float) -> float:
        """Seconds until this address may try again; 0 when it may now."""
        record = self._records.get(origin(address))
        if record is None:
            return 0.0
        left = record.blocked_until - now
        return left if 0.0 < left <= MAX_WAIT else 0.0  # a longer one means that the clock was set back

    def failed(self, address: str, now: float) -> None:
        """It failed."""
        key = origin(address)
        record = self._records.setdefault(key, _Record())
        self._records.move_to_end(key)
        quiet = now - record.failures[-1] if record.failures else 0.0
        if quiet > WINDOW_SECONDS + record.wait:
            record.wait = 0.0
        record.failures = [at for at in record.failures if 0.0 <= now - at < WINDOW_SECONDS]
        record.failures = [*record.failures, now][-FREE_FAILURES:]
        if record.wait or len(record.failures) >= FREE_FAILURES:
            record.wait = min(record.wait * 2 or FIRST_WAIT, MAX_WAIT)
            record.blocked_until = now + record.wait
        if len(self._records) > MAX_ADDRESSES:
            self._records.popitem(last=False)

    def succeeded(self, address: str) -> None:
        """It joined: what was before is forgiven."""
        self._records.pop(origin(address), None)


def origin(address: str) -> str:
    """What counts as one address: of IPv6 the first 64 bits, and all of what is no address of the Internet.

    Brackets and a zone, as in `[fe80::1%eth0]`, do not count.
    """
    try:
        parsed = ipaddress.ip_address(address.strip("[]").partition("%")[0])
    except ValueError:
        return address[:128]
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.ip_network((int(parsed), _IPV6_PREFIX), strict=False))
    return str(parsed)
