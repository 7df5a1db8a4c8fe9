"""Garbage from peers (F60): random bytes and damaged streams go through frames, protocol and messages."""

from __future__ import annotations

import random
import time

from taskmessenger.core.errors import PeerError
from taskmessenger.net import messages as m
from taskmessenger.net.framing import FrameWriter
from taskmessenger.net.messages import MAY_SAY
from taskmessenger.net.protocol import Wire

from tests.support.chaos import Run, percentile
from tests.support.messages import EVERY

HANG_SECONDS = 0.1
AGAIN = 3
ROLES = sorted(MAY_SAY)
DAMAGED_SHARE, LONGEST = 0.8, 200


async def fuzz(run: Run) -> None:
    """Each input is a stream; it is understood, or is the peer's fault, and takes no time to speak of."""
    streams, rng = [_stream(message) for message in EVERY], run.rng
    times: list[float] = []
    understood = refused = 0
    for _ in range(run.size["inputs"]):
        damaged = rng.random() < DAMAGED_SHARE
        data = _damaged(rng, rng.choice(streams)) if damaged else rng.randbytes(rng.randrange(LONGEST))
        role, cut = rng.choice(ROLES), rng.randrange(len(data) + 1)
        seconds, found = _timed(role, data, cut)
        if seconds > HANG_SECONDS:  # its own doing, or that of Python's housekeeping, which comes once
            seconds = min(_timed(role, data, cut)[0] for _ in range(AGAIN))
        times.append(seconds)
        if found is None:
            refused += 1
        else:
            understood += found
    run.figures |= {
        "inputs": len(times), "messages_understood": understood, "refused": refused,
        "p99_us": round(percentile(times, 99) * 1e6),
    }  # fmt: skip
    run.must(refused > 0 and understood > 0, "the garbage was all of one kind")
    run.within("longest_s", max(times), HANG_SECONDS)


def _stream(message: m.Message) -> bytes:
    """One message as it is on the wire."""
    writer = FrameWriter()
    writer.put(m.pack(message))
    data = b""
    while part := writer.take(1 << 20):
        data += part
    return data


def _damaged(rng: random.Random, stream: bytes) -> bytes:
    """A few bits turned, bytes lost or made up; now and then nothing at all."""
    data = bytearray(stream)
    for _ in range(rng.randrange(4)):
        place = rng.randrange(len(data))
        match rng.randrange(3):
            case 0:
                data[place] ^= 1 << rng.randrange(8)
            case 1:
                del data[place : place + rng.randrange(1, 4)]
            case _:
                data[place:place] = rng.randbytes(rng.randrange(1, 5))
        data = data or bytearray(1)
    return bytes(data)


def _timed(role: str, data: bytes, cut: int) -> tuple[float, int | None]:
    """Seconds of processor, and how many messages were understood; None where the peer was at fault."""
    start = time.thread_time()
    try:
        found = _read(role, data, cut)
    except PeerError:
        found = None
    return time.thread_time() - start, found


def _read(role: str, data: bytes, cut: int) -> int:
    """As the other side gets it, in two pieces; how many messages it understands."""
    wire = Wire("stranger", 0.0)
    wire.establish(role, heartbeat=5.0, dead_after=15.0, now=0.0)
    return len(wire.receive(data[:cut], 0.0)) + len(wire.receive(data[cut:], 0.0))
