"""Generates C for the conformance tests: kinds of values, and functions that judge what they were given.

A :class:`Kind` knows one C type from both sides: the type expression for Epsilon, the C spelling, how a Python value is
written as a C literal and how C tells whether two values are the same.  A :class:`Shape` is one signature with the
values that travel through it.  From a shape come two C functions: ``NAME`` receives the arguments from Python, notes
the first one that is not what it should be, and returns a value; ``back_NAME`` calls a callback with the arguments
and says whether the right value came back.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import epsilon

PRELUDE = """
#include <complex.h>
#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <wchar.h>

/* the same number, -0.0 and 0.0 told apart, and any NaN like any other */
static int same_float(double a, double b)
{
    return (a != a && b != b) || (a == b && !signbit(a) == !signbit(b));
}

static int wrong;
/* the first argument that was wrong (from 1), or 0; and forget it */
int first_wrong(void)
{
    int was = wrong;
    wrong = 0;
    return was;
}
"""


@dataclass(frozen=True)
class Kind:
    """One C type."""

    word: Any
    c: str
    literal: Callable[[Any], str]
    same: Callable[[str, str], str]
    draw: Callable[[random.Random], Any]


def _integer_literal(c: str) -> Callable[[int], str]:
    return lambda value: f"({c}){value & (1 << 64) - 1:#x}ULL"


def integer(word: str, c: str, low: int, high: int) -> Kind:
    """An integer kind; its edges are drawn often."""
    edges = sorted({low, high, 0, 1, max(low, -1), high // 2 + 1})

    def draw(rng: random.Random) -> int:
        return rng.choice(edges) if rng.random() < 0.4 else rng.randint(low, high)

    return Kind(word, c, _integer_literal(c), "({0} == {1})".format, draw)


def float_literal(value: float) -> str:
    """C's text for exactly this double."""
    if value != value:
        return "NAN"
    if value in (float("inf"), -float("inf")):
        return "INFINITY" if value > 0 else "-INFINITY"
    return value.hex()


def single(value: float) -> float:
    """``value`` rounded to C's float."""
    return struct.unpack("f", struct.pack("f", value))[0]


def real(word: str, c: str) -> Kind:
    def draw(rng: random.Random) -> float:
        value = rng.choice([0.0, -0.0, 1.5, -2.25]) if rng.random() < 0.2 else rng.uniform(-1e6, 1e6)
        return single(value) if c == "float" else value

    return Kind(word, c, lambda value: f"({c}){float_literal(value)}", "same_float({0}, {1})".format, draw)


INTEGERS = [
    integer("signed-char", "signed char", -128, 127),
    integer("uint8", "uint8_t", 0, 255),
    integer("short", "short", -(2**15), 2**15 - 1),
    integer("unsigned-short", "unsigned short", 0, 2**16 - 1),
    integer("int", "int", -(2**31), 2**31 - 1),
    integer("unsigned-int", "unsigned int", 0, 2**32 - 1),
    integer("int64", "int64_t", -(2**63), 2**63 - 1),
    integer("uint64", "uint64_t", 0, 2**64 - 1),
]
BYTE = INTEGERS[1]
INT = INTEGERS[4]
UINT64 = INTEGERS[7]
BOOL = Kind("bool", "bool", lambda value: str(int(value)), "({0} == {1})".format, lambda rng: rng.random() < 0.5)
FLOAT = real("float", "float")
DOUBLE = real("double", "double")
SCALARS = [*INTEGERS, BOOL, FLOAT, DOUBLE]


# --- structs --------------------------------------------------------------------------------------------------------

ALIGNMENT = {"signed char": 1, "uint8_t": 1, "short": 2, "unsigned short": 2, "int": 4, "unsigned int": 4, "int64_t": 8,
             "uint64_t": 8, "bool": 1, "float": 4, "double": 8}  # fmt: skip


@dataclass(frozen=True)
class StructKind(Kind):
    """A struct of scalars."""

    tag: str = ""
    members: tuple[Kind, ...] = ()
    define: str = ""


def struct_kind(tag: str, members: Sequence[Kind]) -> StructKind:
    """``struct tag`` with members ``m0``, ``m1`` …, defined in C and in Epsilon."""
    made = epsilon.define_c_struct(tag, [(f"m{index}", member.word) for index, member in enumerate(members)])

    def literal(value: Any) -> str:
        inner = ", ".join(member.literal(value[f"m{index}"]) for index, member in enumerate(members))
        return f"(struct {tag}){{{inner}}}"

    def same(a: str, b: str) -> str:
        return "(" + " && ".join(m.same(f"{a}.m{i}", f"{b}.m{i}") for i, m in enumerate(members)) + ")"

    def draw(rng: random.Random) -> Any:
        return made(*(member.draw(rng) for member in members))

    body = " ".join(f"{member.c} m{index};" for index, member in enumerate(members))
    return StructKind(made, f"struct {tag}", literal, same, draw, tag, tuple(members), f"struct {tag} {{ {body} }};\n")


def size_of(members: Iterable[Kind]) -> int:
    """The size of a struct of these scalars, by C's rules."""
    offset, widest = 0, 1
    for member in members:
        width = ALIGNMENT[member.c]
        offset = -(-offset // width) * width + width
        widest = max(widest, width)
    return -(-offset // widest) * widest


def members_of_size(size: int, rng: random.Random) -> list[Kind]:
    """Random members that make a struct of exactly ``size`` bytes, padding included."""
    widest = rng.choice([width for width in (1, 2, 4, 8) if size % width == 0])
    candidates = [kind for kind in SCALARS if ALIGNMENT[kind.c] <= widest]
    while True:
        members: list[Kind] = []
        while size_of(members) < size:
            members.append(rng.choice(candidates))
        if size_of(members) == size:
            return members


# --- shapes ---------------------------------------------------------------------------------------------------------


@dataclass
class Shape:
    """A signature, the values of its arguments, and the value that comes back."""

    name: str
    result: Kind
    parameters: Sequence[Kind]
    arguments: list[Any] = field(default_factory=list)
    value: Any = None

    def draw(self, rng: random.Random) -> Shape:
        self.arguments = [kind.draw(rng) for kind in self.parameters]
        self.value = self.result.draw(rng)
        return self

    def c(self) -> str:
        """The two C functions."""
        parameters = ", ".join(f"{kind.c} a{index}" for index, kind in enumerate(self.parameters)) or "void"
        types = ", ".join(kind.c for kind in self.parameters) or "void"
        literals = [kind.literal(value) for kind, value in zip(self.parameters, self.arguments, strict=True)]
        judged = "".join(
            f"    if (!wrong && !{kind.same(f'a{index}', f'({literals[index]})')}) wrong = {index + 1};\n"
            for index, kind in enumerate(self.parameters)
        )
        value = self.result.literal(self.value)
        return (
            f"{self.result.c} {self.name}({parameters})\n{{\n{judged}    return {value};\n}}\n"
            f"int back_{self.name}({self.result.c} (*f)({types}))\n{{\n"
            f"    {self.result.c} r = f({', '.join(literals)});\n"
            f"    return {self.result.same('r', f'({value})')};\n}}\n"
        )

    def check_call(self, library: epsilon.Library) -> None:
        """Python calls C: every argument arrives, and the result comes back."""
        function = library.bind(self.name, self.result.word, [kind.word for kind in self.parameters])
        result = function(*self.arguments)
        assert library.bind("int first_wrong(void)")() == 0, f"{function}: C was given another argument"
        assert repr(result) == repr(self.value), f"{function}: another result"

    def check_callback(self, library: epsilon.Library) -> None:
        """C calls Python: every argument arrives, and C gets the result."""
        seen: list[Any] = []

        @epsilon.callback(self.result.word, [kind.word for kind in self.parameters])
        def receive(*arguments: Any) -> Any:
            seen.extend(arguments)
            return self.value

        assert library.bind(f"back_{self.name}", "int", ["pointer"])(receive) == 1, f"{receive}: C got another result"
        assert repr(seen) == repr(self.arguments), f"{receive}: another argument"


def source(shapes: Iterable[Shape]) -> str:
    """One C file with everything that the shapes need."""
    shapes = list(shapes)
    kinds = {
        kind.c: kind for shape in shapes for kind in (shape.result, *shape.parameters) if isinstance(kind, StructKind)
    }
    return "\n".join([PRELUDE, *(kind.define for kind in kinds.values()), *(shape.c() for shape in shapes)])
