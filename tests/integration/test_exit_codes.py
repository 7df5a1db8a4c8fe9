"""With which code each command ends: 0 done, 1 failed, 2 usage, 3 not found, 4 refused, 7 conflict.

All are typed into one process, at a manager of two tasks: task 1 was cancelled, task 2 waits for ever.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from taskmessenger.cli import main as m
from taskmessenger.core.errors import TaskMessengerError

from tests.support.processes import Fleet, fleet

Run = Callable[[str], tuple[int, str, str]]
SETTINGS = '{"tasks": {"max_pending": 3}, "leases": {"ttl": 30}}'
TIMES = {
    "submit echo x --timeout": "2",
    "submit echo x --delay": "0.0",
    "invite --ttl": "60",
    "worker drain nobody --deadline": "0",
    "watch --every": "",
    "discover --seconds": "",
    "audit --since": "2h",
    "bench --stream-seconds": "",
}
"""Every option that takes a time, and one that makes sense, where it can be tried here."""
ZERO_IS_FINE = {"submit echo x --delay", "worker drain nobody --deadline"}
CODES = """
0 pool status
0 task ls
0 task show 2
0 task result 3 --help
0 invite
0 audit --verify
1 task result 1
1 task result 2
2 submit
2 submit echo --json-payload {
2 submit echo --payload-file nofile
2 submit echo --jsonl nofile
2 submit echo --count 0
2 submit echo x --json-payload 1
2 task cancel
2 task cancel --filter bogus:1 --yes
2 task cancel --filter kind:echo
2 task show x
2 task ls --state bogus
2 task ls --limit 0
2 task priority 500 2
2 worker limit nobody x
2 invite --uses 0
2 invite --uses 99999
2 invite --role king
2 pool pause bogus
2 config show --config nofile
2 config show --config nofile --role worker
2 --role manager --no-ui --listen nowhere
2 --role king
2 --attach
2 demo --files nofile
2 watch --level odd
2 watch --attach nowhere
2 nonsense
3 task show 999
3 task result 999
3 task cancel 999
3 task cancel 1 999
3 task retry 999
3 task resubmit 999
3 task priority 5 999
3 worker pause nobody
3 worker resume nobody
3 worker drain nobody
3 worker limit nobody 1
3 worker revoke nobody --yes
3 worker approve nobody
3 invite revoke ZZZ
3 replay nofile
4 submit echo x --count 9
4 join garbage
4 --role worker --no-ui
4 --role worker --no-ui --join garbage
7 task cancel 1
7 task retry 2
7 task priority 5 1
7 submit echo other --key k
7 backup settings.json
7 restore settings.json
7 --role manager --no-ui --listen tcp://127.0.0.1:0
""".strip().splitlines()


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    place = tmp_path_factory.mktemp("codes")
    settings = place / "settings.json"
    settings.write_text(SETTINGS)
    with fleet(place / "fleet") as one:
        one.manager("--config", str(settings))
        assert one.run("submit", "echo", "1").returncode == 0
        assert one.run("submit", "echo", "2", "--key", "k").returncode == 0
        assert one.run("task", "cancel", "1").returncode == 0
        yield one


@pytest.fixture
def run(
    here: Fleet, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Run:
    monkeypatch.setenv("TASKMESSENGER_HOME", str(here.home))
    monkeypatch.chdir(here.root.parent)

    def typed(words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "stdin", io.StringIO())
        monkeypatch.setattr(sys, "argv", ["taskmessenger", *words.split()])
        with pytest.raises(SystemExit) as ended:
            m.main()
        said = capsys.readouterr()
        assert isinstance(ended.value.code, int | None)
        return ended.value.code or 0, said.out, said.err

    return typed


@pytest.mark.parametrize("line", CODES)
def test_every_command_ends_with_the_code_that_says_what_became_of_it(run: Run, line: str) -> None:
    wanted, _, words = line.partition(" ")
    code, _, err = run(words)
    assert code == int(wanted), err
    if code > 1:
        assert err.splitlines()[-1].startswith("error: ")
    assert "Traceback" not in err


@pytest.mark.parametrize(
    "wrong", ["0", "0s", "-1", "-5s", "nan", "inf", "1e400", "9" * 400, "99999d", "soon", ""]
)
@pytest.mark.parametrize("words", TIMES)
def test_a_time_that_makes_no_sense_is_refused_by_every_option(run: Run, words: str, wrong: str) -> None:
    if wrong.startswith("0") and words in ZERO_IS_FINE:
        return
    code, out, err = run(f"{words}={wrong}")
    assert (code, out) == (2, "")
    assert "Invalid value for '--" in err


@pytest.mark.parametrize("words", [words for words, good in TIMES.items() if good])
def test_a_time_that_makes_sense_is_taken(run: Run, words: str) -> None:
    assert run(f"{words}={TIMES[words]}")[0] in {0, 3}


def test_each_kind_of_error_has_one_of_the_codes() -> None:
    todo = [TaskMessengerError]
    while todo:
        error = todo.pop()
        assert error.exit_code in range(1, 8), error
        todo += error.__subclasses__()
