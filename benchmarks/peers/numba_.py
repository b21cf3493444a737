"""numba's cfunc: callbacks compiled from Python to machine code; ctypes only starts the loop."""

from __future__ import annotations

import ctypes
from array import array

from benchmarks.tasks import Peer, add_in_python, compare_pointers
from benchmarks.workshop import Workshop


def load(workshop: Workshop) -> dict[str, Peer]:
    """Compile both callbacks with numba; the row has no calls, for numba is no binding tool."""
    numba = workshop.install("numba")
    types = numba.types
    pointer = types.CPointer(types.int32)
    adder = numba.cfunc(types.int32(types.int32, types.int32))(add_in_python)
    comparator = numba.cfunc(types.int32(pointer, pointer))(compare_pointers)
    call_back = ctypes.CDLL(str(workshop.target)).call_back
    call_back.restype, call_back.argtypes = ctypes.c_int, [ctypes.c_void_p, ctypes.c_int]
    qsort = ctypes.CDLL(None).qsort
    qsort.restype = None
    qsort.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_size_t, ctypes.c_void_p]

    def sort(data: array) -> None:
        qsort((ctypes.c_int * len(data)).from_buffer(data), len(data), data.itemsize, comparator.address)

    return {"numba cfunc": Peer(
        "numba cfunc", f"numba {numba.__version__}", call_back=lambda n: call_back(adder.address, n), sort=sort,
    )}
