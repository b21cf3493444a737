"""Values in guarded memory: numbers and pointers are read and written, structs and arrays are views in place."""

from __future__ import annotations

from _collections_abc import Sequence  # collections.abc, without all of collections

import _cffi_backend as cffi

from epsilon import _backend
from epsilon.errors import ForeignIndexError, ForeignMemoryError, ForeignTypeError, ForeignValueError, shorten
from epsilon.typesystem import CHARACTER_POINTER, Array, CType, StructCType, characters
from epsilon.typesystem import hooks as type_hooks

TYPE_CHECKING = False  # as in ``typing``, which takes longer to import than all of Epsilon
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any, NoReturn


_CHARACTERS = CHARACTER_POINTER.backend
#: ``char[]``, as ``cffi.from_buffer`` wants it
BYTES = cffi.new_array_type(_CHARACTERS, None)


def bytes_at(address: int, size: int) -> Any:
    """The memory there, as a buffer."""
    return cffi.buffer(cffi.cast(_CHARACTERS, address), size)


def view(ctype: StructCType, address: int, owner: Any) -> Any:
    """The struct at ``address``, in place; ``owner`` is kept alive and ends it when it ends."""
    pointer_type = ctype.converter.pointer_type
    readonly = isinstance(owner, _backend.Guarded) and _backend.is_readonly(owner)
    return _backend.Guarded.__new__(
        ctype.python_class, pointer_type, ctype.size, ctype.alignment, address, owner, readonly
    )


def copy_cdata(ctype: StructCType, value: Any) -> Any:
    """A copy of a cffi struct of this type."""
    copied = ctype.python_class()
    source = cffi.newp(ctype.converter.pointer_type, value)
    cffi.memmove(bytes_at(_backend.address_of(copied), ctype.size), source, ctype.size)
    return copied


type_hooks["copy_struct"] = copy_cdata


def read(ctype: CType, memory: Any, offset: int) -> Any:
    """The value of type ``ctype`` in guarded memory: structs and arrays as views in place."""
    if isinstance(ctype, StructCType):
        return view(ctype, _backend.address_of(memory) + offset, memory)
    if isinstance(ctype, Array):
        return ArrayView(memory, ctype, offset)
    return ctype.converter.read(memory, offset)


def write(ctype: CType, memory: Any, offset: int, value: Any) -> None:
    """Write a value into guarded memory, which keeps alive what it then points to."""
    ctype.converter.write(memory, offset, value)


def refuse_write(memory: Any) -> NoReturn:
    raise ForeignMemoryError(f"{memory!r} is read-only")


def name_member(field: Any, struct: Any, error: BaseException) -> None:
    """Put the member's name into an error of its conversion, in place."""
    if isinstance(error, (ForeignTypeError, ForeignValueError, OverflowError)):
        if error.args and getattr(error, "function", "") is None:
            text = f"{type(struct).ctype.spelling}: member {field.name!r} ({field.ctype.spelling}): {error.args[0]}"
            error.args = (text,)


_backend.set_hooks(member=name_member, readonly=refuse_write)


class ArrayView(Sequence):
    """The elements of an array member, in place."""

    __slots__ = ("_ctype", "_offset", "_owner")

    def __init__(self, owner: Any, found: Array, offset: int):
        self._owner, self._ctype, self._offset = owner, found, offset

    def __len__(self) -> int:
        return self._ctype.length or 0

    def _place(self, index: Any) -> int:
        if not hasattr(index, "__index__"):
            raise ForeignTypeError(f"an index is an int, not {shorten(index)}")
        place = index.__index__()
        if not 0 <= place < len(self):
            raise ForeignIndexError(f"index {place} of {self._ctype.spelling}, which has {len(self)} elements")
        return self._offset + place * self._ctype.target.size

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[place] for place in range(*index.indices(len(self)))]
        return read(self._ctype.target, self._owner, self._place(index))

    def __setitem__(self, index: Any, value: Any) -> None:
        if isinstance(index, slice):
            places = range(*index.indices(len(self)))
            values = list(value) if not isinstance(value, (str, bytes)) else characters(self._ctype.target, value)
            if len(values) > len(places) or (len(values) < len(places) and not isinstance(value, (str, bytes))):
                raise ForeignValueError(f"got {len(values)} values, wanted {len(places)} for {self._ctype.spelling}")
            for place, one in zip(places, values, strict=False):
                self[place] = one
            return
        target, offset = self._ctype.target, self._place(index)
        if isinstance(target, Array):
            ArrayView(self._owner, target, offset)[:] = value
        else:
            write(target, self._owner, offset, value)

    def __iter__(self) -> Iterator[Any]:
        return (self[place] for place in range(len(self)))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and not isinstance(other, (str, bytes)) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return repr(list(self))
