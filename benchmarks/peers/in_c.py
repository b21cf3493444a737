"""C calling C, the floor for the callback and the sort: nothing of Python inside the loop."""

from __future__ import annotations

import ctypes
from array import array

from benchmarks.tasks import Peer
from benchmarks.workshop import Workshop, run


def load(workshop: Workshop) -> dict[str, Peer]:
    """The row of plain C; ctypes only starts the loop, once per measurement."""
    lib = ctypes.CDLL(str(workshop.target))
    lib.call_back.argtypes = [ctypes.c_void_p, ctypes.c_int]
    lib.sort_in_c.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
    adder = ctypes.cast(lib.add, ctypes.c_void_p)

    def call_back(n: int) -> int:
        return lib.call_back(adder, n)

    def sort(data: array) -> None:
        lib.sort_in_c((ctypes.c_int * len(data)).from_buffer(data), len(data))

    version = run(["cc", "--version"]).splitlines()[0]
    return {"C": Peer("C", version, call_back=call_back, sort=sort)}
