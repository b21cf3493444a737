"""The C types of facts, apart from everything that this process has defined: what a header means, and nothing else.

A struct here is a type of its own, with the size that the facts have for it, so that reading a header never changes
what ``struct stat`` means to the program.  Everything is read when it is first asked for.
"""

from __future__ import annotations

import itertools
from collections import namedtuple
from collections.abc import Iterator, Mapping

from epsilon.bodies import Body, parse_body
from epsilon.declarator import Names, Reader
from epsilon.errors import ForeignTypeError
from epsilon.headers.facts import Facts
from epsilon.layout import fill
from epsilon.prototypes import Prototype
from epsilon.typesystem import TYPEDEFS, CType, FunctionType, StructCType
from epsilon.typesystem.enumerations import Enumeration, underlying

_serials = itertools.count(1)

#: A member as it lies in memory: its first bit from the start of the struct, and its width in bits (0: no length).
Lying = namedtuple("Lying", ["name", "ctype", "first", "bits"])


def apart(kind: str, tag: str) -> StructCType:
    """An opaque struct or union type that is nobody else's."""
    return StructCType(kind, tag, ("apart", next(_serials)))


def built(body: Body, own: StructCType | None = None) -> StructCType:
    """The type of a definition that was read."""
    own = own or apart(body.kind, body.tag or "(unnamed)")
    return fill(own, body.members, body.rules)


def lying(own: StructCType) -> list[Lying]:
    """Where the members of a filled struct lie."""
    return [
        Lying(field.name, field.ctype, field.offset * 8 + field.shift,
              (field.ctype.size or 0) * 8 if field.bits is None else field.bits)
        for field in own.fields or ()
    ]  # fmt: skip


class FactTypes(Names):
    """What the names in the C text of some facts mean."""

    def __init__(self, facts: Facts):
        self.facts = facts
        self.typedefs: Mapping[str, CType] = _Typedefs(self)
        self.constant_typedefs: set[str] = set()
        self.enums = _Enums(self)
        self._structs: dict[tuple[str, str], StructCType] = {}
        self._by_symbol: dict[str, str] | None = None

    def struct(self, kind: str, tag: str) -> StructCType:
        found = self._structs.get((kind, tag))
        if found is None:
            found = self._structs[kind, tag] = apart(kind, tag)
            record = self.facts.records.get(f"{kind} {tag}")
            if record is not None and record.definition is not None:
                found.size, found.alignment = record.size, record.alignment
        return found

    def constant(self, reader: Reader, name: str, value: int) -> None:
        """The enum's constants are in the facts already."""

    def enum(self, reader: Reader, tag: str | None, values: dict[str, int]) -> CType:
        base = underlying(values.values()) if values else None
        if base is None:
            raise reader.error("an enum without constants, or with too large ones", tag)
        return Enumeration(tag or "(unnamed)", tuple(values.items()), base, False)

    def read(self, text: str) -> tuple[str | None, CType, tuple, bool]:
        """The name, the type, the parameters' names and whether it is const, of one declaration."""
        reader = Reader(text, built, self)
        reader.accept("typedef")
        name, found, names = reader.declaration()
        return name, found, names, reader.const

    def prototype(self, text: str) -> Prototype:
        """The function that a prototype of the facts declares."""
        name, found, names, _ = self.read(text)
        if not isinstance(found, FunctionType):
            raise ForeignTypeError(f"{text!r} declares no function")
        return Prototype(name, found, names)

    def members(self, kind: str, tag: str) -> list[Lying]:
        """The members of a struct that the facts define, with the places that the facts have for them."""
        record = self.facts.records[f"{kind} {tag}"]
        own = self.struct(kind, tag)
        if own.fields is None:
            built(parse_body(record.definition, built, self), own)
            own.size, own.alignment = record.size, record.alignment
        types = {field.name: field.ctype for field in own.fields}
        return [Lying(name, types.get(name), first, bits) for name, first, bits in record.members]

    def named_record(self, name: str, kind: str | None = None) -> StructCType | None:
        """The struct or union that ``name`` is the tag or a typedef of, or None."""
        found = self.typedefs.get(name)
        if isinstance(found, StructCType):
            return found
        for each in ("struct", "union") if kind is None else (kind,):
            if f"{each} {name}" in self.facts.records:
                return self.struct(each, name)
        return None

    def function(self, symbol: str) -> str | None:
        """The C name of the function that is linked as ``symbol``, or called so."""
        if self._by_symbol is None:
            self._by_symbol = {found.symbol: name for name, found in self.facts.functions.items()}
        return symbol if symbol in self.facts.functions else self._by_symbol.get(symbol)


class _Typedefs(Mapping):
    """Typedef name → type, read when it is asked for.  What C's own names mean everywhere they mean here."""

    def __init__(self, types: FactTypes):
        self._types, self._known = types, {}

    def __getitem__(self, name: str) -> CType:
        found = self._known.get(name) or TYPEDEFS.get(name)
        if found is None:
            found = self._read(name)
        return found

    def _read(self, name: str) -> CType:
        typedef = self._types.facts.typedefs[name]
        _, found, _, const = self._types.read(typedef.declaration)
        if const and not found.is_pointer:
            self._types.constant_typedefs.add(name)
        self._known[name] = found
        return found

    def __contains__(self, name: object) -> bool:
        return name in TYPEDEFS or name in self._types.facts.typedefs

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys([*self._types.facts.typedefs, *TYPEDEFS]))

    def __len__(self) -> int:
        return len(list(iter(self)))


class _Enums(Mapping):
    """Tag → the type of an enum."""

    def __init__(self, types: FactTypes):
        self._types, self._known = types, {}

    def __getitem__(self, tag: str) -> CType:
        found = self._known.get(tag)
        if found is None:
            enum = self._types.facts.enums[tag]
            _, base, _, _ = self._types.read(enum.type)
            found = self._known[tag] = Enumeration(tag, tuple(enum.values), base, False)
        return found

    def __iter__(self) -> Iterator[str]:
        return iter(self._types.facts.enums)

    def __len__(self) -> int:
        return len(self._types.facts.enums)
