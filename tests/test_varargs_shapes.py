"""API §1, §3: variadic tails of every shape, behind no to three fixed parameters, against C's ``va_arg``.

Each of the types that C's default promotions leave alone, and a struct of each class that an ABI knows, stands alone in
a tail, beside each other one, and in long tails that run over the registers' end.  Some functions are called twice,
for the second call finds the tail known, and once more after calls with another tail.  The rules are in System V AMD64
§3.5.7 and AAPCS64 §6.8.2 and appendix B.
"""

from __future__ import annotations

import functools
import itertools
import random

import cgen
import pytest
from cgen import BYTE, DOUBLE, FLOAT, INT, LONG, LONG_LONG, POINTER, UINT64, Kind, Shape, struct_kind
from clib import load_c

import epsilon

LONG_DOUBLE = cgen.real("long-double", "long double")
STRUCTS = {
    "I": struct_kind("tail_i", [INT]),
    "S": struct_kind("tail_s", [FLOAT, FLOAT]),
    "odd": struct_kind("tail_odd", [BYTE] * 11),
    "II": struct_kind("tail_ii", [LONG, POINTER]),
    "IS": struct_kind("tail_is", [LONG, DOUBLE]),
    "SI": struct_kind("tail_si", [DOUBLE, INT]),
    "SS": struct_kind("tail_ss", [DOUBLE, FLOAT]),
    "memory": struct_kind("tail_memory", [LONG, DOUBLE, INT]),
    "floats": struct_kind("tail_floats", [DOUBLE] * 3),
    "large": struct_kind("tail_large", [UINT64] * 9),
    "X": struct_kind("tail_x", [LONG_DOUBLE]),
}
TAIL_KINDS: list[Kind] = [INT, LONG, LONG_LONG, UINT64, DOUBLE, POINTER, LONG_DOUBLE, *STRUCTS.values()]
FIXED_KINDS: list[Kind] = [INT, DOUBLE, POINTER, LONG, FLOAT, STRUCTS["IS"], STRUCTS["memory"]]
RESULTS: list[Kind] = [INT, DOUBLE, STRUCTS["II"], STRUCTS["SI"], STRUCTS["memory"], LONG_DOUBLE, POINTER]


@functools.cache
def shapes(fixed: int) -> list[Shape]:
    """The tails behind so many fixed parameters."""
    rng = random.Random(fixed)
    tails: list[list[Kind]] = [[]] if fixed else []
    tails += [[kind] for kind in TAIL_KINDS]
    tails += map(list, itertools.product(TAIL_KINDS, repeat=2))
    # up to the end of the registers of one sort, and over it: with a struct that takes two at every place
    tails += [[INT] * count + [kind, DOUBLE, INT] for count in range(3, 9) for kind in STRUCTS.values()]
    tails += [[DOUBLE] * count + [kind, DOUBLE, INT] for count in range(6, 10) for kind in STRUCTS.values()]
    tails += [[rng.choice(TAIL_KINDS) for _ in range(rng.randint(3, 30))] for _ in range(40)]
    tails += [[INT, DOUBLE] * 12, [DOUBLE] * 20, [LONG] * 20]
    found = []
    for number, tail in enumerate(tails):
        before = [rng.choice(FIXED_KINDS) for _ in range(fixed)]
        result = RESULTS[number % len(RESULTS)]
        found.append(Shape(f"v{fixed}_{number}", result, [*before, *tail], fixed=fixed).draw(rng))
    return found


@functools.cache
def library(fixed: int) -> epsilon.Library:
    return load_c(cgen.source(shapes(fixed)))


behind = pytest.mark.parametrize("fixed", range(4))


@behind
def test_a_tail_of_every_shape(fixed):
    assert len(shapes(fixed)) > 400
    for shape in shapes(fixed):
        shape.check_call(library(fixed))


@behind
def test_a_known_tail_is_called_again_and_other_tails_in_between(fixed):
    """One function object: each shape of tail is remembered by it, and none is taken for another."""
    lib = library(fixed)
    first_wrong = lib.bind("int first_wrong(void)")
    some = shapes(fixed)[:: 7 + fixed]
    functions = [shape.bind(lib) for shape in some]

    def call(shape: Shape, function: object, place: int) -> None:
        values = shape.arguments[:fixed]
        tail = zip(shape.parameters[fixed:], shape.arguments[fixed:], strict=True)
        result = function(*values, *((kind.word, value) for kind, value in tail))
        assert first_wrong() == 0, f"{shape}, call {place}"
        assert shape.result.plain(result) == shape.result.plain(shape.value), f"{shape}, call {place}"

    for shape, function in zip(some, functions, strict=True):
        call(shape, function, 1)
        call(shape, function, 2)
    for shape, function in zip(some, functions, strict=True):
        for extra in (0, 1.5, None):  # the C function looks at what it expects only, so more may follow
            tail = zip(shape.parameters[fixed:], shape.arguments[fixed:], strict=True)
            pairs = [(kind.word, value) for kind, value in tail]
            function(*shape.arguments[:fixed], *pairs, extra)
            assert first_wrong() == 0, f"{shape} with {extra} after it"
        call(shape, function, 3)


@behind
def test_a_tail_by_default_promotions(fixed):
    """int, float, struct and pointer values without a type."""
    bare = {INT, DOUBLE, *STRUCTS.values()}

    def extra(kind: Kind, value: object) -> object:
        return value if kind in bare else (kind.word, value)

    for shape in shapes(fixed)[::5]:
        shape.check_call(library(fixed), extra)


@behind
def test_narrow_types_are_promoted(fixed):
    """C11 §6.5.2.2: what is narrower than an int goes as an int, a float as a double."""
    before = [INT, DOUBLE, POINTER][:fixed]
    promoted = [INT, INT, INT, DOUBLE, INT]
    shape = Shape(f"promoted_{fixed}", INT, [*before, *promoted], fixed=fixed).draw(random.Random(9))
    shape.arguments[fixed:] = [-128, 65535, 1, 1.5, 200]
    narrow = iter(["signed-char", "unsigned-short", "bool", "float", "uint8"])
    lib = load_c(cgen.source([shape]))
    shape.check_call(lib, lambda kind, value: (next(narrow), value))
