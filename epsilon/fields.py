"""The members of a struct: descriptors that read and write in place."""

from __future__ import annotations

from epsilon import _backend
from epsilon.errors import ForeignRangeError, shorten
from epsilon.typesystem import Array, Integer, StructCType
from epsilon.views import ArrayView, bytes_at, name_member, read, refuse_write, write

TYPE_CHECKING = False  # as in ``typing``, which takes longer to import than all of Epsilon
if TYPE_CHECKING:
    from typing import Any

    from epsilon.layout import Layout


class Field:
    """A member: reading gives its value, or a view in place where it is a struct or an array.

    The shim has its own for plain members and structs (``c/field.c``), which is the same, and quicker.
    """

    def __init__(self, layout: Layout):
        self.name, self.ctype, self.offset = layout.name, layout.ctype, layout.offset
        self.__doc__ = f"{layout.ctype.declare(layout.name)}, at byte {layout.offset}"

    def __get__(self, struct: Any, owner: type) -> Any:
        return self if struct is None else self.read(struct)

    def __set__(self, struct: Any, value: Any) -> None:
        try:
            self.write(struct, value)
        except BaseException as error:
            name_member(self, struct, error)
            raise

    def read(self, struct: Any) -> Any:
        return read(self.ctype, struct, self.offset)

    def write(self, struct: Any, value: Any) -> None:
        write(self.ctype, struct, self.offset, value)


class ArrayField(Field):
    """An array inside a struct: writing takes a sequence of its length."""

    def write(self, struct: Any, value: Any) -> None:
        self.read(struct)[:] = value


class BitField(Field):
    """Some bits of an integer, which may cross the boundaries of its type in a packed struct."""

    def __init__(self, layout: Layout):
        super().__init__(layout)
        self.bits, self.shift, self.span = layout.bits, layout.shift, (layout.shift + layout.bits + 7) // 8
        plain = self.ctype.representation
        signed = isinstance(plain, Integer) and plain.low < 0
        self.low, self.high = (-(1 << self.bits - 1), (1 << self.bits - 1) - 1) if signed else (0, (1 << self.bits) - 1)

    def bytes_of(self, struct: Any) -> Any:
        return bytes_at(_backend.address_of(struct) + self.offset, self.span)

    def read(self, struct: Any) -> Any:
        number = int.from_bytes(self.bytes_of(struct), "little") >> self.shift & (1 << self.bits) - 1
        if number > self.high:
            number -= 1 << self.bits
        return self.ctype.restore(number if isinstance(self.ctype.representation, Integer) else bool(number))

    def write(self, struct: Any, value: Any) -> None:
        if _backend.is_readonly(struct):
            refuse_write(struct)
        number = self.ctype.adapt(value)
        if not self.low <= number <= self.high:
            raise ForeignRangeError(
                f"got {shorten(value)}, wanted an int from {self.low} to {self.high} ({self.bits} bits)"
            )
        place = self.bytes_of(struct)
        mask = (1 << self.bits) - 1
        rest = int.from_bytes(place, "little") & ~(mask << self.shift)
        place[:] = (rest | (number & mask) << self.shift).to_bytes(self.span, "little")


class FlexibleField(Field):
    """The array that ends a struct: as many elements as the struct's memory has room for."""

    def read(self, struct: Any) -> Any:
        room = max(_backend.size_of(struct) - self.offset, 0) // self.ctype.target.size
        return ArrayView(struct, Array(self.ctype.target, room), self.offset)

    def write(self, struct: Any, value: Any) -> None:
        self.read(struct)[:] = value


def descriptor(layout: Layout) -> Any:
    """The descriptor of one member."""
    if layout.bits is not None:
        return BitField(layout)
    if layout.ctype.size is None:
        return FlexibleField(layout)
    if isinstance(layout.ctype, Array):
        return ArrayField(layout)
    if _backend.Field is None:
        return Field(layout)
    return _backend.Field(layout.ctype, layout.name, layout.offset, isinstance(layout.ctype, StructCType))
