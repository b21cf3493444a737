"""What goes between foreign memory and NumPy: 100 MB out and in, and a view without a copy.  The copies stand beside
memcpy into memory as fresh, the view beside what cffi and ctypes have for one; all in one run."""

from __future__ import annotations

import ctypes
import random
import time
from collections.abc import Callable
from typing import Any

import cffi

import epsilon
from benchmarks.peers import CFFI_ABI, CTYPES, DEFAULT
from benchmarks.rounds import Plan, Results, progress
from benchmarks.tasks import calibrate
from benchmarks.ways import statement
from benchmarks.workshop import Unavailable, Workshop

SIZE = 100_000_000
COUNT = SIZE // 8
MEMCPY = "memcpy"
OUT = "100 MB to an array, ms"
IN = "100 MB from an array, ms"
VIEW = "a view of 100 doubles, ns"
COPIES = (OUT, IN)
ALL = (*COPIES, VIEW)


def copiers(numpy: Any) -> dict[tuple[str, str], Callable[[], float]]:
    """Each makes one copy and gives its milliseconds.  To an array: the array is made by NumPy, new, for both; from an
    array: the memory is foreign_alloc's, new, for both, and made before the clock runs."""
    memcpy = ctypes.CDLL(None).memcpy
    memcpy.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t]
    array = numpy.arange(COUNT, dtype="float64")
    full = epsilon.foreign_alloc("double", count=COUNT)
    assert epsilon.into_buffer(array, full) == COUNT and full[COUNT - 1] == COUNT - 1

    def timed(copy: Callable[[], Any]) -> float:
        start = time.perf_counter()
        made = copy()
        spent = time.perf_counter() - start
        del made
        return spent * 1e3

    def raw_out() -> Any:
        made = numpy.empty(COUNT)
        memcpy(made.ctypes.data, full.address, SIZE)
        return made

    def fresh(copy: Callable[[Any], Any]) -> float:
        memory = epsilon.foreign_alloc("double", count=COUNT)
        return timed(lambda: copy(memory))

    return {
        (DEFAULT, OUT): lambda: timed(lambda: epsilon.from_buffer(full, COUNT, numpy.float64)),
        (MEMCPY, OUT): lambda: timed(raw_out),
        (DEFAULT, IN): lambda: fresh(lambda memory: epsilon.into_buffer(array, memory)),
        (MEMCPY, IN): lambda: fresh(lambda memory: memcpy(memory.address, array.ctypes.data, SIZE)),
    }


def viewers(numpy: Any) -> dict[str, Callable[[int], float]]:
    """A view of 100 doubles in foreign memory, by whom it can be had."""
    memory = epsilon.foreign_alloc("double", count=100)
    ffi = cffi.FFI()
    return {
        DEFAULT: statement("f(p, 100, t, False)", f=epsilon.from_buffer, p=memory, t=numpy.float64),
        CFFI_ABI: statement("f(b(p, 800), t)", f=numpy.frombuffer, b=ffi.buffer, p=ffi.new("double[100]"),
                            t=numpy.float64),
        CTYPES: statement("f(p)", f=numpy.ctypeslib.as_array, p=(ctypes.c_double * 100)()),
    }  # fmt: skip


def measure(workshop: Workshop, keys: list[str], plan: Plan, results: Results) -> None:
    """Add the samples to the results; without NumPy, or without Epsilon among the peers, there are none."""
    if "epsilon" not in keys:
        return
    try:
        numpy = workshop.install("numpy")
    except Unavailable as reason:
        results.reasons[MEMCPY] = str(reason)
        return
    copies, views = copiers(numpy), viewers(numpy)
    views = {row: view for row, view in views.items() if row == DEFAULT or row in results.samples}
    loops = {row: calibrate(view, plan.seconds) for row, view in views.items()}
    order = random.Random(4)
    for turn in range(max(plan.sorts, 3)):
        progress(f"arrays, round {turn + 1}")
        for (row, way), copy in order.sample(sorted(copies.items()), len(copies)):
            results.samples[row][way].append(copy())
        for row in order.sample(sorted(views), len(views)):
            results.samples[row][VIEW].append(views[row](loops[row]) / loops[row])
    progress("")
