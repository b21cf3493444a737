"""Arrays that are passed to C: copies of sequences, buffers in place, and lists of what C wrote.

Floor 0 knows of an array that it crosses as a pointer; :func:`taker` says what makes that pointer of what a caller
passed.  What else there is to arrays in a signature is in ``array_plans.py``.
"""

from __future__ import annotations

import _cffi_backend as cffi

from epsilon import _backend
from epsilon.errors import ForeignError, ForeignTypeError, ForeignValueError, shorten
from epsilon.formats import scalar_of_format
from epsilon.memory import ForeignMemory
from epsilon.typesystem import WORDS, Array, CData, CType, Pointer, characters, find_converter, same_representation
from epsilon.typesystem.base import registered
from epsilon.typesystem.exposed import exposed
from epsilon.views import BYTES, read, write

TYPE_CHECKING = False  # as in ``typing``, which takes longer to import than all of Epsilon
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_UINTPTR = WORDS["uintptr"].backend


# --- values of many elements at once --------------------------------------------------------------------------------


def _plain(codes: dict[str, str]) -> dict[str, Any]:
    return {code: cffi.new_pointer_type(cffi.new_primitive_type(name)) for code, name in codes.items()}


#: code → a pointer to the plain C type of that representation, which cffi copies lists of ints or floats to and from
_INTEGERS = _plain({"b": "int8_t", "B": "uint8_t", "c": "int8_t", "C": "uint8_t", "h": "int16_t", "H": "uint16_t",
                    "i": "int32_t", "I": "uint32_t", "q": "int64_t", "Q": "uint64_t"})  # fmt: skip
_REALS = _plain({"f": "float", "d": "double"})


def fill(memory: ForeignMemory, values: list) -> None:
    """Write ``values`` to the beginning of ``memory``; an error says which of them it is."""
    element = memory.element
    for place, value in enumerate(values):
        offset = place * element.size
        try:
            if isinstance(element, Array):
                read(element, memory, offset)[:] = value
            else:
                write(element, memory, offset, value)
        except ForeignError as error:
            if error.function is None:
                error.args = (f"element {place}: {error.args[0]}",)
            raise
        except TypeError as error:  # of an array's element, which is no sequence
            raise ForeignTypeError(f"element {place}: got {shorten(value)}, wanted {element.wants}") from error


def listed(element: CType, memory: Any, count: int) -> list:
    """The first ``count`` values of type ``element`` in guarded memory; arrays within are lists too."""
    plain = _INTEGERS.get(element.code) or _REALS.get(element.code)
    if plain is not None and element.converter.code == element.code:  # no converter of the user's on the way back
        return cffi.unpack(cffi.cast(plain, _backend.address_of(memory)), count)
    if isinstance(element, Array):
        inner, many, start = element.target, element.length or 0, _backend.address_of(memory)
        rows = (ForeignMemory(inner, many, start + place * element.size, memory) for place in range(count))
        return [listed(inner, row, many) for row in rows]
    return [read(element, memory, place * element.size) for place in range(count)]


def values_of(array: Array, value: Any) -> list:
    """The elements of a sequence; of a str or bytes, C's characters, where they are the elements."""
    if isinstance(value, (str, bytes)) and array.target.code in "cCbB":
        return characters(array.target, value)
    if isinstance(value, (str, bytes)) or not hasattr(type(value), "__iter__"):
        raise array.refusal(value)
    return list(value)


# --- what a caller passes for an array ------------------------------------------------------------------------------


def taker(array: Array, writable: bool = False) -> Callable[[Any], tuple[Any, int | None]]:
    """A function that gives what floor 0 passes for a value, and how many elements it has (None: nobody knows).

    A buffer whose elements are C's is passed in place, any other sequence is copied.  ``writable`` says that C writes
    to it, and wants memory that may be written to.  The function raises a ``ForeignError`` without context.
    """
    array = Array(array.target, array.length)  # without its counter: that is what converters are registered for
    element, length = array.target, array.length
    pack, pointer_type, size = element.converter.pack, Pointer(element).backend, element.size or 1
    size_of = _backend.size_of

    def take(value: Any) -> tuple[Any, int | None]:
        """The commonest, numbers in a list or a buffer, go the quick way."""
        if array not in registered:
            found = pack(value, pointer_type, writable)
            if found is not None:
                count = size_of(found) // size
                if length is None or length == count:
                    return found, count
        return _take(array, value, writable)

    return take


def _take(array: Array, value: Any, writable: bool) -> tuple[Any, int | None]:
    if array in registered:
        convert = find_converter(array, type(value))
        value = value if convert is None else convert(value)
    if value is None:
        return None, 0
    if isinstance(value, (_backend.Guarded, CData)):
        return _pointer(array, value, writable)
    if type(value) not in (list, tuple, str):
        found = _in_place(array, value, writable)
        if found is not None:
            return found, _backend.size_of(found) // array.target.size
    values = values_of(array, value)
    _check_count(array, len(values))
    return copy(array.target, values), len(values)


def copy(element: CType, values: list) -> ForeignMemory:
    """Memory with these values; pointers are followed by a NULL, which ends an ``argv``."""
    if not element.is_pointer:
        memory = ForeignMemory(element, len(values))
        fill(memory, values)
        return memory
    memory = ForeignMemory(element, len(values) + 1)
    fill(memory, values)
    return ForeignMemory(element, len(values), memory.address, memory)


def _check_count(array: Array, count: int) -> None:
    if array.length is not None and count != array.length:
        raise ForeignValueError(f"got {count} values, wanted {array.length}")


def _pointer(array: Array, value: Any, writable: bool) -> tuple[Any, int | None]:
    """A pointer or memory, in place."""
    element = array.target
    pointer = Pointer(element).convert(value)
    if isinstance(value, _backend.Guarded):
        if writable and _backend.is_readonly(value):
            raise ForeignValueError(f"got {shorten(value)}, which is read-only, and C writes to it")
        size = _backend.size_of(value)
        count = None if size < 0 or not element.size else size // element.size
    elif cffi.typeof(value).kind == "array":
        count = cffi.sizeof(value) // element.size if element.size else None
    elif not value:
        return None, 0
    else:
        count = None
    if count is not None and array.length is not None and count < array.length:
        raise ForeignValueError(f"got {shorten(value)}, which has {count} elements, wanted {array.length}")
    return pointer, count


def _in_place(array: Array, value: Any, writable: bool) -> Any:
    """The memory of a buffer with just these elements, which is locked for as long as the result lives; else None."""
    element = array.target
    value = exposed(value)
    if value is None:
        return None
    with memoryview(value) as view:
        if not view.c_contiguous or not _matches(element, view):
            return None
        if writable and view.readonly:
            raise ForeignValueError(f"got {shorten(value)}, which is read-only, and C writes to it")
        size, readonly = view.nbytes, view.readonly
        _check_count(array, size // element.size)
        hold = cffi.from_buffer(BYTES, value)  # while the view keeps it as it is
    address = int(cffi.cast(_UINTPTR, hold))
    return _backend.Guarded(Pointer(element).backend, size, element.alignment, address, hold, readonly)


def _matches(element: CType, view: memoryview) -> bool:
    """Whether the elements of a buffer are C's; an array's dimensions are the buffer's last ones."""
    key = element, view.format, view.itemsize
    if view.ndim == 1 and key in _matching:
        return _matching[key]
    inner = []
    while isinstance(element, Array):
        inner.append(element.length)
        element = element.target
    if inner and (view.ndim <= len(inner) or list(view.shape[-len(inner) :]) != inner):
        return False
    found = scalar_of_format(view.format)
    same = found is not None and found.size == view.itemsize and same_representation(element.backend, found.backend)
    if not inner and found is not None and element in _SCALARS:
        _matching[key] = same
    return same


_SCALARS = frozenset(WORDS.values())
#: element, format and size of a buffer's items → whether they are the same, for the vocabulary's own scalars
_matching: dict[tuple[CType, str, int], bool] = {}
