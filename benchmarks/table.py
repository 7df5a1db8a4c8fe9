"""Turns what the drivers reported into one Markdown table with everything a reader must know to compare."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

DISTURBED_CORES: Final = 0.2
"""Others used more than this during a run: the table says that its figures are not to be quoted."""

Report = Mapping[str, Any]


def markdown(reports: Sequence[Report], when: str, quick: bool) -> str:
    """The table, what it was measured on before it and its notes after it."""
    columns = _columns(reports)
    lines = [f"# Peers side by side, {when}", "", machine(), ""]
    lines += [f"**{warning}**\n" for warning in _warnings(reports, quick)]
    head = ["system", *map(_heading, columns), "round trip p50 / p99, ms", "others' CPU, cores"]
    head += ["processes besides the client", "durability", "batching", "transport", "client gets"]
    lines += [_line(head), _line(["---"] * len(head))]
    lines += [_line(_row(report, columns)) for report in reports]
    lines += [
        "",
        "Medians (lowest - highest). tasks/s from before the first submission until all results are",
    ]
    lines += ["in the client; workers are single-threaded; round trips with 2 workers, one task at a time."]
    notes = [note for report in reports for note in _notes(report)]
    return "\n".join([*lines, "", *notes, ""])


def machine() -> str:
    """One line on where this ran."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"{os.cpu_count()} cores ({_processor()}), {memory:.0f} GiB, "
        f"{platform.system()} {platform.release()}, "
        f"CPython {platform.python_version()}. Figures hold for this machine and this run only."
    )


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _columns(reports: Sequence[Report]) -> list[tuple[str, int, int]]:
    found = {
        (name, measure["asked"], measure["workers"])
        for report in reports
        for name, measure in report.get("measures", {}).items()
        if name.startswith("trivial_")
    }
    return sorted(found, key=lambda column: column[1:])


def _heading(column: tuple[str, int, int]) -> str:
    _, tasks, workers = column
    return f"{tasks:,} tasks, {workers} worker{'s' if workers > 1 else ''}, tasks/s"


def _row(report: Report, columns: Sequence[tuple[str, int, int]]) -> list[str]:
    measures = report.get("measures", {})
    versions = ", ".join(f"{name} {version}" for name, version in report.get("versions", {}).items())
    processes = report.get("processes", {})
    names = ", ".join(f"{count} {name}" for name, count in processes.items())
    return [
        f"**{report.get('title', report['name'])}** {versions}",
        *(_rate(measures.get(name)) for name, _, _ in columns),
        _latency(measures.get("round_trip")),
        _others(report),
        f"{sum(processes.values())}: {names}" if processes else "-",
        *(str(report.get(key, "-")) for key in ("durability", "batching", "transport", "result")),
    ]


def _rate(measure: Report | None) -> str:
    if not measure or not measure["tasks_per_s"]:
        return "-"
    shown = _spread(measure["tasks_per_s"], ",.0f")
    return shown if measure["tasks"] == measure["asked"] else f"{shown}, {measure['tasks']:,} tasks"


def _latency(measure: Report | None) -> str:
    if not measure or not measure["p50_ms"]:
        return "-"
    return f"{_spread(measure['p50_ms'], '.2f')} / {_spread(measure['p99_ms'], '.2f')}"


def _spread(values: Mapping[str, float], form: str) -> str:
    median, low, high = (format(values[key], form) for key in ("median", "low", "high"))
    return f"{median} ({low} - {high})" if low != high else median


def _runs(report: Report) -> Iterator[Report]:
    for measure in report.get("measures", {}).values():
        yield from measure["runs"]


def _others(report: Report) -> str:
    used = [run["others"] for run in _runs(report)]
    return f"{min(used):.2f} - {max(used):.2f}" if used else "-"


def _warnings(reports: Sequence[Report], quick: bool) -> Iterator[str]:
    if quick:
        yield "Quick sizes, one run: shows that the drivers work, not how fast anything is."
    used = [run["others"] for report in reports for run in _runs(report)]
    if used and max(used) > DISTURBED_CORES:
        disturbed = sum(each > DISTURBED_CORES for each in used)
        runs = f"{disturbed} of {len(used)} runs"
        yield f"Not a quiet machine: in {runs} others used more than {DISTURBED_CORES} cores."
    unconfined = [report["name"] for report in reports if report.get("network") == "not confined"]
    if unconfined:
        yield f"Network not confined to loopback (needs root or user namespaces): {', '.join(unconfined)}."


def _notes(report: Report) -> Iterator[str]:
    title = report.get("title", report["name"])
    if report.get("error"):
        yield f"- {title}: not measured, or not all of it: {report['error']}"
    for name, measure in report.get("measures", {}).items():
        column = _heading((name, measure["asked"], measure["workers"])).removesuffix(", tasks/s")
        shown = f"- {title}, {'round trip' if name == 'round_trip' else column}"
        runs, planned = len(measure["runs"]), measure["runs_planned"]
        if measure["note"]:
            yield f"{shown}: {measure['note']}"
        if 0 < runs < planned:
            yield f"{shown}: {runs} of {planned} runs, to stay within its time"


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"
