"""Handing in tasks from the console: a form by the schema of the kind, or JSON, or like another task."""

from __future__ import annotations

from typing import Any

import msgpack
import pytest
from taskmessenger.core.errors import UsageError
from taskmessenger.handle import Group, KindSchema
from taskmessenger.screens.dialogs.submit import SubmitForm, twin_of
from taskmessenger.screens.fake import FakeNode
from taskmessenger.screens.fields import NOTHING, Field, Sort, fields_of, texts_of, value, values
from taskmessenger.screens.widgets.form import Form
from textual.widgets import TextArea

from tests.support.console import SMALL, opened, press, settle, text


async def payload(node: Any, task_id: int) -> Any:
    return msgpack.unpackb((await node.task(task_id)).payload)


async def kind(pilot: Any, console: Any, name: str) -> SubmitForm:
    """The form of this kind."""
    console.give("task.submit", words=name)
    await settle(pilot)
    assert isinstance(console.screen, SubmitForm)
    return console.screen


async def test_n_asks_for_a_kind_and_shows_its_form() -> None:
    async with opened(view="tasks", size=SMALL) as (pilot, console, node):
        await press(pilot, "n")
        assert "SHA-256 of a text" in text(console)
        await press(pilot, "enter")
        assert "Submit hash" in text(console)
        await press(pilot, "enter")
        assert await payload(node, 5001) == {"text": "abc"}
        assert any("submitted task 5001" in said for _, _, said in console.told)


async def test_a_kind_is_chosen_by_typing_its_name() -> None:
    async with opened(view="tasks", size=SMALL) as (pilot, console, _node):
        await press(pilot, "n", *"res")
        assert "res_" in text(console)
        await press(pilot, "enter")
        assert "Submit resize" in text(console)
        await press(pilot, "escape", "n", *"xtra", "backspace", *"zzs", "enter")  # what nothing begins with
        assert "Submit shell" in text(console)
        await press(pilot, "escape", "n", *"re", "home", "enter")  # moving about begins anew
        assert "Submit hash" in text(console)


async def test_fields_and_options_make_the_task() -> None:
    async with opened(view="tasks") as (pilot, console, node):
        form = await kind(pilot, console, "resize")
        form.query_one("#payload", Form).fill({"path": "x.jpg", "width": "320"})
        form.query_one("#options", Form).fill(
            {"priority": "7", "batch": "night", "key": "k1", "delay": "10m"}
        )
        await press(pilot, "enter")
        assert await payload(node, 5001) == {"path": "x.jpg", "width": 320}
        row = (await node.task(5001)).row
        assert (row.priority, row.batch, row.key) == (7, "night", "k1")


@pytest.mark.parametrize(
    ("part", "key", "typed", "said"),
    [
        ("payload", "width", "wide", "width: `wide` is not a whole number"),
        ("options", "priority", "101", "Priority: 101 is not at least -100 and at most 100"),
        ("options", "timeout", "long", "Timeout: `long` is not a length of time"),
        ("options", "max_attempts", "0", "Attempts: 0 is not at least 1"),
    ],
)
async def test_what_is_wrong_is_said_and_nothing_is_submitted(
    part: str, key: str, typed: str, said: str
) -> None:
    async with opened(view="tasks") as (pilot, console, node):
        form = await kind(pilot, console, "resize")
        form.query_one(f"#{part}", Form).fill({key: typed})
        await press(pilot, "enter")
        assert said in text(console)
        assert console.screen is form
        assert node.snapshot().fleet.accepted == 5000


async def test_the_payload_can_be_typed_as_json_and_back() -> None:
    async with opened(view="tasks") as (pilot, console, node):
        form = await kind(pilot, console, "hash")
        await pilot.click("#swap")
        await settle(pilot)
        area = form.query_one(TextArea)
        assert '"text": "abc"' in area.text
        area.load_text('{"text": "xyz"}')
        await settle(pilot)
        await pilot.click("#swap")
        await settle(pilot)
        assert form.query_one("#payload", Form).texts() == {"text": "xyz"}
        await pilot.click("#swap")
        await settle(pilot)
        area.load_text('{"text": "xyz", "more": [1]}')
        await settle(pilot)
        await pilot.click("#swap")
        await settle(pilot)
        assert "parts that have no field" in text(console)
        await pilot.click("#yes")
        await settle(pilot)
        assert await payload(node, 5001) == {"text": "xyz", "more": [1]}


async def test_json_that_is_none_says_where() -> None:
    async with opened(view="tasks") as (pilot, console, _node):
        form = await kind(pilot, console, "hash")
        await pilot.click("#swap")
        await settle(pilot)
        form.query_one(TextArea).load_text('{"text": }')
        await settle(pilot)
        await pilot.click("#yes")
        await settle(pilot)
        assert "that is no JSON" in text(console)
        assert console.screen is form


async def test_the_command_line_that_does_the_same_is_copied() -> None:
    async with opened(view="tasks") as (pilot, console, _node):
        form = await kind(pilot, console, "hash")
        form.query_one("#options", Form).fill({"timeout": "90s"})
        await pilot.click("#twin")
        await settle(pilot)
        assert (
            console.clipboard
            == """taskmessenger submit hash --json-payload '{"text": "abc"}' --timeout 90s"""
        )


async def test_capital_n_begins_with_the_task_under_the_cursor() -> None:
    async with opened(view="task", argument="4998") as (pilot, console, node):
        await press(pilot, "N")
        form = console.screen
        assert isinstance(form, SubmitForm)
        assert form.query_one("#options", Form).texts()["batch"] == (await node.task(4998)).row.batch
        assert form.query_one("#options", Form).texts()["key"] == ""
        await pilot.click("#yes")
        await settle(pilot)
        assert await payload(node, 5001) == await payload(node, 4998)


async def test_in_the_kinds_the_one_under_the_cursor_is_offered_first() -> None:
    async with opened(view="kinds") as (pilot, console, _node):
        name = console.view.current().name
        await press(pilot, "n", "enter")
        assert f"Submit {name}" in text(console)


async def test_a_kind_without_a_schema_is_typed_as_json() -> None:
    class Bare(FakeNode):
        async def kind_schemas(self):
            return (KindSchema("odd\x1b[2J", "[b]strange", msgpack.packb([1, b"x"]), {}, 1),)

    async with opened(Bare(), view="tasks") as (pilot, console, _node):
        await press(pilot, "n", "enter")
        assert '"base64": "eA=="' in text(console)
        assert "[b]strange" in text(console)
        assert "\x1b" not in text(console)


@pytest.mark.parametrize(
    ("schema", "example", "typed", "sent"),
    [
        ("string", "hello", "it is", "it is"),
        ("number", 0.5, "2", 2),
        ("array", [1, 2], "[3]", [3]),
        ("boolean", True, "false", False),
    ],
)
async def test_a_payload_that_is_no_object_has_one_field(
    schema: str, example: object, typed: str, sent: object
) -> None:
    class Plain(FakeNode):
        async def kind_schemas(self):
            return (KindSchema("hash", "", msgpack.packb(example), {"type": schema}, 1),)

    async with opened(Plain(), view="tasks") as (pilot, console, node):
        form = await kind(pilot, console, "hash")
        form.query_one("#payload", Form).fill({"": typed})
        await press(pilot, "ctrl+s")
        assert await payload(node, 5001) == sent


async def test_without_kinds_it_says_what_to_do() -> None:
    class Empty(FakeNode):
        async def kind_schemas(self):
            return ()

    async with opened(Empty(), view="tasks") as (pilot, console, _node):
        await press(pilot, "n")
        assert any("no connected worker offers a kind" in said for _, _, said in console.told)


async def test_a_console_that_changes_nothing_does_not_submit() -> None:
    async with opened(FakeNode(read_only=True), view="tasks") as (pilot, _console, node):
        await press(pilot, "n", "enter", "enter")
        assert node.snapshot().fleet.accepted == 5000


SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["path", "mode"],
    "properties": {
        "path": {"type": "string", "description": "of the picture"},
        "width": {"type": "integer", "minimum": 1, "maximum": 4000},
        "share": {"type": "number"},
        "keep": {"type": "boolean", "default": True},
        "mode": {"enum": ["fast", "good"]},
        "tags": {"type": "array"},
        "raw": {"type": "null"},
    },
}


def test_fields_follow_the_schema() -> None:
    fields = fields_of(SCHEMA, {"path": "a.jpg", "tags": ["x"], "raw": b"\x00"})
    assert [(f.key, f.sort, f.text) for f in fields] == [
        ("path", Sort.TEXT, "a.jpg"), ("width", Sort.WHOLE, ""), ("share", Sort.NUMBER, ""),
        ("keep", Sort.FLAG, "true"), ("mode", Sort.CHOICE, "fast"), ("tags", Sort.JSON, '["x"]'),
        ("raw", Sort.JSON, '{"base64": "AA=="}'),
    ]  # fmt: skip
    texts = {f.key: f.text for f in fields}
    assert values(fields, texts) == {
        "path": "a.jpg",
        "keep": True,
        "mode": "fast",
        "tags": ["x"],
        "raw": b"\x00",
    }


def test_what_fields_cannot_show_stays_json() -> None:
    fields = fields_of(SCHEMA)
    assert texts_of(fields, {"other": 1}) is None
    assert texts_of(fields, [1]) is None
    assert texts_of(fields_of({"type": "string"}), b"bytes") is None
    assert texts_of(fields_of({"type": "integer"}), True) is None
    assert texts_of(fields_of({"type": "string"}), "two\nlines") is None
    assert texts_of(fields, {"width": 0.5}) is None
    assert fields_of({"type": "null"}) == ()
    assert fields_of({"type": "object", "properties": {str(n): {} for n in range(100)}}) == ()
    assert fields_of({"properties": {"a": "?", "b": {"enum": []}}})[0].sort is Sort.JSON


@pytest.mark.parametrize(
    ("sort", "typed", "found"),
    [
        (Sort.WHOLE, " 7 ", 7), (Sort.NUMBER, "1e3", 1000.0), (Sort.FLAG, "yes", True),
        (Sort.FLAG, "", False), (Sort.SPAN, "1h30m", 5400.0), (Sort.JSON, "[1]", [1]),
        (Sort.TEXT, " x ", " x "), (Sort.TEXT, "", NOTHING),
    ],
)  # fmt: skip
def test_texts_become_values(sort: Sort, typed: str, found: object) -> None:
    assert value(Field(key="f", sort=sort), typed) == found


@pytest.mark.parametrize(
    ("sort", "typed"),
    [
        (Sort.WHOLE, "7.5"),
        (Sort.NUMBER, "nan"),
        (Sort.FLAG, "maybe"),
        (Sort.JSON, "{"),
        (Sort.CHOICE, "none"),
    ],
)
def test_other_texts_are_refused(sort: Sort, typed: str) -> None:
    with pytest.raises(UsageError, match=r"^f: "):
        value(Field(key="f", sort=sort, choices=("a",)), typed)


def test_a_command_line_says_all_of_a_task() -> None:
    group = Group("hash", [msgpack.packb("it's")], ["k"], 5, 1.5, 3, 60.0, "b", "w-1")
    assert twin_of(group) == (
        """taskmessenger submit hash --json-payload '"it'"'"'s"' --priority 5 --timeout 1.5s"""
        " --max-attempts 3 --delay 60s --key k --batch b --worker w-1"
    )


async def test_n_submits_from_the_workers_too() -> None:
    async with opened(view="workers") as (pilot, console, _node):
        await press(pilot, "n")
        assert "Submit a task of kind" in text(console)
