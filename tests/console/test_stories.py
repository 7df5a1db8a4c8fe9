"""One story for every command, as an operator gives it: by its key, or by its name; and what comes of it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import pytest
from taskmessenger.core.lifecycle import TaskState
from taskmessenger.screens import views
from taskmessenger.screens.acts import tasks as task_acts
from taskmessenger.screens.commands import Command, all_commands, found_in
from taskmessenger.screens.dialogs.choice import Choice
from taskmessenger.screens.dialogs.help import HelpScreen
from taskmessenger.screens.dialogs.invite import InviteMade
from taskmessenger.screens.dialogs.message import Message
from taskmessenger.screens.dialogs.submit import SubmitForm
from taskmessenger.screens.editor import Draft
from taskmessenger.screens.fake import FakeNode, FakeWorker
from taskmessenger.screens.leaving import HEADLESS, leaving
from taskmessenger.screens.view import View
from taskmessenger.screens.widgets.filterbar import FilterBar
from taskmessenger.screens.widgets.grid import Grid
from textual.command import CommandPalette
from textual.pilot import Pilot
from textual.widgets import OptionList

from tests.support.console import SMALL, opened, passed, press, press_at_once, settle, text, type_text

COMMANDS = {command.name: command for command in all_commands(found_in(views, View))}
AT_ONCE: ContextVar[bool] = ContextVar("whether the keys of a story come in one burst", default=False)
FIRST, BUSY = "w-amber-06", "w-fern-00"
"""The first worker of the table, and one that holds tasks."""
FAILED, WRITING, RUNNING, QUEUED = 4964, 4993, 4998, 4999


class Seen:
    """A console in the middle of a story."""

    def __init__(self, pilot: Pilot[None], console: Any, node: Any) -> None:
        self.pilot, self.console, self.node = pilot, console, node

    async def give(self, *keys: str) -> None:
        """Press keys; after `:` a command is typed, after `=` any text."""
        if AT_ONCE.get():
            await press_at_once(self.pilot, _single(keys))
            return
        for key in keys:
            if len(key) > 1 and key[0] == ":":
                await press(self.pilot, "colon")
                await type_text(self.pilot, f"{key[1:]}\r")
            elif len(key) > 1 and key[0] == "=":
                await type_text(self.pilot, key[1:])
            else:
                await press(self.pilot, key)

    @property
    def view(self) -> Any:
        return self.console.view

    @property
    def here(self) -> tuple[str, str]:
        return self.view.NAME, self.view.argument

    @property
    def text(self) -> str:
        return text(self.console)

    @property
    def rows(self) -> Any:
        return self.view.query_one(Grid).table.rows

    @property
    def told(self) -> str:
        return str(self.console.told[-1][2])

    @property
    def filter(self) -> str:
        return str(self.view.query_one(FilterBar).filter)

    async def state(self, task_id: int) -> TaskState:
        return TaskState((await self.node.task(task_id)).row.state)

    def worker(self) -> Any:
        return next(row for row in self.node.snapshot().workers if row.id == FIRST)


def _single(keys: Sequence[str]) -> Iterator[str]:
    for key in keys:
        if len(key) > 1 and key[0] in ":=":
            yield from (":" if key[0] == ":" else "") + key[1:] + ("\r" if key[0] == ":" else "")
        else:
            yield key


@asynccontextmanager
async def after(
    view: str, *keys: str, argument: str = "", node: Any = None, **given: Any
) -> AsyncIterator[Seen]:
    async with opened(node, view=view, argument=argument, **given) as (pilot, console, node_):
        seen = Seen(pilot, console, node_)
        await seen.give(*keys)
        yield seen


Story = Callable[[Path], Awaitable[None]]
STORIES: dict[str, Story] = {}


def story(name: str) -> Callable[[Story], Story]:
    def keep(told: Story) -> Story:
        assert name not in STORIES
        STORIES[name] = told
        return told

    return keep


def a_file(folder: Path) -> Path:
    return folder / "rows.csv"


# The console


@story("console.help")
async def _help(_: Path) -> None:
    async with after("tasks", "question_mark") as seen:
        assert isinstance(seen.console.screen, HelpScreen)
        assert "Commands" in seen.text or "Keys" in seen.text, seen.text


@story("console.palette")
async def _palette(_: Path) -> None:
    async with after("tasks", "ctrl+p") as seen:
        assert CommandPalette.is_open(seen.console)
        await seen.give("escape", ":console.palette")
        assert CommandPalette.is_open(seen.console)


@story("console.line")
async def _line(_: Path) -> None:
    async with after("tasks", "colon", "=workers\r") as seen:
        assert seen.here == ("workers", "")


@story("console.suspend")
async def _suspend(_: Path) -> None:
    async with after("tasks", "ctrl+z") as seen:
        assert seen.told == "there is no shell here to come back from"


@story("console.freeze")
async def _freeze(_: Path) -> None:
    async with after("tasks", "f") as seen:
        first = seen.rows[0].id
        await passed(seen.pilot, 30)
        assert seen.rows[0].id == first
        await seen.give("f")
        await passed(seen.pilot, 1)
        assert seen.rows[0].id > first


@story("console.times")
async def _times(_: Path) -> None:
    async with after("tasks", "T") as seen:
        assert "ago" in seen.text


@story("console.theme")
async def _theme(_: Path) -> None:
    async with after("tasks", ":console.theme day") as seen:
        assert seen.console.theme == seen.console.prefs.kept.theme == "day"
        await seen.give(":console.theme nothing")
        assert "there is no theme `nothing`" in seen.told


@story("console.bell")
async def _bell(_: Path) -> None:
    rung: list[bool] = []
    async with after("tasks") as seen:
        seen.console.bell = lambda: rung.append(True)
        await seen.give(":console.bell")
        assert not seen.console.prefs.kept.bell
        seen.console.tell("a disk is full", "error")
        assert not rung
        await seen.give(":console.bell")
        seen.console.tell("it is only nearly full", "warning")
        assert not rung
        seen.console.tell("a disk is full", "error")
        assert rung == [True]


@story("console.messages")
async def _messages(_: Path) -> None:
    async with after("tasks", "y", "M") as seen:
        assert isinstance(seen.console.screen, Message)
        assert "copied task 5000" in seen.text


@story("console.back")
async def _back(_: Path) -> None:
    async with after("tasks", "enter") as seen:
        assert seen.here == ("task", "5000")
        await seen.give("escape")
        assert seen.here == ("tasks", "")


@story("console.last")
async def _last(_: Path) -> None:
    async with after("tasks", "4", "minus") as seen:
        assert seen.here == ("tasks", "")


@story("order.undo")
async def _undo(_: Path) -> None:
    async with after("tasks", "down", "c", "y", "u", undo_seconds=60.0) as seen:
        assert not seen.console.actor.pending
        assert seen.told == f"undone: cancel task {QUEUED} was not done"


@story("console.twin")
async def _twin(_: Path) -> None:
    async with after("tasks", "dollar_sign", "enter") as seen:
        assert seen.console.clipboard.startswith("taskmessenger task ")


@story("console.quit")
async def _quit(_: Path) -> None:
    async with after("status", "q", node=FakeWorker(), leaving=leaving("worker")) as seen:
        assert isinstance(seen.console.screen, Choice)
        await seen.pilot.press("enter")
        await seen.pilot.pause()
        assert seen.console.return_value == HEADLESS


# Rows of any table


@story("row.mark")
async def _mark(_: Path) -> None:
    async with after("tasks", "space", "space") as seen:
        assert seen.view.grid.table.marks == {5000, 4999}


@story("row.all")
async def _mark_all(_: Path) -> None:
    async with after("tasks", "ctrl+a") as seen:
        assert seen.view.chosen().whole
    async with after("workers", "ctrl+a") as seen:
        assert len(seen.view.chosen().keys) == len(seen.rows)


@story("row.unmark")
async def _unmark(_: Path) -> None:
    async with after("tasks", "space", ":row.unmark") as seen:
        assert not seen.view.grid.table.marks


@story("row.sort")
async def _sort(_: Path) -> None:
    async with after("tasks", "s", "down", "enter") as seen:
        kinds = [row.kind for row in seen.rows]
        assert kinds == sorted(kinds)


@story("row.reverse")
async def _reverse(_: Path) -> None:
    async with after("tasks", "S") as seen:
        assert [row.id for row in seen.rows[:3]] == [1, 2, 3]


@story("row.copy")
async def _copy(_: Path) -> None:
    async with after("tasks", "space", "space", "y") as seen:
        assert set(seen.console.clipboard.split()) == {"5000", "4999"}
        assert seen.told == "copied 2 tasks"


@story("row.copy_json")
async def _copy_json(_: Path) -> None:
    async with after("tasks", "Y") as seen:
        assert json.loads(seen.console.clipboard)["id"] == 5000


@story("row.export")
async def _export(folder: Path) -> None:
    async with after("workers", "x", "ctrl+u", f"={a_file(folder)}\r") as seen:
        await seen.console.workers.wait_for_complete()
        assert len(a_file(folder).read_text().splitlines()) == 1 + len(seen.rows)


@story("row.menu")
async def _menu(_: Path) -> None:
    async with after("tasks", "m") as seen:
        options = seen.console.screen.query_one(OptionList)
        labels = [str(options.get_option_at_index(n).prompt) for n in range(options.option_count)]
        assert any(label.startswith("c") and "Cancel" in label for label in labels)


@story("table.search")
async def _search(_: Path) -> None:
    async with after("workers", "slash", "=state:paused\r") as seen:
        assert {row.state for row in seen.rows} == {"paused"}


@story("table.all")
async def _search_nothing(_: Path) -> None:
    async with after("workers", "slash", "=state:paused\r", "backslash") as seen:
        assert len(seen.rows) == 12


# Tasks


@story("task.open")
async def _open(_: Path) -> None:
    async with after("tasks", "enter") as seen:
        assert seen.here == ("task", "5000")


@story("task.cancel")
async def _cancel(_: Path) -> None:
    async with after("tasks", "down", "c", "y") as seen:
        assert await seen.state(QUEUED) is TaskState.CANCELLED


@story("task.retry")
async def _retry(_: Path) -> None:
    async with after("task", argument=str(FAILED)) as seen:
        assert await seen.state(FAILED) is TaskState.FAILED
        await seen.give("r")
        assert not (await seen.state(FAILED)).final
        assert seen.told == f"retried task {FAILED}"


@story("task.resubmit")
async def _resubmit(_: Path) -> None:
    async with after("task", "R", argument=str(FAILED)) as seen:
        assert "Resubmit task" in seen.text
        await seen.give("y")
        old, new = await seen.node.task(FAILED), await seen.node.task(5001)
        assert new.row.kind == old.row.kind
        assert new.payload == old.payload
        assert await seen.state(FAILED) is TaskState.FAILED


@story("task.priority")
async def _priority(_: Path) -> None:
    async with after("tasks", "down", "P", "ctrl+u", "=7\r") as seen:
        assert (await seen.node.task(QUEUED)).row.priority == 7
        assert seen.told == f"changed the priority of task {QUEUED}"
        await seen.give("P", "ctrl+u", "=200\r")
        assert "between -100 and 100" in seen.text


@story("task.edit")
async def _edit(folder: Path) -> None:
    async def edit(_console: Any, before: str, _name: str) -> Draft:
        return Draft(folder / "draft", json.dumps({**json.loads(before), "text": "other"}))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(task_acts, "edit", edit)
        async with after("task", "e", "y", argument=str(FAILED)) as seen:
            assert b"other" in (await seen.node.task(5001)).payload


@story("task.output")
async def _output(_: Path) -> None:
    await _jump("l", "output", WRITING)


@story("task.attempts")
async def _attempts(_: Path) -> None:
    await _jump("t", "attempts", FAILED)


@story("task.payload")
async def _payload(_: Path) -> None:
    await _jump("i", "payload", FAILED)


async def _jump(key: str, part: str, task_id: int) -> None:
    async with after("task", argument=str(task_id), size=(80, 12)) as seen:
        title = seen.view.query_one(f"#title-{part}")
        before = title.region.y
        await seen.give(key)
        assert title.region.y < before
        assert title.region.y == 1 or seen.view.query_one("Sheet").is_vertical_scroll_end


@story("task.worker")
async def _its_worker(_: Path) -> None:
    async with after("task", "w", argument=str(RUNNING)) as seen:
        assert seen.here == ("worker", (await seen.node.task(RUNNING)).row.worker)


@story("task.submit")
async def _submit(_: Path) -> None:
    async with after("tasks", ":task.submit hash") as seen:
        assert isinstance(seen.console.screen, SubmitForm)
        seen.console.screen.answer()
        await settle(seen.pilot)
        assert (await seen.node.task(5001)).row.kind == "hash"


@story("task.like")
async def _like(_: Path) -> None:
    async with after("task", "N", argument=str(FAILED)) as seen:
        assert isinstance(seen.console.screen, SubmitForm)
        seen.console.screen.answer()
        await settle(seen.pilot)
        assert (await seen.node.task(5001)).payload == (await seen.node.task(FAILED)).payload


@story("tasks.filter")
async def _filter(_: Path) -> None:
    async with after("tasks", "slash", "=kind:hash\r") as seen:
        assert {row.kind for row in seen.rows} == {"hash"}


@story("tasks.clear")
async def _clear(_: Path) -> None:
    async with after("tasks", "slash", "=kind:hash\r", "backslash") as seen:
        assert seen.filter == ""
        assert len({row.kind for row in seen.rows}) > 1


@story("tasks.failed")
async def _failed(_: Path) -> None:
    async with after("tasks", "F") as seen:
        assert {row.state for row in seen.rows} == {TaskState.FAILED, TaskState.TIMED_OUT}


@story("tasks.reload")
async def _reload(_: Path) -> None:
    async with after("tasks", "slash", "=state:queued\r", "down", "down") as seen:
        gone = seen.rows[0].id
        await seen.give("home", "down", "up", "c", "y")
        assert gone in seen.view.grid.table.gone or seen.rows[0].id != gone
        await seen.give("ctrl+r")
        assert gone not in [row.id for row in seen.rows]
        assert seen.filter == "state:queued"
        assert seen.view.grid.table.following


@story("tasks.save")
async def _save(_: Path) -> None:
    async with after("tasks", "slash", "=state:failed\r", "ctrl+s", "=broken\r") as seen:
        assert seen.console.prefs.kept.views["tasks"]["broken"].filter == "state:failed"


@story("tasks.view")
async def _load(_: Path) -> None:
    async with after("tasks", "v") as seen:
        assert "no view was saved yet" in seen.told
        await seen.give("slash", "=kind:hash\r", "ctrl+s", "=hashes\r", "backslash", "v", "enter")
        assert seen.filter == "kind:hash"


# Workers, kinds, links, the fleet


@story("worker.open")
async def _open_worker(_: Path) -> None:
    async with after("workers", "enter") as seen:
        assert seen.here == ("worker", FIRST)


@story("worker.pause")
async def _pause_worker(_: Path) -> None:
    async with after("workers", "p") as seen:
        assert seen.worker().state == "paused"


@story("worker.resume")
async def _resume_worker(_: Path) -> None:
    async with after("workers", "p", ":worker.resume") as seen:
        assert seen.worker().state == "connected"


@story("worker.drain")
async def _drain_worker(_: Path) -> None:
    async with after("workers", "d", "enter") as seen:
        assert seen.worker().state == "draining"


@story("worker.limit")
async def _limit(_: Path) -> None:
    async with after("workers", "L", "ctrl+u", "=3\r") as seen:
        assert seen.worker().limit == 3


@story("worker.revoke")
async def _revoke_worker(_: Path) -> None:
    async with after("workers", "X", f"={FIRST}\r") as seen:
        assert seen.worker().state == "revoked"


@story("worker.tasks")
async def _worker_tasks(_: Path) -> None:
    async with after("workers", "t") as seen:
        assert (seen.view.NAME, seen.filter) == ("tasks", f"worker:{FIRST}")
        assert {row.worker for row in seen.rows} == {FIRST}


@story("worker.leases")
async def _leases(_: Path) -> None:
    async with after("worker", argument=BUSY) as seen:
        held = next(row.held for row in seen.node.snapshot().workers if row.id == BUSY)
        await seen.give("l")
        assert seen.view.NAME == "tasks"
        assert {row.worker for row in seen.rows} == {BUSY}
        assert {row.state for row in seen.rows} <= {TaskState.LEASED, TaskState.RUNNING}
        assert 0 < len(seen.rows) <= held + 1


@story("worker.task")
async def _worker_task(_: Path) -> None:
    async with after("worker", argument=FIRST) as seen:
        held = seen.view.grid.current().id
        await seen.give("enter")
        assert seen.here == ("task", str(held))


@story("worker.history")
async def _worker_history(_: Path) -> None:
    async with after("worker", argument=FIRST, size=SMALL) as seen:
        before = seen.view.query_one("#tasks").display
        await seen.give("h")
        assert seen.view.query_one("#tasks").display is not before


@story("kind.tasks")
async def _kind_tasks(_: Path) -> None:
    async with after("kinds") as seen:
        name = seen.view.current().name
        await seen.give("enter")
        assert (seen.view.NAME, seen.filter) == ("tasks", f"kind:{name}")


@story("kind.failed")
async def _kind_failed(_: Path) -> None:
    async with after("kinds", "F") as seen:
        assert seen.view.NAME == "tasks"
        assert {row.state for row in seen.rows} <= {TaskState.FAILED, TaskState.TIMED_OUT}


@story("kind.pause")
async def _kind_pause(_: Path) -> None:
    async with after("kinds", "p") as seen:
        assert seen.view.current().paused


@story("kind.resume")
async def _kind_resume(_: Path) -> None:
    async with after("kinds", "p", ":kind.resume") as seen:
        assert not seen.view.current().paused


@story("fleet.pause")
async def _fleet_pause(_: Path) -> None:
    async with after("overview", "p", "y") as seen:
        assert "all" in seen.node.snapshot().fleet.paused
        await seen.give("p")
        assert "all" not in seen.node.snapshot().fleet.paused


@story("alarm.open")
async def _alarm(_: Path) -> None:
    async with after("overview") as seen:
        what, _, name = seen.view.current().scope.partition(":")
        await seen.give("enter")
        assert what in {"worker", "kind"}
        if what == "worker":
            assert seen.here == ("worker", name)
        else:
            assert seen.view.NAME == "tasks"
            assert seen.filter == f"kind:{name} state:scheduled,queued", "those that the alarm is about"


@story("session.worker")
async def _session_worker(_: Path) -> None:
    async with after("sessions") as seen:
        peer = seen.view.current().peer
        await seen.give("enter")
        assert seen.here == ("worker", peer)


@story("sessions.ended")
async def _ended(_: Path) -> None:
    async with after("sessions", "h") as seen:
        assert {row.state for row in seen.rows} == {"ended"}
        await seen.give("h")
        assert len({row.state for row in seen.rows}) > 1


# Events, invites, network, settings


@story("event.open")
async def _event_open(_: Path) -> None:
    async with after("events", "i") as seen:
        await seen.give("escape")
        row = seen.view.current()
        await seen.give(":event.open")
        if row.subject.isdecimal():
            assert seen.here == ("task", row.subject)
        elif row.subject in {worker.id for worker in seen.node.snapshot().workers}:
            assert seen.here == ("worker", row.subject)
        else:
            assert (seen.view.NAME, seen.filter) == ("tasks", f"kind:{row.subject}")


@story("event.read")
async def _event_read(_: Path) -> None:
    async with after("events", "i") as seen:
        assert isinstance(seen.console.screen, Message)


@story("event.level")
async def _event_level(_: Path) -> None:
    async with after("events", "l", "l") as seen:
        assert {row.level for row in seen.rows} == {"error"}


@story("event.follow")
async def _event_follow(_: Path) -> None:
    async with after("events", "down", "down", "F") as seen:
        assert seen.view.grid.table.following


@story("invite.make")
async def _invite(_: Path) -> None:
    async with after("invites", "n", "enter") as seen:
        assert isinstance(seen.console.screen, InviteMade)
        assert len(await seen.node.invites()) == 5


@story("invite.revoke")
async def _invite_revoke(_: Path) -> None:
    async with after("invites", ":invite.revoke", "y") as seen:
        assert sum(row.revoked_at is not None for row in await seen.node.invites()) == 2


@story("member.approve")
async def _approve(_: Path) -> None:
    await _decide("A")


@story("member.reject")
async def _reject(_: Path) -> None:
    await _decide("X")


async def _decide(key: str) -> None:
    node = FakeNode()
    node.knock(2)
    async with after("invites", node=node) as seen:
        first, second = await node.pending()
        await seen.give(key, "y")
        assert list(await node.pending()) == [second]
        assert seen.told == f"{'approved' if key == 'A' else 'rejected'} member {first.id}"


@story("network.again")
async def _again(_: Path) -> None:
    node, asked = FakeNode(), 0
    network = node.network

    async def counted() -> Any:
        nonlocal asked
        asked += 1
        return await network()

    node.network = counted  # type: ignore[method-assign]
    async with after("network", node=node) as seen:
        before = asked
        await seen.give("ctrl+r")
        assert asked > before


@story("network.copy")
async def _copy_address(_: Path) -> None:
    async with after("network", "a", "enter") as seen:
        assert seen.console.clipboard == "tcp://0.0.0.0:7711"


@story("setting.edit")
async def _setting(_: Path) -> None:
    async with after("settings", "e") as seen:
        assert "this node was not started from a file here" in seen.told


@story("setting.changed")
async def _setting_changed(_: Path) -> None:
    async with after("settings") as seen:
        everything = len(seen.rows)
        await seen.give("h")
        assert 0 < len(seen.rows) < everything


# A worker's own


@story("own.pause")
async def _own_pause(_: Path) -> None:
    async with after("status", "p", node=FakeWorker()) as seen:
        assert seen.node.snapshot().worker.state == "paused"


@story("own.drain")
async def _own_drain(_: Path) -> None:
    async with after("status", "d", "enter", node=FakeWorker()) as seen:
        assert seen.node.snapshot().worker.state == "draining"


@story("own.disconnect")
async def _own_disconnect(_: Path) -> None:
    async with after("status", "D", "y", node=FakeWorker()) as seen:
        assert seen.node.snapshot().worker.state == "away"


@story("own.start")
async def _own_start(_: Path) -> None:
    async with after("status", "D", "y", "R", node=FakeWorker()) as seen:
        assert seen.node.snapshot().worker.state == "connected"


@story("own.open")
async def _own_open(_: Path) -> None:
    async with after("status", "enter", node=FakeWorker()) as seen:
        assert seen.view.NAME == "running"
        await seen.give("escape", ":own.open")
        assert seen.here == ("running", str(seen.node.snapshot().worker.running[0].task))


def _going(name: str) -> Story:
    async def told(_: Path) -> None:
        command: Any = COMMANDS[name]
        worker = "manager" not in command.roles
        start = ("log" if worker else "events") if name != "go.log" else "history"
        start = "overview" if name == "go.events" else start
        async with after(start, command.key, node=FakeWorker() if worker else None) as seen:
            assert f"go.{seen.view.NAME}" == name

    return told


STORIES |= {name: _going(name) for name in COMMANDS if name.startswith("go.")}


def test_every_command_has_a_story() -> None:
    assert sorted(STORIES) == sorted(COMMANDS)


@pytest.mark.parametrize("at_once", [False, True], ids=["key by key", "at once"])
@pytest.mark.parametrize("name", sorted(STORIES))
async def test_story(name: str, at_once: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    AT_ONCE.set(at_once)
    given: list[str] = []
    command = type(COMMANDS[name])
    run = command.run

    async def noted(self: Command, view: View, words: str = "") -> None:
        given.append(self.name)
        await run(self, view, words)

    monkeypatch.setattr(command, "run", noted)
    await STORIES[name](tmp_path)
    assert name in given
