"""Issue 2, "How right": ten million calls, a million callbacks, and every error path, with no growth of memory.

Each test runs in a child process, which warms up, notes its resident memory, does the work, and compares.  What is
allowed is a small constant: a leak of one pointer per turn would be many times that.
"""

from __future__ import annotations

import sys

import pytest
from clib import SHIM, compile_c, run_child

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="resident memory is read from Linux's /proc"
)

#: cffi's ABI mode runs the same paths, in Python, thirty times as slowly: fewer turns
SCALE = 1 if SHIM else 5

SOURCE = r"""
#include <stdlib.h>
#include <string.h>
int add(int a, int b) { return a + b; }
int negative(int n) { return -1; }
size_t length(const char *s) { return strlen(s); }
const char *text(int n) { return n ? "some text" : "bad \xff text"; }
int apply(int (*f)(int), int n) { return f(n); }
const char *ask(const char *(*f)(void)) { return f(); }
void split(int n, int *half, int *rest) { *half = n / 2; *rest = n % 2; }
struct pair { int a; double b; };
struct large { long n[6]; };
struct pair swap(struct pair p) { return (struct pair){(int)p.b, p.a}; }
struct large make(long n) { return (struct large){{n, n}}; }
long sum(const int *p, int n) { return p ? p[0] + n : n; }
void *same(void *p) { return p; }
"""

PRELUDE = f"""
import collections, gc, itertools, os, sys
import epsilon
SCALE = {SCALE}
lib = epsilon.lib_open(sys.argv[1])
PAGE = os.sysconf("SC_PAGE_SIZE")
def resident():
    gc.collect()
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * PAGE
def run(function, *arguments, times):
    "function(*arguments), `times` times, at C's speed"
    collections.deque(map(function, *(itertools.repeat(one, times) for one in arguments)), maxlen=0)
def no_growth(work, times, allowed=1 << 20):
    "work(times) leaves resident memory as it is, after a warm-up"
    times //= SCALE
    work(max(times // 5, 1))
    before = resident()
    work(times)
    grown = resident() - before
    assert grown <= allowed, f"{{grown}} bytes in {{times}} turns"
def raising(kind, function, *arguments):
    "a function that calls function(*arguments), which must raise"
    def call(_):
        try:
            function(*arguments)
        except kind:
            return
        raise AssertionError("nothing was raised")
    return call
def steady(*objects):
    "their reference counts, to be compared later"
    return [sys.getrefcount(one) for one in objects]
"""


def child(code: str) -> None:
    assert run_child(f"{PRELUDE}{code}\nprint('done')", compile_c(SOURCE)) == "done\n"


def test_ten_million_calls():
    child("""
add = lib.bind("int add(int a, int b)")
a, b = 1 << 20, 2 << 20
before = steady(a, b, add)
no_growth(lambda times: run(add, a, b, times=times), 10_000_000)
assert steady(a, b, add) == before
""")


def test_a_million_callbacks_made_and_closed():
    child("""
function = lambda n: n
before = steady(function)
def make(times):
    for _ in range(times):
        epsilon.make_callback(function, "int", ["int"]).close()
make(5000)                      # fills the quarantine of closed slots
no_growth(make, 1_000_000)
del make
epsilon.make_callback(int, "int", ["int"]).close()
assert steady(function) == before
""")


def test_callbacks_that_are_dropped_without_being_closed():
    child("""
function = lambda n: n
make = lambda times: run(epsilon.make_callback, function, "int", ["int"], times=times)
make(5000)
before = steady(function)
no_growth(make, 200_000)
assert steady(function) == before
""")


def test_a_million_calls_of_callbacks():
    child("""
apply = lib.bind("apply", "int", ["pointer", "int"])
callback = epsilon.make_callback(lambda n: n + 1, "int", ["int"])
number = 1 << 20
before = steady(callback, number)
no_growth(lambda times: run(apply, callback, number, times=times), 1_000_000)
assert steady(callback, number) == before
""")


def test_callables_that_are_wrapped_for_the_length_of_a_call():
    child("""
apply = lib.bind("int apply(int (*f)(int), int n)")
function = lambda n: n
run(apply, function, 3, times=5000)
before = steady(function)
no_growth(lambda times: run(apply, function, 3, times=times), 200_000)
assert steady(function) == before
""")


def test_strings_both_ways():
    child("""
length, text = lib.bind("size_t length(const char *s)"), lib.bind("const char *text(int n)")
latin = lib.bind("length", "size", [("string", {"encoding": "latin-1"})])
ask = lib.bind("ask", "string", ["pointer"])
numbers = itertools.count()
answer = epsilon.make_callback(lambda: f"answer {next(numbers)}", "string", [])
value, data = "a text of some length é", b"bytes of some length"
before = steady(value, data)
no_growth(lambda times: run(length, value, times=times), 1_000_000)
no_growth(lambda times: run(length, data, times=times), 1_000_000)
no_growth(lambda times: run(latin, value, times=times), 300_000)
no_growth(lambda times: run(text, 1, times=times), 1_000_000)
no_growth(lambda times: run(ask, answer, times=times), 300_000)
assert steady(value, data) == before
""")


def test_pointers_buffers_and_outputs():
    child("""
memory, data = epsilon.foreign_alloc("int", count=4), bytearray(16)
sum_ = lib.bind("long sum(const int *p, int n)")
split = lib.bind("split", "void", ["int", ("out", "int"), ("out", "int")])
copied, viewed = lib.bind("sum", "long", [("in", "int"), "int"]), lib.bind("sum", "long", ["buffer", "int"])
same = lib.bind("void *same(void *p)")
before = steady(memory, data)
no_growth(lambda times: run(sum_, memory, 3, times=times), 1_000_000)
no_growth(lambda times: run(copied, 7, 3, times=times), 1_000_000)
no_growth(lambda times: run(viewed, data, 3, times=times), 500_000)
no_growth(lambda times: run(same, memory, times=times), 500_000)
no_growth(lambda times: run(split, 7, times=times), 500_000)
assert steady(memory, data) == before
data.append(1)
""")


def test_a_million_struct_results():
    child("""
pair = epsilon.define_c_struct("pair", [("a", "int"), ("b", "double")])
large = epsilon.define_c_struct("large", [("n", ("array", "long", 6))])
swap, make = lib.bind("swap", pair, [pair]), lib.bind("make", large, ["long"])
one = pair(1, 2)
before = steady(one, pair, large)
no_growth(lambda times: run(swap, one, times=times), 1_000_000)
no_growth(lambda times: run(make, 5, times=times), 500_000)
no_growth(lambda times: run(swap, {"a": 1, "b": 2}, times=times), 100_000)
assert steady(one) == before[:1]
""")


def test_memory_and_structs_made_and_dropped():
    child("""
pair = epsilon.define_c_struct("pair", [("a", "int"), ("b", "double"), ("s", "string"), ("n", ("array", "int", 3))])
text = "a text that the struct keeps"
def structs(times):
    for number in range(times):
        one = pair(number, 1.5, text)
        one.s = text
        one.n[1] = number
        dict(one), repr(one), one == pair()
def memory(times):
    for number in range(times):
        block = epsilon.foreign_alloc("int", count=20)
        block[3] = number
        block[3], block[1:3]
        if number % 2:
            epsilon.foreign_free(block)
def others(times):
    for number in range(times):
        with epsilon.pooled_memory("int", count=50) as pooled:
            pooled[0] = number
        with epsilon.pinned_array(bytearray(10)) as pinned:
            pinned[0] = 1
        epsilon.deref(epsilon.foreign_alloc(pair, count=2), 1)
before = steady(text)
for work in (structs, memory, others):
    no_growth(work, 30_000, allowed=1 << 19)
assert steady(text) == before
""")


def test_one_hundred_thousand_failing_conversions():
    child("""
add, length = lib.bind("int add(int a, int b)"), lib.bind("size_t length(const char *s)")
text, sum_ = lib.bind("const char *text(int n)"), lib.bind("long sum(const int *p, int n)")
viewed = lib.bind("sum", "long", [("buffer", "writable"), "int"])
pair = epsilon.define_c_struct("pair", [("a", "int"), ("b", "double")])
swap = lib.bind("swap", pair, [pair])
value, data, memory, one = object(), bytearray(16), epsilon.foreign_alloc("double"), pair()
T, V, R, I = epsilon.ForeignTypeError, epsilon.ForeignValueError, epsilon.ForeignRangeError, epsilon.ForeignIndexError
failing = [
    raising(T, add, value, 1), raising(T, add, 1, value), raising(R, add, 2**40, 1),
    raising(T, add, 1), raising(T, add, 1, 2, 3),
    raising(T, length, value), raising(V, length, "a\\0b"), raising(V, length, "\\ud800"), raising(V, text, 0),
    raising(T, sum_, memory, 1), raising(T, sum_, value, 1),
    raising(T, viewed, data, value), raising(V, viewed, b"read-only", 1),
    raising(T, swap, value), raising(T, swap, {"x": 1}), raising(R, swap, {"a": 2**40}), raising(I, lambda: memory[5]),
    raising(T, lambda: setattr(one, "a", value)), raising(T, lambda: one["c"]),
    raising(T, epsilon.ctype, "no-such-type"),
]
def work(times):
    for call in failing:
        collections.deque(map(call, range(times // len(failing))), maxlen=0)
before = steady(value, data, memory, one, add, length, sum_)
no_growth(work, 100_000, allowed=1 << 18)
assert steady(value, data, memory, one, add, length, sum_) == before
data.append(1)
""")


def test_callbacks_that_raise_and_answer_wrongly():
    child("""
apply = lib.bind("apply", "int", ["pointer", "int"])
reason = ValueError("always the same")
def fail(n):
    raise ValueError(n)
failing = epsilon.make_callback(fail, "int", ["int"], on_error=-1)
wrong = epsilon.make_callback(lambda n: "no int", "int", ["int"])
closed = epsilon.make_callback(int, "int", ["int"])
address = epsilon.foreign_alloc("pointer", initial=[closed])[0]
closed.close()
before = steady(fail, failing, wrong)
for kind, given in ((ValueError, failing), (epsilon.ForeignTypeError, wrong), (epsilon.CallbackClosedError, address)):
    call = raising(kind, apply, given, 3)
    no_growth(lambda times: collections.deque(map(call, range(times)), maxlen=0), 100_000)
del call, given
assert steady(fail, failing, wrong) == before
""")


def test_checks_that_fail():
    child("""
word = raising(epsilon.ForeignError, lib.bind("int negative(int n)", check="nonnegative"), 1)
system = raising(epsilon.ForeignOSError, lib.bind("int negative(int n)", errno=True, check="nonnegative"), 1)
asked = raising(epsilon.ForeignError, lib.bind("int negative(int n)", check=lambda result: result >= 0), 1)
for call in (word, system, asked):
    no_growth(lambda times: collections.deque(map(call, range(times)), maxlen=0), 50_000)
""")


def test_libraries_functions_and_signatures_made_again():
    child("""
def work(times):
    for number in range(times):
        with epsilon.lib_open(sys.argv[1]) as again:
            again.bind("int add(int a, int b)")(1, 2)
            again.bind("add", "int", ["int", "int"])
        try:
            again.bind("int add(int a, int b)")(1, 2)
        except epsilon.ForeignError:
            pass
        epsilon.shared_call(("add", lib), "int", ["int", "int"], 1, 2)
        epsilon.Signature("int", ["int", ("in", "int")])
no_growth(work, 5_000)
""")


def test_what_python_allocates_is_given_back():
    """tracemalloc sees what a resident page hides: not one block of ours more after the work than before."""
    child("""
import tracemalloc
add, length = lib.bind("int add(int a, int b)"), lib.bind("size_t length(const char *s)")
apply, callback = lib.bind("apply", "int", ["pointer", "int"]), epsilon.make_callback(lambda n: n, "int", ["int"])
pair = epsilon.define_c_struct("pair", [("a", "int"), ("b", "double")])
swap = lib.bind("swap", pair, [pair])
def work():
    for number in range(500):
        add(number, 1), length(f"text {number}"), apply(callback, number), swap({"a": number}), add(a=1, b=number)
        raising(epsilon.ForeignTypeError, add, "x", 1)(0)
        epsilon.foreign_free(epsilon.foreign_alloc("int", count=number))
work(); work()
tracemalloc.start()
work(); gc.collect()
before = tracemalloc.take_snapshot()
work(); gc.collect()
after = tracemalloc.take_snapshot()
grown = [found for found in after.compare_to(before, "lineno") if found.count_diff > 100]
assert not grown, grown
""")


def test_threads_that_come_call_back_and_go_leave_nothing():
    """Each has a thread state of Python's for as long as it lives; what is its own ends with it."""
    source = """
#include <pthread.h>
struct work { int (*f)(int); int n; long sum; };
static void *run(void *a) { struct work *w = a; for (int i = 0; i < w->n; i++) w->sum += w->f(i); return 0; }
long on_a_thread(int (*f)(int), int n)
{
    pthread_t thread;
    struct work work = {f, n, 0};
    pthread_create(&thread, 0, run, &work);
    pthread_join(thread, 0);
    return work.sum;
}
"""
    code = """
import threading
mine, ended = threading.local(), []
class Noted:
    def __del__(self):
        ended.append(1)
@epsilon.callback("int", ["int"])
def count(n):
    mine.count = getattr(mine, "count", 0) + 1      # the same thread's, from one callback to the next
    if n == 0:
        mine.noted = Noted()
    return mine.count
on_a_thread = lib.bind("on_a_thread", "long", ["pointer", "int"])
assert on_a_thread(count, 4) == 1 + 2 + 3 + 4
no_growth(lambda times: run(on_a_thread, count, 2, times=times), 4000)
on_a_thread(count, 1)
epsilon.make_callback(count, "int", ["int"]).close()       # what is left is cleared now
assert not hasattr(mine, "count") and len(ended) >= 4000 // SCALE
child = os.fork()
if child == 0:
    ok = on_a_thread(count, 4) == 10
    os._exit(0 if ok else 1)
assert os.waitpid(child, 0)[1] == 0
"""
    run_child(PRELUDE + code, compile_c(source))
