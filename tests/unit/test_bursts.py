"""Keys that came in one write: what a hand or a macro may give, and what can only be a text."""

from __future__ import annotations

import pytest
from taskmessenger.screens.bursts import MOST_KEYS, Burst, Bursts, Does, is_text
from taskmessenger.screens.in_order import InOrder
from textual.events import Key

OPENS, MOVES = "/:nPdL", "0123456789jkgG"
ACTS = "prReqfsmyuct"


def does(key: str) -> Does:
    if key in OPENS:
        return Does.OPENS
    return Does.MOVES if key in MOVES else Does.ACTS if key in ACTS else Does.NOTHING


def keys(text: str) -> list[str]:
    return [{"\r": "enter", "\n": "ctrl+j"}.get(c, c) for c in text]


@pytest.mark.parametrize(
    "typed",
    [
        "3/state:failed\r", "/state:failed\rr", "4jpjp", "3jjjjjjjjjjjjjjjjc", ":console.theme\r", "P25\r",
        "/a b c d e f\r:task 17\rc", "4jjd30s\r", "12345678987654321", "jjkkjjkkjjkkGGgg", "pppp", "nhash\r",
    ],
)  # fmt: skip
def test_what_a_hand_or_a_macro_gives_is_keys(typed: str) -> None:
    assert not is_text(keys(typed), does)


@pytest.mark.parametrize(
    "pasted",
    [
        "please drop the pending rows\n", "retry them all\r", "rm -rf /tmp/x\r", "see tasks 3/4 of the queue",
        "/home/me/list.txt\rretry them all\r", "first\rsecond: retry it\r", "print(x)\r", "e = 3, r = 4",
    ],
)  # fmt: skip
def test_what_nobody_types_so_fast_is_a_text(pasted: str) -> None:
    assert is_text(keys(pasted), does)


def test_behind_a_key_of_another_screen_nothing_is_done() -> None:
    def here(key: str) -> Does:
        return Does.ELSEWHERE if key == "/" else does(key)

    assert not is_text(keys("1/state:failed\r"), here)
    assert is_text(keys("see it all 1/state"), here)
    assert is_text(keys("p/state:failed\r"), here), "what would be done before it is not"


def test_a_text_that_does_nothing_is_nobodys_affair() -> None:
    assert not is_text(keys("zzz aaa bbb ooo zzz"), does)


def taken(bursts: Bursts, text: str, now: float) -> Burst | None:
    burst = bursts.of(text, now)
    if burst is not None:
        burst.take(Key(key, None) for key in text)
    bursts.handed_over(now)
    return burst


def test_the_pieces_of_a_long_text_are_one_burst_even_a_single_key_before_the_first_was_looked_at() -> None:
    bursts = Bursts()
    first = taken(bursts, "please retry the", 0.0)
    assert first is not None
    assert taken(bursts, "r", 0.04) is first
    assert taken(bursts, "est of it", 0.9) is first
    first.left_out = first.looked_at = True
    assert taken(bursts, "and", 1.8) is first
    assert taken(bursts, "p", 1.95) is None, "somebody has pressed a key"


def test_what_comes_after_keys_that_were_no_text_is_looked_at_anew() -> None:
    bursts = Bursts()
    macro = taken(bursts, "/state:failed", 0.0)
    assert macro is not None
    macro.looked_at = True
    assert taken(bursts, "please retry them", 0.2) not in {macro, None}
    assert taken(bursts, "pppp", 9.0) is None


def test_a_burst_without_end_is_bounded() -> None:
    bursts = Bursts()
    first = taken(bursts, "x" * MOST_KEYS, 0.0)
    assert taken(bursts, "y" * 10, 0.0) is not first


class Little(InOrder[None]):
    """An application in which one key does nothing, and what follows it was not meant for it either."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[tuple[int, str]] = []
        self.heard: list[str] = []

    def left_out(self, number: int, why: str) -> None:
        self.told.append((number, why))

    def leads_nowhere(self, key: str) -> bool:
        return key == "x"

    def on_key(self, event: Key) -> None:
        self.heard.append(event.key)


async def test_keys_that_came_in_the_same_write_and_have_not_got_here_yet_are_left_out_and_counted() -> None:
    app = Little()
    async with app.run_test() as pilot:
        typed = [Key(key, key) for key in "xabcdefg"]
        Burst().take(typed)
        app.post_message(typed[0])
        await pilot.pause()
        while app.is_typing:
            await pilot.pause()
        assert app.told == [(7, "the key before them does nothing here")]
        for event in [*typed[1:], Key("z", "z")]:
            app.post_message(event)
        while "z" not in app.heard:
            await pilot.pause()
        assert (app.heard, len(app.told)) == (["x", "z"], 1)
