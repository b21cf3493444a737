"""NumPy and everything else with a buffer: foreign memory as arrays, and arrays into foreign memory.

``from_buffer`` and ``into_buffer`` copy between the two, and know both sides: the C type and the bytes of the one, the
dtype and the shape of the other.  A view without a copy looks at the very bytes, through a :class:`Lease` of floor 0,
which keeps them for as long as an array does.  NumPy is imported at the first use, and ``into_buffer`` does without.
"""

from __future__ import annotations

import sys
from operator import index as as_index
from typing import Any

import _cffi_backend as cffi

from epsilon import _backend
from epsilon.dereference import ctype_of
from epsilon.errors import ForeignMemoryError, ForeignTypeError, ForeignValueError, shorten
from epsilon.expressions import ctype
from epsilon.formats import scalar_of_format
from epsilon.memory import ForeignMemory
from epsilon.structs import Struct, StructType
from epsilon.typesystem import NAMED, VOID, WORDS, Array, CData, CType, Integer, StructCType, same_representation
from epsilon.typesystem.exposed import array_of
from epsilon.views import ArrayView

_Lease = _backend.Lease
_UINTPTR = WORDS["uintptr"].backend
_BYTES = cffi.new_pointer_type(cffi.new_primitive_type("char"))


_imported: Any = None


def _numpy(who: str) -> Any:
    """NumPy, or the error that says how to get it."""
    global _imported
    try:
        import numpy as _imported
    except ImportError as error:
        raise ImportError(f"{who} needs NumPy, which is not here: pip install 'epsilon-ffi[numpy]'") from error
    return _imported


# --- the C side -----------------------------------------------------------------------------------------------------


def _place(pointer: Any, who: str) -> tuple[CType, int, int, bool, Any]:
    """Where a pointer points: its C type, the address, the bytes that are known to be there (-1: C's own memory, of
    which nobody knows), whether they may only be read, and what keeps them."""
    if isinstance(pointer, ForeignMemory):
        return pointer.element, pointer.address, pointer.size, pointer.readonly, pointer
    if isinstance(pointer, Struct):
        address, size = _backend.address_of(pointer), _backend.size_of(pointer)
        return type(pointer).ctype, address, size, _backend.is_readonly(pointer), pointer
    if isinstance(pointer, ArrayView):
        owner, array = pointer._owner, pointer._ctype
        address = _backend.address_of(owner) + pointer._offset
        return array.target, address, array.size or 0, _backend.is_readonly(owner), owner
    if isinstance(pointer, CData) and cffi.typeof(pointer).kind in ("pointer", "array"):
        kind = cffi.typeof(pointer)
        address = int(cffi.cast(_UINTPTR, pointer))
        size = cffi.sizeof(pointer) if kind.kind == "array" else -1
        if address == 0:
            raise ForeignMemoryError(f"{who}: {shorten(pointer)} is NULL")
        return ctype_of(kind.item), address, size, False, pointer
    if pointer is None:
        raise ForeignMemoryError(f"{who}: the pointer is NULL")
    raise ForeignTypeError(f"{who} takes a pointer, not {shorten(pointer)}")


def _unwound(element: CType) -> tuple[CType, tuple[int, ...]]:
    """What an array of arrays has in the end, and its dimensions."""
    lengths: list[int] = []
    while isinstance(element, Array):
        lengths.append(element.length or 0)
        element = element.target
    return element, tuple(lengths)


def _known_shape(pointer: Any, who: str) -> tuple[int, ...]:
    """How many elements a pointer is known to have; an array's dimensions are the last ones."""
    if isinstance(pointer, ForeignMemory) and pointer.count is not None:
        return (pointer.count, *_unwound(pointer.element)[1])
    if isinstance(pointer, Struct):
        return (1,)
    if isinstance(pointer, ArrayView):
        return _unwound(pointer._ctype)[1]
    if isinstance(pointer, CData) and cffi.typeof(pointer).kind == "array":
        return (len(pointer), *_unwound(ctype_of(cffi.typeof(pointer).item))[1])
    raise ForeignValueError(f"{who}: nobody knows how many elements {shorten(pointer)} has; say the shape")


def _shape(shape: Any) -> tuple[int, ...]:
    try:
        found = tuple(map(as_index, shape)) if hasattr(shape, "__iter__") else (as_index(shape),)
    except TypeError:
        raise ForeignTypeError(f"from_buffer: a shape is an int or a tuple of ints, not {shorten(shape)}") from None
    if found and min(found) < 0:
        raise ForeignValueError(f"from_buffer: a shape has no negative numbers, got {shorten(shape)}")
    return found


# --- dtypes ---------------------------------------------------------------------------------------------------------

_DTYPES = {"b": "i1", "c": "i1", "B": "u1", "C": "u1", "h": "i2", "H": "u2", "i": "i4", "I": "u4", "q": "i8", "Q": "u8",
           "?": "?", "f": "f4", "d": "f8", "g": "g", "F": "F", "D": "D"}  # fmt: skip
_known: dict[CType, Any] = {}


def numpy_dtype(type: Any) -> Any:
    """The NumPy dtype with the layout of a C type.

    A struct becomes a structured dtype with C's own offsets and size, an array a subarray, an enum or a type of the
    user's its base, a pointer ``uintp``.  A union's members lie over one another; bit-fields, which NumPy does not
    have, are left out.  Raises ``ForeignTypeError`` for a type without a size, ``ImportError`` without NumPy.

    >>> pair = define_c_struct("pair", [("c", "char"), ("d", "double")])
    >>> numpy_dtype(pair).fields["d"], numpy_dtype("unsigned-short")
    ((dtype('float64'), 8), dtype('uint16'))
    """
    found = ctype(type)
    if found not in _known:
        _known[found] = _dtype(found, _numpy("numpy_dtype").dtype)
    return _known[found]


def _dtype(found: CType, make: Any) -> Any:
    found = found.representation
    if found.size is None or found.only_parameter:
        raise ForeignTypeError(f"a value of type {found.spelling} has no size, and no dtype")
    if found.is_pointer:
        return make("uintp")
    if isinstance(found, Array):
        inner, lengths = _unwound(found)
        return make((_dtype(inner, make), lengths))
    if isinstance(found, StructCType):
        members = [member for member in found.fields if member.bits is None]
        return make({
            "names": [member.name for member in members],
            "formats": [_dtype(member.ctype, make) for member in members],
            "offsets": [member.offset for member in members],
            "itemsize": found.size,
        })  # fmt: skip
    return make(_DTYPES[found.code])


def _read_dtype(given: Any, numpy: Any) -> Any:
    """What a user means: a type of C's, or what NumPy takes for a dtype.  A word that both know is C's."""
    if isinstance(given, numpy.dtype):
        return given
    if type(given) is str:
        if given in _spelled and given not in NAMED:
            return _spelled[given]
    elif isinstance(given, type) and not isinstance(given, StructType):
        return numpy.dtype(given)
    try:
        return ctype(given)
    except ForeignTypeError as error:
        try:
            found = numpy.dtype(given)
        except (TypeError, ValueError, SyntaxError):
            raise ForeignTypeError(f"from_buffer: {error}; nor is it a dtype of NumPy's") from None
    if type(given) is str:
        _spelled[given] = found
    return found


#: NumPy's own names, which C does not know
_spelled: dict[str, Any] = {}


def _agrees(dtype: Any, element: CType) -> bool:
    """Whether values of ``dtype`` are C's of type ``element``, byte for byte."""
    element = element.representation
    if isinstance(element, Array):
        inner, lengths = _unwound(element)
        shape: tuple[int, ...] = ()
        while dtype.subdtype is not None:
            dtype, shape = dtype.base, shape + dtype.shape
        return shape == lengths and _agrees(dtype, inner)
    if element.size != dtype.itemsize or not dtype.isnative or dtype.hasobject:
        return False
    if isinstance(element, StructCType):
        members = [member for member in element.fields if member.bits is None]
        return dtype.names == tuple(member.name for member in members) and all(
            dtype.fields[member.name][1] == member.offset and _agrees(dtype.fields[member.name][0], member.ctype)
            for member in members
        )
    if dtype.names is not None or dtype.subdtype is not None:
        return False
    if isinstance(element, Integer) and element.size == 1:  # as with pointers, C's three kinds of char are one
        return dtype.kind in "iuS"
    return dtype.kind == ("u" if element.is_pointer else _KINDS[element.code])


_KINDS = {**dict.fromkeys("bchiq", "i"), **dict.fromkeys("BCHIQ", "u"), "?": "b", **dict.fromkeys("fdg", "f"),
          **dict.fromkeys("FD", "c")}  # fmt: skip


def _check_dtype(dtype: Any, element: CType, pointer: Any, who: str) -> None:
    if dtype.hasobject:
        raise ForeignTypeError(f"{who}: C has no {dtype}, whose values are Python objects")
    element = _unwound(element)[0]
    if element is VOID:
        return
    if element.size is None:
        raise ForeignTypeError(f"{who}: {shorten(pointer)} points to {element.spelling}, which has no size")
    base = dtype.base  # of a subarray, whose dimensions are the shape's last
    if not _agrees(base, element):
        raise ForeignTypeError(f"{who}: the dtype is {base} and {shorten(pointer)} points to {element.spelling}, "
                               f"which is {numpy_dtype(element)}")  # fmt: skip


# --- out of foreign memory ------------------------------------------------------------------------------------------

#: the C type and the dtype as the user gave it, where they are known to agree → the dtype, its size, more dimensions
_agreed: dict[tuple[CType, Any], tuple[Any, int, tuple[int, ...]]] = {}


def from_buffer(pointer: Any, shape: Any = None, dtype: Any = None, copy: bool = True) -> Any:
    """A NumPy array of the values that ``pointer`` points to, in C's order: a copy, or a view of the very bytes.

    ``shape`` is an int or a tuple of ints; without it all elements are meant, where it is known how many there are.
    ``dtype`` is a C type or a dtype of NumPy's, and must be what the pointer points to; a ``void *`` takes any.  A word
    that both C and NumPy know, such as ``"float"``, is C's.

    With ``copy=False`` the array shares the memory: each sees what the other writes, and read-only memory gives a
    read-only array.  It keeps the bytes.  Memory that ends meanwhile has ended for Epsilon, which refuses its later
    use; its bytes are freed when the last view is gone.  What C lends to a callback goes away when that returns, so it
    is copied or not had at all.  Of a pointer that C gave, nobody knows how long it is good for.

    Raises ``ForeignTypeError`` for another dtype than the pointer's, ``ForeignValueError`` where the shape takes more
    bytes than there are, ``ForeignMemoryError`` for memory that has ended, NULL and a view of what C lends,
    ``ImportError`` without NumPy.

    >>> p = foreign_alloc("int", initial=range(6))
    >>> from_buffer(p, (2, 3), "int")
    array([[0, 1, 2],
           [3, 4, 5]], dtype=int32)
    """
    if type(pointer) is ForeignMemory:  # what _place would say, quicker
        element, address, size, keep = pointer.element, pointer.address, pointer.size, pointer
        readonly, owned = pointer.readonly, pointer.owner is None
    else:
        element, address, size, readonly, keep = _place(pointer, "from_buffer")
        owned = False
    numpy = _imported or _numpy("from_buffer")
    try:
        base, wanted, more = _agreed[element, dtype]
    except (KeyError, TypeError):
        base, wanted, more = _settle(element, pointer, dtype, numpy)
    if shape is None:
        shape = _known_shape(pointer, "from_buffer")
    elif type(shape) is int and shape >= 0:  # what _shape would say, quicker
        shape = (shape, *more)
    else:
        shape = _shape(shape) + more
    for length in shape:
        wanted *= length
    if wanted > size and (size >= 0 or wanted > sys.maxsize):
        have = f"{shorten(pointer)} has {size}" if size >= 0 else "no memory has so many"
        raise ForeignValueError(f"from_buffer: shape {shape} of {base} takes {wanted} bytes, and {have}")
    lease = _Lease(keep, address, wanted, readonly)
    if copy:
        made = numpy.empty(shape, base)
        _raw(made)[...] = _raw(numpy.ndarray(shape, base, lease))
        return made
    if not owned and is_lent(keep):
        raise ForeignMemoryError(
            f"from_buffer: {shorten(pointer)} is C's, and goes away when the callback returns; a view could outlive "
            "it: take a copy, and write to the memory with into_buffer"
        )
    return numpy.ndarray(shape, base, lease)


def _settle(element: CType, pointer: Any, dtype: Any, numpy: Any) -> tuple[Any, int, tuple[int, ...]]:
    """The dtype that was asked for, once it is known to be the pointer's; see ``_agreed``."""
    if dtype is None and element is VOID:
        raise ForeignTypeError(f"from_buffer: {shorten(pointer)} points to void; say the dtype")
    meant = _unwound(element)[0] if dtype is None else _read_dtype(dtype, numpy)
    if (element, meant) not in _agreed:
        found = numpy_dtype(meant) if isinstance(meant, CType) else meant
        _check_dtype(found, element, pointer, "from_buffer")
        _agreed[element, meant] = found.base, found.base.itemsize, found.shape
    if dtype is None or isinstance(dtype, type):  # of the same meaning for ever, as a name is not
        _agreed[element, dtype] = _agreed[element, meant]
    return _agreed[element, meant]


def _raw(array: Any) -> Any:
    """Structs as bytes: NumPy copies them member by member, and so neither padding nor bit-fields."""
    if array.dtype.names is None:
        return array
    return array.view(f"V{array.dtype.itemsize}")


def is_lent(memory: Any) -> bool:
    """Whether memory is what C lends to a callback."""
    plans = sys.modules.get("epsilon.array_plans")  # only it makes such
    while plans is not None and isinstance(memory, _backend.Guarded):
        if isinstance(memory, plans.View):
            return True
        memory = _backend.owner_of(memory)
    return False


# --- into foreign memory --------------------------------------------------------------------------------------------


def into_buffer(array: Any, pointer: Any, start: int = 0, length: int | None = None) -> int:
    """Copy ``length`` elements of ``array`` from its element ``start`` on to where ``pointer`` points; gives how many.

    Without ``length`` all from ``start`` on are meant.  ``array`` is a NumPy array of any strides, or anything else
    with the buffer protocol, ``__array_interface__`` or DLPack; its elements count row by row, whatever their order in
    memory.  They must be what the pointer points to; a ``void *`` takes any.

    Raises ``ForeignTypeError`` for elements of another type and for what is no array, ``ForeignValueError`` for a
    negative ``start`` or ``length``, more elements than the array has, and more bytes than are known to be there,
    ``ForeignMemoryError`` for memory that has ended, may only be read, or is NULL.

    >>> from array import array
    >>> p = foreign_alloc("int", count=4)
    >>> into_buffer(array("i", [1, 2, 3, 4, 5]), p, start=2), list(p)
    (3, [3, 4, 5, 0])
    """
    element, address, room, readonly, keep = _place(pointer, "into_buffer")
    if readonly:
        raise ForeignMemoryError(f"into_buffer: {shorten(pointer)} is read-only")
    found = array_of(array)
    if found is not None:
        _check_dtype(found.dtype, element, pointer, "into_buffer")
        begin, count = _part(found.size, start, length)
        size = found.dtype.itemsize
        _check_room(count, size, str(found.dtype), room, pointer)
        _copy_array(found, begin, count, _Lease(keep, address, count * size))
        return count
    try:
        view = memoryview(array)
    except (TypeError, BufferError, ValueError):
        raise ForeignTypeError(f"into_buffer takes an array with the buffer protocol, not {shorten(array)}") from None
    with view:
        size = view.itemsize
        _check_format(view, element, pointer)
        begin, count = _part(view.nbytes // size, start, length)
        _check_room(count, size, f"format {view.format!r}", room, pointer)
        with memoryview(view if view.c_contiguous else view.tobytes()) as whole, whole.cast("B") as plain:
            cffi.memmove(cffi.cast(_BYTES, address), plain[begin * size : (begin + count) * size], count * size)
    return count


def _part(size: int, start: Any, length: Any) -> tuple[int, int]:
    try:
        begin = as_index(start)
        count = size - begin if length is None else as_index(length)
    except TypeError:
        what = f"start {shorten(start)} and length {shorten(length)}"
        raise ForeignTypeError(f"into_buffer: start and length are ints, got {what}") from None
    if begin < 0 or begin > size:
        raise ForeignValueError(f"into_buffer: start {begin} is no place in an array of {size} elements")
    if count < 0 or count > size - begin:
        raise ForeignValueError(f"into_buffer: {count} elements from {begin} on are not all in an array of {size}")
    return begin, count


def _check_room(count: int, size: int, what: str, room: int, pointer: Any) -> None:
    if 0 <= room < count * size:
        raise ForeignValueError(f"into_buffer: {count} elements of {what} take {count * size} bytes, and "
                                f"{shorten(pointer)} has {room}")  # fmt: skip


def _copy_array(array: Any, begin: int, count: int, lease: Any) -> None:
    numpy = sys.modules["numpy"]
    target = numpy.ndarray((count,), array.dtype, lease)
    array = _raw(array)
    if array.ndim == 1 or array.flags.c_contiguous:
        array = array.reshape(-1)[begin : begin + count]
    elif count == array.size:
        target = target.reshape(array.shape)
    else:
        array = array.flat[begin : begin + count]
    _raw(target)[...] = array


def _check_format(view: memoryview, element: CType, pointer: Any) -> None:
    """Whether a buffer's elements are C's; one of structs says so in the words of PEP 3118, which NumPy reads."""
    element = _unwound(element)[0]
    if element is VOID:
        return
    scalar = scalar_of_format(view.format)
    found = None if scalar is None or scalar.size != view.itemsize else scalar.backend
    if found is None or element.size is None or not same_representation(element.representation.backend, found):
        spelled = f"format {view.format!r}" if scalar is None else scalar.spelling
        raise ForeignTypeError(
            f"into_buffer: the elements are {spelled} and {shorten(pointer)} points to {element.spelling}"
        )


# --- what ForeignMemory shows to others -----------------------------------------------------------------------------


def interface(memory: ForeignMemory) -> dict[str, Any]:
    """``memory.__array_interface__``: NumPy's protocol, version 3.

    Its data is a lease, not an address, for an address would not keep the bytes.  Memory of structs, of unknown length
    and of C's own in a callback has none; ``__array__`` serves there.
    """
    element = _unwound(memory.element)[0].representation
    if memory.count is None or element.code not in _DTYPES or is_lent(memory):
        raise AttributeError(f"{memory!r} has no __array_interface__")
    kind = _KINDS[element.code]
    order = "|" if element.size == 1 else "<" if sys.byteorder == "little" else ">"
    return {
        "shape": _known_shape(memory, "__array_interface__"),
        "typestr": f"{order}{kind}{element.size}",
        "data": _Lease(memory, memory.address, memory.size, memory.readonly),
        "version": 3,
    }


def as_array(memory: ForeignMemory, dtype: Any = None, copy: bool | None = None) -> Any:
    """``memory.__array__``: a view where one may be had, else a copy."""
    found = from_buffer(memory, copy=is_lent(memory) if copy is None else copy)
    if dtype is None or found.dtype == dtype:
        return found
    if copy is False:
        raise ValueError(f"{memory!r} cannot be an array of {dtype} without a copy")
    return found.astype(dtype)


def as_dlpack(memory: ForeignMemory, **options: Any) -> Any:
    """``memory.__dlpack__``: NumPy's capsule of a view, and NumPy's errors for what DLPack does not have."""
    return from_buffer(memory, copy=False).__dlpack__(**options)
