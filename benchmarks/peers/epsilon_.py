"""Epsilon twice, critical and not; its native callbacks; and each forced strategy in a process of its own."""

from __future__ import annotations

import os
import sys
from array import array
from collections.abc import Callable
from pathlib import Path
from typing import Any

import epsilon
from benchmarks.peers import CRITICAL, DEFAULT, NATIVE, STRATEGIES, strategy_row
from benchmarks.remote import Remote
from benchmarks.tasks import SHAPES, Peer, add_in_python, compare
from benchmarks.workshop import Unavailable, Workshop

RUN = Path(__file__).resolve().parents[1] / "run.py"


def load(workshop: Workshop) -> dict[str, Peer | Remote | Exception]:
    """Both rows of the main table and those of the strategies."""
    rows: dict[str, Peer | Remote | Exception] = {}
    for name, critical in ((CRITICAL, True), (DEFAULT, False)):
        try:
            rows[name] = peer(name, workshop.target, critical)
        except Exception as error:  # :critical needs the shim; the default works without
            rows[name] = error
    try:
        rows[NATIVE] = native(workshop.target)
    except epsilon.CompilerError as error:
        rows[NATIVE] = error
    return {**rows, **forced(workshop)}


def native(target: Path) -> Peer:
    """The callbacks as native code, in default calls; the row has no calls of its own, as numba's."""
    call_back = epsilon.lib_open(str(target)).bind("call_back", "int", ["pointer", "int"])
    adder = epsilon.define_native("int adder(int a, int b)", "(+ a b)")
    comparator = epsilon.define_native("int comparator(const int *a, const int *b)", "(- (deref a) (deref b))")
    return Peer(NATIVE, "native", call_back=lambda n: call_back(adder, n), sort=sorter(comparator, critical=False))


def sorter(comparator: Any, critical: bool) -> Callable[[array], None]:
    """C's qsort over an array of ints."""
    qsort = epsilon.lib_open("libc").bind(
        "qsort", "void", [("buffer", "writable"), "size", "size", "pointer"], critical=critical)

    def sort(data: array) -> None:
        qsort(data, len(data), data.itemsize, comparator)

    return sort


def peer(name: str, target: Path, critical: bool) -> Peer:
    """Bind the shapes from their C prototypes, the loop and the sort from types."""
    lib = epsilon.lib_open(str(target))
    functions = {shape.symbol: lib.bind(shape.prototype, critical=critical) for shape in SHAPES}
    call_back = lib.bind("call_back", "int", ["pointer", "int"], critical=critical)
    adder = epsilon.make_callback(add_in_python, "int", ["int", "int"])
    sort = sorter(epsilon.make_callback(compare, "int", [("in", "int"), ("in", "int")]), critical)
    strategies = "/".join(sorted({function.strategy for function in functions.values()}))
    return Peer(name, f"strategy {strategies}", functions, call_back=lambda n: call_back(adder, n), sort=sort)


def forced(workshop: Workshop) -> dict[str, Remote | Exception]:
    """Rows for each strategy forced by EPSILON_STRATEGY, critical and not, calls only."""
    rows: dict[str, Remote | Exception] = {}
    for strategy in STRATEGIES:
        env = {**os.environ, "EPSILON_STRATEGY": strategy, "EPSILON_CACHE": str(workshop.directory / "cache")}
        for kind in (CRITICAL, DEFAULT):
            name = strategy_row(strategy, kind)
            try:
                rows[name] = Remote(name, [sys.executable, str(RUN), "--worker", kind, str(workshop.target)], env,
                                    [shape.symbol for shape in SHAPES])
            except Unavailable as error:  # cffi alone cannot keep the GIL, and says so in its row
                rows[name] = error
    return rows
