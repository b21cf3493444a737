"""Memory: allocated and pooled, with a type, bounds and a known end.

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
from epsilon.structs import Struct
from epsilon.typesystem import VOID_POINTER, WORDS, Array, CData, CType, characters
from epsilon.typesystem import hooks as type_hooks
from epsilon.views import bytes_at, read, refuse_write, write

TYPE_CHECKING = False  # as in ``typing``, which takes longer to import than all of Epsilon
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from epsilon.typesystem import Pointer

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
        return bytes(bytes_at(self.address, self.size))

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


def _own(found: Pointer, address: int, free: Callable[[Any], Any]) -> Any:
    """The memory at ``address`` that C gave away; ``owned``, which has the class, is imported for the first of it."""
    from epsilon.owned import OwnedMemory

    return OwnedMemory(found, address, free)


type_hooks["own"] = _own


def element_of(type_: Any, what: str) -> CType:
    element = ctype(type_)
    if element.size is None:
        raise ForeignTypeError(f"{what}: a value of type {element.spelling} has no size")
    if element.only_parameter:
        raise ForeignTypeError(f"{what}: {element.only_parameter}")
    return element


def count_of(count: Any, element: CType, what: str) -> int:
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
    if _backend.checking:
        from epsilon.sites import users_line

        _backend.set_allocated_at(memory, users_line())


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
    element = element_of(type, what)
    values: Any = ()
    if initial is not None:
        if isinstance(initial, (str, bytes)) and element.code in "cCbB":
            initial = characters(element, initial)
        if isinstance(initial, (str, bytes, Struct)) or not hasattr(initial, "__iter__") or hasattr(initial, "keys"):
            count = count_of(1 if count is None else count, element, what)
            values = repeat(initial, count)
        else:
            values = list(initial)
            count = len(values) if count is None else count
    count = count_of(1 if count is None else count, element, what)
    if isinstance(values, list) and len(values) > count:
        raise ForeignValueError(f"{what}: {len(values)} initial values for {count} elements of {element.spelling}")
    return element, count, values


def foreign_free(memory: Any) -> None:
    """Free what ``foreign_alloc`` gave, or what a function with ``free`` did.

    Raises ``ForeignMemoryError`` when it has been freed already, or is nothing that was allocated here.
    """
    if memory.__class__ is ForeignMemory and _free(memory, _getframe(1)):
        return
    from epsilon.owned import OwnedMemory

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
    element = element_of(type, "pooled_memory")
    count = count_of(count, element, "pooled_memory")
    if isinstance(element, Array) or count >= _PLAIN_COUNT:
        memory = PooledMemory(element, count)
    else:
        memory = _take(_ways(type, element), element, count)
    remember_site(memory)
    return memory


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
    return element_of(type, "sizeof").size


def alignof(type: Any) -> int:
    """The alignment of ``type``, in bytes: the address of a value of that type is a multiple of it.

    >>> alignof("double")
    8
    """
    return element_of(type, "alignof").alignment


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
