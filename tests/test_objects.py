"""``:object``: any Python object goes through C's ``void *`` and comes back as itself, whatever C does meanwhile."""

from __future__ import annotations

import copy
import gc
import pickle
import threading
import weakref

import pytest
from clib import SHIM, load_c, run_child

import epsilon
from epsilon.typesystem import handles

SOURCE = """
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

void *identity(void *p) { return p; }
int is_null(void *p) { return p == NULL; }
uintptr_t number(void *p) { return (uintptr_t)p; }
void *foreign(void) { static int here; return &here; }
void *odd(void *p) { return (char *)p + 1; }

/* user data that C keeps: sqlite3_create_function and its like */
static void *kept;
static int (*run)(void *, int);
static void (*destroy)(void *);
void create_function(void *user, int (*f)(void *, int), void (*d)(void *)) { kept = user; run = f; destroy = d; }
int run_function(int x) { return run(kept, x); }
void drop_function(void) { if (destroy) destroy(kept); kept = NULL; }
void *what_is_kept(void) { return kept; }

/* user data for the length of a call */
int each(int n, int (*f)(int, void *), void *user)
{
    int sum = 0;
    for (int i = 0; i < n; i++) sum += f(i, user);
    return sum;
}
int ask(void *(*f)(void), void *expected) { return f() == expected; }
int ask_twice(void *(*f)(void), int (*same)(void *)) { return same(f()) + 2 * same(f()); }

void give(void **out, void *p) { *out = p; }
void swap(void **place, void *other) { *place = *place == other ? NULL : other; }
int wants_pointer_behind(void *const *place, void *expected) { return *place == expected; }
struct node { int id; void *data; };
void *data_of(struct node n) { return n.data; }
struct node with_data(int id, void *data) { struct node n = {id, data}; return n; }
void *data_behind(struct node *n) { return n->data; }
void *many(int a, double b, long c, float d, void *p, int e, int f, int g, double h, void *q) { return a ? p : q; }
void *global_data;
void *first(void **p) { return *p; }
void swap_two(void **p) { void *q = p[0]; p[0] = p[1]; p[1] = q; }

typedef struct { int (*f)(void *); void *user; int result; } Job;
static void *work(void *job) { Job *j = job; j->result = j->f(j->user); return NULL; }
int on_thread(int (*f)(void *), void *user)
{
    Job job = {f, user, -1};
    pthread_t thread;
    if (pthread_create(&thread, NULL, work, &job)) return -2;
    pthread_join(thread, NULL);
    return job.result;
}
"""
C = load_c(SOURCE)
identity = C.bind("identity", "object", ["object"])
OBJECTS = [object(), "text", b"bytes", 5, 2.5, [1, 2], {"a": 1}, lambda: 1, type, Exception("x"), (), True, C]


class Thing:
    """Something that can be watched."""


@pytest.mark.parametrize("value", OBJECTS, ids=lambda value: type(value).__name__)
def test_any_object_comes_back_as_itself(value):
    assert identity(value) is value


def test_none_is_null_both_ways():
    assert identity(None) is None
    assert C.bind("is_null", "int", ["object"])(None) == 1
    assert C.bind("is_null", "int", ["object"])(0) == 0


def test_a_handle_is_aligned_not_null_and_never_used_again():
    number = C.bind("number", "uintptr", ["object"])
    numbers = [number(self) for self in [1, "a", None, 1] * 50 if self is not None]
    assert len(set(numbers)) == len(numbers) and all(n and n % 16 == 0 and n < 1 << 47 for n in numbers)


def test_a_call_leaves_no_handle_behind():
    before = len(handles._objects)
    thing = Thing()
    watch = weakref.ref(thing)
    identity(thing)
    del thing
    gc.collect()
    assert watch() is None and len(handles._objects) == before


def test_a_failed_call_leaves_no_handle_behind():
    before = len(handles._objects)
    call = C.bind("each", "int", ["object", "object", "int"])
    with pytest.raises(epsilon.ForeignTypeError):
        call(Thing(), Thing(), "no int")
    assert len(handles._objects) == before


def test_user_data_for_the_length_of_a_call():
    each = C.bind("each", "int", ["int", ("function", "int", ["int", "object"]), "object"])
    seen = []
    assert each(3, lambda i, user: seen.append((i, user)) or i, seen) == 3
    assert [i for i, _ in seen] == [0, 1, 2] and all(user is seen for _, user in seen)


@pytest.mark.skipif(epsilon.lib_open("libc").find("qsort_r") is None, reason="this C library has no qsort_r")
def test_qsort_r_carries_an_object():
    qsort_r = epsilon.lib_open("libc").bind(
        "qsort_r",
        "void",
        ["pointer", "size", "size", ("function", "int", [("in", "int"), ("in", "int"), "object"]), "object"],
    )
    numbers = epsilon.foreign_alloc("int", initial=[3, 1, 2])
    rank = {1: 9, 2: 5, 3: 7}
    qsort_r(numbers, 3, 4, lambda a, b, ranks: ranks[a] - ranks[b], rank)
    assert list(numbers) == [2, 3, 1]


CREATE = C.bind(
    "create_function",
    "void",
    ["object", ("function", "int", ["object", "int"]), ("function", "void", ["object"])],
)
RUN = C.bind("int run_function(int x)")


def test_c_that_keeps_the_pointer_finds_the_object_behind_a_handle():
    ended = []
    run = epsilon.make_callback(lambda user, x: user["factor"] * x, "int", ["object", "int"])
    destroy = epsilon.make_callback(lambda user: ended.append(user["handle"]), "void", ["object"])
    user = {"factor": 3}
    user["handle"] = epsilon.object_handle(user)
    CREATE(user["handle"], run, destroy)
    assert RUN(7) == 21 and C.bind("what_is_kept", "object", [])() is user
    C.bind("void drop_function(void)")()
    (handle,) = ended
    handle.close()
    assert handle.closed


def test_c_that_keeps_the_pointer_of_a_call_meets_an_error_that_says_so():
    run = epsilon.make_callback(lambda user, x: 1, "int", ["object", "int"])
    CREATE(Thing(), run, None)
    with pytest.raises(epsilon.ForeignMemoryError, match="callback .*: parameter 1: .* object that has ended.*object_"):
        RUN(7)
    with pytest.raises(epsilon.ForeignMemoryError, match=r"what_is_kept\(\): result \(void \*\): got 0x"):
        C.bind("what_is_kept", "object", [])()
    CREATE(None, run, None)


def test_a_foreign_pointer_is_no_handle():
    for declared in (C.bind("foreign", "object", []), lambda: C.bind("odd", "object", ["object"])(Thing())):
        with pytest.raises(epsilon.ForeignMemoryError, match="no handle of a Python object; .* :pointer"):
            declared()


def test_a_closed_handle_is_an_error_everywhere():
    with epsilon.object_handle([1]) as handle:
        assert handle.object == [1] and handle.address % 16 == 0 and not handle.closed
        assert repr(handle) == f"<handle {handle.address:#x} of [1]>"
    assert handle.closed and repr(handle) == "<closed handle>"
    handle.close()
    pointer = C.bind("identity", "pointer", ["pointer"])
    for use in (lambda: handle.object, lambda: handle.address, lambda: identity(handle), lambda: pointer(handle)):
        with pytest.raises(epsilon.ForeignMemoryError, match="closed handle"):
            use()


def test_the_pointer_of_a_closed_handle_is_stale():
    handle = epsilon.object_handle(Thing())
    CREATE(handle, None, None)
    handle.close()
    with pytest.raises(epsilon.ForeignMemoryError, match="has ended"):
        C.bind("what_is_kept", "object", [])()
    CREATE(None, None, None)


def test_a_handle_passes_as_a_pointer():
    thing = Thing()
    handle = epsilon.object_handle(thing)
    assert int(C.bind("number", "uintptr", ["pointer"])(handle)) == handle.address
    assert C.bind("identity", "object", ["pointer"])(handle) is thing
    with pytest.raises(epsilon.ForeignTypeError, match="wanted None, a pointer to int"):
        C.bind("identity", "object", [("pointer", "int")])(handle)


def test_an_object_that_is_no_pointer_is_told_how_to_pass():
    with pytest.raises(epsilon.ForeignTypeError, match=r"got .*Thing.*; any Python object passes as an :object"):
        C.bind("identity", "pointer", ["pointer"])(Thing())


def test_a_handle_ends_with_its_collection_and_keeps_the_object_until_then():
    thing = Thing()
    watch, handle = weakref.ref(thing), epsilon.object_handle(thing)
    del thing
    gc.collect()
    assert watch() is not None
    del handle
    gc.collect()
    assert watch() is None


def test_a_handle_of_none_is_no_null():
    handle = epsilon.object_handle(None)
    assert handle.address and identity(handle) is None and C.bind("is_null", "int", ["object"])(handle) == 0


def test_a_handle_is_not_copied():
    handle = epsilon.object_handle(1)
    for use in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError, match="cannot be copied"):
            use(handle)
    assert handle.object == 1


def test_the_result_of_a_callback_lives_until_its_next_return():
    things = [Thing(), Thing()]
    watches = [weakref.ref(thing) for thing in things]
    seen = []

    def same(thing):
        seen.append(thing is watches[len(seen)]())
        return 1

    with epsilon.make_callback(lambda: things.pop(0), "object", []) as give:
        ask = C.bind("ask_twice", "int", ["pointer", ("function", "int", ["object"])])
        assert ask(give, same) == 3
        assert seen == [True, True]
        gc.collect()
        assert watches[0]() is None and watches[1]() is not None


def test_on_error_is_an_object():
    answer = Thing()
    fail = epsilon.make_callback(lambda: 1 / 0, "object", [], on_error=answer)
    got = []
    with pytest.raises(ZeroDivisionError):
        C.bind("ask_twice", "int", ["pointer", ("function", "int", ["object"])])(fail, lambda x: got.append(x) or 1)
    assert got == [answer, answer]


def test_out_and_inout():
    thing, other = Thing(), Thing()
    assert C.bind("give", "void", [("out", "object"), "object"])(thing) is thing
    swap = C.bind("swap", "void", [("inout", "object"), "object"])
    assert swap(thing, other) is other
    assert swap(thing, None) is None
    behind = C.bind("wants_pointer_behind", "int", [("in", "object"), "object"])
    handle = epsilon.object_handle(thing)
    assert behind(handle, handle) == 1 and behind(thing, thing) == 0  # each argument has its own handle


def test_an_out_string_of_a_callback_lives_until_its_next_return():
    """As a :string result does; the str itself is garbage when the callback returns."""
    give = epsilon.make_callback(lambda: f"text {len('five!')}", "void", [("out", "string")])
    call = epsilon.get_or_create_trampoline("void", [("out", "string")])
    latin = ("string", {"encoding": "latin-1"})
    give_int = epsilon.make_callback(lambda: (1, b"text " + b"5"), "int", [("out", latin)])
    call_int = epsilon.get_or_create_trampoline("int", [("out", "string")])
    for _ in range(100):
        assert call(give.address) == "text 5" and call_int(give_int.address) == (1, "text 5")


def test_a_struct_result_of_a_callback_keeps_what_it_points_to_until_the_next_return():
    thing = Thing()
    give = epsilon.make_callback(lambda: NODE(3, thing), NODE, [])
    assert epsilon.get_or_create_trampoline(NODE, [])(give.address).data is thing


def test_out_in_a_callback():
    give = epsilon.make_callback(lambda data: data, "void", [("out", "object"), "object"][::-1])
    call = epsilon.get_or_create_trampoline("void", ["object", ("out", "object")])
    thing = Thing()
    assert call(give.address, thing) is thing


NODE = epsilon.define_c_struct("node", [("id", "int"), ("data", "object")])


def test_a_struct_field_keeps_its_handle():
    thing = Thing()
    watch, node = weakref.ref(thing), NODE(1, thing)
    del thing
    gc.collect()
    assert node.data is watch()
    assert C.bind("data_of", "object", [NODE])(node) is watch()
    assert C.bind("data_behind", "object", [("pointer", NODE)])(node) is watch()
    node.data = None
    gc.collect()
    assert node.data is None and watch() is None


def test_a_struct_by_value_carries_an_object_back():
    handle = epsilon.object_handle(["data"])
    node = C.bind("with_data", NODE, ["int", "object"])(4, handle)
    assert node.id == 4 and node.data is handle.object
    stale = C.bind("with_data", NODE, ["int", "object"])(4, Thing())
    with pytest.raises(epsilon.ForeignMemoryError, match="has ended"):
        _ = stale.data


def test_memory_and_variables_hold_objects():
    things = [Thing(), None, "x"]
    memory = epsilon.foreign_alloc("object", initial=things)
    assert list(memory) == things
    variable = epsilon.foreign_variable("global_data", C, "object")
    assert variable.value is None
    variable.value = things
    assert variable.value is things
    variable.value = None


def test_arrays_of_objects():
    things = [Thing(), Thing()]
    first = C.bind("first", "object", [("array", "object")])
    assert first(things) is things[0] and first([None]) is None
    swap = C.bind("swap_two", "void", [("inout", ("array", "object", 2))])
    assert swap(things) == things[::-1] and swap([None, "x"]) == ["x", None]


@pytest.mark.parametrize("first", [0, 1])
def test_in_every_place(first):
    types = ["int", "double", "long", "float", "object", "int", "int", "int", "double", "object"]
    many = C.bind("many", "object", types)
    p, q = Thing(), Thing()
    assert many(first, 1.0, 2, 3.0, p, 4, 5, 6, 7.0, q) is (p if first else q)


def test_varargs():
    text = bytearray(40)
    snprintf = epsilon.lib_open("libc").bind("snprintf", "int", [("buffer", "writable"), "size", "string", "..."])
    handle = epsilon.object_handle(1)
    length = snprintf(text, 40, "%p", ("object", handle))
    assert int(text[:length], 16) == handle.address


def test_on_a_thread_that_python_never_saw():
    on_thread = C.bind("on_thread", "int", [("function", "int", ["object"]), "object"])
    thing = {"answer": 42}
    assert on_thread(lambda user: user["answer"] if user is thing else 0, thing) == 42


def test_many_threads():
    wrong = []

    def work():
        for _ in range(2000):
            thing = Thing()
            if identity(thing) is not thing:
                wrong.append(thing)

    threads = [threading.Thread(target=work) for _ in range(8)]
    before = len(handles._objects)
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == [] and len(handles._objects) == before


def test_types_and_signatures():
    assert epsilon.ctype("object") is epsilon.ctype(":object") and epsilon.sizeof("object") == epsilon.sizeof("pointer")
    signature = epsilon.Signature("object", ["object", ("out", "object")])
    assert pickle.loads(pickle.dumps(signature)) is signature
    assert str(signature) == "void * (void *, void **)"


def test_conversions_by_hand():
    thing = Thing()
    number = epsilon.convert_to_foreign(thing, "object")
    assert epsilon.convert_from_foreign(number, "object") is thing
    assert epsilon.convert_to_foreign(None, "object") == 0 and epsilon.convert_from_foreign(0, "object") is None


def test_a_million_calls_do_not_grow():
    """In a child, whose memory is its own."""
    run_child(
        """
import resource, sys
import epsilon
from epsilon.typesystem import handles
libc = epsilon.lib_open("libc")
identity = epsilon.make_callback(lambda x: x, "object", ["object"])
call = epsilon.get_or_create_trampoline("object", ["object"])
class Thing: pass
def work(n):
    for _ in range(n):
        thing = Thing()
        assert call(identity.address, thing) is thing
work(20_000)
before, live = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, len(handles._objects)
work(int(sys.argv[1]))
assert len(handles._objects) == live <= 1  # the callback's last result
assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 4096, "grew"
""",
        "1000000" if SHIM else "100000",
    )
