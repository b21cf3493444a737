"""The peers: one module each, whose `load(workshop)` builds what it needs and returns its rows."""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from typing import Any, NamedTuple

from benchmarks.workshop import Unavailable, Workshop


class Entry(NamedTuple):
    """One peer of the catalogue: its short name, its module, and the rows it fills."""

    key: str
    module: str
    rows: tuple[str, ...]


HANDWRITTEN = "hand-written extension"
CRITICAL = "Epsilon :critical"
DEFAULT = "Epsilon"
NATIVE = "Epsilon, native callbacks"
CFFI_API = "cffi API mode"
CFFI_ABI = "cffi ABI mode"
CTYPES = "ctypes"

STRATEGIES = ("compiled", "registers", "libffi", "cffi")


def strategy_row(strategy: str, row: str) -> str:
    """The name of Epsilon's row `row` with `strategy` forced."""
    return f"{row}, {strategy}"


CATALOGUE = (
    Entry("c", "in_c", ("C",)),
    Entry("handwritten", "handwritten", (HANDWRITTEN,)),
    Entry("epsilon", "epsilon_", (CRITICAL, DEFAULT, NATIVE)),
    Entry("nanobind", "nanobind_", ("nanobind",)),
    Entry("cython", "cython_", ("Cython",)),
    Entry("pybind11", "pybind11_", ("pybind11",)),
    Entry("cffi", "cffi_", (CFFI_API, CFFI_ABI)),
    Entry("ctypes", "ctypes_", (CTYPES,)),
    Entry("numba", "numba_", ("numba cfunc",)),
    Entry("luajit", "luajit", ("LuaJIT",)),
    Entry("sbcl", "sbcl", ("SBCL sb-alien", "SBCL CL CFFI")),
)
KEYS = tuple(entry.key for entry in CATALOGUE)


def load(workshop: Workshop, keys: Iterable[str]) -> tuple[list[Any], dict[str, str]]:
    """Load and check the peers named; return the rows that work and, for each that does not, its reason."""
    rows: list[Any] = []
    reasons: dict[str, str] = {}
    for entry in CATALOGUE:
        if entry.key not in keys:
            continue
        try:
            found = importlib.import_module(f"benchmarks.peers.{entry.module}").load(workshop)
        except Exception as error:  # whatever a foreign tool chain does must end in the table, not in a traceback
            reasons.update(dict.fromkeys(entry.rows, reason(error)))
            continue
        for name, row in found.items():
            try:
                if isinstance(row, Exception):
                    raise row
                row.check()
            except Exception as error:
                reasons[name] = reason(error)
            else:
                rows.append(row)
    return rows, reasons


def reason(error: Exception) -> str:
    """The one line that stands in the row of a peer that could not be measured."""
    text = str(error).strip().splitlines()
    if isinstance(error, Unavailable) and text:
        return text[0]
    return f"{type(error).__name__}: {text[0] if text else ''}".rstrip(": ")
