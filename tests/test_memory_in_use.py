"""Issue 4: memory that a call is using is not taken from under it, by whichever thread.

The calls block in C, in a pipe, until the test lets them go; a crash or a deadlock is a failure of the child.
"""

from __future__ import annotations

import pytest
from clib import compile_c, load_c, run_child

import epsilon

HOLD = r"""
#include <unistd.h>
#include <stdlib.h>
#include <string.h>
int hold(const int *p, int tell, int wait) {
    char c = 'x';
    return write(tell, &c, 1) == 1 && read(wait, &c, 1) == 1 ? p[0] : -1;
}
int *made(void) { int *p = malloc(sizeof(int)); *p = 42; return p; }
int variable = 42;
"""

PRELUDE = """
import os, sys, threading
import epsilon
from epsilon import ForeignMemoryError
lib = epsilon.lib_open(sys.argv[1])
hold = lib.bind("hold", "int", ["pointer", "int", "int"])

class Held:
    "While it is open, a call on another thread uses the memory."
    def __init__(self, memory):
        self.memory = memory
    def __enter__(self):
        told, tell = os.pipe()
        wait, self.go = os.pipe()
        self.found = []
        self.thread = threading.Thread(target=lambda: self.found.append(hold(self.memory, tell, wait)))
        self.thread.start()
        os.read(told, 1)
        return self
    def __exit__(self, *exception):
        os.write(self.go, b"g")
        self.thread.join()
        assert self.found == [42], self.found

def refused(end):
    try:
        end()
    except ForeignMemoryError as error:
        assert "in use by a call on another thread" in str(error), error
    else:
        raise AssertionError("it ended")
"""


def child(code: str, **environment: str) -> str:
    return run_child(PRELUDE + code, compile_c(HOLD), **environment)


ENDS = {
    "foreign_free": "p = epsilon.foreign_alloc('int', initial=[42]); end = lambda: epsilon.foreign_free(p)",
    "with": "p = epsilon.foreign_memory('int', count=100, initial=42); end = lambda: p.__exit__(None, None, None)",
    "pooled": "p = epsilon.pooled_memory('int', 100); p[0] = 42; end = lambda: p.__exit__(None, None, None)",
    "pinned": "import array; p = epsilon.pinned_array(array.array('i', [42]));"
    "end = lambda: p.__exit__(None, None, None)",
    "owned": "p = lib.bind('made', ('pointer', 'int'), [], free='free')(); end = lambda: epsilon.foreign_free(p)",
    "struct": "p = epsilon.define_c_struct('one', [('x', 'int')])(42); end = lambda: epsilon.foreign_free(p)",
    "view": "points = epsilon.foreign_alloc(epsilon.define_c_struct('one', [('x', 'int')]), initial={'x': 42});"
    "p = points[0]; end = lambda: epsilon.foreign_free(points)",
    "arena": "a = epsilon.arena(); p = a.alloc('int', initial=[42]); end = a.close",
    "arena, later region": "a = epsilon.arena(); b = a.alloc('char', 5000); p = a.alloc('int', 3, initial=42);"
    "c = a.alloc('char', 100000); end = a.close",
    "arena, struct": "a = epsilon.arena(); points = a.alloc(epsilon.define_c_struct('one', [('x', 'int')]), 2);"
    "p = points[1]; p.x = 42; end = lambda: a.__exit__(None, None, None)",
    "pool block": "pool = epsilon.Pool('int', 4); p = pool.alloc(initial=42); end = lambda: pool.free(p)",
    "pool block, with": "pool = epsilon.Pool('int'); p = pool.alloc(initial=42);"
    "end = lambda: p.__exit__(None, None, None)",
    "pool": "pool = epsilon.Pool('int', 4); q = pool.alloc(); p = pool.alloc(initial=42); r = pool.alloc();"
    "end = pool.close",
    "derived": "whole = epsilon.foreign_alloc('int', initial=[1, 42]); p = epsilon.pointer_add(whole, 1);"
    "end = lambda: epsilon.foreign_free(whole)",
    "struct, with": "p = epsilon.define_c_struct('one', [('x', 'int'), ('y', ('array', 'int', 50))])(42);"
    "end = lambda: p.__exit__(None, None, None)",
    "counted": "p = lib.bind('made', ('pointer', 'int', {'count': 1, 'free': 'free'}), [])();"
    "end = lambda: epsilon.foreign_free(p)",
    "variable": "p = epsilon.foreign_variable('variable', lib, 'int').pointer; end = lib.close",
}


@pytest.mark.parametrize("kind", ENDS)
def test_memory_that_c_uses_on_another_thread_cannot_end(kind):
    assert child(f"""
{ENDS[kind]}
for turn in range(2):
    with Held(p):
        refused(end)
        assert epsilon.deref_int(p) == 42
end()
try:
    epsilon.deref_int(p)
except ForeignMemoryError as error:
    print("ended", "its end" in str(error))
""") == "ended True\n"


def test_an_arena_that_could_not_end_lives_on():
    assert child("""
a = epsilon.arena()
early = a.alloc("int", initial=[42])
late = a.alloc("char", 100000)
with Held(early):
    refused(a.close)
    assert not a.closed and early[0] == 42
    more = a.alloc("int", initial=[7])
    assert more[0] == 7
a.close()
for p in (early, late, more):
    try:
        p[0]
    except ForeignMemoryError as error:
        assert "after its end" in str(error)
    else:
        raise AssertionError("it lives")
print("done")
""") == "done\n"


def test_a_pool_s_block_in_use_is_given_to_nobody_else():
    assert child("""
pool = epsilon.Pool("int", 4, capacity=1, grow=False)
p = pool.alloc(initial=42)
with Held(p):
    refused(lambda: pool.free(p))
    try:
        pool.alloc()
    except ForeignMemoryError as error:
        assert "is exhausted" in str(error)
    else:
        raise AssertionError("it was given away")
pool.free(p)
print(pool.alloc()[0])
""") == "0\n"


def test_two_threads_use_it_and_the_first_lands():
    assert child("""
p = epsilon.foreign_alloc("int", initial=[42])
with Held(p):
    with Held(p):
        refused(lambda: epsilon.foreign_free(p))
    refused(lambda: epsilon.foreign_free(p))
epsilon.foreign_free(p)
print("done")
""") == "done\n"  # fmt: skip


def test_a_call_that_fails_lets_its_memory_go():
    lib = load_c("int take(int *p, int n) { return p[0] + n; }")
    take = lib.bind("take", "int", ["pointer", "int"])
    memory = epsilon.foreign_alloc("int", initial=[1])
    with pytest.raises(epsilon.ForeignTypeError):
        take(memory, "no number")
    assert take(memory, 1) == 2
    epsilon.foreign_free(memory)
    with pytest.raises(epsilon.ForeignMemoryError):
        take(memory, 1)


CALLED = r"""
#include <string.h>
int call(int *p, int (*f)(int)) { int x = f(1); memset(p, 1, 400); return p[99] + x; }
"""


@pytest.mark.parametrize("make", ["foreign_alloc", "pooled_memory", "foreign_memory"])
def test_what_a_callback_of_the_call_ends_stays_until_the_call_lands(make):
    assert run_child(f"""
import sys, epsilon
call = epsilon.lib_open(sys.argv[1]).bind("call", "int", ["pointer", ("function", "int", ["int"])])
def end(x):
    p.__exit__(None, None, None)
    others = [epsilon.foreign_alloc("int", 100, initial=7) for _ in range(50)] + [epsilon.pooled_memory("int", 100)]
    try:
        p[0]
    except epsilon.ForeignMemoryError:
        return x
for _ in range(20):
    p = epsilon.{make}('int', 100)
    assert call(p, end) == 0x01010101 + 1
    try:
        call(p, end)
    except epsilon.ForeignMemoryError as error:
        assert "after its end" in str(error)
print("done")
""", compile_c(CALLED)) == "done\n"  # fmt: skip


def test_owned_memory_that_a_callback_ends_is_freed_later():
    assert run_child("""
import sys, gc, epsilon
lib = epsilon.lib_open(sys.argv[1])
made = lib.bind("made", ("pointer", "int"), [], free="free")
call = lib.bind("call", "int", ["pointer", ("function", "int", ["int"])])
for _ in range(20):
    p = made()
    assert call(p, lambda x: epsilon.foreign_free(p) or x) == 0x01010101 + 1
    del p
    gc.collect()
print("done")
""", compile_c(CALLED + "#include <stdlib.h>\nint *made(void) { return calloc(100, 4); }")) == "done\n"  # fmt: skip


def test_the_place_of_the_allocation_is_told_where_it_is_recorded():
    code = """
import epsilon
p = epsilon.foreign_alloc("int", 3)
with epsilon.foreign_memory("double") as q:
    pass
epsilon.foreign_free(p)
for memory in (p, q):
    try:
        memory[0]
    except epsilon.ForeignMemoryError as error:
        print(error)
"""
    recorded = run_child(code, EPSILON_CHECK="1").splitlines()
    assert recorded[0].endswith("it was freed at <string>:6; its 12 bytes were allocated at <string>:3")
    assert recorded[1].endswith("it was freed at <string>:4; its 8 bytes were allocated at <string>:4")
    plain = run_child(code, EPSILON_CHECK="").splitlines()
    assert plain[0] == "use of <foreign memory int [3], ended> after its end: it was freed at <string>:6"


def test_what_c_lent_to_a_callback_ends_though_another_thread_uses_it():
    source = """
    int lend(void (*f)(int *xs, int n)) { static int xs[2] = {42, 1}; f(xs, 2); return xs[0]; }
    """
    assert run_child(PRELUDE + """
held = []
def keep(xs):
    held.append(Held(xs))
    held[0].__enter__()
lend_to = epsilon.make_callback(keep, "void", [("array", "int", {"length": 1}), "int"])
assert lib.bind("lend", "int", ["pointer"])(lend_to) == 42
try:
    held[0].memory[0]
except ForeignMemoryError as error:
    print("the return of the callback" in str(error))
held[0].__exit__()
""", compile_c(HOLD + source)) == "True\n"  # fmt: skip
