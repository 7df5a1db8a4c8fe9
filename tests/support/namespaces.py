"""Network namespaces for tests that run ZeroTier nodes: a network of their own, without a way out.

A test marked `zerotier` is not run where pytest runs. It is run by a pytest of its own, in a fresh user and
network namespace with one veth pair (`HOST`) and no default route, and what came of it is reported as if it
had run here. So each such test has a process, a node and a network to itself; what it starts inherits them:

    @pytest.mark.zerotier
    async def test_two_nodes_meet(identities): ...

* `HOST` is the address under which all nodes of a test reach each other, on different UDP ports.
* `identities(n)`: the n-th ZeroTier identity of this run of the tests; making one costs up to a second.
* `inside()`: whether this process is in such a namespace. No test may start a node when it is not.
* `link(up=False)` takes the veth pair down, `link(up=True)` brings it back.
* `wrapped(words)`: the same words, run in a fresh namespace; for scripts beside the tests.

Where namespaces are forbidden these tests are skipped with the reason; under `CI` they fail instead.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

import pytest

from tests.support.machine import TEMPORARY

HOST: Final = "10.88.0.1"
PEER_HOST: Final = "10.88.0.2"
"""The other end of the veth pair; of the same namespace."""
SETUP: Final = f"""
ip link set lo up &&
ip link add v0 type veth peer name v1 &&
ip addr add {HOST}/24 dev v0 &&
ip link set v0 up && ip link set v1 up &&
exec "$@"
"""
WAYS: Final = (("unshare", "-Urn"), ("unshare", "-n"))
"""An own user namespace, else the rights of root."""
MARK: Final = "zerotier"
INSIDE: Final = "TM_TEST_NAMESPACE"
"""Set in a namespace."""
REPORTS: Final = "TM_TEST_REPORTS"
"""The file that a pytest in a namespace appends its reports to."""
IDENTITIES: Final = "TM_TEST_IDENTITIES"
"""The directory with the identities of this run."""
PROBE_SECONDS: Final = 20
DEFAULT_SECONDS: Final = 120.0
LEAVE_SECONDS: Final = 10.0
"""The pytest in a namespace gives up this much earlier, so that it can still say why."""
PLUGINS: Final = ("-p", "anyio", "-p", "pytest_timeout")
ONLY_THEM: Final = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
"""All that a test with nodes needs; loading every plugin there is would take longer than most of them."""
MAX_SHOWN: Final = 20_000


def inside() -> bool:
    """Whether this process is in a namespace that was made here."""
    return INSIDE in os.environ


def wrapped(words: Sequence[str]) -> list[str]:
    """`words`, to be run in a fresh namespace.

    Raises:
        RuntimeError: namespaces are forbidden here; says why.
    """
    if reason := forbidden():
        raise RuntimeError(reason)
    way = _way()
    assert way is not None
    return [*way, "sh", "-c", SETUP, "sh", "env", f"{INSIDE}=1", *words]


def forbidden() -> str:
    """Why no namespace can be made here; empty if one can."""
    if _way() is not None:
        return ""
    if sys.platform != "linux":
        return f"network namespaces exist on Linux only, not on {sys.platform}"
    missing = [tool for tool in ("unshare", "ip") if shutil.which(tool) is None]
    if missing:
        return f"no network namespace without {' and '.join(missing)}: install util-linux and iproute2"
    return f"network namespaces are forbidden here: {_refusals()}"


def link(*, up: bool) -> None:
    """Take the network of this namespace down, or bring it back."""
    assert inside()
    subprocess.run(["ip", "link", "set", "v0", "up" if up else "down"], check=True, timeout=PROBE_SECONDS)


@functools.cache
def _way() -> tuple[str, ...] | None:
    return next((way for way in WAYS if not _refusal(way)), None)


def _refusals() -> str:
    return "; ".join(f"{' '.join(way)}: {_refusal(way)}" for way in WAYS)


@functools.cache
def _refusal(way: tuple[str, ...]) -> str:
    """What went wrong that way; empty if nothing did."""
    try:
        done = subprocess.run(
            [*way, "sh", "-c", SETUP, "sh", "true"],
            capture_output=True,
            text=True,
            timeout=PROBE_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    return "" if done.returncode == 0 else done.stderr.strip().replace("\n", " ") or f"exit {done.returncode}"


def unavailable() -> str:
    """Why tests with nodes cannot be run here; empty if they can."""
    return forbidden() or _no_library()


@functools.cache
def _no_library() -> str:
    from taskmessenger.core.errors import TaskMessengerError
    from taskmessenger.net.zerotier.library import search

    try:
        search()
    except TaskMessengerError as error:
        return str(error)
    return ""


# What follows are pytest's hooks; tests/conftest.py takes them over.


def pytest_configure(config: pytest.Config) -> None:
    """The identities of this run are made once, whichever process of it needs them first."""
    if IDENTITIES in os.environ:
        return
    folder = tempfile.mkdtemp(prefix="tm-identities-")
    os.environ[IDENTITIES] = folder
    config.add_cleanup(functools.partial(shutil.rmtree, folder, ignore_errors=True))
    config.add_cleanup(functools.partial(os.environ.pop, IDENTITIES, None))


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> bool | None:
    """Run a marked test in a namespace of its own, and report what came of it."""
    if item.get_closest_marker(MARK) is None or inside():
        return None
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    reason = unavailable()
    reports = [_not_run(item, reason)] if reason else _run(item)
    for report in reports:
        item.ihook.pytest_runtest_logreport(report=report)
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    # Whatever was kept for this test of what earlier ones had set up is not needed by it.
    item.session._setupstate.teardown_exact(nextitem)
    return True


_sessions: Final[list[pytest.Config]] = []


def pytest_sessionstart(session: pytest.Session) -> None:
    """Remember whose reports are written."""
    _sessions.append(session.config)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """In a namespace: hand each report to the pytest outside."""
    target = os.environ.get(REPORTS)
    if not target or not inside() or not _sessions:
        return
    data = _sessions[-1].hook.pytest_report_to_serializable(config=_sessions[-1], report=report)
    with Path(target).open("a", encoding="utf-8") as file:
        file.write(json.dumps(data) + "\n")


def _run(item: pytest.Item) -> list[pytest.TestReport]:
    with tempfile.TemporaryDirectory(prefix="tm-namespace-", dir=os.environ.get(TEMPORARY)) as folder:
        target = Path(folder) / "reports"
        seconds = _seconds(item)
        words = [sys.executable, "-m", "pytest", "-q", *PLUGINS, f"--timeout={seconds - LEAVE_SECONDS}"]
        words += [f"--basetemp={folder}/tmp", f"--rootdir={item.config.rootpath}", item.nodeid]
        code, said = _ended(
            wrapped(words),
            {REPORTS: str(target), **ONLY_THEM},
            item.config.rootpath,
            seconds - LEAVE_SECONDS / 2,
        )
        lines = target.read_text(encoding="utf-8").splitlines() if target.exists() else []
    reports = [
        item.config.hook.pytest_report_from_serializable(config=item.config, data=json.loads(line))
        for line in lines
    ]
    if not {report.when for report in reports} >= {"setup", "teardown"}:
        reports.append(_report(item, "failed", f"its process ended early, with {code}:\n{said[-MAX_SHOWN:]}"))
    return reports


def _ended(words: list[str], more: dict[str, str], folder: Path, seconds: float) -> tuple[int, str]:
    """Exit code and output of a process group that is ended with everything it has started."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST_")} | more
    process = subprocess.Popen(
        words,
        env=environment,
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    try:
        said, _ = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        _end(process)
        said = process.communicate(timeout=PROBE_SECONDS)[0] + f"\nit did not end within {seconds:g} s"
    finally:
        _end(process)
    return process.returncode, said


def _end(process: subprocess.Popen[str]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def _seconds(item: pytest.Item) -> float:
    marker = item.get_closest_marker("timeout")
    if marker is not None and marker.args:
        return float(marker.args[0])
    return float(item.config.getini("timeout") or DEFAULT_SECONDS)


def _not_run(item: pytest.Item, reason: str) -> pytest.TestReport:
    if os.environ.get("CI"):
        return _report(item, "failed", f"CI must run this test, and cannot: {reason}")
    path, line, _ = item.location
    return _report(item, "skipped", (path, line or 0, f"Skipped: {reason}"))


def _report(item: pytest.Item, outcome: str, why: object) -> pytest.TestReport:
    return pytest.TestReport(item.nodeid, item.location, {MARK: 1}, outcome, why, "call")  # type: ignore[arg-type]


@pytest.fixture
def identities() -> Callable[[int], object]:
    """The n-th identity of this run of the tests."""
    return identity


def identity(number: int) -> object:
    """The n-th ZeroTier identity of this run; made by whoever asks first."""
    from taskmessenger.net.zerotier import identity as identities_of
    from taskmessenger.net.zerotier.library import load

    folder = Path(os.environ[IDENTITIES])
    with _alone(folder / f"{number}.lock"):
        return identities_of.ensure(folder / str(number), load().library)


@contextlib.contextmanager
def _alone(lock: Path) -> Iterator[None]:
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
