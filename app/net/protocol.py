"""One end of a session, sans-IO: bytes and time in, messages and bytes out.

    greeting --establish()--> open --close()/Goodbye--> closing

In `greeting` only handshake messages of at most 4 KiB are understood, one at a time, and the whole of it has
a bound in time. In `open` each side may say what its role allows, gives a sign of life every `heartbeat`
seconds, and gives the link up after `dead_after` seconds without any byte from the other. A `Goodbye` is the
last word: it leaves after everything else, and nothing that follows it is looked at.

A beat with a number asks for an echo at once, which is where round trips are measured; an echo has number 0.
Of several beats that wait for an echo the newest gets it, so that beats make nobody's buffer grow.
"""

from __future__ import annotations

from enum import Enum, auto
from math import isfinite
from typing import Final

from ..core.errors import PeerError, TimedOut
from ..handle import Group
from . import large_messages
from .bounds import MAX_TASKS, PLAIN, bound_for, overfull
from .framing import MAX_MESSAGE, UNAUTHENTICATED, FrameReader, FrameWriter
from .messages import MAY_SAY, Beat, Goodbye, Message, Submit, pack, unpack

GREETING_SECONDS: Final = 10.0
"""From the first byte of a link to the end of its handshake."""
STALL: Final = 2.5
"""When this end has not looked at the clock for so long, silence is its own fault."""
UNFINISHED_SECONDS: Final = 600.0
"""For the largest message to arrive, beside others."""
STALLED_SECONDS: Final = 60.0
"""In which each message that has begun must go on."""
MAX_LOAD: Final = 16
"""Numbers that a beat may carry."""
MAX_LOAD_NAME: Final = 32
"""Characters of what such a number is called."""


class Phase(Enum):
    """How far a session is."""

    GREETING = auto()
    OPEN = auto()
    CLOSING = auto()


class PeerSilent(TimedOut):
    """The other side gave no sign of life in time; the link is as good as gone."""

    code = "peer_silent"


class Wire:
    """Frames, messages, rights, and heartbeats of one end."""

    def __init__(self, hears: str, now: float) -> None:
        """`hears`: what the other side is taken for, a key of `MAY_SAY`."""
        self.phase = Phase.GREETING
        self.rtt: float | None = None
        """Seconds, of the newest echo."""
        self.acknowledged: float = now
        """When the newest beat was sent that the other side has echoed: it knew us alive then, or later."""
        self.load: dict[str, float] = {}
        """Goes out with each beat."""
        self.peer_load: dict[str, float] = {}
        self.received = self.sent = 0
        """Bytes."""
        self.frames = 0
        """Messages of all sorts that came last."""
        self.last_heard = now
        self._reader = FrameReader(max_message=UNAUTHENTICATED)
        self._writer = FrameWriter()
        self._may = MAY_SAY[hears]
        self._guarded = False
        """Submissions are looked at before they are decoded."""
        self._heartbeat = 0.0
        self._dead_after = GREETING_SECONDS
        self._started = self._looked = now
        self._next_beat = now
        self._beats: dict[int, float] = {}
        self._sequence = 0
        self._held: list[bytes | bytearray] = []
        """Bodies not looked at yet: what follows the handshake may only be read by the rules after it."""
        self._busy = False
        self._handled = 0
        """Bytes of the messages that this end handles now."""
        self._echo: int | None = None
        """The newest beat of the other side that has no echo yet."""
        self._goodbye: Goodbye | None = None
        """Leaves when nothing else is left to say."""
        self._over = False
        """The other side has said its last word."""

    @property
    def held(self) -> int:
        """Bytes of messages in memory, about: unfinished, being handled, and waiting to be sent."""
        return self._reader.buffered + self._handled + self._writer.pending

    @property
    def pending(self) -> int:
        """Bytes that wait to be sent, about."""
        return self._writer.pending + (self._echo is not None) + (self._goodbye is not None)

    def establish(self, hears: str, *, heartbeat: float, dead_after: float, now: float) -> None:
        """The handshake is done: the other side is `hears`, and both give signs of life from now on."""
        self.phase = Phase.OPEN
        self._may = MAY_SAY[hears]
        self._reader.limit(MAX_MESSAGE, bound_for(hears, MAX_MESSAGE))
        self._guarded = hears in {"client", "operator"}
        self._heartbeat, self._dead_after = heartbeat, dead_after
        self._next_beat = now
        self.last_heard = self._looked = self.acknowledged = now

    def send(self, message: Message, *, urgent: bool = False) -> None:
        """Queue a message. After `close` nothing more goes out."""
        if self.phase is not Phase.CLOSING:
            self._writer.put(large_messages.pack(message), urgent=urgent)

    def close(self, code: str, message: str = "") -> None:
        """Say the last word, after everything that waits to be sent."""
        if self.phase is not Phase.CLOSING:
            self._goodbye = Goodbye(code, message)
            self.phase = Phase.CLOSING

    def cut(self, code: str, message: str = "") -> None:
        """Say the last word now: what waits is not for the other side any more, nor is it listened to."""
        if not self._over:
            self._writer = FrameWriter()  # frames leave whole, so a new one begins where the old one ended
            self._echo = None
            self._goodbye = Goodbye(code, message)
        self._reader = FrameReader(max_message=UNAUTHENTICATED)
        self.phase, self._over = Phase.CLOSING, True

    def let_go(self) -> None:
        """The link is gone, and with it all that was to be said or understood."""
        self._reader, self._writer = FrameReader(max_message=UNAUTHENTICATED), FrameWriter()
        self._held, self._handled = [], 0
        self.phase, self._over = Phase.CLOSING, True

    def to_send(self, limit: int) -> bytes:
        """About `limit` bytes for the link; empty when there is nothing to say."""
        if self._echo is not None:
            self._writer.put(pack(Beat(0, self._echo)), urgent=True)
            self._echo = None
        if self._goodbye is not None and not self._writer.pending:
            self._writer.put(pack(self._goodbye))
            self._goodbye = None
        data = self._writer.take(limit)
        self.sent += len(data)
        return data

    def busy(self, now: float) -> None:
        """This end does not read until `ready`: silence is its own doing."""
        self._busy, self.last_heard = True, now

    def ready(self, now: float) -> None:
        """This end reads again; the other side's silence counts from here."""
        self._busy, self.last_heard = False, now
        self._handled = 0

    def wait_over(self, now: float) -> None:
        """This end has waited before it looked at what came last."""
        self._busy, self.last_heard = False, now

    def receive(self, data: bytes, now: float) -> list[Message]:
        """The messages that `data` completes, echoes aside; none after a `Goodbye`.

        Raises:
            PeerError: it broke the protocol, or said what it has no right to say; nothing in `data` counts.
        """
        if self._over:
            return []
        self.last_heard = now
        self.received += len(data)
        bodies = self._reader.feed(data, now)
        self.frames, self._handled = len(bodies), sum(map(len, bodies))
        if self.phase is Phase.GREETING or self._held:
            self._held += bodies
            if self.phase is Phase.GREETING:
                return []
            bodies, self._held = self._held, []
        messages: list[Message] = []
        for body in bodies:
            message = self._allowed(_unpacked(body) if self._guarded else large_messages.unpack(body))
            if isinstance(message, Beat):
                self._on_beat(message, now)
                if message.echo:
                    continue
            messages.append(message)
            if isinstance(message, Goodbye):
                self._over = True
                break
        return messages

    def greeting(self) -> Message | None:
        """The next message of the handshake, when it is there.

        Raises:
            PeerError: anything else.
        """
        return self._allowed(unpack(self._held.pop(0), known=False)) if self._held else None

    def tick(self, now: float) -> None:
        """Give a sign of life when it is time.

        Raises:
            PeerSilent: the other side has given none for too long.
        """
        if now - self._looked > self._patience + STALL:
            # This process did not run: what the other side sent meanwhile still waits to be read.
            self.last_heard = min(now, self.last_heard + now - self._looked)
        self._looked = now
        if self._busy:
            self.last_heard = now
        if self.phase is Phase.GREETING and now - self._started >= GREETING_SECONDS:
            raise PeerSilent(f"no handshake within {GREETING_SECONDS:g} s")
        if now - self.last_heard >= self._dead_after:
            raise PeerSilent(f"no sign of life for {now - self.last_heard:.1f} s")
        self._check_unfinished(now)
        if self.phase is Phase.OPEN and now >= self._next_beat:
            self._next_beat = now + self._heartbeat
            self._sequence += 1
            self._beats[self._sequence] = now
            self._beats.pop(self._sequence - 8, None)
            self.send(Beat(self._sequence, 0, self.load), urgent=True)

    def _check_unfinished(self, now: float) -> None:
        """Whoever begins to say something has to end it: until then it is held in memory."""
        began, grew = self._reader.waited_for(now)
        if not self._busy and (began > UNFINISHED_SECONDS or grew > STALLED_SECONDS):
            raise PeerError(f"a message that is not finished {began:.0f} s after its first byte")

    def deadline(self) -> float:
        """The moment of the next `tick`."""
        if self.phase is Phase.GREETING:
            return self._started + GREETING_SECONDS
        silent = self.last_heard + self._dead_after
        return min(silent, self._next_beat) if self.phase is Phase.OPEN else silent

    def _allowed(self, message: Message) -> Message:
        if type(message) not in self._may:
            raise PeerError(f"`{type(message).__name__}` has no place here")
        return message

    @property
    def _patience(self) -> float:
        return self._heartbeat or GREETING_SECONDS

    def _on_beat(self, beat: Beat, now: float) -> None:
        if beat.echo:
            sent = self._beats.pop(beat.echo, None)
            if sent is not None:
                self.rtt = now - sent
                self.acknowledged = max(self.acknowledged, sent)
            return
        if len(beat.load) > MAX_LOAD or any(len(name) > MAX_LOAD_NAME for name in beat.load):
            raise PeerError(f"a beat with more than {MAX_LOAD} numbers, or a name that is too long")
        self.peer_load = {name: number for name, number in beat.load.items() if isfinite(number)}
        if self.phase is Phase.OPEN:
            self._echo = beat.sequence


def _unpacked(body: bytes | bytearray) -> Message:
    """What a client says. A submission of too many tasks is one that is told so, whatever they are."""
    request = overfull(body) if len(body) > PLAIN else None
    if request is not None:
        return Submit(request, [Group("", [])] * (MAX_TASKS + 1))
    return large_messages.unpack(body)
