"""The inside of a child process, in this one: what it answers, where its jobs begin, what they leave."""

import os
import socket
import tempfile
import threading
from pathlib import Path

import msgpack
import pytest
from taskmessenger.runtimes import child
from taskmessenger.runtimes.child import Talk, _exactly, _Server, read_message
from taskmessenger.runtimes.frames import Splitter, frame
from taskmessenger.runtimes.limits import Limits
from taskmessenger.runtimes.loading import Kind


class Order:
    """Stands for what looks after a job whether this process is as it was."""

    def __init__(self, *words, left=0):
        self.words, self.left, self.told = list(words), left, []

    def expect_variables(self):
        self.told.append(dict(os.environ))

    def left_processes(self):
        return self.left

    def restore(self):
        word = self.words.pop(0) if self.words else ""
        if isinstance(word, BaseException):
            raise word
        return word


@pytest.fixture
def place(tmp_path, monkeypatch):
    """The home of a child; what a job changes of this process is put back."""
    monkeypatch.chdir(tmp_path)
    for name in ("TMPDIR", "TM_TASK", "TM_ATTEMPT"):
        monkeypatch.setenv(name, "before")
    monkeypatch.setattr(tempfile, "tempdir", tempfile.gettempdir())
    return tmp_path


def served(handler, *payloads, order=None, directory="", takes_context=False):
    """All that a child says that was given these jobs, with numbers from 7 on, and then hung up on."""
    kind = Kind(
        name="it", runtime="process", handler=handler, is_async=False, takes_context=takes_context, source=""
    )
    ours, theirs = socket.socketpair()
    with ours, theirs:
        for number, payload in enumerate(payloads, 7):
            ours.sendall(frame(msgpack.packb(payload), number, number + 10))
        ours.shutdown(socket.SHUT_WR)
        _Server(theirs, Talk(theirs), kind, Limits(), order or Order(), directory).serve()
        theirs.shutdown(socket.SHUT_WR)
        heard = b""
        while data := ours.recv(1 << 20):
            heard += data
    return list(Splitter().feed(heard))


def done(value, spoiled="", left=""):
    return ["done", msgpack.packb(value), spoiled, left]


def test_one_job_after_the_other_until_the_worker_hangs_up(place):
    assert served(lambda value: value * 2, 1, "a") == [["loaded"], done(2), done("aa")]
    assert not list(place.iterdir())
    assert Path.cwd() == place


def test_a_job_knows_which_task_and_attempt_it_is(place):
    def handle(_value, context):
        return [context.kind, context.task, context.attempt]

    assert served(handle, None, None, takes_context=True)[1:] == [done(["it", 7, 17]), done(["it", 8, 18])]


def test_a_job_that_fails_says_how_and_the_next_one_runs(place):
    loaded, failed, well = served(lambda value: 6 // value, 0, 3)
    assert failed[:3] == ["failed", "failed", "ZeroDivisionError: integer division or modulo by zero"]
    assert "6 // value" in failed[3]
    assert failed[4:] == ["", ""]
    assert (loaded, well) == (["loaded"], done(2))


def test_each_job_begins_in_a_new_directory_that_is_the_place_for_temporary_files(place):
    order = Order()

    def handle(_value):
        with tempfile.NamedTemporaryFile() as file:
            temporary = str(Path(file.name).parent)
        return [
            str(Path.cwd()),
            temporary,
            os.environ["TMPDIR"],
            os.environ["TM_TASK"],
            os.environ["TM_ATTEMPT"],
        ]

    first, second = (str(place / name) for name in "12")
    assert served(handle, None, None, order=order)[1:] == [
        done([first, first, first, "7", "17"]),
        done([second, second, second, "8", "18"]),
    ]
    assert [told["TM_TASK"] for told in order.told] == ["7", "8"], "its own variables are no change of a job"


def test_jobs_begin_where_the_operator_wants_and_have_their_own_place_for_temporary_files(
    place, tmp_path_factory
):
    wanted = tmp_path_factory.mktemp("wanted")
    said = served(lambda _value: [str(Path.cwd()), tempfile.gettempdir()], None, directory=str(wanted))
    assert said[1:] == [done([str(wanted), str(place / "1")])]


def test_what_a_job_leaves_in_its_directory_is_told_and_removed(place):
    def handle(number):
        Path("deep").mkdir()
        for name in range(number):
            Path(f"deep/{name}.txt").write_text("x" * 1234)

    said = served(handle, 0, 1, child.MAX_TOLD, child.MAX_TOLD + 2)
    words = [answer[3] for answer in said[1:]]
    assert words[0] == "", "an empty folder is nothing to tell of"
    assert words[1] == "deep/0.txt (1,234 bytes)"
    assert words[2].count("bytes") == child.MAX_TOLD
    assert "more" not in words[2]
    assert words[3].count("bytes") == child.MAX_TOLD
    assert words[3].endswith(" and 2 more")
    assert not list(place.iterdir())


def test_words_on_what_is_left_are_short_and_printable(place):
    def handle(_value):
        for name in range(4):
            Path(f"{name}\x1b" + 200 * "n").touch()

    [_, (_, _, _, words)] = served(handle, None)
    assert "\x1b" not in words
    assert len(words.encode()) <= child.LEFT_BYTES


@pytest.mark.parametrize(
    ("order", "why"),
    [
        (Order("", "it changed the umask"), "it changed the umask"),
        (Order("", ValueError("x")), "it cannot be put in order: ValueError"),
        (Order("", KeyboardInterrupt()), "it cannot be put in order: KeyboardInterrupt"),
    ],
)
def test_a_process_that_a_job_left_unfit_says_why_and_takes_no_other(place, order, why):
    assert served(lambda value: value, 1, 2, 3, order=order) == [["loaded"], done(1), done(2, spoiled=why)]


@pytest.mark.parametrize(
    ("left", "words"), [(1, "it left 1 process running"), (2, "it left 2 processes running")]
)
def test_processes_that_a_job_left_count_more_than_what_else_it_did(place, left, words):
    order = Order("it changed the umask", left=left)
    assert served(lambda value: value, 1, 2, order=order) == [["loaded"], done(1, spoiled=words)]


def test_a_job_for_which_there_is_no_directory_is_a_fault_of_the_worker(place):
    (place / "1").write_text("in the way")
    [_, answer] = served(lambda value: value, 1, 2)
    why = "no working directory for `it`: File exists"
    assert answer == ["failed", "worker_fault", why, "", why, ""]


def test_a_directory_that_a_job_removed_itself_is_nothing_left(place):
    assert served(lambda _value: Path.cwd().rmdir(), None)[1:] == [done(None)]


def test_what_a_job_tells_comes_before_its_end(place):
    def handle(value, context):
        context.progress(0.5, f"half of {value}")
        context.write("printed")

    said = served(handle, 1, 2, takes_context=True)
    kinds = [one[0] for one in said]
    assert kinds[0] == "loaded"
    assert kinds[-1] == "done"
    assert kinds.count("done") == 2
    first = said[: kinds.index("done")]
    assert b"".join(one[3] for one in first if one[0] == "report") == b"printed"
    assert [one[1:3] for one in first if one[0] == "report" and one[1] is not None] == [[0.5, "half of 1"]]


def test_a_message_that_comes_in_pieces_is_whole_and_half_of_one_is_none():
    ours, theirs = socket.socketpair()
    with theirs:
        whole = frame("x" * 100_000)
        sending = threading.Thread(target=lambda: (ours.sendall(whole + whole[:50]), ours.close()))
        sending.start()
        assert read_message(theirs) == whole[4:]
        assert read_message(theirs) is None
        sending.join()
    assert _exactly(theirs, 0) == b""


def test_a_worker_that_was_killed_has_hung_up():
    ours, theirs = socket.socketpair()
    with theirs:
        theirs.sendall(b"unread: closing now resets the connection")
        ours.close()
        assert read_message(theirs) is None


def test_a_talk_has_a_thread_of_its_own_from_the_first_report_on():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        talk = Talk(theirs)
        assert talk.threads() == 0
        talk.flush()
        talk.post(None, "", b"a")
        assert talk.threads() == 1
        [report] = Splitter().feed(ours.recv(1000))
        assert report == ["report", None, "", b"a"]
