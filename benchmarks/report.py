"""The tables, as plain text for the terminal and as Markdown for RESULTS.md."""

from __future__ import annotations

import datetime
import os
import platform
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks import batches, buffers, natives
from benchmarks.figures import FIGURES, WHO, Measured
from benchmarks.judge import Verdict
from benchmarks.memories import WAYS as MEMORY_WAYS
from benchmarks.peers import CATALOGUE, CFFI_ABI, CRITICAL, CTYPES, DEFAULT, HANDWRITTEN, STRATEGIES, strategy_row
from benchmarks.rounds import LOOP, STATISTICS, Plan, Results, Statistic
from benchmarks.tasks import CALLBACK, QSORT, SHAPES, TASKS
from benchmarks.ways import WAYS


class Table(NamedTuple):
    """A table with a heading; the first column is text, the others figures."""

    title: str
    headers: Sequence[str]
    rows: Sequence[Sequence[str]]
    notes: Sequence[str] = ()

    def text(self) -> str:
        """Aligned plain text."""
        widths = [max(map(width, column)) for column in zip(self.headers, *self.rows, strict=True)]

        def line(cells: Sequence[str]) -> str:
            first, *others = (cell + " " * (size - width(cell)) if place == 0 else " " * (size - width(cell)) + cell
                              for place, (cell, size) in enumerate(zip(cells, widths, strict=True)))
            return "  ".join([first, *others]).rstrip()

        rule = "-" * (sum(widths) + 2 * (len(widths) - 1))
        return "\n".join([self.title, rule, line(self.headers), rule, *map(line, self.rows), *self.notes])

    def markdown(self) -> str:
        """A Markdown table under a second-level heading."""
        lines = [f"## {self.title}", "", "| " + " | ".join(self.headers) + " |",
                 "|---|" + "---:|" * (len(self.headers) - 1)]
        lines += ["| " + " | ".join(row) + " |" for row in self.rows]
        if self.notes:
            lines += ["", *(f"- {note}" for note in self.notes)]
        return "\n".join(lines)


def width(text: str) -> int:
    """Columns on a terminal: combining marks take none."""
    return sum(not unicodedata.combining(letter) for letter in text)


HEADERS = {**{shape.symbol: shape.title for shape in SHAPES}, CALLBACK: "callback", QSORT: "qsort, ms"}


def main_table(results: Results, statistic: str) -> Table:
    """Nanoseconds and, beside them, the ratio to the hand-written extension; one row per peer, working or not."""
    rows = [name for entry in CATALOGUE for name in entry.rows if name in results.samples or name in results.reasons]
    value = STATISTICS[statistic]
    body = [row_cells(results, row, value) for row in rows]
    notes = [f"an empty loop, contained in every Python peer's call: {cell(results, LOOP, LOOP, value)} ns"]
    notes += [f"{row}: not measured: {results.reasons[row]}" for row in rows if row in results.reasons]
    return Table(f"Nanoseconds per call and callback, × the hand-written extension ({statistic} of the rounds)",
                 ["", *HEADERS.values()], body, notes)


def strategy_table(results: Results, statistic: str) -> Table:
    """Epsilon's rows with each strategy forced, calls only."""
    calls = [shape.symbol for shape in SHAPES]
    names = [strategy_row(strategy, row) for strategy in STRATEGIES for row in (CRITICAL, DEFAULT)]
    body = [row_cells(results, name, STATISTICS[statistic], calls) for name in names]
    notes = [f"{name}: not measured: {results.reasons[name]}" for name in names if name in results.reasons]
    return Table(f"Epsilon with its strategy forced by EPSILON_STRATEGY ({statistic} of the rounds)",
                 ["", *(HEADERS[task] for task in calls)], body, notes)


def ways_table(results: Results, statistic: str) -> Table:
    """What a call may ask for, and who else offers it."""
    rows = [row for row in (CRITICAL, DEFAULT, CFFI_ABI, CTYPES) if row in results.samples]
    body = [[row, *(cell(results, row, way, STATISTICS[statistic]) for way in WAYS)] for row in rows]
    return Table(f"Nanoseconds of what a call may ask for ({statistic} of the rounds)", ["", *WAYS], body)


def memory_table(results: Results, statistic: str) -> Table:
    """What memory costs."""
    rows = [row for row in (DEFAULT, CFFI_ABI, CTYPES) if row in results.samples]
    body = [[row, *(cell(results, row, way, STATISTICS[statistic]) for way in MEMORY_WAYS)] for row in rows]
    notes = ["Epsilon allocates and frees, and takes from its pool; the others allocate, and free when nobody looks"]
    return Table(f"Nanoseconds of what memory costs ({statistic} of the rounds)", ["", *MEMORY_WAYS], body, notes)


def buffers_table(results: Results, statistic: str) -> Table:
    """Copies to and from NumPy's arrays, and views."""
    rows = [row for row in (buffers.MEMCPY, DEFAULT, CFFI_ABI, CTYPES) if row in results.samples]
    body = [[row, *(cell(results, row, way, STATISTICS[statistic]) for way in buffers.ALL)] for row in rows]
    notes = [f"not measured: {results.reasons[buffers.MEMCPY]}"] if buffers.MEMCPY in results.reasons else []
    return Table(f"Arrays of NumPy's ({statistic} of the rounds)", ["", *buffers.ALL], body, notes)


def natives_table(results: Results, statistic: str) -> Table:
    """Native code beside C, and what it takes to have it."""
    rows = [row for row in (natives.C, natives.NATIVE) if row in results.samples]
    body = [[row, *(cell(results, row, way, STATISTICS[statistic]) for way in natives.WAYS)] for row in rows]
    return Table(f"Native code ({statistic} of the rounds)", ["", *natives.WAYS], body)


def batches_table(results: Results, statistic: str) -> Table:
    """Several calls at once."""
    rows = [row for row in batches.ROWS if row in results.samples]
    body = [[row, *(cell(results, row, way, STATISTICS[statistic]) for way in batches.ALL)] for row in rows]
    notes = [f"not measured: {results.reasons[batches.C_LOOP]}"] if batches.C_LOOP in results.reasons else []
    return Table(f"Batches and vectors ({statistic} of the rounds)", ["", *batches.ALL], body, notes)


def row_cells(results: Results, row: str, statistic: Statistic, tasks: Sequence[str] = TASKS) -> list[str]:
    """The cells of one peer: figure and ratio."""
    cells = [row]
    for task in tasks:
        text = cell(results, row, task, statistic)
        try:
            ratio = results.value(row, task, statistic) / results.value(HANDWRITTEN, task, statistic)
        except KeyError:
            cells.append(text)
        else:
            cells.append(f"{text} {ratio:>6.2f}×")
    return cells


def cell(results: Results, row: str, task: str, statistic: Statistic) -> str:
    """A figure in nanoseconds (the sort in milliseconds), or a dash."""
    try:
        value = results.value(row, task, statistic)
    except KeyError:
        return "–"
    return f"{value / 1e6:.0f}" if task == QSORT else f"{value:.1f}"


def figure_table(measured: Measured, statistic: str) -> Table:
    """The figures from fresh processes."""
    value = STATISTICS[statistic]

    def figure_cell(figure, who: str) -> str:
        try:
            return f"{measured.value(figure, who, value):.2f} {figure.unit}"
        except KeyError:
            return "failed" if (figure, who) in measured.reasons else "–"

    notes = [f"{who}, {figure.title}: {reason}" for (figure, who), reason in measured.reasons.items()]
    body = [[figure.title, *(figure_cell(figure, who) for who in WHO)] for figure in FIGURES]
    return Table(f"Making, binding, importing, loading ({statistic} of fresh processes)", ["", *WHO], body, notes)


def verdict_table(verdicts: Sequence[Verdict]) -> Table:
    """Asked against measured."""
    return Table("Asked and measured", ["", "asked", "minima", "medians", "verdict"], [list(row) for row in verdicts])


def machine() -> list[str]:
    """What the figures were measured on."""
    model = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), model)
    date = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC")
    return [
        f"Date: {date}",
        f"Processor: {model}, {os.cpu_count()} cores; load average at the end: "
        + ", ".join(f"{load:.1f}" for load in os.getloadavg()),
        f"System: {platform.system()} {platform.release()} {platform.machine()}, {' '.join(platform.libc_ver())}",
        f"Python: {platform.python_implementation()} {platform.python_version()}, {platform.python_compiler()}",
    ]


def versions(results: Results) -> list[str]:
    """The version each row was measured with."""
    return [f"{row}: {version}" for row, version in results.versions.items() if version]


def method(plan: Plan) -> str:
    """The method in short, with this run's numbers."""
    return (
        f"All rows were measured in one run. In each of {plan.rounds} rounds every peer does every shape and the "
        f"callback once, in a shuffled order, in a loop of about {plan.seconds * 1000:g} ms; the sort has {plan.sorts} "
        "rounds. Nothing is subtracted: a call's figure holds one turn of `timeit`'s loop. Ratios are to the "
        f"hand-written extension. The figures from fresh processes are of {plan.processes} processes each "
        f"({max(1, plan.processes // 3)} for callbacks made).")


def write_markdown(path: Path, plan: Plan, results: Results, tables: Sequence[Table], picture: str | None) -> None:
    """Write RESULTS.md."""
    parts = ["# Results of `make bench`", "", "Written by `benchmarks/run.py`; the method in full is in "
             "[README.md](README.md).", "", *(f"- {line}" for line in machine()), "", method(plan), ""]
    if picture:
        parts += [f"![Nanoseconds by peer and shape]({picture})", ""]
    for table in tables:
        parts += [table.markdown(), ""]
    parts += ["## Versions", "", *(f"- {line}" for line in versions(results)), ""]
    path.write_text("\n".join(parts))
