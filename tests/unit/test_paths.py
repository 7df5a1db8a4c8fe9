"""Where files lie, and who may get at them."""

from __future__ import annotations

import os
import socket
import stat
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from taskmessenger import paths
from taskmessenger.core.errors import ConfigError
from taskmessenger.net import unix_folder


def test_one_variable_puts_everything_under_one_directory(tmp_path: Path) -> None:
    found = paths.find({"TASKMESSENGER_HOME": str(tmp_path)})
    assert found.config_file("manager") == tmp_path / "config/tm-manager/config-manager.json"
    assert found.config_file("worker") == tmp_path / "config/tm-worker/config-worker.json"
    assert found.database == tmp_path / "data/tm-manager/tasks.db"
    assert all(
        place.is_relative_to(tmp_path) for name, place in found.named().items() if name != "manager socket"
    )


def test_a_relative_home_is_where_the_command_was_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert paths.find({"TASKMESSENGER_HOME": "fleet"}).data == tmp_path / "fleet" / "data"


@pytest.mark.skipif(os.name != "posix", reason="XDG")
def test_without_the_variable_the_places_are_those_of_the_system(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("CONFIG", "DATA", "STATE", "CACHE"):
        monkeypatch.setenv(f"XDG_{name}_HOME", str(tmp_path / name.lower()))
    monkeypatch.setattr("sys.platform", "linux")
    found = paths.find({})
    assert found.config_file("manager") == tmp_path / "config/task-messenger/tm-manager/config-manager.json"
    assert found.identity() == tmp_path / "data/task-messenger/tm-worker/identity"
    assert found.log_file("worker") == tmp_path / "state/task-messenger/tm-worker/worker.log"


def test_two_homes_share_nothing(tmp_path: Path) -> None:
    one, other = (paths.under(tmp_path / name).named() for name in ("one", "other"))
    assert not set(one.values()) & set(other.values())


def test_looking_for_places_makes_none(tmp_path: Path) -> None:
    paths.find({"TASKMESSENGER_HOME": str(tmp_path / "home")}).named()
    assert not (tmp_path / "home").exists()


def test_a_runtime_directory_of_somebody_else_is_not_used(tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o777)
    assert not paths.find({"XDG_RUNTIME_DIR": str(shared)}).socket.is_relative_to(shared)


def test_the_runtime_directory_of_the_session_is_used(tmp_path: Path) -> None:
    own = tmp_path / "run"
    own.mkdir(mode=0o700)
    assert paths.find({"XDG_RUNTIME_DIR": str(own)}).runtime == own / "task-messenger"


@pytest.mark.parametrize("depth", [1, 60, 300])
def test_where_sockets_have_short_paths_the_local_one_always_fits(
    tmp_path: Path, depth: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paths, "OPEN_FILES", str(tmp_path / "none"))
    place = paths.under(tmp_path / ("d" * min(depth, 200)) / ("e" * depth))
    assert len(os.fsencode(place.socket)) <= 103
    assert place.socket == paths.under(tmp_path / ("d" * min(depth, 200)) / ("e" * depth)).socket


@pytest.mark.skipif(not paths.any_socket_path(), reason="sockets have short paths here")
@pytest.mark.parametrize("depth", [10, 100, 250])
def test_everything_lies_under_the_home_that_is_set(tmp_path: Path, depth: int) -> None:
    home = tmp_path / ("d" * depth) / ("e" * depth)
    assert all(place.is_relative_to(home) for place in paths.under(home).named().values())


def test_two_deep_homes_have_two_sockets(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 200)
    assert paths.under(deep / "one").socket != paths.under(deep / "other").socket


def test_a_private_directory_and_all_that_is_made_above_it_are_closed_to_others(tmp_path: Path) -> None:
    made = paths.private_directory(tmp_path / "a" / "b")
    assert [stat.S_IMODE(p.stat().st_mode) for p in (made, made.parent)] == [0o700, 0o700]


def test_a_private_directory_may_be_there_already(tmp_path: Path) -> None:
    paths.private_directory(tmp_path / "a")
    assert paths.private_directory(tmp_path / "a") == tmp_path / "a"


def test_a_directory_that_others_can_enter_is_refused_with_the_cure(tmp_path: Path) -> None:
    place = tmp_path / "open"
    place.mkdir(mode=0o755)
    with pytest.raises(ConfigError, match=f"chmod 700 {place}"):
        paths.private_directory(place)


def test_a_directory_of_another_user_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = paths.private_directory(tmp_path / "a")
    monkeypatch.setattr(os, "geteuid", lambda: place.stat().st_uid + 1)
    with pytest.raises(ConfigError, match="belongs to another user"):
        paths.private_directory(place)


def test_a_link_is_no_private_directory(tmp_path: Path) -> None:
    paths.private_directory(tmp_path / "real")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with pytest.raises(ConfigError, match="is not a directory"):
        paths.private_directory(tmp_path / "link")


def test_a_directory_that_cannot_be_made_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot be made"):
        paths.private_directory(tmp_path / "file" / "below")


def test_a_directory_below_one_of_another_user_or_of_everybody_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    home.chmod(0o777)
    with pytest.raises(ConfigError, match=rf"{home}: everybody may write in it.*chmod go-w"):
        paths.private_directory(home / "data" / "tm-manager")
    home.chmod(0o770)
    with pytest.raises(ConfigError, match=rf"{home}: its group may write in it.*chmod go-w"):
        paths.private_directory(home / "data" / "tm-manager")
    home.chmod(0o1777)
    paths.private_directory(home / "data" / "tm-manager")
    if os.geteuid() == 0:
        os.chown(home, 65_534, -1)
    else:
        monkeypatch.setattr(os, "geteuid", lambda: 65_534)
        monkeypatch.setattr(paths, "_check_private", lambda *_: None)
    with pytest.raises(ConfigError, match=rf"{home}: belongs to another user"):
        paths.private_directory(home / "data" / "tm-manager")


@pytest.fixture
def short() -> Iterator[Path]:
    """A folder whose name leaves room for that of a socket."""
    with tempfile.TemporaryDirectory(prefix="tm-") as name:
        yield Path(name)


def test_the_folder_of_a_socket_elsewhere_goes_with_its_manager_and_stale_ones_before(
    short: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tmp_path = short
    monkeypatch.setattr(unix_folder.tempfile, "gettempdir", lambda: str(tmp_path))

    def folder(name: str, *, age: float = 0.0) -> Path:
        made = tmp_path / f"taskmessenger-0-{name}"
        made.mkdir(mode=0o700)
        (made / "manager.sock.lock").touch()
        os.utime(made, (time.time() - age,) * 2)
        return made

    day = 86_400.0
    stale, new, used, full = folder("a", age=day), folder("b"), folder("c"), folder("d", age=day)
    (full / "somebody's").touch()
    with socket.socket(socket.AF_UNIX) as listening, socket.socket(socket.AF_UNIX) as dead:
        listening.bind(str(used / "manager.sock"))
        listening.listen()
        dead.bind(str(stale / "manager.sock"))
        for one in (stale, used, full):
            os.utime(one, (time.time() - day,) * 2)
        dead.close()
        with unix_folder.kept(tmp_path / "taskmessenger-0-mine" / "manager.sock"):
            mine = folder("mine")
            assert sorted(tmp_path.iterdir()) == sorted([new, used, full, mine])
        assert sorted(tmp_path.iterdir()) == sorted([new, used, full])
    other = tmp_path / "other"
    (other / "taskmessenger-0-old").mkdir(parents=True)
    os.utime(other / "taskmessenger-0-old", (time.time() - day,) * 2)
    for own in (tmp_path / "deeper", other / "taskmessenger-0-mine"):
        with unix_folder.kept(own / "manager.sock"):
            own.mkdir()
        assert own.exists(), "it was there for something else, or the operator wants it there"
    assert (other / "taskmessenger-0-old").exists()
