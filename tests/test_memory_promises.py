"""Sentences of issue 4 that no other file of tests holds the code to."""

from __future__ import annotations

import pickle
import threading

import pytest
from clib import compile_c, load_c, run_child

import epsilon
from epsilon import ForeignIndexError, ForeignMemoryError, foreign_alloc, foreign_free, pointer_add

# --- every use after the end, and every wrong end ---------------------------------------------------------------------


def derivations():
    inner = epsilon.define_c_struct("promise_inner", [("a", "int"), ("b", "int")])
    outer = epsilon.define_c_struct("promise_outer", [("n", "int"), ("in_", inner), ("list", ("array", inner, 3))])
    return {
        "the block": lambda p: p,
        "an element": lambda p: p[1],
        "a field": lambda p: p[1].in_,
        "a field's address": lambda p: epsilon.struct_pointer(p[1].in_),
        "an element of an array": lambda p: p[1].list[2],
        "an address in an array": lambda p: pointer_add(p[1].list, 1),
        "a slice in place": lambda p: pointer_add(p, 1, 1),
        "of a slice": lambda p: p[0:2][1],
        "another type": lambda p: epsilon.cast(p, ("pointer", "char")),
        "a pointer of a pointer": lambda p: pointer_add(pointer_add(epsilon.cast(p, ("pointer", "int")), 4), -1),
    }, outer  # fmt: skip


@pytest.mark.parametrize("kind", derivations()[0])
def test_each_way_into_ended_memory_is_an_error_in_each_use(kind):
    ways, outer = derivations()
    lib = load_c("int look(const void *p) { return *(const char *)p; }")
    look = lib.bind("int look(const void *p)")
    p = foreign_alloc(outer, count=2)
    derived = ways[kind](p)
    assert look(derived) == 0
    foreign_free(p)
    ended = r"after its end: it was freed at .*test_memory_promises\.py:\d+"
    with pytest.raises(ForeignMemoryError, match=rf"look\(\): parameter 1 'p' .*{ended}"):
        look(derived)
    for use in (lambda: epsilon.deref_int(derived), lambda: bytes(derived),
                lambda: pointer_add(derived, 0), lambda: epsilon.foreign_copy(bytearray(1), derived, 1)):  # fmt: skip
        with pytest.raises(ForeignMemoryError, match=ended):
            use()
    with pytest.raises(ForeignMemoryError):  # double free
        foreign_free(derived)


@pytest.mark.parametrize("kind", derivations()[0])
def test_a_part_cannot_be_freed_and_frees_nothing(kind):
    ways, outer = derivations()
    p = foreign_alloc(outer, count=2)
    if kind != "the block":
        with pytest.raises(ForeignMemoryError, match="was not allocated by foreign_alloc"):
            foreign_free(ways[kind](p))
    assert p[1].n == 0
    foreign_free(p)


def test_under_epsilon_check_the_error_has_both_places():
    code = ("import epsilon\np = epsilon.foreign_alloc('int', count=2)\nq = epsilon.pointer_add(p, 1)\n"
            "epsilon.foreign_free(p)\ntry:\n    q[0]\nexcept epsilon.ForeignMemoryError as error:\n    print(error)\n")
    said = run_child(code, EPSILON_CHECK="1")
    assert "it was freed at <string>:4" in said and "allocated at <string>:2" in said


def test_blocks_of_a_with_statement_end_in_reverse():
    ended = []

    class Noted(epsilon.memory.ForeignMemory):
        __slots__ = ()

        def end(self, where):
            ended.append(self.count)
            super().end(where)

        def __exit__(self, *exception):
            self.end("with")

    int_ = epsilon.ctype("int")
    with pytest.raises(ZeroDivisionError), Noted(int_, 1), Noted(int_, 2), Noted(int_, 3):
        raise ZeroDivisionError
    assert ended == [3, 2, 1]


# --- pools ------------------------------------------------------------------------------------------------------------


def test_each_thread_has_blocks_of_its_own():
    addresses = []

    def take():
        with epsilon.pooled_memory("int", 100) as block:
            addresses.append(block.address)

    with epsilon.pooled_memory("int", 100) as mine:
        threads = [threading.Thread(target=take) for _ in range(4)]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
        assert mine.address not in addresses


def test_memory_that_there_is_not_is_an_error_and_never_null():
    for make in (epsilon.pooled_memory, foreign_alloc):
        with pytest.raises(MemoryError):
            make("char", 1 << 62)
    with epsilon.pooled_memory("int", 4) as block:
        assert not epsilon.is_null_pointer(block)


# --- structs ----------------------------------------------------------------------------------------------------------


def test_two_libraries_have_structs_of_one_name():
    first = load_c("struct promise_same { char c; double d; };"
                   "double read(const struct promise_same *s) { return s->d; }")
    second = load_c("struct promise_same { short a, b, c; }; int read(struct promise_same s) { return s.c; }")
    one = first.declare("struct promise_same { char c; double d; }; double read(const struct promise_same *s);")
    two = second.declare("struct promise_same { short a, b, c; }; int read(struct promise_same s);")
    a, b = one.structs["promise_same"](d=2.5), two.structs["promise_same"](1, 2, 3)
    assert (one.read(a), two.read(b)) == (2.5, 3)
    assert two.read({"c": -1}) == -1
    for read, wrong in ((one.read, b), (two.read, a)):
        with pytest.raises(epsilon.ForeignTypeError, match="struct promise_same"):
            read(wrong)


def test_a_struct_is_defined_again_at_a_repl():
    out = run_child("""
import code
console = code.InteractiveInterpreter()
for line in [
    "import epsilon",
    "point = epsilon.define_c_struct('point', [('x', 'int')])",
    "old = point(1)",
    "point = epsilon.define_c_struct('point', [('x', 'int'), ('y', 'int')])",
    "new = point(1, 2)",
    "print(old, new, point.size, old == new, epsilon.sizeof('point'))",
]:
    assert not console.runsource(line)
""")
    assert out == "point(x=1) point(x=1, y=2) 8 False 8\n"


def test_arrays_of_structs_have_len_and_slices():
    point = epsilon.define_c_struct("promise_point", [("x", "int"), ("y", "int")])
    points = foreign_alloc(point, initial=[{"x": n} for n in range(5)])
    assert len(points) == 5
    assert [one.x for one in points[1:4]] == [1, 2, 3] and [one.x for one in points[::-2]] == [4, 2, 0]
    points[1:3] = [point(7, 7), {"x": 8}]
    assert [one.x for one in points] == [0, 7, 8, 3, 4]
    with pytest.raises(ForeignIndexError):
        points[5]
    path = epsilon.define_c_struct("promise_path", [("points", ("array", point, 3))])
    one = path(points=[(point(1, 1)), {"x": 2}, point(3, 3)])
    assert len(one.points) == 3 and [each.x for each in one.points[1:]] == [2, 3]


def test_a_pickle_has_the_values_of_nested_structs_and_none_of_the_memory():
    data = pickle.dumps(PICKLED(a=1, inner={"b": 2, "c": [1, 2, 3]}))
    again = pickle.loads(data)
    assert again == PICKLED(a=1, inner={"b": 2, "c": [1, 2, 3]}) and dict(again)["a"] == 1
    again.inner.b = 9
    assert pickle.loads(data).inner.b == 2


INNER = epsilon.define_c_struct("INNER", [("b", "int"), ("c", ("array", "short", 3))])
PICKLED = epsilon.define_c_struct("PICKLED", [("a", "int"), ("inner", INNER)])


def test_blocks_arenas_and_counted_results_do_not_grow():
    run_child("""
import resource, epsilon
pair = epsilon.define_c_struct("pair", [("a", "int"), ("c", ("array", "int", 30))])
first = epsilon.lib_open(__import__("sys").argv[1]).bind("first", ("pointer", "int", {"count": "arg1"}), ["int"])
def make(count):
    for n in range(count):
        p = epsilon.foreign_alloc("int", count=100)
        if n % 10 == 0:
            bytes(pair(a=1)); first(3)
            with epsilon.arena() as a:
                a.alloc(pair)[0].a = 1
            epsilon.struct_pointer(pair())
        epsilon.foreign_free(p)
make(20_000)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
make(200_000)
grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
assert grown < 4096, grown
""", compile_c("static int x[3]; int *first(int n) { return x; }"))


# --- buffers ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8", "c8", "c16", "?"])
def test_parts_of_arrays_go_out_from_the_middle_and_to_the_end(dtype):
    numpy = pytest.importorskip("numpy")
    word = {"f4": "float", "f8": "double", "c8": "float-complex", "c16": "double-complex", "?": "bool"}.get(
        dtype, f"{'u' * (dtype[0] == 'u')}int{8 * int(dtype[1:] or 1) if dtype != '?' else 8}")
    whole = numpy.arange(12).astype(dtype).reshape(3, 4)
    for order in "CF":
        for array in (numpy.asarray(whole, order=order), whole[::-1, ::-1]):
            array = array.view()
            array.flags.writeable = False
            flat = [value.item() for value in array.flat]
            p = foreign_alloc(word, count=12)
            assert epsilon.into_buffer(array, p, 5, 3) == 3 and list(p)[:3] == flat[5:8] and not any(list(p)[3:])
            assert epsilon.into_buffer(array, p, 5) == 7 and list(p)[:7] == flat[5:]
            assert epsilon.into_buffer(array, p) == 12 and list(p) == flat
            assert epsilon.into_buffer(array, p, 12) == 0
            again = epsilon.from_buffer(p, (3, 4), dtype)
            assert again.dtype == array.dtype and (again == array).all()
