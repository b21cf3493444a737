"""API §1 and §5: arrays in signatures.  Sequences and buffers to C, lengths that fill themselves in, lists and views
from C; C is the judge of what arrives and of what it wrote."""

from __future__ import annotations

import array
import functools
import gc
import pickle
import sys
import threading

import pytest
from clib import compile_c, load_c, run_child

import epsilon
from epsilon import (
    ForeignIndexError,
    ForeignMemoryError,
    ForeignRangeError,
    ForeignTypeError,
    ForeignValueError,
    Signature,
    foreign_alloc,
    lib_open,
    make_callback,
)

SOURCE = r"""
#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <complex.h>
#include <stdarg.h>

struct point { int x; double y; };

long sum(const int *xs, size_t n) { long t = 0; for (size_t i = 0; i < n; i++) t += xs[i]; return xs ? t : -1; }
long sum_first(int n, const int *xs) { return sum(xs, n); }
long sum_short(const int *xs, signed char n) { return sum(xs, n); }
const void *address(const void *xs, size_t n) { return xs; }
size_t count(const void *xs, size_t n) { return n; }
double dot(const double *xs, const double *ys, unsigned n)
{ double t = 0; for (unsigned i = 0; i < n; i++) t += xs[i] * ys[i]; return t; }
double csum(const double _Complex *xs, int n) { double t = 0; for (int i = 0; i < n; i++) t += cimag(xs[i]); return t; }
double points(const struct point *p, int n) { double t = 0; while (n--) t += p[n].x * 10 + p[n].y; return t; }
int rows(const int (*m)[3], int n) { int t = 0; for (int i = 0; i < n; i++) t += m[i][0] * m[i][2]; return t; }
int bools(const _Bool *b, int n) { int t = 0; for (int i = 0; i < n; i++) t = 2 * t + b[i]; return t; }

int join(const char *const *argv, char *out)
{ int n = 0; for (out[0] = 0; argv[n]; n++) { if (n) strcat(out, ","); strcat(out, argv[n]); } return n; }
int join_counted(const char *const *argv, size_t n, char *out)
{ out[0] = 0; for (size_t i = 0; i < n; i++) { if (i) strcat(out, ","); strcat(out, argv[i] ? argv[i] : "NULL"); }
  return argv[n] == NULL; }
int pointers(void *const *p) { int n = 0; while (p[n]) n++; return n; }

void squares(int *out, size_t n) { for (size_t i = 0; i < n; i++) out[i] = (int)(i * i); }
void three(double *out) { out[0] = 0.5; out[1] = 1.5; out[2] = 2.5; }
int some(int *out, int *n, int wanted)
{ for (int i = 0; i < wanted && i < *n; i++) out[i] = 10 * i; *n = wanted; return 7; }
void doubled(const int *xs, int *ys, size_t n) { for (size_t i = 0; i < n; i++) ys[i] = 2 * xs[i]; }
void reverse(int *xs, unsigned n)
{ for (unsigned i = 0; i < n / 2; i++) { int t = xs[i]; xs[i] = xs[n - 1 - i]; xs[n - 1 - i] = t; } }
void grow3(int *xs) { for (int i = 0; i < 3; i++) xs[i]++; }
void keep_positive(int *xs, size_t *n)
{ size_t k = 0; for (size_t i = 0; i < *n; i++) if (xs[i] > 0) xs[k++] = xs[i]; *n = k; }
void words(const char **out, int n)
{ static const char *w[] = {"null", "eins", "zwei"}; for (int i = 0; i < n; i++) out[i] = i < 3 ? w[i] : NULL; }
void move(struct point *p, int n) { for (int i = 0; i < n; i++) p[i].x += 1, p[i].y = i; }
void identity(int (*m)[2], int n) { for (int i = 0; i < n; i++) for (int j = 0; j < 2; j++) m[i][j] = i == j; }
int split(const int *xs, int n, int *evens, int *odds, int *n_even, int *n_odd)
{
    *n_even = *n_odd = 0;
    for (int i = 0; i < n; i++)
        if (xs[i] % 2) odds[(*n_odd)++] = xs[i];
        else evens[(*n_even)++] = xs[i];
    return n;
}

int scale(const int *xs, int n, double d) { return n; }
const char *why(double d) { static char text[30]; sprintf(text, "it was %.1f", d); return text; }
static int calls;
int again(int *out, int *n)
{ if (++calls % 3) { *n = -7; errno = EINTR; return -1; } for (int i = 0; i < 3; i++) out[i] = *n; *n = 3; return 0; }
long vsum(int pairs, ...)
{ va_list a; long t = 0; va_start(a, pairs);
  while (pairs--) { const int *xs = va_arg(a, const int *); int n = va_arg(a, int); t += sum(xs, n); }
  va_end(a); return t; }

/* C calls back */
static int ten[10] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9};
int view(int (*f)(int *, long), long n) { return f(n == -2 ? NULL : ten, n); }
int view_pointed(int (*f)(const int *, size_t *), size_t n) { return f(ten, &n); }
int ten_at(int i) { return ten[i]; }
void reset(void) { for (int i = 0; i < 10; i++) ten[i] = i; }
int view3(int (*f)(const int *)) { return f(ten); }
double structs(double (*f)(struct point *, int), int n)
{ struct point p[4] = {{1, 0.5}, {2, 1.5}, {3, 2.5}, {4, 3.5}}; double r = f(p, n); return 100 * r + p[0].x; }
int texts(int (*f)(const char **, int))
{ const char *w[3] = {"a", "bc", NULL}; int r = f(w, 3); return 100 * r + (int)strlen(w[0]) + (w[2] ? 50 : 0); }
int filler(int (*f)(int *, int), int n)
{ int a[8] = {0}, t = f(a, n); for (int i = 0; i < 8; i++) t += a[i]; return t; }
int filler_upto(void (*f)(int *, size_t *), size_t room)
{ int a[8] = {0}, t = 0; f(a, &room); for (size_t i = 0; i < room; i++) t += a[i]; return 100 * (int)room + t; }
int changer(void (*f)(int *, int)) { int a[3] = {1, 2, 3}; f(a, 3); return a[0] * 100 + a[1] * 10 + a[2]; }
int namer(void (*f)(const char **, int), char *out)
{ const char *w[2] = {"x", "y"}; f(w, 2); sprintf(out, "%s-%s", w[0], w[1]); return 0; }
int many(int (*f)(const double *, const double *, int), int n)
{ double a[3] = {1, 2, 3}, b[3] = {4, 5, 6}; return f(a, n < 0 ? NULL : b, n < 0 ? 3 : n); }
int nine(int (*f)(int, int, int, int, int, int, double, int *, int)) { return f(1, 2, 3, 4, 5, 6, 0.5, ten, 4); }
"""

lib = load_c(SOURCE)
point = epsilon.define_c_struct("point", [("x", "int"), ("y", "double")])
INTS = ("array", "int", {"length": "n"})


def bind(prototype, *specials, **options):
    """``prototype`` with a type for each of its first parameters that is not None."""
    special = {place: one for place, one in enumerate(specials) if one is not None}
    return lib.bind(prototype, special=special, **options)


c_sum = bind("long sum(const int *xs, size_t n)", INTS)


def raises(kind, text):
    return pytest.raises(kind, match=text)


# --- sequences and buffers ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "values",
    [[1, 2, 3], (1, 2, 3), range(1, 4), {1: 0, 2: 0, 3: 0}.keys(), bytearray([1, 2, 3]), array.array("i", [1, 2, 3]),
     array.array("h", [1, 2, 3]), array.array("Q", [1, 2, 3]), memoryview(array.array("i", [1, 2, 3])),
     memoryview(array.array("i", [1, 0, 2, 0, 3]))[::2], (n for n in (1, 2, 3)), [True, 2, 3],
     foreign_alloc("int", initial=[1, 2, 3])],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_any_sequence_is_taken_and_counted(values):
    assert c_sum(values) == 6


def test_a_plain_array_needs_no_length():
    plain = lib.bind("sum", "long", [("array", "int"), "size"])
    assert plain([1, 2, 3], 2) == 3 and plain(array.array("i", [4, 5]), 2) == 9 and plain(None, 0) == -1
    fixed = lib.bind("sum", "long", [("array", "int", 2), "size"])
    assert fixed([1, 2], 2) == 3 and fixed(array.array("i", [4, 5]), 2) == 9
    for wrong in ([1], [1, 2, 3], array.array("i", [1]), foreign_alloc("int", count=1)):
        with raises(ForeignValueError, "wanted 2"):
            fixed(wrong, 1)


def test_nothing_is_a_null_of_no_elements():
    assert c_sum(None) == -1 and c_sum([]) == 0 and c_sum(array.array("i")) == 0
    assert bind("size_t count(const void *xs, size_t n)", INTS)(None) == 0


@pytest.mark.parametrize(
    "element, code",
    [("int", "i"), ("double", "d"), ("uint8", "B"), ("short", "h"), ("float", "f"), ("long", "q"), ("size", "L"),
     ("char", "b")],
)  # fmt: skip
def test_a_matching_buffer_is_passed_in_place(element, code):
    where = bind("void *address(const void *xs, size_t n)", ("array", element, {"length": "n"}))
    plain = lib.bind("address", "uintptr", [("array", element), "size"])
    data = array.array(code, [1, 2, 3])
    pointer = where(data)
    assert epsilon.deref(pointer, 0, element) == 1
    data[0] = 7
    assert epsilon.deref(pointer, 0, element) == 7
    assert plain(data, 3) == data.buffer_info()[0]


def test_read_only_memory_may_be_read():
    count = bind("size_t count(const void *xs, size_t n)", ("array", "char", {"length": "n"}))
    where = lib.bind("address", "string", [("array", "char"), "size"])
    assert count(b"hello") == 5 and where(b"hello", 5) == "hello"
    assert count("grün") == 5  # UTF-8
    assert c_sum(memoryview(array.array("i", [1, 2])).toreadonly()) == 3


def test_another_format_is_copied_element_by_element():
    assert c_sum(bytearray(b"\1\2")) == 3 and c_sum(array.array("d")) == 0
    with raises(ForeignTypeError, r"sum\(\): parameter 1 'xs' \(int \[\]\): element 0: got 1.5 \(float\)"):
        c_sum(array.array("d", [1.5]))
    with raises(ForeignRangeError, "element 1: got 1099511627776"):
        c_sum(array.array("q", [1, 2**40]))


def test_numpy():
    numpy = pytest.importorskip("numpy")
    matrix = numpy.arange(6, dtype="i4").reshape(2, 3)
    assert c_sum(matrix) == 15
    assert c_sum(matrix[:, 1]) == 5 and c_sum(numpy.array([1, 2], dtype="i8")) == 3
    assert bind("int rows(const int (*m)[3], int n)", ("array", ("array", "int", 3), {"length": "n"}))(matrix) == 15
    values = ("array", "double-complex", {"length": "n"})
    csum = bind("double csum(const double *xs, int n)", values)
    assert csum(numpy.array([1 + 2j, 3j])) == 5
    reverse = bind("void reverse(int *xs, unsigned n)", ("inout", INTS))
    assert reverse(matrix) == [5, 4, 3, 2, 1, 0] and matrix[0, 0] == 5


def test_elements_of_every_kind():
    points = bind("double points(const struct point *p, int n)", ("array", point, {"length": "n"}))
    assert points([point(1, 2.5), {"x": 3, "y": 1}]) == 43.5
    assert points(foreign_alloc(point, initial=[point(2, 1)])) == 21 and points(point(4, 0)) == 40
    rows = bind("int rows(const int (*m)[3], int n)", ("array", ("array", "int", 3), {"length": "n"}))
    assert rows([[1, 0, 2], (3, 0, 4)]) == 14
    bools = bind("int bools(const _Bool *b, int n)", ("array", "bool", {"length": "n"}))
    assert bools([True, False, 2]) == 5
    csum = bind("double csum(const double *xs, int n)", ("array", "double-complex", {"length": "n"}))
    assert csum([1 + 2j, 3j, 1]) == 5


@pytest.mark.parametrize(
    "value, kind, text",
    [
        ("abc", ForeignTypeError, r"got 'abc' \(str\), wanted a sequence of values of type int"),
        (b"abcd", ForeignTypeError, r"got b'abcd' \(bytes\)"),
        (5, ForeignTypeError, r"got 5 \(int\)"),
        ([1, None], ForeignTypeError, r"element 1: got None"),
        ([1, 2, 2**31], ForeignRangeError, "element 2: got 2147483648, wanted an int from -2147483648"),
        (foreign_alloc("double"), ForeignTypeError, "not a double \\*"),
        (epsilon.lib_open(None).address, ForeignTypeError, "got"),
    ],
)
def test_an_error_names_function_parameter_type_and_value(value, kind, text):
    with raises(kind, r"sum\(\): parameter 1 'xs' \(int \[\]\): .*" + text):
        c_sum(value)


def test_a_bare_pointer_has_no_length():
    pointer = lib.bind("address", ("pointer", "int"), [("array", "int"), "size"])([1], 1)
    with raises(ForeignTypeError, "a bare pointer does not say how many"):
        c_sum(pointer)


def test_what_is_freed_is_not_passed():
    memory = foreign_alloc("int", count=2)
    epsilon.foreign_free(memory)
    with raises(ForeignMemoryError, "freed"):
        c_sum(memory)


def test_memory_that_a_later_argument_frees_is_not_passed():
    class Freeing:
        def __index__(self):
            epsilon.foreign_free(memory)
            return 1

    memory = foreign_alloc("int", count=2)
    some = bind("int some(const int *xs, int *n, int wanted)", ("array", "int", {"length": "n"}), ("inout", "int"))
    with raises(ForeignMemoryError, "freed"):
        some(memory, Freeing())


def test_a_buffer_is_locked_during_the_call_only():
    data = array.array("i", [1, 2])
    assert c_sum(data) == 3
    data.append(3)
    two = bind("double dot(const int *xs, const int *ys, unsigned n)", INTS, INTS)
    three = lib.bind("dot", "double", [("array", "int"), "int", "int"])
    for function, arguments in ((two, (["x"],)), (two, ([1],)), (three, ("x", 1))):
        try:
            function(data, *arguments)
        except epsilon.ForeignError as error:  # whose traceback holds the frames of the call
            data.append(4)
            assert error.function == "dot"
    assert c_sum(data) == 18


def test_registered_converters_serve_counted_arrays_too():
    class Run:
        def __init__(self, n):
            self.n = n

    @epsilon.convert_to_foreign.register(Run, ("array", "int"))
    def numbers(run):
        return list(range(run.n))

    assert c_sum(Run(4)) == 6
    assert lib.bind("sum", "long", [("array", "int"), "size"])(Run(4), 3) == 3


# --- strings and pointers -------------------------------------------------------------------------------------------

join = lib.bind("join", "int", [("array", "string"), "buffer"])


def text_of(function, *arguments):
    out = bytearray(200)
    return function(*arguments, out), out.split(b"\0")[0].decode()


def test_an_array_of_strings_ends_with_null():
    assert text_of(join, ["ab", b"cd", "ü"]) == (3, "ab,cd,ü")
    assert text_of(join, []) == (0, "")
    assert text_of(join, ["no more", None, "than this"]) == (1, "no more")
    assert text_of(join, ("".join(["a", str(n)]) for n in range(5))) == (5, "a0,a1,a2,a3,a4")
    latin = lib.bind("join", "int", [("array", ("string", {"encoding": "latin-1"})), "buffer"])
    out = bytearray(10)
    assert latin(["ü"], out) == 1 and out[:2] == b"\xfc\0"


def test_an_array_of_strings_is_counted():
    strings = ("array", "string", {"length": "n"})
    counted = bind("int join_counted(const char **argv, size_t n, char *out)", strings, None, "buffer")
    assert text_of(counted, ["a", None, "b"]) == (1, "a,NULL,b")
    assert text_of(counted, []) == (1, "")


def test_the_strings_live_for_the_call():
    gc.collect()
    for _ in range(50):
        assert text_of(join, [str(n) * 3 for n in range(20)])[0] == 20


def test_a_string_of_the_array_is_named_in_the_error():
    with raises(ForeignValueError, r"join\(\): parameter 1 \(const char \*\[\]\): element 1: .*NUL"):
        join(["a", "b\0c"], bytearray(9))
    with raises(ForeignTypeError, r"element 0: got 5 \(int\), wanted a str"):
        join([5], bytearray(9))


def test_other_pointers_end_with_null_too():
    pointers = lib.bind("pointers", "int", [("array", "pointer")])
    memory = foreign_alloc("int")
    assert pointers([memory, point(1, 2), c_sum]) == 3 and pointers([]) == 0
    typed = lib.bind("pointers", "int", [("array", ("pointer", "int"))])
    assert typed([memory, memory]) == 2


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX")
def test_a_process_is_spawned_with_argv_and_environ():
    process = lib_open(None)
    texts = ("array", "string")
    spawn = process.bind("posix_spawn", "int", [("out", "pid_t"), "string", "pointer", "pointer", texts, texts])
    wait = process.bind("waitpid", "pid_t", ["pid_t", ("out", "int"), "int"])
    status, pid = spawn("/bin/sh", None, None, ["sh", "-c", 'exit "$(($1 + CODE))"', "sh", "40"], ["CODE=2"])
    assert status == 0
    assert wait(pid, 0) == (pid, 42 << 8)


# --- lengths --------------------------------------------------------------------------------------------------------


def test_the_length_takes_no_argument():
    assert c_sum(xs=[1, 2]) == 3
    assert str(c_sum.__signature__) == "(xs)"
    assert repr(c_sum) == "long sum(int xs[], size_t n)"
    with raises(ForeignTypeError, r"1 argument wanted \(xs\), 2 given"):
        c_sum([1], 1)
    with raises(ForeignTypeError, "no parameter is called 'n'"):
        c_sum([1], n=1)
    with raises(ForeignTypeError, "call it with an address and 1 arguments"):
        c_sum.signature.trampoline(c_sum.address, [1], 1)
    assert c_sum.signature.trampoline(c_sum.address, [1, 2]) == 3


def test_the_length_may_come_first_and_by_every_name():
    by_name = bind("long sum_first(int how_many, const int *xs)", None, ("array", "int", {"length": "how-many"}))
    by_index = lib.bind("sum_first", "long", ["int", ("array", "int", {"length": 0})])
    by_place = lib.bind("sum_first", "long", ["int", ("array", "int", {"length": "arg1"})])
    assert by_name([1, 2]) == by_index([1, 2]) == by_place([1, 2]) == 3
    assert by_name.signature is by_index.signature is by_place.signature


def test_signatures_with_arrays_are_interned_pickled_and_saved(tmp_path):
    types = [("array", "int", {"length": 1}), "size"]
    one = Signature("long", types)
    assert one is c_sum.signature is pickle.loads(pickle.dumps(one))
    assert pickle.loads(pickle.dumps(lib.bind("sum", "long", types)))([4]) == 4
    out = Signature("void", [("out", ("array", "int", 3)), ("inout", ("array", "int", {"length": "arg3"})), "int"])
    registry, other = epsilon.signatures.Registry(), epsilon.signatures.Registry()
    registry.register("counted", one.result, one.parameters)
    registry.register("out", out.result, out.parameters)
    registry.save(tmp_path / "names")
    other.load(tmp_path / "names")
    assert other["counted"] is one and other["out"] is out


@pytest.mark.parametrize(
    "parameters, text",
    [
        ([("array", "int", {"length": "m"}), "int"], "its length in 'm', and no parameter is called so"),
        ([("array", "int", {"length": "agr2"}), "int"], "did you mean 'arg2'"),
        ([("array", "int", {"length": 2}), "int"], "parameter 2, counted from 0; there are 2"),
        ([("array", "int", {"length": 1}), "double"], r"in parameter 2 \(double\), which is no integer"),
        ([("array", "int", {"length": 0}), "int"], "which is no integer"),
        ([("array", "int", {"length": 1}), "bool"], "which is no integer"),
        ([("array", "int", {"length": 1}), "string"], "which is no integer"),
        ([("array", "int", {"length": 1}), ("pointer", "int")], "which is no integer"),
        ([("array", "int", {"length": 1}), ("out", "int")], "which is :out"),
        ([("out", ("array", "int", {"length": 1})), ("out", "int")], "which is :out"),
        ([("out", ("array", "int")), "int"], "its length is missing"),
        ([("array", "int", 3, {"length": 1}), "int"], "no other length"),
        ([("array", "int", {"length": -1}), "int"], "the name of the parameter"),
        ([("array", "int", {"length": 1.5}), "int"], "the name of the parameter"),
        ([("array", "int", {"length": True}), "int"], "the name of the parameter"),
        ([("pointer", ("array", "int", {"length": 1})), "int"], "names a parameter"),
        ([("in", ("in", ("array", "int"))), "int"], "say how a parameter is passed"),
        ([("array", ("array", "int", {"length": 1}), 2), "int"], "names a parameter|no size"),
    ],
)
def test_a_length_that_cannot_be_is_an_error_when_bound(parameters, text):
    with raises(ForeignTypeError, text):
        lib.bind("sum", "long", parameters)


def test_a_struct_has_no_parameter_to_hold_a_length():
    with raises(ForeignTypeError, "names a parameter"):
        epsilon.define_c_struct("counted", [("n", "int"), ("xs", ("array", "int", {"length": "n"}))])
    with raises(ForeignTypeError, "cannot return"):
        lib.bind("sum", ("array", "int", {"length": 0}), ["int"])


def test_the_length_is_range_checked():
    short = bind("long sum_short(const int *xs, signed char n)", INTS)
    assert short([1] * 127) == 127
    with raises(ForeignRangeError, r"sum_short\(\): parameter 2 'n' \(signed char\): got 128"):
        short([1] * 128)


def test_arrays_that_share_a_length_agree():
    doubles = ("array", "double", {"length": "n"})
    dot = bind("double dot(const double *xs, const double *ys, unsigned n)", doubles, doubles)
    assert dot([1, 2.5], array.array("d", [3, 4])) == 13 and dot(None, None) == 0
    text = (
        r"dot\(\): parameter 2 'ys' \(double \[\]\): got 1 values, and parameter 1 'xs' \(double \[\]\) has 2: "
        r"both lengths are in parameter 3 'n' \(unsigned int\)"
    )
    with raises(ForeignValueError, text):
        dot([1, 2], [3])
    with raises(ForeignValueError, "both lengths"):
        dot([1, 2], None)


def test_every_strategy_is_told():
    assert c_sum.strategy in ("compiled", "registers", "libffi", "cffi")


# --- :out and :inout ------------------------------------------------------------------------------------------------


def test_an_out_array_of_fixed_length():
    assert lib.bind("three", "void", [("out", ("array", "double", 3))])() == [0.5, 1.5, 2.5]
    assert lib.bind("some", "int", [("out", ("array", "int", 3)), ("in", "int"), "int"])(3, 2) == (7, [0, 10, 0])


def test_an_out_array_as_long_as_the_caller_says():
    squares = bind("void squares(int *out, size_t n)", ("out", INTS))
    assert squares(4) == [0, 1, 4, 9] and squares(n=1) == [0] and squares(0) == []
    assert str(squares.__signature__) == "(n)"
    refused = {-1: ForeignRangeError, "4": ForeignTypeError, None: ForeignTypeError, 2**60: ForeignValueError}
    for wrong, kind in refused.items():
        with raises(kind, r"squares\(\): parameter 2 'n' \(size_t\): "):
            squares(wrong)
    signed = bind("int some(int *out, int *n, int wanted)", ("out", INTS), ("in", "int"))
    with raises(ForeignValueError, r"parameter 2 'n' \(const int \*\): got -3, wanted the number"):
        signed(-3, 0)


def test_c_says_how_many_it_wrote():
    some = bind("int some(int *out, int *n, int wanted)", ("out", INTS), ("inout", "int"))
    assert some(5, 3) == (7, [0, 10, 20]) and some(5, 5) == (7, [0, 10, 20, 30, 40]) and some(5, 0) == (7, [])
    for wanted in (6, -1):
        with raises(ForeignValueError, r"some\(\): parameter 1 'out' \(int \*\): C wrote -?\d as the length into "
                                       r"parameter 2 'n' \(int \*\), and there is room for 5"):  # fmt: skip
            some(5, wanted)


def test_an_out_array_as_long_as_an_array_that_is_passed():
    doubled = bind("void doubled(const int *xs, int *ys, size_t n)", INTS, ("out", INTS))
    assert doubled([1, 2, 3]) == [2, 4, 6] and doubled(array.array("i", [5])) == [10] and doubled(None) == []


def test_two_out_arrays_with_lengths_of_their_own():
    split = bind("int split(const int *xs, int n, int *evens, int *odds, int *n_even, int *n_odd)", INTS, None,
                 ("out", ("array", "int", {"length": "n_even"})), ("out", ("array", "int", {"length": "n_odd"})),
                 ("inout", "int"), ("inout", "int"))  # fmt: skip
    assert split([1, 2, 3, 4, 5], 5, 5) == (5, [2, 4], [1, 3, 5])


def test_inout_arrays():
    reverse = bind("void reverse(int *xs, unsigned n)", ("inout", INTS))
    given = [1, 2, 3]
    assert reverse(given) == [3, 2, 1] and given == [1, 2, 3]
    assert reverse((4, 5)) == [5, 4] and reverse([]) == [] and reverse(None) is None
    data = array.array("i", [1, 2, 3])
    assert reverse(data) == [3, 2, 1] and list(data) == [3, 2, 1]  # in place
    memory = foreign_alloc("int", initial=[7, 8])
    assert reverse(memory) == [8, 7] and list(memory) == [8, 7]
    view = memoryview(array.array("i", [1, 2, 3, 4]))[::2]
    assert reverse(view) == [3, 1] and view.tolist() == [1, 3]  # a copy


def test_inout_arrays_of_fixed_or_unknown_length():
    fixed = lib.bind("grow3", "void", [("inout", ("array", "int", 3))])
    free = lib.bind("grow3", "void", [("inout", ("array", "int"))])
    assert fixed([1, 2, 3]) == free([1, 2, 3]) == [2, 3, 4]
    assert fixed(foreign_alloc("int", initial=[1, 2, 3, 4])) == [2, 3, 4]
    pointer = lib.bind("address", ("pointer", "int"), ["pointer", "size"])(foreign_alloc("int", count=3), 3)
    assert free(foreign_alloc("int", initial=[0, 0, 0])) == [1, 1, 1]
    with raises(ForeignTypeError, "does not say how many"):
        free(pointer)
    with raises(ForeignValueError, "got 2 values, wanted 3"):
        fixed([1, 2])


def test_inout_arrays_that_c_shortens():
    keep = bind("void keep_positive(int *xs, size_t *n)", ("inout", INTS), ("inout", "size"))
    assert keep([1, -2, 3]) == [1, 3] and keep([-1]) == [] and keep([]) == []


def test_c_does_not_write_to_read_only_memory():
    reverse = bind("void reverse(int *xs, unsigned n)", ("inout", INTS))
    with epsilon.pinned_array(memoryview(array.array("i", [1])).toreadonly()) as pinned:
        with raises(ForeignValueError, "which is read-only, and C writes to it"):
            reverse(pinned)
    with raises(ForeignValueError, "which is read-only, and C writes to it"):
        reverse(memoryview(array.array("i", [1])).toreadonly())


def test_elements_that_come_back():
    words = bind("void words(const char **out, int n)", ("out", ("array", "string", {"length": "n"})))
    assert words(4) == ["null", "eins", "zwei", None]
    move = bind("void move(struct point *p, int n)", ("inout", ("array", point, {"length": "n"})))
    moved = move([point(1, 2), {"x": 5}])
    assert moved == [point(2, 0), point(6, 1)]
    gc.collect()
    assert moved[1].x == 6
    identity = lib.bind("identity", "void", [("out", ("array", ("array", "int", 2), 2)), "int"])
    assert identity(2) == [[1, 0], [0, 1]]


def test_an_in_array_is_an_array():
    plain = lib.bind("sum", "long", [("in", ("array", "int")), "size"])
    assert plain([1, 2], 2) == 3
    counted = bind("long sum(const int *xs, size_t n)", ("in", INTS))
    assert counted([1, 2]) == 3 and repr(counted) == "long sum(const int *xs, size_t n)"


def test_a_check_sees_what_the_caller_passed():
    checked = bind("int some(int *out, int *n, int wanted)", ("out", INTS), ("inout", "int"), check="zero")
    with pytest.raises(epsilon.ForeignError, match=r"some\(n=2, wanted=1\) gave 7") as caught:
        checked(2, 1)
    assert caught.value.code == 7


def test_a_failed_check_is_told_before_a_length_that_means_nothing():
    some = bind("int some(int *out, int *n, int wanted)", ("out", INTS), ("inout", "int"), check="zero", default="none")
    assert some(2, 50) == some(2, -50) == "none"
    seen = []
    given = bind("int some(int *out, int *n, int wanted)", ("out", INTS), ("inout", "int"), check="zero",
                 error=lambda result, *arguments: seen.append((result, arguments)) or KeyError("told"))  # fmt: skip
    with pytest.raises(KeyError):
        given(2, 50)
    assert seen == [(7, (2, 50))]


def test_an_error_function_of_c_gets_the_arguments_that_were_passed():
    why = lib.bind("const char *why(double d)")
    scale = bind("int scale(const int *xs, int n, double d)", INTS, check="zero", error=why)
    with pytest.raises(epsilon.ForeignError, match=r"scale\(xs=\[1, 2\], d=2.5\) gave 2: it was 2.5"):
        scale([1, 2], 2.5)


def test_a_call_that_is_made_again_has_its_length_again():
    types = ("out", INTS), ("inout", "int")
    again = bind("int again(int *out, int *n)", *types, errno=True, check="zero", retry="EINTR")
    assert again(4) == (0, [4, 4, 4])


def test_variadic_pairs_with_arrays():
    vsum = lib.bind("vsum", "long", ["int", "..."])
    assert vsum(2, (("array", "int"), [1, 2]), 2, (("array", "int"), array.array("i", [3, 4, 5])), 3) == 15
    with raises(ForeignTypeError, "no argument has type"):
        vsum(1, (("array", "int", {"length": "n"}), [1]), 1)
    counted = bind("long sum(const int *xs, size_t n, ...)", INTS)
    assert counted([1, 2]) == 3 and counted([1, 2], ("int", 5), "x") == 3


# --- callbacks ------------------------------------------------------------------------------------------------------

COUNTED = ("array", "int", {"length": 1})
view = lib.bind("view", "int", ["pointer", "long"])


@pytest.fixture(autouse=True)
def numbers():
    lib.bind("reset", "void", [])()


def call_view(function, n, parameter=COUNTED, length="long", **options):
    with make_callback(function, "int", [parameter, length], **options) as made:
        return view(made, n)


def test_an_array_arrives_as_a_view_of_its_length():
    def look(xs):
        assert len(xs) == 4 and list(xs) == [0, 1, 2, 3] and xs[3] == 3 and xs[1:3] == [1, 2]
        for index in (4, -1):
            with pytest.raises(ForeignIndexError):
                xs[index]
        return sum(xs)

    assert call_view(look, 4) == 6
    assert call_view(len, 0) == 0


def test_a_view_is_written_through_unless_it_is_const():
    def write(xs):
        xs[0] = 70
        xs[1:3] = [80, 90]
        with pytest.raises(ForeignIndexError):
            xs[3] = 1
        return 0

    call_view(write, 3)
    at = lib.bind("ten_at", "int", ["int"])
    assert [at(i) for i in range(4)] == [70, 80, 90, 3]
    with raises(ForeignMemoryError, "read-only"):
        call_view(write, 3, parameter=("in", COUNTED))
    assert at(0) == 70


def test_a_view_ends_when_the_callback_returns():
    kept = []

    def keep(xs):
        kept.append(xs)
        return len(kept)

    assert call_view(keep, 3) == 1
    for use in (lambda: kept[0][0], lambda: list(kept[0]), lambda: kept[0].__setitem__(0, 1), lambda: kept[0].cdata,
                lambda: c_sum(kept[0])):  # fmt: skip
        with raises(ForeignMemoryError, "at the return of the callback .*keep"):
            use()


def test_a_view_ends_when_the_callback_raises_too():
    kept = []

    def keep(xs):
        kept.append(xs)
        raise LookupError("on purpose")

    with pytest.raises(LookupError, match="on purpose"):
        call_view(keep, 3)
    with pytest.raises(ForeignMemoryError):
        kept[0][0]
    with raises(ForeignTypeError, "got 'text'"):
        call_view(lambda xs: kept.append(xs) or "text", 3)
    with pytest.raises(ForeignMemoryError):
        kept[1][0]


def test_null_is_none_and_a_fixed_length_is_a_view():
    assert call_view(lambda xs: 5 if xs is None else 6, 0) == 6
    assert call_view(lambda xs, n: 5 if xs is None else 6, -2, ("array", "int", 4)) == 5
    fixed = lib.bind("view3", "int", ["pointer"])
    with make_callback(lambda xs: len(xs) * 10 + xs[2], "int", [("in", ("array", "int", 3))]) as made:
        assert fixed(made) == 32
    with make_callback(lambda xs: len(xs), "int", [("array", "int", 3)]) as made:
        assert fixed(made) == 3
    with make_callback(lambda xs: epsilon.deref(xs, 4), "int", [("array", "int")]) as made:
        assert fixed(made) == 4
    two = ("array", "double", {"length": 2})
    many = lib.bind("many", "int", ["pointer", "int"])
    with make_callback(lambda a, b: -1 if b is None else int(a[0] + b[2]), "int", [two, two, "int"]) as made:
        assert many(made, 3) == 7 and many(made, -1) == -1


@pytest.mark.parametrize("n", [-1, 2**62, -(2**63)])
def test_a_length_that_cannot_be_is_the_calls_error(n):
    text = rf"callback .*: parameter 1 \(int \[\]\): C says in parameter 2 \(long\) that it has {n} elements"
    with raises(ForeignValueError, text):
        call_view(lambda xs: 1, n, on_error=9)


def test_the_length_may_be_behind_a_pointer():
    pointed = lib.bind("view_pointed", "int", ["pointer", "size"])
    with make_callback(lambda xs: sum(xs), "int", [COUNTED, ("in", "size")]) as made:
        assert pointed(made, 4) == 6


def test_structs_and_strings_in_a_view():
    structs = lib.bind("structs", "double", ["pointer", "int"])
    kept = []

    def change(points):
        kept.append(points[1])
        points[0].x = 9
        points[1] = point(7, 0.25)
        return points[1].y + points[3].x

    types = [("array", point, {"length": 1}), "int"]
    with make_callback(change, "double", types) as made:
        assert structs(made, 4) == 434
    with pytest.raises(ForeignMemoryError):
        kept[0].x  # noqa: B018

    def read_only(points):
        points[0].x = 50  # of a copy
        return points[0].x

    with make_callback(read_only, "double", [("in", types[0]), "int"]) as made:
        assert structs(made, 4) == 101

    def name(texts):
        assert list(texts) == ["a", "bc", None]
        texts[0] = "".join(["long", "er"])
        return len(texts)

    with make_callback(name, "int", [("array", "string", {"length": 1}), "int"]) as made:
        assert lib.bind("texts", "int", ["pointer"])(made) == 306


def test_out_arrays_of_a_callback():
    filler = lib.bind("filler", "int", ["pointer", "int"])
    types = [("out", COUNTED), "int"]
    with make_callback(lambda n: (100, range(n)), "int", types) as made:
        assert filler(made, 4) == 106
    with make_callback(lambda n: (100, [1, 2, n]), "int", [("out", ("array", "int", 3)), "int"]) as made:
        assert filler(made, 5) == 108
    for wrong, kind, text in (
        ((1, [1, 2, 3]), ForeignValueError, "got 3 values, wanted 2"),
        ((1, [1]), ForeignValueError, "got 1 values, wanted 2"),
        ((1, 5), ForeignTypeError, r"parameter 1 \(int \*\): got 5 \(int\), wanted a sequence"),
        ((1, [1, "x"]), ForeignTypeError, r"parameter 1 \(int \*\): element 1: got 'x'"),
        (5, ForeignTypeError, "wanted a tuple of 2 values"),
    ):
        with make_callback(lambda n, wrong=wrong: wrong, "int", types) as made, raises(kind, text):
            filler(made, 2)


def test_a_callback_says_how_many_it_wrote():
    upto = lib.bind("filler_upto", "int", ["pointer", "size"])
    with make_callback(lambda room: [1] * (room - 2), "void", [("out", COUNTED), ("inout", "size")]) as made:
        assert upto(made, 5) == 303
    with make_callback(lambda room: [1] * (room + 1), "void", [("out", COUNTED), ("inout", "size")]) as made:
        with raises(ForeignValueError, "got 6 values, wanted at most 5"):
            upto(made, 5)


def test_inout_arrays_of_a_callback():
    changer = lib.bind("changer", "int", ["pointer"])
    types = [("inout", COUNTED), "int"]
    with make_callback(lambda xs: [x + 1 for x in xs], "void", types) as made:
        assert changer(made) == 234

    def in_place(xs):
        xs[1] = 9
        return xs

    with make_callback(in_place, "void", types) as made:
        assert changer(made) == 193
    with raises(ForeignTypeError, "inout array without a length"):
        make_callback(in_place, "void", [("inout", ("array", "int"))])


def test_strings_that_a_callback_writes_live_until_its_next_return():
    namer = lib.bind("namer", "int", ["pointer", "buffer"])
    out = bytearray(20)
    for way in ("out", "inout"):
        with make_callback(
            lambda _, way=way: ["".join(["left", way]), "".join(["ri", "ght"])],
            "void",
            [(way, ("array", "string", {"length": 1})), "int"],
        ) as made:
            namer(made, out)
            assert out.split(b"\0")[0].decode() == f"left{way}-right"


def test_a_view_among_nine_arguments():
    nine = lib.bind("nine", "int", ["pointer"])
    types = ["int"] * 6 + ["double", ("array", "int", {"length": 8}), "int"]
    with make_callback(lambda *given: len(given) * 1000 + given[5] * 100 + sum(given[7]), "int", types) as made:
        assert nine(made) == 8606


def test_a_callable_argument_and_a_function_pointer():
    typed = ("function", "int", [COUNTED, "long"])
    function = lib.bind("view", "int", [typed, "long"])
    assert function(lambda xs: sum(xs), 4) == 6
    with make_callback(lambda xs: sum(xs), "int", [COUNTED, "long"]) as made:
        assert function(made, 3) == 3
    back = epsilon.functions.call_pointer(epsilon.ctype(typed).target, c_sum.address)
    assert back([1, 2]) == 3


def test_callbacks_with_arrays_within_callbacks_on_threads():
    seen = []

    def inner(xs):
        return sum(xs)

    def outer(xs):
        answer = call_view(inner, len(xs) - 1)
        assert len(xs) == 4  # the outer view lives
        return answer

    def work():
        seen.extend(call_view(outer, 4) for _ in range(50))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [3] * 200


def test_calls_with_arrays_on_threads():
    doubled = bind("void doubled(const int *xs, int *ys, size_t n)", INTS, ("out", INTS))
    wrong = []

    def work(start):
        for n in range(100):
            values = list(range(start, start + n))
            if doubled(values) != [2 * value for value in values]:
                wrong.append(n)

    threads = [threading.Thread(target=work, args=(1000 * n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="resident memory is read from Linux's /proc")
def test_nothing_leaks():
    code = """
import array, gc, os, sys
import epsilon
lib = epsilon.lib_open(sys.argv[1])
N = ("array", "int", {"length": "n"})
bind = lambda text, *types: lib.bind(text, special=dict(enumerate(types)))
total = bind("long sum(const int *xs, size_t n)", N)
doubled = bind("void doubled(const int *xs, int *ys, size_t n)", N, ("out", N))
reverse = bind("void reverse(int *xs, unsigned n)", ("inout", N))
some = lib.bind("int some(int *out, int *n, int wanted)", special={0: ("out", N), 1: ("inout", "int")})
join = lib.bind("join", "int", [("array", "string"), "buffer"])
view = lib.bind("view", "int", ["pointer", "long"])
namer = lib.bind("namer", "int", ["pointer", "buffer"])
typed = [("array", "int", {"length": 1}), "long"]
look = epsilon.make_callback(lambda xs: xs[0], "int", typed)
def bad(xs): raise KeyError
bad = epsilon.make_callback(bad, "int", typed)
strings = ("array", "string", {"length": 1})
texts = epsilon.make_callback(lambda xs: ["a" * 7, "b" * 7], "void", [("inout", strings), "int"])
data, values, out = array.array("i", range(1000)), list(range(1000)), bytearray(100)
def work(times):
    for _ in range(times):
        total(data); total(values); doubled(values); reverse(data); join(["a" * 20, "b"], out)
        view(look, 4); namer(texts, out)
        for wrong in (lambda: total(["x"]), lambda: some(2, 3), lambda: view(bad, 2), lambda: view(look, -1),
                      lambda: doubled(5)):
            try: wrong()
            except (epsilon.ForeignError, KeyError): pass
            else: raise AssertionError
def resident():
    gc.collect()
    with open("/proc/self/statm") as file: return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
work(300)
before, counts = resident(), [sys.getrefcount(one) for one in (data, values, out, total, look)]
work(1500)
assert resident() - before < 1 << 20, resident() - before
assert counts == [sys.getrefcount(one) for one in (data, values, out, total, look)]
print("done")
"""
    assert run_child(code, compile_c(SOURCE)) == "done\n"


def test_functools_partial_and_help_show_what_is_passed():
    assert functools.partial(c_sum, [1, 2])() == 3
    assert c_sum.__doc__ == "long sum(int xs[], size_t n)"
