"""How the node is reached: transports, addresses, the overlay and its peers, and what is wrong with them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import median
from typing import Final

from rich.text import Text
from textual.app import ComposeResult

from ...core.errors import TaskMessengerError
from ...core.text import count
from ...handle import NetworkInfo, NetworkRow, SessionRow, Snapshot, WorkerSelf
from ..frame import Frame
from ..table_view import TableView
from ..widgets.badges import badge
from ..widgets.cells import text_of, tone_of
from ..widgets.columns import Column, Look
from ..widgets.panel import Panel
from ..widgets.sheet import pairs
from ..widgets.words import safe, size, span
from ..widgets.wrap import wrapped

ASK_SECONDS: Final = 2
"""Between two looks while the screen is seen."""
MAX_VALUE: Final = 500
_RANK: Final = {"bad": 0, "warn": 1, "ok": 2}


def _columns() -> tuple[Column[NetworkRow], ...]:
    return (
        Column(key="what", title="WHAT", width=18, grow=1, cell=lambda r, _: safe(r.what),
               order=lambda r: r.what),
        Column(key="state", title="STATE", width=7, cell=lambda r, _: badge(r.state),
               order=lambda r: _RANK.get(r.state, 0)),
        Column(key="value", title="VALUE", width=26, grow=3, cell=lambda r, _: safe(r.value)),
        Column(key="cure", title="WHAT TO DO", width=18, grow=3, drop=1,
               cell=lambda r, _: (safe(r.cure), "warn")),
    )  # fmt: skip


class NetworkView(TableView):
    """Transports, addresses, peers, findings."""

    NAME, TITLE, PLACE = "network", "Network", 8
    ROLES = frozenset({"manager", "worker"})
    ABOUT = (
        "How this node is reached or reaches its manager, its ZeroTier node and who that knows, and what is"
        " wrong on this machine. A relayed link works and is slower: what would make it direct stands beside"
        " it. `taskmessenger doctor` looks at settings and libzt as well."
    )
    EMPTY = "nothing has been looked at yet"
    DEFAULT_CSS = """
    NetworkView #facts { border: none; border-bottom: solid $primary 50%; padding: 0 1; }
    NetworkView.-short #full { max-height: 6; }
    """

    def __init__(self, argument: str = "") -> None:
        super().__init__(argument)
        self.info = NetworkInfo()
        self._asked = 0

    def noun(self) -> str:
        return "finding"

    def body(self) -> ComposeResult:
        yield Panel("", id="facts")
        yield from super().body()

    def on_mount(self) -> None:
        super().on_mount()
        self.acted()

    def columns(self) -> Sequence[Column[NetworkRow]]:
        return _columns()

    def key(self, row: NetworkRow) -> tuple[str, str]:
        return row.what, row.value

    def rows(self, frame: Frame) -> Sequence[NetworkRow]:
        return self.info.rows

    def words(self, row: NetworkRow) -> str:
        return f"{row.what} {row.state} {row.value} {row.cure}"

    def told(self, rows: Sequence[NetworkRow]) -> str:
        wrong = sum(row.state != "ok" for row in rows)
        return f"{count(len(rows), 'thing')} looked at   " + (
            f"{wrong} to do" if wrong else "nothing is wrong"
        )

    def full(self, row: NetworkRow, look: Look) -> Text:
        styles, state = self.console.tones(), badge(row.state)
        text = Text(f"{safe(row.what)}  ", "bold")
        text.append(text_of(state), styles.get(tone_of(state), "not bold"))
        text.append(f"\n{wrapped(safe(row.value, MAX_VALUE), self.size.width, 2)}", "not bold")
        if row.cure:
            text.append(f"\n{wrapped('→ ' + safe(row.cure, MAX_VALUE), self.size.width, 2)}", styles["warn"])
        return text

    def acted(self) -> None:
        self.run_worker(self._ask, group="network", exclusive=True)

    def draw(self, frame: Frame) -> None:
        if frame.second and not frame.away:
            self._asked += 1
            if self._asked % ASK_SECONDS == 0:
                self.acted()
        self._show(frame)

    def _show(self, frame: Frame) -> None:
        self.query_one("#facts", Panel).tell(pairs(_facts(self.info, frame.snapshot), self.console.tones()))
        super().draw(frame)

    async def _ask(self) -> None:
        try:
            self.info = await self.node.network()
        except TaskMessengerError as error:
            if not (self.frame and self.frame.away):  # the banner says so already
                self.console.tell(str(error), "error")
            return
        if self.frame is not None and self.grid is not None:  # else it is being closed
            self._show(self.frame)


def _facts(info: NetworkInfo, snapshot: Snapshot) -> Iterator[tuple[str, str]]:
    if snapshot.worker is not None:
        yield from _own_facts(info, snapshot.worker)
        return
    links = [row for row in snapshot.sessions if row.state != "ended"]
    by_transport = {name: sum(row.transport == name for row in links) for name in info.transports}
    yield (
        "transports",
        "  ".join(f"{safe(name)} ({count(by_transport[name], 'link')})" for name in info.transports),
    )
    yield "reached at", "  ".join(map(safe, info.addresses))
    relayed = [row for row in links if row.path == "relayed"]
    direct = sum(row.path == "direct" for row in links)
    paths = f"{direct} direct, {len(relayed)} relayed   " if direct or relayed else ""
    yield "links", f"{len(links)} now   {paths}"
    yield "round trip", _latency(links)


def _own_facts(info: NetworkInfo, me: WorkerSelf) -> Iterator[tuple[str, str]]:
    """Of a worker: the one link that it has, or why it has none."""
    yield "manager", f"{safe(me.manager)} at {safe(me.address)}"
    yield "link", f"{safe(me.transport)}, round trip {span(me.rtt)}" if me.rtt else safe(me.state)
    yield "reason", safe(me.reason, MAX_VALUE)
    yield "known ways", "  ".join(map(safe, info.addresses))
    yield "traffic", f"sent {size(me.sent)}, received {size(me.received)}"


def _latency(links: Sequence[SessionRow]) -> str:
    known = [(row.rtt, row.name or row.peer) for row in links if row.rtt]
    if not known:
        return ""
    slowest, who = max(known)
    return f"{span(median(rtt for rtt, _ in known))} in the middle, at most {span(slowest)} ({safe(who, 24)})"
