"""Runs the fault programme and writes what it found into docs/reliability.md: `make faults [FULL=1]`.

python -m tests.faults.run [--full] [--seed N] [--no-table] [F1 F4 ...]
"""

from __future__ import annotations

import argparse
import platform
import re
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import anyio

from tests.faults.catalogue import FAULTS, ORDER, SEED, Fault
from tests.support.chaos import Run, Skipped

PAGE = Path(__file__).parents[2] / "docs" / "reliability.md"
BEGIN, END = "<!-- faults: begin -->", "<!-- faults: end -->"
HEAD = "| fault | what happens | result | size | seed | figures | on |\n" + "| --- " * 7 + "|\n"
CI_SECONDS, FULL_SECONDS = 300.0, 4 * 3600.0
"""No fault may take longer."""


def play(fault: Fault, *, full: bool, seed: int) -> tuple[str, Run, float]:
    """One fault in a folder of its own: verdict, what it found, seconds."""
    start = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="tm-", ignore_cleanup_errors=True) as folder:
        run = fault.run(Path(folder) / "x", full=full, seed=seed)

        async def main() -> None:
            with anyio.fail_after(FULL_SECONDS if full else CI_SECONDS):
                await fault.play(run)

        try:
            anyio.run(main)
            verdict = "passed" if not run.missed else "kept, over goal: " + "; ".join(run.missed)
        except Skipped as why:
            verdict = f"skipped: {why}"
        except Exception as error:  # the border of one fault: the others still have to run
            verdict = f"FAILED: {_reason(error)}"
    return verdict, run, time.monotonic() - start


def _reason(error: BaseException) -> str:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return f"{type(error).__name__}: {error}"[:500]


def row(fault: Fault, verdict: str, run: Run, seconds: float) -> str:
    """One line of the table."""
    cells = [fault.number, fault.title, verdict, _pairs(run.size), str(run.seed), _pairs(run.figures),
             f"{datetime.now(UTC):%Y-%m-%d}, {seconds:.0f} s"]  # fmt: skip
    return "| " + " | ".join(re.sub(r"\s+", " ", cell.replace("|", "\\|")) for cell in cells) + " |"


def _pairs(found: dict[str, object]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in found.items())


def write(rows: dict[str, str]) -> None:
    """Put these rows into the page; rows of faults that were not run stay as they are."""
    page = PAGE.read_text(encoding="utf-8")
    before, _, rest = page.partition(BEGIN)
    table, _, after = rest.partition(END)
    known = {
        line.split("|")[1].strip(): line for line in table.splitlines() if re.match(rf"\| [{ORDER}]\d", line)
    }
    known |= rows
    order = [fault.number for fault in FAULTS]
    lines = [known[number] for number in order if number in known]
    where = f"CPython {platform.python_version()}, {platform.system()} {platform.machine()}"
    text = f"{BEGIN}\nLast run on {where}.\n\n{HEAD}" + "\n".join(lines) + f"\n{END}"
    PAGE.write_text(before + text + after, encoding="utf-8")


def main(words: Sequence[str] | None = None) -> int:
    """All faults, or those that are named; exit code 1 when a guarantee was not kept."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("faults", nargs="*", metavar="FAULT")
    parser.add_argument("--full", action="store_true", help="the full size, for a night")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--no-table", action="store_true", help="leave docs/reliability.md alone")
    given = parser.parse_args(words)
    known = {fault.number for fault in FAULTS}
    if unknown := set(given.faults) - known:
        parser.error(f"no such fault: {', '.join(sorted(unknown))}; there are {', '.join(sorted(known))}")
    failed = False
    for fault in FAULTS:
        if given.faults and fault.number not in given.faults:
            continue
        print(f"{fault.number}: {fault.title} ...", flush=True)
        verdict, run, seconds = play(fault, full=given.full, seed=given.seed)
        failed |= verdict.startswith("FAILED")
        print(f"{fault.number}: {verdict}, {seconds:.1f} s: {_pairs(run.figures)}", flush=True)
        if not given.no_table:
            write({fault.number: row(fault, verdict, run, seconds)})
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
