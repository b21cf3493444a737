"""Pointer arithmetic over guarded memory and over what C gave: bounds, life, casts, copies."""

import gc

import pytest
from clib import load_c

import epsilon
from epsilon import (
    ForeignIndexError,
    ForeignMemoryError,
    ForeignRangeError,
    ForeignTypeError,
    ForeignValueError,
    cast,
    foreign_alloc,
    foreign_copy,
    foreign_free,
    foreign_string,
    offsetof,
    pointer_add,
    pointer_sub,
)

C = r"""
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
struct inner { char tag; double value; };
struct outer { char c; struct inner parts[3]; unsigned bits : 3; int last; };
size_t offsets(int which)
{
    switch (which) {
    case 0: return offsetof(struct outer, parts);
    case 1: return offsetof(struct outer, parts[2].value);
    default: return offsetof(struct outer, last);
    }
}
int sum(const int *p, int n) { int s = 0; while (n--) s += *p++; return s; }
int *numbers(void) { static int all[4] = {10, 20, 30, 40}; return all; }
void *blank(void) { return NULL; }
static int twice(int x) { return 2 * x; }
void *code(void) { return (void *)twice; }
int one(const void *p) { return *(const unsigned char *)p; }
char *owned(void) { return strdup("a text that is owned"); }
"""


@pytest.fixture(scope="module")
def c():
    return load_c(C)


@pytest.fixture
def p():
    return foreign_alloc("int", initial=[1, 2, 3, 4])


# --- arithmetic -----------------------------------------------------------------------------------------------------


def test_a_derived_pointer_has_the_bounds_that_are_left(p, c):
    q = pointer_add(p, 2)
    assert list(q) == [3, 4] and len(q) == 2
    q[0] = 30
    assert p[2] == 30
    assert c.bind("int sum(const int *p, int n)")(q, 2) == 34
    for index in (2, -1):
        with pytest.raises(ForeignIndexError, match="pointer into foreign memory"):
            q[index]


def test_a_derived_pointer_moves_within_its_block(p):
    q = pointer_add(p, 4)
    assert list(q) == []
    assert list(pointer_add(q, -4)) == [1, 2, 3, 4]
    assert list(pointer_sub(q, 1)) == [4]
    for n in (-5, 1, 10**30, -(10**30)):
        with pytest.raises(ForeignIndexError, match="outside"):
            pointer_add(q, n)


def test_a_counted_pointer_is_a_block_of_its_own(p):
    q = pointer_add(p, 1, 2)
    assert list(q) == [2, 3]
    assert pointer_add(q, 1)[0] == 3
    with pytest.raises(ForeignIndexError):
        pointer_add(q, -1)
    for n, count in ((3, 2), (0, 5), (4, 1), (0, 10**30)):
        with pytest.raises(ForeignIndexError, match="outside"):
            pointer_add(p, n, count)
    with pytest.raises(ForeignValueError, match="0 or more"):
        pointer_add(p, 0, -1)


def test_a_pointer_of_c_gets_bounds_with_a_count(c):
    raw = c.bind("int *numbers(void)")()
    assert epsilon.deref(pointer_add(raw, 3)) == 40
    view = pointer_add(raw, 0, 4)
    assert list(view) == [10, 20, 30, 40] and view[1:3] == [20, 30]
    with pytest.raises(ForeignIndexError):
        view[4]


def test_what_has_no_place_in_memory_is_refused(c, p):
    with pytest.raises(ForeignMemoryError, match="NULL"):
        pointer_add(cast(None, ("pointer", "int")), 1)
    with pytest.raises(ForeignTypeError, match="has no size; cast it first"):
        pointer_add(c.bind("blank", "pointer", []).address and cast(p, "pointer"), 1)
    with pytest.raises(ForeignTypeError, match="has no size; cast it first"):
        pointer_add(cast(8, "pointer"), 1)
    with pytest.raises(ForeignRangeError):
        pointer_add(cast(8, ("pointer", "int")), -2)
    for value in ("text", 5, None, object()):
        with pytest.raises(ForeignTypeError, match="takes a pointer"):
            pointer_add(value, 1)
    with pytest.raises(ForeignTypeError, match="is an int"):
        pointer_add(p, 1.5)


def test_the_difference_of_two_pointers_counts_elements(p, c):
    assert pointer_sub(pointer_add(p, 3), p) == 3 and pointer_sub(p, pointer_add(p, 3)) == -3
    raw = c.bind("int *numbers(void)")()
    assert pointer_sub(pointer_add(raw, 2), raw) == 2
    with pytest.raises(ForeignValueError, match="not of one block"):
        pointer_sub(p, foreign_alloc("int"))
    with pytest.raises(ForeignTypeError, match="points to int"):
        pointer_sub(p, cast(p, ("pointer", "char")))
    odd = cast(pointer_add(cast(p, ("pointer", "char")), 1), ("pointer", "int"))
    with pytest.raises(ForeignValueError, match="no whole number"):
        pointer_sub(odd, p)


def test_members_and_arrays_in_structs_are_memory_too():
    box = epsilon.define_c_struct("pointers_box", [("head", "int"), ("values", ("array", "short", 3))])
    one = box(1, [5, 6, 7])
    q = pointer_add(one.values, 1)
    assert list(q) == [6, 7]
    assert pointer_sub(cast(pointer_add(one, 1), ("pointer", "int")), cast(one, ("pointer", "int"))) == box.size // 4
    foreign_free(one)
    with pytest.raises(ForeignMemoryError, match="after its end"):
        q[0]


# --- life -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("derive", [
    lambda p: pointer_add(p, 1),
    lambda p: pointer_add(p, 1, 1),
    lambda p: pointer_add(pointer_add(p, 3), -2),
    lambda p: cast(p, ("pointer", "int")),
    lambda p: cast(cast(p, "pointer"), ("pointer", "int")),
])  # fmt: skip
def test_use_after_free_through_a_derived_pointer_is_an_error(p, derive, c):
    q = derive(p)
    foreign_free(p)
    for use in (
        lambda: q[0],
        lambda: epsilon.deref(q),
        lambda: c.bind("int sum(const int *p, int n)")(q, 1),
        lambda: pointer_add(q, 0),
        lambda: cast(q, "uintptr"),
        lambda: foreign_copy(q, b"1234"),
        lambda: foreign_string(cast(q, ("pointer", "char"))),
    ):
        with pytest.raises(ForeignMemoryError, match="after its end: it was freed at .*test_pointers.py"):
            use()
    assert "ended" in repr(q)


def test_a_derived_pointer_cannot_be_freed_and_ends_nothing(p):
    q = pointer_add(p, 1)
    with pytest.raises(ForeignMemoryError, match="was not allocated by foreign_alloc"):
        foreign_free(q)
    with q:
        pass
    assert p[1] == 2 and q[0] == 2


def test_a_derived_pointer_keeps_its_memory_alive(p):
    q = pointer_add(pointer_add(p, 2), 1)
    del p
    gc.collect()
    assert q[0] == 4


def test_owned_memory_can_be_pointed_into(c):
    text = c.bind("owned", "pointer", [], free="free") and c.bind("owned", ("pointer", "char", {"free": "free"}), [])()
    q = pointer_add(text, 2)
    assert foreign_string(q) == "text that is owned" and foreign_string(q, length=4) == "text"
    assert pointer_sub(q, text) == 2
    with pytest.raises(ForeignIndexError):
        pointer_add(text, -1)
    with pytest.raises(ForeignTypeError, match="no length that is known"):
        len(q)
    with pytest.raises(ForeignIndexError, match="whose end is not known"):
        q[:]
    assert q[0:2] == [ord("t"), ord("e")]
    foreign_free(text)
    with pytest.raises(ForeignMemoryError):
        q[0]


# --- casts ----------------------------------------------------------------------------------------------------------


def test_cast_keeps_the_bounds_in_bytes(p):
    b = cast(p, ("pointer", "uint8"))
    assert len(b) == 16
    assert len(cast(b, ("pointer", "int64"))) == 2
    assert len(cast(pointer_add(b, 9), ("pointer", "int"))) == 1
    nothing = cast(p, "pointer")
    with pytest.raises(ForeignTypeError, match="has no size"):
        nothing[0]


def test_cast_to_const_can_only_be_read(p):
    q = cast(p, "const int *")
    assert q[3] == 4
    with pytest.raises(ForeignMemoryError, match="read-only"):
        q[0] = 1
    with epsilon.pinned_array(b"constant") as pinned, pytest.raises(ForeignMemoryError, match="read-only"):
        cast(pinned, ("pointer", "int8"))[0] = 1


def test_cast_of_addresses_null_and_functions(c):
    assert cast(cast(4096, "pointer"), "uintptr") == 4096 and cast(None, "uintptr") == 0
    assert epsilon.is_null_pointer(cast(None, ("pointer", "int")))
    assert cast(c.bind("void *code(void)")(), ("function", "int", ["int"]))(21) == 42
    assert cast(c.bind("void *blank(void)")(), ("function", "int", ["int"])) is None
    code = c.bind("int one(const void *p)")
    assert cast(code, "uintptr") == code.address
    word = foreign_alloc("int", initial=[7])
    assert c.bind("int one(const void *p)")(cast(word, "pointer")) == 7


def test_cast_refuses_what_is_no_pointer(p):
    for type_ in ("int", "double", "bool", "void"):
        with pytest.raises(ForeignTypeError, match="cast makes a pointer"):
            cast(p, type_)
    for value in ("text", 1.5, object(), b"bytes"):
        with pytest.raises(ForeignTypeError, match="cast takes a pointer"):
            cast(value, "pointer")
    for value in (-1, 1 << 64, 10**30):
        with pytest.raises(ForeignRangeError, match="no address"):
            cast(value, "pointer")


# --- comparison -----------------------------------------------------------------------------------------------------


def test_pointers_compare_by_address_and_hash_alike(p):
    q = pointer_add(p, 0)
    assert p == q and not p != q and hash(p) == hash(q)
    assert p == p.cdata and p.cdata == p and hash(p) == hash(p.cdata)
    assert {p: "found"}[q] == "found"
    assert p < pointer_add(p, 1) <= pointer_add(p, 1) and pointer_add(p, 1) > p and p >= q
    assert p.cdata < pointer_add(p, 1)
    assert p != foreign_alloc("int") and p != 5 and p != "text" and p is not None
    with pytest.raises(TypeError):
        p < 5  # noqa: B015


def test_ended_memory_is_equal_to_nothing_but_itself(p):
    q = pointer_add(p, 0)
    foreign_free(p)
    assert p == p and p != q and q != p and p != foreign_alloc("int")
    with pytest.raises(ForeignMemoryError):
        hash(p)
    with pytest.raises(ForeignMemoryError):
        p < q  # noqa: B015


# --- offsets --------------------------------------------------------------------------------------------------------


def test_offsetof_is_c_s(c):
    inner = epsilon.define_c_struct("pointers_inner", [("tag", "char"), ("value", "double")])
    outer = epsilon.define_c_struct_auto(
        "pointers_outer",
        "struct pointers_outer { char c; struct pointers_inner parts[3]; unsigned bits : 3; int last; };",
    )
    offsets = c.bind("size_t offsets(int which)")
    assert offsetof(outer, "parts") == offsets(0)
    assert offsetof(outer, "parts", 2, "value") == offsets(1)
    assert offsetof("struct pointers_outer", ":last") == offsets(2)
    assert offsetof(inner, "value") == 8
    with pytest.raises(ForeignTypeError, match="bit-field"):
        offsetof(outer, "bits")
    with pytest.raises(ForeignTypeError, match="no member 'lats'; did you mean 'last'"):
        offsetof(outer, "lats")
    with pytest.raises(ForeignIndexError):
        offsetof(outer, "parts", 3)
    for arguments in ((outer,), ("int", "x"), (outer, "c", "x")):
        with pytest.raises(ForeignTypeError):
            offsetof(*arguments)


# --- copies ---------------------------------------------------------------------------------------------------------


def test_foreign_copy_moves_overlapping_memory(p):
    assert foreign_copy(pointer_add(p, 1), p, 3) == 3
    assert list(p) == [1, 1, 2, 3]
    assert foreign_copy(p, pointer_add(p, 1)) == 3
    assert list(p) == [1, 2, 3, 3]


def test_foreign_copy_takes_buffers_and_pointers_of_c(p, c):
    raw = c.bind("int *numbers(void)")()
    assert foreign_copy(p, raw, 2) == 2 and list(p) == [10, 20, 3, 4]
    data = bytearray(16)
    assert foreign_copy(data, p) == 4 and data == bytes(epsilon.cast(p, ("pointer", "uint8"))[:])
    assert foreign_copy(p, b"\1\0\0\0") == 1 and p[0] == 1
    assert foreign_copy(data, b"abc") == 3 and data[:3] == b"abc"
    assert foreign_copy(cast(p, "pointer"), b"\7", 1) == 1 and p[0] == 7
    assert foreign_copy(p, p, 0) == 0


def test_foreign_copy_checks_both_sides(p, c):
    short = foreign_alloc("int", count=2)
    raw = c.bind("int *numbers(void)")()
    cases = ((short, p, None), (short, p, 3), (p, short, 3), (p, bytes(4), 2), (bytearray(4), p, 2))
    for target, source, count in cases:
        with pytest.raises(ForeignIndexError, match="foreign_copy: the (target|source)"):
            foreign_copy(target, source, count)
    with pytest.raises(ForeignTypeError, match="give the count"):
        foreign_copy(p, raw)
    with pytest.raises(ForeignTypeError, match="cast one of them"):
        foreign_copy(p, foreign_alloc("double"))
    with pytest.raises(ForeignValueError, match="no whole number"):
        foreign_copy(p, b"abc")
    with pytest.raises(ForeignValueError, match="0 or more"):
        foreign_copy(p, p, -1)
    with pytest.raises(ForeignValueError, match="larger than any memory"):
        foreign_copy(raw, raw, 1 << 62)
    with pytest.raises(ForeignTypeError, match="writable buffer"):
        foreign_copy(b"abcd", p, 1)
    for bad in (None, 5, "text", object()):
        with pytest.raises(ForeignTypeError):
            foreign_copy(p, bad, 1)
    with epsilon.pinned_array(b"constant") as pinned, pytest.raises(ForeignMemoryError, match="read-only"):
        foreign_copy(pinned, b"x", 1)
    with pytest.raises(ForeignMemoryError, match="NULL"):
        foreign_copy(cast(None, ("pointer", "int")), p, 1)


def test_a_copied_pointer_keeps_what_it_points_to():
    names = foreign_alloc("string", initial=["".join(["o", "ne"]), "two"])
    copied = foreign_alloc("string", count=2)
    foreign_copy(copied, names)
    foreign_free(names)
    del names
    gc.collect()
    assert list(copied) == ["one", "two"]


def test_a_buffer_is_unlocked_after_a_copy_that_fails(p):
    data = bytearray(4)
    with pytest.raises(ForeignIndexError):
        foreign_copy(data, p, 2)
    data.extend(b"more")


# --- texts ----------------------------------------------------------------------------------------------------------


def test_foreign_string_reads_no_further_than_it_may(c):
    text = foreign_alloc("char", initial=b"spine")
    assert foreign_string(text) == "spine" and foreign_string(text, length=3) == "spi"
    assert foreign_string(text, length=0) == "" and foreign_string(text, length=100) == "spine"
    assert foreign_string(text.cdata, None, length=2) == b"sp"
    assert foreign_string(foreign_alloc("char", count=0)) == ""
    assert foreign_string(pointer_add(text, 2, 2)) == "in"
    with pytest.raises(ForeignValueError):
        foreign_string(text, length=-1)
    with pytest.raises(ForeignTypeError):
        foreign_string(text, length="3")
