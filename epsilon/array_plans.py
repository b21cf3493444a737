"""What becomes of a signature's arrays: lengths that fill themselves in, arrays that come back, views in callbacks.

Where a signature has more of arrays than pointers (a length in another parameter, ``:out`` and ``:inout`` arrays; in a
callback any array whose length is known), its trampoline has a :class:`Plan`, which floor 0 asks before and after the
call (``c/arrays.c``, ``_abi/call.py``).  A signature without has none, and pays nothing.
"""

from __future__ import annotations

import sys

import _cffi_backend as cffi

from epsilon import _backend
from epsilon.arrays import fill, listed, taker, values_of
from epsilon.dereference import is_null_pointer
from epsilon.errors import ForeignError, ForeignTypeError, ForeignValueError, shorten
from epsilon.memory import ForeignMemory
from epsilon.owned import OwnedMemory
from epsilon.pointers import DerivedMemory, _address
from epsilon.typesystem import (
    VOID_POINTER,
    WORDS,
    Array,
    CData,
    CountedPointer,
    CType,
    Direction,
    Pointer,
    StructCType,
    array_of,
    bounded,
    filled,
    told,
    way_of,
)

TYPE_CHECKING = False  # as in ``typing``, which takes longer to import than all of Epsilon
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

_UINTPTR = WORDS["uintptr"].backend
#: more than any process has: five-level paging on x86-64 gives it half of 2**57 bytes
_MOST_MEMORY = 1 << 56 if sys.maxsize > 2**32 else 1 << 32


def plan_of(result: CType, parameters: tuple[CType, ...]) -> Plan | None:
    """The plan of a signature; None where its arrays are all plain pointers."""
    found = Plan(result, parameters)
    return found if found.counted or found.viewed else None


class Plan:
    """What becomes of the arrays of a signature, and of the parameters that have their lengths.

    ``marks`` has a byte for each parameter: 1 for an array, 2 for one whose values are given back.  ``taken`` is how
    many arguments a call takes; ``counted`` says that calls need the plan, ``viewed`` that callbacks do.
    """

    __slots__ = (
        "arguments", "arrays", "backs", "bounded", "bounds", "boxes", "capacities", "counted", "marks", "outputs",
        "parameters", "passed", "pointers", "rooms", "sizes", "steps", "taken", "told", "viewed", "void",
    )  # fmt: skip

    def __init__(self, result: CType, parameters: tuple[CType, ...]):
        self.void = result.code == "v"
        self.parameters = parameters
        #: index → the array and its way
        self.arrays = {
            index: (array_of(found), way_of(found))
            for index, found in enumerate(parameters)
            if array_of(found) is not None
        }
        #: index → the cffi type of the pointer that is passed
        self.pointers = {index: Pointer(array.target).backend for index, (array, _) in self.arrays.items()}
        #: the arrays that come back after they were passed
        self.backs = [index for index, (_, way) in self.arrays.items() if way == "inout"]
        every, lengths = range(len(parameters)), filled(parameters)
        ways = [way_of(found) for found in parameters]
        self.marks = bytes(0 if i not in self.arrays else 1 if ways[i] == "in" else 2 for i in every)
        #: index → the pointer that comes back with bounds, the result's is -1; and whether there is one
        self.bounds = bounded(result, parameters)
        self.bounded = bool(self.bounds)
        self.counted = self.bounded or any(
            array.counter is not None or way != "in" for array, way in self.arrays.values()
        )
        self.viewed = self.counted or any(array.length is not None for array, _ in self.arrays.values())
        #: the parameters that take an argument, in a call and in a callback
        self.arguments = [i for i in every if i not in lengths and ways[i] != "out"]
        self.taken = len(self.arguments)
        #: for each of them the index, and of an array what makes the pointer that is passed, and where its length goes
        self.steps = [(i, *self._step(i)) for i in self.arguments]
        #: the parameters for whose value floor 0 has memory of its own
        self.boxes = [i for i in every if i not in self.arrays and ways[i] != "in"]
        #: the parameters that floor 0 is to convert something for
        self.passed = [i for i in every if i in self.arrays or ways[i] != "out"]
        #: the arrays for which a call makes room
        self.rooms = [i for i in self.arrays if ways[i] == "out"]
        #: the lengths that a list tells, and the values that are given back, in order, which those are not among
        self.told = told(parameters, result)
        self.outputs = [i for i in every if ways[i] != "in" and i not in self.told]
        #: the arguments that say how many elements there are where a pointer points that comes back
        self.sizes = [i for i in {found.counter for found in self.bounds.values()} if i is not None and ways[i] == "in"]
        #: the integer types of lengths
        self.capacities = {}
        for counter in [*(array.counter for array, _ in self.arrays.values()), *self.sizes]:
            if counter is not None:
                length = parameters[counter]
                self.capacities[counter] = length.target if isinstance(length, Direction) else length

    def _step(self, index: int) -> tuple[Any, int | None]:
        array, way = self.arrays.get(index, (None, ""))
        return (None, None) if array is None else (taker(array, way == "inout"), array.counter)

    # --- calls ---

    def prepare(self, who: Any, arguments: tuple) -> tuple:
        """What floor 0 converts: for each parameter that is no ``:out`` box, an argument, a length or memory."""
        values: list[Any] = [None] * len(self.parameters)
        index = 0
        try:
            for (index, take, counter), value in zip(self.steps, arguments, strict=True):
                if take is None:
                    values[index] = value
                    continue
                values[index], count = take(value)
                if count is None or index in self.backs:
                    values[index] = self.sized(index, value, values[index], count)
                if counter is not None:
                    if values[counter] is not None and values[counter] != count:
                        raise self.disagreement(who, counter, values[counter], count)
                    values[counter] = count
            for index in self.rooms:
                array = self.arrays[index][0]
                if array.counter is None:
                    values[index] = self.room(index, array.length)
                else:
                    place, index = index, array.counter
                    values[index] = self.capacities[index].adapt(values[index])  # an ``__index__`` is asked once
                    values[place] = self.room(place, values[index])
            for index in self.sizes:
                values[index] = self.capacities[index].adapt(values[index])
                if values[index] < 0:
                    raise ForeignValueError(f"got {values[index]}, wanted the number of elements that there are")
            return tuple([values[place] for place in self.passed])
        except BaseException as error:
            values.clear()  # the traceback holds this frame, which would keep buffers locked
            _explain(who, index, error)
            raise

    def sized(self, index: int, value: Any, pointer: Any, count: int | None) -> Any:
        """The pointer for an array argument whose length is wanted, as guarded memory where its values come back."""
        array = self.arrays[index][0]
        if count is None and array.length is None and (array.counter is not None or index in self.backs):
            raise array.refusal(value, "a sequence, a buffer or memory: a bare pointer does not say how many")
        if pointer is None or not isinstance(pointer, CData) or index not in self.backs:
            return pointer
        address = int(cffi.cast(_UINTPTR, cffi.cast(VOID_POINTER, pointer)))
        return ForeignMemory(array.target, array.length or count or 0, address, value)

    def disagreement(self, who: Any, counter: int, first: int, later: int) -> ForeignValueError:
        """The error of arrays that share a length and do not agree about it."""
        sharing = [index for index, _, shared in self.steps if shared == counter]
        return ForeignValueError(f"got {later} values, and {self.name(who, sharing[0])} has {first}: both lengths are "
                                 f"in {self.name(who, counter)}")  # fmt: skip

    def room(self, index: int, many: int) -> Any:
        """Fresh memory for an ``:out`` array."""
        element = self.arrays[index][0].target
        if many < 0:
            raise ForeignValueError(f"got {many}, wanted the number of values that there is to be room for")
        if many * element.size > _MOST_MEMORY:
            raise ForeignValueError(f"{many} values of type {element.spelling} are larger than any memory")
        return _backend.Guarded(self.pointers[index], many * element.size, element.alignment)

    def finish(self, who: Any, result: Any, boxes: Sequence[Any], prepared: tuple, failed: bool) -> Any:
        """What the call gives: the result, and the values of ``:out`` and ``:inout`` parameters.

        Where the result ``failed`` its check, a length that C wrote may be anything, and is no error of its own.
        """
        values = dict(zip(self.passed, prepared, strict=True))
        values.update(zip(self.boxes, boxes, strict=True))
        for index, (array, way) in self.arrays.items():
            memory = values[index]
            if way == "in" or memory is None:
                continue
            room = _backend.size_of(memory) // array.target.size if array.length is None else array.length
            many = room
            try:
                if array.counter in self.told:
                    many = values[array.counter]
                    if failed:
                        many = min(max(many, 0), room)
                    if not 0 <= many <= room:
                        raise ForeignValueError(f"C wrote {many} as the length into {self.name(who, array.counter)}, "
                                                f"and there is room for {room}")  # fmt: skip
                values[index] = listed(array.target, memory, many)
            except ForeignError as error:
                _explain(who, index, error)
                raise
        for index, pointer in self.bounds.items() if not failed else ():
            value = result if index < 0 else values[index]
            many = pointer.count if pointer.counter is None else values[pointer.counter]
            try:
                value = self.with_bounds(pointer, value, many)
            except ForeignError as error:
                _explain(who, index, error)
                raise
            if index < 0:
                result = value
            else:
                values[index] = value
        found = [values[index] for index in self.outputs]
        if not self.void:  # a check is told of outputs wherever there are any, such as the result's length
            return (result, *found) if found or (failed and self.boxes) else result
        return found[0] if len(found) == 1 else tuple(found)

    def with_bounds(self, pointer: CountedPointer, value: Any, many: Any) -> Any:
        """The memory that a pointer which came back points to; NULL as it is."""
        if is_null_pointer(value):
            return value
        where = "" if pointer.counter is None else f", from {self.name(None, pointer.counter)}"
        if type(many) is not int:
            raise ForeignTypeError(f"got {shorten(many)} as the number of elements{where}, wanted an int")
        size = many * pointer.target.size
        if not 0 <= size <= _MOST_MEMORY:
            raise ForeignValueError(f"got {many} as the number of elements of type {pointer.target.spelling}{where}")
        if isinstance(value, OwnedMemory):
            return value.bounded(many)
        return DerivedMemory(pointer.target, _address(value), size, value, pointer.const)

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
        received = Received(who, raw, {index: self.view(who, index, raw) for index in self.arrays})
        return tuple([received.arrays[i] if i in self.arrays else raw[i] for i in self.arguments]), received

    def view(self, who: Any, index: int, raw: tuple) -> Any:
        """C's array: a view, a bare pointer where its length is not known, None for NULL."""
        array, way = self.arrays[index]
        many = array.length if array.counter is None else raw[array.counter]
        if many is None:
            return cffi.cast(self.pointers[index], raw[index])
        if not 0 <= many * array.target.size <= _MOST_MEMORY:
            raise ForeignValueError(f"callback {_name(who)}: {self.name(None, index)}: C says in "
                                    f"{self.name(None, array.counter)} that it has {many} elements")  # fmt: skip
        if not raw[index]:
            return None
        const = way == "in" and self.parameters[index] is not array
        element = array.target
        size = many * element.size
        view = _backend.Guarded.__new__(View, self.pointers[index], size, element.alignment, raw[index], None, const)
        view.element, view.count = element, many
        return view

    def spread(self, who: Any, received: Received, result: Any) -> tuple[Any, tuple, list | None]:
        """The callback has returned ``result``: write its arrays to C's memory, end the views.

        Gives the result proper, the values for floor 0's boxes, in order, and what C's memory points to now.
        """
        if not self.outputs:
            kept = received.kept()
            received.end()
            return (None if self.void else result), (), kept
        try:
            wanted = len(self.outputs) + (not self.void)
            if self.void and wanted == 1:
                given: Any = (result,)
            elif isinstance(result, tuple) and len(result) == wanted:
                given = result
            else:
                raise ForeignTypeError(f"got {shorten(result)}, wanted a tuple of {wanted} values: with :out and "
                                       ":inout parameters the callable returns theirs too")  # fmt: skip
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
            return proper, tuple([values[index] for index in self.boxes]), received.kept()
        finally:
            received.end()

    def write(self, received: Received, index: int, value: Any) -> int | None:
        """Write the values of an ``:out`` or ``:inout`` array through C's pointer; how many, or None for a NULL."""
        array, memory = self.arrays[index][0], received.arrays[index]
        if memory is None:
            return None
        if value is memory:  # all is written
            return memory.count
        try:
            values = values_of(array, value)
        except ForeignTypeError as error:
            error.args = (f"{self.name(None, index)}: {error.args[0]}",)
            raise
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
            return listed(self.element, ForeignMemory(self.element, 1, address, self), 1)[0]
        return super().__getitem__(index)


class Received:
    """The arrays of one call of a callback, until it returns."""

    __slots__ = ("arrays", "raw", "who")

    def __init__(self, who: Any, raw: tuple, arrays: dict[int, Any]):
        self.who, self.raw, self.arrays = who, raw, arrays

    def views(self) -> list[View]:
        """The views that live."""
        return [found for found in self.arrays.values() if isinstance(found, View) and _backend.is_alive(found)]

    def kept(self) -> list | None:
        """What C's memory points to that was written through the views."""
        pointing = (view for view in self.views() if view.element.is_pointer or view.element.code in "sa")
        return [kept for kept in map(dict, map(_backend.kept_by, pointing)) if kept] or None

    def end(self) -> None:
        """The callback has returned, and with it the right to look at C's memory."""
        for view in self.views():
            view.lapse(f"the return of the callback {_name(self.who)}")
