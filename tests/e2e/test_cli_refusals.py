"""What the command line refuses, each in one line: bad payloads, invites, configurations, second starts."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import apsw
import pytest
from taskmessenger.net.security.endpoints import TcpEndpoint
from taskmessenger.net.security.invites import Invite, decode, encode

from tests.support.processes import Fleet, fleet, refused, until

Done = subprocess.CompletedProcess[str]


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """A manager with one worker; tests leave it as they found it."""
    with fleet(tmp_path_factory.mktemp("cli")) as one:
        one.manager()
        one.worker()
        yield one


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[Fleet]:
    """A fleet of this test's own, not started."""
    with fleet(tmp_path / "fleet") as one:
        yield one


def test_a_payload_over_64_mib_is_refused_before_it_is_sent(here: Fleet, tmp_path: Path) -> None:
    with (tmp_path / "big").open("wb") as big:
        big.truncate(64 * 1024 * 1024 + 1)
    refused(here.run("submit", "hash", "--payload-file", str(tmp_path / "big")), 2, "67,108,864 bytes")


def test_a_manager_may_set_a_lower_limit_and_small_payloads_still_pass(alone: Fleet, tmp_path: Path) -> None:
    config = tmp_path / "config.json"
    config.write_text('{"tasks": {"max_payload": 1024}}')
    alone.manager("--config", str(config))
    refused(alone.run("submit", "echo", "x" * 1100), 2, "over the manager's limit of 1,024")
    assert alone.run("submit", "echo", "x" * 1000).returncode == 0


def test_a_wrong_line_submits_nothing(here: Fleet) -> None:
    before = here.ask(lambda remote: remote.status()).accepted
    refused(
        here.run("submit", "echo", "--jsonl", "-", stdin='1\n2\n{"a"\n'), 2, "line 3", "nothing was submitted"
    )
    assert here.ask(lambda remote: remote.status()).accepted == before


# ---- invites --------------------------------------------------------------------------------------------


def test_the_invite_alone_is_on_standard_output(here: Fleet) -> None:
    done = here.run("invite")
    assert decode(done.stdout, time.time()).role == "worker"
    assert done.stdout.count("\n") == 1
    assert "taskmessenger --role worker --no-ui --join -" in done.stderr
    assert "tm1-" not in done.stderr
    assert "only this machine can reach" in done.stderr


def test_an_invite_can_be_listed_and_revoked_without_its_secret(here: Fleet) -> None:
    made = json.loads(here.run("invite", "--uses", "3", "--ttl", "2h", "--role", "client", "--json").stdout)
    assert made["uses_left"] == 3
    assert 7100 < made["expires_at"] - made["created_at"] <= 7200
    listed = here.run("invite", "ls", "--json")
    assert "tm1-" not in listed.stdout
    assert "secret" not in listed.stdout
    assert {"id": made["id"], "state": "open"}.items() <= json.loads(listed.stdout)[0].items()
    assert here.run("invite", "revoke", made["id"].lower()).returncode == 0
    assert json.loads(here.run("invite", "ls", "--json").stdout)[0]["state"] == "revoked"
    refused(here.run("invite", "revoke", made["id"]), 3, made["id"], "taskmessenger invite ls")


def join(one: Fleet, home: Path, text: str) -> Done:
    return one.run("join", "-", stdin=text, home=home)


def test_a_client_elsewhere_may_submit_and_an_operator_may_do_everything(here: Fleet, tmp_path: Path) -> None:
    home = tmp_path / "elsewhere"
    assert "as c-" in join(here, home, here.invite("client")).stderr
    assert here.run("submit", "reverse", "away", "--wait", home=home).stdout == "yawa\n"
    refused(here.run("pool", "pause", home=home), 4, "`pause` is for operators")
    refused(here.run("invite", home=home), 4, "an invite is for operators")
    refused(join(here, home, here.invite("client")), 7, "you have joined a fleet as client")
    assert "(operator)" in join(here, home, here.invite("operator")).stderr
    assert here.run("invite", "ls", home=home).returncode == 0
    members = [path for path in home.rglob("*") if path.is_dir()]
    assert members
    assert {oct(path.stat().st_mode & 0o777) for path in members} == {"0o700"}


def test_a_member_that_was_revoked_is_refused(here: Fleet, tmp_path: Path) -> None:
    home = tmp_path / "elsewhere"
    peer = join(here, home, here.invite("client")).stderr.split()[3]
    assert here.run("worker", "revoke", peer, "--yes").returncode == 0
    refused(here.run("task", "ls", home=home), 4, "revoked")


def test_an_invite_is_for_its_role(here: Fleet, tmp_path: Path) -> None:
    client, worker = here.invite("client"), here.invite("worker")
    refused(join(here, tmp_path, worker), 2, "this invite is for a worker")
    roles = here.run("--role", "worker", "--no-ui", "--join", "-", stdin=client, home=tmp_path)
    refused(roles, 2, "this invite is for a client")
    assert join(here, tmp_path, client).returncode == 0  # neither was used up


def test_an_invite_that_cannot_be_used_says_why(here: Fleet, tmp_path: Path) -> None:
    text = here.invite("client")
    refused(join(here, tmp_path, "hello"), 4, "this is not an invite")
    refused(join(here, tmp_path, text[:60]), 4, "cut short")
    refused(join(here, tmp_path, text[:30] + ("0" if text[30] != "0" else "1") + text[31:]), 4, "mistyped")
    revoked = here.invite("client")
    here.run("invite", "revoke", decode(revoked, 0).id)
    refused(join(here, tmp_path, revoked), 4, "revoked")
    expired = here.invite("client", ttl=1.0)
    until(lambda: time.time() > decode(expired, 0).expires_at)
    refused(join(here, tmp_path, expired), 4, "expired")
    assert join(here, tmp_path / "one", text).returncode == 0
    refused(join(here, tmp_path / "two", text), 4, "used up")
    refused(here.run("join", "--invite-file", "/nonexistent", home=tmp_path), 2, "/nonexistent")


def test_an_invite_of_another_fleet_reveals_nothing(here: Fleet, alone: Fleet, tmp_path: Path) -> None:
    alone.manager()
    foreign = decode(alone.invite("client"), 0)
    port = int(here.ask(lambda remote: remote.status()).listening[0].rpartition(":")[2])
    led_here = encode(_at(foreign, port))
    refused(join(here, tmp_path, led_here), 4, "its CA is another one", "nothing secret was sent")
    refused(join(here, tmp_path, encode(_at(foreign, 1))), 5, "nobody listens at tcp://127.0.0.1:1")


def _at(invite: Invite, port: int) -> Invite:
    return replace(invite, endpoints=(TcpEndpoint("127.0.0.1", port),))


# ---- starting roles -------------------------------------------------------------------------------------

MANAGER = ("--role", "manager", "--no-ui", "--listen", "tcp://127.0.0.1:0")
WORKER = ("--role", "worker", "--no-ui")


def test_a_second_manager_or_worker_on_the_same_home_is_a_conflict(here: Fleet) -> None:
    refused(here.run(*MANAGER), 7, "in use by the manager with pid")
    refused(
        here.run(*WORKER, home=here.worker_home("fern")), 7, "another worker (process ", "TASKMESSENGER_HOME"
    )


def test_a_port_in_use_is_a_conflict(here: Fleet, tmp_path: Path) -> None:
    taken = here.ask(lambda remote: remote.status()).listening[0]
    refused(here.run("--role", "manager", "--no-ui", "--listen", taken, home=tmp_path), 7, taken, "is in use")


def test_a_worker_that_has_not_joined_says_how_to(alone: Fleet) -> None:
    refused(alone.run(*WORKER), 4, "has not joined a fleet", "--join -")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{", "line 1, column 2"),
        ('{"lease": {}}', "did you mean `leases`?"),
        ('{"leases": {"ttl": "x"}}', "leases.ttl"),
    ],
)
def test_a_wrong_config_names_file_and_place(alone: Fleet, tmp_path: Path, text: str, why: str) -> None:
    (tmp_path / "mine.json").write_text(text)
    refused(alone.run(*MANAGER, "--config", str(tmp_path / "mine.json")), 2, "mine.json", why)
    refused(alone.run(*MANAGER, "--config", str(tmp_path)), 2, str(tmp_path))


def test_a_database_of_a_newer_version_is_left_alone(alone: Fleet) -> None:
    alone.manager().stop()
    with apsw.Connection(str(alone.paths.database)) as database:
        database.execute("PRAGMA user_version = 99")
    database.close()
    refused(alone.run(*MANAGER), 2, "has schema 99", "install the newer version")
