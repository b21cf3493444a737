"""The program that ``make valgrind`` watches: every way through the shim, a few times.

It is short, for under valgrind everything takes fifty times as long; C code comes from libc and from a few shapes of
``cgen``, which judge what they receive.
"""

from __future__ import annotations

import gc
import random

import cgen
import conformance
from cgen import DOUBLE, INT, UINT64, Shape, struct_kind
from clib import load_c

import epsilon


def shapes() -> list[Shape]:
    """A few of the enumeration, and what goes over the stack, in a tail, in large structs."""
    large = struct_kind("large_under_valgrind", [UINT64] * 9)
    rng = random.Random(1)
    more = [
        Shape("long_list", DOUBLE, [INT, DOUBLE] * 12),
        Shape("large_ones", large, [large, INT, large]),
        Shape("tail", INT, [INT, DOUBLE, INT, large, DOUBLE], fixed=1),
    ]
    return [*conformance.shapes(60, 1), *(shape.draw(rng) for shape in more)]


def run_shapes() -> None:
    found = shapes()
    library = load_c(cgen.source(found))
    for shape in found:
        shape.check_call(library)
        shape.check_call(library)
        if shape.fixed is None:
            shape.check_callback(library)


def run_callbacks(libc: epsilon.Library) -> None:
    qsort = libc.bind("qsort", "void", ["pointer", "size", "size", "pointer"])
    numbers = epsilon.foreign_alloc("int", initial=list(range(50, 0, -1)))

    def compare(a: int, b: int) -> int:
        gc.collect(0)
        return a - b

    callback = epsilon.make_callback(compare, "int", [("in", "int"), ("in", "int")])
    qsort(numbers, 50, 4, callback)
    assert list(numbers) == sorted(numbers)
    callback.close()
    try:
        qsort(numbers, 50, 4, callback)
    except epsilon.CallbackClosedError:
        pass
    else:
        raise AssertionError("a closed callback was called in silence")
    try:
        with epsilon.make_callback(lambda a, b: 1 // 0, "int", [("in", "int"), ("in", "int")]) as failing:
            qsort(numbers, 50, 4, failing)
    except ZeroDivisionError:
        pass
    else:
        raise AssertionError("an exception was lost")
    for _ in range(2000):
        epsilon.make_callback(compare, "int", ["int", "int"]).close()


def run_conversions(libc: epsilon.Library) -> None:
    strlen = libc.bind("size_t strlen(const char *s)")
    assert strlen("hello") == strlen(b"hello") == strlen(epsilon.foreign_alloc("char", initial=b"hello\0")) == 5
    for wrong in (5, 1.5, object(), "nul\0 inside", None):
        try:
            strlen(wrong) if wrong is not None else strlen()
        except epsilon.ForeignError:
            pass
    assert libc.bind("double frexp(double x, int *e)", special={1: ("out", "int")})(8.0) == (0.5, 4)
    snprintf = libc.bind("int snprintf(char *s, size_t n, const char *format, ...)")
    buffer = epsilon.foreign_alloc("char", 64)
    assert snprintf(buffer, 64, "%d %s %f %lld", 3, "x", 2.5, 2**40) == len("3 x 2.500000 1099511627776")
    div_t = epsilon.define_c_struct("div_t", [("quot", "int"), ("rem", "int")])
    assert libc.bind("div", div_t, ["int", "int"])(17, 5) == div_t(3, 2)
    epsilon.foreign_free(buffer)
    try:
        buffer[0]
    except epsilon.ForeignMemoryError:
        pass


def main() -> None:
    libc = epsilon.lib_open("libc")
    gc.set_threshold(1)
    run_conversions(libc)
    run_callbacks(libc)
    run_shapes()
    print("the program ran to its end")


main()
