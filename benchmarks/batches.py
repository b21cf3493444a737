"""What several calls cost at once: ten calls of abs one by one and in a batch; a C function over an array as a ufunc,
beside the same loop in C, which calls through a pointer too, and numpy.vectorize."""

from __future__ import annotations

import os
import random
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import epsilon
from benchmarks.peers import DEFAULT
from benchmarks.rounds import Plan, Results, progress
from benchmarks.tasks import calibrate
from benchmarks.ways import statement
from benchmarks.workshop import Unavailable, Workshop
from epsilon import _backend
from epsilon._runtime import planned_batch

BATCH, COMPILED = "Epsilon, in a batch", "Epsilon, in a compiled batch"
C_LOOP = "the loop in C"
NUMPY_VECTORIZE = "numpy.vectorize"
ELEMENTS = 1_000_000
TEN = "ten calls of abs, ns"
VECTOR = "double(double), ns an element"
ALL = (TEN, VECTOR)
ROWS = (C_LOOP, DEFAULT, BATCH, COMPILED, NUMPY_VECTORIZE)


def ten_calls() -> dict[str, Callable[[int], float]]:
    """The loops over ten calls of abs.  The batches are what ``with-foreign-batch`` keeps for such a form."""
    function = epsilon.lib_open("libc").bind("int abs(int n)")
    shape = ((None, None), *[(0, None)] * 9)
    rows = {BATCH: planned_batch(shape), COMPILED: planned_batch(shape)}
    loops = {DEFAULT: statement("; ".join(["f(-3)"] * 10), f=function)}
    for row, batch in rows.items():
        with entries(there=row == COMPILED):
            assert batch(function, *range(-10, 0)) == [10, 9, 8, 7, 6, 5, 4, 3, 2, 1]
        if batch.compiled == (row == COMPILED):
            loops[row] = statement(f"b(f, {', '.join(['-3'] * 10)})", b=batch, f=function)
    return loops


@contextmanager
def entries(there: bool) -> Iterator[None]:
    """Compiled code is built on first use, and into a cache of its own: what follows is measured without it."""
    before = _backend.strategy, _backend.entries_there, os.environ.get("EPSILON_CACHE")
    with tempfile.TemporaryDirectory() as place:
        _backend.strategy, _backend.entries_there = "compiled" if there else None, there
        os.environ["EPSILON_CACHE"] = place
        try:
            yield
        finally:
            _backend.strategy, _backend.entries_there = before[:2]
            del os.environ["EPSILON_CACHE"]
            os.environ.update({} if before[2] is None else {"EPSILON_CACHE": before[2]})


def vectors(target: str, numpy: Any) -> dict[str, Callable[[], float]]:
    """Each goes over an array once and gives its nanoseconds an element; the results' memory was touched before."""
    library = epsilon.lib_open(target)
    function = library.bind("double poly(double x)")
    apply = library.bind("apply", "void", ["pointer"] * 3 + ["size"])
    ufunc, slow = epsilon.vectorize(function), numpy.vectorize(function)
    values, results = numpy.linspace(0, 1, ELEMENTS), numpy.ones(ELEMENTS)
    few = values[: ELEMENTS // 100]
    source, goal = epsilon.pinned_array(values), epsilon.pinned_array(results)

    def timed(run: Callable[[], Any], count: int = ELEMENTS) -> float:
        start = time.perf_counter()
        run()
        return (time.perf_counter() - start) * 1e9 / count

    return {
        C_LOOP: lambda: timed(lambda: apply(function, source, goal, ELEMENTS)),
        DEFAULT: lambda: timed(lambda: ufunc(values, out=results)),
        NUMPY_VECTORIZE: lambda: timed(lambda: slow(few), len(few)),
    }


def measure(workshop: Workshop, keys: list[str], plan: Plan, results: Results) -> None:
    """Add the samples to the results; without NumPy those of the ten calls alone."""
    if "epsilon" not in keys:
        return
    calls, order = ten_calls(), random.Random(5)
    loops = {row: calibrate(run, plan.seconds) for row, run in calls.items()}
    try:
        runs = vectors(str(workshop.target), workshop.install("numpy"))
    except Unavailable as reason:
        results.reasons[C_LOOP] = str(reason)
        runs = {}
    for turn in range(max(plan.rounds, 5)):
        progress(f"batches and vectors, round {turn + 1}")
        for row in order.sample(sorted(calls), len(calls)):
            results.samples[row][TEN].append(calls[row](loops[row]) / loops[row])
        for row in order.sample(sorted(runs), len(runs)):
            results.samples[row][VECTOR].append(runs[row]())
    progress("")
