"""Results: one value each, within the limit; those that are not end their attempts, and no others."""

from __future__ import annotations

import msgspec
import pytest
from taskmessenger.roles.deliver import read_error
from taskmessenger.roles.results import bad_results, without

NIL = b"\xc0"
GOOD = {
    "nil": NIL,
    "text": b"\xa5hello",
    "a list of lists": b"\x91" * 60 + NIL,
    "bytes": b"\xc4\x03abc",
    "a map": msgspec.msgpack.encode({"a": [1, 2.5, None, "x"]}),
}
BAD = {
    "nothing": b"",
    "half a list": b"\x91",
    "two values": NIL + NIL,
    "no msgpack": b"\xc1",
    "a text that ends too soon": b"\xd9\xff",
    "nested without end": b"\x91" * 100_000 + NIL,
    "maps without end": b"\x81\x01" * 100_000 + NIL,
    "too large": b"\xc4\xff" + bytes(255),
}


@pytest.mark.parametrize("result", GOOD.values(), ids=GOOD.keys())
def test_one_value_is_a_result(result: bytes) -> None:
    assert not bad_results([result] * 3, 100)


@pytest.mark.parametrize("result", BAD.values(), ids=BAD.keys())
def test_anything_else_is_none_and_costs_no_other_one_its_own(result: bytes) -> None:
    found = bad_results([NIL, result, NIL], 100_001 if b"\x91\x91" in result else 250_000)
    found = found or bad_results([NIL, result, NIL], 100)
    assert list(found) == [1]
    error = read_error(found[1])
    assert error is not None
    assert error.code == "bad_result"
    assert without([10, 11, 12], found) == [10, 12]


def test_pieces_of_values_that_fit_together_are_none() -> None:
    assert list(bad_results([b"\x91", NIL + NIL, NIL], 100)) == [0, 1]


def test_no_results_are_no_bad_ones() -> None:
    assert not bad_results([], 100)
