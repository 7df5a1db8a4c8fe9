"""What jobs report comes joined, in bounded pieces, in order, and never after their end."""

import asyncio

import pytest
from taskmessenger.runtimes import context
from taskmessenger.runtimes import reports as module
from taskmessenger.runtimes.context import OUTPUT_CHUNK
from taskmessenger.runtimes.reports import Reports


@pytest.fixture
def anyio_backend():
    return "asyncio"


@pytest.fixture
def heard():
    return []


@pytest.fixture
def reports(heard):
    return Reports(lambda *report: heard.append(report))


async def test_what_is_told_between_two_rounds_is_joined_and_of_progress_the_newest_stays(reports, heard):
    line = reports.line(7, 2)
    line.send(0.1, "first", b"a")
    line.send(0.2, "second", b"")
    line.write(b"b")
    assert heard == []
    line.close()
    assert heard == [(7, 2, 0.2, "second", b"ab")]


async def test_much_output_comes_in_pieces_and_progress_with_the_first(reports, heard):
    line = reports.line(7, 1)
    output = bytes(range(256)) * (2 * OUTPUT_CHUNK // 256) + b"end"
    line.send(0.5, "note", output)
    line.close()
    assert [len(report[4]) for report in heard] == [OUTPUT_CHUNK, OUTPUT_CHUNK, 3]
    assert b"".join(report[4] for report in heard) == output
    assert [report[2:4] for report in heard] == [(0.5, "note"), (None, ""), (None, "")]


@pytest.mark.parametrize("size", [1, OUTPUT_CHUNK - 1, OUTPUT_CHUNK])
async def test_output_of_up_to_one_piece_comes_in_one(reports, heard, size):
    line = reports.line(7, 1)
    line.write(b"x" * size)
    line.close()
    assert heard == [(7, 1, None, "", b"x" * size)]


async def test_output_beyond_the_cap_lacks_its_middle_and_progress_does_not(reports, heard, monkeypatch):
    monkeypatch.setattr(module, "OUTPUT_CAP", 4)
    monkeypatch.setattr(context, "OUTPUT_END", 3)
    line = reports.line(7, 1)
    for part in (b"abc", b"def", b"ghi"):
        line.write(part)
    line.send(0.9, "on", b"jkl")
    line.close()
    left_out = b"\n[taskmessenger: 5 bytes of output left out here]\n"
    assert heard == [(7, 1, 0.9, "on", b"abcd" + left_out + b"jkl")]


async def test_nothing_comes_after_the_end_and_nothing_from_a_job_that_told_nothing(reports, heard):
    line, other = reports.line(7, 1), reports.line(8, 1)
    other.send(None, "", b"")
    line.close()
    line.send(0.5, "", b"late")
    other.close()
    assert heard == []


async def test_jobs_that_tell_at_once_are_told_apart_and_come_with_the_next_round(
    reports, heard, monkeypatch
):
    monkeypatch.setattr(module, "REPORT_INTERVAL", 0.0)
    one, two = reports.line(1, 1), reports.line(2, 1)
    for _ in range(2):
        await asyncio.to_thread(one.write, b"1")
        two.send(0.25, "two", b"")
        while len(heard) < 2:
            await asyncio.sleep(0.001)
        assert sorted(heard) == [(1, 1, None, "", b"1"), (2, 1, 0.25, "two", b"")]
        heard.clear()
