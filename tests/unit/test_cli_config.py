"""`taskmessenger config`, as it is typed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from taskmessenger.cli.config import config
from taskmessenger.core.errors import ConfigError, Conflict, UsageError
from taskmessenger.paths import find


def run(*words: str) -> Result:
    return CliRunner().invoke(config, list(words))


def write(role: str, text: str) -> Path:
    file = find().config_file(role)  # type: ignore[arg-type]
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


def test_show_prints_every_setting_of_both_roles() -> None:
    shown = run("show").stdout
    assert 'transport.listen = ["tcp://127.0.0.1:7711"]' in shown
    assert "prefetch = 1024" in shown
    assert "limits.memory_mb = 4096" in shown


def test_show_says_where_a_setting_came_from(monkeypatch: pytest.MonkeyPatch) -> None:
    file = write("worker", '{"capacity": 4}')
    monkeypatch.setenv("TASKMESSENGER_PREFETCH", "7")
    lines = run("show", "--origin", "--role", "worker").stdout.splitlines()
    assert lines[0] == f"# worker: {file}"
    found = {line.partition(" = ")[0]: line for line in lines}
    assert found["capacity"].split("  ")[0] == "capacity = 4"
    assert found["capacity"].endswith(f"# file {file}")
    assert found["prefetch"].endswith("# environment TASKMESSENGER_PREFETCH")
    assert found["drain.deadline"].endswith("# default")


def test_show_as_json_is_one_object() -> None:
    write("manager", '{"leases": {"ttl": 60}}')
    shown = json.loads(run("show", "--json", "--origin").stdout)
    assert shown["manager"]["settings"]["leases"]["ttl"] == 60
    assert shown["manager"]["origins"]["leases.ttl"].startswith("file ")
    assert shown["worker"]["found"] is False
    assert "origins" not in json.loads(run("show", "--json").stdout)["worker"]


def test_check_is_content_with_no_files_at_all() -> None:
    result = run("check")
    assert result.exit_code == 0
    assert result.stdout.startswith("manager: defaults; there is no ")


def test_check_speaks_of_every_role_before_it_fails() -> None:
    write("manager", '{"lease": {}}')
    write("worker", "{")
    result = run("check")
    assert isinstance(result.exception, ConfigError)
    assert result.exception.exit_code == 2
    assert "unknown key `lease` (did you mean `leases`?)" in result.stderr
    assert "line 1, column 2" in str(result.exception)
    assert result.stdout == ""


def test_check_as_json_names_the_problems() -> None:
    write("manager", '{"lease": {}}')
    shown = json.loads(run("check", "--json").stdout)
    assert shown["ok"] is False
    assert "unknown key `lease`" in shown["problems"]["manager"]


def test_check_points_out_a_misspelt_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TASKMESSENGER_CAPACTY", "4")
    result = run("check")
    assert result.exit_code == 0
    assert "TASKMESSENGER_CAPACTY sets nothing (did you mean TASKMESSENGER_CAPACITY?)" in result.stderr


def test_another_file_can_be_looked_at(tmp_path: Path) -> None:
    (tmp_path / "mine.json").write_text('{"capacity": 9}')
    shown = run("show", "--role", "worker", "--config", str(tmp_path / "mine.json")).stdout
    assert "capacity = 9" in shown
    assert isinstance(run("show", "--config", "x").exception, UsageError)


def test_paths_prints_places_and_makes_none(own_home: Path) -> None:
    assert f"manager database       {own_home}/data/tm-manager/tasks.db" in run("paths").stdout
    assert json.loads(run("paths", "--json").stdout)["worker_spool"] == f"{own_home}/data/tm-worker/spool"
    assert not own_home.exists()


# ---- init ------------------------------------------------------------------------------------------------


def test_init_writes_files_that_are_as_if_there_were_none_and_says_where() -> None:
    before = json.loads(run("show", "--json").stdout)
    made = run("init")
    assert made.stdout.split() == [str(find().config_file("manager")), str(find().config_file("worker"))]
    assert str(find().kinds) in made.stderr
    assert find().kinds.is_dir()
    for name in ("manager", "worker"):
        file = find().config_file(name)  # type: ignore[arg-type]
        assert file.stat().st_mode & 0o777 == 0o600
        assert "//" in file.read_text()
    after = json.loads(run("show", "--json").stdout)
    assert [after[name]["settings"] for name in after] == [before[name]["settings"] for name in before]
    assert after["worker"]["found"]
    assert run("check").exit_code == 0


def test_init_overwrites_nothing_and_then_writes_nothing_at_all() -> None:
    mine = write("worker", '{"capacity": 4}')
    refused = run("init")
    assert isinstance(refused.exception, Conflict)
    assert str(mine) in str(refused.exception)
    assert mine.read_text() == '{"capacity": 4}'
    assert not find().config_file("manager").exists()
    assert json.loads(run("init", "--role", "manager", "--json").stdout).keys() == {"manager"}


def test_check_tells_every_mistake_in_the_files_of_the_console() -> None:
    folder = find().config / "console"
    (folder / "themes").mkdir(parents=True)
    (folder / "keymap.json").write_text('{"task.cancle": "x", "task.retry": "y", "task.cancel": "y"}')
    (folder / "themes" / "odd.json").write_text("[")
    problems = json.loads(run("check", "--json").stdout)["problems"]
    told = " ".join(why for name, why in problems.items() if name.startswith("console"))
    assert "task.cancle" in told
    assert "task.retry" in told
    assert "odd.json" in told
    assert run("check", "--role", "worker").exit_code == 0
