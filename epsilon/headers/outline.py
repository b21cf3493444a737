"""What a module of bindings holds, in which order and under which names: what the writers of Hy and Python share.

Every type is read here once with names of its own standing for the typedefs, so that what is written says ``sqlite3 *``
as the header does.  What a plain module cannot have is left out, with the reason.
"""

from __future__ import annotations

import functools
import keyword
import re
from collections import ChainMap, namedtuple
from collections.abc import Callable, Iterator, Sequence
from textwrap import shorten
from typing import Any

from epsilon.bodies import Body, parse_body
from epsilon.declarator import RESERVED, Names, Reader
from epsilon.errors import ForeignError, ForeignTypeError
from epsilon.expressions import compound_types
from epsilon.headers.comments import comment_at
from epsilon.headers.facts import Facts
from epsilon.typesystem import TYPEDEFS, VOID, WORDS, Array, CType, FunctionPointer, FunctionType, Pointer
from epsilon.typesystem.enumerations import underlying
from epsilon.typesystem.uncarried import EXTENDED, Uncarried

#: ``text`` is the type that the typedef stands for, None of ``typedef struct name name``; ``record`` is the variable of
#: the struct that it names, or None
Alias = namedtuple("Alias", ["name", "variable", "type", "record"])
#: ``members`` are those of ``bodies.Body``; ``row`` is the record of the facts
Structure = namedtuple("Structure", ["variable", "kind", "tag", "body", "row"])
Enumerated = namedtuple("Enumerated", ["variable", "tag", "values", "type"])
#: ``doc`` is the first paragraph of the header's comment, or an empty str
Bound = namedtuple("Bound", ["variable", "name", "symbol", "library", "result", "parameters", "variadic", "doc"])
Global = namedtuple("Global", ["variable", "name", "symbol", "library", "type", "const"])
Value = namedtuple("Value", ["variable", "name", "value"])

#: functions beyond this many are declared in blocks, and each is read when it is first asked for
MOST = 500
#: words that a module of bindings has for itself
_OWN = ("epsilon", "hy")


class Outline:
    """The parts of a module, each a list in the headers' order."""

    def __init__(self) -> None:
        self.opaque: list[Alias] = []  #: structs that a typedef names, by their own name
        self.types: list[Any] = []  #: structs, enums and aliases, each after those that it rests on
        self.functions: list[Bound] = []
        self.variables: list[Global] = []
        self.constants: list[Value] = []
        #: what is left out: a reason → names
        self.left_out: dict[str, list[str]] = {}

    def leave_out(self, name: str, reason: str) -> None:
        self.left_out.setdefault(reason, []).append(name)


class Standing(CType):
    """Stands for a typedef, or a struct by its tag: its C text is its name."""

    __slots__ = ("kind", "name")

    def setup(self, kind: str, name: str) -> None:
        self.kind, self.name = kind, name
        self.code, self.size, self.alignment = "s", 1, 1

    def declare(self, inner: str = "") -> str:
        return f"{self.kind} {self.name} {inner}" if self.kind else f"{self.name} {inner}"


class Inline(CType):
    """A struct or union without a tag that is defined where it is used."""

    __slots__ = ("body",)

    def __new__(cls, body: Body) -> CType:
        return super().__new__(cls, body._replace(members=tuple(body.members)))

    def setup(self, body: Body) -> None:
        self.body, self.code, self.size, self.alignment = body, "s", 1, 1

    def declare(self, inner: str = "") -> str:
        return f"{definition(self.body)} {inner}"


def definition(body: Body) -> str:
    """A struct's definition in C, on one line."""
    tag = f"{body.tag} " if body.tag else ""
    members = " ".join(f"{member_text(member)};" for member in body.members)
    return f"{body.kind} {tag}{{ {members} }}{attributes(body.packed, body.align if body.align > 1 else None)}"


def member_text(member: Any) -> str:
    """One member in C."""
    bits = "" if member.bits is None else f" : {member.bits}"
    return member.ctype.declare(member.name or "").rstrip() + bits + attributes(member.packed, member.align)


def attributes(packed: bool, align: int | None) -> str:
    asked = ["packed"] * bool(packed) + ([f"aligned({align})"] if align else [])
    return f" __attribute__(({', '.join(asked)}))" if asked else ""


class _Names(Names):
    """The typedefs of the facts as types that go by their names."""

    def __init__(self, facts: Facts):
        self.facts = facts
        self.typedefs = ChainMap(_Typedefs(self), TYPEDEFS)
        self.constant_typedefs: set[str] = set()
        self.enums = _Enums(self)

    def struct(self, kind: str, tag: str) -> CType:
        return Standing(kind, tag)

    def constant(self, reader: Reader, name: str, value: int) -> None:
        """Known to the facts already."""

    def enum(self, reader: Reader, tag: str | None, values: dict[str, int]) -> CType:
        found = underlying(values.values()) if values else None
        if found is None:
            raise reader.error("an enum without constants", tag)
        return found

    def read(self, text: str) -> tuple[str | None, CType, tuple, bool]:
        reader = Reader(text, Inline, self)
        reader.accept("typedef")
        name, found, names = reader.declaration()
        return name, found, names, reader.const


class _Typedefs(dict):
    """Typedef name → what stands for it: its name; of an enum its integer type; of a name that cannot be defined what
    it means."""

    def __init__(self, names: _Names):
        self.names = names

    def __missing__(self, name: str) -> CType:
        if name not in self.names.facts.typedefs or name in TYPEDEFS:
            raise KeyError(name)
        declaration = self.names.facts.typedefs[name].declaration
        found = self.names.read(declaration)[1]
        never = found is VOID or found is EXTENDED["__builtin_va_list"]
        written_out = never or is_reserved(name) or _is_enum(self.names.facts, declaration)
        made = self[name] = found if written_out else Standing("", name)
        return made

    def __contains__(self, name: object) -> bool:
        return name in self.names.facts.typedefs and name not in TYPEDEFS


def _is_enum(facts: Facts, declaration: str) -> bool:
    """Whether a typedef names an enum, or another name of one."""
    words = declaration.split()
    if len(words) > 1 and words[1] == "enum":
        return True
    through = words[1] if len(words) == 3 and words[1] in facts.typedefs else None
    return through is not None and _is_enum(facts, facts.typedefs[through].declaration)


class _Enums(dict):
    """The integer types of enums, by tag."""

    def __init__(self, names: _Names):
        self.names = names

    def get(self, tag: str, default: Any = None) -> Any:
        enum = self.names.facts.enums.get(tag)
        return default if enum is None else self.names.read(enum.type)[1]


def is_reserved(name: str) -> bool:
    """Whether ``define_c_type`` refuses to define the name."""
    spelled = {name, name.replace("_", "-")}
    return name in RESERVED or name in TYPEDEFS or not spelled.isdisjoint((*WORDS, *compound_types))


class Outliner:
    """Makes the outline of some facts."""

    def __init__(self, facts: Facts, libraries: Sequence[Any], prefixes: Sequence[str] = ()):
        self.facts, self.libraries, self.prefixes = facts, list(libraries), tuple(prefixes)
        self.names = _Names(facts)
        self.outline = Outline()
        self.ordinary = {name for table in (facts.functions, facts.variables, facts.constants) for name in table}
        self._done: dict[str, str | None] = {}  #: type → why it is left out, or None
        self._busy: set[str] = set()

    def make(self) -> Outline:
        outline, facts = self.outline, self.facts
        inline = [name for name, row in facts.skipped.items() if row.kind == "inline function"]
        macros = [name for name, row in facts.skipped.items() if row.kind == "macro" and _takes_arguments(name, row)]
        for what, names in (
            ("inline functions", [*facts.inlines, *inline]), ("function-like macros", [*facts.macros, *macros])
        ):  # fmt: skip
            for name in names:
                outline.leave_out(name, f"{what}: they need a compiler, which import-header asks")
        for name, row in facts.typedefs.items():
            if row.place[0] in facts.own:
                self.typedef(name)
        for key in facts.records:
            self.own_record(key)
        for tag, row in facts.enums.items():
            if row.place[0] not in facts.own:
                continue
            outline.types.append(Enumerated(self.variable(tag, "enum_"), tag, row.values, self.names.read(row.type)[1]))
        for name, row in facts.functions.items():
            self.attempt(name, lambda name=name, row=row: self.function(name, row))
        for name, row in facts.variables.items():
            self.attempt(name, lambda name=name, row=row: self.global_variable(name, row))
        for name, row in facts.constants.items():
            outline.constants.append(Value(self.short(name), name, row.value))
        for name, row in facts.skipped.items():
            if row.kind not in ("macro", "inline function"):  # most macros are no constants
                outline.leave_out(name, f"{row.kind}: {row.reason}")
        return outline

    def attempt(self, name: str, make: Callable[[], None]) -> None:
        try:
            make()
        except ForeignError as error:
            self.outline.leave_out(name, error.args[0])

    # --- names ---

    def short(self, name: str) -> str:
        """The name in the module of a function, a variable or a constant: without the prefix, and no keyword."""
        prefix = next((one for one in self.prefixes if name.startswith(one)), "")
        short = name[len(prefix) :]
        if prefix and short.isidentifier() and short not in self.ordinary and not self.is_type(short):
            name = short
        return plain(name)

    def is_type(self, name: str) -> bool:
        facts, tags = self.facts, {f"struct {name}", f"union {name}"}
        return name in facts.typedefs or name in facts.enums or not tags.isdisjoint(facts.records)

    def variable(self, tag: str, before: str) -> str:
        """The name in the module of a struct or an enum: its tag, unless something else is called so."""
        return plain(before + tag if tag in self.ordinary else tag)

    # --- types ---

    def need(self, *types: CType) -> None:
        """See that what a declaration rests on is defined before it; ``ForeignTypeError`` where it is left out."""
        for standing in (each for found in types for each in mentioned(found)):
            if standing.kind:
                continue  # a pointer to it: the tag is enough
            self.typedef(standing.name)
            if self._done.get(standing.name):
                raise ForeignTypeError(f"it needs {standing.name}, which is left out")
        for found in types:
            self.need_value(_element(found))

    def need_value(self, found: CType) -> None:
        """Of a struct that lies in another or is passed by value, the members must be known."""
        if isinstance(found, Inline):
            for member in found.body.members:
                self.need_value(_element(member.ctype))
        elif isinstance(found, Standing) and found.kind:
            key = f"{found.kind} {found.name}"
            self.record(key)
            if key not in self.facts.records or self.facts.records[key].definition is None:
                raise ForeignTypeError(f"{key} is opaque")
            if self._done.get(key):
                raise ForeignTypeError(f"it needs {key}, which is left out")
        elif isinstance(found, Uncarried) and found.name.startswith("struct "):
            raise ForeignTypeError(f"it holds a {found.name}, which the compiler alone knows")
        elif isinstance(found, Standing):
            self.need_value(_element(self.names.read(self.facts.typedefs[found.name].declaration)[1]))

    def need_carried(self, found: CType) -> None:
        """Refuse a type whose values Python has none for: it cannot be passed, and binding it would fail."""
        if isinstance(found, Uncarried):
            raise ForeignTypeError(f"what Python cannot carry: {found.name}")
        for member in found.body.members if isinstance(found, Inline) else ():
            self.need_carried(_element(member.ctype))
        if isinstance(found, Standing) and not found.kind:
            self.need_carried(self.names.read(self.facts.typedefs[found.name].declaration)[1])
        elif isinstance(found, Standing) and self.is_defined(f"{found.kind} {found.name}"):
            body = parse_body(self.facts.records[f"{found.kind} {found.name}"].definition, Inline, self.names)
            for member in body.members:
                self.need_carried(_element(member.ctype))

    def typedef(self, name: str) -> None:
        if name in self._done or name in self._busy or name in TYPEDEFS:
            return
        self._busy.add(name)
        try:
            self._done[name] = None
            self._typedef(name)
        except ForeignError as error:
            self._done[name] = error.args[0]
            self.outline.leave_out(name, error.args[0])
        finally:
            self._busy.discard(name)

    def _typedef(self, name: str) -> None:
        found = self.names.read(self.facts.typedefs[name].declaration)[1]
        if self.names.typedefs[name] is found:
            self.need(found)
            return  # an enum's, or one that is written out wherever it stands
        if isinstance(found, Standing) and found.kind:
            key = f"{found.kind} {found.name}"
            if found.name == name:
                self.outline.opaque.append(Alias(name, plain(name), None if found.kind == "struct" else found, None))
            self.own_record(key)
            if found.name != name:
                there = key in self._done and self._done[key] is None
                record = self.variable(found.name, f"{found.kind}_") if there else None
                self.outline.types.append(Alias(name, plain(name), found, record))
            return
        if isinstance(found, Standing):
            self.typedef(found.name)
        else:
            found = self.plain(found, True)
            self.need(found)
        self.outline.types.append(Alias(name, plain(name), found, None))

    def is_defined(self, key: str) -> bool:
        return key in self.facts.records and self.facts.records[key].definition is not None

    def own_record(self, key: str) -> None:
        """A struct of the headers that were named; one of others counts where it lies in another or goes by value."""
        if key in self.facts.records and self.facts.records[key].place[0] in self.facts.own:
            self.record(key)

    def record(self, key: str) -> None:
        if not self.is_defined(key) or key in self._done or key in self._busy:
            return
        self._busy.add(key)
        row = self.facts.records[key]
        try:
            kind, tag = key.split()
            body = parse_body(row.definition, Inline, self.names)
            body = body._replace(tag=tag, members=tuple(map(self.plain_member, body.members)))
            self.need(*(member.ctype for member in body.members))
            self.outline.types.append(Structure(self.variable(tag, f"{kind}_"), kind, tag, body, row))
            self._done[key] = None
        except ForeignError as error:
            self._done[key] = error.args[0]
            self.outline.leave_out(key, error.args[0])
        finally:
            self._busy.discard(key)

    def plain_member(self, member: Any) -> Any:
        """A member, in whose type a struct that is defined goes by its tag: its typedef comes after it."""
        return member._replace(ctype=self.plain(member.ctype, True))

    def plain(self, found: CType, by_tag: bool = False) -> CType:
        """A type as it is written: pointers to what has no name are pointers to void; and ``by_tag`` structs that are
        defined go by their tags."""
        if isinstance(found, Standing) and not found.kind and by_tag:
            meant = self.names.read(self.facts.typedefs[found.name].declaration)[1]
            struct = isinstance(meant, Standing) and meant.kind and self.is_defined(f"{meant.kind} {meant.name}")
            return meant if struct else found
        if type(found) is Pointer:
            if found.target is EXTENDED["__builtin_va_list"] or isinstance(found.target, Inline):
                return Pointer(VOID, found.const)
            return Pointer(self.plain(found.target, by_tag), found.const)
        if isinstance(found, Array):
            return Array(self.plain(found.target, by_tag), found.length)
        if isinstance(found, FunctionPointer):
            return FunctionPointer(self.plain(found.target, by_tag))
        if isinstance(found, FunctionType):
            parameters = tuple(self.plain(each, by_tag) for each in found.parameters)
            return FunctionType(self.plain(found.result, by_tag), parameters, found.variadic)
        if isinstance(found, Inline):
            return Inline(found.body._replace(members=tuple(map(self.plain_member, found.body.members))))
        return found

    # --- functions and variables ---

    def library_of(self, symbol: str, what: str) -> Any:
        """The library that exports a symbol."""
        if not self.libraries:
            raise ForeignTypeError(f"{what}s: no library was named")
        for library in self.libraries:
            if library.find(symbol) is not None:
                return library
        listed = ", ".join(str(library.name) for library in self.libraries)
        raise ForeignTypeError(f"{what}s that {listed} does not export")

    def function(self, name: str, row: Any) -> None:
        library = self.library_of(row.symbol, "function")
        _, found, names, _ = self.names.read(row.prototype)
        if not isinstance(found, FunctionType):
            raise ForeignTypeError("functions that a typedef declares")
        self.need(found.result, *found.parameters)
        for each in (found.result, *found.parameters):
            self.need_carried(each)
        found = self.plain(found)
        parameters = list(zip(names, found.parameters, strict=True))
        self.outline.functions.append(
            Bound(self.short(name), name, row.symbol, library.name, found.result, parameters, found.variadic,
                  self.comment(row.place))
        )  # fmt: skip

    def comment(self, place: tuple[int, int]) -> str:
        """The first paragraph of the header's comment on what stands there; none where functions are many."""
        if len(self.facts.functions) > MOST:
            return ""
        paragraph = (comment_at(self.facts.files[place[0]], place[1]) or "").split("\n\n")[0]
        return shorten(paragraph, 300, placeholder=" …")

    def global_variable(self, name: str, row: Any) -> None:
        library = self.library_of(row.symbol, "variable")
        _, found, _, const = self.names.read(row.declaration)
        if isinstance(found, Array) and found.length is None:
            raise ForeignTypeError("arrays of unknown length")
        self.need(found)
        self.outline.variables.append(Global(self.short(name), name, row.symbol, library.name, found, const))


def _takes_arguments(name: str, row: Any) -> bool:
    """Whether a macro that was skipped has parameters; of the others, most are empty."""
    try:
        lines = _lines(row.file)
    except OSError:
        return False
    return 0 < row.line <= len(lines) and bool(re.match(rf"\s*#\s*define\s+{name}\(", lines[row.line - 1]))


@functools.lru_cache(maxsize=64)
def _lines(path: str) -> list[str]:
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read().split("\n")


def mentioned(found: CType) -> Iterator[Standing]:
    """All that stands for a name in a type."""
    if isinstance(found, Standing):
        yield found
    elif isinstance(found, Inline):
        for member in found.body.members:
            yield from mentioned(member.ctype)
    else:
        for part in _parts(found):
            yield from mentioned(part)


def _parts(found: CType) -> tuple[CType, ...]:
    """The types that a type is made of."""
    if isinstance(found, FunctionType):
        return (found.result, *found.parameters)
    return (found.target,) if isinstance(found, (Array, FunctionPointer, Pointer)) else ()


def prototype(found: Bound) -> str:
    """The C prototype of a function."""
    parameters = [type.declare(name or "").rstrip() for name, type in found.parameters] + ["..."] * found.variadic
    return found.result.declare(f"{found.symbol}({', '.join(parameters) or 'void'})")


def in_blocks(functions: Sequence[Bound]) -> tuple[dict[str, list[Bound]], dict[str, str]]:
    """The functions by library, each symbol once, and the names that are not the symbols': name → symbol."""
    blocks: dict[str, dict[str, Bound]] = {}
    names: dict[str, str] = {}
    for found in functions:  # two names may be one symbol's
        blocks.setdefault(found.library, {}).setdefault(found.symbol, found)
        if found.variable != found.symbol:
            names[found.variable] = found.symbol
    return {library: list(by_symbol.values()) for library, by_symbol in blocks.items()}, names


def _element(found: CType) -> CType:
    while isinstance(found, Array):
        found = found.target
    return found


def plain(name: str) -> str:
    """``name``, or with a ``_`` where Python keeps the word for itself."""
    return f"{name}_" if keyword.iskeyword(name) or name in _OWN else name


def wrapped(words: Sequence[str], start: str, width: int = 118) -> list[str]:
    """Words in lines that begin with ``start``."""
    lines, line = [], start
    for word in words:
        if len(line) + len(word) + 1 > width and line != start:
            lines.append(line)
            line = start
        line += f" {word}"
    return [*lines, line] if line != start else lines

