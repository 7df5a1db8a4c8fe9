"""Draws mistakes, makes one at a time in a copy of the tree, and tells which of them no test notices.

`make mutants SEED=S N=100 ROOMS="core store"`. A mutant is killed when a test that runs its line fails, fails
once more alone, and passes alone without the mutant. What commands run in processes of their own is seen.
What runs in the processes of tasks is not: for the runtimes, all tests that start such processes are tried.

It is ours because what there is does not fit: mutmut keeps all mutants in one file behind trampolines,
which changes the signatures, annotations and frames that this code looks at, and forks a process that has
threads and event loops; cosmic-ray runs the whole suite for each mutant, in the work tree. Neither draws by
a seed and by rooms, or asks whether the failure of a test that talks to real processes comes again.
"""

from __future__ import annotations

import argparse
import ast
import json
import queue
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

from tests.mutants.reach import PLUGIN, Reach, reach
from tests.mutants.rooms import ROOMS, Mutant, draw, equivalents, is_equivalent
from tests.mutants.scratch import Scratch, scratch

ROOT = Path(__file__).parents[2]
ENDS = ("killed", "survived", "timed out", "equivalent")
SECONDS = 75.0
"""For the tests of one mutant; then it counts as not noticed."""
ALONE_SECONDS = 60.0
HANG_SECONDS = 60.0
LEAST_HANG_SECONDS = 12.0
SOUND = "tests/unit/test_spans.py"
"""Passes in every copy before a mistake is made there: else all of them would seem to be noticed."""
SOUND_SECONDS = 300.0
HANG_TIMES = 10
"""A test that takes so many times longer than it does without a mistake has failed, for there are mistakes
that only hang; between these bounds, because machines are busy.
"""


@dataclass(frozen=True)
class Verdict:
    mutant: Mutant
    end: str
    why: str


def statement(source: bytes, line: int) -> range:
    """The lines from the beginning of the statement that a line belongs to."""
    starts = [
        node.lineno
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.stmt) and node.lineno <= line <= (node.end_lineno or 0)
    ]
    return range(max(starts, default=line), line + 1)


def _limit(seconds: float) -> float:
    return min(max(HANG_TIMES * seconds, LEAST_HANG_SECONDS), HANG_SECONDS)


class Trial:
    """One mutant in one copy."""

    def __init__(self, copy: Scratch, mutant: Mutant, known: Reach, seconds: float) -> None:
        self.copy = copy
        self.mutant = mutant
        self.right = (copy.root / mutant.path).read_bytes()
        self.wrong = mutant.change.applied(self.right)
        self.until = time.monotonic() + seconds
        lines = statement(self.right, mutant.change.line)
        self.tests = known.tests(mutant.path, lines, self.right.decode())
        self.passed, self.named = known.passed, False
        self.limits = {test: _limit(known.seconds.get(test, 0.0)) for test in self.tests}

    def verdict(self) -> Verdict:
        if not self.tests:
            return Verdict(self.mutant, "survived", "no test runs it")
        left = self.tests
        while left:
            failed = self._first_failure(left)
            if failed is None:
                return Verdict(self.mutant, "timed out", f"{len(self.tests)} tests run it")
            if not failed:
                return Verdict(self.mutant, "survived", f"{len(self.tests)} tests run it")
            if self._alone(failed, self.wrong) is False and self._alone(failed, self.right):
                return Verdict(self.mutant, "killed", failed)
            left = left[left.index(failed) + 1 :] if failed in left else left[1:]
        return Verdict(self.mutant, "survived", f"{len(self.tests)} tests run it")

    def _first_failure(self, tests: Sequence[str]) -> str | None:
        """The name of the first test that fails, nothing if none does, None if the time does not suffice."""
        code, failed = self._pytest(tests, self.wrong, self.until - time.monotonic())
        self.named = bool(failed)
        if failed:
            return failed
        if code is None:
            return None
        # Tests that cannot even be collected fail without a name.
        return tests[0] if code else ""

    def _alone(self, test: str, source: bytes) -> bool | None:
        if source is self.right and (test in self.copy.passing or (self.named and test in self.passed)):
            return True
        code, _ = self._pytest([test], source, ALONE_SECONDS)
        if source is self.right and code == 0:
            self.copy.passing.add(test)
        return None if code is None and source is self.right else code == 0

    def _pytest(self, tests: Sequence[str], source: bytes, seconds: float) -> tuple[int | None, str]:
        listed, failures = self.copy.root.parent / "tests.txt", self.copy.failures
        listed.write_text("".join(f"{test}\n" for test in tests))
        self.copy.limits.write_text(json.dumps(self.limits))
        failures.unlink(missing_ok=True)
        words = ["-q", "-x", "--tb=no", "-n", "0", *PLUGIN, f"@{listed}"]
        with self.copy.holding(self.mutant.path, source):
            code = self.copy.run(words, max(seconds, 1.0))
        failed = failures.read_text().splitlines() if failures.exists() else []
        return code, failed[0] if failed else ""


def trials(mutants: Sequence[Mutant], known: Reach, jobs: int, seconds: float) -> list[Verdict]:
    """All of them, so many side by side, each in a copy of its own."""
    waiting: queue.SimpleQueue[Mutant] = queue.SimpleQueue()
    for mutant in mutants:
        waiting.put(mutant)
    found: list[Verdict] = []
    unsound: list[Scratch] = []

    def work(copy: Scratch) -> None:
        if copy.run(["-q", "-n", "0", SOUND], SOUND_SECONDS) != 0:
            unsound.append(copy)
            return
        while True:
            try:
                mutant = waiting.get_nowait()
            except queue.Empty:
                return
            verdict = Trial(copy, mutant, known, seconds).verdict()
            found.append(verdict)
            print(
                f"{len(found)}/{len(mutants)} {verdict.end}: {mutant.place} {mutant} ({verdict.why})",
                file=sys.stderr,
                flush=True,
            )

    with ExitStack() as stack:
        copies = [stack.enter_context(scratch(ROOT)) for _ in range(jobs)]
        threads = [threading.Thread(target=work, args=(copy,), daemon=True) for copy in copies]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    if unsound:
        raise SystemExit(f"{SOUND} does not pass in a copy without a mistake: nothing can be told")
    return found


def _by_turns(mutants: Sequence[Mutant]) -> list[Mutant]:
    """One of each room, and again: what is known before the end is of all rooms."""
    rooms: dict[str, list[Mutant]] = {}
    for one in mutants:
        rooms.setdefault(one.room, []).append(one)
    return [one for turn in zip_longest(*rooms.values()) for one in turn if one is not None]


def rate(ends: Counter[str]) -> str:
    counted = sum(ends.values()) - ends["equivalent"]
    return f"{ends['killed']}/{counted} = {100 * ends['killed'] / counted:.0f} %" if counted else "-"


def table(verdicts: Sequence[Verdict], rooms: Sequence[str]) -> str:
    rows = [
        f"| room | drawn | {' | '.join(ENDS)} | rate without equivalent |",
        "| --- " * (len(ENDS) + 3) + "|",
    ]
    for room in [*rooms, "all"]:
        ends = Counter(one.end for one in verdicts if room in {one.mutant.room, "all"})
        rows.append(
            f"| {room} | {sum(ends.values())} | {' | '.join(str(ends[end]) for end in ENDS)} | {rate(ends)} |"
        )
    unseen = sorted(
        (one for one in verdicts if one.end in {"survived", "timed out"}), key=lambda one: one.mutant.place
    )
    rows += ["", "Not noticed:" if unseen else "All were noticed."]
    rows += [
        f"  {one.mutant.place} {one.mutant}  ({one.mutant.change.what}; {one.end}, {one.why})"
        for one in unseen
    ]
    return "\n".join(rows)


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    words.add_argument("--seed", type=int, default=1)
    words.add_argument("--number", type=int, default=100)
    words.add_argument("--rooms", nargs="+", choices=ROOMS, default=ROOMS)
    words.add_argument("--jobs", type=int, default=2)
    words.add_argument("--seconds", type=float, default=SECONDS, help="for the tests of one mutant")
    words.add_argument(
        "--old-lines", action="store_true", help="make do with what was last found about lines"
    )
    words.add_argument("--quick", action="store_true", help="with unit and contract tests alone")
    words.add_argument("--list", action="store_true", help="say what would be drawn, and do nothing")
    said = words.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that no copy and no process stays
    drawn = draw(ROOT, said.seed, said.number, said.rooms)
    if said.list:
        print(*(f"{mutant.place} {mutant}" for mutant in drawn), sep="\n")
        return
    listed = equivalents()
    verdicts = [
        Verdict(one, "equivalent", listed[f"{one.path} {one}"]) for one in drawn if is_equivalent(one, listed)
    ]
    rest = _by_turns([one for one in drawn if not is_equivalent(one, listed)])
    known = reach(ROOT, said.rooms, said.jobs, old=said.old_lines, quick=said.quick)
    verdicts += trials(rest, known, said.jobs, said.seconds)
    print(table(verdicts, said.rooms))


if __name__ == "__main__":
    main()
