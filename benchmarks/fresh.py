"""What is measured in a process of its own, run as a script: making callbacks, binding, loading a compiled module.

    python fresh.py callbacks WHO            → microseconds and bytes per live callback
    python fresh.py bind WHO LIBRARY         → microseconds per function of a known signature
    python fresh.py load DIRECTORY MODULE A,B → milliseconds to import MODULE with A and B imported already

WHO is epsilon, epsilon-prototype, cffi or ctypes. Each prints its figures on one line.
"""

import gc
import importlib
import os
import sys
import time

CALLBACKS = 100_000
FUNCTIONS = 500


def resident_bytes():
    """The resident set, from Linux's /proc/self/statm (proc(5): second field, in pages)."""
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def callback_maker(who):
    """Return a function of no arguments that makes one `int(int,int)` callback."""

    def add(a, b):
        return a + b

    if who == "epsilon":
        from epsilon import make_callback

        return lambda: make_callback(add, "int", ["int", "int"])
    if who == "cffi":
        from cffi import FFI

        callback = FFI().callback
        return lambda: callback("int(int, int)", add)
    from ctypes import CFUNCTYPE, c_int

    prototype = CFUNCTYPE(c_int, c_int, c_int)
    return lambda: prototype(add)


def callbacks(who):
    """Make CALLBACKS callbacks that all stay alive; their list is resident before the count begins."""
    make = callback_maker(who)
    live = [make() for _ in range(100)]
    live = [object()] * CALLBACKS
    gc.collect()
    gc.disable()
    before = resident_bytes()
    start = time.perf_counter()
    for index in range(CALLBACKS):
        live[index] = make()
    seconds = time.perf_counter() - start
    print(seconds * 1e6 / CALLBACKS, (resident_bytes() - before) / CALLBACKS)


def binder(who, library):
    """Return a function that binds `int NAME(int, int)`; the signature has been used once, declared in the same way."""
    if who.startswith("epsilon"):
        from epsilon import lib_open

        bind = lib_open(library).bind
        bind("no_such_symbol", "int", ["int", "int"])  # symbols are resolved at the first call, so this is no error

        def declare(name):
            return bind(name, "int", ["int", "int"]) if who == "epsilon" else bind(f"int {name}(int a, int b)")

        declare("b_0")(1, 2)
        return declare
    if who == "cffi":
        from cffi import FFI

        ffi = FFI()
        lib = ffi.dlopen(library)

        def declare(name):
            ffi.cdef(f"int {name}(int a, int b);")
            return getattr(lib, name)

        declare("b_0")(1, 2)
        return declare
    from ctypes import CDLL, c_int

    lib = CDLL(library)

    def typed(name):
        function = getattr(lib, name)
        function.restype, function.argtypes = c_int, [c_int, c_int]
        return function

    typed("b_0")(1, 2)
    return typed


def bind(who, library):
    """Bind FUNCTIONS different functions of one signature and keep them."""
    one = binder(who, library)
    names = [f"b_{index}" for index in range(20, 20 * FUNCTIONS, 20)]
    gc.disable()
    start = time.perf_counter()
    bound = [one(name) for name in names]
    seconds = time.perf_counter() - start
    print(seconds * 1e6 / len(bound))


def load(directory, module, imported):
    """Import a module from `directory`, and call its first function to see that it works."""
    for name in imported.split(","):
        importlib.import_module(name)
    sys.path.insert(0, directory)
    start = time.perf_counter()
    loaded = importlib.import_module(module)
    seconds = time.perf_counter() - start
    assert loaded.b_0(3, 4) == 7
    print(seconds * 1e3)


if __name__ == "__main__":
    sys.path.pop(0)  # this folder: its modules must shadow nothing
    {"callbacks": callbacks, "bind": bind, "load": load}[sys.argv[1]](*sys.argv[2:])
