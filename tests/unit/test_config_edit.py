"""One setting is put into a configuration file, and the rest of it stays as it is."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import pytest
from taskmessenger.config import load
from taskmessenger.config.edit import changed, meant, write
from taskmessenger.config.load import leaves
from taskmessenger.config.model import ManagerConfig
from taskmessenger.core.errors import ConfigError
from taskmessenger.paths import under

COMMENTED = """// of this machine
{
    "name": "lab", // who we are
    /* how long
       a lease lasts */
    "leases": {
        "ttl": 30,
        "dead_after": 15 // of silence
    }
}
"""


def test_a_value_is_replaced_and_every_comment_stays() -> None:
    assert changed(COMMENTED, "leases.ttl", 60, "f") == COMMENTED.replace('"ttl": 30', '"ttl": 60')


def test_a_setting_that_is_not_there_comes_after_the_last_of_its_group() -> None:
    text = changed(COMMENTED, "leases.heartbeat", 2.5, "f")
    assert '"dead_after": 15, // of silence\n        "heartbeat": 2.5\n    }' in text


def test_a_group_that_is_not_there_is_made() -> None:
    text = changed(COMMENTED, "tasks.backoff.first", 2, "f")
    assert text.endswith(
        '    },\n    "tasks": {\n        "backoff": {\n            "first": 2\n        }\n    }\n}\n'
    )


@pytest.mark.parametrize("text", ["{}", "{\n}\n", " { // nothing yet\n} ", "/* a */{}/* b */"])
def test_an_empty_file_gets_its_first_setting(text: str) -> None:
    assert '"name": "lab"' in changed(text, "name", "lab", "f")


def test_every_setting_of_the_sample_can_be_replaced() -> None:
    sample = resources.files("taskmessenger.defaults").joinpath("config-manager.json").read_text()
    for key in leaves(ManagerConfig):
        assert changed(sample, key, "X", "f").count('"X"') == 1


def test_a_file_that_is_no_json_is_refused() -> None:
    with pytest.raises(ConfigError, match="line 1"):
        changed("{", "name", "lab", "f")


@pytest.mark.parametrize(
    ("key", "typed", "value"),
    [
        ("leases.ttl", "60", 60),
        ("logging.level", "debug", "debug"),
        ("logging.level", '"debug"', "debug"),
        ("transport.listen", "tcp://a:1, tcp://b:2", ["tcp://a:1", "tcp://b:2"]),
        ("transport.listen", '["tcp://a:1"]', ["tcp://a:1"]),
        ("discovery.lan", "yes", True),
        ("name", "123", "123"),
    ],
)
def test_a_value_is_taken_as_json_or_in_plain_words(key: str, typed: str, value: object) -> None:
    assert meant("manager", key, typed) == value


@pytest.mark.parametrize(
    ("key", "typed"), [("leases.ttl", "soon"), ("logging.level", "loud"), ("leases.x", "1")]
)
def test_a_value_that_cannot_be_is_refused_and_named(key: str, typed: str) -> None:
    with pytest.raises(ConfigError, match=key.replace(".", r"\.")):
        meant("manager", key, typed)


def test_the_file_is_made_private_when_there_is_none(tmp_path: Path) -> None:
    paths = under(tmp_path / "home")
    file = paths.config_file("manager")
    assert write(file, paths, "manager", "leases.ttl", "60") == 60
    assert load("manager", {}, {}, paths).config.leases.ttl == 60
    assert file.stat().st_mode & 0o777 == 0o600
    assert [one.name for one in file.parent.iterdir()] == [file.name]


def test_what_does_not_fit_the_other_settings_is_not_written(tmp_path: Path) -> None:
    paths = under(tmp_path / "home")
    file = paths.config_file("manager")
    write(file, paths, "manager", "leases.ttl", "60")
    before = file.read_bytes()
    with pytest.raises(ConfigError, match=r"config-manager\.json: leases: ttl must be at least"):
        write(file, paths, "manager", "leases.ttl", "1")
    assert file.read_bytes() == before
    assert [one.name for one in file.parent.iterdir()] == [file.name]


def test_mode_and_links_of_a_file_that_is_there_stay(tmp_path: Path) -> None:
    paths = under(tmp_path / "home")
    real, link = tmp_path / "real.json", tmp_path / "link.json"
    real.write_text(COMMENTED)
    real.chmod(0o644)
    link.symlink_to(real)
    write(link, paths, "manager", "name", "attic")
    assert link.is_symlink()
    assert '"name": "attic", // who we are' in real.read_text()
    assert real.stat().st_mode & 0o777 == 0o644
