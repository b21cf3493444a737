"""Memory: allocated, pooled and pinned, with a type, bounds and a known end.

Everything here hands out :class:`ForeignMemory`, a guarded block: an index outside raises ``ForeignIndexError``, a
use after the end ``ForeignMemoryError`` with the place where it ended.  Pointers that C gave are plain cffi pointers,
which know neither; ``deref`` reads through both.
"""

from __future__ import annotations

import sys
from itertools import repeat

import _cffi_backend as cffi

from epsilon import _backend
from epsilon.errors import (
    ForeignError,
    ForeignIndexError,
    ForeignMemoryError,
    ForeignTypeError,
    ForeignValueError,
    shorten,
)
from epsilon.expressions import ctype, is_fixed
from epsilon.structs import Struct, read, refuse_write, write
from epsilon.typesystem import (
    BY_BACKEND,
    VOID_POINTER,
    WORDS,
    Array,
    CData,
    CType,
    Pointer,
    String,
    StructCType,
    characters,
)
from epsilon.typesystem import hooks as type_hooks
from epsilon.typesystem.exposed import exposed

TYPE_CHECKING = False  # as in ``typing``, which takes longer to import than all of Epsilon
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

_UINTPTR = WORDS["uintptr"].backend
#: counts up to here are the plain ones of floor 0's
_PLAIN_COUNT = 1 << 29


class ForeignMemory(_backend.Memory):
    """``count`` values of C type ``element``, one after the other.

    ``memory[i]`` reads and ``memory[i] = value`` writes an element; ``len``, iteration and slices work.  It passes as a
    pointer to its element type, ends with ``with`` or ``foreign_free``, and is freed when it is collected.  It compares
    as a pointer does, by its address; memory that has ended is equal to nothing but itself.
    """

    __slots__ = ()

    def __new__(
        cls, element: CType, count: int, address: int | None = None, owner: Any = None, readonly: bool = False
    ) -> ForeignMemory:
        pointer = cffi.new_pointer_type(element.backend)
        self = super().__new__(cls, pointer, element.size * count, element.alignment, address, owner, readonly)
        self.element, self.count = element, count
        return self

    def _place(self, index: Any) -> int:
        if not hasattr(index, "__index__"):
            raise ForeignTypeError(f"an index is an int, not {shorten(index)}")
        place = index.__index__()
        if not 0 <= place < self.count:
            raise ForeignIndexError(f"index {place} of {self!r}, which has {self.count} elements")
        return place * self.element.size

    def _places(self, index: slice) -> range:
        return range(*index.indices(self.count))

    def __len__(self) -> int:
        return self.count

    def __bool__(self) -> bool:
        return True

    def _get(self, index: Any) -> Any:
        """``memory[index]`` where floor 0 has no quick way."""
        if isinstance(index, slice):
            return [self[place] for place in self._places(index)]
        return read(self.element, self, self._place(index))

    def _set(self, index: Any, value: Any) -> None:
        """``memory[index] = value`` where floor 0 has no quick way."""
        if self.readonly:
            refuse_write(self)
        if isinstance(index, slice):
            places, values = self._places(index), list(value)
            if len(places) != len(values):
                raise ForeignValueError(f"{self!r}: got {len(values)} values for {len(places)} elements")
            for place, one in zip(places, values, strict=True):
                self[place] = one
            return
        offset = self._place(index)
        try:
            if isinstance(self.element, Array):
                read(self.element, self, offset)[:] = value
            else:
                write(self.element, self, offset, value)
        except ForeignError as error:
            if error.function is None and self.alive:
                error.args = (f"{self!r}: element {index}: {error.args[0]}",)
            raise

    def __iter__(self) -> Iterator[Any]:
        return (self[place] for place in range(self.count))

    def __eq__(self, other: object) -> Any:
        theirs = _compared(other)
        if theirs is None:
            return NotImplemented
        return self is other or (self.alive and self.address == theirs)

    def __hash__(self) -> int:
        return hash(self.cdata)  # as a cffi pointer's, to which it may be equal

    def __lt__(self, other: Any) -> Any:
        theirs = _compared(other)
        return NotImplemented if theirs is None else self.address < theirs

    def __le__(self, other: Any) -> Any:
        theirs = _compared(other)
        return NotImplemented if theirs is None else self.address <= theirs

    def __gt__(self, other: Any) -> Any:
        theirs = _compared(other)
        return NotImplemented if theirs is None else self.address > theirs

    def __ge__(self, other: Any) -> Any:
        theirs = _compared(other)
        return NotImplemented if theirs is None else self.address >= theirs

    @property
    def cdata(self) -> Any:
        """A cffi pointer to the first element, for plain cffi code; it does not keep the memory alive."""
        return cffi.cast(self.pointer_type, self.address)

    def __bytes__(self) -> bytes:
        """The memory as it is."""
        if self.size < 0:
            raise ForeignTypeError(f"{self!r} has no end that is known; take a slice, p[0:n]")
        return bytes(cffi.buffer(cffi.cast(_CHARACTER_POINTER, self.address), self.size))

    @property
    def __array_interface__(self) -> dict[str, Any]:
        from epsilon.buffers import interface

        return interface(self)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        from epsilon.buffers import as_array

        return as_array(self, dtype, copy)

    def __dlpack__(self, **options: Any) -> Any:
        from epsilon.buffers import as_dlpack

        return as_dlpack(self, **options)

    def __dlpack_device__(self) -> tuple[int, int]:
        return (1, 0)  # kDLCPU, of which there is one

    def __repr__(self) -> str:
        state = f"at {self.address:#x}" if self.alive else "ended"
        return f"<foreign memory {Array(self.element, self.count).spelling}, {state}>"


def _compared(other: object) -> int | None:
    """The address of what memory is compared with: -1 for memory that has ended, None for what is no pointer."""
    if isinstance(other, ForeignMemory):
        return other.address if other.alive else -1
    if isinstance(other, CData) and cffi.typeof(other).kind in ("pointer", "array"):
        return int(cffi.cast(_UINTPTR, cffi.cast(VOID_POINTER, other)))
    return None


class OwnedMemory(ForeignMemory):
    """What C allocated and gave away with ``free``; where its length is not known an index is C's to trust.

    It is freed when it is collected, by ``with``, or by ``foreign_free``.
    """

    __slots__ = ()

    def __new__(cls, found: Pointer, address: int, free: Callable[[Any], Any]) -> OwnedMemory:
        release = _Release(free, address)
        self = _backend.Guarded.__new__(cls, found.backend, -1, 1, address, release, found.const)
        self.element, self.count = found.target, None
        return self

    def bounded(self, count: int) -> OwnedMemory:
        """The same of a length that is known; this object is given up for it."""
        element, release = self.element, _backend.owner_of(self)
        size = count * element.size
        found = _backend.Guarded.__new__(OwnedMemory, self.pointer_type, size, 1, self.address, release, self.readonly)
        found.element, found.count = element, count
        return notice(found)

    def _place(self, index: Any) -> int:
        if self.count is not None:
            return ForeignMemory._place(self, index)
        if not hasattr(index, "__index__"):
            raise ForeignTypeError(f"an index is an int, not {shorten(index)}")
        if self.element.size is None:
            raise ForeignTypeError(f"{self!r} points to {self.element.spelling}, which has no size; cast it first")
        place = index.__index__()
        if place < 0:
            raise ForeignIndexError(f"index {place} of {self!r}, whose end is not known")
        return place * self.element.size

    def __len__(self) -> int:
        if self.count is not None:
            return self.count
        raise ForeignTypeError(f"{self!r} has no length that is known")

    def __iter__(self) -> Iterator[Any]:
        if self.count is not None:
            return ForeignMemory.__iter__(self)
        raise ForeignTypeError(f"{self!r} has no end that is known; take a slice, p[0:n]")

    def _places(self, index: slice) -> range:
        if self.count is not None:
            return ForeignMemory._places(self, index)
        if index.stop is None or min(index.start or 0, index.stop) < 0 or (index.step or 1) < 0:
            raise ForeignIndexError(f"a slice of {self!r}, whose end is not known, is p[start:stop] with stop given")
        return range(*index.indices(index.stop))

    def end(self, where: Any) -> None:
        super().end(where)
        # else C uses it in a call of this thread, or a zero-copy view looks at it: the last of them frees it
        if not _backend.in_flight(self) and not _backend.leases_of(self):
            _backend.owner_of(self).release()

    def __exit__(self, *exception: object) -> None:
        if self.alive:
            self.end(_getframe(1))

    def __repr__(self) -> str:
        state = f"at {self.address:#x}" if self.alive else "ended"
        found = Pointer(self.element) if self.count is None else Array(self.element, self.count)
        return f"<owned {found.spelling}, {state}>"


class _Release:
    """What frees memory that C gave away, once."""

    __slots__ = ("address", "free")

    def __init__(self, free: Callable[[Any], Any], address: int):
        self.free: Callable[[Any], Any] | None = free
        self.address = address

    def release(self) -> None:
        free, self.free = self.free, None
        if free is not None:
            free(cffi.cast(VOID_POINTER, self.address))

    __del__ = release


type_hooks["own"] = lambda found, address, free: OwnedMemory(found, address, free)


def read_raw(element: CType, address: int, owner: Any) -> Any:
    """The value of type ``element`` at an address that C gave; a view of it keeps ``owner`` alive."""
    if isinstance(element, (StructCType, Array)):
        return read(element, ForeignMemory(element, 1, address, owner), 0)
    return element.converter.read_at(address)


def _element(type_: Any, what: str) -> CType:
    element = ctype(type_)
    if element.size is None:
        raise ForeignTypeError(f"{what}: a value of type {element.spelling} has no size")
    if element.only_parameter:
        raise ForeignTypeError(f"{what}: {element.only_parameter}")
    return element


def _count(count: Any, element: CType, what: str) -> int:
    if not hasattr(count, "__index__"):
        raise ForeignTypeError(f"{what}: the count is an int, not {shorten(count)}")
    number = count.__index__()
    if number < 0:
        raise ForeignValueError(f"{what}: the count is 0 or more, not {number}")
    if number * element.size > sys.maxsize:
        raise ForeignValueError(
            f"{what}: {shorten(number)} times {element.spelling} ({element.size} bytes) is larger than any memory"
        )
    return number


#: the words of C's own types → what floor 0 allocates them by; empty while allocations are recorded
_known: dict[Any, tuple[Any, Any]] = {}
_allocate = ForeignMemory.allocate
_free = ForeignMemory.free
_getframe = sys._getframe


def _ways(type: Any, element: CType) -> dict[Any, tuple[Any, Any]]:
    """What floor 0 allocates values of ``element`` by, which ``type`` spells."""
    ways = {element: (element.converter, cffi.new_pointer_type(element.backend))}
    if is_fixed(type) and not _backend.checking:
        _known[type] = ways[element]
    return ways


def remember_site(memory: Any) -> None:
    """Let memory remember the line, outside Epsilon, that allocates it, under ``EPSILON_CHECK=1``."""
    if not _backend.checking:
        return
    frame = _getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").split(".")[0] == "epsilon":
        frame = frame.f_back
    _backend.set_allocated_at(memory, f"{frame.f_code.co_filename}:{frame.f_lineno}")


def foreign_alloc(type: Any, count: Any = None, initial: Any = None) -> ForeignMemory:
    """Allocate ``count`` (1) values of ``type``, zeroed; ``initial`` is a sequence of values, or one for all.

    A sequence without ``count`` says how many there are; a str or bytes is one of characters where ``type`` is one.
    Raises ``ForeignValueError`` for more initial values than elements or more elements than any memory holds, and the
    conversion's error for a value that does not fit.

    >>> p = foreign_alloc("int", count=3, initial=[7, 8])
    >>> list(p)
    [7, 8, 0]
    >>> foreign_free(p)
    >>> p[0]
    Traceback (most recent call last):
    ...
    epsilon.errors.ForeignMemoryError: use of <foreign memory int [3], ended> after its end: it was freed at ...
    """
    if initial is None:
        memory = _allocate(_known, type, count)
        if memory is not None:
            return memory
    element, count, values = requested(type, count, initial, "foreign_alloc")
    if isinstance(element, Array) or count >= _PLAIN_COUNT:
        memory = ForeignMemory(element, count)
    else:
        memory = _allocate(_ways(type, element), element, count)
    remember_site(memory)
    for index, value in enumerate(values):
        memory[index] = value
    return memory


def requested(type: Any, count: Any, initial: Any, what: str) -> tuple[CType, int, Any]:
    """What an allocation is asked for: the element, how many, and the values that they begin with."""
    element = _element(type, what)
    values: Any = ()
    if initial is not None:
        if isinstance(initial, (str, bytes)) and element.code in "cCbB":
            initial = characters(element, initial)
        if isinstance(initial, (str, bytes, Struct)) or not hasattr(initial, "__iter__") or hasattr(initial, "keys"):
            count = _count(1 if count is None else count, element, what)
            values = repeat(initial, count)
        else:
            values = list(initial)
            count = len(values) if count is None else count
    count = _count(1 if count is None else count, element, what)
    if isinstance(values, list) and len(values) > count:
        raise ForeignValueError(f"{what}: {len(values)} initial values for {count} elements of {element.spelling}")
    return element, count, values


def foreign_free(memory: Any) -> None:
    """Free what ``foreign_alloc`` gave, or what a function with ``free`` did.

    Raises ``ForeignMemoryError`` when it has been freed already, or is nothing that was allocated here.
    """
    if memory.__class__ is ForeignMemory and _free(memory, _getframe(1)):
        return
    if isinstance(memory, OwnedMemory):
        memory.end(_getframe(1))
        return
    if (
        not isinstance(memory, (ForeignMemory, Struct))
        or _backend.owner_of(memory) is not None
        or isinstance(memory, PooledMemory)
    ):
        raise ForeignMemoryError(f"foreign_free: {shorten(memory)} was not allocated by foreign_alloc")
    _backend.end(memory, _getframe(1))


def foreign_memory(type: Any, count: Any = None, initial: Any = None) -> ForeignMemory:
    """``foreign_alloc`` for a ``with`` block, at whose end the memory ends.

    >>> with foreign_memory("int", count=2) as p:
    ...     p[1] = 5
    ...     list(p)
    [0, 5]
    """
    return foreign_alloc(type, count, initial)


# --- pools ----------------------------------------------------------------------------------------------------------


class PooledMemory(ForeignMemory):
    """A block of this thread's pool; at the end of ``with`` it goes back, and the next block of its size is that
    one."""

    __slots__ = ()


_take = PooledMemory.take


def pooled_memory(type: Any, count: Any = 1) -> PooledMemory:
    """Memory from this thread's pool, for a ``with`` block.

    A reused block of numbers holds what was last in it; one of anything else is zeroed.

    >>> with pooled_memory("int", count=4) as p:
    ...     p[0] = 1
    """
    memory = _take(_known, type, count)
    if memory is not None:
        return memory
    element = _element(type, "pooled_memory")
    count = _count(count, element, "pooled_memory")
    if isinstance(element, Array) or count >= _PLAIN_COUNT:
        memory = PooledMemory(element, count)
    else:
        memory = _take(_ways(type, element), element, count)
    remember_site(memory)
    return memory


# --- pinned buffers -------------------------------------------------------------------------------------------------

_FORMATS = {
    "b": "int8", "B": "uint8", "c": "char", "?": "bool", "h": "short", "H": "unsigned-short", "i": "int",
    "I": "unsigned-int", "l": "long", "L": "unsigned-long", "q": "long-long", "Q": "unsigned-long-long", "n": "ssize",
    "N": "size", "f": "float", "d": "double",
}  # fmt: skip
#: with a byte order in front, sizes are the standard's and not the platform's (the struct module's documentation)
_STANDARD_FORMATS = {
    **{code: _FORMATS[code] for code in "bBc?fd"},
    **{"h": "int16", "H": "uint16", "i": "int32", "I": "uint32", "l": "int32", "L": "uint32", "q": "int64",
       "Q": "uint64"},
}
_NATIVE_ORDER = "=<" if sys.byteorder == "little" else "=>!"


def _word_of_format(text: str) -> str | None:
    """The scalar that a buffer's format says, or None for another byte order or several values."""
    if text[:1] in _NATIVE_ORDER:
        return _STANDARD_FORMATS.get(text[1:])
    return _FORMATS.get(text.removeprefix("@"))


def scalar_of_format(text: str) -> CType | None:
    """The C type of a buffer's elements, complex ones and long doubles included; None where they are no C scalars."""
    word = _word_of_format(text) or _MORE_FORMATS.get(text.removeprefix("@"))
    return None if word is None else WORDS[word]


#: of NumPy's and ctypes' (PEP 3118)
_MORE_FORMATS = {"g": "long-double", "Zf": "float-complex", "Zd": "double-complex"}

_CHARACTERS = cffi.new_array_type(cffi.new_pointer_type(cffi.new_primitive_type("char")), None)


class PinnedArray(ForeignMemory):
    """The memory of a Python object with the buffer protocol, in place; the object cannot be resized meanwhile."""

    __slots__ = ("hold",)

    def __exit__(self, *exception: object) -> None:
        if self.alive:
            self.end(_getframe(1))
        if self.hold is not None and not _backend.in_flight(self):  # else it is released with this object
            if not _backend.leases_of(self):  # else the last zero-copy view does, which keeps the owner
                cffi.release(self.hold)
            self.hold = None


def pinned_array(array: Any) -> PinnedArray:
    """The memory of ``array`` (a ``bytearray``, ``array.array``, NumPy array …) without a copy, for a ``with`` block.

    Its elements have the array's own type; a read-only object gives read-only memory.  Raises ``ForeignTypeError``
    for an object without the buffer protocol or with elements that are no C scalars, ``ForeignValueError`` for memory
    that is not contiguous.

    >>> data = bytearray(b"abc")
    >>> with pinned_array(data) as p:
    ...     p[0] = ord("x")
    >>> data
    bytearray(b'xbc')
    """
    given, array = array, exposed(array)
    if array is None:
        raise ForeignTypeError(f"pinned_array takes an object with the buffer protocol, not {shorten(given)}")
    with memoryview(array) as view:
        if not view.c_contiguous:
            raise ForeignValueError(f"pinned_array: the memory of {shorten(array)} is not contiguous")
        word = _word_of_format(view.format)
        if word is None:
            raise ForeignTypeError(f"pinned_array: elements of format {view.format!r} are no C scalars")
        element, count, readonly = WORDS[word], view.nbytes // view.itemsize, view.readonly
    hold = cffi.from_buffer(_CHARACTERS, array, not readonly)
    pinned = PinnedArray(element, count, int(cffi.cast(_UINTPTR, hold)), (hold, array), readonly)
    pinned.hold = hold
    return pinned


# --- reading through pointers ---------------------------------------------------------------------------------------


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
        return _deref_as(_element(type, "deref"), pointer, index)
    if isinstance(pointer, ForeignMemory):
        return pointer[index]
    if isinstance(pointer, Struct) and index == 0:
        return pointer
    element = _pointed(pointer, "deref")
    if element.size is None:
        raise ForeignTypeError(
            f"deref: {shorten(pointer)} points to {element.spelling}, which has no size; cast it first"
        )
    return read_raw(element, _raw_address(pointer, "deref") + index * element.size, pointer)


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
    return read_raw(element, _raw_address(pointer, "deref") + offset, pointer)


def _raw_address(pointer: Any, what: str) -> int:
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
        most = _count(length, WORDS["char"], "foreign_string")
    if isinstance(pointer, ForeignMemory):
        address = pointer.address
        if pointer.size >= 0:
            most = pointer.size if most < 0 else min(most, pointer.size)
    elif isinstance(pointer, CData):
        address = int(cffi.cast(_UINTPTR, cffi.cast(VOID_POINTER, pointer)))
    else:
        raise ForeignTypeError(f"foreign_string takes a pointer, not {shorten(pointer)}")
    raw = cffi.string(cffi.cast(_CHARACTER_POINTER, address), most) if most else b""
    return String(encoding, errors).decode(raw)


_CHARACTER_POINTER = cffi.new_pointer_type(cffi.new_primitive_type("char"))


def struct_pointer(struct: Any) -> ForeignMemory:
    """A pointer to a struct, which keeps it alive and ends with it.

    >>> from epsilon.structs import define_c_struct
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


def array_taker(array: Array) -> Any:
    """What makes the pointer that is passed for an array: ``arrays.taker``, which is imported for the first array."""
    from epsilon.arrays import taker

    return taker(array)


type_hooks["array_taker"] = array_taker


# --- sizes ----------------------------------------------------------------------------------------------------------


def sizeof(type: Any) -> int:
    """The bytes that a value of ``type`` takes.

    Raises ``ForeignTypeError`` for a type without a size: ``void``, a struct that is not defined, an array without
    length.

    >>> sizeof("int"), sizeof(("array", "double", 3))
    (4, 24)
    """
    return _element(type, "sizeof").size


def alignof(type: Any) -> int:
    """The alignment of ``type``, in bytes: the address of a value of that type is a multiple of it.

    >>> alignof("double")
    8
    """
    return _element(type, "alignof").alignment


# --- what is live ---------------------------------------------------------------------------------------------------


def report() -> Any:
    """The foreign memory that is live: a list of blocks with ``type``, ``size``, ``address`` and ``allocated``.

    ``allocated`` is the line that allocated the block, which is remembered under ``EPSILON_CHECK=1``, and else None.
    Structs are in it, arenas and pools by their regions; views, derived pointers and pinned arrays are not.

    >>> p = foreign_alloc("int", count=1234)
    >>> [block.size for block in report() if block.type == "int [1234]"]
    [4936]
    """
    from epsilon import ledger

    return ledger.report()


def notice(memory: Any) -> Any:
    """Called with memory that is allocated otherwise than by the functions above; ``ledger.notice``, under
    ``EPSILON_CHECK=1``."""
    return memory


if _backend.checking:
    from epsilon import ledger

    ledger.watch()
