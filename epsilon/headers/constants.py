"""Macro constants: every object-like macro that is a number, a string or a pointer, with C's own value and type.

The compiler runs three times at most, however many macros there are.  ``-E`` expands them.  ``-fsyntax-only`` reads
each as the initializer of a static variable, in a function and on a line of its own; its errors tell which are no
constants, and why.  What is left is compiled as variables, whose bytes stand in the object file: nothing is linked or
run.  Integer literals, most macros by far, need no compiler (C11 §6.4.4.1 gives their types).
"""

from __future__ import annotations

import re

from epsilon.errors import ForeignTypeError
from epsilon.headers import probing
from epsilon.headers.definitions import Definition, Definitions, definitions_of
from epsilon.headers.facts import Constant, Facts, Function, Skipped, Variable
from epsilon.headers.macro_text import UNBALANCED, expand, objection, swallowing, tokens, unknown
from epsilon.headers.mending import mended
from epsilon.headers.objectfile import ObjectFile
from epsilon.headers.proof import Layouts
from epsilon.headers.values import real, string

_INTEGER = re.compile(r"\(*(?:0[xX]([0-9a-fA-F]+)|(0[0-7]*)|([1-9]\d*))([uU]?(?:l|L|ll|LL)?|(?:l|L|ll|LL)[uU])\)*")
#: a wide literal's element, by what the literal begins with; and the compiler's macro for its size
_CHARACTERS = {"L": "wchar_t", "u": "char16_t", "U": "char32_t"}
_UNITS = {"L": "__SIZEOF_WCHAR_T__", "u": "__SIZEOF_SHORT__", "U": "__SIZEOF_INT__"}

#: The types that ``_Generic`` is asked for, and what they go by; GCC's ``_FloatN`` are types of their own, but no
#: others to a caller.  Behind those of C11 come those of some compilers, each with the macro that tells.
_TYPES = [(name, name, None) for name in (
    "char", "signed char", "unsigned char", "short", "unsigned short", "int", "unsigned int", "long", "unsigned long",
    "long long", "unsigned long long", "_Bool", "float", "double", "long double",
)] + [
    ("__int128", "__int128", "__SIZEOF_INT128__"),
    ("unsigned __int128", "unsigned __int128", "__SIZEOF_INT128__"),
    ("_Float16", "_Float16", "__FLT16_DIG__"),
    ("_Float32", "float", "__FLT32_DIG__"),
    ("_Float64", "double", "__FLT64_DIG__"),
    ("_Float32x", "double", "__FLT32X_DIG__"),
    ("_Float64x", "long double", "__FLT64X_DIG__"),
    ("_Float128", "_Float128", "__FLT128_DIG__"),
]  # fmt: skip
_POINTER, _NO_SCALAR = 0, 255
#: the compiler's macro for the bits of precision of each real type
_DIGITS = {
    "float": "__FLT_MANT_DIG__", "double": "__DBL_MANT_DIG__", "long double": "__LDBL_MANT_DIG__",
    "_Float16": "__FLT16_MANT_DIG__", "_Float128": "__FLT128_MANT_DIG__",
}  # fmt: skip
_SIGNED = {"signed char", "short", "int", "long", "long long", "__int128"}


def find(unit, facts: Facts) -> None:
    """Fill ``facts.constants`` with the macros of ``unit`` that are constants, and ``facts.skipped`` with the others.

    The macro's last definition counts.  One that names a function or a variable, ``#define old_name new_name``, becomes
    a function or variable of that name too.  A real number is given as the nearest float; a pointer such as
    ``MAP_FAILED`` as an unsigned number, with the pointer's type; a pointer to a string literal as the string.
    Raises ``CompilerError`` if the compiler cannot be run.
    """
    _Finder(unit, facts, definitions_of(unit)).find()


class _Finder:
    """One search: ``macros`` are those that count, ``constants`` and ``skipped`` what is found of them."""

    def __init__(self, unit, facts: Facts, definitions: Definitions):
        self.unit, self.facts, self.definitions = unit, facts, definitions
        self.macros: dict[str, Definition] = {
            name: one for name, one in {**definitions.undone, **definitions}.items()
            if one.parameters is None and unit.belongs(one.file)
        }  # fmt: skip
        self.constants: dict[str, Constant] = {}
        self.layouts = Layouts(facts)
        self.skipped: dict[str, Skipped] = {}

    def number(self, macro: str) -> int | None:
        """The value of one of the compiler's own macros, such as ``__SIZEOF_LONG__``."""
        one = self.definitions.get(macro)
        return int(one.body) if one is not None and one.body.isdecimal() else None

    def keep(self, name: str, value: int | float | str | bytes, ctype: str) -> None:
        one = self.macros[name]
        self.constants[name] = Constant(value, ctype, (one.file, one.line))

    def skip(self, name: str, reason: str) -> None:
        one = self.macros[name]
        self.skipped[name] = Skipped("macro", self.unit.files[one.file], one.line, reason)

    def find(self) -> None:
        expressions = self.expressions()
        if expressions:
            types = self.constant_expressions(expressions)
            self.values(expressions, types)
        for name in self.macros:  # in the order of the headers
            if name in self.constants:
                self.facts.constants[name] = self.constants[name]
            elif name in self.skipped:
                self.facts.skipped.setdefault(name, self.skipped[name])

    def expressions(self) -> dict[str, str]:
        """The macros that only the compiler can tell more of, with their expansions."""
        asked = []
        swallow = swallowing(self.definitions)
        for name, one in self.macros.items():
            known = name in self.definitions and name not in self.definitions.restored
            if known and self.literal(name, one.body):
                continue
            if not one.body:
                self.skip(name, "empty")
            elif name in swallow:
                self.skip(name, UNBALANCED)
            else:
                asked.append((name, name))
        found = {}
        for name, text in (expand(self.unit, asked) if asked else {}).items():
            if self.literal(name, text) or self.named(name, text):
                continue
            words = tokens(text)
            reason = objection(words, self.facts.typedefs)
            if reason is None and (strange := unknown(words, self.definitions.names)):
                reason = f"it uses {strange}, which is not declared"
            if reason is None:
                found[name] = text
            else:
                self.skip(name, reason)
        return found

    def literal(self, name: str, text: str) -> bool:
        """Take the macro for an integer literal, if it is one that fits a type."""
        match = _INTEGER.fullmatch(text)
        if match is None or text.count("(") != text.count(")"):
            return False
        hexadecimal, octal, decimal, suffix = match.groups()
        value = int(hexadecimal, 16) if hexadecimal else int(octal, 8) if octal else int(decimal)
        suffix = suffix.lower()
        for word in ("int", "long", "long long")[suffix.count("l"):]:
            size = self.number(f"__SIZEOF_{word.upper().replace(' ', '_')}__")
            if size is None:
                return False
            if "u" not in suffix and value < 1 << 8 * size - 1:
                self.keep(name, value, word)
                return True
            if ("u" in suffix or not decimal) and value < 1 << 8 * size:
                self.keep(name, value, f"unsigned {word}")
                return True
        return False

    def named(self, name: str, text: str) -> bool:
        """Deal with a macro that only names something."""
        other = text.strip("() ")
        facts = self.facts
        if not other.isidentifier():
            return False
        if other == name and name in facts.constants:  # #define RED RED, beside enum { RED }: as it is
            return True
        if other in facts.functions:
            what = "function"
            if name not in facts.functions:
                one = facts.functions[other]
                prototype = re.sub(rf"\b{other}(?=\s*\()", name, one.prototype, count=1)
                place = (self.macros[name].file, self.macros[name].line)
                facts.functions[name] = Function(prototype, one.symbol, one.notes, place)
        elif other in facts.inlines:
            what = "inline function"
        elif other in facts.variables:
            what = "variable"
            if name not in facts.variables:
                one = facts.variables[other]
                declaration = re.sub(rf"(?<!struct )(?<!union )(?<!enum )\b{other}\b", name, one.declaration, count=1)
                place = (self.macros[name].file, self.macros[name].line)
                facts.variables[name] = Variable(declaration, one.symbol, place)
        else:
            return False
        if name not in facts.functions and name not in facts.variables:
            self.skip(name, f"names the {what} {other}")
        return True

    def constant_expressions(self, expressions: dict[str, str]) -> dict[str, str]:
        """Ask which expressions are constant; the others leave.  Returns the types of those that may be no numbers."""
        lines = [self.definitions.plain, probing.NOWHERE]
        for number, text in enumerate(expressions.values()):
            initialized = f"static const __typeof__({text}) value = ({text});"
            lines.append(probing.probe(2 * number + 1, f"void epsilon_macro_{number}(void) {{ {initialized} }}"))
            if _literal_prefix(text) is None and any(kind in ("name", "string") for kind, _ in tokens(text)):
                asked = f"void epsilon_type_{number}(void) {probing.assigned(text)}"
                lines.append(probing.probe(2 * number + 2, asked))
        complaints = probing.complaints_in(probing.words_about(self.unit, "\n".join(lines))).probes
        types = {}
        for number, name in enumerate(list(expressions)):
            if complaint := complaints.get(2 * number + 1):
                self.skip(name, _reason(expressions.pop(name), complaint))
            elif complaint := complaints.get(2 * number + 2):
                types[name] = self.readable(probing.named_type(complaint))
        return types

    def readable(self, ctype: probing.Type | None) -> str:
        """How to write a pointer's type, so that these facts suffice to read it."""
        for text in ctype or ():
            try:
                self.layouts.read(text)
            except ForeignTypeError:
                continue
            return text
        return "void *"

    def values(self, expressions: dict[str, str], types: dict[str, str]) -> None:
        """Compile the constants, and read their values.

        A header with a mistake of its own makes no object file; then it is mended, or else done without.
        """
        plain = self.definitions.plain
        for attempt in range(4):
            if not expressions:
                return
            image, refused = probing.compiled(self.unit, self.variables(plain, expressions))
            if image is not None:
                self.read(image, expressions, types)
                return
            for number, name in reversed(list(enumerate(expressions, 1))):
                if number in refused.probes:
                    self.skip(name, _reason(expressions.pop(name), refused.probes[number]))
            plain = mended(plain, refused.header) if attempt < 2 else ""
        for name in expressions:
            self.skip(name, "the compiler makes nothing of this header")

    def variables(self, plain: str, expressions: dict[str, str]) -> str:
        types = [
            f"{name}: {index}" for index, (name, _, macro) in enumerate(_TYPES, 1)
            if macro is None or macro in self.definitions
        ]  # fmt: skip
        complex_types = [f"{name} _Complex: {_NO_SCALAR}" for name in ("float", "double", "long double")]
        lines = [
            plain,
            f"\n#define epsilon_type(x) _Generic((x), {', '.join(types + complex_types)}, default: {_POINTER})",
        ]
        for number, text in enumerate(expressions.values(), 1):
            value = f"const __typeof__({text}) epsilon_value_{number} = ({text});"
            facts = f"const unsigned epsilon_facts_{number}[] = {{ epsilon_type(({text})), sizeof({text}) }};"
            lines.append(probing.probe(number, f"{value} {facts}"))
        return "\n".join(lines)

    def read(self, image: ObjectFile, expressions: dict[str, str], types: dict[str, str]) -> None:
        order = "little" if image.order == "<" else "big"
        for number, (name, text) in enumerate(expressions.items(), 1):
            facts = image.data(f"epsilon_facts_{number}", 8)
            kind, size = (int.from_bytes(part, order) for part in (facts[:4], facts[4:]))
            symbol = f"epsilon_value_{number}"
            raw = image.data(symbol, size)
            if kind == _NO_SCALAR:
                self.skip(name, "a complex number")
            elif kind:
                spelling = _TYPES[kind - 1][1]
                if spelling in _DIGITS:
                    self.keep(name, real(raw, image.order, self.number(_DIGITS[spelling]) or 0), spelling)
                else:
                    self.keep(name, int.from_bytes(raw, order, signed=self.signed(spelling)), spelling)
            elif prefix := _literal_prefix(text):
                unit = self.number(_UNITS[prefix]) or 1 if prefix in _UNITS else 1
                value = string(raw, image.order, unit)
                self.keep(name, value, f"{_CHARACTERS.get(prefix, 'char')} [{size // unit}]")
            else:
                self.pointer(name, image, symbol, raw, types.get(name, "void *"))

    def pointer(self, name: str, image: ObjectFile, symbol: str, raw: bytes, ctype: str) -> None:
        target = image.target(symbol)
        if target is None:
            if len(raw) != image.pointer_size:
                self.skip(name, "neither a number, a string nor a pointer")
                return
            self.keep(name, int.from_bytes(raw, "little" if image.order == "<" else "big"), ctype)
            return
        found = image.string(target) if re.search(r"\bchar\b|[cC]har \*", ctype) else None
        if found is None:
            self.skip(name, f"the address of {target.name}" if target.name else "the address of something")
        else:
            self.keep(name, string(found + b"\0", image.order, 1), ctype)

    def signed(self, ctype: str) -> bool:
        return ctype in _SIGNED or ctype == "char" and "__CHAR_UNSIGNED__" not in self.definitions


def _literal_prefix(text: str) -> str | None:
    """What a string literal begins with: ``"`` or the letters before it; None for any other expression."""
    words = [word for kind, word in tokens(text) if word not in ("(", ")", "__extension__")]
    if not words or not all(word.endswith('"') for word in words):
        return None
    return next((prefix for prefix in (word.partition('"')[0] for word in words) if prefix), '"')


def _reason(text: str, complaint: str) -> str:
    """Why an expression is no constant, from the compiler's word about it."""
    missing = re.search(r"'(\w+)' undeclared|undeclared identifier '(\w+)'", complaint)
    if missing:
        return f"it uses {missing[1] or missing[2]}, which is not declared"
    if "not constant" in complaint or "not a compile-time constant" in complaint:
        return "not constant"
    if "invalid storage class for function" in complaint or "function declared in block scope" in complaint:
        return f"names the function {text.strip('() ')}"
    if "invalid initializer" in complaint or "array initialize" in complaint:
        return "not a number, a string or a pointer"
    if "expected expression" in complaint or "incomplete type" in complaint:
        return f"names the type {text}" if text.isidentifier() else "a type, or a piece of syntax"
    return f"not a constant expression: {complaint}"
