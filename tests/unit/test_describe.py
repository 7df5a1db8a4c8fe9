"""Every setting is described by the comment beside it in the sample file."""

from __future__ import annotations

import json

import pytest
from taskmessenger.config.describe import described, documented
from taskmessenger.config.load import leaves
from taskmessenger.config.model import ManagerConfig, WorkerConfig

MODELS = {"manager": ManagerConfig, "worker": WorkerConfig}


@pytest.mark.parametrize("role", MODELS)
def test_all_settings_are_there_with_their_defaults(role) -> None:
    rows = list(described(role, MODELS[role]()))
    assert [row.key for row in rows] == list(leaves(MODELS[role]))
    assert all(row.value == row.default for row in rows)
    assert all(json.loads(row.value) is not ... for row in rows)


@pytest.mark.parametrize("role", MODELS)
def test_comments_go_with_the_keys_that_they_are_about(role) -> None:
    docs = documented(role)
    assert docs.keys() <= leaves(MODELS[role]).keys()
    assert all(doc.isprintable() and not doc.startswith("/") for doc in docs.values())


def test_a_comment_at_the_end_of_the_line_and_one_above_are_both_found() -> None:
    docs = documented("manager")
    assert docs["leases.ttl"] == "until an attempt of a silent worker is given to another one"
    assert docs["name"].startswith("Who this manager says it is")
