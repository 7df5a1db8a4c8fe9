"""One of every message, with nothing in it left at its default."""

from __future__ import annotations

from typing import get_args

import msgspec
from taskmessenger.handle import (
    Act,
    ActDone,
    AttemptInfo,
    Count,
    ErrorInfo,
    EventRow,
    Group,
    InviteRow,
    Outcome,
    PoolStatus,
    TaskDetail,
    TaskOutput,
    TaskPage,
    TaskQuery,
    TaskRow,
    WorkerRow,
)
from taskmessenger.net import messages as m

ROW = TaskRow(1, "echo", 4, -3, 2, 5, 1, 1.5, 2.5, 3.5, 0.25, "w", "key", "batch", 9.0, "target", "why")
ERROR = ErrorInfo("crashed", "it died", "stack", {"signal": 9, "output": "x", "rss": 1.5})
INVITE = InviteRow("ABCD", "worker", b"h", 3, 2, 1.0, 2.0, 1.5)
WORKER = WorkerRow(
    "w", "connected", "tcp://h:1", "tcp", ("a", "b"), 4, 8, 3, 2, 10, 1, 0.01, 0.5, {"cpu": 0.5}, {"k": "v"},
    "1.0", 1.0, 2.0,
)  # fmt: skip
STATUS = PoolStatus(
    "m", "f", "1", ("tcp://h:1",), 1.0, {"queued": 1}, 9, ("all",), 2, 8, 1.5, 3, 4, {"k": "w"}, "full"
)
GROUP = Group("echo", [b"\xc0", b"\x01"], ["a", "b"], 5, 9.5, 3, 1.5, "batch", "w")
QUERY = TaskQuery((1, 2), ("a",), ("w",), ("b",), (7,), "text", 10, None, 50)
DETAIL = TaskDetail(
    ROW, 10, 20, b"p", ERROR, (AttemptInfo(1, "w", 1.0, 2.0, "crashed", ERROR),), "y", 0.5, "n",
    TaskOutput(1, 2, 3, b"o", ((2, 4, 1),), True),
)  # fmt: skip
OUTCOME = Outcome(1, 5, 2, "w", b"\xc0", ERROR, 0.5)
ACT = Act("edit", (1,), QUERY, 3, "all", 1.5, b"\xc0")

EVERY: list[m.Message] = [
    m.Beat(3, 2, {"cpu": 0.5}),
    m.Goodbye("left", "bye"),
    m.Hello(1, 2, "worker", "1.0", b"i" * 16, False, "zt", b"mark"),
    m.Welcome(1, "lab", "fleet", "w-1", 5.0, 15.0, 30.0, 1024, "1.0", ("look",), b"e" * 16, b"mark"),
    m.WantAuthority(1, 1),
    m.AuthorityIs(b"der", "lab"),
    m.Join("ABCD", b"secret", b"csr", "fern", "linux"),
    m.Joined(b"der", b"ca", "fleet", "w-1", "worker", "lab"),
    m.Refusal("refused", "no"),
    m.Offer(["a", "b"], ["b"], 4, 8, True, {"k": "v"}),
    m.Holding([1, 2], [1, 3]),
    m.Started([1, 2], [1, 3]),
    m.Finished([1, 2], [1, 3], [b"\xc0", b""], [0.5, 2.0]),
    m.Broke([(1, 2, 3, 0.5, b"e"), (2, 1, 6, 0.0, None)]),
    m.Progress(1, 2, 0.5, "half", b"out", 7),
    m.Output([(1, 2, 3, b"out"), (2, 1, 0, b"")]),
    m.Steered(7),
    m.RenewMe(b"csr"),
    m.Assign([("echo", [(1, 1, None, b"\xc0"), (2, 3, 4.5, b"x")])]),
    m.Ack([1, 2], [1, 3]),
    m.EndLeases([1], [2]),
    m.Steer(7, "drain", "all", 30.0),
    m.Renewed(b"der"),
    m.Submit(1, [GROUP], True),
    m.Watch(1, [1, 2]),
    m.Ask(1, "status"),
    m.FindTasks(1, QUERY),
    m.GetTask(1, 2, 10),
    m.GetOutcomes(1, [1, 2]),
    m.Command(1, "cancel", [1], "all", 2.0),
    m.MakeInvite(1, 2, 60.0, "client", ["tcp://h:1"]),
    m.RevokeInvite(1, "ABCD"),
    m.GetEvents(1, 5, 10),
    m.Look(1, {"fleet": 3}, 5, 10),
    m.Do(1, ACT),
    m.CountTasks(1, QUERY, 500),
    m.GetOutput(1, 2, 3),
    m.Submitted(1, [1, 2], 1),
    m.Failure(1, "usage", "no"),
    m.Outcomes(1, [OUTCOME], [3], 1),
    m.Page(1, TaskPage((ROW,), True)),
    m.Detail(1, DETAIL),
    m.Status(1, STATUS),
    m.Workers(1, [WORKER]),
    m.Invites(1, [INVITE]),
    m.InviteMade(1, "tm1-x", INVITE),
    m.Done(1, [1]),
    m.Events(1, [("leased", "w", [1, 2], "why")], 6, 1),
    m.View(1, 1.5, [("fleet", 4, msgspec.Raw(b"\xc0"))], [EventRow(5, 1.5, "info", "log", "x", "y")], 6, 1),
    m.Did(1, ActDone(2, [1, 2])),
    m.Counted(1, Count(3, exact=False)),
    m.OutputIs(1, TaskOutput(1, 2, 3, b"o", ((2, 4, 1),), True)),
    m.Facts(1, msgspec.Raw(b"\x93\x01\x02\x03")),
]
TYPES = get_args(m.Message)


def names(messages: list[m.Message]) -> list[str]:
    return [type(one).__name__ for one in messages]
