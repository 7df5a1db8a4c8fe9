"""What the built-in kinds compute, and what they say to a payload they cannot use."""

import asyncio
import hashlib
import inspect

import pytest
from taskmessenger.kinds import NAMES, echo, reverse, upper, wait, wordcount
from taskmessenger.kinds import hash as hash_
from taskmessenger.kinds import sum as sum_
from taskmessenger.runtimes.registry import Registry


@pytest.fixture
def anyio_backend():
    return "asyncio"


class Ears:
    def __init__(self):
        self.heard = []

    def progress(self, fraction, note=""):
        self.heard.append(fraction)


@pytest.mark.parametrize(
    ("given", "back"), [("abc", "cba"), (b"abc", b"cba"), ([1, "b"], ["b", 1]), ("", "")]
)
def test_reverse_keeps_the_type(given, back):
    assert reverse.handle(given) == back


def test_upper_is_upper():
    assert upper.handle("straße") == "STRASSE"


@pytest.mark.parametrize(
    ("given", "total"),
    [
        ([1, 2, 3], 6),
        ("1 2 3", 6),
        ("1,2,3", 6),
        (" 1, 2\n3 ", 6),
        (["1", 2], 3),
        ([], 0),
        ("", 0),
        (5, 5),
        ([0.1] * 10, 1.0),
        ([1, 0.5], 1.5),
        ("1e3 1", 1001.0),
    ],
)
async def test_sum_adds_numbers_and_text_holding_numbers(given, total):
    found = await sum_.handle(given)
    assert found == total
    assert type(found) is type(total)


def test_hash_is_sha256_of_text_or_bytes():
    assert hash_.handle("ä") == hash_.handle("ä".encode()) == hashlib.sha256("ä".encode()).hexdigest()
    assert hash_.handle(b"") == hashlib.sha256().hexdigest()


async def test_echo_gives_anything_back():
    assert await echo.handle({"a": None}) == {"a": None}


def test_wordcount_counts():
    assert wordcount.handle("the quick\nbrown fox\n") == {"lines": 2, "words": 4, "characters": 20}
    assert wordcount.handle("") == {"lines": 0, "words": 0, "characters": 0}


@pytest.mark.parametrize(("given", "seconds"), [(0, 0), ("0", 0), (0.01, 0.01), ("0.01", 0.01)])
async def test_wait_returns_its_seconds(given, seconds):
    found = await wait.handle(given, Ears())
    assert found == seconds
    assert type(found) is type(seconds)


async def test_wait_tells_how_far_it_is(monkeypatch):
    monkeypatch.setattr(wait, "STEP", 0.01)
    ears = Ears()
    await wait.handle(0.05, ears)
    assert ears.heard == sorted(ears.heard)
    assert len(ears.heard) >= 2
    assert ears.heard[-1] <= 1.0


async def test_wait_can_be_cancelled():
    task = asyncio.create_task(wait.handle(3600, Ears()))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.parametrize(
    ("module", "payload", "says"),
    [
        (reverse, 1, "reverse wants text, bytes or a list, not int"),
        (upper, b"x", "upper wants text, not bytes"),
        (hash_, [], "hash wants text or bytes, not list"),
        (wordcount, None, "wordcount wants text, not NoneType"),
        (sum_, {"a": 1}, "sum wants numbers or text holding them, not dict"),
        (sum_, [True], "sum wants numbers or text holding them, not bool"),
        (sum_, "1 two", "sum wants numbers, and 'two' is none"),
        (wait, "soon", "wait wants numbers, and 'soon' is none"),
        (wait, -1, "wait wants a number of seconds from 0 up, not -1"),
        (wait, "inf", "wait wants a number of seconds from 0 up, not inf"),
        (wait, "nan", "wait wants a number of seconds from 0 up, not nan"),
        (wait, [1], "wait wants numbers or text holding them, not list"),
    ],
)
async def test_a_wrong_payload_is_told_in_one_line(module, payload, says):
    with pytest.raises(ValueError) as caught:  # noqa: PT012
        context = [Ears()] if module is wait else []
        answer = module.handle(payload, *context)
        if inspect.isawaitable(answer):
            await answer
    assert str(caught.value) == says


async def test_every_built_in_kind_has_a_description_and_an_example_that_works(monkeypatch):
    monkeypatch.setattr(wait, "EXAMPLE", 0)
    for kind in Registry.load(NAMES):
        assert kind.description
        answer = kind.handler(kind.example, *([Ears()] if kind.takes_context else []))
        if inspect.isawaitable(answer):
            await answer


def test_the_list_of_built_in_kinds_is_complete():
    from pathlib import Path

    import taskmessenger.kinds

    files = {path.stem for path in Path(taskmessenger.kinds.__file__).parent.glob("[a-z]*.py")}
    assert files == set(NAMES)
