"""API §1, §5.1, §7: the aggregates whose way through a call is an ABI's special case, in calls and callbacks.

Unions, bit-fields, long doubles, complex members, homogeneous float aggregates and a struct of 320 bytes travel as
arguments and as results, behind prefixes that fill the registers up to each boundary, and in variadic tails.  C
compares every member; see ``cgen``.  The rules are in System V AMD64 §3.2.3 and AAPCS64 §6.8.2.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Sequence
from typing import Any

import cgen
import pytest
from cgen import BYTE, DOUBLE, FLOAT, INT, INTEGERS, UINT64, Kind, Shape, StructKind, record, struct_kind
from clib import load_c, shim_only

import epsilon

rng = random.Random(7)


# --- kinds ----------------------------------------------------------------------------------------------------------


def bits(count: int) -> Kind:
    """An unsigned bit-field."""
    return cgen.integer("uint64", "uint64_t", 0, 2**count - 1)


def signed_bits(count: int) -> Kind:
    """A signed bit-field."""
    return cgen.integer("int64", "int64_t", -(2 ** (count - 1)), 2 ** (count - 1) - 1)


def complex_kind(word: str, c: str, make: str, part: Kind) -> Kind:
    """A complex number of two ``part``."""
    return Kind(
        word,
        c,
        lambda value: f"{make}({part.literal(value.real)}, {part.literal(value.imag)})",
        "(same_float(creal({0}), creal({1})) && same_float(cimag({0}), cimag({1})))".format,
        lambda rng: complex(part.draw(rng), part.draw(rng)),
    )


LONG_DOUBLE = cgen.real("long-double", "long double")
FLOAT_COMPLEX = complex_kind("float-complex", "float _Complex", "CMPLXF", FLOAT)
DOUBLE_COMPLEX = complex_kind("double-complex", "double _Complex", "CMPLX", DOUBLE)
SIGNED_CHAR, INT64 = INTEGERS[0], INTEGERS[6]


ALIGNED_UNION = record("union long_double_or_bytes", "long double l; unsigned char c[16];",
                       {"c": [cgen.integer("uint8", "uint8_t", 0, 9)] * 16})  # fmt: skip
DOUBLE_THEN_BITS = record("struct double_then_bits", "double d; unsigned flags : 3, more : 5;",
                          {"d": DOUBLE, "flags": bits(3), "more": bits(5)})  # fmt: skip
NESTED_FLOATS = record("struct nested_floats", "float a[2]; struct { float b; } in[2];",
                       {"a": [FLOAT] * 2, "in": [{"b": FLOAT}] * 2})  # fmt: skip
TWO_LONG_DOUBLES = struct_kind("two_long_doubles", [LONG_DOUBLE] * 2)
BYTES_320 = struct_kind("bytes_320", [INT64] * 40)

UNIONS = [
    ALIGNED_UNION,
    record("union of_double", "double d;", {"d": DOUBLE}),
    record("union of_floats", "float a; float b[2];", {"b": [FLOAT] * 2}),
    record("union of_double_or_float", "double d; float f;", {"d": DOUBLE}),
    record("union of_long_or_double", "long l; double d;", {"d": DOUBLE}),
    record("union of_32_bytes", "double d[4]; float f;", {"d": [DOUBLE] * 4}),
    record("union of_40_bytes", "char c; int64_t l[5];", {"l": [INT64] * 5}),
    # its scalars, one after another, would take as many bytes as they do over one another
    record("struct union_and_its_padding", "union { double d; unsigned i; uint8_t b; } u; signed char c;",
           {"u": {"d": DOUBLE}, "c": SIGNED_CHAR}),
    record("struct holds_a_union", "float x; union { float y; float z; } u;", {"x": FLOAT, "u": {"y": FLOAT}}),
]
BIT_FIELDS = [
    DOUBLE_THEN_BITS,
    record("struct bits_then_double", "unsigned flags : 3, more : 5; double d;",
           {"flags": bits(3), "more": bits(5), "d": DOUBLE}),
    record("struct bits_of_many_types", "signed char a; int b : 5; short c : 9; uint64_t d : 40; int e : 3; uint8_t f;",
           {"a": SIGNED_CHAR, "b": signed_bits(5), "c": signed_bits(9), "d": bits(40), "e": signed_bits(3), "f": BYTE}),
    record("struct bits_without_name", "uint8_t a; int : 0; uint8_t b; short x : 4; int : 3; uint8_t y;",
           {"a": BYTE, "b": BYTE, "x": signed_bits(4), "y": BYTE}),
]  # fmt: skip
PLAIN = [
    struct_kind("of_float_complex", [FLOAT_COMPLEX]),
    struct_kind("of_float_complex_and_float", [FLOAT_COMPLEX, FLOAT]),
    struct_kind("of_double_complex", [DOUBLE_COMPLEX]),
    struct_kind("of_two_double_complexes", [DOUBLE_COMPLEX] * 2),
    struct_kind("one_long_double", [LONG_DOUBLE]),
    TWO_LONG_DOUBLES,
    struct_kind("four_long_doubles", [LONG_DOUBLE] * 4),
    struct_kind("five_long_doubles", [LONG_DOUBLE] * 5),
    struct_kind("long_double_and_int", [LONG_DOUBLE, INT]),
    NESTED_FLOATS,
    BYTES_320,
]
#: what cffi's ABI mode cannot pass
NEED_THE_SHIM = [*UNIONS, *BIT_FIELDS, FLOAT_COMPLEX, DOUBLE_COMPLEX]


# --- shapes ---------------------------------------------------------------------------------------------------------

PREFIXES = {
    "first": [],
    "after_an_int": [INT],
    "after_ten_ints": [INT] * 10,
    "one_float_register_left": [DOUBLE] * 7,
}
SPECIAL = [
    Shape(f"{kind.tag}_{prefix}", kind, [*before, kind, INT, DOUBLE])
    for kind in [*UNIONS, *BIT_FIELDS, *PLAIN]
    for prefix, before in PREFIXES.items()
]
SCALARS = [
    Shape("long_doubles_between_ints", LONG_DOUBLE, [INT, LONG_DOUBLE] * 2),
    Shape("ten_long_doubles", LONG_DOUBLE, [LONG_DOUBLE] * 10),
    Shape("ten_long_doubles_and_the_rest", LONG_DOUBLE, [*[LONG_DOUBLE] * 8, INT, *[DOUBLE, LONG_DOUBLE, FLOAT] * 2]),
    Shape("ten_complexes", DOUBLE_COMPLEX, [INT, FLOAT_COMPLEX, DOUBLE_COMPLEX] * 5),
    Shape("long_doubles_between_structs", LONG_DOUBLE, [TWO_LONG_DOUBLES, LONG_DOUBLE, NESTED_FLOATS, LONG_DOUBLE]),
]

#: what is all of one floating type, up to four of it, travels in float registers on AArch64; and what is nearly that
HOMOGENEOUS = {
    **{f"floats_{count}": [FLOAT] * count for count in (1, 2, 3, 4, 5, 16)},
    **{f"doubles_{count}": [DOUBLE] * count for count in (1, 2, 3, 4, 5, 9)},
    **{f"long_doubles_{count}": [LONG_DOUBLE] * count for count in (1, 3, 4)},
    **{f"integers_{count}": [UINT64] * count for count in (2, 3, 8)},
    "float_and_double": [FLOAT, DOUBLE],
    "float_and_int": [FLOAT, INT],
    "double_and_int": [DOUBLE, INT],
    "integer_and_double": [UINT64, DOUBLE],
    "bytes_3": [BYTE] * 3,
    "bytes_72": [BYTE] * 72,
}
BOUNDARIES = [
    [],
    *([INT] * count for count in range(4, 9)),
    *([DOUBLE] * count for count in range(4, 9)),
    [FLOAT] * 7 + [INT] * 7,
    [DOUBLE] * 8 + [UINT64] * 8,
    [INT, DOUBLE] * 9,
]


def at_each_boundary(name: str, members: Sequence[Kind]) -> list[Shape]:
    kind = struct_kind(name, members)
    return [
        Shape(f"{name}_{number}", kind, [*before, kind, kind, INT, DOUBLE, FLOAT])
        for number, before in enumerate(BOUNDARIES)
    ]


AT_BOUNDARIES = {name: at_each_boundary(name, members) for name, members in HOMOGENEOUS.items()}


def tail(name: str, result: Kind, parameters: Sequence[Kind]) -> Shape:
    """A variadic function of one int before its tail."""
    return Shape(f"variadic_{name}", result, [INT, *parameters], fixed=1)


TAILS = [
    tail("ints", INT, [INT] * 12),
    tail("doubles", DOUBLE, [DOUBLE] * 12),
    tail("ints_and_doubles", INT, [INT, DOUBLE] * 10),
    tail("long_doubles", LONG_DOUBLE, [INT, LONG_DOUBLE, DOUBLE] * 4),
    tail("floats_in_a_struct", NESTED_FLOATS, [INT, NESTED_FLOATS, DOUBLE] * 4),
    tail("large_structs", BYTES_320, [INT, BYTES_320, DOUBLE, BYTES_320, INT]),
    tail("structs_of_long_doubles", TWO_LONG_DOUBLES, [INT, TWO_LONG_DOUBLES, DOUBLE] * 3),
    tail("structs_of_bit_fields", DOUBLE_THEN_BITS, [INT, DOUBLE_THEN_BITS, DOUBLE] * 4),
    tail("all_of_them", LONG_DOUBLE,
         [*[UINT64, DOUBLE] * 5, NESTED_FLOATS, LONG_DOUBLE, TWO_LONG_DOUBLES, INT, BYTES_320, DOUBLE]),
]  # fmt: skip


@pytest.fixture(scope="module")
def library():
    shapes = [*SPECIAL, *SCALARS, *(shape for each in AT_BOUNDARIES.values() for shape in each), *TAILS]
    text = cgen.source(shape.draw(rng) for shape in shapes)
    return load_c(f"{text}\n"
                  "uint64_t first_member(int before, ...)\n"
                  "{\n    va_list tail;\n    va_start(tail, before);\n    uint64_t *at = va_arg(tail, uint64_t *);\n"
                  "    va_end(tail);\n    return *at;\n}\n")  # fmt: skip


def judged(shape: Shape, check: Callable[..., None]) -> Callable[..., None]:
    """``check``, or where cffi's ABI mode cannot pass the shape, that this is its error."""
    return shim_only(check) if any(kind in NEED_THE_SHIM for kind in (shape.result, *shape.parameters)) else check


def skip_what_libffi_gets_wrong(shape: Shape) -> None:
    if shape.name == f"{ALIGNED_UNION.tag}_after_an_int" and os.uname().machine == "aarch64":
        pytest.skip("libffi 3.4.4 starts a 16-byte aligned union at an odd register (AAPCS64 §6.8.2, C.10: even)")


each_shape = pytest.mark.parametrize("shape", [*SPECIAL, *SCALARS], ids=lambda shape: shape.name)


# --- the tests ------------------------------------------------------------------------------------------------------


@each_shape
def test_special_cases_in_calls(library, shape):
    skip_what_libffi_gets_wrong(shape)
    judged(shape, shape.check_call)(library)


@each_shape
def test_special_cases_in_callbacks(library, shape):
    skip_what_libffi_gets_wrong(shape)
    judged(shape, shape.check_callback)(library)


@pytest.mark.parametrize("name", HOMOGENEOUS)
def test_every_register_boundary_in_calls(library, name):
    for shape in AT_BOUNDARIES[name]:
        shape.check_call(library)


@pytest.mark.parametrize("name", HOMOGENEOUS)
def test_every_register_boundary_in_callbacks(library, name):
    for shape in AT_BOUNDARIES[name]:
        shape.check_callback(library)


@pytest.mark.parametrize("shape", TAILS, ids=lambda shape: shape.name)
@pytest.mark.parametrize("typed", [True, False], ids=["typed_structs", "bare_structs"])
def test_variadic_tails(library, shape, typed):
    def extra(kind: Kind, value: Any) -> Any:
        return value if isinstance(kind, StructKind) and not typed else (kind.word, value)

    judged(shape, shape.check_call)(library, extra)


def test_a_struct_in_a_tail_goes_by_value_and_its_pointer_by_address(library):
    pair = epsilon.define_c_struct("pair", [("a", "uint64"), ("b", "uint64")])
    first_member = library.bind("uint64_t first_member(int before, ...)")
    one = pair(7, 8)
    assert first_member(0, epsilon.struct_pointer(one)) == first_member(0, (("pointer", pair), one)) == 7
    number = epsilon.foreign_alloc("uint64", initial=9)
    assert first_member(0, pair(number.address, 0)) == 9
    epsilon.foreign_free(one)
    with pytest.raises(epsilon.ForeignMemoryError, match="freed at .*test_aggregates.py"):
        first_member(0, one)
