"""`taskmessenger demo`: the main job here and now: a fleet hashes files, and every digest is checked.

Shows what happens; the files, the processes and the run itself are in the modules beside this one.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, TextIO

import click

from ..core.errors import TaskMessengerError
from ..core.text import count
from .namespace import LISTEN, in_a_namespace

if TYPE_CHECKING:
    from .demo_files import Found
    from .demo_run import Ran
    from .demo_work import Kill, Work

MAX_WORKERS: Final = 32
SHOWN: Final = 10
"""Files that are named in a list for people; --json names all."""
LINE_SECONDS: Final = 1.0
"""Between two lines about progress where there is no terminal."""
MEGABYTE: Final = 1e6


class DemoFailed(TaskMessengerError):
    """The run did not verify every file, or could not be brought to its end."""

    code = "demo_failed"


@click.command()
@click.option(
    "--workers",
    type=click.IntRange(1, MAX_WORKERS),
    default=3,
    show_default=True,
    metavar="N",
    help="Worker processes.",
)
@click.option(
    "--files",
    "directory",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Hash all files below it instead of the Python standard library.",
)
@click.option("--chaos", is_flag=True, help="Kill -9 a worker and the manager on the way, and restart them.")
@click.option(
    "--transport",
    type=click.Choice(sorted(LISTEN)),
    default="tcp",
    show_default=True,
    help="Between manager and workers.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def demo(workers: int, directory: Path | None, transport: str, *, chaos: bool, as_json: bool) -> None:
    """Run the main job here: hash files on a fleet of real processes.

    Starts a manager and workers on loopback, in a temporary directory, submits one task for each file, and
    compares every digest with one computed here. Ends with 0 only if all agree. Nothing stays behind.
    With --transport zerotier each of them is a ZeroTier node, in a network namespace made for the occasion.

    \b
    Examples:
      taskmessenger demo
      taskmessenger demo --chaos
      taskmessenger demo --files ~/Pictures --workers 5 --json
    """  # noqa: D301  \b keeps click from filling the examples
    from .connect import run
    from .demo_files import find
    from .demo_fleet import Fleet
    from .demo_run import Plan, Watcher, checked
    from .demo_run import run as run_demo

    if transport == "zerotier":
        in_a_namespace()
    found = find(directory)
    plan = checked(Plan(found, workers, chaos))
    progress = Progress(sys.stderr, len(found.files))
    size = _mb(sum(f.size for f in found.files))
    progress.say(f"{count(len(found.files), 'file')}, {size:.1f} MB, below {found.root}")
    with _home() as home:
        with Fleet(home, transport) as fleet:
            ran = run(run_demo, plan, fleet, Watcher(progress.say, progress.look))
        progress.end()
        if ran is None:
            raise click.Abort
        whole = {"transport": transport, **as_object(found, workers, ran)}
        click.echo(json.dumps(whole, indent=2) if as_json else as_text(found, ran))
        if ran.work.wrong:
            raise DemoFailed(f"{len(ran.work.wrong)} of {ran.work.submitted} files have the wrong digest")


@contextmanager
def _home() -> Iterator[Path]:
    """A directory that goes at the end, unless there is something in it to be looked into."""
    from .demo_fleet import temporary

    home = Path(tempfile.mkdtemp(prefix="tm-demo-", dir=temporary()))
    try:
        yield home
    except TaskMessengerError as error:
        text = f"{error}; see the logs in {home} and remove it then"
        raise DemoFailed(text) from error
    except BaseException:
        shutil.rmtree(home, ignore_errors=True)
        raise
    shutil.rmtree(home, ignore_errors=True)


class Progress:
    """How far it is, on standard error: a line that changes on a terminal, a line a second elsewhere."""

    def __init__(self, stream: TextIO, total: int) -> None:
        self._stream, self._total = stream, total
        self._live = stream.isatty() and os.environ.get("TERM") != "dumb"
        self._shown = 0
        self._next = monotonic() + LINE_SECONDS

    def say(self, text: str) -> None:
        """Something that happened: stays on the screen."""
        self._write(self._over(text) + "\n")
        self._shown = 0

    def look(self, work: Work, seconds: float) -> None:
        """The books, several times a second."""
        if not self._live and monotonic() < self._next:
            return
        self._next = monotonic() + LINE_SECONDS
        rate = work.ended / seconds if seconds > 0 else 0.0
        text = f"{work.ended}/{self._total} files, {work.open} on their way, {rate:.0f} tasks/s"
        self._write(self._over(text) if self._live else text + "\n")
        self._shown = len(text) if self._live else 0

    def end(self) -> None:
        """Leave a clean line."""
        if self._shown:
            self._write(self._over("") + "\r")
            self._shown = 0

    def _over(self, text: str) -> str:
        """The text in place of what the line shows, cut where the terminal would begin another line."""
        if not self._live:
            return text
        width = shutil.get_terminal_size().columns - 1
        return "\r" + text[:width].ljust(min(self._shown, width))

    def _write(self, text: str) -> None:
        try:
            self._stream.write(text)
            self._stream.flush()
        except OSError:
            # The terminal has gone. That is no reason to leave anything undone.
            self._live = False


def as_text(found: Found, ran: Ran) -> str:
    """The result for people. Its last line is what counts."""
    work = ran.work
    megabytes, seconds = _mb(work.bytes), max(ran.seconds, 1e-9)
    rows = [
        ("files", f"{work.submitted} below {found.root}"),
        ("size", f"{megabytes:.1f} MB"),
        ("time", f"{ran.seconds:.2f} s"),
        ("rate", f"{work.submitted / seconds:.0f} tasks/s, {megabytes / seconds:.1f} MB/s"),
        ("latency", _latency(work)),
        ("attempts", _attempts(work)),
        ("kills", "; ".join(map(_kill, work.kills)) or "none"),
        ("late", f"{count(ran.late, 'result')} came again or too late, and changed nothing"),
    ]
    lines = [f"{name:<9} {value}" for name, value in rows]
    lines += _list("skipped", work.skipped) + _list("wrong", work.wrong)
    return "\n".join([*lines, f"VERIFIED {work.verified} of {work.submitted}"])


def as_object(found: Found, workers: int, ran: Ran) -> dict[str, Any]:
    """The result for programs."""
    work, seconds = ran.work, max(ran.seconds, 1e-9)
    return {
        "directory": str(found.root),
        "workers": workers,
        "files": work.submitted,
        "bytes": work.bytes,
        "seconds": round(ran.seconds, 3),
        "tasks_per_second": round(work.submitted / seconds, 1),
        "latency_p50": round(percentile(work.latencies, 0.50), 4),
        "latency_p95": round(percentile(work.latencies, 0.95), 4),
        "attempts": work.attempts,
        "repeated": work.repeated,
        "resubmitted": work.duplicates,
        "kills": [
            {
                "process": kill.name,
                "outcomes": kill.outcomes,
                "in_hand": kill.in_hand,
                "back_seconds": round(kill.back_seconds, 3),
            }
            for kill in work.kills
        ],
        "late": ran.late,
        "skipped": work.skipped,
        "wrong": work.wrong,
        "verified": work.verified,
        "ok": not work.wrong,
    }


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least this share of them does not exceed; 0 for none."""
    if not values:
        return 0.0
    ordered = sorted(values)
    return ordered[max(0, -(-int(share * 1000) * len(ordered) // 1000) - 1)]


def _latency(work: Work) -> str:
    p50, p95 = percentile(work.latencies, 0.50), percentile(work.latencies, 0.95)
    return f"p50 {p50 * 1000:.0f} ms, p95 {p95 * 1000:.0f} ms from submit to outcome"


def _attempts(work: Work) -> str:
    again = f"{count(work.repeated, 'task')} needed more than one" if work.repeated else "one for each task"
    found = f"; {work.duplicates} submitted again and recognised" if work.duplicates else ""
    return f"{work.attempts}, {again}{found}"


def _kill(kill: Kill) -> str:
    return f"{kill.name} with {count(kill.in_hand, 'task')} in hand, back after {kill.back_seconds:.1f} s"


def _list(title: str, lines: Sequence[str]) -> list[str]:
    more = [f"{title:<9} and {len(lines) - SHOWN} more"] if len(lines) > SHOWN else []
    return [f"{title:<9} {line}" for line in lines[:SHOWN]] + more


def _mb(count: int) -> float:
    return count / MEGABYTE
