"""Batches: all results in order, one crossing, earlier results as arguments; what stops one says which call."""

from __future__ import annotations

import ctypes
import os
import random
import struct
import sys
import threading

import pytest
from clib import SHIM, load_c, run_child

import epsilon
from epsilon import BatchResult, _backend, foreign_batch

SOURCE = r"""
#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
static char trace[4096];
static void note(const char *what) { strcat(trace, what); }
const char *traced(void) { return trace; }
void forget(void) { trace[0] = 0; }
int next_int(int n) { note("i"); return n + 1; }
unsigned next_unsigned(unsigned n) { return n + 1; }
int8_t low(int n) { return (int8_t)n; }
uint8_t high(int n) { return (uint8_t)n; }
bool truth(int n) { return n != 0; }
bool itself(bool b) { return b; }
int64_t wide(int64_t n) { return n; }
uint64_t uwide(uint64_t n) { return n; }
double twice(double x) { note("d"); return 2 * x; }
float half(float x) { return x / 2; }
long double longer(long double x) { return x + 1; }
double mixed(int a, double b, int64_t c, float d, uint8_t e) { return a + b + c + d + e; }
long many(long a, long b, long c, long d, long e, long f, long g, long h)
{ return a+2*b+3*c+4*d+5*e+6*f+7*g+8*h; }
int fails(int n) { note("f"); errno = n; return -n; }
const char *shared_text(int n)
{ static char text[32]; snprintf(text, sizeof text, "text %d", n); return text; }
const char *same(const char *text) { return text; }
char *given_text(int n)
{ char *text = malloc(32); snprintf(text, 32, "owned %d", n); note("g"); return text; }
struct pair { int a; double b; };
struct pair make_pair(int a, double b) { struct pair p = {a, b}; return p; }
double sum_pair(struct pair p) { return p.a + p.b; }
struct big { long n[6]; };
struct big make_big(long n)
{ struct big b = {{n, n + 1, n + 2, n + 3, n + 4, n + 5}}; return b; }
long sum_big(struct big b) { long s = 0; for (int i = 0; i < 6; i++) s += b.n[i]; return s; }
int halves(int n, int *rest) { *rest = n % 2; return n / 2; }
void only_out(int n, int *out) { *out = n * 10; }
void *place(int n) { static int numbers[10]; numbers[n] = 100 + n; return &numbers[n]; }
int at(void *p) { return *(int *)p; }
int *typed(int n) { return place(n); }
int at_typed(const int *p) { return *p; }
double at_double(const double *p) { return *p; }
int call(int (*f)(int), int n) { return f(n); }
int sum(int count, ...)
{ va_list l; va_start(l, count); int s = 0; while (count--) s += va_arg(l, int); va_end(l); return s; }
long total(const int *numbers, size_t count)
{ long s = 0; for (size_t i = 0; i < count; i++) s += numbers[i]; return s; }
int tries; int flaky(void) { if (++tries % 3) { errno = EINTR; return -1; } return tries; }
void nothing(void) { note("n"); }
"""


@pytest.fixture(scope="module")
def c():
    library = load_c(SOURCE)
    declared = """
    struct pair { int a; double b; }; struct big { long n[6]; };
    const char *traced(void); void forget(void); int next_int(int n); unsigned next_unsigned(unsigned n);
    int8_t low(int n);
    uint8_t high(int n); bool truth(int n); bool itself(bool b); int64_t wide(int64_t n); uint64_t uwide(uint64_t n);
    double twice(double x);
    float half(float x); long double longer(long double x);
    double mixed(int a, double b, int64_t c, float d, uint8_t e);
    long many(long a, long b, long c, long d, long e, long f, long g, long h); int fails(int n);
    const char *shared_text(int n); const char *same(const char *text); struct pair make_pair(int a, double b);
    double sum_pair(struct pair p); struct big make_big(long n); long sum_big(struct big b); void *place(int n);
    int at(void *p); int *typed(int n); int at_typed(const int *p); double at_double(const double *p);
    void nothing(void);
    """
    found = library.declare(declared)
    found.library = library
    return found


@pytest.fixture
def traced(c):
    c.forget()
    return c.traced


# --- results --------------------------------------------------------------------------------------------------------


def test_all_results_in_the_order_of_the_calls(c, traced):
    batch = foreign_batch([(c.next_int, ...), (c.twice, ...), (c.nothing,), (c.many, *range(8)), (c.next_int, 40)])
    for n in range(3):
        assert batch(n, 0.5) == [n + 1, 1.0, None, 168, 41]
    assert traced() == "idni" * 3
    assert foreign_batch([])() == []
    assert repr(batch) == "<batch of 5 calls>"


def test_an_earlier_result_is_an_argument_of_a_later_call(c):
    assert foreign_batch([(c.next_int, 1), (c.next_int, BatchResult(0)), (c.twice, 1.5), (c.next_int, BatchResult(1)),
                          (c.twice, BatchResult(2)), (c.mixed, BatchResult(0), BatchResult(2), 0, 0, 0)])() == [
        2, 3, 3.0, 4, 6.0, 5.0,
    ]  # fmt: skip


@pytest.mark.parametrize("number", [0, 1, -1, 127, 128, 255, -128, 2**31 - 1, -(2**31)])
def test_a_number_is_carried_as_its_own_type_to_a_wider_one(c, number):
    def pairs(source, targets):
        for target in targets:
            assert foreign_batch([(source, number), (target, BatchResult(0))])()[1] == target(source(number))

    pairs(c.low, [c.wide, c.next_int, c.twice, c.half, c.truth, c.itself])
    pairs(c.high, [c.wide, c.uwide, c.next_int, c.next_unsigned, c.twice])
    pairs(c.truth, [c.wide, c.uwide, c.next_int, c.next_unsigned, c.twice])
    pairs(c.next_int if number < 2**31 - 1 else c.low, [c.wide, c.twice, c.half])
    pairs(c.wide, [c.wide, c.twice, c.half, c.itself])


@pytest.mark.parametrize("number", [0, 1, 2**31, 2**32 - 2, 2**63 + 12345, 2**64 - 1])
def test_an_unsigned_number_stays_one(c, number):
    assert foreign_batch([(c.uwide, number), (c.twice, BatchResult(0)), (c.uwide, BatchResult(0))])() == [
        number, 2 * float(number), number,
    ]  # fmt: skip
    if number < 2**32 - 1:
        assert foreign_batch([(c.next_unsigned, number), (c.wide, BatchResult(0))])() == [number + 1, number + 1]


def test_floats_go_to_each_other(c):
    assert foreign_batch([(c.half, 3.0), (c.twice, BatchResult(0)), (c.half, BatchResult(1)),
                          (c.longer, 2.5), (c.longer, BatchResult(3))])() == [1.5, 3.0, 1.5, 3.5, 4.5]  # fmt: skip


def test_structs_pointers_and_texts_go_to_later_calls(c):
    made = foreign_batch([(c.make_pair, 3, 0.5), (c.sum_pair, BatchResult(0)), (c.make_big, 10),
                          (c.sum_big, BatchResult(2)),
                          (c.place, 4), (c.at, BatchResult(4)), (c.typed, 5), (c.at_typed, BatchResult(6)),
                          (c.at, BatchResult(6)), (c.at_typed, BatchResult(4)), (c.same, "tèxt"),
                          (c.same, BatchResult(10)),
                          (c.same, None), (c.same, BatchResult(12))])()  # fmt: skip
    assert (made[0].a, made[0].b, made[1]) == (3, 0.5, 3.5)
    assert (list(made[2].n), made[3]) == (list(range(10, 16)), 75)
    assert (made[5], made[7], made[8], made[9]) == (104, 105, 105, 104)
    assert made[10:] == ["tèxt", "tèxt", None, None]


def test_a_text_is_what_it_was_when_its_call_came_back(c):
    assert foreign_batch([(c.shared_text, 1), (c.shared_text, 2), (c.shared_text, ...)])(3) == [
        "text 1",
        "text 2",
        "text 3",
    ]


def test_the_results_belong_to_the_caller(c):
    batch = foreign_batch([(c.next_int, ...), (c.twice, ...)])
    first = batch(1, 1.0)
    second = batch(1000, 7.5)
    assert (first, second) == ([2, 2.0], [1001, 15.0])
    second.append(1)
    assert batch(3, 3.0) == [4, 6.0] and first == [2, 2.0]


def test_a_batch_of_a_thousand_calls(c):
    calls = [(c.wide, 7), *((c.wide, BatchResult(place)) for place in range(999))]
    assert foreign_batch(calls)() == [7] * 1000
    assert foreign_batch([(c.make_big, place) for place in range(500)])()[499].n[0] == 499
    assert foreign_batch([(c.next_int, ...)] * 5000)(*range(5000)) == list(range(1, 5001))


def test_random_batches_give_what_the_calls_give_one_by_one(c):
    chance = random.Random(6)
    integers = [c.next_int, c.low, c.high, c.truth, c.wide]
    reals = [c.twice, c.half]
    for _ in range(60 if _backend.strategy == "compiled" else 300):  # each runs the compiler there
        calls, wanted = [], []
        for place in range(chance.randrange(1, 12)):
            function = chance.choice(integers + reals)
            value = chance.randrange(-100, 100)
            fitting = [earlier for earlier in range(place) if calls[earlier][0] in integers[:4] or
                       (calls[earlier][0] in reals and function in reals)]  # fmt: skip
            if fitting and chance.random() < 0.5:
                earlier = chance.choice(fitting)
                calls.append((function, BatchResult(earlier)))
                wanted.append(function(wanted[earlier]))
            else:
                calls.append((function, value if function not in reals else value / 4))
                wanted.append(function(calls[-1][1]))
        assert foreign_batch(calls)() == wanted


def test_a_result_that_a_converter_was_registered_for_meanwhile_is_converted():
    code = """
import epsilon
c_abs = epsilon.lib_open("libc").bind("int abs(int n)")
batch = epsilon.foreign_batch([(c_abs, ...), (c_abs, ...)])
print(batch(-1, -2), batch(-1, -2))
epsilon.convert_from_foreign.register(int, "int")(lambda number: ("converted", number))
print(batch(-1, -2), c_abs(-1))
"""
    wanted = ["[1, 2] [1, 2]", "[('converted', 1), ('converted', 2)] ('converted', 1)"]
    assert run_child(code).splitlines() == wanted


def test_a_check_may_be_a_callable_that_cannot_be_hashed(c):
    class Judge:
        __hash__ = None

        def __call__(self, result):
            return result > 5

    judged = c.library.bind("int next_int(int n)", check=Judge())
    assert foreign_batch([(judged, ...)])(7) == [8]


# --- what a call may be ---------------------------------------------------------------------------------------------


def test_outputs_follow_the_result(c):
    halves = c.library.bind("int halves(int n, int *rest)", special={1: ("out", "int")})
    only = c.library.bind("void only_out(int n, int *out)", special={1: ("out", "int")})
    made = foreign_batch([(halves, 7), (only, 4), (c.next_int, BatchResult(1)), (halves, BatchResult(2))])()
    assert made == [(3, 1), 40, 41, (20, 1)]


def test_a_python_callable_is_called_in_its_turn(c, traced):
    seen = []
    assert foreign_batch([(c.next_int, 1), (seen.append, BatchResult(0)), (c.next_int, ...), (lambda x: x * 2, ...),
                          (c.next_int, BatchResult(3))])(7, 8) == [2, None, 8, 16, 17]  # fmt: skip
    assert seen == [2] and traced() == "iii"


def test_variadic_counted_owned_and_retried_calls_are_right(c):
    total = c.library.bind("sum", "int", ["int", "..."])
    array = c.library.bind("long total(const int *numbers, size_t count)",
                           special={0: ("array", "int", {"length": "count"})})  # fmt: skip
    owned = c.library.bind("char *given_text(int n)", special={"result": "string"}, free="free")
    flaky = c.library.bind("int flaky(void)", retry="EINTR", check="nonnegative")
    judged = c.library.bind("int next_int(int n)", check=lambda result: result > 5)
    made = foreign_batch([(total, 3, 1, 2, 3), (array, [1, 2, 3]), (owned, 4), (flaky,), (judged, 8),
                          (c.next_int, BatchResult(4)), (c.next_int, BatchResult(0)),
                          (c.same, BatchResult(2))])()  # fmt: skip
    assert made == [6, 6, "owned 4", 3, 9, 10, 7, "owned 4"]


def test_enums_cross_by_name(c):
    color = epsilon.define_c_enum("batch_color", [("red", 0), ("green", 1), ("blue", 2)])
    after = c.library.bind("next_int", color, [color])
    assert foreign_batch([(after, "red"), (after, BatchResult(0)), (c.next_int, 5)])() == ["green", "blue", 6]


def test_errno_is_of_its_own_call(c):
    fails = c.library.bind("int fails(int n)", errno=True)
    seen = []
    foreign_batch([(fails, 3), (fails, 5), (lambda: seen.append(epsilon.errno()),), (fails, 7)])()
    assert seen == [5] and epsilon.errno() == 7


def test_an_argument_may_be_what_any_call_takes(c):
    call = c.library.bind("int call(int (*f)(int), int n)")
    back = epsilon.make_callback(lambda n: n * 100, "int", ["int"])
    memory = epsilon.foreign_alloc("int", initial=[5])
    calls = [(call, back, 2), (c.at_typed, memory), (c.at, memory), (c.same, b"bytes"), (c.truth, True)]
    assert foreign_batch(calls)() == [
        200, 5, 5, "bytes", True,
    ]  # fmt: skip


def test_the_same_batch_runs_within_itself(c):
    call = c.library.bind("int call(int (*f)(int), int n)")
    named = epsilon.batches.planned_batch(((None, None, None), (None, None)))
    back = epsilon.make_callback(lambda n: sum(named(max, 4, 3, c.next_int, 1)) if n else 0, "int", ["int"])
    assert named(call, back, 1, c.next_int, 5) == [6, 6]
    inner = epsilon.make_callback(lambda n: sum(named(call, outer, 0, c.next_int, 1)), "int", ["int"])
    outer = epsilon.make_callback(lambda n: 3, "int", ["int"])
    assert named(call, inner, 1, c.next_int, 9) == [5, 10]


def test_the_functions_of_a_form_may_change(c):
    named = epsilon.batches.planned_batch(((None, None), (0, None), (None, 1)))
    assert named(c.next_int, 1, 2, c.twice) == [2, 3, 6.0]
    assert named(c.low, 200, 300, c.wide) == [-56, 44, 44]
    assert named(len, "abc", "de", c.next_int) == [3, 2, 3]


# --- what stops a batch ---------------------------------------------------------------------------------------------


def test_a_failed_check_stops_the_batch_and_says_which_call(c, traced):
    fails = c.library.bind("int fails(int n)", errno=True, check="nonnegative")
    for batch in (foreign_batch([(c.next_int, 1), (c.twice, 2.0), (fails, 2), (c.next_int, 1)]),
                  foreign_batch([(c.next_int, 1), (c.twice, 2.0), (fails, 2), (c.next_int, 1),
                                 (c.same, "x")])):  # fmt: skip
        with pytest.raises(
            epsilon.ForeignOSError, match=r"^call 3 of [45]: fails\(n=2\) gave -2: \[errno 2\]"
        ) as caught:
            batch()
        assert (caught.value.index, caught.value.results) == (2, [2, 4.0])
        assert (caught.value.function, caught.value.code) == ("fails", 2)
    assert traced() == "idf" * 2


def test_a_check_names_an_argument_that_was_a_result(c):
    fails = c.library.bind("int fails(int n)", check="nonnegative")
    with pytest.raises(epsilon.ForeignError, match=r"call 2 of 2: fails\(n=6\) gave -6, which is not nonnegative"):
        foreign_batch([(c.next_int, 5), (fails, BatchResult(0))])()


def test_a_default_goes_on(c, traced):
    fails = c.library.bind("int fails(int n)", check="nonnegative", default=40)
    assert foreign_batch([(fails, 1), (c.next_int, BatchResult(0)), (fails, -3)])() == [40, 41, 3]
    assert traced() == "fif"


def test_an_argument_that_cannot_be_converted_stops_it_before_anything_is_called(c, traced):
    for bad, text in (
        ("x", r"call 3 of 4: next_int\(\): parameter 1 'n' \(int\): got 'x'"),
        (2**40, "call 3 of 4.*got 1099"),
    ):
        for extra in ((c.next_int, 1), (c.same, "text")):
            with pytest.raises(epsilon.ForeignError, match=text) as caught:
                foreign_batch([(c.next_int, 1), extra, (c.next_int, bad), (c.twice, 1.0)])()
            assert (caught.value.index, caught.value.results) == (2, [])
    assert traced() == ""


def test_an_exception_of_a_callback_stops_it(c, traced):
    call = c.library.bind("int call(int (*f)(int), int n)")

    def bad(n):
        raise KeyError(n)

    back = epsilon.make_callback(bad, "int", ["int"])
    with pytest.raises(KeyError) as caught:
        foreign_batch([(c.next_int, 1), (call, back, 9), (c.next_int, 1)])()
    assert (caught.value.args, caught.value.index, caught.value.results) == ((9,), 1, [2])
    assert caught.value.__notes__ == ["in call 2 of 3 of a batch: call()"]
    assert traced() == "i"


def test_an_exception_of_a_python_callable_stops_it(c, traced):
    with pytest.raises(ZeroDivisionError) as caught:
        foreign_batch([(c.next_int, 1), (lambda n: n / 0, BatchResult(0)), (c.next_int, 1)])()
    assert (caught.value.index, caught.value.results) == (1, [2])
    assert traced() == "i"


def test_a_result_that_is_no_text_stops_it(c):
    with pytest.raises(epsilon.ForeignValueError, match=r"call 2 of 3: same\(\): result.*not valid utf-8") as caught:
        foreign_batch([(c.next_int, 1), (c.same, b"\xff"), (c.next_int, 2)])()
    assert (caught.value.index, caught.value.results) == (1, [2])


@pytest.mark.parametrize(
    ("source", "target", "text"),
    [
        (
            "wide",
            "next_int",
            r"parameter 1 'n' \(int\) cannot be the result of call 1, wide\(\), which is (long|int64_t)",
        ),
        ("uwide", "wide", "cannot be the result"),
        ("twice", "next_int", "which is double"),
        ("next_int", "next_unsigned", "which is int"),
        ("nothing", "next_int", "which is void"),
        ("typed", "at_double", r"\(const double \*\) cannot be the result of call 1, typed\(\), which is int \*"),
        ("make_pair", "sum_big", "which is struct pair"),
        ("next_int", "same", "which is int"),
        ("same", "at", "cannot be"),
        ("longer", "twice", "which is long double"),
        ("place", "same", "cannot be"),
    ],
)
def test_a_result_that_does_not_fit_is_refused_before_anything_is_called(c, traced, source, target, text):
    count = len(getattr(c, source).signature.parameters)
    with pytest.raises(epsilon.ForeignTypeError, match=f"^call 2 of 2: {target}.*{text}"):
        foreign_batch([(getattr(c, source), *[...] * count), (getattr(c, target), BatchResult(0))])
    named = epsilon.batches.planned_batch(((None, *[None] * count), (None, 0)))
    with pytest.raises(epsilon.ForeignTypeError, match=text):
        named(getattr(c, source), *[1] * count, getattr(c, target))
    assert traced() == ""


def test_a_tuple_of_outputs_fits_no_parameter(c):
    halves = c.library.bind("int halves(int n, int *rest)", special={1: ("out", "int")})
    with pytest.raises(epsilon.ForeignTypeError, match=r"call 1, halves\(\), which is a tuple of 2 values"):
        foreign_batch([(halves, 7), (c.next_int, BatchResult(0))])


def test_what_is_no_batch_is_refused(c, traced):
    with pytest.raises(
        epsilon.ForeignTypeError, match=r"call 2 of a batch: \(function, argument, …\) is wanted, not 5"
    ):
        foreign_batch([(c.next_int, 1), 5])
    with pytest.raises(epsilon.ForeignTypeError, match="call 1 of 1 of a batch: 5 is no function"):
        foreign_batch([(5, 1)])
    with pytest.raises(epsilon.ForeignTypeError, match="call 1 of 2: int next_int.*1 argument wanted.*2 given"):
        foreign_batch([(c.next_int, 1, 2), (c.next_int, 1)])
    for wrong in (0, 1, -1):
        with pytest.raises(epsilon.ForeignTypeError, match=rf"BatchResult\({wrong}\) is no earlier call"):
            foreign_batch([(c.next_int, BatchResult(wrong))])
    batch = foreign_batch([(c.next_int, ...), (c.next_int, ...)])
    for arguments, keywords in (((), {}), ((1,), {}), ((1, 2, 3), {}), ((1, 2), {"n": 3}), ((1,), {"n": 3})):
        with pytest.raises(epsilon.ForeignTypeError, match="a batch of 2 calls: 2 arguments wanted, by position"):
            batch(*arguments, **keywords)
    assert traced() == ""


def test_a_closed_library_is_named(c):
    library = load_c(SOURCE + "int only_here(int n) { return n; }")
    here = library.bind("int only_here(int n)")
    batch = foreign_batch([(c.next_int, 1), (here, 2)])
    assert batch() == [2, 2]
    library.close()
    with pytest.raises(epsilon.ForeignError, match=r"call 2 of 2: int only_here.*is closed") as caught:
        batch()
    assert caught.value.results == []


def test_memory_that_has_ended_is_named(c, traced):
    memory = epsilon.foreign_alloc("int", initial=[5])
    epsilon.foreign_free(memory)
    with pytest.raises(epsilon.ForeignMemoryError, match="call 2 of 2: .*after its end"):
        foreign_batch([(c.next_int, 1), (c.at_typed, memory)])()
    assert traced() == ""


# --- threads, lives -------------------------------------------------------------------------------------------------


def test_the_gil_is_released_for_the_batch():
    libc = epsilon.lib_open("libc")
    read = libc.bind("ssize_t read(int fd, void *data, size_t count)")
    ends = os.pipe(), os.pipe()
    data = epsilon.foreign_alloc("char", 8)

    def answer():
        os.read(ends[0][0], 1)
        os.write(ends[1][1], b"abc")

    write = libc.bind("write", "ssize", ["int", "buffer", "size"])
    thread = threading.Thread(target=answer, daemon=True)
    thread.start()
    assert foreign_batch([(write, ends[0][1], b"x", 1), (read, ends[1][0], data, 8)])() == [1, 3]
    thread.join()
    for end in (*ends[0], *ends[1]):
        os.close(end)


@pytest.mark.skipif(not SHIM, reason=":critical needs the shim")
def test_a_critical_call_has_the_gil_and_the_others_have_not():
    python = epsilon.lib_open(None)
    text = "int PyGILState_Check(void)"
    with_gil, without = python.bind(text, critical=True), python.bind(text)
    assert foreign_batch([(without,), (with_gil,), (with_gil,), (without,)])() == [0, 1, 1, 0]
    assert foreign_batch([(with_gil,)] * 3)() == [1, 1, 1]
    assert foreign_batch([(without,)] * 3)() == [0, 0, 0]


def test_threads_run_one_batch_at_the_same_time(c):
    batch = foreign_batch([(c.next_int, ...), (c.wide, ...), (c.same, ...)])
    wrong = []

    def run(base):
        for n in range(base, base + 500):
            if batch(n, n * 10**10, str(n)) != [n + 1, n * 10**10, str(n)]:
                wrong.append(n)

    threads = [threading.Thread(target=run, args=(base * 1000,)) for base in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_nothing_is_kept_of_a_run(c):
    class Text(str):
        pass

    value, memory = Text("text"), epsilon.foreign_alloc("int", initial=[1])
    batch = foreign_batch([(c.same, ...), (c.at_typed, ...), (lambda x: x, ...)])
    before = sys.getrefcount(value), sys.getrefcount(memory)
    for _ in range(50):
        batch(value, memory, value)
        with pytest.raises(epsilon.ForeignError):
            batch(value, memory.address, value)
    assert (sys.getrefcount(value), sys.getrefcount(memory)) == before
    epsilon.foreign_free(memory)


def test_batches_take_no_memory_for_good():
    run_child(
        """
import gc, resource, epsilon
from epsilon import foreign_batch, BatchResult
libc = epsilon.lib_open("libc")
length, absolute = libc.bind("size_t strlen(const char *s)"), libc.bind("int abs(int n)", check="positive")
name = libc.bind("const char *strerror(int n)")
def work(count):
    for n in range(count):
        batch = foreign_batch([(name, n % 50), (length, BatchResult(0)), (absolute, ...)])
        batch(n + 1)
        try:
            batch(0)
        except epsilon.ForeignError:
            pass
work(2000); gc.collect()
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
work(20000); gc.collect()
grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
assert grown < 2000, grown
"""
    )


def test_calls_are_counted(c):
    calls = c.next_int.trampoline.calls
    foreign_batch([(c.next_int, 1)] * 3)()
    assert c.next_int.trampoline.calls == calls + 3


def test_the_figures_of_c_are_those_of_ctypes(c):
    library = ctypes.CDLL(str(c.library.path))
    library.mixed.restype = ctypes.c_double
    library.mixed.argtypes = [ctypes.c_int, ctypes.c_double, ctypes.c_int64, ctypes.c_float, ctypes.c_uint8]
    batch = foreign_batch([(c.mixed, ..., ..., ..., ..., ...)] * 2)
    for n in range(50):
        one = (n, n / 3, n * 10**9, struct.unpack("f", struct.pack("f", n / 7))[0], n)
        assert batch(*one, *one) == [library.mixed(*one)] * 2
