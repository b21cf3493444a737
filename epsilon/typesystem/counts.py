"""Arrays among parameters, and pointers that come back: which parameter says how long one is, which a caller passes.

A length is implied by its array.  Where the array is an argument, its length is none: the call fills it in.  Where the
array is a value that comes back, its length comes back as the list's.
"""

from __future__ import annotations

from epsilon.errors import ForeignTypeError, nearest
from epsilon.typesystem.derived import Array, Direction, Handed
from epsilon.typesystem.pointers import CountedPointer
from epsilon.typesystem.scalars import Integer

TYPE_CHECKING = False  # as in ``typing``, which takes longer to import than all of Epsilon
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Any

    from epsilon.typesystem.base import CType


def array_of(parameter: CType) -> Any:
    """The array that a parameter is, or that it points to; else None."""
    found = parameter.target if isinstance(parameter, Direction) else parameter
    return found if isinstance(found, Array) else None


def way_of(parameter: CType) -> str:
    """``in``, ``out`` or ``inout``."""
    return parameter.way if isinstance(parameter, Direction) else "in"


def linked(parameters: tuple[CType, ...], names: Sequence[str | None] = ()) -> tuple[CType, ...]:
    """The parameters, every array's length as the index of the parameter that it is in.

    Raises ``ForeignTypeError`` for a length in no parameter, or in one that cannot hold it, and for an ``:out`` array
    without a length.
    """
    found = list(parameters)
    for place, parameter in enumerate(parameters):
        array = array_of(parameter)
        if isinstance(parameter, CountedPointer):
            raise ForeignTypeError(f"parameter {place + 1} ({parameter.spelling}): {parameter.only_parameter}")
        if array is None:
            if isinstance(parameter, Direction) and isinstance(parameter.target, CountedPointer):
                target = linked_result(parameter.target, parameters, names, f"parameter {place + 1}")
                found[place] = Direction(parameter.way, target)
            continue
        what = f"parameter {place + 1} ({parameter.spelling})"
        if array.counter is None:
            if array.length is None and way_of(parameter) == "out":
                raise ForeignTypeError(f"{what} is an :out array, and its length is missing: (:array TYPE 8) has 8 "
                                       "elements, (:array TYPE :length n) as many as the parameter n says")  # fmt: skip
            continue
        index = counter_index(array.counter, len(parameters), names, what)
        _check_counter(parameters, index, way_of(parameter), what)
        if index != array.counter:
            array = Array(array.target, None, index)
            found[place] = Direction(parameter.way, array) if isinstance(parameter, Direction) else array
    return tuple(found)


def linked_result(
    result: CType, parameters: tuple[CType, ...], names: Sequence[str | None] = (), who: str = "the result"
) -> CType:
    """The result, or another pointer that comes back, its count as the index of the parameter that it is in.

    Raises ``ForeignTypeError`` for a count in no parameter, or in one that is no integer.
    """
    if not isinstance(result, CountedPointer):
        return result
    what = f"{who} ({result.spelling})"
    if result.target.size is None:
        raise ForeignTypeError(f"{what} has a :count, and {result.target.spelling} has no size")
    if result.counter is None:
        return result
    index = counter_index(result.counter, len(parameters), names, what)
    _check_integer(parameters[index], f"{what} has its length in parameter {index + 1}")
    return result.counted_in(index)


def bounded(result: CType, parameters: tuple[CType, ...]) -> dict[int, CountedPointer]:
    """The pointers that come back with bounds, by the index of the parameter, the result's as -1."""
    found = {-1: result} if isinstance(result, CountedPointer) else {}
    for index, parameter in enumerate(parameters):
        if isinstance(parameter, Direction) and isinstance(parameter.target, CountedPointer):
            found[index] = parameter.target
    return found


def counter_index(counter: str | int, count: int, names: Sequence[str | None], what: str) -> int:
    """Which of ``count`` parameters ``counter`` means: an index, a name, or ``arg1``, ``arg2`` …"""
    known = [name or f"arg{place + 1}" for place, name in enumerate([*names, *[None] * (count - len(names))])]
    if isinstance(counter, int):
        if counter < count:
            return counter
        raise ForeignTypeError(f"{what} has its length in parameter {counter}, counted from 0; there are {count}")
    if counter in known:
        return known.index(counter)
    numbers = [f"arg{place}" for place in range(1, count + 1)]
    if counter in numbers:
        return numbers.index(counter)
    raise ForeignTypeError(f"{what} has its length in {counter!r}, and no parameter is called so"
                           f"{nearest(counter, known)}; the parameters are {', '.join(known)}")  # fmt: skip


def _check_counter(parameters: tuple[CType, ...], index: int, way: str, what: str) -> None:
    counter = parameters[index]
    text = _check_integer(counter, f"{what} has its length in parameter {index + 1}")
    if way_of(counter) == "out":
        raise ForeignTypeError(f"{text}, which is :out: then nothing says how many there is room for; (:inout "
                               f"{counter.target.spelling}) takes that number, and gives what C writes")  # fmt: skip


def _check_integer(counter: CType, text: str) -> str:
    number = counter.target if isinstance(counter, Direction) else counter
    text = f"{text} ({counter.spelling})"
    if not isinstance(number, Integer) and not number.only_run_time:
        raise ForeignTypeError(f"{text}, which is no integer")
    return text


def filled(parameters: tuple[CType, ...]) -> frozenset[int]:
    """The lengths that a call fills in, as indices: those of arrays that are arguments."""
    return frozenset(
        array_of(parameter).counter
        for parameter in parameters
        if array_of(parameter) is not None and way_of(parameter) != "out" and array_of(parameter).counter is not None
    )


def told(parameters: tuple[CType, ...], result: CType | None = None) -> frozenset[int]:
    """The lengths that C writes and that a list or memory which comes back tells, as indices."""
    pointers = [found.counter for found in bounded(result, parameters).values() if found.counter is not None]
    return frozenset(index for index in pointers if way_of(parameters[index]) in ("out", "inout")) | frozenset(
        array_of(parameter).counter
        for parameter in parameters
        if array_of(parameter) is not None
        and way_of(parameter) != "in"
        and array_of(parameter).counter is not None
        and way_of(parameters[array_of(parameter).counter]) == "inout"
    )


def check_callback(result: CType, parameters: Iterable[CType]) -> None:
    """Refuse what a callback cannot return: an array whose length nothing says, a pointer with bounds."""
    if bounded(result, tuple(parameters)):
        raise ForeignTypeError(":count says how many elements C has at the pointer that a call gives; what a callback "
                               "gives to C is a plain pointer")  # fmt: skip
    for place, parameter in enumerate(parameters, 1):
        if isinstance(parameter, Handed):
            raise ForeignTypeError(f"parameter {place} ({parameter.spelling}) is :{parameter.way}: that is for what C "
                                   "gets from a call, and a callback gets it from C")  # fmt: skip
        array = array_of(parameter)
        if array is not None and way_of(parameter) == "inout" and array.length is None and array.counter is None:
            raise ForeignTypeError(f"parameter {place} ({parameter.spelling}) is an :inout array without a length: how "
                                   "many values a callback may write, (:array TYPE :length n) says")  # fmt: skip
