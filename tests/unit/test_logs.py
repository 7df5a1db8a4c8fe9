"""Logs: one line each, nothing dangerous in them, never too many of them."""

from __future__ import annotations

import io
import json
import logging
import stat
from pathlib import Path

import pytest
from taskmessenger import logs
from taskmessenger.config import Logging
from taskmessenger.core.errors import ConfigError
from taskmessenger.paths import Paths, under

log = logging.getLogger("taskmessenger.roles.manager")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def places(tmp_path: Path) -> Paths:
    return under(tmp_path)


def test_a_machine_gets_one_object_a_line(places: Paths) -> None:
    stream = io.StringIO()
    logs.setup("manager", Logging(), places, stream)
    log.warning("worker %s lost", "w1", extra={"worker_id": "w1", "attempt": 3, "load": float("nan")})
    line = json.loads(stream.getvalue())
    assert line.pop("time").endswith("Z")
    assert line == {
        "level": "warning",
        "logger": "taskmessenger.roles.manager",
        "message": "worker w1 lost",
        "worker_id": "w1",
        "attempt": 3,
        "load": "nan",
    }


def test_a_person_gets_text(places: Paths) -> None:
    stream = Terminal()
    logs.setup("manager", Logging(), places, stream)
    log.info("listening on %s", "tcp://127.0.0.1:7711", extra={"port": 7711})
    assert stream.getvalue().endswith(" info    roles.manager: listening on tcp://127.0.0.1:7711 port=7711\n")


@pytest.mark.parametrize(("wanted", "stream"), [("json", Terminal()), ("text", io.StringIO())])
def test_the_format_that_was_asked_for_wins(places: Paths, wanted: str, stream: io.StringIO) -> None:
    logs.setup("manager", Logging(format=wanted), places, stream)  # type: ignore[arg-type]
    log.info("here")
    assert stream.getvalue().startswith("{") == (wanted == "json")


@pytest.mark.parametrize("wanted", ["json", "text"])
def test_no_peer_can_forge_a_line_or_drive_the_terminal(places: Paths, wanted: str) -> None:
    stream = io.StringIO()
    logs.setup("manager", Logging(format=wanted), places, stream)  # type: ignore[arg-type]
    log.info("says %s", "hi\nerror: forged\x1b[2J\u202e", extra={"note": "a\nb\x7f"})
    shown = stream.getvalue()
    assert shown.count("\n") == 1
    assert not {"\x1b", "\u202e", "\x7f"} & set(shown)


@pytest.mark.parametrize("wanted", ["json", "text"])
def test_what_an_error_quotes_cannot_pass_for_a_line(places: Paths, wanted: str) -> None:
    stream = io.StringIO()
    logs.setup("manager", Logging(format=wanted), places, stream)  # type: ignore[arg-type]
    try:
        raise ValueError("bad\n2026-01-01 forged\x1b[2J")
    except ValueError:
        log.exception("it broke")
    first, *rest = stream.getvalue().splitlines()
    assert "it broke" in first
    assert all(line.startswith("    ") for line in rest)
    assert "\x1b" not in stream.getvalue()


@pytest.mark.parametrize("wanted", ["json", "text"])
def test_invites_never_reach_the_log(places: Paths, wanted: str) -> None:
    stream = io.StringIO()
    invite = "tm1-7F3KQ-9ZD2M-SECRET"
    path = logs.setup("worker", Logging(format=wanted), places, stream)  # type: ignore[arg-type]
    try:
        raise ValueError(invite)
    except ValueError:
        log.exception("joined with %s", invite, extra={"invite": invite})
    assert path is not None
    assert "SECRET" not in stream.getvalue() + path.read_text()


def test_the_file_is_private_and_bounded(places: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "MIB", 1000)
    path = logs.setup("manager", Logging(max_mb=2, keep=3), places, io.StringIO())
    assert path == places.log_file("manager")
    for number in range(200):
        log.info("line %d", number)
    files = list(path.parent.iterdir())
    assert len(files) == 3
    assert sum(file.stat().st_size for file in files) <= 3 * 2000
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert "line 199" in path.read_text()


def test_no_file_when_none_is_wanted(places: Paths, tmp_path: Path) -> None:
    assert logs.setup("manager", Logging(file=False), places, io.StringIO()) is None
    assert not places.state.exists()


def test_a_file_that_cannot_be_written_names_the_cure(places: Paths) -> None:
    places.log_file("manager").mkdir(parents=True)
    places.log_file("manager").parent.chmod(0o700)
    with pytest.raises(ConfigError, match=r"set logging\.file to false"):
        logs.setup("manager", Logging(), places, io.StringIO())


def test_a_level_leaves_out_what_is_below(places: Paths) -> None:
    stream = io.StringIO()
    logs.setup("manager", Logging(level="warning", file=False), places, stream)
    log.info("unheard")
    logging.getLogger("asyncio").info("noise")
    assert not stream.getvalue()


def test_setting_up_again_replaces(places: Paths) -> None:
    first, second = io.StringIO(), io.StringIO()
    logs.setup("manager", Logging(), places, first)
    logs.setup("manager", Logging(file=False), places, second)
    log.info("once")
    assert not first.getvalue()
    assert second.getvalue().count("once") == 1


def test_a_log_that_cannot_be_written_stops_nobody(places: Paths, capsys: pytest.CaptureFixture[str]) -> None:
    stream = io.StringIO()
    logs.setup("manager", Logging(file=False), places, stream)
    stream.close()
    log.info("into the void")
    assert capsys.readouterr().err == ""


def test_arguments_that_do_not_fit_are_shown_all_the_same() -> None:
    record = log.makeRecord(log.name, logging.INFO, "file.py", 1, "only %d", ("text",), None)
    assert "only %d ('text',)" in json.loads(logs.JsonFormatter().format(record))["message"]
