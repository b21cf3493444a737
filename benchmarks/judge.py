"""What the issue asks under "How fast", line by line, against what was measured."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from statistics import geometric_mean
from typing import NamedTuple

from benchmarks import batches, buffers, natives
from benchmarks.figures import BIND_PROTOTYPE, BIND_TYPES, BYTES, IMPORT, LOAD, MADE, Figure, Measured
from benchmarks.memories import ALLOCATE, ELEMENTS, FIELDS, POOLED
from benchmarks.peers import CFFI_ABI, CFFI_API, CRITICAL, CTYPES, DEFAULT, HANDWRITTEN, NATIVE, strategy_row
from benchmarks.rounds import STATISTICS, Results, Statistic
from benchmarks.tasks import CALLBACK, QSORT, SHAPES
from benchmarks.ways import CHECKED, FIXED, PLAIN, STRUCT, THREAD, VARIADIC

CALLS = [shape.symbol for shape in SHAPES]
CALLS_WITH_ARGUMENTS = CALLS[1:]
COMPILED_CRITICAL, COMPILED = strategy_row("compiled", CRITICAL), strategy_row("compiled", DEFAULT)
#: peers whose callbacks are machine code, too
COMPILING = ("numba cfunc", "SBCL sb-alien", "SBCL CL CFFI", "LuaJIT")


@dataclass
class Reader:
    """All figures of a run under one statistic; a missing one raises KeyError."""

    results: Results
    measured: Measured
    statistic: Statistic

    def ns(self, row: str, task: str) -> float:
        """Nanoseconds of a row of the first table."""
        return self.results.value(row, task, self.statistic)

    def ratio(self, task: str, above: str, below: str) -> float:
        """How many times `below` the row `above` takes."""
        return self.ns(above, task) / self.ns(below, task)

    def epsilon(self, figure: Figure) -> float:
        """A figure of the second table, of Epsilon."""
        return self.measured.value(figure, "epsilon", self.statistic)

    def best_cffi(self, task: str) -> float:
        """cffi's faster mode: the stricter reading where the issue says `cffi`."""
        return min(self.ns(CFFI_API, task), self.ns(CFFI_ABI, task))


class Asked(NamedTuple):
    """One line of the issue: a comparison (`<=`, `<`, `>=`), its limit and how to read the figure."""

    text: str
    comparison: str
    limit: float
    unit: str
    read: Callable[[Reader], float]

    def holds(self, value: float) -> bool:
        """Whether a figure meets the line."""
        return {"<=": value <= self.limit, "<": value < self.limit, ">=": value >= self.limit}[self.comparison]


ASKED = (
    Asked(":critical calls / hand-written extension, geometric mean", "<=", 1.30, "×",
          lambda of: geometric_mean(of.ratio(task, CRITICAL, HANDWRITTEN) for task in CALLS)),
    Asked("default calls / cffi API mode, worst shape", "<", 1.00, "×",
          lambda of: max(of.ratio(task, DEFAULT, CFFI_API) for task in CALLS)),
    Asked("compiled :critical calls / hand-written extension, geometric mean", "<=", 1.08, "×",
          lambda of: geometric_mean(of.ratio(task, COMPILED_CRITICAL, HANDWRITTEN) for task in CALLS)),
    Asked("compiled :critical calls / the best of nanobind, Cython, pybind11, by that mean", "<", 1.00, "×",
          lambda of: max(geometric_mean(of.ratio(task, COMPILED_CRITICAL, row) for task in CALLS)
                         for row in ("nanobind", "Cython", "pybind11") if row in of.results.samples)),
    Asked("compiled default calls / cffi API mode, worst shape", "<=", 0.92, "×",
          lambda of: max(of.ratio(task, COMPILED, CFFI_API) for task in CALLS)),
    Asked("ctypes / default calls, worst shape with arguments", ">=", 2.2, "×",
          lambda of: min(of.ratio(task, CTYPES, DEFAULT) for task in CALLS_WITH_ARGUMENTS)),
    Asked("callback in a :critical call / hand-written callback", "<=", 1.35, "×",
          lambda of: of.ratio(CALLBACK, CRITICAL, HANDWRITTEN)),
    Asked("callback in a default call / ctypes", "<", 1.00, "×", lambda of: of.ratio(CALLBACK, DEFAULT, CTYPES)),
    Asked("callback in a default call / cffi (its faster mode)", "<=", 0.75, "×",
          lambda of: of.ns(DEFAULT, CALLBACK) / of.best_cffi(CALLBACK)),
    Asked("making a callback", "<=", 2, " µs", lambda of: of.epsilon(MADE)),
    Asked("a live callback", "<=", 400, " bytes", lambda of: of.epsilon(BYTES)),
    Asked("qsort: cffi's typed callback (its faster mode) / :critical", ">=", 3, "×",
          lambda of: of.best_cffi(QSORT) / of.ns(CRITICAL, QSORT)),
    Asked("qsort: cffi's typed callback (its faster mode) / default", ">=", 2.4, "×",
          lambda of: of.best_cffi(QSORT) / of.ns(DEFAULT, QSORT)),
    Asked("binding a known signature from types, symbol resolved lazily", "<=", 10, " µs",
          lambda of: of.epsilon(BIND_TYPES)),
    Asked("binding a known signature from its C prototype, likewise", "<=", 10, " µs",
          lambda of: of.epsilon(BIND_PROTOTYPE)),
    Asked("import epsilon, over bare Python", "<=", 15, " ms", lambda of: of.epsilon(IMPORT)),
    Asked("loading a compiled Hy module of 500 defshared forms, hy imported", "<=", 30, " ms",
          lambda of: of.epsilon(LOAD)),
    Asked("errno and check over the plain call, :critical", "<=", 5, " ns",
          lambda of: of.ns(CRITICAL, CHECKED) - of.ns(CRITICAL, PLAIN)),
    Asked("errno and check over the plain call, default", "<=", 5, " ns",
          lambda of: of.ns(DEFAULT, CHECKED) - of.ns(DEFAULT, PLAIN)),
    Asked("a struct of 16 bytes by value, there and back / cffi ABI mode", "<=", 0.5, "×",
          lambda of: of.ratio(STRUCT, DEFAULT, CFFI_ABI)),
    Asked("a variadic call with a known tail / the fixed one, :critical", "<=", 1.5, "×",
          lambda of: of.ns(CRITICAL, VARIADIC) / of.ns(CRITICAL, FIXED)),
    Asked("a variadic call with a known tail / the fixed one, default", "<=", 1.5, "×",
          lambda of: of.ns(DEFAULT, VARIADIC) / of.ns(DEFAULT, FIXED)),
    Asked("a callback from a foreign thread / ctypes", "<=", 1.2, "×", lambda of: of.ratio(THREAD, DEFAULT, CTYPES)),
    Asked("a callback from a foreign thread / cffi ABI mode", "<", 1.0, "×",
          lambda of: of.ratio(THREAD, DEFAULT, CFFI_ABI)),
    Asked("a struct's member read or written / cffi, worst", "<=", 1.4, "×",
          lambda of: max(of.ratio(way, DEFAULT, CFFI_ABI) for way in FIELDS)),
    Asked("an element through the guard, over a bare cffi array's, worst", "<=", 15, " ns",
          lambda of: max(of.ns(DEFAULT, way) - of.ns(CFFI_ABI, way) for way in ELEMENTS)),
    Asked("foreign_alloc and foreign_free of an int / ffi.new", "<=", 2, "×",
          lambda of: of.ratio(ALLOCATE, DEFAULT, CFFI_ABI)),
    Asked("a pooled block of 100 ints / ffi.new", "<=", 0.9, "×", lambda of: of.ratio(POOLED, DEFAULT, CFFI_ABI)),
    Asked("from_buffer of 100 MB / memcpy into memory as fresh", "<=", 1.1, "×",
          lambda of: of.ratio(buffers.OUT, DEFAULT, buffers.MEMCPY)),
    Asked("into_buffer of 100 MB / memcpy into memory as fresh", "<=", 1.1, "×",
          lambda of: of.ratio(buffers.IN, DEFAULT, buffers.MEMCPY)),
    Asked("qsort with a native comparator / with one in C", "<=", 1.10, "×",
          lambda of: of.ratio(natives.QSORT, natives.NATIVE, natives.C)),
    Asked("qsort with a native comparator / the best of numba's cfunc, SBCL and LuaJIT", "<", 1.00, "×",
          lambda of: of.ns(NATIVE, QSORT) / min(of.ns(row, QSORT) for row in COMPILING)),
    Asked("native mandelbrot, sum over an array, string hash / C at -O2, worst", "<=", 1.15, "×",
          lambda of: max(of.ratio(way, natives.NATIVE, natives.C) for way in natives.KERNELS[1:])),
    Asked("first build of one native", "<=", 150, " ms", lambda of: of.ns(natives.NATIVE, natives.FIRST)),
    Asked("one native from the cache", "<=", 1, " ms", lambda of: of.ns(natives.NATIVE, natives.CACHED)),
    Asked("a Hy module of 100 natives from the cache", "<=", 20, " ms",
          lambda of: of.ns(natives.NATIVE, natives.MODULE)),
    Asked("ten calls of abs / the same in a compiled batch", ">=", 4, "×",
          lambda of: of.ratio(batches.TEN, DEFAULT, batches.COMPILED)),
    Asked("vectorize of a double(double) / the loop in C", "<=", 1.2, "×",
          lambda of: of.ratio(batches.VECTOR, DEFAULT, batches.C_LOOP)),
    Asked("numpy.vectorize / vectorize", ">=", 50, "×",
          lambda of: of.ratio(batches.VECTOR, batches.NUMPY_VECTORIZE, DEFAULT)),
    Asked("a view without a copy", "<=", 2, " µs", lambda of: of.ns(DEFAULT, buffers.VIEW) / 1000),
)


class Verdict(NamedTuple):
    """A line of the third table."""

    text: str
    asked: str
    minimum: str
    median: str
    verdict: str


def judge(results: Results, measured: Measured) -> list[Verdict]:
    """Judge every line by the minima and by the medians; it is met when both meet it."""
    readers = {name: Reader(results, measured, statistic) for name, statistic in STATISTICS.items()}
    verdicts = []
    for asked in ASKED:
        shown, met = {}, []
        for name, reader in readers.items():
            try:
                value = asked.read(reader)
            except KeyError:
                shown[name] = "–"
            else:
                shown[name] = f"{value:.{2 if asked.unit == '×' else 1}f}{asked.unit}"
                met.append(asked.holds(value))
        sign = {"<=": "≤", "<": "<", ">=": "≥"}[asked.comparison]
        verdict = "not measured" if not met else "met" if all(met) else "at the edge" if any(met) else "NOT MET"
        verdicts.append(Verdict(asked.text, f"{sign} {asked.limit:g}{asked.unit}", *shown.values(), verdict))
    return verdicts
