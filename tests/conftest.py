"""What every test stands on: a home of its own, a common umask, one event loop."""

from __future__ import annotations

import logging
import os
import signal
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from taskmessenger import logs

from tests.support.machine import TEMPORARY, temporary
from tests.support.namespaces import (  # noqa: F401  hooks and fixtures of tests with ZeroTier nodes
    identities,
    pytest_configure,
    pytest_runtest_logreport,
    pytest_runtest_protocol,
    pytest_sessionstart,
)

# As where it is installed: what is started here a thousand times is compiled once, whatever the shell says.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

os.environ.setdefault(TEMPORARY, str(temporary()))

# How long an example takes says how busy the machine is, and nothing about the code.
settings.register_profile("here", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("here")


@pytest.fixture
def a_name_for_one_test(request: pytest.FixtureRequest) -> Iterator[None]:
    """What a process remembers of a file in the folder of one test is not taken for that of another's."""
    yield
    folder = request.node.funcargs.get("tmp_path")
    if folder is not None:  # with all that was in it gone by now, so that the next one has another number
        folder.mkdir(parents=True, exist_ok=True)


@pytest.fixture(autouse=True)
def own_home(a_name_for_one_test: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Nobody's own configuration is read, and nobody's own data touched."""
    for name in list(os.environ):
        if name.startswith("TASKMESSENGER_"):
            monkeypatch.delenv(name)
    home = tmp_path / "home"
    monkeypatch.setenv("TASKMESSENGER_HOME", str(home))
    return home


@pytest.fixture(autouse=True, scope="session")
def common_umask() -> Iterator[None]:
    """The umask of most machines: what must be private has to be made private, and not by luck."""
    before = os.umask(0o022)
    yield
    os.umask(before)


@pytest.fixture(autouse=True, scope="session")
def signals_that_end_programs() -> None:
    """Whoever starts the tests in the background ignores these, and what ignores them hands that down."""
    for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGTERM):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)


@pytest.fixture(autouse=True)
def untouched_logging() -> Iterator[None]:
    """A test that sets up logging does not do so for the next one."""
    level = logging.getLogger().level
    filters = warnings.filters[:]
    yield
    logs.close()
    logging.getLogger().setLevel(level)
    warnings.filters[:] = filters


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"
