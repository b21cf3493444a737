"""Bindings: a block of C declarations, read without a compiler or a header.

``Library.declare`` reads the block with the declarator, one declaration after the other.  A :class:`Block` is what
the names in it mean meanwhile: its typedefs and enum constants are its own, while a struct's tag is known everywhere,
as those that ``define_c_struct`` makes are.  The user gets ``tables.Bindings``.
"""

from __future__ import annotations

import re
from _thread import RLock
from collections import ChainMap
from collections.abc import Mapping
from types import MappingProxyType

from epsilon.bodies import Body
from epsilon.declarator import Names, Reader
from epsilon.enums import EnumType
from epsilon.errors import ForeignTypeError, shorten
from epsilon.functions import read_declaration
from epsilon.options import OF_ONE, check_option_names, read_options
from epsilon.prototypes import Prototype
from epsilon.struct_definitions import build_body
from epsilon.tables import Bindings, Table
from epsilon.typesystem import (
    NAMED,
    TAGS,
    TYPEDEFS,
    CType,
    FunctionType,
    StructCType,
    new_tagged,
    tagged,
)
from epsilon.typesystem.enumerations import Enumeration, underlying
from epsilon.variables import ForeignVariable, check_variable

TYPE_CHECKING = False  # as in ``typing``, which takes longer to import than all of Epsilon
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_COMMENT = re.compile(r"/\*.*?\*/|//[^\n]*", re.S)
#: what a preprocessor leaves: ``# 1 "stdio.h" 3 4``, ``#line 1 "stdio.h"``
_MARKER = re.compile(r"^[ \t]*#[ \t]*(?:line[ \t]+)?\d[^\n]*", re.M)
_BREAK = re.compile(r"[{};]|^[ \t]*#[^\n]*", re.M)
_PACK = re.compile(r"#[ \t]*pragma[ \t]+pack[ \t]*\(([^()]*)\)")
_DEFINED = re.compile(r"\b(struct|union) ([^\W\d]\w*) ?\{")
#: a struct without a tag, which gets the typedef's name
_ANONYMOUS = re.compile(r"typedef (struct|union) ?\{.*\} ?([^\W\d]\w*)")


#: the tags mean one block's structs while it is read
_lock = RLock()


class Packing:
    """The packing of structs between the lines of ``#pragma pack`` (GCC manual, Structure-Layout Pragmas).

    ``now`` is the number that is in force, 0 for none.
    """

    __slots__ = ("_aside", "now")

    def __init__(self) -> None:
        self.now = 0
        #: what ``push`` has put aside, under its name if it has one
        self._aside: list[tuple[str, int]] = []

    def follow(self, directive: str) -> None:
        """Do what the line ``directive`` says; ``ForeignTypeError`` where it is another, or wrong."""
        found = _PACK.fullmatch(directive)
        if found is None:
            raise ForeignTypeError(
                f"{directive!r} is a header's: it takes the C preprocessor, which is not asked here; "
                f"a constant is declared as enum {{ NAME = VALUE }}"
            )
        action, *words = [word.strip() for word in found[1].split(",")]
        if action not in ("push", "pop"):
            words, action = [action] * bool(action), ""
        number = int(words.pop()) if words and words[-1] in ("0", "1", "2", "4", "8", "16") else None
        name = words.pop() if words and words[-1].isidentifier() and action else ""
        if words or (action == "pop" and number is not None):
            raise ForeignTypeError(f"{directive!r}: pack takes 1, 2, 4, 8 or 16, push with such a number, or pop")
        if action == "push":
            self._aside.append((name, self.now))
            self.now = self.now if number is None else number
        elif action == "pop":
            self._pop(directive, name)
        else:
            self.now = number or 0

    def _pop(self, directive: str, name: str) -> None:
        while self._aside:
            pushed, self.now = self._aside.pop()
            if name in ("", pushed):
                return
        raise ForeignTypeError(f"{directive!r}: there is no push before it")


def split(text: str) -> list[str]:
    """The declarations in ``text``, each without its ``;``, on one line; a struct's packing is on a line before it.

    >>> split("int a; /* and */ struct s { int b; };")
    ['int a', 'struct s { int b; }']
    """
    if not isinstance(text, str):
        raise ForeignTypeError(f"a block of C declarations is a str, not {shorten(text)}")
    plain = _MARKER.sub("", _COMMENT.sub(" ", str(text)))
    packing = Packing()
    parts, start, depth = [], 0, 0
    for mark in _BREAK.finditer(plain):
        directive = mark[0].strip()
        if directive.startswith("#"):
            packing.follow(directive)
            if plain[start : mark.start()].strip():
                raise ForeignTypeError(f"{directive!r} stands within a declaration; it goes before one, or after")
            start = mark.end()
            continue
        depth += {"{": 1, "}": -1, ";": 0}[mark[0]]
        if mark[0] == ";" and depth <= 0:
            parts.append((packing.now, plain[start : mark.start()]))
            start, depth = mark.end(), 0
    parts.append((packing.now, plain[start:]))
    return [_packed(now, " ".join(part.split())) for now, part in parts if part.strip()]


def _packed(now: int, declaration: str) -> str:
    return f"#pragma pack({now})\n{declaration}" if now and "{" in declaration else declaration


class Block(Names):
    """What the names in a block of declarations mean, and all that it declares, by C name."""

    def __init__(self) -> None:
        self.typedefs: ChainMap[str, CType] = ChainMap({}, TYPEDEFS, NAMED)
        self.constant_typedefs: set[str] = set()
        self.constants: dict[str, int] = {}
        self.functions: dict[str, Prototype] = {}
        self.variables: dict[str, tuple[CType, bool]] = {}
        self.structs: dict[str, StructCType] = {}
        self.unions: dict[str, StructCType] = {}
        self.enums: dict[str, CType] = {}
        self.enumerations: dict[str, dict[str, int]] = {}
        self._defined: set[tuple[str, str | None]] = set()

    def read(self, declaration: str) -> None:
        """Read one declaration; ``ForeignTypeError``, which quotes it, where it cannot be read."""
        try:
            self._read(Reader(declaration, self.define, self))
        except ForeignTypeError as error:
            if repr(declaration) in error.args[0]:
                raise
            raise ForeignTypeError(f"cannot read the C declaration {declaration!r}: {error.args[0]}") from error

    def _read(self, reader: Reader) -> None:
        self._name_by_typedef(reader)
        is_typedef = reader.accept("typedef")
        base, const = reader.specifiers()
        if not reader.peek():
            if is_typedef or not {"struct", "union", "enum"}.intersection(reader.tokens):
                raise reader.error("it declares no name")
            if isinstance(base, StructCType):
                self.structures(base.kind).setdefault(base.tag, base)
            return
        while True:
            name, found, names = reader.declarator(base, const)
            if name is None:
                raise reader.error("a name is wanted here", reader.peek() or "the end")
            if is_typedef:
                self._note(reader, self.typedefs.maps[0], name, found)
                if reader.const and not found.is_pointer:
                    self.constant_typedefs.add(name)
            elif isinstance(found, FunctionType):
                self._note(reader, self.functions, name, Prototype(name, found, names))
            else:
                self._note(reader, self.variables, name, (found, reader.const))
            if not reader.accept(","):
                break
        reader.end()

    def _name_by_typedef(self, reader: Reader) -> None:
        """Give ``typedef struct { … } name`` the tag ``name``, as ``define_c_struct_auto`` does."""
        anonymous = _ANONYMOUS.search(reader.text)
        if anonymous and anonymous[2] not in self.structures(anonymous[1]):
            reader.tokens.insert(2, anonymous[2])

    def _note(self, reader: Reader, table: dict, name: str, meaning: Any) -> None:
        """Note what an ordinary identifier means.  C allows saying the same again (C11 §6.7)."""
        for known in (self.functions, self.variables, self.typedefs.maps[0], self.constants):
            if name in known and (known is not table or _essence(known[name]) != _essence(meaning)):
                raise reader.error(f"{name!r} was declared as something else before")
        table.setdefault(name, meaning)

    def structures(self, kind: str) -> dict[str, StructCType]:
        """The block's structs, or its unions."""
        return self.structs if kind == "struct" else self.unions

    def define(self, body: Body) -> CType:
        """The type of a struct or union that is defined here."""
        if body.tag is not None and (body.kind, body.tag) in self._defined:
            raise ForeignTypeError(f"{body.kind} {body.tag} is defined twice")
        found = self.build(body)
        if body.tag is not None:
            self._defined.add((body.kind, body.tag))
            self.structures(body.kind)[body.tag] = found
        return found

    def build(self, body: Body) -> StructCType:
        return build_body(body)

    def constant(self, reader: Reader, name: str, value: int) -> None:
        if name in self.constants:
            raise reader.error(f"{name!r} was declared as something else before")
        self._note(reader, self.constants, name, value)

    def enum(self, reader: Reader, tag: str | None, values: dict[str, int]) -> CType:
        if not values:
            raise reader.error("an enum has at least one constant")
        if tag in self.enumerations:
            raise reader.error(f"enum {tag} is defined twice")
        found = underlying(values.values())
        if found is None:
            raise reader.error("no integer type holds all constants of the enum")
        if tag is not None:
            self.enumerations[tag], self.enums[tag] = values, found
        return found

    def check(self, options: Mapping[str, Any]) -> None:
        """Refuse now what a later use would refuse."""
        for name, (found, _) in self.variables.items():
            check_variable(name, found)
        for name, prototype in self.functions.items():
            _, signature, _ = read_declaration(prototype, None, None, None, options.get("abi", "default"))
            read_options(name, signature, dict(options))


def _essence(meaning: Any) -> Any:
    """What must be equal where a name is declared again: of a function its type, not its parameters' names."""
    return meaning.type if isinstance(meaning, Prototype) else meaning


class Sketch(Block):
    """A block that is only looked at, for mistakes: it defines no struct, and takes unknown ones for known."""

    def struct(self, kind: str, tag: str) -> StructCType:
        return self.structures(kind).get(tag) or self.build(Body(kind, tag, []))

    def build(self, body: Body) -> StructCType:
        found = StructCType(body.kind, body.tag or "anonymous", 0)
        found.size = found.alignment = 1
        return found


def check_text(text: str, types: Mapping[str, CType] = MappingProxyType({})) -> None:
    """Refuse C text that ``declare`` would refuse whatever was defined before it, besides the names in ``types``.

    >>> check_text("typedef struct point point; int f(point p[2]);")
    """
    sketch = Sketch()
    sketch.typedefs.maps.append(types)
    for declaration in split(text):
        sketch.read(declaration)


# --- what a block gives ---------------------------------------------------------------------------------------------


def _bindings(library: Any, block: Block, options: Mapping[str, Any]) -> Bindings:
    def bind(name: str, prototype: Prototype) -> Any:
        return library.bind(prototype, **options)

    def variable(name: str, found: tuple[CType, bool]) -> ForeignVariable:
        return ForeignVariable(name, library, *found)

    def enum(tag: str, values: dict[str, int]) -> EnumType:
        return EnumType(Enumeration(tag, tuple(values.items()), block.enums[tag], False))

    return Bindings(
        library,
        {
            "functions": Table(block.functions, bind),
            "variables": Table(block.variables, variable),
            "constants": MappingProxyType(block.constants),
            "typedefs": Table(block.typedefs.maps[0], type_object),
            "structs": Table(block.structs, type_object),
            "unions": Table(block.unions, type_object),
            "enums": Table(block.enumerations, enum),
        },
        block,
    )


def type_object(name: str, found: CType) -> Any:
    """The class of a struct or union that is defined; any other type as it is."""
    made = getattr(found, "python_class", None)
    return found if made is None else made


def declare(library: Any, text: str, options: dict[str, Any]) -> Bindings:
    """The bindings of the block ``text``: see ``Library.declare``."""
    lazy = options.pop("lazy", False)
    check_option_names("declare", options)
    for name in OF_ONE:
        if name in options:
            raise ForeignTypeError(f"declare: the option {name!r} is for one function, not for a block of them")
    if lazy:
        from epsilon.lazy import declare_lazily

        return declare_lazily(library, text, options)
    declarations = split(text)
    tags = {tag for text in declarations for tag in (*_DEFINED.findall(text), *_ANONYMOUS.findall(text))}
    with _lock:
        block = _with_tags(tags, lambda: _read(declarations, options))
    return _bindings(library, block, options)


def _read(declarations: list[str], options: Mapping[str, Any]) -> Block:
    block = Block()
    for declaration in declarations:
        block.read(declaration)
    block.check(options)
    return block


def _with_tags(keys: set[tuple[str, str]], read: Callable[[], Block]) -> Block:
    """``read()``, which defines the structs and unions of these tags, and in which they mean no earlier ones.

    If it fails, the earlier ones stay as they are.  One that was opaque so far is filled by its definition, for good;
    so the block is read with others in its place first.
    """
    earlier = {key: TAGS.get(key) for key in keys}
    try:
        if any(found is not None and found.fields is None for found in earlier.values()):
            for key in keys:
                TAGS.pop(key, None)
                tagged(*key)
            read()
            _restore(earlier)
        for key in keys:
            new_tagged(*key)
        return read()
    except BaseException:
        _restore(earlier)
        raise


def _restore(earlier: Mapping[tuple[str, str], StructCType | None]) -> None:
    for key, found in earlier.items():
        if found is None:
            TAGS.pop(key, None)
        else:
            TAGS[key] = found
