"""The end of what attempts write, on the worker: kept in bounds, sent in frames before word of the end."""

from __future__ import annotations

import errno

import pytest
from taskmessenger.core.stimuli import How
from taskmessenger.net import messages as m
from taskmessenger.net.framing import FRAGMENT
from taskmessenger.roles.outbox import Outbox
from taskmessenger.roles.outputs import Outputs, Written, pieces, send_pieces
from taskmessenger.roles.spool import Spool
from taskmessenger.runtimes.base import SUCCEEDED, Ended
from taskmessenger.runtimes.context import OUTPUT_END, Cap

GOOD = Ended(SUCCEEDED, 0.5, b"\xc0")


def test_the_last_bytes_of_each_are_kept_and_the_rest_is_counted() -> None:
    outputs = Outputs(most=10)
    starts = [outputs.hear(1, 1, b"%02d" % n) for n in range(50)]
    assert starts == list(range(0, 100, 2))
    assert outputs.take(1, 1) == Written(90, b"4546474849")
    assert outputs.take(1, 1) is None
    assert not outputs.by_task


def test_a_huge_piece_takes_no_more_room_than_a_small_one() -> None:
    outputs = Outputs(most=10)
    outputs.hear(1, 1, b"x" * 1_000_000 + b"end")
    assert outputs._total <= 20
    assert outputs.take(1, 1) == Written(999_993, b"xxxxxxxend")


def test_another_attempt_begins_anew() -> None:
    outputs = Outputs(most=10)
    outputs.hear(1, 1, b"first")
    outputs.hear(1, 2, b"second")
    assert outputs.take(1, 1) is None
    assert outputs.take(1, 2) == Written(0, b"second")
    assert outputs._total == 0


def test_all_together_have_a_bound_and_who_was_silent_longest_pays() -> None:
    outputs = Outputs(most=10, in_all=25)
    for task in (1, 2, 3):
        outputs.hear(task, 1, b"0123456789")
    assert outputs._total <= 25
    assert [outputs.take(task, 1) for task in (1, 2, 3)] == [
        Written(10, b""), Written(0, b"0123456789"), Written(0, b"0123456789"),
    ]  # fmt: skip


@pytest.mark.parametrize("size", [0, 1, FRAGMENT // 2, FRAGMENT, 3 * FRAGMENT + 7])
def test_pieces_fit_into_frames_and_lie_one_after_the_other(size) -> None:
    said: list[m.Message] = []
    data = bytes(n % 251 for n in range(size))
    send_pieces(
        said.append, [*pieces(7, 2, Written(5, data)), *pieces(2**62, 2**62, Written(2**62, b"x" * 40))]
    )
    assert all(len(m.pack(message)) <= FRAGMENT for message in said)
    sent = [piece for message in said for piece in message.pieces if piece[0] == 7]
    assert b"".join(piece[3] for piece in sent) == data
    assert [piece[2] for piece in sent] == [5 + n * (FRAGMENT // 2) for n in range(len(sent))]
    assert sent


@pytest.fixture
def spool(tmp_path):
    return Spool(tmp_path / "spool", 1_000)


def an_outbox(spool) -> tuple[Outbox, list[m.Message]]:
    outbox, said = Outbox(spool), []
    outbox.send = said.append
    return outbox, said


def test_what_was_written_is_said_before_the_end_and_survives_the_worker(spool) -> None:
    outbox, said = an_outbox(spool)
    outbox.outputs.hear(1, 1, b"words")
    outbox.ended(1, 1, GOOD)
    outbox.ended(2, 1, GOOD)
    outbox.flush()
    assert said == [m.Output([(1, 1, 0, b"words")]), m.Finished([1, 2], [1, 1], [b"\xc0"] * 2, [0.5] * 2)]
    again, said = an_outbox(Spool(spool._folder, 1_000))
    again.resume([], [])
    assert [type(message) for message in said] == [m.Holding, m.Output, m.Finished]


def test_who_wrote_nothing_sends_nothing_of_it(spool) -> None:
    outbox, said = an_outbox(spool)
    outbox.ended(1, 1, GOOD)
    outbox.flush()
    assert [type(message) for message in said] == [m.Finished]


def test_what_is_given_back_says_what_it_wrote(spool) -> None:
    outbox, said = an_outbox(spool)
    outbox.outputs.hear(1, 1, b"words")
    outbox.released([(1, 1), (2, 1)])
    outbox.flush()
    released = [(task, 1, int(How.RELEASED), 0.0, None) for task in (1, 2)]
    assert said == [m.Output([(1, 1, 0, b"words")]), m.Broke(released)]


def test_a_spool_that_is_half_full_takes_outcomes_and_not_what_was_written(spool) -> None:
    outbox, said = an_outbox(spool)
    outbox.outputs.hear(1, 1, b"x" * 600)
    outbox.ended(1, 1, GOOD)
    outbox.keep()
    outbox.outputs.hear(2, 1, b"words")
    outbox.ended(2, 1, GOOD)
    outbox.flush()
    (output,) = [message for message in said if isinstance(message, m.Output)]
    assert output.pieces == [(1, 1, 0, b"x" * 600), (2, 1, 5, b"")]
    assert len(spool) == 2


def test_a_disk_without_room_for_output_may_have_some_for_outcomes(spool, monkeypatch) -> None:
    outbox, said = an_outbox(spool)
    add = spool.add

    def full(outcomes):
        if any(one.output and one.output[1] for one in outcomes):
            raise OSError(errno.ENOSPC, "no space")
        return add(outcomes)

    monkeypatch.setattr(spool, "add", full)
    outbox.outputs.hear(1, 1, b"words")
    outbox.ended(1, 1, GOOD)
    outbox.flush()
    assert said[0] == m.Output([(1, 1, 5, b"")])
    assert spool.keys == [(1, 1)]


def test_beyond_a_cap_the_end_is_kept_and_what_lies_between_is_counted() -> None:
    cap = Cap(100)
    passed = b"".join(cap.take(b"%09d\n" % n) for n in range(100_000))
    rest = cap.rest()
    assert passed == b"".join(b"%09d\n" % n for n in range(10))
    mark, _, end = rest.partition(b"here]\n")
    assert len(end) == OUTPUT_END
    assert end.endswith(b"000099999\n")
    assert f"{1_000_000 - 100 - OUTPUT_END:,} bytes".encode() in mark
    assert cap.rest() == b""


def test_a_cap_that_is_hardly_passed_leaves_nothing_out() -> None:
    cap = Cap(100)
    assert cap.take(b"x" * 100) + cap.take(b"y" * 50) == b"x" * 100
    assert cap.rest() == b"y" * 50
