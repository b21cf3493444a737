"""What a source file declares, as a reader of Lisp or Python finds it without running it, and what its types mean."""

from __future__ import annotations

import re
from collections import ChainMap, namedtuple
from collections.abc import Callable, Sequence
from typing import Any

from epsilon.bodies import Body, parse_body
from epsilon.declarator import Names, Reader, parse_type
from epsilon.errors import ForeignTypeError
from epsilon.expressions import ctype, plain_word
from epsilon.headers.comparing import Unresolved
from epsilon.headers.fact_types import apart, built
from epsilon.layout import rules_of
from epsilon.typesystem import TYPEDEFS, WORDS, CType, FunctionType, StructCType, filled, linked, way_of
from epsilon.typesystem.enumerations import Enumeration, underlying

#: Where something stands in a file: line and column, both counted from 1.
Spot = namedtuple("Spot", ["line", "column"])

#: ``type`` is a ``FunctionType``; ``spots`` are those of its parts: of the parameters by index, and ``"result"``.
#: ``library`` is what the file calls it, ``headers`` are those that the form itself names.
Function = namedtuple("Function", ["name", "symbols", "library", "type", "parameters", "spot", "spots", "headers"])
#: ``ctype`` is None where something in it is not known, which ``reason`` says
Record = namedtuple("Record", ["name", "ctype", "spot", "spots", "headers", "reason"])
#: ``constants`` are ``(name, value)`` pairs
Enum = namedtuple("Enum", ["name", "constants", "base", "spot", "spots"])
Variable = namedtuple("Variable", ["name", "symbol", "library", "ctype", "spot"])
#: ``uses`` are ``(function, index)`` pairs: the parameters that it is passed as
Callback = namedtuple("Callback", ["name", "type", "spot", "spots", "uses"])
#: What cannot be understood, and would not work either.
Broken = namedtuple("Broken", ["name", "spot", "reason"])


class Name:
    """A variable in a type expression."""

    __slots__ = ("name",)

    def __init__(self, name: str):
        self.name = name

    def __repr__(self) -> str:
        return self.name


class Source(Names):
    """What one file declares, in order, and what the types that it names mean so far."""

    def __init__(self) -> None:
        self.found: list[Any] = []
        #: name → type: aliases, structs, enums, opaque types
        self.named: dict[str, CType] = {}
        self.typedefs = ChainMap(self.named, TYPEDEFS)
        self.constant_typedefs: set[str] = set()
        self.constants: dict[str, int] = {}
        self.enums: dict[str, CType] = {}
        self.signatures: dict[str, FunctionType] = {}
        #: variable → the function or callback that it holds
        self.functions: dict[str, Function] = {}
        self.callbacks: dict[str | Spot, Callback] = {}  # one without a variable by its spot
        self._structs: dict[tuple[str, str], StructCType] = {}

    # --- what names mean: ``declarator.Names`` ---

    def struct(self, kind: str, tag: str) -> StructCType:
        found = self._structs.get((kind, tag))
        if found is None:
            known = self.named.get(tag)
            found = known if isinstance(known, StructCType) and known.kind == kind else apart(kind, tag)
            self._structs[kind, tag] = found
        return found

    def constant(self, reader: Reader, name: str, value: int) -> None:
        self.constants[name] = value

    def enum(self, reader: Reader, tag: str | None, values: dict[str, int]) -> CType:
        base = underlying(values.values()) if values else None
        if base is None:
            raise reader.error("an enum has at least one constant", tag)
        found = Enumeration(tag or "(unnamed)", tuple(values.items()), base, False)
        if tag is not None:
            self.enums[tag] = found
        return found

    def define(self, body: Body) -> StructCType:
        """The type of a struct that is defined here, of which pointers to it may be known already."""
        if body.tag is None:
            return built(body)
        own = self.struct(body.kind, body.tag)
        if own.fields is not None:
            own = self._structs[body.kind, body.tag] = apart(body.kind, body.tag)
        return built(body, own)

    # --- types ---

    def resolve(self, expression: Any) -> CType:
        """The type that an expression of words, tuples and :class:`Name` means in this file; ``ForeignTypeError`` for
        one that has no meaning anywhere."""
        if isinstance(expression, CType):
            return expression
        if isinstance(expression, Name):
            return self.named.get(expression.name) or Unresolved(expression.name)
        if isinstance(expression, str):
            return self._text(expression)
        if not isinstance(expression, (tuple, list)) or not expression:
            raise ForeignTypeError(f"{expression!r} is no type")
        head = expression[0]
        if not isinstance(head, str):
            return self.resolve(head) if len(expression) == 1 else Unresolved(repr(head))
        return self._compound(plain_word(head), list(expression[1:]))

    def _text(self, text: str) -> CType:
        bare = text.strip().lstrip("':")
        word = plain_word(bare)
        name = bare.replace("-", "_")
        if word in WORDS:
            return WORDS[word]
        found = TYPEDEFS.get(bare) or self.named.get(name)
        if found is not None:
            return found
        if name.isidentifier() and name not in ("signed", "unsigned", "_Bool"):
            return self._structs.get(("struct", name)) or Unresolved(name)
        return parse_type(bare, self)

    def _compound(self, head: str, rest: list) -> CType:
        if head == "quote" and len(rest) == 1:
            return self.resolve(rest[0])
        if head in ("struct", "union", "enum", "flags") and rest:
            name = rest[0].name if isinstance(rest[0], Name) else str(rest[0]).lstrip("':")
            name = name.replace("-", "_")
            if head in ("struct", "union"):
                known = self.named.get(name)
                return known if isinstance(known, StructCType) else self.struct(head, name)
            return self.named.get(name) or self.enums.get(name) or Unresolved(name)
        if head in ("pointer", "in", "out", "inout", "give", "keep", "array") and rest:
            rest[0] = self.resolve(rest[0])
            if isinstance(rest[0], StructCType) and rest[0].size is None and head != "pointer":
                rest[0] = Unresolved(rest[0].tag)
            if head == "array" and len(rest) > 1 and isinstance(rest[1], Name):
                return Unresolved(f"array of {rest[1]} elements")
        elif head == "function" and rest:
            rest[0] = self.resolve(rest[0])
            if len(rest) > 1 and isinstance(rest[1], (tuple, list)):
                rest[1] = [each if each == "..." else self.resolve(each) for each in rest[1]]
        return ctype((head, *(_without_names(each) for each in rest)))

    def function_type(self, result: Any, parameters: Any, names: Sequence[str | None] = ()) -> FunctionType:
        """The type of a function of these type expressions."""
        items = list(parameters)
        if len(items) == 2 and items[0] == "quote":
            items = list(items[1])
        variadic = bool(items) and items[-1] in ("...", Ellipsis)
        types = [self.resolve(each) for each in (items[:-1] if variadic else items)]
        return FunctionType(self.resolve(result), linked(tuple(types), names), variadic)


    # --- C text ---

    def read_block(self, text: str, library: str, where: Callable[[int, int], Spot], headers: tuple[str, ...]) -> None:
        """Find what a block of C declarations declares; ``where`` tells the spot of a line and a column of it."""
        for declaration, line, column in pieces(text):
            spot = where(line, column)
            try:
                self._read_declaration(declaration, library, spot, headers)
            except ForeignTypeError as error:
                self.found.append(Broken("", spot, error.args[0]))

    def _read_declaration(self, declaration: str, library: str, spot: Spot, headers: tuple[str, ...]) -> None:
        reader = Reader(declaration, self.define, self)
        anonymous = _ANONYMOUS.match(declaration)
        if anonymous:
            reader.tokens.insert(2, anonymous[2])
        is_typedef = reader.accept("typedef")
        base, const = reader.specifiers()
        if "{" in declaration:
            if isinstance(base, StructCType):
                self.found.append(Record(base.tag, base, spot, {}, headers, ""))
            elif isinstance(base, Enumeration):
                self.found.append(Enum(base.tag, list(base.constants), None, spot, {}))
        while reader.peek():
            name, found, names = reader.declarator(base, const)
            if name is None:
                raise reader.error("a name is wanted here", reader.peek() or "the end")
            if is_typedef:
                self.named[name] = found
                if reader.const and not found.is_pointer:
                    self.constant_typedefs.add(name)
            elif isinstance(found, FunctionType):
                self.add_function(Function(name, (name,), library, found, names, spot, {}, headers))
            else:
                self.found.append(Variable(name, name, library, found, spot))
            if not reader.accept(","):
                break
        reader.end()

    def add_function(self, function: Function, variable: str | None = None) -> None:
        self.found.append(function)
        self.functions[variable or function.name] = function

    def read_record(self, text: str, tag: str, packed: Any = None, align: Any = None) -> StructCType:
        """The struct that C text defines, which is called ``tag`` where the text has no name for it."""
        body = parse_body(text, self.define, self)
        asked = rules_of(tag, packed, align)
        return self.define(
            body._replace(
                tag=body.tag or tag,
                packed=body.packed or asked.packed,
                pack=asked.pack or body.pack,
                align=max(body.align, asked.align),
            )
        )


_ANONYMOUS = re.compile(r"typedef (struct|union) ?\{.*\} ?([^\W\d]\w*)", re.S)
_COMMENT = re.compile(r"/\*.*?\*/|//[^\n]*", re.S)
_BREAK = re.compile(r"[{};]")


def pieces(text: str) -> list[tuple[str, int, int]]:
    """The declarations in C text, each with the line and the column of its first token, counted from 0.

    >>> pieces("int a;  /* and */\\n int f(void);")
    [('int a', 0, 0), ('int f(void)', 1, 1)]
    """
    plain = _COMMENT.sub(lambda found: re.sub(r"[^\n]", " ", found[0]), text)
    found, start, depth = [], 0, 0
    for mark in [*_BREAK.finditer(plain), None]:
        if mark is not None:
            depth += {"{": 1, "}": -1, ";": 0}[mark[0]]
            if mark[0] != ";" or depth > 0:
                continue
        part = plain[start : len(plain) if mark is None else mark.start()]
        begin = start + len(part) - len(part.lstrip())
        if part.strip():
            line = plain.count("\n", 0, begin)
            found.append((" ".join(part.split()), line, begin - plain.rfind("\n", 0, begin) - 1))
        if mark is not None:
            start, depth = mark.end(), 0
    return found


def _without_names(option: Any) -> Any:
    """The options of a type without those whose value only run time knows."""
    if isinstance(option, dict):
        return {name: "free" if isinstance(value, Name) else value for name, value in option.items()
                if not isinstance(value, Name) or name == "free"}  # fmt: skip
    return option


def passed(function: FunctionType) -> list[int]:
    """The parameters that a caller passes, as indices: not those that C fills, nor the lengths of arrays."""
    counted = filled(function.parameters)
    return [
        index
        for index, found in enumerate(function.parameters)
        if index not in counted and way_of(found) != "out"
    ]
