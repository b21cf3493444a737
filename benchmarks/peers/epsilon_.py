"""Epsilon twice, critical and not, and once more for each forced strategy in a process of its own."""

from __future__ import annotations

import os
import sys
from array import array
from pathlib import Path

import epsilon
from benchmarks.peers import CRITICAL, DEFAULT, STRATEGIES, strategy_row
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
    return {**rows, **forced(workshop)}


def peer(name: str, target: Path, critical: bool) -> Peer:
    """Bind the shapes from their C prototypes, the loop and the sort from types."""
    lib = epsilon.lib_open(str(target))
    functions = {shape.symbol: lib.bind(shape.prototype, critical=critical) for shape in SHAPES}
    call_back = lib.bind("call_back", "int", ["pointer", "int"], critical=critical)
    adder = epsilon.make_callback(add_in_python, "int", ["int", "int"])
    qsort = epsilon.lib_open("libc").bind(
        "qsort", "void", [("buffer", "writable"), "size", "size", "pointer"], critical=critical)
    comparator = epsilon.make_callback(compare, "int", [("in", "int"), ("in", "int")])

    def sort(data: array) -> None:
        qsort(data, len(data), data.itemsize, comparator)

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
