"""API §1: every scalar type at its edges, as argument and result, of functions and of callbacks, judged by C itself.

For each type the C below holds a table of its edges, written as C literals, and six functions that work on table
places: ``is`` compares an argument, ``give`` returns one, ``send`` and ``ask`` do the same through a callback,
``load`` and ``store`` through a pointer.
"""

from __future__ import annotations

import decimal
import enum
import fractions
import functools
import math
import struct

import cgen
import pytest
from clib import SHIM, load_c

import epsilon

LONG = 8 * struct.calcsize("l")
POINTER = 8 * struct.calcsize("P")
WCHAR = 8 * epsilon.ctype("wchar").size

#: word → (C spelling, bits, signed)
INTEGERS = {
    "char": ("char", 8, None),
    "signed-char": ("signed char", 8, True),
    "unsigned-char": ("unsigned char", 8, False),
    "short": ("short", 16, True),
    "unsigned-short": ("unsigned short", 16, False),
    "int": ("int", 32, True),
    "unsigned-int": ("unsigned int", 32, False),
    "long": ("long", LONG, True),
    "unsigned-long": ("unsigned long", LONG, False),
    "long-long": ("long long", 64, True),
    "unsigned-long-long": ("unsigned long long", 64, False),
    **{f"int{bits}": (f"int{bits}_t", bits, True) for bits in (8, 16, 32, 64)},
    **{f"uint{bits}": (f"uint{bits}_t", bits, False) for bits in (8, 16, 32, 64)},
    "size": ("size_t", POINTER, False),
    "ssize": ("ssize_t", POINTER, True),
    "ptrdiff": ("ptrdiff_t", POINTER, True),
    "intptr": ("intptr_t", POINTER, True),
    "uintptr": ("uintptr_t", POINTER, False),
    "wchar": ("wchar_t", WCHAR, None),
}
REALS = {"float": "float", "double": "double", "long-double": "long double"}
COMPLEXES = {"float-complex": "float _Complex", "double-complex": "double _Complex"}
SCALARS = [*INTEGERS, "bool", *REALS, *COMPLEXES]


@functools.cache
def is_signed(word: str) -> bool:
    """What C says of ``char`` and ``wchar_t``, whose sign is the platform's choice; ours of the others."""
    c, _, signed = INTEGERS[word]
    if signed is None:
        return bool(
            load_c(f"#include <wchar.h>\nint is_signed(void) {{ return ({c})-1 < 0; }}").bind("int is_signed(void)")()
        )
    return signed


def limits(word: str) -> tuple[int, int]:
    bits = INTEGERS[word][1]
    return (-(1 << bits - 1), (1 << bits - 1) - 1) if is_signed(word) else (0, (1 << bits) - 1)


def edges(word: str) -> list:
    """The values of the table, in its order."""
    if word == "bool":
        return [False, True]
    if word in INTEGERS:
        low, high = limits(word)
        powers = {(1 << bit) + step for bit in range(high.bit_length()) for step in (-1, 0, 1)}
        candidates = {low, low + 1, high - 1, high, 0, 1, -1, *powers, *(-power for power in powers)}
        return sorted(value for value in candidates if low <= value <= high)
    if word in REALS:
        largest, smallest, denormal, epsilon_ = {
            "float": (cgen.single(3.4028234663852886e38), 2.0**-126, 2.0**-149, 2.0**-23),
        }.get(word, (1.7976931348623157e308, 2.0**-1022, 5e-324, 2.0**-52))
        tenth = cgen.single(0.1) if word == "float" else 0.1
        finite = [1.0, 1 + epsilon_, tenth, largest, smallest, denormal, 2.0**24, 0.0]
        return [*finite, *(-value for value in finite), math.inf, -math.inf, math.nan]
    parts = [0.0, -0.0, 1.5, -math.inf, math.nan, 2.0**-149, 3.4028234663852886e38]
    return [complex(real, imag) for real in parts for imag in parts]


def literal(word: str, value) -> str:
    if word in COMPLEXES:
        make = "CMPLXF" if word == "float-complex" else "CMPLX"
        return f"{make}({cgen.float_literal(value.real)}, {cgen.float_literal(value.imag)})"
    if word in REALS:
        return cgen.float_literal(value)
    return f"({spelling(word)}){int(value) & (1 << 64) - 1:#x}ULL"


def spelling(word: str) -> str:
    return {"bool": "bool", **REALS, **COMPLEXES}.get(word) or INTEGERS[word][0]


def comparison(word: str) -> str:
    if word in COMPLEXES:
        return "same_float(creal(a), creal(b)) && same_float(cimag(a), cimag(b))"
    return "same_float(a, b)" if word in REALS else "a == b"


def table_in_c(word: str) -> str:
    c, n = spelling(word), word.replace("-", "_")
    values = ", ".join(literal(word, value) for value in edges(word))
    return f"""
static {c} table_{n}[] = {{{values}}};
static int equal_{n}({c} a, {c} b) {{ return {comparison(word)}; }}
int is_{n}({c} value, int place) {{ return equal_{n}(value, table_{n}[place]); }}
{c} give_{n}(int place) {{ return table_{n}[place]; }}
void send_{n}(void (*f)({c}), int place) {{ f(table_{n}[place]); }}
int ask_{n}({c} (*f)(void), int place) {{ return equal_{n}(f(), table_{n}[place]); }}
int load_{n}(const {c} *value, int place) {{ return equal_{n}(*value, table_{n}[place]); }}
void store_{n}({c} *value, int place) {{ *value = table_{n}[place]; }}
int swap_{n}({c} *value, int expected, int place)
{{
    int same = equal_{n}(*value, table_{n}[expected]);
    *value = table_{n}[place];
    return same;
}}
int size_{n}(void) {{ return sizeof({c}); }}
int alignment_{n}(void) {{ return _Alignof({c}); }}
"""


@functools.cache
def library() -> epsilon.Library:
    return load_c(cgen.PRELUDE + "\n".join(map(table_in_c, SCALARS)))


def bind(role: str, word: str, result, parameters):
    return library().bind(f"{role}_{word.replace('-', '_')}", result, parameters)


def same(a, b) -> bool:
    """Equal, of the same class, -0.0 and 0.0 told apart, NaN like NaN."""
    if isinstance(b, complex):
        return isinstance(a, complex) and same(a.real, b.real) and same(a.imag, b.imag)
    return type(a) is type(b) and repr(a) == repr(b)


each_scalar = pytest.mark.parametrize("word", SCALARS)
each_integer = pytest.mark.parametrize("word", INTEGERS)
#: by value; cffi's ABI mode does not know _Complex there
by_value = pytest.mark.parametrize("word", SCALARS if SHIM else [word for word in SCALARS if word not in COMPLEXES])


# --- the six ways -----------------------------------------------------------------------------------------------------


@each_scalar
def test_size_and_alignment_are_those_of_c(word):
    found = epsilon.ctype(word)
    assert found.size == bind("size", word, "int", [])()
    assert found.alignment == bind("alignment", word, "int", [])()


@by_value
def test_argument(word):
    function = bind("is", word, "int", [word, "int"])
    for place, value in enumerate(edges(word)):
        assert function(value, place) == 1, value


@by_value
def test_result(word):
    function = bind("give", word, word, ["int"])
    for place, value in enumerate(edges(word)):
        assert same(function(place), value), value


@by_value
def test_callback_argument(word):
    function = bind("send", word, "void", ["pointer", "int"])
    seen = []
    receive = epsilon.make_callback(seen.append, "void", [word])
    for place, value in enumerate(edges(word)):
        function(receive, place)
        assert same(seen.pop(), value), value


@by_value
def test_callback_result(word):
    function = bind("ask", word, "int", ["pointer", "int"])
    for place, value in enumerate(edges(word)):
        with epsilon.make_callback(lambda value=value: value, word, []) as answer:
            assert function(answer, place) == 1, value


@by_value
def test_on_error_value_of_a_callback(word):
    function = bind(
        "ask",
        word,
        "int",
        ["pointer", "int"],
    )
    log = []
    observe = epsilon.make_callback(log.append, "void", ["int"])
    relay = load_c("int relay(int (*ask)(void *, int), void *f, int place, void (*observe)(int))\n"
                   "{ observe(ask(f, place)); return 0; }")  # fmt: skip
    call = relay.bind("relay", "int", ["pointer", "pointer", "int", "pointer"])

    def fail():
        raise ZeroDivisionError

    for place, value in enumerate(edges(word)):
        with epsilon.make_callback(fail, word, [], on_error=value) as answer, pytest.raises(ZeroDivisionError):
            call(function, answer, place, observe)
        assert log.pop() == 1, value


@each_scalar
def test_in(word):
    function = bind("load", word, "int", [("in", word), "int"])
    for place, value in enumerate(edges(word)):
        assert function(value, place) == 1, value


@each_scalar
def test_out(word):
    function = bind("store", word, "void", [("out", word), "int"])
    for place, value in enumerate(edges(word)):
        assert same(function(place), value), value


@each_scalar
def test_inout(word):
    function = bind("swap", word, "int", [("inout", word), "int", "int"])
    values = edges(word)
    for place, value in enumerate(values):
        next_place = (place + 1) % len(values)
        right, new = function(value, place, next_place)
        assert right == 1, value
        assert same(new, values[next_place])


@each_scalar
def test_in_memory(word):
    load = bind("load", word, "int", [("pointer", word), "int"])
    store = bind("store", word, "void", [("pointer", word), "int"])
    values = edges(word)
    written = epsilon.foreign_alloc(word, initial=values)
    read = epsilon.foreign_alloc(word, count=1)
    for place, value in enumerate(values):
        assert same(written[place], value)
        store(read, place)
        assert same(read[0], value) and same(epsilon.deref(read), value)
        read[0] = value
        assert load(read, place) == 1


@each_scalar
def test_as_struct_member(word):
    holder = epsilon.define_c_struct("holder", [("first", "char"), ("value", word), ("last", "char")])
    load = bind("load", word, "int", ["pointer", "int"])
    for place, value in enumerate(edges(word)):
        one = holder(1, value, 2)
        assert same(one.value, value) and (one.first, one.last) == (1, 2)
        inner = epsilon.foreign_alloc(word, initial=[one.value])
        assert load(inner, place) == 1


@pytest.mark.skipif(SHIM, reason="with the shim _Complex travels by value, which test_argument and the others show")
@pytest.mark.parametrize("word", COMPLEXES)
def test_complex_by_value_needs_the_shim(word):
    with pytest.raises(epsilon.ForeignError, match="needs the shim"):
        bind("give", word, word, ["int"])(0)
    with pytest.raises(epsilon.ForeignError, match="needs the shim"):
        bind("is", word, "int", [word, "int"])(1j, 0)
    with pytest.raises(epsilon.ForeignError, match="needs the shim"):
        epsilon.make_callback(lambda value: None, "void", [word])


# --- what lies in the upper bits
# ----------------------------------------------------------------------------------------


DIRTY = """
#include <stdint.h>
/* Only the low bits of a narrow result or argument mean anything: System V AMD64 §3.2.3, AAPCS64 §6.8.2. */
uint64_t dirty(uint64_t bits) { return 0xDEADBEEFCAFE0000u & ~(uint64_t)0xFF | bits; }
void send_dirty(void (*f)(uint64_t), uint64_t bits) { f(0xDEADBEEFCAFE0000u & ~(uint64_t)0xFF | bits); }
"""


@pytest.mark.parametrize(
    ("word", "bits", "value"),
    [("int8", 0x85, -123), ("uint8", 0x85, 0x85), ("bool", 1, True), ("bool", 0, False), ("char", 0x41, 65),
     ("int16", 0x0085, 0x85), ("uint16", 0xFF85, 0xFF85), ("int16", 0xFF85, -123), ("int", 0, 0xCAFE0000 - 2**32),
     ("unsigned-int", 0x7F, 0xCAFE007F)],
)  # fmt: skip
def test_upper_bits_of_narrow_values_mean_nothing(word, bits, value):
    lib = load_c(DIRTY)
    assert same(lib.bind("dirty", word, ["uint64"])(bits), value)
    seen = []
    lib.bind("send_dirty", "void", ["pointer", "uint64"])(epsilon.make_callback(seen.append, "void", [word]), bits)
    assert same(seen[0], value)


# --- range ----------------------------------------------------------------------------------------------------------


def outside(word: str) -> list[int]:
    low, high = limits(word)
    return [low - 1, high + 1, low - 2**32, high + 2**32, -(2**63) - 1, 2**64, -(2**200), 2**200]


@each_integer
def test_range_of_an_argument_is_exact(word):
    function = bind("is", word, "int", [word, "int"])
    low, high = limits(word)
    for value in outside(word):
        with pytest.raises(epsilon.ForeignRangeError) as caught:
            function(value, 0)
        text = str(caught.value)
        assert f"is_{word.replace('-', '_')}()" in text  # the function,
        assert "parameter 1" in text and f"({epsilon.ctype(word).spelling})" in text  # the parameter, the C type,
        assert f"from {low} to {high}" in text and str(value)[:10] in text  # what is wanted, the value
        assert caught.value.function == f"is_{word.replace('-', '_')}"
        assert isinstance(caught.value, OverflowError)


@each_integer
def test_range_of_a_callback_result_is_exact(word):
    function = bind("ask", word, "int", ["pointer", "int"])
    for value in outside(word):
        with epsilon.make_callback(lambda value=value: value, word, []) as answer:
            with pytest.raises(epsilon.ForeignRangeError, match="callback .*the result.*wanted an int from"):
                function(answer, 0)


@each_integer
def test_range_in_memory_and_in_structs_is_exact(word):
    memory = epsilon.foreign_alloc(word)
    holder = epsilon.define_c_struct("holder", [("value", word)])
    for value in outside(word):
        with pytest.raises(epsilon.ForeignRangeError, match=r"element 0"):
            memory[0] = value
        with pytest.raises(epsilon.ForeignRangeError, match="struct holder: member 'value'"):
            holder(value=value)
        with pytest.raises(epsilon.ForeignRangeError):
            epsilon.make_callback(int, word, [], on_error=value)
    assert memory[0] == 0


@each_integer
def test_range_of_in_and_inout_is_exact(word):
    load = bind("load", word, "int", [("in", word), "int"])
    swap = bind("swap", word, "int", [("inout", word), "int", "int"])
    for value in outside(word):
        with pytest.raises(epsilon.ForeignRangeError, match="parameter 1"):
            load(value, 0)
        with pytest.raises(epsilon.ForeignRangeError, match="parameter 1"):
            swap(value, 0, 0)


@pytest.mark.parametrize("word", [*REALS, *(COMPLEXES if SHIM else ())])
def test_an_int_too_large_for_any_float_is_out_of_range(word):
    function = bind("is", word, "int", [word, "int"])
    with pytest.raises(epsilon.ForeignRangeError, match="parameter 1"):
        function(10**400, 0)
    with pytest.raises(epsilon.ForeignRangeError, match="parameter 1"):
        function(-(10**400), 0)


def test_a_double_too_large_for_float_is_infinite_as_in_c():
    load = load_c("#include <math.h>\nint f(float v) { return isinf(v) ? (v > 0 ? 1 : -1) : 0; }").bind(
        "int f(float v)"
    )
    assert [load(1e300), load(-1e300), load(3e38)] == [1, -1, 0]


# --- what is accepted -------------------------------------------------------------------------------------------------


class Index:
    """An int only by ``__index__``, as NumPy's integers are."""

    def __init__(self, value):
        self.value = value

    def __index__(self):
        return self.value


class Floating:
    """A float only by ``__float__``, as NumPy's floats are."""

    def __init__(self, value):
        self.value = value

    def __float__(self):
        return self.value


class Complexing:
    def __complex__(self):
        return 1.5 - 2j


class Color(enum.IntEnum):
    GREEN = 2


class Small(int):
    """A subclass of int with a will of its own, which C never asks about."""

    def __add__(self, other):
        raise AssertionError


IDENTITY = "".join(
    f"{c} same_{word.replace('-', '_')}({c} v) {{ return v; }}\n"
    for word, c in {**{word: INTEGERS[word][0] for word in INTEGERS}, **REALS, **COMPLEXES, "bool": "_Bool"}.items()
)


def identity(word: str):
    lib = load_c("#include <stddef.h>\n#include <stdint.h>\n#include <sys/types.h>\n" + IDENTITY)
    return lib.bind(f"same_{word.replace('-', '_')}", word, [word])


@each_integer
def test_integers_take_anything_with_index(word):
    function = identity(word)
    for value in (Index(100), True, Color.GREEN, Small(77)):
        result = function(value)
        assert type(result) is int and result == value.__index__()
    low, high = limits(word)
    assert function(Index(low)) == low and function(Index(high)) == high
    with pytest.raises(epsilon.ForeignRangeError):
        function(Index(high + 1))
    with pytest.raises(epsilon.ForeignRangeError):
        function(Small(low - 1))


@pytest.mark.parametrize("word", REALS)
def test_floats_take_anything_with_float(word):
    function = identity(word)
    for value, wanted in [(Floating(2.5), 2.5), (3, 3.0), (True, 1.0), (Index(7), 7.0), (decimal.Decimal("0.5"), 0.5),
                          (fractions.Fraction(1, 4), 0.25), (2**60, 2.0**60)]:  # fmt: skip
        result = function(value)
        assert type(result) is float and result == wanted


@pytest.mark.parametrize("word", COMPLEXES if SHIM else ())
def test_complexes_take_anything_with_complex(word):
    function = identity(word)
    for value, wanted in [(Complexing(), 1.5 - 2j), (2.5, 2.5), (3, 3), (Floating(0.5), 0.5), (Index(4), 4), (True, 1)]:
        result = function(value)
        assert type(result) is complex and result == wanted


def test_bool_takes_a_bool_or_an_int():
    function = identity("bool")
    for value in (False, True, 0, 1, 2, -1, 2**70, 256, Index(0), Index(5)):
        assert function(value) is bool(value.__index__())


@pytest.mark.parametrize("word", ["char", "signed-char", "unsigned-char"])
def test_characters_take_a_str_or_bytes_of_one(word):
    function = identity(word)
    assert function("A") == function(b"A") == 65
    assert function("\0") == function(b"\0") == 0
    assert function(b"\xff") == (-1 if is_signed(word) else 255)
    for value in ("", b"", "AB", b"AB"):
        with pytest.raises(epsilon.ForeignTypeError, match="str or bytes of one character"):
            function(value)
    with pytest.raises(epsilon.ForeignRangeError, match="one byte"):
        function("λ")


@pytest.mark.parametrize("word", [w for w in INTEGERS if "char" not in w or w == "wchar"])
def test_only_characters_take_text(word):
    with pytest.raises(epsilon.ForeignTypeError):
        identity(word)("A")


# --- what is refused --------------------------------------------------------------------------------------------------


NEVER = [None, "12", b"12", [], (), {}, object(), int, float, Index, Floating, len, ...]


@pytest.mark.parametrize("word", [word for word in SCALARS if SHIM or word not in COMPLEXES])
def test_other_values_are_refused_by_name(word):
    function = identity(word)
    values = NEVER + ([1.0, decimal.Decimal(1), 1j] if word not in (*REALS, *COMPLEXES) else [])
    if word in REALS:
        values = [*values, 1j]
    for value in values:
        with pytest.raises(epsilon.ForeignTypeError, match=f"same_{word.replace('-', '_')}.*parameter 1.*got .*wanted"):
            function(value)


class Failing:
    def __index__(self):
        raise KeyError("no index today")

    __float__ = __complex__ = __index__


class Lying:
    def __index__(self):
        return "seven"

    __float__ = __complex__ = __index__


class Truthless(int):
    def __bool__(self):
        raise KeyError("no truth today")


@pytest.mark.parametrize("word", [word for word in SCALARS if SHIM or word not in COMPLEXES])
def test_an_exception_of_the_value_itself_comes_through(word):
    function = identity(word)
    with pytest.raises(KeyError, match="no index today"):
        function(Failing())
    with pytest.raises(TypeError):
        function(Lying())
    assert function(1) == 1


def test_a_bool_whose_truth_fails():
    function = identity("bool")
    try:
        assert function(Truthless(1)) is True
    except KeyError as error:
        assert "no truth today" in str(error)
