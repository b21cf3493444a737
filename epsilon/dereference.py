"""What is behind a pointer: ``deref``, ``foreign_string``, and ``struct_pointer``, which is the way back.

Memory of Epsilon's knows its bounds; a pointer that C gave is trusted, unless it is NULL.
"""

from __future__ import annotations

import _cffi_backend as cffi

from epsilon import _backend
from epsilon.errors import ForeignIndexError, ForeignMemoryError, ForeignTypeError, shorten
from epsilon.memory import ForeignMemory, count_of, element_of
from epsilon.structs import Struct
from epsilon.typesystem import (
    BY_BACKEND,
    CHARACTER_POINTER,
    VOID_POINTER,
    WORDS,
    Array,
    CData,
    CType,
    Pointer,
    String,
    StructCType,
)
from epsilon.views import read

TYPE_CHECKING = False  # as in ``typing``, which takes longer to import than all of Epsilon
if TYPE_CHECKING:
    from typing import Any

_UINTPTR = WORDS["uintptr"].backend


def read_raw(element: CType, address: int, owner: Any) -> Any:
    """The value of type ``element`` at an address that C gave; a view of it keeps ``owner`` alive."""
    if isinstance(element, (StructCType, Array)):
        return read(element, ForeignMemory(element, 1, address, owner), 0)
    return element.converter.read_at(address)


def deref(pointer: Any, index: int = 0, type: Any = None) -> Any:
    """The value ``index`` elements after where ``pointer`` points, as its type says, or as ``type`` does.

    Memory of Epsilon's is bounds-checked; a pointer that C gave is trusted, unless it is ``NULL``.  Raises
    ``ForeignTypeError`` for a ``void *`` without ``type``, for it has no element type, and ``ForeignMemoryError`` for
    NULL.

    >>> deref(foreign_alloc("double", initial=[1.5, 2.5]), 1)
    2.5
    >>> deref(foreign_alloc("uint32", initial=[1, 258]), 5, "uint8")     # the second byte of 258, the least first
    1
    """
    if type is not None:
        return _deref_as(element_of(type, "deref"), pointer, index)
    if isinstance(pointer, ForeignMemory):
        return pointer[index]
    if isinstance(pointer, Struct) and index == 0:
        return pointer
    element = _pointed(pointer, "deref")
    if element.size is None:
        raise ForeignTypeError(
            f"deref: {shorten(pointer)} points to {element.spelling}, which has no size; cast it first"
        )
    return read_raw(element, raw_address(pointer, "deref") + index * element.size, pointer)


def deref_int(pointer: Any, index: int = 0) -> int:
    """The C ``int`` at ``pointer``, whatever its type says; the classic comparator over ``:pointer`` reads so.

    >>> deref_int(foreign_alloc("int", initial=[41, 42]), 1)
    42
    """
    return _deref_as(WORDS["int"], pointer, index)


def _deref_as(element: CType, pointer: Any, index: Any) -> Any:
    if not hasattr(index, "__index__"):
        raise ForeignTypeError(f"an index is an int, not {shorten(index)}")
    offset = index.__index__() * element.size
    if isinstance(pointer, _backend.Guarded):
        size = _backend.size_of(pointer)
        if offset < 0 or offset + element.size > size >= 0:
            raise ForeignIndexError(f"{element.spelling} {index} of {shorten(pointer)}, which has {size} bytes")
        return read(element, pointer, offset)
    return read_raw(element, raw_address(pointer, "deref") + offset, pointer)


def raw_address(pointer: Any, what: str) -> int:
    if not isinstance(pointer, CData):
        raise ForeignTypeError(f"{what} takes a pointer, not {shorten(pointer)}")
    address = int(cffi.cast(_UINTPTR, pointer))
    if address == 0:
        raise ForeignMemoryError(f"{what}: {shorten(pointer)} is NULL")
    return address


def _pointed(pointer: Any, what: str) -> CType:
    if not isinstance(pointer, CData) or cffi.typeof(pointer).kind not in ("pointer", "array"):
        raise ForeignTypeError(f"{what} takes a pointer, not {shorten(pointer)}")
    return ctype_of(cffi.typeof(pointer).item)


def ctype_of(backend: Any) -> CType:
    """The C type that a cffi type stands for."""
    found = _by_backend.get(backend)
    if found is None:
        if backend.kind == "pointer":
            found = Pointer(ctype_of(backend.item))
        elif backend.kind in ("struct", "union"):
            found = BY_BACKEND.get(backend)
        if found is None:
            raise ForeignTypeError(f"no type of Epsilon's stands for cffi's {cffi.getcname(backend, '')!r}")
    return found


_by_backend = {WORDS[word].backend: WORDS[word] for word in reversed(WORDS) if WORDS[word].code not in "zPyYvx"}
_by_backend[WORDS["void"].backend] = WORDS["void"]


def is_null_pointer(pointer: Any) -> bool:
    """Whether ``pointer`` is ``None`` or a C pointer that is NULL.

    >>> is_null_pointer(None), is_null_pointer(foreign_alloc("int"))
    (True, False)
    """
    if pointer is None:
        return True
    if isinstance(pointer, CData) and cffi.typeof(pointer).kind in ("pointer", "function"):
        return int(cffi.cast(_UINTPTR, pointer)) == 0
    if isinstance(pointer, (_backend.Guarded, _backend.Callback, _backend.Function, CData)):
        return False
    raise ForeignTypeError(f"is_null_pointer takes a pointer, not {shorten(pointer)}")

#: what Hy makes of ``null-pointer?``
hyx_null_pointerXquestion_markX = is_null_pointer



def foreign_string(
    pointer: Any, encoding: str | None = "utf-8", errors: str = "strict", length: int | None = None
) -> Any:
    """The text at ``pointer``, up to a NUL: a str, bytes where ``encoding`` is None, or None for NULL.

    No more than ``length`` bytes are read, nor memory beyond its bounds.

    >>> foreign_string(foreign_alloc("char", initial=b"text" + bytes(1)))
    'text'
    >>> foreign_string(foreign_alloc("char", initial=b"text" + bytes(1)), length=2)
    'te'
    """
    if is_null_pointer(pointer):
        return None
    most = -1
    if length is not None:
        most = count_of(length, WORDS["char"], "foreign_string")
    if isinstance(pointer, ForeignMemory):
        address = pointer.address
        if pointer.size >= 0:
            most = pointer.size if most < 0 else min(most, pointer.size)
    elif isinstance(pointer, CData):
        address = int(cffi.cast(_UINTPTR, cffi.cast(VOID_POINTER, pointer)))
    else:
        raise ForeignTypeError(f"foreign_string takes a pointer, not {shorten(pointer)}")
    raw = cffi.string(cffi.cast(CHARACTER_POINTER.backend, address), most) if most else b""
    return String(encoding, errors).decode(raw)


def struct_pointer(struct: Any) -> ForeignMemory:
    """A pointer to a struct, which keeps it alive and ends with it.

    >>> one = define_c_struct("one", [("a", "int")])(a=3)
    >>> deref(struct_pointer(one)).a
    3
    """
    if not isinstance(struct, Struct):
        raise ForeignTypeError(f"struct_pointer takes a struct, not {shorten(struct)}")
    if type(struct).ctype.flexible is not None:
        return FlexiblePointer(struct)
    return ForeignMemory(type(struct).ctype, 1, _backend.address_of(struct), struct, _backend.is_readonly(struct))


class FlexiblePointer(ForeignMemory):
    """A pointer to a struct that ends with an array without a length: as large as that struct, which it gives."""

    __slots__ = ("struct",)

    def __new__(cls, struct: Struct) -> FlexiblePointer:
        found, address, size = type(struct).ctype, _backend.address_of(struct), _backend.size_of(struct)
        pointer, readonly = found.converter.pointer_type, _backend.is_readonly(struct)
        self = _backend.Guarded.__new__(cls, pointer, size, found.alignment, address, struct, readonly)
        self.element, self.count, self.struct = found, 1, struct
        return self

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return super().__getitem__(index)
        self._place(index)
        _backend.address_of(self)  # raises once it has ended
        return self.struct
