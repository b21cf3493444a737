"""API §1, §5.1, §7: structs by value, as arguments and results, of calls and of callbacks: every size from 1 to 40
bytes.

For each size there is a struct of chars and three random mixtures of integer and floating members (fixed by the
seed), each behind several prefixes that fill the integer registers, the float registers, both or all but one, and
followed by an int and a double that must still arrive.  C compares every member; see ``cgen``.
"""

from __future__ import annotations

import functools
import random

import cgen
import pytest
from cgen import BYTE, DOUBLE, FLOAT, INT, UINT64, Shape, struct_kind
from clib import load_c
from hypothesis import given, settings
from hypothesis import strategies as st

import epsilon
from epsilon import _backend

SIZES = range(1, 41)
PREFIXES = {
    "first": [],
    "one_integer_register_left": [INT] * 5,
    "two_integer_registers_left": [INT] * 4,
    "no_integer_register_left": [UINT64] * 6,
    "one_float_register_left": [DOUBLE] * 7,
    "no_float_register_left": [FLOAT] * 8,
    "one_of_each_left": [INT, DOUBLE] * 5 + [DOUBLE] * 2,
    "none_left": [UINT64, DOUBLE] * 8,
}


@functools.cache
def shapes_of(size: int) -> list[Shape]:
    rng = random.Random(size)
    kinds = [struct_kind(f"chars_{size}", [BYTE] * size)]
    kinds += [struct_kind(f"mixed_{size}_{number}", cgen.members_of_size(size, rng)) for number in range(3)]
    shapes = []
    for number, kind in enumerate(kinds):
        for prefix, before in PREFIXES.items():
            shapes.append(Shape(f"s{size}_{number}_{prefix}", kind, [*before, kind, INT, DOUBLE]).draw(rng))
        shapes.append(Shape(f"s{size}_{number}_three", INT, [kind, kind, kind]).draw(rng))
    return shapes


@functools.cache
def library(size: int) -> epsilon.Library:
    return load_c(cgen.source(shapes_of(size)))


each_size = pytest.mark.parametrize("size", SIZES)


@each_size
def test_structs_by_value_in_calls(size):
    for shape in shapes_of(size):
        shape.check_call(library(size))


@each_size
def test_structs_by_value_in_callbacks(size):
    for shape in shapes_of(size):
        shape.check_callback(library(size))


@each_size
def test_the_layout_is_that_of_c(size):
    for shape in shapes_of(size):
        kind = shape.parameters[-3] if len(shape.parameters) > 3 or shape.result is not INT else shape.parameters[0]
        assert kind.word.size == size == epsilon.struct_layout_size(kind.word)


@pytest.mark.parametrize("critical", [False, True] if _backend.shim is not None else [False])
def test_issue_574_of_libffi(critical):
    """libffi before its fix #848 gives the double the struct's bits, when the struct takes the sixth integer
    register."""
    text = """
    #include <stdint.h>
    struct issue574 { uint64_t a; float b; };
    double issue574(int i, int j, int k, int l, int m, double d, struct issue574 s)
    {
        return i + 10 * j + 100 * k + 1000 * l + 10000 * m + d + 1e6 * s.a + s.b;
    }
    double back574(double (*f)(int, int, int, int, int, double, struct issue574))
    {
        return f(1, 2, 3, 4, 5, 0.25, (struct issue574){7, 0.5f});
    }
    """
    lib = load_c(text)
    issue574 = epsilon.define_c_struct("issue574", [("a", "uint64"), ("b", "float")])
    types = ["int"] * 5 + ["double", issue574]
    function = lib.bind("issue574", "double", types, **({"critical": True} if critical else {}))
    assert function(1, 2, 3, 4, 5, 0.25, issue574(7, 0.5)) == 54321.75 + 7e6
    assert function(1, 2, 3, 4, 5, 0.25, {"a": 7, "b": 0.5}) == 54321.75 + 7e6

    @epsilon.callback("double", types)
    def back(i, j, k, m, n, d, s):
        return i + 10 * j + 100 * k + 1000 * m + 10000 * n + d + 1e6 * s.a + s.b

    assert lib.bind("back574", "double", ["pointer"])(back) == 54321.75 + 7e6


def test_nested_structs_and_arrays_by_value():
    text = """
    struct inner { float x, y; };
    struct outer { struct inner at[2]; short tag; };
    struct outer turn(struct outer o)
    {
        return (struct outer){{{o.at[1].y, o.at[1].x}, {o.at[0].y, o.at[0].x}}, -o.tag};
    }
    struct outer back(struct outer (*f)(struct outer)) { return turn(f(turn((struct outer){{{1, 2}, {3, 4}}, 5}))); }
    """
    lib = load_c(text)
    inner = epsilon.define_c_struct("inner", [("x", "float"), ("y", "float")])
    outer = epsilon.define_c_struct("outer", [("at", ("array", inner, 2)), ("tag", "short")])
    value = outer(at=[inner(1, 2), inner(3, 4)], tag=5)
    turned = lib.bind("turn", outer, [outer])(value)
    assert [(one.x, one.y) for one in turned.at] == [(4, 3), (2, 1)] and turned.tag == -5
    seen = []

    @epsilon.callback(outer, [outer])
    def keep(given):
        seen.append([(one.x, one.y) for one in given.at])
        return given

    result = lib.bind("back", outer, ["pointer"])(keep)
    assert seen == [[(4, 3), (2, 1)]]
    assert result == value


def test_a_struct_of_pointers_and_strings_by_value():
    lib = load_c("#include <string.h>\n#include <stdlib.h>\n"
                 "struct named { const char *name; void *data; };\n"
                 "int length(struct named n) { return strlen(n.name) + (n.data == 0); }\n"
                 "struct named make(void) { return (struct named){\"made in C\", 0}; }\n"
                 "int ask(struct named (*f)(void)) { return length(f()); }\n")  # fmt: skip
    named = epsilon.define_c_struct("named", [("name", "string"), ("data", "pointer")])
    assert lib.bind("length", "int", [named])(named("".join(["five", "!"]))) == 6
    made = lib.bind("make", named, [])()
    assert made.name == "made in C" and epsilon.is_null_pointer(made.data)
    kept = named("x" * 40)
    with epsilon.make_callback(lambda: kept, named, []) as answer:
        assert lib.bind("ask", "int", ["pointer"])(answer) == 41


def test_a_result_is_a_copy_of_its_own():
    lib = load_c("struct counter { long n; long pad[4]; };\n"
                 "struct counter next(struct counter c) { c.n++; return c; }")  # fmt: skip
    counter = epsilon.define_c_struct("counter", [("n", "long"), ("pad", ("array", "long", 4))])
    following = lib.bind("next", counter, [counter])
    one = counter(1)
    two = following(one)
    three = following(two)
    assert [one.n, two.n, three.n] == [1, 2, 3]


def test_what_stands_for_a_struct_argument():
    lib = load_c("struct pair { int a; double b; };\ndouble sum(struct pair p) { return p.a + p.b; }")
    pair = epsilon.define_c_struct("pair", [("a", "int"), ("b", "double")])
    other = epsilon.define_c_struct("other_pair", [("a", "int"), ("b", "double")])
    total = lib.bind("sum", "double", [("struct", "pair")])
    assert total(pair(1, 2)) == total({"a": 1, "b": 2}) == total({"b": 2, "a": 1}) == 3
    assert total({"a": 1}) == 1
    assert total(epsilon.foreign_alloc(pair, initial=[pair(4, 5)])[0]) == 9
    for value in (None, 1, (1, 2), [1, 2], "pair", other(1, 2), pair, epsilon.foreign_alloc("int", count=9)):
        with pytest.raises(epsilon.ForeignTypeError, match=r"sum\(\): parameter 1 \(struct pair\)"):
            total(value)
    with pytest.raises(epsilon.ForeignTypeError, match="no member 'c'"):
        total({"a": 1, "c": 2})
    with pytest.raises(epsilon.ForeignRangeError, match="member 'a'"):
        total({"a": 2**40})


def test_a_freed_struct_is_refused():
    lib = load_c("struct pair { int a; double b; };\ndouble sum(struct pair p) { return p.a + p.b; }")
    pair = epsilon.define_c_struct("pair", [("a", "int"), ("b", "double")])
    one = pair(1, 2)
    epsilon.foreign_free(one)
    with pytest.raises(epsilon.ForeignMemoryError, match="freed at .*test_structs_by_value.py"):
        lib.bind("sum", "double", [pair])(one)


@pytest.mark.parametrize("value", [None, 5, "text", (1, 2)])
def test_a_callback_that_returns_no_struct(value):
    lib = load_c("struct pair { int a; double b; };\n"
                 "double ask(struct pair (*f)(void)) { struct pair p = f(); return p.a + p.b; }")  # fmt: skip
    pair = epsilon.define_c_struct("pair", [("a", "int"), ("b", "double")])
    ask = lib.bind("ask", "double", ["pointer"])
    with epsilon.make_callback(lambda: value, pair, [], on_error={"a": 1, "b": 0.5}) as answer:
        with pytest.raises(epsilon.ForeignTypeError, match="callback .*the result.*wanted a pair"):
            ask(answer)
    with epsilon.make_callback(lambda: {"a": 3, "b": 4}, pair, []) as answer:
        assert ask(answer) == 7


members = st.sampled_from(cgen.SCALARS)


@settings(max_examples=30, derandomize=True, deadline=None, database=None)
@given(st.lists(st.lists(members, min_size=1, max_size=8), min_size=1, max_size=3), st.lists(members, max_size=12),
       st.integers(0, 2**32))  # fmt: skip
def test_any_signature_with_structs(structs, scalars, seed):
    rng = random.Random(seed)
    kinds = [struct_kind(f"any_{number}", own) for number, own in enumerate(structs)]
    parameters = [*kinds, *scalars]
    rng.shuffle(parameters)
    shape = Shape("any", rng.choice([*kinds, DOUBLE]), parameters).draw(rng)
    lib = load_c(cgen.source([shape]))
    shape.check_call(lib)
    shape.check_callback(lib)
