"""Issue 2, "How right": eight threads do everything at once, and the GIL is truly released, or kept where it should be.

Nothing here waits for a time: threads meet at barriers, and what is counted is counted by C.  All of it runs in child
processes, so that a crash is a failure and a deadlock ends with the child's time limit.
"""

from __future__ import annotations

import pytest
from clib import SHIM, compile_c, run_child

PRELUDE = """
import sys, threading, faulthandler
import epsilon
failures = []
def together(count, work):
    "Run work(number) on `count` threads that begin at once."
    barrier = threading.Barrier(count)
    def begin(number):
        try:
            barrier.wait()
            work(number)
        except BaseException as error:
            import traceback
            failures.append("".join(traceback.format_exception(type(error), error, error.__traceback__)))
    threads = [threading.Thread(target=begin, args=(number,)) for number in range(count)]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
    assert not failures, failures[0]
sys.setswitchinterval(1e-5)
path = sys.argv[1]
"""

EVERYTHING = r"""
#include <stdlib.h>
int add(int a, int b) { return a + b; }
int apply(int (*f)(int), int n) { return f(n); }
long total(const long *p, int n) { long s = 0; for (int i = 0; i < n; i++) s += p[i]; return s; }
struct pair { int a; double b; };
struct pair turned(struct pair p) { return (struct pair){(int)p.b, p.a}; }
"""


def child(code: str, source: str = EVERYTHING) -> str:
    return run_child(PRELUDE + code, compile_c(source))


def test_eight_threads_do_everything_at_once():
    """Open and close libraries, allocate and free, define structs, bind, call, make and close callbacks."""
    assert child("""
def work(number):
    for turn in range(60):
        n = 1000 * number + turn
        with epsilon.lib_open(path) as lib:
            assert lib.bind("int add(int a, int b)")(n, 1) == n + 1
            assert lib.bind("add", "int", ["int", "int"], name=f"add_{n}")(arg1=n, arg2=2) == n + 2
            with epsilon.make_callback(lambda x: x + n, "int", ["int"]) as callback:
                assert lib.bind("int apply(int (*f)(int), int n)")(callback, 5) == n + 5
            kept = epsilon.make_callback(lambda x: x * 2, "int", ["int"])
            assert lib.bind("apply", "int", ["pointer", "int"])(kept, n) == 2 * n
            kept.close()
            memory = epsilon.foreign_alloc("long", count=50, initial=n)
            assert lib.bind("long total(const long *p, int n)")(memory, 50) == 50 * n
            epsilon.foreign_free(memory)
            with epsilon.pooled_memory("long", count=8) as pooled:
                pooled[:] = range(8)
                assert lib.bind("total", "long", [("pointer", "long"), "int"])(pooled, 8) == 28
            pair = epsilon.define_c_struct(f"pair_{number}", [("a", "int"), ("b", "double")])
            assert lib.bind("turned", pair, [pair])(pair(n, turn)) == pair(turn, n)
        assert epsilon.shared_call(("strlen", "libc"), "unsigned-long", ["string"], "x" * turn) == turn
        epsilon.register_signature(f"name_{number}_{turn}", "int", ["int"] * (turn % 5))
        assert epsilon.registry[f"name_{number}_{turn}"] is epsilon.Signature("int", ["int"] * (turn % 5))
together(8, work)
print("done")
""") == "done\n"  # fmt: skip


def test_one_signature_and_one_trampoline_whoever_makes_it_first():
    assert child("""
found = [set() for _ in range(40)]
def work(number):
    for size in range(40):
        types = ["int", "double", "uint8"] * size
        found[size].add(id(epsilon.Signature("int", types)))
        found[size].add(id(epsilon.get_or_create_trampoline("int", types)))
        epsilon.ctype(("pointer", ("array", "int", size + 1)))
together(8, work)
assert all(len(ids) == 2 for ids in found), [len(ids) for ids in found]
print("done")
""") == "done\n"  # fmt: skip


def test_errno_belongs_to_the_thread():
    assert child("""
libc = epsilon.lib_open("libc")
close, open_ = libc.bind("int close(int fd)", errno=True), libc.bind("open", "int", ["string", "int"], errno=True)
import errno
def work(number):
    for _ in range(300):
        if number % 2:
            assert close(-1) == -1 and epsilon.errno() == errno.EBADF
        else:
            assert open_("/no/such/file", 0) == -1 and epsilon.errno() == errno.ENOENT
together(8, work)
print("done")
""") == "done\n"  # fmt: skip


def test_an_exception_in_a_callback_is_raised_on_its_own_thread():
    assert child("""
lib = epsilon.lib_open(path)
apply = lib.bind("int apply(int (*f)(int), int n)")
def fail(n): raise KeyError(n)
callback = epsilon.make_callback(fail, "int", ["int"], on_error=-1)
def work(number):
    for turn in range(200):
        try:
            apply(callback, 1000 * number + turn)
        except KeyError as error:
            assert error.args == (1000 * number + turn,)
        else:
            raise AssertionError("no exception")
together(8, work)
print("done")
""") == "done\n"  # fmt: skip


MEETING = r"""
#include <pthread.h>
static pthread_barrier_t barrier;
void prepare(int count) { pthread_barrier_init(&barrier, 0, count); }
int meet(void) { return pthread_barrier_wait(&barrier) ? 1 : 0; }
static int inside, most;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
/* how many threads were ever in here together */
int visit(int turns)
{
    pthread_mutex_lock(&mutex);
    if (++inside > most)
        most = inside;
    pthread_mutex_unlock(&mutex);
    for (volatile int i = 0; i < turns; i++);
    pthread_mutex_lock(&mutex);
    inside--;
    pthread_mutex_unlock(&mutex);
    return 0;
}
int together(void) { return most; }
static pthread_barrier_t gate;
void prepare_gate(void) { pthread_barrier_init(&gate, 0, 2); }
int enter(void) { pthread_barrier_wait(&gate); pthread_barrier_wait(&gate); return 42; }
void pass(void) { pthread_barrier_wait(&gate); }
int call_inside(int (*f)(int), int n) { pthread_barrier_wait(&barrier); return f(n); }
"""


def test_two_threads_are_inside_c_at_the_same_time():
    """Neither comes out of the barrier before both are in: with the GIL kept this would wait for ever."""
    assert child("""
lib = epsilon.lib_open(path)
lib.bind("void prepare(int count)")(2)
meet = lib.bind("int meet(void)")
results = []
def work(number):
    for _ in range(200):
        results.append(meet())
together(2, work)
assert sorted(results) == [0] * 200 + [1] * 200
print("done")
""", MEETING) == "done\n"  # fmt: skip


def test_eight_threads_are_inside_c_and_call_back_at_the_same_time():
    assert child("""
lib = epsilon.lib_open(path)
lib.bind("void prepare(int count)")(8)
call = lib.bind("call_inside", "int", ["pointer", "int"])
callback = epsilon.make_callback(lambda n: n + 1, "int", ["int"])
def work(number):
    for turn in range(50):
        assert call(callback, turn) == turn + 1
together(8, work)
print("done")
""", MEETING) == "done\n"  # fmt: skip


@pytest.mark.skipif(
    not SHIM, reason="cffi's ABI mode cannot keep the GIL; test_critical_needs_the_shim shows what it says"
)
def test_a_critical_call_keeps_the_gil():
    assert child("""
visit = epsilon.lib_open(path).bind("int visit(int turns)", critical=True)
def work(number):
    for _ in range(20):
        visit(100000)
together(4, work)
assert epsilon.lib_open(path).bind("int together(void)")() == 1
print("done")
""", MEETING) == "done\n"  # fmt: skip


@pytest.mark.skipif(SHIM, reason="the shim can keep the GIL: test_a_critical_call_keeps_the_gil")
def test_critical_needs_the_shim():
    import epsilon

    with pytest.raises(epsilon.ForeignTypeError, match="needs the shim"):
        epsilon.lib_open("libc").bind("int abs(int n)", critical=True)


def test_a_library_closed_while_a_thread_is_inside_a_call():
    """The call comes back with its result; only then is the file unloaded, and the next call is an error."""
    assert child("""
import os
def loaded():
    with open("/proc/self/maps") as maps:
        return path in maps.read()
lib, second = epsilon.lib_open(path), epsilon.lib_open(path)
lib.bind("void prepare_gate(void)")()
enter, go_on = lib.bind("int enter(void)"), second.bind("void pass(void)")
results = []
thread = threading.Thread(target=lambda: results.append(enter()))
thread.start()
go_on()                       # the thread is inside by now
lib.close()
assert lib.closed
try:
    enter()
except epsilon.ForeignError as error:
    assert "closed" in str(error)
else:
    raise AssertionError("a call through a closed library")
go_on()
second.close()
thread.join()
assert results == [42], results
if os.path.exists("/proc/self/maps"):
    assert not loaded()
print("done")
""", MEETING) == "done\n"  # fmt: skip


def test_libraries_closed_under_calling_threads():
    """Each call either gives its result or the error that says the library is closed."""
    assert child("""
current = [epsilon.lib_open(path)]
function = [current[0].bind("int add(int a, int b)")]
counts = [0] * 8
def work(number):
    for turn in range(300):
        if number == 0 and turn % 3 == 0:
            old, current[0] = current[0], epsilon.lib_open(path)
            function[0] = current[0].bind("int add(int a, int b)")
            old.close()
        try:
            assert function[0](turn, 1) == turn + 1
            counts[number] += 1
        except epsilon.ForeignError as error:
            assert "closed" in str(error), error
together(8, work)
assert sum(counts) > 0
print("done")
""") == "done\n"  # fmt: skip


def test_callbacks_closed_under_calling_threads():
    """A call meets the callback alive, or gets on_error and the error that names it; never another callback."""
    assert child("""
apply = epsilon.lib_open(path).bind("apply", "int", ["pointer", "int"])
current = [epsilon.make_callback(lambda n: n + 1, "int", ["int"], on_error=-7)]
def work(number):
    for turn in range(400):
        if number == 0:
            old, current[0] = current[0], epsilon.make_callback(lambda n: n + 1, "int", ["int"], on_error=-7)
            old.close()
        try:
            assert apply(current[0], turn) == turn + 1
        except epsilon.CallbackClosedError as error:
            assert "closed at" in str(error), error
together(8, work)
print("done")
""") == "done\n"  # fmt: skip


def test_memory_freed_once_however_many_threads_try():
    assert child("""
memories = [epsilon.foreign_alloc("int", count=100) for _ in range(200)]
freed = []
def work(number):
    for place, memory in enumerate(memories):
        try:
            epsilon.foreign_free(memory)
            freed.append(place)
        except epsilon.ForeignMemoryError:
            pass
together(8, work)
assert sorted(freed) == list(range(200))
print("done")
""") == "done\n"  # fmt: skip


STRANGERS = r"""
#include <pthread.h>
static int (*function)(int);
static void *run(void *n) { return (void *)(long)function((int)(long)n); }
/* calls f from `count` threads that Python has never seen; returns the sum of the results */
long from_strangers(int (*f)(int), int count)
{
    pthread_t threads[64];
    long sum = 0;
    function = f;
    for (long i = 0; i < count; i++) pthread_create(&threads[i], 0, run, (void *)i);
    for (int i = 0; i < count; i++) { void *result; pthread_join(threads[i], &result); sum += (long)result; }
    return sum;
}
"""


def test_threads_that_python_has_never_seen_call_back():
    assert child("""
call = epsilon.lib_open(path).bind("from_strangers", "long", ["pointer", "int"])
callback = epsilon.make_callback(lambda n: 2 * n, "int", ["int"])
for _ in range(20):
    assert call(callback, 32) == 2 * sum(range(32))
unraised = []
sys.unraisablehook = lambda info: unraised.append(info.exc_type)
failing = epsilon.make_callback(lambda n: 1 // 0, "int", ["int"], on_error=3)
assert call(failing, 16) == 48
assert unraised == [ZeroDivisionError] * 16
print("done")
""", STRANGERS) == "done\n"  # fmt: skip
