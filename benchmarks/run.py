"""The same work on Dask, Ray, Celery, HyperQueue and Task Messenger, one after the other, in one table.

Prepares environments, starts one driver at a time, bounds it and collects its report; measures nothing
itself. Linux only. See README.md.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import environments
import table
from environments import HERE, OURS, Unavailable

sys.path.insert(0, str(HERE / "drivers"))
import machine

TOTAL_SECONDS: Final = 24 * 60.0
"""Everything, environments included."""
DRIVER_SECONDS: Final = 420.0
QUICK_DRIVER_SECONDS: Final = 120.0
RESERVE_SECONDS: Final = 90.0
"""Kept for each driver that is still to come."""
LEAST_SECONDS: Final = 60.0
"""With less, a driver is not started."""
ENVIRONMENTS_SECONDS: Final = 8 * 60.0
OVERTIME_SECONDS: Final = 30.0
"""What a driver gets beyond its time before it is asked to stop, and then again before it is killed."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One row of the table."""

    name: str
    peer: str
    """Whose environment."""
    variant: str = ""

    @property
    def driver(self) -> Path:
        """What is run in that environment."""
        return HERE / "drivers" / f"with_{self.peer}.py"


# The fast ones first: what they leave over goes to the slow ones.
ENTRIES: Final = (
    Entry(OURS, OURS),
    Entry("celery-chunks", "celery", "chunks"),
    Entry("dask-saturated", "dask", "saturated"),
    Entry("ray", "ray"),
    Entry("hyperqueue-functions", "hyperqueue", "functions"),
    Entry("celery", "celery", "group"),
    Entry("hyperqueue-true", "hyperqueue", "true"),
    Entry("dask", "dask", "default"),
)


def main() -> int:
    """Measure, print, and say by the exit status whether every row is complete."""
    options = _options()
    machine.settle_in()
    deadline = time.monotonic() + TOTAL_SECONDS
    entries = [entry for entry in ENTRIES if not options.only or {entry.name, entry.peer} & set(options.only)]
    began = datetime.now(UTC)
    reports: list[dict[str, Any]] = []
    try:
        pythons = _prepare(entries, min(deadline, time.monotonic() + ENVIRONMENTS_SECONDS))
        for place, entry in enumerate(entries):
            later = len(entries) - place - 1
            seconds = deadline - time.monotonic() - RESERVE_SECONDS * later - 2 * OVERTIME_SECONDS
            seconds = min(seconds, QUICK_DRIVER_SECONDS if options.quick else DRIVER_SECONDS)
            started = time.monotonic()
            reports.append(_drive(entry, pythons[entry.peer], seconds, options.quick))
            print(f"{entry.name}: {time.monotonic() - started:.0f} s", file=sys.stderr)
    except KeyboardInterrupt:
        print("stopped; what was measured until now follows", file=sys.stderr)
    finally:
        machine.sweep()
    text = table.markdown(reports, f"{began:%Y-%m-%d %H:%M} UTC", options.quick)
    print(text)
    if options.out:
        options.out.write_text(text)
    if options.json:
        whole = {"began": began.isoformat(), "machine": table.machine(), "quick": options.quick}
        options.json.write_text(json.dumps({**whole, "reports": reports}, indent=1) + "\n")
    return int(len(reports) < len(entries) or any("error" in report for report in reports))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    names = sorted({name for entry in ENTRIES for name in (entry.name, entry.peer)})
    parser.add_argument("--only", action="append", metavar="NAME", choices=names, help=", ".join(names))
    parser.add_argument("--quick", action="store_true", help="small sizes and one run: do the drivers work?")
    parser.add_argument("--json", type=Path, metavar="FILE", help="every run, as JSON")
    parser.add_argument("--out", type=Path, metavar="FILE", help="the table, as Markdown")
    options = parser.parse_args()
    if sys.platform != "linux":
        parser.error("measuring what others use of the machine needs Linux")
    for file in (options.json, options.out):
        if file is not None and not file.absolute().parent.is_dir():
            parser.error(f"{file.absolute().parent}: no such directory; make it first")
    return options


def _prepare(entries: list[Entry], deadline: float) -> dict[str, Path | str]:
    """By peer: its Python, or why there is none. All of it before the first clock starts."""
    found: dict[str, Path | str] = {}
    for peer in dict.fromkeys(entry.peer for entry in entries):
        try:
            found[peer] = environments.environment(peer, deadline)
            if peer == "celery":
                environments.redis_server(deadline)
        except Unavailable as error:
            found[peer] = str(error)
    return found


def _drive(entry: Entry, python: Path | str, seconds: float, quick: bool) -> dict[str, Any]:
    """What the driver reports; or the reason why it does not."""
    if isinstance(python, str):
        return {"name": entry.name, "error": python}
    if seconds < LEAST_SECONDS:
        return {"name": entry.name, "error": "no time left"}
    argv = [str(python), str(entry.driver), "--seconds", f"{seconds:.0f}"]
    argv += ["--variant", entry.variant] if entry.variant else []
    argv += ["--quick"] if quick else []
    # A home of its own: no peer finds settings of this user, and none leaves anything behind.
    with tempfile.TemporaryDirectory(prefix="bp-", ignore_cleanup_errors=True) as home:
        log = Path(home) / "driver.log"
        printed, status = _bounded(argv, _surroundings(python, Path(home)), log, seconds)
        with contextlib.suppress(ValueError):
            report: dict[str, Any] = json.loads(printed)
            return _complete(report, entry, quick)
        said = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
        return {
            "name": entry.name,
            "error": f"no report, exit status {status}: {said[-1][:200] if said else 'nothing said'}",
        }


def _complete(report: dict[str, Any], entry: Entry, quick: bool) -> dict[str, Any]:
    from measure import FULL, QUICK

    report.setdefault("name", entry.name)
    for measure in report.get("measures", {}).values():
        measure["runs_planned"] = (QUICK if quick else FULL).runs
    return report


def _surroundings(python: Path, home: Path) -> dict[str, str]:
    search = os.pathsep.join([str(python.parent), os.environ.get("PATH", os.defpath)])
    return {
        "PATH": search,
        "HOME": str(home),
        "TMPDIR": str(home),
        "LANG": "C.UTF-8",
        "PYTHONDONTWRITEBYTECODE": "1",
        "RAY_USAGE_STATS_ENABLED": "0",
    }


def _bounded(argv: list[str], env: dict[str, str], log: Path, seconds: float) -> tuple[bytes, int]:
    """Standard output and exit status of a driver; one that takes too long is asked to stop, then killed."""
    with log.open("wb") as errors:
        driver = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors, env=env, cwd=log.parent
        )
        try:
            for patience, then in (
                (seconds + OVERTIME_SECONDS, signal.SIGTERM),
                (OVERTIME_SECONDS, signal.SIGKILL),
            ):
                try:
                    return driver.communicate(timeout=patience)[0], driver.returncode
                except subprocess.TimeoutExpired:
                    driver.send_signal(then)
            return driver.communicate(timeout=OVERTIME_SECONDS)[0], driver.returncode
        finally:
            if driver.poll() is None:
                driver.terminate()
                with contextlib.suppress(subprocess.TimeoutExpired):
                    driver.wait(OVERTIME_SECONDS)
            # What a killed driver has left comes to us, and no later driver shall be measured beside it.
            machine.sweep()


if __name__ == "__main__":
    sys.exit(main())
