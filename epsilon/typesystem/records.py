"""The types of structs and unions, by definition and by tag."""

from __future__ import annotations

import itertools

import _cffi_backend as cffi

from epsilon import _backend
from epsilon.typesystem.base import BY_BACKEND, NAMED, CData, CType
from epsilon.typesystem.derived import hooks
from epsilon.typesystem.pointers import compatible

TYPE_CHECKING = False  # as in ``typing``, which takes longer to import than all of Epsilon
if TYPE_CHECKING:
    from typing import Any


class StructCType(CType):
    """The layout of one struct or union definition; ``structs.StructType`` makes these and the class users see.

    ``fields`` is a tuple of ``(name, ctype, offset, bits, shift)``, ``bits`` being None for a plain field; ``flexible``
    the last one where it has no length; ``members`` pairs of each member as it was declared, and its first bit;
    ``proved`` whether the compiler has been asked; ``not_by_value`` why it cannot be passed by value, if so.
    Each definition is a type of its own, so that a name can be defined again.
    """

    __slots__ = ("classes", "elements", "fields", "flexible", "kind", "members", "not_by_value", "proved",
                 "python_class", "rules", "serial", "tag")  # fmt: skip

    def setup(self, kind: str, tag: str, serial: int) -> None:
        self.kind, self.tag, self.serial = kind, tag, serial
        self.code, self.size, self.alignment, self.fields = "s", None, None, None
        self.python_class = self.flexible = self.rules = None
        self.members, self.proved = (), False
        self.classes = self.elements = self.not_by_value = ""
        make = cffi.new_struct_type if kind == "struct" else cffi.new_union_type
        self._backend = make(f"{kind} {tag}")
        BY_BACKEND[self._backend] = self

    def declare(self, inner: str = "") -> str:
        return f"{self.kind} {self.tag} {inner}"

    @property
    def wants(self) -> str:
        return f"a {self.tag}, or a mapping with its fields"

    def make_converter(self) -> Any:
        return _backend.Converter(
            self, "s", self.size, self.alignment, cffi.new_pointer_type(self.backend),
            classes=self.classes, elements=self.elements, make=self.python_class,
        )  # fmt: skip

    def convert(self, value: Any) -> Any:
        if isinstance(value, _backend.Guarded):
            kind = _backend.pointer_type_of(value)
            same = kind is self.converter.pointer_type
            same = same or (kind.kind == "pointer" and compatible(self.backend, kind.item))
            if same and _backend.size_of(value) >= self.size:
                return value
        elif isinstance(value, CData):
            if cffi.typeof(value) is self.backend:
                return hooks["copy_struct"](self, value)
        elif hasattr(type(value), "keys") and hasattr(type(value), "__getitem__"):
            return self.python_class(**{str(name): value[name] for name in value.keys()})
        raise self.refusal(value)

    def __reduce__(self):
        if self.python_class is None:  # opaque: the tag is all there is
            return (tagged, (self.kind, self.tag))
        return (_same, (self.python_class,))


def _same(python_class: Any) -> CType:
    return python_class.ctype


#: ``(kind, tag)`` → the newest definition of that struct or union, or its opaque forerunner
TAGS: dict[tuple[str, str], StructCType] = {}
_serials = itertools.count(1)


def tagged(kind: str, tag: str) -> StructCType:
    """The type ``struct tag`` or ``union tag``: its newest definition, or an opaque type until there is one."""
    found = TAGS.get((kind, tag))
    return found if found is not None else TAGS.setdefault((kind, tag), StructCType(kind, tag, next(_serials)))


def new_tagged(kind: str, tag: str) -> StructCType:
    """The type that a new definition of ``kind tag`` fills: the opaque one if there is one, so that pointers to it
    keep their meaning, else a new one, which leaves an earlier definition to those who hold it."""
    found = TAGS.get((kind, tag))
    if found is None or found.fields is not None:
        named = found is not None and NAMED.get(tag) is found  # by define_c_type
        found = TAGS[kind, tag] = StructCType(kind, tag, next(_serials))
        if named:
            NAMED[tag] = found
    return found
