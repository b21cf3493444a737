"""``vectorize``: a C function is a true ufunc, whose elements are what C gives for each."""

from __future__ import annotations

import gc
import sys
import threading

import pytest
from clib import SHIM, load_c, run_child

import epsilon

numpy = pytest.importorskip("numpy", reason="NumPy is not installed")

SOURCE = r"""
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
double poly(double x) { return x * x + 1; }
float polyf(float x) { return x * x + 1; }
double add(double a, double b) { return a + b; }
double less(double a, double b) { return a - b; }
double fma3(double a, double b, double c) { return a * b + c; }
int32_t isum(int32_t a, int32_t b) { return a + b; }
int64_t lsum(int64_t a, int64_t b) { return a + b; }
int8_t neg8(int8_t a) { return (int8_t)-a; } uint8_t inc8(uint8_t a) { return (uint8_t)(a + 1); }
int16_t neg16(int16_t a) { return (int16_t)-a; } uint16_t inc16(uint16_t a) { return (uint16_t)(a + 1); }
uint32_t inc32(uint32_t a) { return a + 1; } uint64_t inc64(uint64_t a) { return a + 1; }
bool flip(bool b) { return !b; }
char next_char(char c) { return c + 1; }
double scaled(double x, int n, float f, int64_t k) { return x * n + f - k; }
double ten(double a, double b, double c, double d, double e, double f, double g, double h, double i, double j)
{ return a + 2*b + 3*c + 4*d + 5*e + 6*f + 7*g + 8*h + 9*i + 10*j; }
int split(int n, int *rest) { *rest = n % 10; return n / 10; }
void both(double x, double *half, float *twice) { *half = x / 2; *twice = (float)(2 * x); }
double through(double x);
static double (*chosen)(double);
void choose(double (*f)(double)) { chosen = f; }
double through(double x) { return chosen(x); }
double sqr(double x) { return __builtin_sqrt(x); }
double first(const double *p) { return *p; }
int zero(void) { return 0; }
void nothing(int n) { }
long double longer(long double x) { return x; }
double extra(int n, ...) { return n; }
"""
pytestmark = pytest.mark.skipif(
    not SHIM, reason="ufuncs need the shim; test_vectorize_without.py has what is said then"
)


@pytest.fixture(scope="module")
def library():
    return load_c(SOURCE)


@pytest.fixture
def made(library):
    return lambda text, threads=1, **options: epsilon.vectorize(library.bind(text, **options), threads=threads)


def test_it_is_a_ufunc(made):
    poly = made("double poly(double x)")
    assert isinstance(poly, numpy.ufunc)
    assert (poly.__name__, poly.nin, poly.nout, poly.types) == ("poly", 1, 1, ["d->d"])
    assert poly.__doc__.endswith("double poly(double x)")
    assert poly(3) == 10.0 and isinstance(poly(3), numpy.float64)


@pytest.mark.parametrize("count", [0, 1, 2, 7, 1000, 100_001])
@pytest.mark.parametrize("threads", [1, 3])
def test_every_element_is_cs(made, library, count, threads):
    one = library.bind("double poly(double x)")
    values = numpy.linspace(-5, 5, count)
    assert made("double poly(double x)", threads)(values).tolist() == [one(x) for x in values]
    three = made("double fma3(double a, double b, double c)", threads)
    assert (three(values, 2, values[::-1]) == values * 2 + values[::-1]).all()


def test_each_type_of_number_has_its_dtype(made):
    for text, dtype, value, wanted in [
        ("float polyf(float x)", "f4", 1.5, 3.25), ("int8_t neg8(int8_t a)", "i1", 127, -127),
        ("uint8_t inc8(uint8_t a)", "u1", 255, 0), ("int16_t neg16(int16_t a)", "i2", 32767, -32767),
        ("uint16_t inc16(uint16_t a)", "u2", 65535, 0), ("uint32_t inc32(uint32_t a)", "u4", 2**32 - 2, 2**32 - 1),
        ("uint64_t inc64(uint64_t a)", "u8", 2**64 - 2, 2**64 - 1), ("_Bool flip(_Bool b)", "?", True, False),
        ("char next_char(char c)", "i1", 65, 66), ("double poly(double x)", "f8", 1e10, 1e20 + 1),
    ]:  # fmt: skip
        found = made(text)(numpy.array([value, value], dtype))
        assert (found.dtype, found.tolist()) == (numpy.dtype(dtype), [wanted] * 2), text


def test_mixed_and_many_parameters(made):
    scaled = made("double scaled(double x, int n, float f, int64_t k)")
    x, n = numpy.arange(5.0), numpy.arange(5, dtype="i4")
    f, k = numpy.full(5, 0.5, "f4"), numpy.arange(5)
    assert scaled(x, n, f, k).tolist() == (x * n + 0.5 - k).tolist()
    assert made("ten", result="double", parameters=["double"] * 10)(*range(10)) == sum(i * (i + 1) for i in range(10))


def test_outputs_are_further_outputs_of_the_ufunc(made):
    split = made("int split(int n, int *rest)", special={1: ("out", "int")})
    tens, rest = split(numpy.array([7, 42, 199], "i4"))
    assert (tens.tolist(), rest.tolist(), split.nout) == ([0, 4, 19], [7, 2, 9], 2)
    both = made("void both(double x, double *half, float *twice)", special={1: ("out", "double"), 2: ("out", "float")})
    half, twice = both(numpy.arange(3.0))
    assert (half.tolist(), twice.tolist(), twice.dtype) == ([0, 0.5, 1], [0, 2, 4], numpy.dtype("f4"))


def test_broadcasting_out_where_and_strides(made):
    add = made("double add(double a, double b)")
    grid = add(numpy.arange(3)[:, None], numpy.arange(4))
    assert grid.tolist() == [[i + j for j in range(4)] for i in range(3)]
    out = numpy.zeros(4)
    assert add([1, 2, 3, 4], 1, out=out, where=[True, False, True, False]) is out and out.tolist() == [2, 0, 4, 0]
    cube = numpy.arange(24.0).reshape(2, 3, 4)
    for view in (cube.T, cube[:, ::-1, ::2], cube[::-1], numpy.asfortranarray(cube)):
        assert (add(view, view) == view + view).all()
    line = numpy.arange(10.0)
    assert add(line[:-1], line[1:], out=line[1:]).tolist() == [0.0 + 2 * n + 1 for n in range(9)]


def test_types_are_resolved_with_casts(made):
    add, isum = made("double add(double a, double b)"), made("int isum(int a, int b)")
    assert add(numpy.array([1], "i1"), numpy.array([2], "f4")).dtype == numpy.dtype("f8")
    assert isum(numpy.array([1], "i2"), numpy.array([2], "u1")).dtype == numpy.dtype("i4")
    for wrong in (numpy.array([2**40]), numpy.array([1.5]), numpy.array(["a"])):
        with pytest.raises(TypeError, match="'isum'"):
            isum(wrong, wrong)
    assert isum(numpy.array([7]), numpy.array([8]), dtype="i4", casting="unsafe").tolist() == [15]
    with pytest.raises(ValueError, match="broadcast"):
        add([1, 2, 3], [1, 2])


@pytest.mark.parametrize("threads", [1, 4])
def test_reductions_where_the_shape_allows(made, threads):
    add, less = made("double add(double a, double b)", threads), made("double less(double a, double b)", threads)
    lsum = made("int64_t lsum(int64_t a, int64_t b)", threads)
    values = numpy.arange(100_000.0)
    assert add.reduce(values) == values.sum() and less.reduce([10, 1, 2]) == 7
    assert (add.accumulate(values) == numpy.add.accumulate(values)).all()
    assert (less.accumulate(values) == numpy.subtract.accumulate(values)).all()
    assert lsum.reduce(numpy.ones((300, 400), "i8"), axis=0).tolist() == [300] * 400
    assert add.outer([1, 2], [10, 20]).tolist() == [[11, 21], [12, 22]]
    assert add.reduceat(values[:10], [0, 5]).tolist() == [10, 35]
    with pytest.raises(ValueError, match="reduce"):
        made("double poly(double x)").reduce([1.0])


@pytest.mark.parametrize("threads", [1, 2, 16])
def test_threads_give_the_same_in_place_and_over_views(made, threads):
    fma3 = made("double fma3(double a, double b, double c)", threads)
    values = numpy.random.default_rng(5).random(200_000)
    wanted = values * 3 + values
    assert (fma3(values, 3, values) == wanted).all()
    assert (fma3(values[::-2], 3, values[::-2]) == wanted[::-2]).all()
    again = values.copy()
    assert (fma3(again, 3, again, out=again) == wanted).all()
    shifted = values.copy()
    fma3(shifted[:-1], 3, shifted[:-1], out=shifted[1:])
    assert (shifted[1:] == wanted[:-1]).all()


def test_floating_point_errors_are_numpys_matter(made):
    for threads in (1, 2):
        sqr = made("double sqr(double x)", threads)
        with numpy.errstate(invalid="raise"), pytest.raises(FloatingPointError, match="invalid value"):
            sqr(numpy.full(100_000, -1.0))
        with numpy.errstate(invalid="ignore"):
            assert numpy.isnan(sqr(-1.0))


def test_an_exception_of_a_callback_stops_the_loop(library, made):
    seen = []

    def back(x):
        seen.append(x)
        if x == 3:
            raise KeyError("three")
        return 2 * x

    callback = epsilon.make_callback(back, "double", ["double"])
    library.bind("void choose(double (*f)(double))")(callback)
    through = made("double through(double x)")
    assert through([1, 2]).tolist() == [2, 4]
    for values in (numpy.arange(10.0), numpy.arange(5000.0), 3.0):
        seen.clear()
        with pytest.raises(KeyError, match="three"):
            through(values)
        assert seen[-1] == 3
    assert through(5) == 10


def test_the_gil_is_released(library, made):
    state = []

    def back(x):  # it can only answer when the other thread has run
        if x == 1:
            state.append("in")
            assert ready.wait(60)
        return x

    ready = threading.Event()
    callback = epsilon.make_callback(back, "double", ["double"])
    library.bind("void choose(double (*f)(double))")(callback)
    through = made("double through(double x)")
    thread = threading.Thread(target=ready.set)
    thread.start()
    assert through(numpy.arange(2000.0))[1] == 1 and state == ["in"]
    thread.join()


def test_a_closed_library_is_an_error_and_not_unloaded_under_a_loop(made):
    other = load_c(SOURCE + "int closing_time(void) { return 1; }")
    poly = epsilon.vectorize(other.bind("double poly(double x)"))
    other.bind("void choose(double (*f)(double))")(
        callback := epsilon.make_callback(lambda x: other.close() or x, "double", ["double"])
    )
    through = epsilon.vectorize(other.bind("double through(double x)"))
    assert poly(2) == 5
    assert through(numpy.arange(1000.0)).sum() == 499500
    for function in (poly, through):
        for value in (1.0, numpy.arange(5000.0)):
            with pytest.raises(epsilon.ForeignError, match="is closed"):
                function(value)
    callback.close()


def test_what_can_be_no_ufunc_is_refused(library, made):
    for text, wanted in [
        ("double first(const double *p)", r"parameter 1 'p' \(const double \*\) is no number"),
        ("int zero(void)", "at least one input"), ("void nothing(int n)", "one output"),
        ("long double longer(long double x)", "the result.*long double.* is no number"),
        ("double extra(int n, ...)", "variadic"),
    ]:  # fmt: skip
        with pytest.raises(epsilon.ForeignTypeError, match=wanted):
            made(text)
    for option in ({"check": "nonnegative"}, {"errno": True}, {"check": "nonnegative", "retry": "EINTR"}):
        with pytest.raises(epsilon.ForeignTypeError, match="is a matter of single calls"):
            made("double poly(double x)" if "retry" not in option else "int isum(int a, int b)", **option)
    with pytest.raises(epsilon.ForeignTypeError, match=r"got <built-in function abs>.*wanted a foreign function"):
        epsilon.vectorize(abs)
    for threads in (0, -1, 257, "2", 1.5):
        with pytest.raises(epsilon.ForeignTypeError, match="threads is a number from 1 to 256"):
            made("double poly(double x)", threads)
    with pytest.raises(epsilon.SymbolNotFoundError):
        made("double no_such_symbol_here(double x)")


def test_the_ufunc_keeps_what_it_needs(library):
    function = library.bind("double poly(double x)")
    before = sys.getrefcount(function)
    poly = epsilon.vectorize(function)
    assert sys.getrefcount(function) == before + 1
    del poly
    gc.collect()
    assert sys.getrefcount(function) == before
    kept = epsilon.vectorize(epsilon.lib_open("libm").bind("double fabs(double x)"))
    gc.collect()
    assert kept(-2) == 2


def test_threads_use_one_ufunc_at_the_same_time():
    run_child(
        """
import threading, numpy, epsilon
fmax = epsilon.vectorize(epsilon.lib_open("libm").bind("double fmax(double a, double b)"), threads=2)
values = numpy.arange(100_000.0)
def work():
    for _ in range(20):
        assert (fmax(values, 5) == numpy.maximum(values, 5)).all()
threads = [threading.Thread(target=work) for _ in range(4)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
"""
    )
