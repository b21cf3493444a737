"""What a call may ask for beyond the shapes of the table: errno and a check, a variadic tail, a struct by value, and a
callback from a thread that Python has never seen.  Epsilon against itself without it, and against cffi's ABI mode and
ctypes, which have the same to offer."""

from __future__ import annotations

import ctypes
import random
import timeit
from collections.abc import Callable, Sequence
from typing import Any

import cffi

import epsilon
from benchmarks.peers import CFFI_ABI, CRITICAL, CTYPES, DEFAULT
from benchmarks.rounds import Plan, Results, progress
from benchmarks.tasks import add_in_python, calibrate, callback_sum, timed
from benchmarks.workshop import Workshop

PLAIN = "int(int,int)"
CHECKED = "int(int,int), errno and check"
FIXED = "long(int,int,double)"
VARIADIC = "long(int, ...), tail known"
STRUCT = "pair(pair), 16 bytes by value"
THREAD = "callback on a foreign thread"
WAYS = (PLAIN, CHECKED, FIXED, VARIADIC, STRUCT, THREAD)

DECLARED = """
struct pair { double x; long n; };
struct pair advance(struct pair p);
long call_back_on_a_thread(int (*f)(int, int), int n);
"""


def statement(text: str, **names: Any) -> Callable[[int], float]:
    """A timeit loop over the statement, its names in locals."""
    setup = "; ".join(f"{name} = {name}_" for name in names)
    timer = timeit.Timer(text, setup, globals={f"{name}_": value for name, value in names.items()})
    return lambda count: timer.timeit(count) * 1e9


def on_a_thread(function: Callable[[Any, int], int], callback: Any) -> Callable[[int], float]:
    """The loop of callbacks on one new thread; its start is part of the figure."""
    assert function(callback, 100) == callback_sum(100)
    return lambda count: timed(lambda: function(callback, count))


def of_epsilon(target: str, critical: bool) -> dict[str, Callable[[int], float]]:
    """Epsilon's ways, with the GIL kept or not."""
    lib = epsilon.lib_open(target)
    pair = epsilon.define_c_struct("pair", [("x", "double"), ("n", "long")])
    add = lib.bind("int add(int a, int b)", critical=critical)
    checked = lib.bind("int add(int a, int b)", critical=critical, errno=True, check="nonnegative")
    fixed = lib.bind("long sum_fixed(int n, int a, double b)", critical=critical)
    variadic = lib.bind("long sum_variadic(int n, ...)", critical=critical)
    advance = lib.bind("advance", pair, [pair], critical=critical)
    assert checked(3, 4) == 7 and fixed(1, 2, 3.0) == variadic(1, 2, 3.0) == 6
    assert advance(pair(1.5, 2)) == pair(2.5, 3)
    ways = {
        PLAIN: statement("f(3, 4)", f=add),
        CHECKED: statement("f(3, 4)", f=checked),
        FIXED: statement("f(1, 2, 3.0)", f=fixed),
        VARIADIC: statement("f(1, 2, 3.0)", f=variadic),
        STRUCT: statement("f(p)", f=advance, p=pair(1.5, 2)),
    }
    if not critical:
        adder = epsilon.make_callback(add_in_python, "int", ["int", "int"])
        ways[THREAD] = on_a_thread(lib.bind("call_back_on_a_thread", "long", ["pointer", "int"]), adder)
    return ways


def of_cffi(target: str) -> dict[str, Callable[[int], float]]:
    """cffi's ABI mode."""
    ffi = cffi.FFI()
    ffi.cdef(DECLARED)
    lib = ffi.dlopen(target)
    adder = ffi.callback("int(int, int)", add_in_python)
    return {
        STRUCT: statement("f(p)", f=lib.advance, p=ffi.new("struct pair *", [1.5, 2])[0]),
        THREAD: on_a_thread(lib.call_back_on_a_thread, adder),
    }


def of_ctypes(target: str) -> dict[str, Callable[[int], float]]:
    """ctypes."""

    class Pair(ctypes.Structure):
        _fields_ = [("x", ctypes.c_double), ("n", ctypes.c_long)]

    lib = ctypes.CDLL(target)
    lib.advance.restype, lib.advance.argtypes = Pair, [Pair]
    adding = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int, ctypes.c_int)
    lib.call_back_on_a_thread.restype, lib.call_back_on_a_thread.argtypes = ctypes.c_long, [adding, ctypes.c_int]
    return {
        STRUCT: statement("f(p)", f=lib.advance, p=Pair(1.5, 2)),
        THREAD: on_a_thread(lib.call_back_on_a_thread, adding(add_in_python)),
    }


def measure(workshop: Workshop, keys: list[str], plan: Plan, results: Results) -> None:
    """Add the samples of every way to the results, row by row in an order shuffled anew in each round."""
    target = str(workshop.target)
    makers: dict[str, Callable[[], dict[str, Callable[[int], float]]]] = {}
    if "epsilon" in keys:
        makers[DEFAULT] = lambda: of_epsilon(target, False)
        if CRITICAL not in results.reasons:
            makers[CRITICAL] = lambda: of_epsilon(target, True)
    if "cffi" in keys:
        makers[CFFI_ABI] = lambda: of_cffi(target)
    if "ctypes" in keys:
        makers[CTYPES] = lambda: of_ctypes(target)
    take_turns("what calls may ask for", makers, WAYS, plan, results)


def take_turns(title: str, makers: dict[str, Callable[[], dict[str, Callable[[int], float]]]], ways: Sequence[str],
               plan: Plan, results: Results) -> None:
    """Measure each way of every row in turn, the rows in an order shuffled anew in each round."""
    runs = {(row, way): run for row, make in makers.items() for way, run in make().items()}
    loops = {key: calibrate(run, plan.seconds) for key, run in runs.items()}
    order = random.Random(3)
    for turn in range(plan.rounds):
        progress(f"{title}, round {turn + 1} of {plan.rounds}")
        for way in ways:
            rows = [row for row, own in runs if own == way]
            for row in order.sample(rows, len(rows)):
                count = loops[row, way]
                results.samples[row][way].append(runs[row, way](count) / count)
    progress("")
