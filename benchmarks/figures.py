"""The figures that need fresh processes: making callbacks, binding, importing, loading a compiled Hy module."""

from __future__ import annotations

import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from benchmarks import forms
from benchmarks.rounds import Statistic, progress
from benchmarks.workshop import Unavailable, Workshop, run

FRESH = Path(__file__).with_name("fresh.py")
WHO = ("epsilon", "cffi", "ctypes")
PYTHON = "python"
IMPORTS_A_ROUND = 3


class Figure(NamedTuple):
    """One line of the second table."""

    title: str
    unit: str


MADE = Figure("making a callback int(int,int)", "µs")
BYTES = Figure("a live callback, resident, of 100,000", "bytes")
BIND_TYPES = Figure("binding a function of a known signature, from types", "µs")
BIND_PROTOTYPE = Figure("binding a function of a known signature, from its C prototype", "µs")
IMPORT = Figure("import, over bare Python", "ms")
BARE = Figure("bare Python", "ms")
LOAD = Figure("a compiled Hy module of 500 defshared forms (cffi: one cdef of the 500), hy imported", "ms")
LOAD_WARM = Figure("the same with epsilon (cffi) imported too", "ms")
FIGURES = (MADE, BYTES, BIND_TYPES, BIND_PROTOTYPE, IMPORT, LOAD, LOAD_WARM)


class Measured:
    """Samples by figure and peer; what could not be measured has a reason instead."""

    def __init__(self) -> None:
        self.samples: dict[tuple[Figure, str], list[float]] = defaultdict(list)
        self.reasons: dict[tuple[Figure, str], str] = {}

    def value(self, figure: Figure, who: str, statistic: Statistic) -> float:
        """One figure; KeyError where it was not measured."""
        if (figure, who) not in self.samples:
            raise KeyError(f"{figure.title} of {who}")
        bare = statistic(self.samples[BARE, PYTHON]) if figure is IMPORT else 0.0
        return statistic(self.samples[figure, who]) - bare


def measure(workshop: Workshop, keys: list[str], processes: int) -> Measured:
    """Run every child `processes` times, interleaved; the slow ones a third as often."""
    measured = Measured()
    who = [name for name in WHO if name in keys]
    seldom = max(1, processes // 3)
    with tempfile.TemporaryDirectory(prefix="epsilon-bench-") as directory:
        place = Path(directory)
        jobs: list[tuple[int, tuple[Figure, ...], str, Callable[[], list[float]]]] = []
        for name in who:
            jobs.append((seldom, (MADE, BYTES), name, child("callbacks", name)))
        try:
            many = forms.library(workshop)
        except Unavailable as error:
            many = None
            for name in who:
                measured.reasons.update({(figure, name): str(error) for figure in (BIND_TYPES, LOAD, LOAD_WARM)})
        if many is not None:
            jobs += binding_jobs(who, many, processes)
            jobs += loading_jobs(who, many, place, processes, measured)
        for _ in range(IMPORTS_A_ROUND):
            jobs.append((processes, (BARE,), PYTHON, start_up("pass", place)))
            jobs += [(processes, (IMPORT,), name, start_up(f"import {name}", place)) for name in who]
        for turn in range(processes):
            progress(f"fresh processes, round {turn + 1} of {processes}")
            for rounds, figures, name, job in jobs:
                if turn >= rounds or (figures[0], name) in measured.reasons:
                    continue
                try:
                    for figure, value in zip(figures, job(), strict=True):
                        measured.samples[figure, name].append(value)
                except Exception as error:  # reported in the table
                    measured.reasons.update({(figure, name): str(error) for figure in figures})
    progress("")
    return measured


def child(*arguments: str) -> Callable[[], list[float]]:
    """A job that runs fresh.py and reads the numbers it prints."""
    return lambda: [float(word) for word in run([sys.executable, str(FRESH), *arguments]).split()]


def binding_jobs(who: list[str], many: Path, processes: int) -> list:
    """Binding by types for all; by prototype for Epsilon and for cffi, which has no other way."""
    jobs = []
    for name in who:
        figures = (BIND_PROTOTYPE,) if name == "cffi" else (BIND_TYPES,)
        jobs.append((processes, figures, name, child("bind", name, str(many))))
    if "epsilon" in who:
        jobs.append((processes, (BIND_PROTOTYPE,), "epsilon", child("bind", "epsilon-prototype", str(many))))
    return jobs


def loading_jobs(who: list[str], many: Path, place: Path, processes: int, measured: Measured) -> list:
    """Loading the compiled modules; what cannot be compiled leaves its reason."""
    jobs = []
    for name, write in (("epsilon", forms.hy_module), ("cffi", forms.cffi_module)):
        if name not in who:
            continue
        try:
            module = write(place, many)
        except Unavailable as error:
            measured.reasons.update({(figure, name): str(error) for figure in (LOAD, LOAD_WARM)})
            continue
        jobs.append((processes, (LOAD,), name, child("load", str(place), module, "hy")))
        jobs.append((processes, (LOAD_WARM,), name, child("load", str(place), module, f"hy,{name}")))
    return jobs


def start_up(code: str, place: Path) -> Callable[[], list[float]]:
    """A job that takes the wall time of `python -c CODE`, in an empty directory, for that is on the path of `-c`."""
    empty = place / "empty"
    empty.mkdir(exist_ok=True)

    def job() -> list[float]:
        start = time.perf_counter()
        run([sys.executable, "-c", code], cwd=empty)
        return [(time.perf_counter() - start) * 1e3]

    return job
