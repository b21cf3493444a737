"""What memory costs: a member, an element, an allocation, a pooled block.  Epsilon's is guarded; cffi's and
ctypes' is checked against its bounds at most."""

from __future__ import annotations

import ctypes
from collections.abc import Callable

import cffi

import epsilon
from benchmarks.peers import CFFI_ABI, CTYPES, DEFAULT
from benchmarks.rounds import Plan, Results
from benchmarks.ways import statement, take_turns

READ_INT = "p.x, an int"
READ_DOUBLE = "p.d, a double"
WRITE_INT = "p.x = 5"
WRITE_DOUBLE = "p.d = 1.5"
READ_ELEMENT = "p[50] of 100 ints"
WRITE_ELEMENT = "p[50] = 7"
ALLOCATE = "an int allocated and freed"
POOLED = "a block of 100 ints for a moment"
FIELDS = (READ_INT, READ_DOUBLE, WRITE_INT, WRITE_DOUBLE)
ELEMENTS = (READ_ELEMENT, WRITE_ELEMENT)
WAYS = (*FIELDS, *ELEMENTS, ALLOCATE, POOLED)

STATEMENTS = {
    READ_INT: "p.x", READ_DOUBLE: "p.d", WRITE_INT: "p.x = 5", WRITE_DOUBLE: "p.d = 1.5", READ_ELEMENT: "p[50]",
    WRITE_ELEMENT: "p[50] = 7",
}  # fmt: skip
Runs = dict[str, Callable[[int], float]]


def accesses(struct: object, array: object) -> Runs:
    """The loops over a struct's members and over an array's elements."""
    runs = {way: statement(STATEMENTS[way], p=struct) for way in FIELDS}
    return {**runs, **{way: statement(STATEMENTS[way], p=array) for way in ELEMENTS}}


def of_epsilon() -> Runs:
    """Epsilon's."""
    mixed = epsilon.define_c_struct("benchmarked", [("x", "int"), ("d", "double"), ("n", "long"), ("p", "pointer")])
    runs = accesses(mixed(), epsilon.foreign_alloc("int", 100))
    runs[ALLOCATE] = statement("free(alloc('int'))", alloc=epsilon.foreign_alloc, free=epsilon.foreign_free)
    runs[POOLED] = statement("with pooled('int', 100) as p: pass", pooled=epsilon.pooled_memory)
    return runs


def of_cffi() -> Runs:
    """cffi's, which has no pool: a block for a moment is one that is allocated."""
    ffi = cffi.FFI()
    ffi.cdef("struct benchmarked { int x; double d; long n; void *p; };")
    runs = accesses(ffi.new("struct benchmarked *"), ffi.new("int[100]"))
    runs[ALLOCATE] = statement("new('int *')", new=ffi.new)
    runs[POOLED] = statement("p = new('int[100]')", new=ffi.new)
    return runs


def of_ctypes() -> Runs:
    """ctypes'."""

    class Mixed(ctypes.Structure):
        _fields_ = [("x", ctypes.c_int), ("d", ctypes.c_double), ("n", ctypes.c_long), ("p", ctypes.c_void_p)]

    array = ctypes.c_int * 100
    runs = accesses(Mixed(), array())
    runs[ALLOCATE] = statement("new()", new=ctypes.c_int)
    runs[POOLED] = statement("p = new()", new=array)
    return runs


def measure(keys: list[str], plan: Plan, results: Results) -> None:
    """Add the samples of every way to the results."""
    makers = {"epsilon": (DEFAULT, of_epsilon), "cffi": (CFFI_ABI, of_cffi), "ctypes": (CTYPES, of_ctypes)}
    chosen = dict(makers[key] for key in keys if key in makers)
    take_turns("what memory costs", chosen, WAYS, plan, results)
