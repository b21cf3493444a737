"""ctypes, as its manual shows it: CDLL with argtypes and restype, CFUNCTYPE callbacks."""

from __future__ import annotations

import ctypes
import platform
from array import array

from benchmarks.peers import CTYPES
from benchmarks.tasks import SHAPES, TEXT, Peer, add_in_python, compare_pointers
from benchmarks.workshop import Workshop

TYPES = {
    "f0": (None, []),
    "add": (ctypes.c_int, [ctypes.c_int, ctypes.c_int]),
    "mul3": (ctypes.c_double, [ctypes.c_double] * 3),
    "length": (ctypes.c_size_t, [ctypes.c_char_p]),
    "mixed": (ctypes.c_long, [ctypes.c_int, ctypes.c_double, ctypes.c_long, ctypes.c_float, ctypes.c_void_p]),
}


def load(workshop: Workshop) -> dict[str, Peer]:
    """Open the target library and libc."""
    lib = ctypes.CDLL(str(workshop.target))
    libc = ctypes.CDLL(None)
    for symbol, (result, parameters) in TYPES.items():
        function = getattr(lib, symbol)
        function.restype, function.argtypes = result, parameters

    adding = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int, ctypes.c_int)
    adder = adding(add_in_python)
    call_back = lib.call_back
    call_back.restype, call_back.argtypes = ctypes.c_int, [adding, ctypes.c_int]

    pointer = ctypes.POINTER(ctypes.c_int)
    comparing = ctypes.CFUNCTYPE(ctypes.c_int, pointer, pointer)
    comparator = comparing(compare_pointers)
    qsort = libc.qsort
    qsort.restype, qsort.argtypes = None, [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_size_t, comparing]

    def sort(data: array) -> None:
        qsort((ctypes.c_int * len(data)).from_buffer(data), len(data), data.itemsize, comparator)

    return {CTYPES: Peer(
        CTYPES, f"of CPython {platform.python_version()}",
        {shape.symbol: getattr(lib, shape.symbol) for shape in SHAPES}, text=TEXT.encode(),
        call_back=lambda n: call_back(adder, n), sort=sort,
    )}
