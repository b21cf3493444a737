"""Function-like macros: the functions that they make once the types of their parameters are known.

They are given by the user, or told (``evidence``).  The result's type is the compiler's word; a statement, such as
``do { … } while (0)``, has none.  What cannot be told or does not compile is skipped with the reason.
"""

from __future__ import annotations

import re
from collections import namedtuple
from collections.abc import Sequence

from epsilon.errors import ForeignTypeError, HeaderError, nearest
from epsilon.headers import evidence, probing
from epsilon.headers.definitions import Definition, Definitions
from epsilon.headers.evidence import Unclear, placeholder
from epsilon.headers.facts import Facts, Function, Skipped
from epsilon.headers.macro_text import (
    ATTRIBUTES,
    BASIC_TYPES,
    QUALIFIERS,
    STORAGE,
    STRAY,
    UNBALANCED,
    balanced,
    expand,
    swallowing,
    tokens,
    unknown,
)
from epsilon.headers.probing import Type, declared
from epsilon.headers.proof import Layouts
from epsilon.headers.wrapper_library import EXPORTED

#: what is found of a macro: its row of ``facts.macros``, and the line of C that defines the wrapper
Wrapper = namedtuple("Wrapper", ["function", "line"])

_GIVEN = re.compile(r"[\w\s*()\[\],]+")
_DECLARING = BASIC_TYPES | STORAGE | ATTRIBUTES | QUALIFIERS - {"__extension__"} | {"typedef", "_Static_assert"}
_STATEMENTS = frozenset(("do", "if", "for", "while", "switch", "{", "asm", "__asm__", "__asm"))
#: of a value, not of what it points to: clang names it, and a result has none (C11 §6.7.6.3p5)
_QUALIFIED = re.compile(r"^(?:(?:const|volatile) )+(?!.*[*\]])")
_PASTES = "it pastes its arguments' text"
_LEAVING = frozenset(("return", "goto", "case", "default"))
_DECLARING = BASIC_TYPES | STORAGE | ATTRIBUTES | QUALIFIERS - {"__extension__"} | {"typedef", "_Static_assert"}
_STATEMENTS = frozenset(("do", "if", "for", "while", "switch", "{", "asm", "__asm__", "__asm"))
#: of a value, not of what it points to: clang names it, and a result has none (C11 §6.7.6.3p5)
_QUALIFIED = re.compile(r"^(?:(?:const|volatile) )+(?!.*[*\]])")
_PASTES = "it pastes its arguments' text"
_LEAVING = frozenset(("return", "goto", "case", "default"))


def find(unit, facts: Facts, definitions: Definitions, prefix: str) -> dict[str, Wrapper]:
    """The macros of ``unit`` that functions can be made of; ``prefix`` and the name make the wrapper's symbol.

    ``HeaderError`` if ``unit.request.macros`` gives types for what is no such macro, or too few of them.
    """
    return _Finder(unit, facts, definitions, prefix).find()


class _Finder:
    """One search: ``macros`` are those that count, ``types`` the parameters' types where they are known."""

    def __init__(self, unit, facts: Facts, definitions: Definitions, prefix: str):
        self.unit, self.facts, self.definitions, self.prefix = unit, facts, definitions, prefix
        self.macros: dict[str, Definition] = {
            name: one for name, one in definitions.items()
            if one.parameters is not None and unit.belongs(one.file)
            and name not in facts.functions and name not in facts.inlines and unit.request.wants(name)
        }  # fmt: skip
        self.types: dict[str, tuple[str, ...]] = {}
        self.layouts = Layouts(facts)

    def find(self) -> dict[str, Wrapper]:
        self.given()
        texts = self.expansions()
        if not texts:
            return {}
        self.told(texts)
        return self.wrappers(texts)

    def skip(self, name: str, reason: str) -> None:
        one = self.macros[name]
        self.facts.skipped.setdefault(name, Skipped("macro", self.unit.files[one.file], one.line, reason))

    def given(self) -> None:
        """Take the types that the user gives; such a macro counts wherever it stands."""
        for name, types in self.unit.request.macros:
            one = self.definitions.get(name)
            if one is None or one.parameters is None:
                known = [other for other, found in self.definitions.items() if found.parameters is not None]
                what = "no macro with parameters" if one is not None else "not defined there"
                raise HeaderError(f"macros: {name} is {what}{nearest(name, known)}")
            for text in types:
                if not _GIVEN.fullmatch(text) or not balanced(tokens(text)):
                    raise HeaderError(f"macros: {name}: a C type is wanted, not {text!r}")
            if len(types) < len(_named(one)) or len(types) > len(_named(one)) and not _variadic(one):
                wanted = f"{len(_named(one))}{' or more' if _variadic(one) else ''}"
                raise HeaderError(f"macros: {name} has {wanted} parameters, and {len(types)} types are given")
            self.macros[name] = one
            self.types[name] = tuple(types)

    def expansions(self) -> dict[str, str]:
        """The macros that can be used as functions, with what they stand for, placeholders for the arguments."""
        swallow = swallowing(self.definitions)
        asked = []
        for name, one in self.macros.items():
            if not one.body:
                self.skip(name, "empty")
            elif name in swallow:
                self.skip(name, UNBALANCED)
            elif "#" in one.body and any(word == "#" for _, word in tokens(one.body)):
                self.skip(name, _PASTES)
            elif _variadic(one) and name not in self.types:
                self.skip(name, f"it takes any number of arguments: say macros={{{name!r}: [type, …]}}")
            else:
                count = len(self.types.get(name, one.parameters))
                asked.append((name, f"{name}({', '.join(map(placeholder, range(count)))})"))
        found = {}
        for name, text in (expand(self.unit, asked, places=True) if asked else {}).items():
            words = tokens(text)
            reason = self.objection(words)
            if reason is None:
                found[name] = text
            else:
                self.skip(name, reason)
        return found

    def objection(self, words: Sequence[tuple[str, str]]) -> str | None:
        """Why an expansion is no function's body."""
        if not words:
            return "empty"
        names = {word for kind, word in words if kind == "name"}
        if STRAY & {word for kind, word in words if kind == "other"} or words[0][1] == "<":
            return "a piece of syntax, not an expression"
        if not balanced(words):
            return UNBALANCED
        if names & ATTRIBUTES:
            return "an attribute"
        if words[0][1] in _DECLARING or words[0][1] in self.facts.typedefs:
            return "a type or a declaration, not an expression"
        if leaving := names & _LEAVING:
            return f"it uses {min(leaving)}, which has no place in a function of its own"
        if any("epsilon_p" in name and not evidence.is_placeholder(name) for name in names):
            return _PASTES
        if any(word == "{" for _, word in words):  # it may declare names of its own
            return None
        others = [one for one in words if not evidence.is_placeholder(one[1])]
        strange = unknown(others, self.definitions.names)
        return f"it uses {strange}, which is not declared" if strange else None

    def told(self, texts: dict[str, str]) -> None:
        """Tell the parameters' types of what is left; what has no answer leaves."""
        asked = {name: text for name, text in texts.items() if name not in self.types}
        counts = {name: len(self.macros[name].parameters) for name in asked}
        bodies = {name: _body(text) for name, text in asked.items()}
        for name, types in evidence.gather(self.unit, self.facts, self.definitions, asked, counts, bodies).items():
            if isinstance(types, Unclear):
                reason = types.reason.replace("%s", self.macros[name].parameters[types.parameter])
                self.skip(name, f"{reason}; its parameters' types can be given (macros)")
                del texts[name]
            else:
                self.types[name] = tuple(types)

    def wrappers(self, texts: dict[str, str]) -> dict[str, Wrapper]:
        """Ask for the results' types, and make the functions."""
        lines = [self.definitions.plain, probing.NOWHERE]
        for number, (name, text) in enumerate(texts.items(), 1):
            body = _body(text) if _is_statement(text) else probing.assigned(text)
            lines.append(probing.probe(number, f"void epsilon_macro_{number}({self.parameters(name)}) {body}"))
        said = probing.words_about(self.unit, "\n".join(lines), probing.STRICT, loud=True)
        complaints = probing.complaints_in(said).probes
        found = {}
        for number, (name, text) in enumerate(texts.items(), 1):
            complaint = complaints.get(number)
            result = Type("void", "void") if complaint is None else probing.named_type(complaint)
            if result is None:
                self.skip(name, f"it does not compile: {complaint}")
                continue
            result = Type(*(_QUALIFIED.sub("", text) for text in result))
            if (function := self.function(name, result)) is not None:
                found[name] = Wrapper(function, self.line(name, text, result))
        return found

    def parameters(self, name: str, names: Sequence[str] | None = None) -> str:
        """A macro's parameters in C, under their own names or placeholders."""
        types = self.types[name]
        names = names or [placeholder(index) for index in range(len(types))]
        return ", ".join(map(declared, types, names)) or "void"

    def function(self, name: str, result: Type) -> Function | None:
        """The row of ``facts.macros``, if these facts suffice to read it."""
        one = self.macros[name]
        names = [self.parameter_name(one, index) for index in range(len(self.types[name]))]
        reason = ""
        for spelled in dict.fromkeys(result):
            prototype = declared(spelled, f"{name}({self.parameters(name, names)})")
            try:
                self.layouts.read(prototype)
            except ForeignTypeError as error:
                reason = reason or f"its type cannot be read: {error}"
                continue
            return Function(prototype, self.prefix + name, (), (one.file, one.line))
        self.skip(name, reason)
        return None

    def parameter_name(self, one: Definition, index: int) -> str:
        name = one.parameters[index] if index < len(one.parameters) else ""
        taken = name in _DECLARING or name in self.facts.typedefs or not name.isidentifier()
        return f"arg{index + 1}" if taken else name

    def line(self, name: str, text: str, result: Type) -> str:
        body = _body(text) if result.spelled == "void" else f"{{ return ({text}); }}"
        return f"{EXPORTED} {declared(result.spelled, f'{self.prefix}{name}({self.parameters(name)})')} {body}"


def _variadic(one: Definition) -> bool:
    return bool(one.parameters) and one.parameters[-1].endswith("...")


def _named(one: Definition) -> tuple[str, ...]:
    """The parameters but for the ``...``."""
    return one.parameters[:-1] if _variadic(one) else one.parameters


def _is_statement(text: str) -> bool:
    """Whether an expansion is one statement or several, and no expression."""
    words = tokens(text)
    depth = 0
    for kind, word in words:
        if kind == "other":
            depth += (word in ("(", "[", "{")) - (word in (")", "]", "}"))
            if word == ";" and depth == 0:
                return True
    return bool(words) and words[0][1] in _STATEMENTS


def _body(text: str) -> str:
    """A function's body that does what an expansion says, and returns nothing."""
    return f"{{ {text}; }}"
