"""cffi in both modes: API (a compiled module, `extern "Python"` callbacks) and ABI (dlopen, `ffi.callback`)."""

from __future__ import annotations

import contextlib
import io
from array import array

import cffi

from benchmarks.peers import CFFI_ABI, CFFI_API
from benchmarks.tasks import SHAPES, TEXT, Peer, add_in_python, compare_pointers
from benchmarks.workshop import Workshop

FUNCTIONS = "".join(shape.prototype + ";\n" for shape in SHAPES) + "int call_back(int (*f)(int, int), int n);\n"
# qsort through a typed comparator: C would want a cast, which API mode compiles into one line.
SORTER = "void sort_ints(int *base, size_t count, int (*compare)(const int *, const int *))"


def load(workshop: Workshop) -> dict[str, Peer | Exception]:
    """Both rows; API mode alone needs a compiler."""
    rows: dict[str, Peer | Exception] = {}
    try:
        rows[CFFI_API] = api_mode(workshop)
    except Exception as error:  # reported in its own row; ABI mode is still measured
        rows[CFFI_API] = error
    rows[CFFI_ABI] = abi_mode(workshop)
    return rows


def api_mode(workshop: Workshop) -> Peer:
    """Generate the C module, compile it with the flags of all peers, import it."""
    builder = cffi.FFI()
    builder.cdef(FUNCTIONS + SORTER + ";\n" + """
        extern "Python" int on_add(int, int);
        extern "Python" int on_compare(const int *, const int *);
    """)
    builder.set_source("cffi_peer", "#include <stdlib.h>\n" + FUNCTIONS + f"""
        static {SORTER}
        {{
            qsort(base, count, sizeof *base, (int (*)(const void *, const void *))compare);
        }}
    """)
    source = workshop.directory / "cffi_peer.c"
    with contextlib.redirect_stdout(io.StringIO()):  # it tells what it writes
        builder.emit_c_code(str(source))
    module = workshop.extension("cffi_peer", [source])
    ffi, lib = module.ffi, module.lib
    ffi.def_extern("on_add")(add_in_python)
    ffi.def_extern("on_compare")(compare_pointers)

    def sort(data: array) -> None:
        lib.sort_ints(ffi.from_buffer("int[]", data), len(data), lib.on_compare)

    return Peer(
        CFFI_API, f"cffi {cffi.__version__}", {shape.symbol: getattr(lib, shape.symbol) for shape in SHAPES},
        text=TEXT.encode(), null=ffi.NULL, call_back=lambda n: lib.call_back(lib.on_add, n), sort=sort,
    )


def abi_mode(workshop: Workshop) -> Peer:
    """Open the libraries at run time and make libffi closures."""
    ffi = cffi.FFI()
    ffi.cdef(FUNCTIONS)
    ffi.cdef("void qsort(void *base, size_t count, size_t size, int (*compare)(const int *, const int *));")
    lib = ffi.dlopen(str(workshop.target))
    libc = ffi.dlopen(None)
    adder = ffi.callback("int(int, int)", add_in_python)
    comparator = ffi.callback("int(const int *, const int *)", compare_pointers)

    def sort(data: array) -> None:
        libc.qsort(ffi.from_buffer(data), len(data), data.itemsize, comparator)

    return Peer(
        CFFI_ABI, f"cffi {cffi.__version__}", {shape.symbol: getattr(lib, shape.symbol) for shape in SHAPES},
        text=TEXT.encode(), null=ffi.NULL, call_back=lambda n: lib.call_back(adder, n), sort=sort,
    )
