"""Issue 4: members of structs and elements of memory, in place: what they take, keep alive and refuse."""

from __future__ import annotations

import gc
import math
import weakref

import pytest
from clib import SHIM, load_c, run_child

import epsilon
from epsilon import define_c_struct, foreign_alloc, pinned_array, struct_pointer

NUMBERS = {
    "int8": (-(2**7), 2**7 - 1), "uint8": (0, 2**8 - 1), "int16": (-(2**15), 2**15 - 1), "uint16": (0, 2**16 - 1),
    "int32": (-(2**31), 2**31 - 1), "uint32": (0, 2**32 - 1), "int64": (-(2**63), 2**63 - 1),
    "uint64": (0, 2**64 - 1), "char": None, "unsigned-char": (0, 255),
}  # fmt: skip


@pytest.mark.parametrize("word", [word for word in NUMBERS if NUMBERS[word]])
def test_a_number_is_written_whole_or_not_at_all(word):
    low, high = NUMBERS[word]
    cls = define_c_struct("numbered", [("before", word), ("n", word), ("after", word)])
    one, memory = cls(1, 2, 3), foreign_alloc(word, initial=[1, 2, 3])
    for value in (low, high, 0, 1, high // 2, low // 2):
        one.n = memory[1] = value
        assert one.n == memory[1] == value
        assert (one.before, one.after, memory[0], memory[2]) == (1, 3, 1, 3)
    for value in (low - 1, high + 1, 2**100, -(2**100)):
        with pytest.raises(epsilon.ForeignRangeError, match=f"struct numbered: member 'n' .*: got {value}"):
            one.n = value
        with pytest.raises(epsilon.ForeignRangeError, match="element 1: got"):
            memory[1] = value
        assert one.n == memory[1] == low // 2
    for value in (1.0, "12", None, [], b"12"):
        with pytest.raises(epsilon.ForeignTypeError, match="struct numbered: member 'n'"):
            one.n = value
        with pytest.raises(epsilon.ForeignTypeError, match="element 1"):
            memory[1] = value
    assert list(memory) == [1, low // 2, 3]


def test_subclasses_of_numbers_and_whatever_becomes_one():
    class Odd(int):
        def __eq__(self, other):
            raise ZeroDivisionError

        __hash__ = int.__hash__

    class Index:
        def __index__(self):
            return 7

    one = define_c_struct("odd", [("n", "int"), ("d", "double"), ("f", "float"), ("b", "bool")])()
    one.n, one.d, one.f, one.b = Odd(5), 3, 0.1, 5
    assert (one.n, one.d, one.b) == (5, 3.0, True) and math.isclose(one.f, 0.1, rel_tol=1e-6)
    one.n, one.d = Index(), Index()
    assert (one.n, one.d) == (7, 7.0)
    one.d, one.f = math.nan, math.inf
    assert math.isnan(one.d) and math.isinf(one.f)
    memory = foreign_alloc("double", 2)
    memory[True] = 4
    assert memory[1] == memory[True] == 4.0


def test_plain_members_keep_nothing_alive():
    one = define_c_struct("fields_plain", [("n", "int"), ("d", "double"), ("p", "pointer"), ("s", "string")])()
    memory = foreign_alloc("pointer", 2)
    one.n, one.d, one.p, one.s, memory[0] = 5, 1.5, None, None, None
    if SHIM:  # without it every memory has a dict of its calls
        assert not any(isinstance(found, dict) for found in gc.get_referents(one) + gc.get_referents(memory))


def test_a_member_keeps_what_it_points_to_and_no_longer():
    one = define_c_struct("pointing", [("p", ("pointer", "int")), ("t", "string")])()
    memory = foreign_alloc(("pointer", "int"))

    def pointed() -> weakref.ref:
        target = foreign_alloc("int", initial=[42])
        one.p = memory[0] = target
        return weakref.ref(target)

    first = pointed()
    gc.collect()
    assert first() is not None and epsilon.deref(one.p) == epsilon.deref(memory[0]) == 42
    second = pointed()
    gc.collect()
    assert first() is None and second() is not None
    one.p = memory[0] = None
    gc.collect()
    assert second() is None
    one.t = "".join(["kept ", "text"])
    gc.collect()
    assert one.t == "kept text" and one.p == epsilon.foreign_alloc("pointer")[0]


def test_a_struct_that_is_copied_keeps_what_the_original_did():
    inner = define_c_struct("inner", [("s", "string"), ("n", "int")])
    outer = define_c_struct("outer", [("a", inner), ("b", inner)])
    one, many = outer(), foreign_alloc(inner, 2)
    one.a = many[0] = inner("".join(["one ", "text"]), 1)
    one.b = many[1] = {"s": "".join(["other ", "text"]), "n": 2}
    gc.collect()
    clutter = ["x" * n for n in range(2000)]
    assert (one.a.s, one.b.s, many[0].s, many[1].s) == ("one text", "other text", "one text", "other text") and clutter
    one.a.n = 9
    assert one.a.n == 9 and many[0].n == 1


def test_nested_structs_are_views_in_place():
    inner = define_c_struct("inner", [("n", "int")])
    middle = define_c_struct("middle", [("c", "char"), ("i", inner)])
    one = define_c_struct("outer", [("m", middle)])()
    view = one.m.i
    one.m.i.n = 5
    assert view.n == 5 and type(view) is inner and one.m == middle(i=inner(5))
    epsilon.foreign_free(one)
    with pytest.raises(epsilon.ForeignMemoryError, match=r"freed at .*test_fields\.py"):
        view.n  # noqa: B018
    with pytest.raises(epsilon.ForeignMemoryError):
        one.m  # noqa: B018


def test_memory_that_may_only_be_read_is_not_written_through_its_views():
    inner = define_c_struct("inner", [("n", "int")])
    outer = define_c_struct("outer", [("i", inner), ("a", ("array", "int", 2)), ("s", "string")])
    lib = load_c("struct inner { int n; }; struct outer { struct inner i; int a[2]; char *s; };"
                 "const struct outer *get(void) { static const struct outer o = {{1}, {2, 3}, 0}; return &o; }"
                 "void release(void *p) {}")  # fmt: skip
    found = lib.bind("const struct outer *get(void)", free=lib.bind("void release(void *p)"))()
    view = found[0]
    assert (view.i.n, list(view.a), view.s) == (1, [2, 3], None)
    for write in (
        lambda: setattr(view.i, "n", 5),
        lambda: setattr(view, "i", inner(5)),
        lambda: setattr(view, "s", "text"),
        lambda: setattr(view, "s", None),
        lambda: view.a.__setitem__(0, 5),
        lambda: found.__setitem__(0, outer()),
    ):
        with pytest.raises(epsilon.ForeignMemoryError, match="is read-only"):
            write()
    assert (view.i.n, list(view.a), view.s) == (1, [2, 3], None)
    with pinned_array(b"abc") as pinned, pytest.raises(epsilon.ForeignMemoryError, match="is read-only"):
        pinned[0] = 1


def test_a_descriptor_by_itself():
    cls = define_c_struct("described", [("c", "char"), ("n", "int")])
    field, one = cls.n, cls(n=5)
    assert (field.name, field.offset, field.ctype) == ("n", 4, epsilon.ctype("int"))
    assert field.__doc__ == "int n, at byte 4"
    assert field.__get__(one, cls) == 5 and field.__get__(None, cls) is field
    field.__set__(one, 6)
    assert one.n == 6
    with pytest.raises(AttributeError):
        del one.n
    for wrong in (5, "text", None.__class__):
        with pytest.raises((TypeError, epsilon.ForeignTypeError, AttributeError)):
            field.__get__(wrong, int)
    with pytest.raises(IndexError):
        field.__get__(foreign_alloc("char"), None)


def test_elements_of_a_user_type_go_through_its_functions():
    length = epsilon.define_foreign_type("fields_length", "double", lambda cm: cm / 100, lambda m: m * 100)
    memory, one = foreign_alloc(length, 2), define_c_struct("measured", [("l", length)])()
    memory[1] = one.l = 250
    assert (memory[1], one.l, epsilon.deref(memory, 1, "double")) == (250, 250, 2.5)
    for fill in (foreign_alloc(("array", "short", 2), 2), foreign_alloc("long-double", 2), foreign_alloc("bool", 2)):
        fill[1] = [1, 2] if isinstance(fill[1], epsilon.views.ArrayView) else 1
        assert fill[1] == [1, 2] or fill[1] == 1


def test_no_element_can_be_deleted_and_the_end_is_seen():
    memory = foreign_alloc("int", 3)
    with pytest.raises((TypeError, AttributeError)):
        del memory[0]
    epsilon.foreign_free(memory)
    for use in (lambda: memory[0], lambda: memory.__setitem__(0, 1), lambda: memory[5], lambda: list(memory)):
        with pytest.raises((epsilon.ForeignMemoryError, epsilon.ForeignIndexError)):
            use()


def test_a_conversion_that_ends_the_memory_writes_nothing():
    class Ending:
        def __index__(self):
            epsilon.foreign_free(one)
            return 5

    one = define_c_struct("ending", [("n", "int")])(1)
    with pytest.raises(epsilon.ForeignMemoryError, match="after its end"):
        one.n = Ending()


def test_pooled_blocks_of_pointers_begin_empty():
    for _ in range(3):
        with epsilon.pooled_memory("string", 100) as texts:
            assert set(texts) == {None}
            texts[:] = ["".join(["text ", str(n)]) for n in range(100)]
            gc.collect()
            assert texts[99] == "text 99"
    with epsilon.pooled_memory("uintptr", 100) as numbers:
        assert len(numbers) == 100


def test_pooled_blocks_nest_to_any_depth_and_in_any_order():
    opened = [epsilon.pooled_memory("int", 10 + n % 70) for n in range(500)]
    for n, block in enumerate(opened):
        block[0], block[9] = n, -n
    assert [(block[0], block[9]) for block in opened] == [(n, -n) for n in range(500)]
    assert len({block.address for block in opened}) == 500
    for block in opened[::2] + opened[1::2]:
        block.__exit__(None, None, None)
    assert not any(block.alive for block in opened)


def test_a_pooled_block_is_aligned_as_its_type():
    wide = define_c_struct("wide", [("g", "long-double"), ("n", "int")])
    for word in ("char", "double", "long-double", "double-complex", wide):
        for count in (1, 3, 100):
            with epsilon.pooled_memory(word, count) as block:
                assert block.address % epsilon.alignof(word) == 0


def test_a_pointer_to_a_struct_shares_its_members():
    one = define_c_struct("shared", [("n", "int")])(4)
    pointer = struct_pointer(one)
    pointer[0].n = 5
    assert one.n == 5
    pointer[0] = {"n": 6}
    assert one.n == 6


def test_objects_that_are_used_again_are_those_of_bare_classes():
    """Collected objects serve anew; those of a subclass with a ``__dict__`` lie in memory otherwise."""
    assert run_child("""
import epsilon, gc
class Mine(epsilon.ForeignMemory):
    pass
class Slotted(epsilon.ForeignMemory):
    __slots__ = ("extra",)
for turn in range(50):
    found = []
    for kind in (Mine, epsilon.ForeignMemory, Slotted):
        for number in range(20):
            memory = kind(epsilon.ctype("int"), 3)
            memory[2] = number
            if kind is not epsilon.ForeignMemory:
                memory.extra = [memory, number]
            found.append(memory)
    found += [epsilon.foreign_alloc("int", 3) for _ in range(20)]
    found += [epsilon.pooled_memory("int", 3) for _ in range(20)]
    assert [list(memory) for memory in found[-40:]] == [[0, 0, 0]] * 40
    assert [memory[2] for memory in found[:60]] == 3 * list(range(20))
    for memory in found[::3]:
        epsilon.foreign_free(memory) if type(memory).__name__ != "PooledMemory" else memory.__exit__(None, None, None)
    del found, memory
    gc.collect(turn % 3)
print("done")
""") == "done\n"  # fmt: skip
