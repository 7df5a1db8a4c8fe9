"""What clients and operators ask is answered once each, by their rights, in parts that a reader can take."""

from __future__ import annotations

import anyio
import msgspec
import pytest
from taskmessenger.core import effects as e
from taskmessenger.core import stimuli as s
from taskmessenger.core.errors import NotFound, StoreFull, UsageError
from taskmessenger.core.journal import Journal
from taskmessenger.handle import Act, Group, Outcome
from taskmessenger.handle.audit import AuditRow
from taskmessenger.net import messages as m
from taskmessenger.net.framing import FRAGMENT
from taskmessenger.roles import acts, client_link
from taskmessenger.roles.acts import checked_ids, checked_scope, in_slices
from taskmessenger.roles.audit import Actor, Audit
from taskmessenger.roles.client_link import EVENT_IDS, ClientLink
from taskmessenger.roles.deliver import Delivery
from taskmessenger.roles.inbox import Inbox
from taskmessenger.roles.submission import check_group
from taskmessenger.store.memory import MemoryStore

BOUND = 10.0
NIL = b"\xc0"


class Line:
    """A session as a link sees it; `pending` is for the test to say."""

    class _Wire:
        pending = 0

    def __init__(self) -> None:
        self.said: list[m.Message] = []
        self.wire = self._Wire()
        self.open = True
        self.rooms = 0

    def send(self, message: m.Message, *, urgent: bool = False) -> None:
        self.said.append(message)

    async def room(self, most: int) -> bool:
        self.rooms += 1
        await anyio.lowlevel.checkpoint()
        return self.open


class Writer:
    """Answers what is in the inbox as a test wants it answered."""

    def __init__(self, delivery: Delivery) -> None:
        self.inbox = Inbox()
        self.seen: list[s.Stimulus] = []
        self.answer = lambda stimulus: e.Done(stimulus.reply, list(getattr(stimulus, "ids", ())))
        self._delivery = delivery

    async def run(self) -> None:
        while True:
            await self.inbox.wait(BOUND)
            for stimulus in self.inbox.take():
                self.seen.append(stimulus)
                self._delivery.act([self.answer(stimulus)])


class View:
    """What consoles ask besides."""

    async def facts(self, what: str) -> msgspec.Raw:
        return msgspec.Raw(msgspec.msgpack.encode(f"facts of {what}"))


class Office:
    """The manager behind the link."""

    max_payload = 1_000
    max_attempts = 5

    def __init__(self) -> None:
        self.full: Exception | None = None
        self.audit = Audit(MemoryStore())
        self.results: dict[int, Outcome] = {}
        self.looks: list[int] = []
        self.revoked: list[str] = []
        self.view = View()

    def accepting(self) -> None:
        if self.full is not None:
            raise self.full

    async def outcomes(self, ids, most=None):
        self.looks.append(len(ids))
        return [self.results[i] for i in ids if i in self.results]

    async def retry(self, ids):
        return list(ids)

    async def revoke(self, peer_id: str) -> None:
        self.revoked.append(peer_id)

    async def revoke_invite(self, invite_id: str) -> None:
        raise NotFound(f"no invite {invite_id}")


class Desk:
    """A link with everything around it, served by a writer."""

    def __init__(self, role: str) -> None:
        self.delivery = Delivery(None, None, 1_000)  # type: ignore[arg-type]
        self.writer = Writer(self.delivery)
        self.line, self.office = Line(), Office()
        self.link = ClientLink(7, role, self.line, self.writer, self.delivery, None, self.office)  # type: ignore[arg-type]

    async def ask(self, *messages: m.Message) -> list[m.Message]:
        """Say these; all that is answered."""
        async with anyio.create_task_group() as group:
            group.start_soon(self.writer.run)
            with anyio.fail_after(BOUND):
                await self.link.handle(list(messages))
                for _ in range(20):
                    await anyio.lowlevel.checkpoint()
            group.cancel_scope.cancel()
        said, self.line.said = self.line.said, []
        return said


@pytest.fixture
def desk() -> Desk:
    return Desk("operator")


def accept(stimulus):
    return e.Accepted(stimulus.reply, list(range(10, 10 + len(stimulus.payloads))), 0)


async def test_a_submission_is_answered_with_ids_in_order(desk) -> None:
    desk.writer.answer = accept
    (answer,) = await desk.ask(m.Submit(5, [Group("echo", [NIL, NIL], priority=3, worker="w")], True))
    assert answer == m.Submitted(5, [10, 11], 0)
    (stimulus,) = desk.writer.seen
    assert (stimulus.options.kind, stimulus.options.priority, stimulus.options.target) == ("echo", 3, "w")
    assert (stimulus.watch, stimulus.digests) == (7, None)


async def test_groups_are_answered_together(desk) -> None:
    ids = iter([[3, 4], [1]])
    desk.writer.answer = lambda stimulus: e.Accepted(stimulus.reply, next(ids), 1)
    (answer,) = await desk.ask(m.Submit(5, [Group("a", [NIL, NIL]), Group("b", [NIL])]))
    assert answer == m.Submitted(5, [3, 4, 1], 2)


async def test_when_one_group_is_refused_the_answer_says_what_became_of_the_others(desk) -> None:
    answers = iter([e.Accepted(0, [1, 2], 0), e.Rejected(0, "conflict", "that key is taken")])

    def answer(stimulus):
        found = next(answers)
        found.reply = stimulus.reply
        return found

    desk.writer.answer = answer
    (failure,) = await desk.ask(m.Submit(5, [Group("a", [NIL, NIL]), Group("b", [NIL])]))
    assert failure == m.Failure(5, "conflict", "that key is taken (of other groups 2 tasks were accepted)")


async def test_a_submission_of_nothing_is_answered_too(desk) -> None:
    assert await desk.ask(m.Submit(5, [])) == [m.Submitted(5, [])]


async def test_equal_keyed_submissions_have_equal_digests_and_others_have_not(desk) -> None:
    desk.writer.answer = accept
    same, other = Group("echo", [b"\x01"], ["k"]), Group("echo", [b"\x02"], ["k"])
    later = Group("echo", [b"\x01"], ["k"], delay=5.0)
    lower = Group("echo", [b"\x01"], ["k"], priority=-1)
    await desk.ask(*(m.Submit(n, [group]) for n, group in enumerate([same, same, other, later, lower])))
    digests = [one.digests[0] for one in desk.writer.seen]
    assert digests[0] == digests[1]
    assert digests[0] == digests[4], "a priority, like a batch, is not what a key stands for"
    assert len(set(digests)) == 3


async def test_a_full_disk_takes_nothing_new_and_says_so(desk) -> None:
    desk.office.full = StoreFull("the disk is full")
    assert await desk.ask(m.Submit(5, [Group("a", [NIL])])) == [
        m.Failure(5, "store_full", "the disk is full")
    ]
    assert desk.writer.seen == []


async def test_a_submission_weighs_what_it_holds(desk) -> None:
    with anyio.move_on_after(0.05):
        await desk.link.handle([m.Submit(1, [Group("a", [NIL] * 30)]), m.Submit(2, [Group("a", [])])])
    assert desk.writer.inbox._weight == 31


async def test_outcomes_come_in_parts_and_the_last_says_how_many(desk) -> None:
    desk.office.results = {
        n: Outcome(n, 4, 1, "w", bytes(FRAGMENT if n % 10 == 0 else 10)) for n in range(1, 31)
    }
    answers = await desk.ask(m.GetOutcomes(5, list(range(1, 41))))
    assert all(one.request == 5 for one in answers)
    assert sorted(o.id for one in answers for o in one.outcomes) == list(range(1, 31))
    assert [one.total for one in answers] == [None] * (len(answers) - 1) + [30]


async def test_the_larger_results_are_the_fewer_are_read_at_a_time(desk) -> None:
    desk.office.results = {
        n: Outcome(n, 4, 1, "w", bytes(3_000_000 if n < 50 else 1)) for n in range(1, 2_000)
    }
    await desk.ask(m.GetOutcomes(5, list(range(1, 2_000))))
    looks = desk.office.looks
    assert looks[:4] == [16, 4, 1, 1]
    assert max(looks) == client_link.MOST_LOOK
    assert sum(looks) == 1_999
    assert desk.line.rooms >= len(looks), "each time only when the reader has taken what was there"


async def test_watching_tells_what_has_ended_and_who_is_unknown(desk) -> None:
    desk.office.results = {1: Outcome(1, 4, 1, "w", NIL)}
    desk.writer.answer = lambda stimulus: e.Done(stimulus.reply, [2])
    told, done = await desk.ask(m.Watch(5, [1, 2]))
    assert told.outcomes == [desk.office.results[1]]
    assert (done.outcomes, done.total) == ([], 1)
    assert desk.office.looks == [1], "what is open is not looked for among what has ended"
    assert [type(one) for one in desk.writer.seen] == [s.Watch]
    answers = await desk.ask(m.Watch(6, [1, 2, 3]))
    assert isinstance(answers[-1], m.Failure)
    assert (answers[-1].request, answers[-1].code) == (6, "not_found")


async def test_nothing_is_done_for_a_session_that_has_ended(desk) -> None:
    desk.line.open = False
    assert await desk.ask(m.Submit(5, [Group("a", [NIL])]), m.Command(6, "cancel", [1])) == []
    assert desk.writer.seen == []


async def test_beats_and_goodbyes_are_not_requests(desk) -> None:
    assert await desk.ask(m.Beat(1), m.Goodbye("left")) == []


@pytest.mark.parametrize("verb", ["cancel", "retry"])
async def test_a_client_may_cancel_and_retry(verb) -> None:
    assert await Desk("client").ask(m.Command(5, verb, [1, 2])) == [m.Done(5, [1, 2])]


@pytest.mark.parametrize(
    "message",
    [
        m.Command(5, "pause", scope="all"),
        m.Command(5, "resume", scope="all"),
        m.Command(5, "drain", scope="w"),
        m.Command(5, "revoke", scope="w"),
        m.Command(5, "anything"),
        m.MakeInvite(5, 1, 60.0),
        m.RevokeInvite(5, "ABCD"),
    ],
)
async def test_a_client_may_not_do_what_operators_do(message) -> None:
    desk = Desk("client")
    (answer,) = await desk.ask(message)
    assert (answer.request, answer.code) == (5, "refused")
    assert desk.writer.seen == []
    assert desk.office.revoked == []


async def test_an_operators_commands_reach_the_pool(desk) -> None:
    answers = await desk.ask(
        m.Command(1, "cancel", [3]),
        m.Command(2, "pause", scope="kind:echo"),
        m.Command(3, "resume", scope="worker:w-1"),
        m.Command(4, "drain", scope="w-1", deadline=-5.0),
        m.Command(5, "revoke", scope="w-1"),
        m.RevokeInvite(6, "ABCD"),
    )
    assert [one.request for one in answers] == [1, 2, 3, 4, 5, 6]
    kinds = [type(one) for one in desk.writer.seen]
    assert kinds == [s.Cancel, s.Pause, s.Resume, s.Drain]
    assert desk.writer.seen[3].deadline == 0.0
    assert desk.office.revoked == ["w-1"]
    assert answers[-1].code == "not_found"


@pytest.mark.parametrize("what", ["kinds", "settings", "worker w1", "audits"])
async def test_what_an_operator_asks_is_answered_by_what_knows_it(desk, what) -> None:
    (facts,) = await desk.ask(m.Ask(1, what))
    assert msgspec.msgpack.decode(facts.facts) == f"facts of {what}"
    (rows,) = await desk.ask(m.Ask(2, "audit 0 0.0"))
    assert (rows.request, msgspec.msgpack.decode(rows.facts)) == (2, [])
    (refused,) = await Desk("client").ask(m.Ask(3, what))
    assert isinstance(refused, m.Failure)


async def test_a_refusal_of_the_pool_is_the_answer(desk) -> None:
    desk.writer.answer = lambda stimulus: e.Rejected(stimulus.reply, "not_found", "no such worker")
    assert await desk.ask(m.Command(4, "drain", scope="w-1")) == [m.Failure(4, "not_found", "no such worker")]


async def test_a_pause_is_answered_when_the_workers_obey(desk) -> None:
    desk.delivery.unconfirmed = {1: 8}
    answered = anyio.Event()

    async def pause() -> None:
        await desk.link.handle([m.Command(4, "pause", scope="all")])
        answered.set()

    async with anyio.create_task_group() as group:
        group.start_soon(desk.writer.run)
        group.start_soon(pause)
        with anyio.move_on_after(0.1):
            await answered.wait()
        assert not answered.is_set()
        desk.delivery.confirm(8, 1)
        with anyio.fail_after(BOUND):
            await answered.wait()
        group.cancel_scope.cancel()
    assert desk.line.said == [m.Done(4, [])]


async def test_a_worker_that_is_cut_off_holds_up_no_pause_for_long(desk, monkeypatch) -> None:
    monkeypatch.setattr(acts, "STEER_SECONDS", 0.05)
    desk.delivery.unconfirmed = {1: 8}
    assert await desk.ask(m.Command(4, "pause", scope="all")) == [m.Done(4, [])]


def test_a_group_that_is_as_it_should_be_is_let_through() -> None:
    check_group(
        Group("echo", [NIL, bytes(1_000)], ["a", "b"], -100, 0.001, 1_000, 0.0, "batch", "w-1"), 1_000
    )
    check_group(Group("kind with ünïcödé", [], None), 0)


@pytest.mark.parametrize("scope", ["all", "kind:echo", "worker:w-1", "kind:a:b"])
def test_scopes_that_can_be_paused(scope) -> None:
    assert checked_scope(scope) == scope


@pytest.mark.parametrize(
    "scope", ["", "ALL", "kind:", "worker:", "green", "kind:\x07", "kind:" + "k" * 300, ":all"]
)
def test_scopes_that_cannot(scope) -> None:
    with pytest.raises(UsageError) as error:
        checked_scope(scope)
    assert str(error.value).isprintable()


def test_ids_are_numbers_that_tasks_can_have(monkeypatch) -> None:
    monkeypatch.setattr(acts, "MAX_IDS", 3)
    assert checked_ids([]) == []
    assert checked_ids([1, 2**63 - 1]) == [1, 2**63 - 1]
    assert checked_ids([3, 2, 1]) == [3, 2, 1]
    for ids in ([0], [-1], [2**63], [1, 2, 0]):
        with pytest.raises(NotFound):
            checked_ids(ids)
    with pytest.raises(UsageError):
        checked_ids([1, 2, 3, 4])


async def test_events_of_many_tasks_are_told_in_answers_of_a_bounded_size(desk) -> None:
    journal = desk.writer.journal = Journal()
    journal.extend(
        (1.0, ("submitted", "echo", range(n * EVENT_IDS, (n + 1) * EVENT_IDS), "")) for n in range(3)
    )
    journal.extend((1.0, ("started", "w1", [n], "")) for n in range(5))
    told, cursor, sizes = [], 0, []
    for _ in range(4):
        (answer,) = await desk.ask(m.GetEvents(1, cursor))
        told += answer.events
        cursor = answer.cursor
        sizes.append(sum(len(ids) for _, _, ids, _ in answer.events))
    assert [(what, len(ids)) for what, _, ids, _ in told] == [("submitted", EVENT_IDS)] * 3 + [
        ("started", 1)
    ] * 5
    assert (max(sizes), cursor) == (EVENT_IDS, 8)


async def test_events_are_told_from_a_cursor_on_and_no_more_than_asked_for(desk) -> None:
    journal = desk.writer.journal = Journal()
    journal.extend((1.0, ("started", "w1", [n], "")) for n in range(10))
    (answer,) = await desk.ask(m.GetEvents(1, 3, 2))
    assert ([ids for _, _, ids, _ in answer.events], answer.cursor) == ([[3], [4]], 5)
    (answer,) = await desk.ask(m.GetEvents(1, -7, -1))
    assert ([ids for _, _, ids, _ in answer.events], answer.cursor) == ([[0]], 1), "as near as can be"


def test_a_command_about_nothing_is_still_decided_on_once(monkeypatch) -> None:
    monkeypatch.setattr(acts, "SLICE", 2)
    assert list(in_slices([])) == [[]]
    assert list(in_slices([1, 2])) == [[1, 2]]
    assert list(in_slices([1, 2, 3])) == [[1, 2], [3]]


async def test_only_who_is_at_the_machine_may_have_files_written_there(desk) -> None:
    desk.link.actor = Actor("o-fern-0001", "operator")
    (answer,) = await desk.ask(m.Command(5, "backup", scope="/tmp/b.tar"))
    assert (answer.code, "at the manager's machine" in answer.message) == ("refused", True)


async def test_an_act_on_many_is_answered_and_written_down_with_the_first_of_them(desk, monkeypatch) -> None:
    monkeypatch.setattr(acts, "SHOWN_IDS", 3)
    monkeypatch.setattr(acts, "AUDITED_IDS", 2)
    desk.link.actor = Actor("boss", "operator")
    (answer,) = await desk.ask(m.Do(5, Act("cancel", (4, 5, 6, 7))))
    assert (answer.done.count, answer.done.ids) == (4, [4, 5, 6])
    await desk.ask(m.Command(6, "cancel", [8, 9]))
    found = msgspec.msgpack.decode(await desk.office.audit.asked("audit 0 0"), type=list[AuditRow])
    assert [(row.object, row.count) for row in found] == [("4 5 and 2 more", 4), ("8 9", 2)]


def test_as_many_ids_as_there_may_be_are_enough(monkeypatch) -> None:
    monkeypatch.setattr(acts, "MAX_IDS", 3)
    assert checked_ids([1, 2, 3]) == [1, 2, 3]
    monkeypatch.setattr(acts, "MAX_NAME", 4)
    assert checked_scope("kind:abcd") == "kind:abcd"
    with pytest.raises(UsageError):
        checked_scope("kind:abcde")
