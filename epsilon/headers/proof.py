"""Layouts computed from the facts, held against what the compiler says of them.

The computed ones are apart from everything that this process has defined: reading a header changes no type.
"""

from __future__ import annotations

import itertools
from collections import ChainMap, namedtuple
from collections.abc import Sequence
from typing import Any

from epsilon.bodies import Body, parse_body
from epsilon.declarator import Names, Reader
from epsilon.errors import ForeignTypeError
from epsilon.headers.facts import Facts
from epsilon.layout import fill
from epsilon.typesystem import TYPEDEFS, WORDS, Array, CType, StructCType

_serials = itertools.count(1)

#: Where a member lies, in bits; ``bits`` is 0 for an array without a length.
Placed = namedtuple("Placed", ["path", "first", "bits"])


class Layouts(Names):
    """What names mean in ``facts``: types of their own, read when they are first asked for."""

    def __init__(self, facts: Facts):
        self.facts = facts
        self.typedefs = ChainMap(_Typedefs(self), TYPEDEFS)
        self.constants = {}
        self.constant_typedefs = set()
        self.enums = _Enums(facts)
        self.faults: dict[StructCType, str] = {}
        #: the structs that are laid out: each behind those that it holds
        self.order: list[StructCType] = []
        self._made: dict[str, StructCType] = {}

    def read(self, text: str) -> tuple[str | None, CType]:
        """The name that ``text`` declares, and its type; ``ForeignTypeError`` where it cannot be read."""
        reader = Reader(text, self.define, self)
        reader.accept("typedef")
        name, found, _ = reader.declaration()
        reader.end()
        return name, found

    def struct(self, kind: str, tag: str) -> StructCType:
        name = f"{kind} {tag}"
        own = self._made.get(name)
        if own is None:
            own = self._made[name] = _Struct(kind, tag, ("header's", next(_serials)))
            record = self.facts.records.get(name)
            if record is not None and record.definition is not None:
                own.wait(self, record.definition)
        return own

    def fault(self, own: StructCType) -> str | None:
        """Why a struct of ``struct`` cannot be laid out, if so."""
        return None if own.size is not None else self.faults.get(own, "its members are not known")

    def define(self, body: Body) -> StructCType:
        own = StructCType(body.kind, body.tag or "(nameless)", ("header's", next(_serials)))
        return fill(own, body.members, body.rules)


class _Struct(StructCType):
    """A struct that is laid out when that is first asked for: a pointer to it, in its own members, needs no layout."""

    __slots__ = ("_definition", "_layouts")
    _LATER = ("size", "alignment", "fields", "members", "flexible", "rules")

    def wait(self, layouts: Layouts, definition: str) -> None:
        self._layouts, self._definition = layouts, definition
        for name in self._LATER:
            delattr(self, name)

    def __getattr__(self, name: str) -> Any:
        if name not in self._LATER:
            raise AttributeError(name)
        for one in self._LATER:
            setattr(self, one, None)
        try:
            body = parse_body(self._definition, self._layouts.define, self._layouts)
            fill(self, body.members, body.rules)
            self._layouts.order.append(self)
        except ForeignTypeError as error:
            self._layouts.faults[self] = str(error)
        return object.__getattribute__(self, name)


class _Typedefs(dict):
    def __init__(self, layouts: Layouts):
        self._layouts = layouts

    def __missing__(self, name: str) -> CType:
        typedef = self._layouts.facts.typedefs.get(name)
        if typedef is None:
            raise KeyError(name)
        self[name] = found = self._layouts.read(typedef.declaration)[1]
        return found

    def __contains__(self, name: object) -> bool:
        return name in self._layouts.facts.typedefs


class _Enums(dict):
    def __init__(self, facts: Facts):
        self._facts = facts

    def get(self, tag: str, default: Any = None) -> Any:
        enum = self._facts.enums.get(tag)
        return default if enum is None else WORDS[enum.type.replace(" ", "-")]


def computed(own: StructCType, paths: Sequence[str]) -> dict[str, Placed]:
    """Where the members at ``paths`` lie, as the layout says."""
    return {path: _at(own, path) for path in paths}


def _at(own: StructCType, path: str) -> Placed:
    first, bits = 0, None
    found: CType = own
    for name in path.replace("[0]", "").split("."):
        while isinstance(found, Array):
            found = found.target
        field = next(field for field in found.fields if field.name == name)
        first += field.offset * 8 + field.shift
        found, bits = field.ctype, field.bits
    return Placed(path, first, (found.size or 0) * 8 if bits is None else bits)


def said(members: Sequence, values: Sequence[int], bits: dict[str, bytes], order: str) -> dict[str, Placed]:
    """Where they lie, as the compiler says: offset and size in turn of each that is no bit-field, and for these the
    bytes of a struct in which only they are set."""
    found = {}
    rest = iter(values)
    for member in members:
        if member.kind == "bits":
            found[member.path] = Placed(member.path, *_set_bits(bits[member.path], order))
        else:
            found[member.path] = Placed(member.path, next(rest) * 8, next(rest) * 8)
    return found


def _set_bits(image: bytes, order: str) -> tuple[int, int]:
    number = int.from_bytes(image, "little" if order == "<" else "big")
    count = bin(number).count("1")
    if order == "<":
        return (number & -number).bit_length() - 1, count
    return len(image) * 8 - number.bit_length(), count


def difference(own: StructCType, size: int, alignment: int, theirs: dict[str, Placed]) -> str | None:
    """What the computed layout has otherwise than the compiler, with both; None where they agree."""
    ours = computed(own, list(theirs))
    rows = [("size", f"{own.size} bytes", f"{size} bytes"),
            ("alignment", f"{own.alignment} bytes", f"{alignment} bytes")]  # fmt: skip
    for path, its in theirs.items():
        mine = ours[path]
        rows.append((f"member {path}", f"bit {mine.first}, {mine.bits} bits", f"bit {its.first}, {its.bits} bits"))
    if all(mine == its for _, mine, its in rows):
        return None
    column = max(len(label) for label, _, _ in rows)
    middle = max(len("computed"), *(len(mine) for _, mine, _ in rows))
    lines = [f"  {label:{column}}  {mine:{middle}}  {its}{'' if mine == its else '  (differs)'}"
             for label, mine, its in rows]  # fmt: skip
    return "\n".join([f"{own.kind} {own.tag} has another layout:",
                      f"  {'':{column}}  {'computed':{middle}}  compiler", *lines])  # fmt: skip

