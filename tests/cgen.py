"""Generates C for the conformance tests: kinds of values, and functions that judge what they were given.

A :class:`Kind` knows one C type from both sides: the type expression for Epsilon, the C spelling, how a Python value is
written as a C literal and how C tells whether two values are the same.  A :class:`Shape` is one signature with the
values that travel through it, its calling convention, and where its variadic tail begins.  From a shape come two C
functions: ``NAME`` receives the arguments from Python, notes the first one that is not what it should be, and returns a
value; ``back_NAME`` calls a callback with the arguments and says whether the right value came back.  A
:class:`Difference` says what went wrong, with both values.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import _cffi_backend as cffi

import epsilon
from epsilon import _backend

PRELUDE = """
#include <complex.h>
#include <math.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
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

static _Alignas(16) char got[65536];
/* what it was */
const void *what_was_wrong(void) { return got; }
static void note(int place, const void *at, size_t size)
{
    wrong = place;
    memcpy(got, at, size);
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

    def judge(self, expression: str, value: Any) -> str:
        """C's condition that ``expression`` is ``value``."""
        return self.same(expression, f"({self.literal(value)})")

    def plain(self, value: Any) -> str:
        """What a value may be compared by: -0.0 and 0.0 told apart, and any NaN like any other."""
        return repr(value)


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
LONG = integer("long", "long", -(2**63), 2**63 - 1)
LONG_LONG = integer("long-long", "long long", -(2**63), 2**63 - 1)

_VOID_POINTER = cffi.new_pointer_type(cffi.new_void_type())
#: any address, for it is only compared
POINTER = Kind(
    "pointer",
    "void *",
    lambda value: f"(void *){int(cffi.cast(cffi.new_primitive_type('uintptr_t'), value)):#x}",
    "({0} == {1})".format,
    lambda rng: cffi.cast(_VOID_POINTER, rng.choice([0, 1, 2**64 - 1]) if rng.random() < 0.1 else rng.getrandbits(64)),
)


# --- structs --------------------------------------------------------------------------------------------------------

ALIGNMENT = {"signed char": 1, "uint8_t": 1, "short": 2, "unsigned short": 2, "int": 4, "unsigned int": 4, "int64_t": 8,
             "uint64_t": 8, "bool": 1, "float": 4, "double": 8}  # fmt: skip


@dataclass(frozen=True)
class StructKind(Kind):
    """A struct or union; ``parts`` are the members that hold its value, by name: each a kind, a list for an array, a
    dict for a struct or union inside."""

    tag: str = ""
    define: str = ""
    parts: dict[str, Any] = field(default_factory=dict, hash=False)

    def judge(self, expression: str, value: Any) -> str:
        """Member by member: C reads one literal for each, and no copy of the whole."""
        return _judge(self.parts, expression, value)

    def plain(self, value: Any) -> Any:
        return _plain(self.parts, value)


def _literal(part: Any, value: Any) -> str:
    """C's initializer for ``value`` of one of a struct's parts."""
    if isinstance(part, dict):
        return "{" + ", ".join(f".{name} = {_literal(inner, value[name])}" for name, inner in part.items()) + "}"
    if isinstance(part, list):
        return "{" + ", ".join(_literal(inner, value[index]) for index, inner in enumerate(part)) + "}"
    return part.literal(value)


def _same(part: Any, a: str, b: str) -> str:
    """C's comparison of two such values."""
    if isinstance(part, Kind):
        return part.same(a, b)
    return "(" + " && ".join(_same(inner, a + path, b + path) for path, _, inner in _inside(part)) + ")"


def _judge(part: Any, expression: str, value: Any) -> str:
    """C's condition that ``expression`` is such a value."""
    if isinstance(part, Kind):
        return part.judge(expression, value)
    return "(" + " && ".join(_judge(inner, expression + path, value[key]) for path, key, inner in _inside(part)) + ")"


def _inside(part: dict[str, Any] | list[Any]) -> Iterable[tuple[str, Any, Any]]:
    """For each part inside: how C reaches it, how Python does, and the part."""
    if isinstance(part, dict):
        return [(f".{name}", name, inner) for name, inner in part.items()]
    return [(f"[{index}]", index, inner) for index, inner in enumerate(part)]


def _plain(part: Any, value: Any) -> Any:
    """What Python compares: of a union the member that holds the value, for the others may have bytes beyond it."""
    return part.plain(value) if isinstance(part, Kind) else [_plain(one, value[key]) for _, key, one in _inside(part)]


def _draw(part: Any, rng: random.Random) -> Any:
    """A value for each part."""
    if isinstance(part, dict):
        return {name: _draw(inner, rng) for name, inner in part.items()}
    return [_draw(inner, rng) for inner in part] if isinstance(part, list) else part.draw(rng)


def record(c: str, body: str, parts: dict[str, Any]) -> StructKind:
    """``c { body };``, a struct or union that both sides read as C; ``parts`` are as in :class:`StructKind`."""
    tag = c.split()[1]
    made = epsilon.define_c_struct_auto(tag, f"{c} {{ {body} }};")
    return _struct_kind(made, c, tag, body, parts)


def struct_kind(tag: str, members: Sequence[Kind]) -> StructKind:
    """``struct tag`` with members ``m0``, ``m1`` …, defined in C and in Epsilon."""
    made = epsilon.define_c_struct(tag, [(f"m{index}", member.word) for index, member in enumerate(members)])
    body = " ".join(f"{member.c} m{index};" for index, member in enumerate(members))
    return _struct_kind(made, f"struct {tag}", tag, body, {f"m{index}": member for index, member in enumerate(members)})


def _struct_kind(made: Any, c: str, tag: str, body: str, parts: dict[str, Any]) -> StructKind:
    return StructKind(
        made,
        c,
        lambda value: f"({c}){_literal(parts, value)}",
        lambda a, b: _same(parts, a, b),
        lambda rng: made(**_draw(parts, rng)),
        tag,
        f"{c} {{ {body} }};\n",
        parts,
    )


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


class Convention(NamedTuple):
    """A calling convention: the compiler's word for it, and Epsilon's options."""

    attribute: str = ""
    options: dict[str, str] = {}


#: that of Windows on x86-64, which GCC and Clang know everywhere
MS_ABI = Convention("__attribute__((ms_abi)) ", {"abi": "ms_abi"})


class Difference(AssertionError):
    """A value that was another one on the other side."""


@dataclass
class Shape:
    """A signature, the values of its arguments, and the value that comes back.

    ``fixed`` is how many parameters come before a variadic tail; ``None`` where there is no tail.
    """

    name: str
    result: Kind
    parameters: Sequence[Kind]
    arguments: list[Any] = field(default_factory=list)
    value: Any = None
    convention: Convention = Convention()
    fixed: int | None = None

    def draw(self, rng: random.Random) -> Shape:
        self.arguments = [kind.draw(rng) for kind in self.parameters]
        self.value = self.result.draw(rng)
        return self

    def __str__(self) -> str:
        """The C prototype."""
        types = [kind.c for kind in self.parameters]
        if self.fixed is not None:
            types.insert(self.fixed, "...;")
        return f"{self.convention.attribute}{self.result.c} {self.name}({', '.join(types) or 'void'})"

    def _judgements(self) -> str:
        return "".join(
            f"    if (!wrong && !{kind.judge(f'a{index}', value)}) note({index + 1}, &a{index}, sizeof a{index});\n"
            for index, (kind, value) in enumerate(zip(self.parameters, self.arguments, strict=True))
        )

    def c(self) -> str:
        """The C functions: the one that judges arguments, and unless it is variadic the one that calls back."""
        parameters = [f"{kind.c} a{index}" for index, kind in enumerate(self.parameters)]
        returned = f"    return {self.result.literal(self.value)};\n}}\n"
        head = f"{self.convention.attribute}{self.result.c} {self.name}"
        if self.fixed is not None:
            # C before C23 wants a parameter before the tail; both ABIs pass it as they pass the first of a tail
            named = max(self.fixed, 1)
            tail = "".join(
                f"    {declared} = va_arg(tail, {kind.c});\n"
                for declared, kind in list(zip(parameters, self.parameters, strict=True))[named:]
            )
            return (
                f"{head}({', '.join(parameters[:named])}, ...)\n{{\n    va_list tail;\n"
                f"    va_start(tail, a{named - 1});\n{tail}    va_end(tail);\n{self._judgements()}{returned}"
            )
        types = ", ".join(kind.c for kind in self.parameters) or "void"
        literals = ", ".join(kind.literal(value) for kind, value in zip(self.parameters, self.arguments, strict=True))
        return (
            f"{head}({', '.join(parameters) or 'void'})\n{{\n{self._judgements()}{returned}"
            f"int back_{self.name}({self.result.c} ({self.convention.attribute}*f)({types}))\n{{\n"
            f"    {self.result.c} r = f({literals});\n"
            f"    if ({self.result.judge('r', self.value)}) return 1;\n"
            f"    note(0, &r, sizeof r);\n    return wrong = 0;\n}}\n"
        )

    def _differ(self, direction: str, what: str, sent: Any, arrived: Any) -> Difference:
        where = f"{direction}, strategy {_backend.strategy or 'by default'}"
        return Difference(f"{self}\n    {where}: {what} was {sent!r} and arrived as {arrived!r}")

    def _received(self, library: epsilon.Library, kind: Kind) -> Any:
        """What C received instead."""
        memory = library.bind("what_was_wrong", ("pointer", "void"), [])()
        return epsilon.deref(memory, 0, kind.word)

    def bind(self, library: epsilon.Library) -> Any:
        """The function that judges its arguments."""
        words = [kind.word for kind in self.parameters]
        if self.fixed is not None:
            words[self.fixed :] = ["..."]
        return library.bind(self.name, self.result.word, words, **self.convention.options)

    def check_call(self, library: epsilon.Library, extra: Callable[[Kind, Any], Any] | None = None) -> None:
        """Python calls C: every argument arrives, and the result comes back.

        ``extra`` makes the argument of a variadic tail from a kind and a value: a pair of both by default.
        """
        arguments = list(self.arguments)
        if self.fixed is not None:
            extra = extra or (lambda kind, value: (kind.word, value))
            arguments[self.fixed :] = map(extra, self.parameters[self.fixed :], arguments[self.fixed :])
        result = self.bind(library)(*arguments)
        wrong = library.bind("int first_wrong(void)")()
        if wrong:
            received = self._received(library, self.parameters[wrong - 1])
            raise self._differ("a call", f"argument {wrong}", self.arguments[wrong - 1], received)
        if self.result.plain(result) != self.result.plain(self.value):
            raise self._differ("a call", "the result", self.value, result)

    def check_callback(self, library: epsilon.Library) -> None:
        """C calls Python: every argument arrives, and C gets the result."""
        seen: list[Any] = []

        def receive(*arguments: Any) -> Any:
            seen.extend(arguments)
            return self.value

        words = [kind.word for kind in self.parameters]
        signature = epsilon.Signature(self.result.word, words, **self.convention.options)
        with epsilon.make_callback(receive, signature) as callback:
            right = library.bind(f"back_{self.name}", "int", ["pointer"])(callback)
        for place, kind in enumerate(self.parameters):
            if kind.plain(self.arguments[place]) != kind.plain(seen[place]):
                raise self._differ("a callback", f"argument {place + 1}", self.arguments[place], seen[place])
        if not right:
            raise self._differ("a callback", "the result", self.value, self._received(library, self.result))


def source(shapes: Iterable[Shape]) -> str:
    """One C file with everything that the shapes need."""
    shapes = list(shapes)
    kinds = {
        kind.c: kind for shape in shapes for kind in (shape.result, *shape.parameters) if isinstance(kind, StructKind)
    }
    return "\n".join([PRELUDE, *(kind.define for kind in kinds.values()), *(shape.c() for shape in shapes)])
