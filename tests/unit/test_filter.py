"""The filter language: what is typed, what it means, and how what is wrong in it is said."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st
from taskmessenger.core.errors import UsageError
from taskmessenger.core.filter import MAX_FILTER, RANGES, Conditions, Range, describe, parse
from taskmessenger.core.filter_complete import complete
from taskmessenger.core.lifecycle import FINAL, TaskState

NOW = 1_800_000_000.0
DAY = 86_400.0
MIDNIGHT = 1_795_305_600.0
"""The first moment of 2026-11-22."""


def test_the_terms_of_a_filter_become_conditions() -> None:
    line = 'kind:hash -state:succeeded worker:w1,w2 attempt>1 submitted<10m run>2s "free text" -boom'
    assert parse(line, NOW) == Conditions(
        kinds=("hash",),
        not_states=(TaskState.SUCCEEDED.value,),
        workers=("w1", "w2"),
        texts=("free text",),
        not_texts=("boom",),
        ranges=(
            Range("attempt", 1, above=True),
            Range("submitted", NOW - 600, above=True),
            Range("run", 2.0, above=True),
        ),
    )


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("", Conditions()),
        ("   ", Conditions()),
        ("needle", Conditions(texts=("needle",))),
        ('"kind:x"', Conditions(texts=("kind:x",))),
        (r'"a \"b\" \\"', Conditions(texts=('a "b" \\',))),
        ("text:a,b", Conditions(texts=("a", "b"))),
        ("KIND:a kind=b", Conditions(kinds=("a", "b"))),
        ('kind:"a b","c,d"', Conditions(kinds=("a b", "c,d"))),
        ("state:timed-out,Failed", Conditions(states=(6, 5))),
        ("-state:ended", Conditions(not_states=tuple(state.value for state in FINAL))),
        ('batch:""', Conditions(batches=("",))),
        ("id:4,5", Conditions(ids=(4, 5))),
        ("id:4..5", Conditions(ranges=(Range("id", 4, 5),))),
        ("-id:4..", Conditions(ranges=(Range("id", 4, negated=True),))),
        ("priority:-5", Conditions(ranges=(Range("priority", -5, -5),))),
        ("priority:-5..-2", Conditions(ranges=(Range("priority", -5, -2),))),
        ("run<=500ms", Conditions(ranges=(Range("run", high=0.5),))),
        ("run:1m30s..2h", Conditions(ranges=(Range("run", 90.0, 7200.0),))),
        ("run>3", Conditions(ranges=(Range("run", 3.0, above=True),))),
        ("finished>1h", Conditions(ranges=(Range("finished", high=NOW - 3600, below=True),))),
        ("finished:1h", Conditions(ranges=(Range("finished", NOW - 3600),))),
        ("submitted:2h..1h", Conditions(ranges=(Range("submitted", NOW - 7200, NOW - 3600),))),
        ("submitted:1h..2h", Conditions(ranges=(Range("submitted", NOW - 7200, NOW - 3600),))),
        ("submitted>=2026-11-22", Conditions(ranges=(Range("submitted", MIDNIGHT),))),
        ("submitted<2026-11-22", Conditions(ranges=(Range("submitted", high=MIDNIGHT, below=True),))),
        (
            "submitted<2026-11-22T01:00+01:00",
            Conditions(ranges=(Range("submitted", high=MIDNIGHT, below=True),)),
        ),
        ("submitted>@12.5", Conditions(ranges=(Range("submitted", 12.5, above=True),))),
        ("error:space", Conditions(errors=("space",))),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_typed_means_what_it_says(line: str, expected: Conditions) -> None:
    assert parse(line, NOW) == expected


def test_a_day_is_all_of_it_and_nothing_of_the_next() -> None:
    (day,) = parse("submitted:2026-11-22", NOW).ranges
    assert day.low == MIDNIGHT
    assert day.high is not None
    assert MIDNIGHT + DAY - 1e-3 < day.high < MIDNIGHT + DAY
    (after,) = parse("submitted>2026-11-22", NOW).ranges
    assert (after.low, after.above) == (day.high, True)


@pytest.mark.parametrize(
    ("line", "column", "says"),
    [
        ("kidn:a", 1, "did you mean `kind`"),
        ("x -foo:1", 4, "fields are"),
        ("kind:", 6, "no value"),
        ("kind:a, x", 8, "no value"),
        ("kind:a,", 8, "no value"),
        ('kind:a,""', 6, "no value"),
        ('error:"",a', 7, "no value"),
        ("kind:a,,b", 8, "no value"),
        ("a  state:fialed", 10, "did you mean `failed`"),
        ("state:x", 7, "states are"),
        ('"abc', 1, "not closed"),
        ('ab"c"', 3, "middle"),
        ('"a"b', 4, "follows"),
        ("run>fast", 5, "30s"),
        ("run>1s,2s", 8, "no list"),
        ("run>1s..2s", 5, "two ends"),
        ("run:2s..1s", 5, "turn it round"),
        ("run:..", 5, "no end"),
        ("attempt>1.5", 9, "whole number"),
        ("id:x", 4, "whole number"),
        ("submitted<yesterday", 11, "2026-11-22"),
        ("kind<a", 5, "cannot be compared"),
        ("-", 2, "leave out"),
        ("a -", 4, "leave out"),
        (",", 1, "comma"),
        ('kind:""', 6, "no value"),
        ('""', 1, "nothing to look for"),
        ("run>1e400s", 5, ""),
        ("id:" + "9" * 30, 4, "whole number"),
    ],
)
def test_what_is_wrong_is_named_with_its_column_and_a_cure(line: str, column: int, says: str) -> None:
    with pytest.raises(UsageError, match=f"^filter, column {column}: ") as raised:
        parse(line, NOW)
    assert says in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_filter_without_end_is_refused() -> None:
    with pytest.raises(UsageError, match="longer than"):
        parse("x" * (MAX_FILTER + 1), NOW)


@given(st.text(max_size=60))
def test_whatever_is_typed_is_read_or_refused_in_one_line(line: str) -> None:
    try:
        found = parse(line, NOW)
    except UsageError as error:
        assert "\n" not in str(error)  # noqa: PT017 - most lines raise nothing
    else:
        assert parse(describe(found), 0.0) == found


words = st.text(string.printable + "äß\u200b\u202e", min_size=1, max_size=8)
lists = st.lists(words, max_size=3, unique=True).map(tuple)
optional = st.lists(st.one_of(words, st.just("")), max_size=3, unique=True).map(tuple)
states = st.lists(st.sampled_from([s.value for s in TaskState]), max_size=3, unique=True).map(tuple)
ids = st.lists(st.integers(1, 2**53), max_size=3, unique=True).map(tuple)
whole, moments = st.integers(-(2**53), 2**53), st.floats(-1e12, 1e12)


@st.composite
def a_range(draw: st.DrawFn) -> Range:
    name = draw(st.sampled_from(RANGES))
    bound = {"run": st.floats(0, 1e9), "submitted": moments, "finished": moments}.get(name, whole)
    low, high = sorted((draw(bound), draw(bound)))
    sides = draw(st.sampled_from(["low", "high", "both"]))
    return Range(
        name,
        low if sides != "high" else None,
        high if sides != "low" else None,
        above=sides == "low" and draw(st.booleans()),
        below=sides == "high" and draw(st.booleans()),
        negated=draw(st.booleans()),
    )


conditions = st.builds(
    Conditions, states=states, kinds=lists, workers=optional, batches=optional, keys=optional, ids=ids,
    errors=lists, texts=lists, not_states=states, not_kinds=lists, not_workers=optional,
    not_batches=optional, not_keys=optional, not_ids=ids, not_errors=lists, not_texts=lists,
    ranges=st.lists(a_range(), max_size=3).map(tuple),
)  # fmt: skip


@given(conditions)
def test_what_is_described_is_read_again_as_it_was(asked: Conditions) -> None:
    line = describe(asked)
    if len(line) <= MAX_FILTER:
        assert parse(line, 0.0) == asked


@pytest.mark.parametrize(
    ("line", "start", "first"),
    [
        ("ki", 0, "kind:"),
        ("kind:a -st", 8, "state:"),
        ("state:f", 6, "failed"),
        ("state:failed,ti", 13, "timed_out"),
        ("-kind:ha", 6, "hash"),
        ("worker:", 7, "w1"),
        ("submitted<", 10, "10m"),
        ("", 0, "kind:"),
    ],
)
def test_what_could_come_next_is_offered(line: str, start: int, first: str) -> None:
    where, offered = complete(line, len(line), {"kind": ("echo", "hash"), "worker": ("w1",)})
    assert (where, offered[0]) == (start, first)


@pytest.mark.parametrize("line", ['"kin', "kind:hash", "zzz", "key:"])
def test_nothing_is_offered_where_nothing_fits(line: str) -> None:
    assert complete(line, len(line), {"kind": ("hash",)})[1] == []
