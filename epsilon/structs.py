"""Structs and unions: C's layout behind Python attributes.

A struct's metaclass is :class:`StructType`, so that its class is the type (``point.size``, ``("pointer", point)``,
``match`` patterns); its instances are guarded memory with one descriptor for each member, which reads and writes in
place.  ``struct_definitions.py`` makes the classes.
"""

from __future__ import annotations

import sys

from epsilon import _backend
from epsilon.errors import ForeignTypeError, ForeignValueError, nearest, shorten
from epsilon.expressions import word_of
from epsilon.typesystem import StructCType
from epsilon.views import bytes_at

TYPE_CHECKING = False  # as in ``typing``, which takes longer to import than all of Epsilon
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from epsilon.layout_table import LayoutTable


class StructType(type):
    """The type of struct and union classes: it knows the layout.

    >>> pair = define_c_struct("pair", [("c", "char"), ("d", "double")])
    >>> pair.size, pair.alignment, pair.offset("d")
    (16, 8, 8)
    >>> pair(c="x", d=2.5)
    pair(c=120, d=2.5)
    """

    @property
    def ctype(cls) -> StructCType:
        """The type itself."""
        try:
            return cls.__dict__[OWN_TYPE]
        except KeyError:
            raise AttributeError(f"{cls.__name__} is no C struct") from None

    @property
    def size(cls) -> int:
        """Bytes, padding included."""
        return cls.ctype.size

    @property
    def alignment(cls) -> int:
        """Bytes."""
        return cls.ctype.alignment

    @property
    def offset(cls) -> Callable[[str], int]:
        """``offset(name)``: bytes from the start to the member ``name``."""
        return cls._offset  # a property, for it must win over a member that is called offset

    def _offset(cls, name: str) -> int:
        name = _member(cls, name)
        return next(member.offset for member in cls.ctype.fields if member.name == name)

    @property
    def with_count(cls) -> Callable[..., Any]:
        """``with_count(count, pointer=None, /, **members)``: an instance of a struct that ends with an array
        without a length, with room for ``count`` of its elements; or the one that C has at ``pointer``, in place, whose
        count the caller knows.

        >>> message = define_c_struct("message", [("kind", "int"), ("data", ("array", "uint8"))])
        >>> one = message.with_count(3, kind=7, data=b"abc")
        >>> one, one.data[2]
        (message(kind=7, data=[97, 98, 99]), 99)
        >>> one.data[3]
        Traceback (most recent call last):
        epsilon.errors.ForeignIndexError: index 3 of uint8_t [3], which has 3 elements
        """
        return cls._with_count

    def _with_count(cls, count: Any, pointer: Any = None, /, **members: Any) -> Any:
        own = cls.ctype
        if own.flexible is None:
            raise ForeignTypeError(f"{own.spelling} does not end with an array without a length: it takes no count")
        if not hasattr(type(count), "__index__"):
            raise ForeignTypeError(f"{own.spelling}: the count is an int, not {shorten(count)}")
        size = own.flexible.offset + own.flexible.ctype.target.size * count.__index__()
        if not 0 <= count.__index__() or size > sys.maxsize // 8:
            raise ForeignValueError(f"{own.spelling}: {shorten(count)} is no count of elements that memory can hold")
        place: tuple = ()
        if pointer is not None:
            from epsilon.dereference import raw_address

            guarded = isinstance(pointer, _backend.Guarded)
            address = _backend.address_of(pointer) if guarded else raw_address(pointer, "with_count")
            if guarded and 0 <= _backend.size_of(pointer) < size:
                raise ForeignValueError(
                    f"{own.spelling}: {count} elements take {size} bytes, more than {shorten(pointer)} has"
                )
            place = (address, pointer)
        self = _backend.Guarded.__new__(cls, own.converter.pointer_type, max(size, own.size), own.alignment, *place)
        for name, value in members.items():
            self[name] = value
        return self

    @property
    def layout(cls) -> Callable[[], LayoutTable]:
        """``layout()``: the memory map as a table, which prints as text; it has the rows, and ``svg()``.

        >>> print(define_c_struct("bits", [("a", "int", {"bits": 3}), ("b", "int", {"bits": 7})]).layout())
        struct bits: 4 bytes, aligned to 4
        offset  size  type  name       bits
             0     1  int   a          0..2
             0     2  int   b          3..9
             1     1        (padding)  2..7
             2     2        (padding)
        """
        return cls._layout

    def _layout(cls) -> LayoutTable:
        from epsilon.layout_table import LayoutTable

        return LayoutTable(cls.ctype)

    @property
    def proved(cls) -> bool:
        """Whether the compiler was asked about this layout, and agreed: see ``header`` of ``define_c_struct``."""
        return cls.ctype.proved

    def __repr__(cls) -> str:
        return f"<{cls.ctype.spelling}>" if OWN_TYPE in cls.__dict__ else super().__repr__()


#: where a struct's class keeps its type: no member can have this name
OWN_TYPE = "C type"


def _member(cls: StructType, name: Any) -> str:
    """The name of a member as C has it."""
    word = (word_of(name) or "").lstrip("':").replace("-", "_")
    if word not in cls.__match_args__:
        raise ForeignTypeError(f"{cls.ctype.spelling} has no member {shorten(name)}{nearest(word, cls.__match_args__)}")
    return word


class Struct(_backend.Guarded, metaclass=StructType):
    """What all struct instances share.  ``with`` ends the memory early; a later use then raises
    ``ForeignMemoryError``."""

    __slots__ = ()
    __match_args__: tuple[str, ...] = ()

    def __new__(cls, /, *values: Any, **members: Any) -> Any:
        found = cls.__dict__.get(OWN_TYPE)
        if found is None:
            raise TypeError("Struct is abstract: define_c_struct makes the classes")
        self = super().__new__(cls, found.converter.pointer_type, found.size, found.alignment)
        names = cls.__match_args__
        if len(values) > len(names):
            raise ForeignTypeError(f"{found.spelling} has {len(names)} members, {len(values)} values given")
        for name, value in zip(names, values, strict=False):
            setattr(self, name, value)
        for name, value in members.items():
            if name not in names:
                raise ForeignTypeError(f"{found.spelling} has no member {name!r}{nearest(name, names)}")
            setattr(self, name, value)
        return self

    @property
    def ctype(self) -> StructCType:
        """The type."""
        return type(self).ctype

    def layout(self) -> LayoutTable:
        """The memory map, as a table: see ``StructType.layout``."""
        return type(self).layout()

    def __copy__(self) -> Any:
        """A struct of its own with the same bytes; what the members point to is shared."""
        from epsilon.instances import copied

        return copied(self)

    def __deepcopy__(self, memo: object) -> Any:
        return self.__copy__()

    def __reduce__(self) -> Any:
        from epsilon.instances import reduced

        return reduced(self)

    def keys(self) -> tuple[str, ...]:
        """The members' names, so that ``dict(struct)`` works."""
        return type(self).__match_args__

    def __getitem__(self, name: Any) -> Any:
        return getattr(self, _member(type(self), name))

    def __setitem__(self, name: Any, value: Any) -> None:
        setattr(self, _member(type(self), name), value)

    def __eq__(self, other: object) -> Any:
        if type(other) is not type(self):
            return NotImplemented
        return all(getattr(self, name) == getattr(other, name) for name in type(self).__match_args__)

    __hash__ = None  # type: ignore[assignment]

    def __bytes__(self) -> bytes:
        """The memory as it is, padding included."""
        return bytes(bytes_at(_backend.address_of(self), _backend.size_of(self)))

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *exception: object) -> None:
        _backend.end(self, sys._getframe(1))

    def __repr__(self) -> str:
        if not _backend.is_alive(self):
            return f"<ended {type(self).ctype.spelling}>"
        members = ", ".join(f"{name}={shorten(getattr(self, name))}" for name in type(self).__match_args__)
        return f"{type(self).__name__}({members})"


def struct_layout_size(struct: Any) -> int:
    """The size in bytes of a struct type or of an instance's type.

    >>> struct_layout_size(define_c_struct("two", [("a", "int"), ("b", "int")]))
    8
    """
    found = struct if isinstance(struct, StructType) else type(struct)
    if not isinstance(found, StructType):
        raise ForeignTypeError(f"struct_layout_size takes a struct or a struct type, not {shorten(struct)}")
    return found.size
