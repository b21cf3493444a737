"""What the names in headers mean: their typedefs, structs and enums, each read when something needs it.

A struct that the headers only name is everyone's struct of that tag.  One that they define is a type of its own, which
two imports share where all that it rests on is written alike; so libraries that use one tag for different structs get
along, and headers of one library can be imported one by one.
"""

from __future__ import annotations

import copyreg
import itertools
import re
from _thread import RLock
from collections import ChainMap

import _cffi_backend as cffi

from epsilon.bodies import Body, parse_body
from epsilon.declarator import Names, Reader
from epsilon.errors import ForeignTypeError
from epsilon.prototypes import Prototype
from epsilon.struct_definitions import build_body
from epsilon.structs import StructType
from epsilon.typesystem import (
    BY_BACKEND,
    TYPEDEFS,
    CType,
    FunctionType,
    StructCType,
    same_representation,
    tagged,
)

TYPE_CHECKING = False  # as in ``typing``, which takes longer to import than all of Epsilon
if TYPE_CHECKING:
    from typing import Any

    from epsilon.headers.facts import Facts

_MENTION = re.compile(r"(?:\b(struct|union|enum)\s+)?\b([A-Za-z_]\w*)")
#: what a struct's definition gives: asked for the first time, it is read
_LAYOUT = {
    "alignment", "classes", "elements", "fields", "flexible", "members", "not_by_value", "proved", "python_class",
    "rules", "size",
}  # fmt: skip

_lock = RLock()
_serials = itertools.count(1)
#: (kind, tag, digest of all that the definition rests on) → the struct of all imports
_shared: dict[tuple[str, str, bytes], HeaderStruct] = {}


class HeaderStruct(StructCType):
    """A struct or union that headers define.  Its members are read when its layout is first wanted: a function that
    takes a pointer to it does not want it."""

    __slots__ = ("definition", "laid_out", "names", "reading", "said", "vouched")

    def setup(self, kind: str, tag: str, serial: Any) -> None:
        self.kind, self.tag, self.serial, self.code = kind, tag, serial, "s"
        #: whether the members are read, or being read; whether the compiler has proved the layout for some import
        self.laid_out = self.reading = self.vouched = False
        make = cffi.new_struct_type if kind == "struct" else cffi.new_union_type
        self._backend = make(f"{kind} {tag}")
        BY_BACKEND[self._backend] = self

    def __getattr__(self, name: str) -> Any:
        if name not in _LAYOUT:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        with _lock:
            if self.reading:
                raise ForeignTypeError(f"{self.spelling} has itself as a member")
            self.reading = True
            try:
                self.names.complete(self)
                self.laid_out = True
            finally:
                self.reading = False
        return object.__getattribute__(self, name)

    def __reduce__(self) -> tuple:
        return (_struct_again, (self.names.origin, self.kind, self.tag))

    def vouch(self) -> None:
        """The compiler has proved this layout."""
        self.vouched = True
        if self.laid_out and self.fields is not None:
            self.proved = True

    def layout_unknown(self, why: str) -> None:
        """Leave the struct opaque, for good."""
        self.size = self.alignment = self.fields = self.flexible = self.rules = self.python_class = None
        self.members, self.proved, self.classes, self.elements, self.not_by_value = (), False, "", "", why


def _struct_again(origin: Any, kind: str, tag: str) -> StructCType:
    return origin._names_of_types().struct(kind, tag)


def _class_again(found: StructCType) -> Any:
    return found.python_class


def _reduced_class(struct_class: Any) -> Any:
    """How a struct's class is pickled: by its header, or as any other class by its module."""
    own = struct_class.__dict__.get("C type")
    return (_class_again, (own,)) if isinstance(own, HeaderStruct) else struct_class.__qualname__


copyreg.pickle(StructType, _reduced_class)


class HeaderNames(Names):
    """What the names in the facts of one import mean."""

    def __init__(self, facts: Facts, origin: Any = None):
        self.facts = facts
        #: what gives the bindings again, to a pickle
        self.origin = origin
        self.constants = {}
        self.constant_typedefs = set()
        self.typedefs = ChainMap(_Typedefs(self), TYPEDEFS)
        self.enums = _Enums(self)
        self._structs: dict[str, StructCType] = {}
        #: what the text of a declaration mentions: name → names
        self._mentions: dict[str, list[str]] = {}

    def type_of(self, text: str) -> CType:
        """The type that ``text`` spells in these headers."""
        with _lock:
            reader = Reader(text, self.define, self)
            _, found, _ = reader.declaration()
            reader.end()
        return found

    def prototype(self, text: str) -> Prototype:
        """The function that ``text`` declares."""
        with _lock:
            reader = Reader(text, self.define, self)
            name, found, names = reader.declaration()
            reader.end()
        if name is None or not isinstance(found, FunctionType):
            raise reader.error("it declares no function")
        return Prototype(name, found, names)

    def variable(self, text: str) -> tuple[CType, bool]:
        """The type of the variable that ``text`` declares, and whether it is const."""
        with _lock:
            reader = Reader(text, self.define, self)
            _, found, _ = reader.declaration()
            reader.end()
        return found, reader.const

    # --- for the reader ---

    def struct(self, kind: str, tag: str) -> StructCType:
        name = f"{kind} {tag}"
        found = self._structs.get(name)
        if found is None:
            record = self.facts.records.get(name)
            if record is None or record.definition is None:
                return tagged(kind, tag)
            found = self._structs[name] = self._defined(kind, tag, name, record)
        return found

    def define(self, body: Body) -> StructCType:
        """A struct without a tag, inside another."""
        serial = next(_serials)
        tag = body.tag or f"anonymous_in_header_{serial}"
        return build_body(body._replace(tag=tag), StructCType(body.kind, tag, ("header", serial)))

    def enum(self, reader: Reader, tag: str | None, values: dict[str, int]) -> CType:
        from epsilon.typesystem.enumerations import underlying

        return underlying(values.values()) if values else super().enum(reader, tag, values)

    def constant(self, reader: Reader, name: str, value: int) -> None:
        self.constants[name] = value

    # --- structs ---

    def _defined(self, kind: str, tag: str, name: str, record: Any) -> HeaderStruct:
        key = (kind, tag, self._digest(name))
        found = _shared.get(key)
        if found is None:
            found = HeaderStruct(kind, tag, key[2])
            found.names, found.definition = self, record.definition
            found.said = record.size, record.alignment
            found = _shared.setdefault(key, found)
        if self.facts.proved:
            found.vouch()
        return found

    def complete(self, found: HeaderStruct) -> None:
        """Read the members of a struct; one whose layout is not the compiler's stays opaque."""
        try:
            body = parse_body(found.definition, self.define, self)
            build_body(body._replace(tag=found.tag), found)
        except ForeignTypeError as error:
            found.layout_unknown(error.args[0])
            return
        size, alignment = found.said
        if size is not None and (found.size, found.alignment) != (size, alignment):
            found.layout_unknown(
                f"its members make {found.size} bytes aligned to {found.alignment}, and the compiler says {size} bytes "
                f"aligned to {alignment}"
            )
        else:
            found.proved = found.vouched

    def _digest(self, name: str) -> bytes:
        """A digest of the declarations that a struct rests on, its own among them."""
        import hashlib

        seen, todo = {name}, [name]
        while todo:
            for mentioned in self._mentioned(todo.pop()):
                if mentioned not in seen:
                    seen.add(mentioned)
                    todo.append(mentioned)
        texts = sorted(f"{one}: {self._text(one)}" for one in seen)
        return hashlib.blake2b("\n".join(texts).encode("utf-8", "surrogateescape"), digest_size=16).digest()

    def _mentioned(self, name: str) -> list[str]:
        found = self._mentions.get(name)
        if found is None:
            facts, text = self.facts, self._text(name)
            names = {f"{kind} {word}" if kind else word for kind, word in _MENTION.findall(text)}
            found = [one for one in names if one in facts.typedefs or one in facts.records or one[:5] == "enum "]
            self._mentions[name] = found
        return found

    def _text(self, name: str) -> str:
        """What is declared of a typedef, or of a ``struct``, ``union`` or ``enum`` by its tag."""
        facts = self.facts
        if name in facts.typedefs:
            return facts.typedefs[name].declaration
        if name in facts.records:
            record = facts.records[name]
            return f"{record.definition} {record.size}"
        enum = facts.enums.get(name.removeprefix("enum "))
        return "" if enum is None else enum.type

    def typedef(self, name: str) -> CType:
        """The type of a typedef of the headers; C's own typedefs, such as ``size_t``, stay what they are."""
        reader = Reader(self.facts.typedefs[name].declaration, self.define, self)
        reader.accept("typedef")
        _, found, _ = reader.declaration()
        reader.end()
        known = TYPEDEFS.get(name)
        if known is not None and known.size == found.size and same_representation(known.backend, found.backend):
            return known
        if reader.const and not found.is_pointer:
            self.constant_typedefs.add(name)
        return found


class _Typedefs(dict):
    """The typedefs of the headers, read at their first use."""

    def __init__(self, names: HeaderNames):
        self.names = names

    def __missing__(self, name: str) -> CType:
        if name not in self.names.facts.typedefs:
            raise KeyError(name)
        found = self[name] = self.names.typedef(name)
        return found

    def __contains__(self, name: object) -> bool:
        return name in self.names.facts.typedefs


class _Enums(dict):
    """The integer types of the headers' enums, by tag."""

    def __init__(self, names: HeaderNames):
        self.names = names

    def get(self, tag: str, default: Any = None) -> Any:
        enum = self.names.facts.enums.get(tag)
        return default if enum is None else self.names.type_of(enum.type)
