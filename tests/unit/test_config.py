"""Settings: which one wins, and what is said about one that cannot be used."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from taskmessenger.config import Loaded, ManagerConfig, WorkerConfig, load, overlooked
from taskmessenger.config.load import leaves
from taskmessenger.config.source import strip_comments, variable
from taskmessenger.core.errors import ConfigError
from taskmessenger.paths import Paths, under

SAMPLES = Path(__file__).parents[2] / "config"


@pytest.fixture
def places(tmp_path: Path) -> Paths:
    return under(tmp_path)


def write(places: Paths, text: str) -> Path:
    file = places.config_file("manager")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")
    return file


def manager(places: Paths, text: str = "", environ: dict[str, str] | None = None, **flags: object) -> Loaded:
    if text:
        write(places, text)
    return load("manager", {k.replace("__", "."): v for k, v in flags.items()}, environ or {}, places)


def refusal(places: Paths, text: str = "", environ: dict[str, str] | None = None, **flags: object) -> str:
    with pytest.raises(ConfigError) as caught:
        manager(places, text, environ, **flags)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# --- which one wins


def test_without_anything_the_defaults_hold(places: Paths) -> None:
    found = load("worker", {}, {}, places)
    assert found.config == WorkerConfig()
    assert set(found.origins.values()) == {"default"}
    assert not found.found


def test_flags_beat_environment_beats_file_beats_default(places: Paths) -> None:
    text = '{"leases": {"ttl": 100, "heartbeat": 10, "dead_after": 40}}'
    environ = {"TASKMESSENGER_LEASES_TTL": "200", "TASKMESSENGER_LEASES_HEARTBEAT": "11"}
    found = manager(places, text, environ, leases__ttl=300.0)
    assert found.config.leases == ManagerConfig().leases.__class__(ttl=300, heartbeat=11, dead_after=40)
    assert found.origins["leases.ttl"] == "command line"
    assert found.origins["leases.heartbeat"] == "environment TASKMESSENGER_LEASES_HEARTBEAT"
    assert found.origins["leases.dead_after"] == f"file {places.config_file('manager')}"
    assert found.origins["tasks.aging"] == "default"


@pytest.mark.parametrize("absent", [None, ()])
def test_a_flag_that_was_not_given_beats_nothing(places: Paths, absent: object) -> None:
    assert manager(places, transport__listen=absent).origins["transport.listen"] == "default"


def test_an_empty_variable_beats_nothing(places: Paths) -> None:
    assert manager(places, environ={"TASKMESSENGER_NAME": ""}).origins["name"] == "default"


@pytest.mark.parametrize(
    ("name", "text", "key", "value"),
    [
        ("CAPACITY", "8", "capacity", 8),
        ("KINDS_ALLOW", "hash, text.*", "kinds.allow", ("hash", "text.*")),
        ("KINDS_FREE_STUCK_SLOTS", "yes", "kinds.free_stuck_slots", True),
        ("KINDS_RUNTIMES", "hash=process,wait=async", "kinds.runtimes", {"hash": "process", "wait": "async"}),
        ("LIMITS_FILES", "none", "limits.files", None),
        ("LIMITS_MEMORY_MB", "512", "limits.memory_mb", 512),
        ("LABELS", "rack=3, gpu=H200", "labels", {"rack": "3", "gpu": "H200"}),
        ("RECONNECT_FIRST", "0.25", "reconnect.first", 0.25),
        ("LOGGING_LEVEL", "debug", "logging.level", "debug"),
    ],
)
def test_the_environment_spells_every_sort_of_value(
    places: Paths, name: str, text: str, key: str, value: object
) -> None:
    found = load("worker", {}, {f"TASKMESSENGER_{name}": text}, places)
    got: object = found.config
    for part in key.split("."):
        got = getattr(got, part)
    assert got == value
    assert found.origins[key] == f"environment TASKMESSENGER_{name}"


@pytest.mark.parametrize("model", [ManagerConfig, WorkerConfig])
def test_every_key_has_a_variable_of_its_own(model: type) -> None:
    names = [variable(key) for key in leaves(model)]
    assert len(set(names)) == len(names)
    assert "TASKMESSENGER_HOME" not in names


def test_a_variable_that_sets_nothing_is_pointed_out() -> None:
    environ = {
        "TASKMESSENGER_LEASES_TLL": "3",
        "TASKMESSENGER_HOME": "x",
        "TASKMESSENGER_CAPACITY": "1",
        "PATH": "",
    }
    assert list(overlooked(environ)) == [
        "environment: TASKMESSENGER_LEASES_TLL sets nothing (did you mean TASKMESSENGER_LEASES_TTL?)"
    ]


# --- samples and defaults


@pytest.mark.parametrize(("role", "model"), [("manager", ManagerConfig), ("worker", WorkerConfig)])
def test_the_sample_names_every_key_with_its_default(role: str, model: type, places: Paths) -> None:
    found = load(role, {}, {}, places, file=SAMPLES / f"config-{role}.json")  # type: ignore[call-overload]
    assert found.config == model()
    assert set(found.origins.values()) == {f"file {SAMPLES / f'config-{role}.json'}"}


@pytest.mark.parametrize("model", [ManagerConfig, WorkerConfig])
def test_the_defaults_keep_their_own_rules(model: type) -> None:
    assert msgspec.convert(msgspec.to_builtins(model()), model) == model()


def test_an_empty_name_is_the_name_of_the_host(places: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: "büro 7.local\x1b")
    assert manager(places).config.name == "b-ro-7.local-"


def test_no_capacity_means_one_slot_to_each_processor() -> None:
    assert WorkerConfig(capacity=3).slots == 3
    assert WorkerConfig().slots >= 1


# --- what is said about a setting that cannot be used


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"transport": {"lisen": []}}', "transport: unknown key `lisen` (did you mean `listen`?)"),
        (
            '{"tasks": {"backoff": {"frist": 1}}}',
            "tasks.backoff: unknown key `frist` (did you mean `first`?)",
        ),
        ('{"listen": []}', "unknown key `listen` (did you mean `transport.listen`?)"),
        ('{"zzz": 1}', "unknown key `zzz`"),
        ('{"a\\u001b": 1}', "unknown key `a\\x1b`"),
        ('{"leases": 3}', "leases: wants a group of keys in {...}"),
        ('{"leases": {"ttl": "30"}}', "leases.ttl: wants a number, not text"),
        ('{"leases": {"ttl": -1}}', "leases.ttl: wants a number above 0"),
        ('{"leases": {"ttl": 9}}', "leases: ttl must be at least two heartbeats (10 s), not 9"),
        ('{"leases": {"dead_after": 5}}', "leases: dead_after must be at least two heartbeats (10 s), not 5"),
        ('{"leases": {"dead_after": 31}}', "leases: dead_after (31 s) must not exceed ttl (30 s)"),
        (
            '{"tasks": {"max_payload": 67108865}}',
            "tasks.max_payload: wants a whole number of at most 67108864",
        ),
        (
            '{"zerotier": {"network": "existing"}}',
            "zerotier: network_id wants 16 hex digits when network is `existing`, and nothing otherwise",
        ),
        (
            '{"zerotier": {"advertise": ["manager:7712"]}}',
            "zerotier: advertise wants UDP endpoints such as `203.0.113.7:7712`, not `manager:7712`",
        ),
        ('{"transport": {"listen": "tcp://a:1"}}', "transport.listen: wants a list in [...], not text"),
        ('{"transport": {"listen": [1]}}', "transport.listen: wants text, not a whole number"),
        (
            '{"transport": {"listen": ["a:1"]}}',
            "transport: listen wants addresses such as `tcp://127.0.0.1:7711`, not `a:1`",
        ),
        ('{"logging": {"file": 1}}', "logging.file: wants true or false, not a whole number"),
        (
            '{"logging": {"level": "infos"}}',
            "logging.level: wants one of debug, info, warning, error, not `infos` (did you mean `info`?)",
        ),
        (
            '{"name": "two words"}',
            "name: wants letters, digits, `.`, `_` and `-`, at most 64, the first a letter or digit",
        ),
        ("[]", "must hold one group of keys in {...}"),
        ('{"name": "a", "name": "b"}', "key `name` is there twice in one group; remove one"),
        ('{"retention": {"days": Infinity}}', "Infinity is not a number that can be used"),
        ('{\n  "name" "a"\n}', "line 2, column 10: Expecting ':' delimiter"),
        ('{\n  /* one\n two */ "name" "a"\n}', "line 3, column 16: Expecting ':' delimiter"),
        ('{\n "name": "a" /* open\n}', "line 2, column 14: this comment is never closed; add `*/`"),
        ("[" * 100_000, "is nested too deeply"),
    ],
)
def test_a_wrong_file_is_named_with_the_key_and_what_is_wanted(places: Paths, text: str, said: str) -> None:
    assert refusal(places, text) == f"{places.config_file('manager')}: {said}"


def test_a_wrong_variable_is_named(places: Paths) -> None:
    said = refusal(places, environ={"TASKMESSENGER_LEASES_TTL": "soon"})
    assert said == "TASKMESSENGER_LEASES_TTL: wants a number (it is `soon`)"


def test_a_variable_that_does_not_fit_the_file_is_named(places: Paths) -> None:
    said = refusal(places, '{"leases": {"heartbeat": 14}}', {"TASKMESSENGER_LEASES_DEAD_AFTER": "20"})
    assert said.startswith(
        "TASKMESSENGER_LEASES_DEAD_AFTER: leases: dead_after must be at least two heartbeats"
    )


def test_a_wrong_flag_is_named(places: Paths) -> None:
    said = refusal(places, name="two words")
    assert said.startswith("command line: name: wants letters")


def test_an_unknown_flag_is_a_mistake_of_the_program(places: Paths) -> None:
    with pytest.raises(KeyError):
        manager(places, nothing=1)


def test_a_file_that_was_named_must_be_there(places: Paths, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no such file"):
        load("manager", {}, {}, places, file=tmp_path / "none.json")


def test_a_file_that_cannot_be_read_names_the_cure(places: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    file = write(places, "{}")

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)
    assert f"chmod u+r {file}" in refusal(places)


def test_a_directory_is_no_configuration(places: Paths) -> None:
    places.config_file("manager").mkdir(parents=True)
    assert "cannot be read (Is a directory)" in refusal(places)


def test_a_file_that_is_no_text_names_the_line(places: Paths) -> None:
    write(places, "{}").write_bytes(b'{\n"name": "\xff"}')
    assert "is not UTF-8 (byte 0xff in line 2; is it Latin-1?): save it as UTF-8" in refusal(places)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32", "utf-16-le", "utf-16-be", "utf-32-be"])
def test_a_file_in_another_encoding_is_read_or_named(places: Paths, encoding: str) -> None:
    write(places, "{}").write_bytes('// grün\n{"name": "green"}'.encode(encoding))
    if encoding[-3:] in {"-le", "-be"}:
        assert "looks like UTF-16 or UTF-32 without a byte order mark: save it as UTF-8" in refusal(places)
    else:
        assert load("manager", {}, {}, places).config.name == "green"


@pytest.mark.parametrize("mode", [0o660, 0o602])
def test_a_file_that_others_may_write_is_refused_with_the_cure(places: Paths, mode: int) -> None:
    file = write(places, "{}")
    file.chmod(mode)
    assert f"{file}: " in refusal(places)
    assert f"may write it: run `chmod go-w {file}`" in refusal(places)


def test_a_file_in_a_folder_that_others_may_write_in_is_refused_with_the_cure(places: Paths) -> None:
    file = write(places, "{}")
    file.parent.chmod(0o775)
    assert f"{file.parent}: its group may write in it" in refusal(places)


def test_a_pipe_that_nobody_writes_to_is_not_waited_for(places: Paths) -> None:
    file = write(places, "{}")
    file.unlink()
    os.mkfifo(file, 0o600)
    assert str(file) in refusal(places)


def test_a_huge_file_is_not_read(places: Paths) -> None:
    assert "is no configuration file" in refusal(places, " " * (1024 * 1024 + 1))


# --- comments


def test_comments_are_blanks_and_strings_are_left_alone(places: Paths) -> None:
    text = '\ufeff// first\n{ "transport": { /* two\nlines */ "listen": ["tcp://a:1"] } } // last'
    assert manager(places, text).config.transport.listen == ("tcp://a:1",)


@pytest.mark.parametrize("text", ['"/* no */ // no"', r'"a\"// no"', '"*/"', "1 / 2"])
def test_what_only_looks_like_a_comment_stays(text: str) -> None:
    assert strip_comments(text, "f") == text


@given(st.text(alphabet='ab"\\/*\n ', max_size=40))
def test_no_comment_moves_a_character(text: str) -> None:
    try:
        stripped = strip_comments(text, "f")
    except ConfigError:
        return
    assert len(stripped) == len(text)
    assert [i for i, c in enumerate(stripped) if c == "\n"] == [i for i, c in enumerate(text) if c == "\n"]
