"""What an operator sets for the manager is what commands get that do not say otherwise."""

from __future__ import annotations

import json
import time
from pathlib import Path

from tests.support.processes import fleet


def test_invites_certificates_and_attempts_follow_the_managers_settings(tmp_path: Path) -> None:
    with fleet(tmp_path) as here:
        file = here.paths.config_file("manager")
        file.parent.mkdir(parents=True, mode=0o700)
        settings = {
            "security": {"invite_uses": 3, "invite_ttl": 120, "certificate_days": 2},
            "tasks": {"max_attempts": 2, "backoff": {"first": 0.1}},
        }
        file.write_text(json.dumps(settings), encoding="utf-8")
        here.manager()
        made = json.loads(here.run("invite", "--json").stdout)
        assert made["uses"] == 3
        assert made["expires_at"] - time.time() < 121
        said = json.loads(here.run("invite", "--uses", "1", "--ttl", "1h", "--json").stdout)
        assert said["uses"] == 1
        assert said["expires_at"] - time.time() > 3000
        here.worker("w1")
        (worker,) = json.loads(here.run("worker", "ls", "--json").stdout)
        assert 1.9 < (worker["expires_at"] - time.time()) / 86_400 < 2.1
        here.run("submit", "wait", "60", "--timeout", "100ms", "--wait")
        (task,) = json.loads(here.run("task", "ls", "--json").stdout)
        assert (task["state"], task["attempt"], task["max_attempts"]) == ("timed_out", 2, 2)
