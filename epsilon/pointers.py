"""Pointer arithmetic that stays guarded: what is derived from memory keeps its bounds, and ends with it.

A pointer that C gave is trusted, as everywhere; ``pointer_add`` with a count gives it bounds.
"""

from __future__ import annotations

import _cffi_backend as cffi

from epsilon import _backend
from epsilon.dereference import ctype_of, struct_pointer
from epsilon.errors import (
    ForeignIndexError,
    ForeignMemoryError,
    ForeignRangeError,
    ForeignTypeError,
    ForeignValueError,
    nearest,
    shorten,
)
from epsilon.expressions import ctype, word_of
from epsilon.memory import ForeignMemory
from epsilon.owned import OwnedMemory
from epsilon.structs import Struct
from epsilon.typesystem import (
    CHARACTER_POINTER,
    VOID_POINTER,
    WORDS,
    Array,
    CData,
    CType,
    FunctionPointer,
    Handle,
    Integer,
    Pointer,
    String,
    StructCType,
    Void,
    same_representation,
)
from epsilon.views import BYTES, ArrayView

TYPE_CHECKING = False  # as in ``typing``, which takes longer to import than all of Epsilon
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

_UINTPTR = WORDS["uintptr"].backend


class DerivedMemory(ForeignMemory):
    """A place in other memory, or that memory as another type: it ends with it, and has no end of its own.

    ``block`` is the memory that it may be moved in, None for itself.
    """

    __slots__ = ("block",)

    def __new__(
        cls, element: CType, address: int, size: int, owner: Any, readonly: bool, block: Any = None
    ) -> DerivedMemory:
        pointer = cffi.new_pointer_type(element.backend)
        self = _backend.Guarded.__new__(cls, pointer, size, element.alignment or 1, address, owner, readonly)
        self.element = element
        self.count = size // element.size if size >= 0 and element.size else None
        self.block = block
        return self

    def _place(self, index: Any) -> int:
        return OwnedMemory._place(self, index) if self.count is None else super()._place(index)

    def _places(self, index: slice) -> range:
        return OwnedMemory._places(self, index) if self.count is None else super()._places(index)

    def __len__(self) -> int:
        return OwnedMemory.__len__(self) if self.count is None else self.count

    def __iter__(self) -> Iterator[Any]:
        return OwnedMemory.__iter__(self) if self.count is None else super().__iter__()

    def __exit__(self, *exception: object) -> None:
        """The end of ``with`` is not that of the memory which this is part of."""

    def __repr__(self) -> str:
        state = f"at {self.address:#x}" if self.alive else "ended"
        spelling = Pointer(self.element).spelling if self.count is None else Array(self.element, self.count).spelling
        return f"<pointer into foreign memory, {spelling}, {state}>"


def _memory(pointer: Any) -> Any:
    """The guarded memory that ``pointer`` is, a struct or an array member included; else None."""
    if isinstance(pointer, ForeignMemory):
        return pointer
    if isinstance(pointer, Struct):
        return struct_pointer(pointer)
    if isinstance(pointer, ArrayView):
        owner, found = pointer._owner, pointer._ctype
        address = _backend.address_of(owner) + pointer._offset
        return DerivedMemory(found.target, address, found.size or 0, owner, _backend.is_readonly(owner))
    return None


def _raw(pointer: Any, what: str) -> tuple[int, CType]:
    """The address of a pointer that C gave, and its element type."""
    if not isinstance(pointer, CData) or cffi.typeof(pointer).kind not in ("pointer", "array"):
        raise ForeignTypeError(f"{what} takes a pointer, not {shorten(pointer)}")
    address = _address(pointer)
    if address == 0:
        raise ForeignMemoryError(f"{what}: {shorten(pointer)} is NULL")
    return address, ctype_of(cffi.typeof(pointer).item)


def _address(pointer: Any) -> int:
    return int(cffi.cast(_UINTPTR, cffi.cast(VOID_POINTER, pointer)))


def _sized(element: CType, pointer: Any, what: str) -> int:
    if not element.size:
        raise ForeignTypeError(
            f"{what}: {shorten(pointer)} points to {element.spelling}, which has no size; cast it first"
        )
    return element.size


def _number(value: Any, what: str) -> int:
    if not hasattr(value, "__index__"):
        raise ForeignTypeError(f"{what}, not {shorten(value)}")
    return value.__index__()


def pointer_add(pointer: Any, n: int, count: int | None = None) -> Any:
    """``pointer + n``, counted in elements; ``count`` elements there, where it is given, and else all to the end.

    What comes of memory is memory: it has the bounds that are left, may be moved back and forth within the block, and
    ends with it.  With ``count`` it is a block of its own, which is how a pointer that C gave gets bounds, too.
    Raises ``ForeignIndexError`` for a place outside the block, ``ForeignMemoryError`` after its end and for NULL,
    ``ForeignTypeError`` for a ``void *``.

    >>> from epsilon import foreign_alloc
    >>> p = foreign_alloc("int", initial=[1, 2, 3, 4])
    >>> list(pointer_add(p, 2)), list(pointer_add(p, 1, 2))
    ([3, 4], [2, 3])
    >>> pointer_add(pointer_add(p, 2), -1)[0]
    2
    >>> pointer_add(p, 5)
    Traceback (most recent call last):
    ...
    epsilon.errors.ForeignIndexError: pointer_add: 5 from <foreign memory int [4], at 0x...> is outside of it
    """
    n = _number(n, "pointer_add: a number of elements is an int")
    if count is not None:
        count = _number(count, "pointer_add: the count is an int")
        if count < 0:
            raise ForeignValueError(f"pointer_add: the count is 0 or more, not {count}")
    memory = _memory(pointer)
    if memory is None:
        return _raw_add(pointer, n, count)
    step = _sized(memory.element, pointer, "pointer_add")
    block = memory.block if isinstance(memory, DerivedMemory) and memory.block is not None else memory
    address = memory.address + n * step
    start, size = block.address, block.size
    left = -1 if size < 0 else start + size - address
    wanted = left if count is None else count * step
    if address < start or (size >= 0 and not 0 <= wanted <= left):
        many = "" if count is None else f" with {count} elements"
        raise ForeignIndexError(f"pointer_add: {n} from {pointer!r}{many} is outside of it")
    return DerivedMemory(memory.element, address, wanted, block, memory.readonly, block if count is None else None)


def _raw_add(pointer: Any, n: int, count: int | None) -> Any:
    address, element = _raw(pointer, "pointer_add")
    step = _sized(element, pointer, "pointer_add")
    address += n * step
    if not 0 < address < 1 << 8 * cffi.sizeof(VOID_POINTER):
        raise ForeignRangeError(f"pointer_add: {shorten(n)} from {shorten(pointer)} is no address")
    if count is None:
        return cffi.cast(cffi.new_pointer_type(element.backend), address)
    return DerivedMemory(element, address, count * step, pointer, False)


def pointer_sub(pointer: Any, other: Any) -> Any:
    """``pointer - other``: with a number the pointer that many elements before, with a pointer the elements between.

    Two pointers have the same element type, and lie in one block where they are of Epsilon's memory; else there is no
    difference, and ``ForeignTypeError`` or ``ForeignValueError`` says so.

    >>> from epsilon import foreign_alloc
    >>> p = foreign_alloc("int", count=4)
    >>> pointer_sub(pointer_add(p, 3), p), pointer_sub(pointer_add(p, 3), 1) == pointer_add(p, 2)
    (3, True)
    """
    if hasattr(other, "__index__"):
        return pointer_add(pointer, -other.__index__())
    (first, element, block), (second, other_element, other_block) = _located(pointer), _located(other)
    step = _sized(element, pointer, "pointer_sub")
    if not same_representation(element.backend, other_element.backend):
        raise ForeignTypeError(f"pointer_sub: {shorten(pointer)} points to {element.spelling}, and {shorten(other)} to "
                               f"{other_element.spelling}")  # fmt: skip
    if block is not None and other_block is not None and block is not other_block:
        raise ForeignValueError(f"pointer_sub: {shorten(pointer)} and {shorten(other)} are not of one block of memory")
    between = first - second
    if between % step:
        raise ForeignValueError(f"pointer_sub: between {shorten(pointer)} and {shorten(other)} are {between} bytes, no "
                                f"whole number of {element.spelling}")  # fmt: skip
    return between // step


def _located(pointer: Any) -> tuple[int, CType, Any]:
    """The address, the element type, and the memory that all is derived from, None for C's."""
    memory = _memory(pointer)
    if memory is None:
        return (*_raw(pointer, "pointer_sub"), None)
    root = memory
    while isinstance(_backend.owner_of(root), _backend.Guarded):
        root = _backend.owner_of(root)
    return memory.address, memory.element, root


def cast(pointer: Any, type: Any) -> Any:
    """``pointer`` as a pointer of another type, as C's ``(T *)p``: ``type`` is the pointer's.

    Memory stays guarded: as many elements as its bytes hold.  An address (an int) and what C gave become plain
    pointers, None NULL; as a function type it is a callable; as an integer of a pointer's size, the address.  Raises
    ``ForeignTypeError`` for another type and for what is no pointer.

    >>> from epsilon import foreign_alloc
    >>> list(cast(foreign_alloc("uint16", initial=[0x0201, 0x0403]), ("pointer", "uint8")))
    [1, 2, 3, 4]
    >>> cast(4096, ("pointer", "int")), cast(None, "pointer")
    (<cdata 'int *' 0x1000>, <cdata 'void *' NULL>)
    >>> cast(cast(4096, "pointer"), "uintptr")
    4096
    """
    wanted = ctype(type)
    found = wanted.representation
    if isinstance(found, String):
        found = Pointer(CHARACTER_POINTER.target, True)
    if isinstance(found, Integer) and found.size == cffi.sizeof(VOID_POINTER):
        return int(cffi.cast(found.backend, _cast_address(pointer)))
    if isinstance(found, FunctionPointer):
        return found.wrap(cffi.cast(VOID_POINTER, _cast_address(pointer)))
    if not isinstance(found, Pointer):
        raise ForeignTypeError(f"cast makes a pointer of another type, such as ('pointer', 'int'), or an integer of "
                               f"its size, not a value of type {wanted.spelling}")  # fmt: skip
    memory = _memory(pointer)
    if memory is None:
        return cffi.cast(found.backend, _cast_address(pointer))
    readonly = memory.readonly or found.const
    return DerivedMemory(found.target, memory.address, memory.size, memory, readonly)


def _cast_address(pointer: Any) -> int:
    if pointer is None:
        return 0
    if isinstance(pointer, (_backend.Guarded, ArrayView)):
        return _memory(pointer).address
    if isinstance(pointer, (_backend.Callback, _backend.Function, Handle)):
        return pointer.address
    if isinstance(pointer, CData) and cffi.typeof(pointer).kind in ("pointer", "array", "function"):
        return _address(pointer)
    if isinstance(pointer, int):
        if not 0 <= pointer < 1 << 8 * cffi.sizeof(VOID_POINTER):
            raise ForeignRangeError(f"cast: {shorten(pointer)} is no address")
        return pointer
    raise ForeignTypeError(f"cast takes a pointer, or an address, not {shorten(pointer)}")


def offsetof(type: Any, *members: Any) -> int:
    """The bytes from the start of a struct to a member; further names and indices lead into it.

    Raises ``ForeignTypeError`` for a type without such a member and for a bit-field, which has no offset in bytes
    (C11 §7.19), and ``ForeignIndexError`` for an element that an array does not have.

    >>> from epsilon import define_c_struct
    >>> point = define_c_struct("point", [("x", "int"), ("y", "int")])
    >>> offsetof(point, "y")
    4
    >>> offsetof(define_c_struct("line", [("tag", "char"), ("ends", ("array", point, 2))]), "ends", 1, "y")
    16
    """
    found, offset = ctype(type), 0
    if not members:
        raise ForeignTypeError(f"offsetof: the member of {found.spelling} is missing")
    for member in members:
        if isinstance(found, Array):
            index = _number(member, f"offsetof: an index into {found.spelling} is an int")
            if index < 0 or (found.length is not None and index >= found.length):
                raise ForeignIndexError(f"offsetof: index {index} of {found.spelling}")
            found, offset = found.target, offset + index * found.target.size
            continue
        if not isinstance(found, StructCType) or found.fields is None:
            raise ForeignTypeError(f"offsetof: {found.spelling} has no members")
        name = (word_of(member) or "").lstrip("':").replace("-", "_")
        layout = next((field for field in found.fields if field.name == name), None)
        if layout is None:
            near = nearest(name, [field.name for field in found.fields])
            raise ForeignTypeError(f"offsetof: {found.spelling} has no member {shorten(member)}{near}")
        if layout.bits is not None:
            raise ForeignTypeError(f"offsetof: {found.spelling}: {name!r} is a bit-field, which begins at no byte")
        found, offset = layout.ctype, offset + layout.offset
    return offset


# --- bulk copies ----------------------------------------------------------------------------------------------------


class _Side:
    """Where bytes are copied to or from: memory, what C gave, or an object with the buffer protocol."""

    __slots__ = ("address", "element", "hold", "memory", "size", "what")

    def __init__(self, what: str, value: Any, writable: bool):
        self.what = f"foreign_copy: the {what} {shorten(value)}"
        self.memory, self.hold, self.size = _memory(value), None, -1
        if self.memory is not None:
            if writable and self.memory.readonly:
                raise ForeignMemoryError(f"{self.what} is read-only")
            self.element: Any = self.memory.element
            self.address, self.size = self.memory.address, self.memory.size
        elif isinstance(value, CData):
            self.address, self.element = _raw(value, f"foreign_copy: the {what}")
        else:
            self.hold, self.element = self.lock(value, writable), None
            self.address, self.size = _address(self.hold), len(self.hold)

    def lock(self, value: Any, writable: bool) -> Any:
        try:
            return cffi.from_buffer(BYTES, value, writable)
        except (TypeError, BufferError, ValueError) as error:
            raise ForeignTypeError(f"{self.what} is no pointer and no {'writable ' * writable}buffer") from error

    def release(self) -> None:
        if self.hold is not None:
            cffi.release(self.hold)


def foreign_copy(target: Any, source: Any, count: int | None = None) -> int:
    """Copy ``count`` elements from ``source`` to the beginning of ``target``, which may overlap (memmove(3)); returns
    how many.

    Each is a pointer, or an object with the buffer protocol, such as bytes or a ``bytearray``.  The elements are those
    of the two pointers, which have one type; a ``void *`` counts bytes and goes with any, as do two buffers.  Without
    ``count`` all that ``source`` has is copied.  What is known of either's bounds is checked.

    Raises ``ForeignIndexError`` for more than either has, ``ForeignMemoryError`` for memory that has ended or is
    read-only and for NULL, ``ForeignTypeError`` for elements of two types.

    >>> from epsilon import foreign_alloc
    >>> p = foreign_alloc("int", initial=[1, 2, 3, 4])
    >>> foreign_copy(pointer_add(p, 1), p, 3), list(p)
    (3, [1, 1, 2, 3])
    >>> foreign_copy(p, bytes(8)), list(p)
    (2, [0, 0, 2, 3])
    """
    to = _Side("target", target, True)
    try:
        from_ = _Side("source", source, False)
        try:
            return _copy(to, from_, count)
        finally:
            from_.release()
    finally:
        to.release()


def _copy(to: _Side, from_: _Side, count: int | None) -> int:
    step = _step(to, from_)
    if count is None:
        if from_.size < 0:
            raise ForeignTypeError(f"{from_.what} does not say how many elements it has; give the count")
        if from_.size % step:
            raise ForeignValueError(f"{from_.what} has {from_.size} bytes, no whole number of elements of {step}")
        count = from_.size // step
    count = _number(count, "foreign_copy: the count is an int")
    if count < 0:
        raise ForeignValueError(f"foreign_copy: the count is 0 or more, not {count}")
    size = count * step
    for side in (to, from_):
        if 0 <= side.size < size:
            raise ForeignIndexError(f"{side.what} has {side.size} bytes, and {count} elements have {size}")
    if not -1 < size < 1 << 8 * cffi.sizeof(VOID_POINTER) - 1:
        raise ForeignValueError(f"foreign_copy: {shorten(count)} elements are larger than any memory")
    cffi.memmove(cffi.cast(VOID_POINTER, to.address), cffi.cast(VOID_POINTER, from_.address), size)
    if to.memory is not None:
        _keep(to, from_, size)
    return count


def _step(to: _Side, from_: _Side) -> int:
    """The bytes of one element."""
    elements = [side.element for side in (to, from_) if side.element is not None and not isinstance(side.element, Void)]
    if len(elements) == 2 and not same_representation(elements[0].backend, elements[1].backend):
        raise ForeignTypeError(f"{to.what} has elements of type {elements[0].spelling}, and the source of type "
                               f"{elements[1].spelling}; cast one of them")  # fmt: skip
    if len(elements) < 2 and any(isinstance(side.element, Void) for side in (to, from_)):
        return 1
    if not elements:
        return 1
    if not elements[0].size:
        raise ForeignTypeError(f"{to.what}: {elements[0].spelling} has no size; cast it first")
    return elements[0].size


def _keep(to: _Side, from_: _Side, size: int) -> None:
    """The target keeps what the source's pointers point to, and no longer what they have overwritten."""
    moved = {}
    if from_.memory is not None:
        for place, kept in list(_backend.kept_by(from_.memory).items()):
            if 0 <= place - from_.address < size:
                moved[place - from_.address + to.address] = kept
    keeps = _backend.kept_by(to.memory)
    for place in [place for place in keeps if 0 <= place - to.address < size]:
        del keeps[place]
    keeps.update(moved)


#: what Hy makes of ``pointer+`` and ``pointer-``
hyx_pointerXplus_signX = pointer_add
pointer_ = pointer_sub
