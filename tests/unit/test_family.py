"""Families of processes: who descends from whom, who carries a mark, and who may never be touched."""

import os
import signal
import subprocess
import sys

import pytest
from taskmessenger.runtimes import family

from tests.support.processes import until
from tests.support.runtimes import is_running

linux = pytest.mark.skipif(not family.LINUX, reason="reads /proc")


@pytest.fixture
def tree():
    """A shell and what it has started: two sleeps, one of them below another shell."""
    command = "sleep 100 & sh -c 'sleep 100 & echo $$ $!; wait' & echo $!; wait"
    with subprocess.Popen(["sh", "-c", command], stdout=subprocess.PIPE, text=True) as shell:
        assert shell.stdout is not None
        inner = {
            int(number)
            for line in (shell.stdout.readline(), shell.stdout.readline())
            for number in line.split()
        }
        yield shell.pid, inner
        family.end_all(lambda: family.descendants(shell.pid))
        shell.kill()


def test_all_that_descends_is_found_and_nothing_else(tree):
    shell, inner = tree
    found = family.descendants(shell)
    assert inner < set(found)
    assert len(found) == len(set(found)) == len(inner) + 1
    assert os.getpid() not in found
    assert shell not in found
    assert set(family.children_of(shell)) < set(found)
    assert shell in family.children_of(os.getpid())


def test_systems_that_list_no_children_find_the_same(tree, monkeypatch):
    shell, inner = tree
    there = set(family.descendants(shell))
    parents = family._parents()
    assert parents[os.getpid()] == os.getppid()
    assert parents[shell] == os.getpid()
    monkeypatch.setattr(family, "_LISTS_CHILDREN", False)
    assert set(family.descendants(shell)) == there
    monkeypatch.setattr(family, "LINUX", False)
    assert family._parents()[shell] == os.getpid()
    assert set(family.descendants(shell)) == there
    assert set(family.children_of(shell)) | inner == there
    assert family.marked([1]) == []


def test_generations_below_are_found_however_they_are_listed():
    assert family._below(1, {5: 4, 2: 1, 4: 2, 3: 1, 9: 8, 1: 0}) == [2, 3, 4, 5]
    assert family._below(7, {2: 1}) == []


def test_what_is_ended_is_said_and_is_gone(tree):
    shell, _ = tree
    found = set(family.descendants(shell))
    assert family.end_all(lambda: family.descendants(shell)) == found
    until(lambda: not any(is_running(pid) for pid in found))


def test_nothing_found_is_nothing_ended():
    asked = []
    assert family.end_all(lambda: asked.append(1) or []) == set()
    assert asked == [1]


def test_those_that_come_while_others_are_stopped_are_ended_too(monkeypatch):
    signals = []
    monkeypatch.setattr(family, "_signal", lambda pid, number: signals.append((pid, number)))
    looks = iter([[11], [11, 12], [11, 12, 13], [13]])
    assert family.end_all(lambda: next(looks)) == {11, 12, 13}
    stopped = [pid for pid, number in signals if number == signal.SIGSTOP]
    killed = [pid for pid, number in signals if number == signal.SIGKILL]
    assert stopped == [11, 12, 13]
    assert sorted(killed) == [11, 12, 13]
    assert signals[:3] == [(pid, signal.SIGSTOP) for pid in stopped], (
        "all stand still before the first is killed"
    )


def test_a_family_that_never_stops_growing_is_looked_at_a_bounded_number_of_times(monkeypatch):
    monkeypatch.setattr(family, "_signal", lambda _pid, _number: None)
    looks = []
    family.end_all(lambda: looks.append(1) or [1000 + len(looks)])
    assert len(looks) == family.FREEZE_ROUNDS


@pytest.mark.parametrize("pid", [0, 1, os.getpid()], ids=["group", "first", "own"])
def test_no_signal_ever_goes_to_groups_to_the_first_process_or_to_this_one(pid, monkeypatch):
    monkeypatch.setattr(os, "kill", lambda *words: pytest.fail(f"{words}"))
    family._signal(pid, signal.SIGKILL)


def test_who_is_dead_is_not_there_and_who_belongs_to_others_is(monkeypatch):
    with subprocess.Popen([sys.executable, "-c", ""]) as gone:
        assert family.is_there(gone.pid), "dead and not buried is still there"
        gone.wait()
    assert not family.is_there(gone.pid)
    assert family.is_there(os.getpid())
    family._signal(gone.pid, signal.SIGKILL)

    def forbidden(_pid, _number):
        raise PermissionError

    monkeypatch.setattr(os, "kill", forbidden)
    assert family.is_there(77)
    assert not family._may_signal(77)
    family._signal(77, signal.SIGKILL)


@linux
def test_a_mark_is_inherited_and_found_and_never_the_same_twice():
    mark = family.new_mark()
    assert mark != family.new_mark()
    program = (
        "import os, subprocess, sys\n"
        "from taskmessenger.runtimes.family import marked, put_mark\n"
        f"put_mark({mark})\n"
        "below = subprocess.Popen(['sleep', '100'])\n"
        f"assert marked([{mark}]) == [below.pid], 'all but itself'\n"
        "print(os.getpid(), below.pid, flush=True)\n"
        "sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as marked:
        assert marked.stdout is not None
        pids = [int(number) for number in marked.stdout.readline().split()]
        assert sorted(family.marked([mark, 5])) == sorted(pids)
        assert family.marked([mark - 1]) == []
        assert family.mark_of(pids[1]) == mark
        assert sorted(family.end_all(lambda: family.marked([mark]))) == sorted(pids)
    with pytest.raises(OSError, match="No such file"):
        family.mark_of(pids[0])


def test_a_process_whose_parent_is_another_one_by_now_is_told_so():
    program = (
        "import os, signal\n"
        "from taskmessenger.runtimes.family import die_with_parent\n"
        "print(die_with_parent(signal.SIGTERM, os.getppid()), die_with_parent(signal.SIGTERM, 1 << 22))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "True False\n"
