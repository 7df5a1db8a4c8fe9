"""What a worker keeps on disk: found again after a restart, dropped when damaged, gone when acknowledged."""

from __future__ import annotations

import errno
import os
import stat
import struct
import zlib

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from taskmessenger.core.errors import ConfigError
from taskmessenger.roles import spool as spools
from taskmessenger.roles.spool import Kept, Spool

MIB = 1024 * 1024


def kept(task: int, body: bytes | None = b"\xc0", attempt: int = 1, how: int = 0) -> Kept:
    return Kept(task, attempt, how, 0.5, body)


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "spool"


def everything(spool: Spool) -> list[Kept]:
    return spool.read(spool.keys)


def test_what_was_kept_is_found_again_in_order(folder) -> None:
    spool = Spool(folder, MIB)
    outcomes = [kept(1), kept(2, b"x" * 1_000), kept(3, None, how=1)]
    assert spool.add(outcomes[:2]) > 1_000
    spool.add(outcomes[2:])
    assert everything(spool) == outcomes
    spool.close()
    again = Spool(folder, MIB)
    assert everything(again) == outcomes
    assert again.keys == [(1, 1), (2, 1), (3, 1)]
    assert len(again) == 3


def test_what_is_acknowledged_is_gone_and_so_is_its_space(folder) -> None:
    spool = Spool(folder, MIB)
    spool.add([kept(n, b"x" * 1_000) for n in range(1, 11)])
    assert spool.drop([(n, 1) for n in range(1, 10)]) > 9_000
    assert spool.keys == [(10, 1)]
    assert spool.drop([(10, 1)]) > 1_000
    assert spool.drop([(10, 1), (77, 1)]) == 0
    assert len(spool) == 0
    assert sum(path.stat().st_size for path in folder.iterdir()) == 0
    spool.add([kept(11)])
    spool.close()
    assert Spool(folder, MIB).keys == [(11, 1)]


def test_old_segments_go_when_the_last_of_them_is_acknowledged(folder, monkeypatch) -> None:
    monkeypatch.setattr(spools, "SEGMENT_BYTES", 1_000)
    spool = Spool(folder, MIB)
    for n in range(1, 13):
        spool.add([kept(n, b"x" * 300)])
    assert len(list(folder.iterdir())) > 2
    spool.drop([(n, 1) for n in range(1, 12)])
    assert len(list(folder.iterdir())) == 1
    assert everything(spool) == [kept(12, b"x" * 300)]


def test_it_is_full_when_its_bound_is_reached_and_not_for_ever(folder) -> None:
    spool = Spool(folder, 5_000)
    assert not spool.full
    spool.add([kept(1, b"x" * 6_000)])
    assert spool.full
    spool.drop([(1, 1)])
    assert not spool.full


def test_it_is_for_its_owner_alone(folder) -> None:
    spool = Spool(folder, MIB)
    spool.add([kept(1)])
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}


def test_a_disk_that_is_full_keeps_nothing_half(folder, monkeypatch) -> None:
    spool = Spool(folder, MIB)
    spool.add([kept(1)])
    write = os.write

    def half(handle: int, data: bytes) -> int:
        if len(data) > 100:
            return write(handle, bytes(data)[:100])
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", half)
        with pytest.raises(OSError, match="space"):
            spool.add([kept(2, b"y" * 150)])
    assert spool.keys == [(1, 1)]
    spool.add([kept(3)])
    spool.close()
    assert everything(Spool(folder, MIB)) == [kept(1), kept(3)]


def test_after_half_a_record_that_cannot_be_taken_back_a_new_segment_begins(folder, monkeypatch) -> None:
    spool = Spool(folder, MIB)
    spool.add([kept(1)])
    write = os.write

    def half(handle: int, data: bytes) -> int:
        if len(data) > 100:
            return write(handle, bytes(data)[:100])
        raise OSError(errno.EIO, "Input/output error")

    def broken(handle: int, size: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", half)
        patch.setattr(os, "ftruncate", broken)
        with pytest.raises(OSError, match="error"):
            spool.add([kept(2, b"y" * 150)])
    spool.add([kept(3)])
    assert everything(spool) == [kept(1), kept(3)]
    spool.close()
    assert everything(Spool(folder, MIB)) == [kept(1), kept(3)]


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cut=st.integers(0, 400), flip=st.integers(0, 399), damage=st.booleans())
def test_of_a_damaged_segment_what_came_before_the_damage_is_found(tmp_path, cut, flip, damage) -> None:
    folder = tmp_path / f"{cut}-{flip}-{damage}"
    spool = Spool(folder, MIB)
    outcomes = [kept(n, bytes([n]) * 40) for n in range(1, 7)]
    spool.add(outcomes)
    spool.close()
    (path,) = folder.iterdir()
    data = bytearray(path.read_bytes())
    where = flip % len(data) if damage else min(cut, len(data))
    whole = where // (len(data) // 6)
    if damage:
        data[where] ^= 0x10
    else:
        del data[where:]
    path.write_bytes(data)
    assert everything(Spool(folder, MIB)) == outcomes[:whole]


def test_a_new_worker_writes_beside_what_an_old_one_left(folder) -> None:
    first = Spool(folder, MIB)
    first.add([kept(1)])
    first.close()
    (path,) = folder.iterdir()
    path.write_bytes(path.read_bytes() + b"\0\0\1\0half a record")
    second = Spool(folder, MIB)
    second.add([kept(2)])
    second.close()
    assert everything(Spool(folder, MIB)) == [kept(1), kept(2)]


def test_what_is_no_outcome_is_passed_over(folder) -> None:
    spool = Spool(folder, MIB)
    spool.add([kept(1)])
    spool.close()
    (path,) = folder.iterdir()
    odd = b"\xa5hello"
    path.write_bytes(struct.pack("!II", len(odd), zlib.crc32(odd)) + odd + path.read_bytes())
    assert everything(Spool(folder, MIB)) == [kept(1)]


def test_what_cannot_be_read_any_more_is_dropped(folder) -> None:
    spool = Spool(folder, MIB)
    spool.add([kept(1), kept(2)])
    (path,) = folder.iterdir()
    path.unlink()
    assert spool.read([(1, 1), (2, 1)]) == []
    assert spool.keys == []


def test_a_place_that_cannot_be_used_is_named(tmp_path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ConfigError, match="spool cannot be used"):
        Spool(tmp_path / "file" / "spool", MIB)


def test_files_of_others_are_left_alone(folder) -> None:
    folder.mkdir(mode=0o700)
    (folder / "notes.txt").write_text("mine")
    (folder / "²².spool").write_bytes(b"")
    spool = Spool(folder, MIB)
    spool.add([kept(1)])
    assert (folder / "notes.txt").read_text() == "mine"


def test_what_is_acknowledged_takes_no_room_from_what_comes(folder) -> None:
    spool = Spool(folder, 100_000)
    spool.add([kept(1)])
    for n in range(2, 3_000):
        spool.add([kept(n, b"x" * 100)])
        spool.drop([(n, 1)])
    assert not spool.full
    spool.add([kept(n, b"x" * 1_000) for n in range(4_000, 4_100)])
    assert spool.full


def test_a_segment_of_which_little_is_wanted_is_written_anew(folder, monkeypatch) -> None:
    monkeypatch.setattr(spools, "WORTH_BYTES", 10_000)
    spool = Spool(folder, MIB)
    spool.add([kept(1, b"first"), kept(2, b"second")])
    for n in range(3, 503):
        spool.add([kept(n, b"x" * 500)])
        spool.drop([(n, 1)])
    assert sum(path.stat().st_size for path in folder.iterdir()) < 12_000
    assert everything(spool) == [kept(1, b"first"), kept(2, b"second")]
    spool.close()
    again = Spool(folder, MIB)
    assert everything(again)[:2] == [kept(1, b"first"), kept(2, b"second")]
    assert len(again) < 25  # of 500 that were acknowledged hardly any is sent again


def test_a_segment_that_cannot_be_written_anew_stays(folder, monkeypatch, caplog) -> None:
    monkeypatch.setattr(spools, "WORTH_BYTES", 1_000)
    spool = Spool(folder, MIB)
    spool.add([kept(1), *(kept(n, b"x" * 100) for n in range(2, 30))])

    def full(handle: int, data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        spool.drop([(n, 1) for n in range(2, 25)])
        spool.drop([(n, 1) for n in range(25, 30)])
    assert everything(spool) == [kept(1)]
    assert caplog.text.count("cannot be written anew") == 1


def test_a_worker_that_dies_while_it_writes_a_segment_anew_has_each_outcome_once(folder) -> None:
    spool = Spool(folder, MIB)
    spool.add([kept(1), kept(2)])
    spool.close()
    spool._append([spools._encode(kept(1))])
    spool.close()
    again = Spool(folder, MIB)
    assert everything(again) == [kept(1), kept(2)]
    again.drop([(1, 1), (2, 1)])
    assert len(again) == 0
    assert not list(folder.iterdir())


def test_an_outcome_that_is_kept_twice_leaves_nothing_behind(folder) -> None:
    spool = Spool(folder, MIB)
    spool.add([kept(1)])
    spool.add([kept(1, b"x" * 1_000)])
    assert everything(spool) == [kept(1, b"x" * 1_000)]
    spool.drop([(1, 1)])
    assert sum(path.stat().st_size for path in folder.iterdir()) == 0


def test_what_was_damaged_after_it_was_found_is_not_read(folder) -> None:
    spool = Spool(folder, MIB)
    spool.add([kept(1, b"A" * 50), kept(2)])
    (path,) = folder.iterdir()
    data = bytearray(path.read_bytes())
    data[40] ^= 1
    path.write_bytes(data)
    assert spool.read([(1, 1), (2, 1)]) == [kept(2)]
    assert spool.keys == [(2, 1)]


def test_of_a_segment_that_is_written_anew_only_what_is_damaged_is_dropped(
    folder, monkeypatch, caplog
) -> None:
    monkeypatch.setattr(spools, "WORTH_BYTES", 1_000)
    spool = Spool(folder, MIB)
    spool.add([kept(1, b"A" * 50), kept(2, b"second"), *(kept(n, b"x" * 100) for n in range(3, 40))])
    (path,) = folder.iterdir()
    data = bytearray(path.read_bytes())
    data[40] ^= 1
    path.write_bytes(data)
    spool.drop([(n, 1) for n in range(3, 40)])
    assert not path.exists()
    assert "cannot be read at byte" in caplog.text
    assert everything(spool) == [kept(2, b"second")]
    spool.close()
    assert everything(Spool(folder, MIB)) == [kept(2, b"second")]
