"""Arrays in calls and callbacks: sequences and buffers to C, lists and views from C, lengths by themselves.

Floor 0 knows of an array that it crosses as a pointer.  :func:`take` makes the pointer of what a caller passed.  Where a
signature has more of arrays than that (a length in another parameter, ``:out`` and ``:inout`` arrays; in a callback any
array whose length is known), its trampoline has a :class:`Plan`, which is asked before and after the call.  Signatures
without such arrays have none, and pay nothing.
"""

from __future__ import annotations

import sys

import _cffi_backend as cffi

from epsilon import _backend
from epsilon.errors import ForeignError, ForeignTypeError, ForeignValueError, shorten
from epsilon.memory import ForeignMemory, scalar_of_format
from epsilon.structs import read, write
from epsilon.typesystem import (
    VOID_POINTER,
    WORDS,
    Array,
    CData,
    CType,
    Integer,
    Pointer,
    StructCType,
    array_of,
    characters,
    filled,
    find_converter,
    same_representation,
    told,
    way_of,
)

TYPE_CHECKING = False  # as in ``typing``, which takes longer to import than all of Epsilon
if TYPE_CHECKING:
    from typing import Any

_UINTPTR = WORDS["uintptr"].backend
_BYTES = cffi.new_array_type(cffi.new_pointer_type(cffi.new_primitive_type("char")), None)
#: more than any process has: five-level paging on x86-64 gives it half of 2**57 bytes
_MOST_MEMORY = 1 << 56 if sys.maxsize > 2**32 else 1 << 32


# --- values of many elements at once --------------------------------------------------------------------------------

#: code → a pointer to the plain C type of that representation, which cffi copies lists of ints or floats to and from
_INTEGERS = {
    code: cffi.new_pointer_type(cffi.new_primitive_type(name))
    for code, name in {"b": "int8_t", "B": "uint8_t", "c": "int8_t", "C": "uint8_t", "h": "int16_t", "H": "uint16_t",
                       "i": "int32_t", "I": "uint32_t", "q": "int64_t", "Q": "uint64_t"}.items()
}  # fmt: skip
_REALS = {code: cffi.new_pointer_type(cffi.new_primitive_type(name)) for code, name in (("f", "float"), ("d", "double"))}


def fill(memory: ForeignMemory, values: list) -> None:
    """Write ``values`` to the beginning of ``memory``; an error says which of them it is."""
    element, kinds = memory.element, {*map(type, values)}
    plain = _INTEGERS.get(element.code) if kinds <= {int} else None
    if kinds <= {int, float}:
        plain = plain or _REALS.get(element.code)
    if plain is not None:
        try:
            cffi.cast(plain, memory.address)[0 : len(values)] = values
            return
        except OverflowError:  # what follows says which it is
            pass
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


def listed(memory: ForeignMemory, count: int) -> list:
    """The first ``count`` values of ``memory``; arrays within are lists too."""
    element = memory.element
    if isinstance(element, Array):
        inner, many = element.target, element.length or 0
        addresses = (memory.address + place * element.size for place in range(count))
        return [listed(ForeignMemory(inner, many, address, memory), many) for address in addresses]
    plain = _INTEGERS.get(element.code) or _REALS.get(element.code)
    if plain is not None and element.converter.code == element.code:  # no converter of the user's on the way back
        return cffi.unpack(cffi.cast(plain, memory.address), count)
    return [memory[place] for place in range(count)]


# --- what a caller passes for an array ------------------------------------------------------------------------------


def take(array: Array, value: Any, writable: bool = False) -> tuple[Any, int | None]:
    """What floor 0 passes for ``value``, and how many elements it has (None where nobody knows).

    A buffer whose elements are C's is passed in place, any other sequence is copied.  ``writable`` says that C writes
    to it, and wants memory that may be written to.  Raises a ``ForeignError`` without context.
    """
    if value is None:
        return None, 0
    if isinstance(value, (_backend.Guarded, CData)):
        return _pointer(array, value, writable)
    element = array.target
    if type(value) not in (list, tuple, str):
        found = _in_place(array, value, writable)
        if found is not None:
            return found, found.count
    if isinstance(value, (str, bytes)) and element.code in "cCbB":
        values = characters(element, value)
    elif isinstance(value, (str, bytes)) or not hasattr(type(value), "__iter__"):
        raise array.refusal(value)
    else:
        values = list(value)
    _check_count(array, len(values))
    return copy(element, values), len(values)


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


def _in_place(array: Array, value: Any, writable: bool) -> ForeignMemory | None:
    """The memory of a buffer with just these elements, which is locked for as long as the result lives; else None."""
    element = array.target
    try:
        view = memoryview(value)
    except (TypeError, BufferError, ValueError):
        return None
    with view:
        if not view.c_contiguous or not _matches(element, view):
            return None
        if writable and view.readonly:
            raise ForeignValueError(f"got {shorten(value)}, which is read-only, and C writes to it")
        count, readonly = view.nbytes // element.size, view.readonly
        _check_count(array, count)
    hold = cffi.from_buffer(_BYTES, value)
    return ForeignMemory(element, count, int(cffi.cast(_UINTPTR, hold)), (hold,), readonly)


def _matches(element: CType, view: memoryview) -> bool:
    """Whether the elements of a buffer are C's; an array's dimensions are the buffer's last ones."""
    inner = []
    while isinstance(element, Array):
        inner.append(element.length)
        element = element.target
    if inner and (view.ndim <= len(inner) or list(view.shape[-len(inner) :]) != inner):
        return False
    found = scalar_of_format(view.format)
    return found is not None and found.size == view.itemsize and same_representation(element.backend, found.backend)


# --- signatures with more of arrays than a pointer ------------------------------------------------------------------


def plan_of(result: CType, parameters: tuple[CType, ...]) -> Plan | None:
    """The plan of a signature; None where its arrays are all plain pointers."""
    found = Plan(result, parameters)
    return found if found.counted or found.viewed else None


class Plan:
    """What becomes of the arrays of a signature, and of the parameters that have their lengths.

    ``marks`` has a byte for each parameter: 1 for an array, 2 for one whose values are given back.  ``taken`` is how many
    arguments a call takes; ``counted`` says that calls need the plan, ``viewed`` that callbacks do.
    """

    __slots__ = ("arrays", "capacities", "counted", "filled", "marks", "outputs", "parameters", "taken", "told", "viewed",
                 "void")  # fmt: skip

    def __init__(self, result: CType, parameters: tuple[CType, ...]):
        self.void = result.code == "v"
        self.parameters = parameters
        #: index → the array and its way
        self.arrays = {
            index: (array_of(found), way_of(found))
            for index, found in enumerate(parameters)
            if array_of(found) is not None
        }
        self.filled, self.told = filled(parameters), told(parameters)
        self.marks = bytes(0 if i not in self.arrays else 1 + (self.arrays[i][1] != "in") for i in range(len(parameters)))
        self.taken = sum(map(self.takes, range(len(parameters))))
        self.counted = any(array.counter is not None or way != "in" for array, way in self.arrays.values())
        self.viewed = self.counted or any(array.length is not None for array, _ in self.arrays.values())
        #: the values that are given back, in order, but for lengths that a list tells
        self.outputs = [i for i, found in enumerate(parameters) if way_of(found) != "in" and i not in self.told]
        #: the integer types of the lengths of :out arrays, which the caller passes
        self.capacities = {
            array.counter: getattr(parameters[array.counter], "target", parameters[array.counter])
            for array, way in self.arrays.values()
            if array.counter is not None
        }

    def takes(self, index: int) -> bool:
        """Whether the parameter takes an argument, in a call and in a callback."""
        return index not in self.filled and way_of(self.parameters[index]) != "out"

    def is_box(self, index: int) -> bool:
        """Whether floor 0 has memory of its own for the value of this ``:out`` or ``:inout`` parameter."""
        return index not in self.arrays and way_of(self.parameters[index]) != "in"

    # --- calls ---

    def prepare(self, who: Any, arguments: tuple) -> tuple:
        """What floor 0 converts: for each parameter that is no ``:out`` box, an argument, a length or memory."""
        values: list[Any] = [None] * len(self.parameters)
        counters: dict[int, int] = {}  # length → the array that it comes from
        given = iter(arguments)
        index = 0
        try:
            for index in range(len(values)):
                if not self.takes(index):
                    continue
                value = next(given)
                if index in self.arrays:
                    counter = self.arrays[index][0].counter
                    value, count = self.argument(index, value)
                    if counter is not None:
                        self.count(who, counters, values, counter, index, count)
                values[index] = value
            for place, (array, way) in self.arrays.items():
                if way == "out":
                    index = place if array.counter is None else array.counter
                    values[place] = self.room(array, values)
            return tuple(
                value for index, value in enumerate(values) if index in self.arrays or way_of(self.parameters[index]) != "out"
            )
        except BaseException as error:
            values.clear()  # the traceback holds this frame, which would keep buffers locked
            value = None
            _explain(who, index, error)
            raise

    def argument(self, index: int, value: Any) -> tuple[Any, int | None]:
        """What floor 0 passes for an array argument, and the number of its elements."""
        array, way = self.arrays[index]
        registered = find_converter(Array(array.target, array.length), type(value))
        given = registered(value) if registered else value
        pointer, count = take(array, given, way == "inout")
        if count is None and (array.counter is not None or (way == "inout" and array.length is None)):
            raise array.refusal(value, "a sequence, a buffer or memory, for of a bare pointer the length is not known")
        if way == "inout" and pointer is not None and not isinstance(pointer, ForeignMemory):
            many = count if array.length is None else array.length
            address = _backend.address_of(given) if isinstance(given, _backend.Guarded) else _address(pointer)
            pointer = ForeignMemory(array.target, many, address, given)
        return pointer, count

    def count(self, who: Any, counters: dict[int, int], values: list, counter: int, index: int, count: Any) -> None:
        """Note the number of elements in its length; arrays that share a length have the same number."""
        if counter in counters and values[counter] != count:
            first = counters[counter]
            raise ForeignValueError(f"got {count} values, and {self.name(who, first)} has {values[counter]}: both lengths are "
                                    f"in {self.name(who, counter)}")  # fmt: skip
        counters[counter], values[counter] = index, count

    def room(self, array: Array, values: list) -> ForeignMemory:
        """Fresh memory for an ``:out`` array."""
        many = array.length
        if array.counter is not None:
            many = self.capacities[array.counter].adapt(values[array.counter])
            values[array.counter] = many  # an ``__index__`` is asked once
        if many < 0:
            raise ForeignValueError(f"got {many}, wanted the number of values that there is to be room for")
        if many * array.target.size > _MOST_MEMORY:
            raise ForeignValueError(f"{many} values of type {array.target.spelling} are larger than any memory")
        return ForeignMemory(array.target, many)

    def finish(self, who: Any, result: Any, boxes: tuple, prepared: tuple) -> Any:
        """What the call gives: the result, and the values of ``:out`` and ``:inout`` parameters."""
        values: dict[int, Any] = {}
        passed, written = iter(prepared), iter(boxes)
        for index, found in enumerate(self.parameters):
            if self.is_box(index):
                values[index] = next(written)
            if index in self.arrays or way_of(found) != "out":
                one = next(passed)
                values.setdefault(index, one)
        for index, (array, way) in self.arrays.items():
            memory = values[index]
            if way == "in" or memory is None:
                continue
            many = memory.count
            try:
                if array.counter in self.told:
                    many = values[array.counter]
                    if not 0 <= many <= memory.count:
                        raise ForeignValueError(f"C wrote {many} as the length into {self.name(who, array.counter)}, and "
                                                f"there is room for {memory.count}")  # fmt: skip
                values[index] = listed(memory, many)
            except ForeignError as error:
                _explain(who, index, error)
                raise
        found = [values[index] for index in self.outputs]
        if not self.void:
            return (result, *found)
        return found[0] if len(found) == 1 else tuple(found)

    def name(self, who: Any, index: int) -> str:
        """A parameter, for error texts."""
        names = getattr(who, "names", ())
        name = names[index] if index < len(names) else None
        return f"parameter {index + 1}{f' {name!r}' if name else ''} ({self.parameters[index].spelling})"

    # --- callbacks ---

    def receive(self, who: Any, raw: tuple) -> tuple[tuple, Received]:
        """The arguments of a callback, and what must be remembered until it returns.

        ``raw`` is what C passed: of an array the address, of an ``:out`` box None, of everything else the value.
        """
        received = Received(who, raw)
        for index in self.arrays:
            received.arrays[index] = self.view(who, index, raw)
        taken = filter(self.takes, range(len(self.parameters)))
        return tuple(received.arrays[i] if i in self.arrays else raw[i] for i in taken), received

    def view(self, who: Any, index: int, raw: tuple) -> Any:
        """C's array: a view, a bare pointer where its length is not known, None for NULL."""
        array, way = self.arrays[index]
        many = array.length if array.counter is None else raw[array.counter]
        if many is None:
            return cffi.cast(Pointer(array.target).backend, raw[index])
        if not 0 <= many * array.target.size <= _MOST_MEMORY:
            raise ForeignValueError(f"callback {_name(who)}: {self.name(None, index)}: C says in "
                                    f"{self.name(None, array.counter)} that it has {many} elements")  # fmt: skip
        if not raw[index]:
            return None
        const = way == "in" and self.parameters[index] is not array
        return View(array.target, many, raw[index], None, const)

    def spread(self, who: Any, received: Received, result: Any) -> tuple[Any, tuple, list | None]:
        """The callback has returned ``result``: write its arrays to C's memory, end the views.

        Gives the result proper, the values for floor 0's boxes, in order, and what C's memory points to now.
        """
        try:
            wanted = len(self.outputs) + (not self.void)
            if not self.outputs:
                given: Any = () if self.void else (result,)
            elif self.void and wanted == 1:
                given = (result,)
            elif isinstance(result, tuple) and len(result) == wanted:
                given = result
            else:
                raise ForeignTypeError(f"got {shorten(result)}, wanted a tuple of {wanted} values: with :out and :inout "
                                       "parameters the callable returns theirs too")  # fmt: skip
            proper = None if self.void else given[0]
            values = dict(zip(self.outputs, given[not self.void :], strict=True))
            for index in self.outputs:
                if index in self.arrays:
                    count = self.write(received, index, values[index])
                    counter = self.arrays[index][0].counter
                    if counter in self.told and count is not None:
                        if values.setdefault(counter, count) != count:
                            raise ForeignValueError(f"the lists of arrays that share the length "
                                                    f"{self.name(None, counter)} have {values[counter]} and {count} "
                                                    "values")  # fmt: skip
            for counter in self.told:
                values.setdefault(counter, received.raw[counter])
            boxes = tuple(values[index] for index in range(len(self.parameters)) if self.is_box(index))
            return proper, boxes, received.kept()
        finally:
            received.end()

    def write(self, received: Received, index: int, value: Any) -> int | None:
        """Write the values of an ``:out`` or ``:inout`` array through C's pointer; how many, or None for a NULL."""
        array, memory = self.arrays[index][0], received.arrays[index]
        if memory is None:
            return None
        if value is memory:  # all is written
            return memory.count
        if isinstance(value, (str, bytes)) and array.target.code in "cCbB":
            values = characters(array.target, value)
        elif isinstance(value, (str, bytes)) or not hasattr(type(value), "__iter__"):
            raise ForeignTypeError(f"{self.name(None, index)}: {array.refusal(value).args[0]}")
        else:
            values = list(value)
        may_be_fewer = array.counter in self.told
        if len(values) > memory.count or (len(values) < memory.count and not may_be_fewer):
            raise ForeignValueError(f"{self.name(None, index)}: got {len(values)} values, wanted "
                                    f"{'at most ' * may_be_fewer}{memory.count}")  # fmt: skip
        try:
            fill(memory, values)
        except ForeignError as error:
            error.args = (f"{self.name(None, index)}: {error.args[0]}",)
            raise
        return len(values)


def _address(pointer: Any) -> int:
    return int(cffi.cast(_UINTPTR, cffi.cast(VOID_POINTER, pointer)))


def _explain(who: Any, index: int, error: BaseException) -> None:
    """Let the floor above name the function and the parameter in ``error``, or raise a better one in its place."""
    from epsilon.functions import explain  # which is there by the time of a call

    better = explain(who, index, error)
    if better is not error:
        raise better from error


def _name(who: Any) -> str:
    return getattr(who, "__qualname__", None) or type(who).__name__


class View(ForeignMemory):
    """An array that C passed to a callback: bounds-checked, in place, and gone when the callback returns."""

    __slots__ = ()

    def __getitem__(self, index: Any) -> Any:
        if self.readonly and isinstance(self.element, (StructCType, Array)) and not isinstance(index, slice):
            address = self.address + self._place(index)  # a copy, for C has not said that it may be written to
            if isinstance(self.element, StructCType):
                return self.element.converter.read_at(address)
            return listed(ForeignMemory(self.element, 1, address, self), 1)[0]
        return super().__getitem__(index)


class Received:
    """The arrays of one call of a callback, until it returns."""

    __slots__ = ("arrays", "raw", "who")

    def __init__(self, who: Any, raw: tuple):
        self.who, self.raw = who, raw
        self.arrays: dict[int, Any] = {}

    def views(self) -> list[View]:
        """The views that live."""
        return [found for found in self.arrays.values() if isinstance(found, View) and _backend.is_alive(found)]

    def kept(self) -> list | None:
        """What C's memory points to that was written through the views."""
        pointing = (view for view in self.views() if view.element.code not in _INTEGERS)
        return [kept for kept in map(dict, map(_backend.kept_by, pointing)) if kept] or None

    def end(self) -> None:
        """The callback has returned, and with it the right to look at C's memory."""
        for view in self.views():
            view.end(f"the return of the callback {_name(self.who)}")
